"""What can be looked at: every route, the documents, the stream of events, metrics, and questions about the past."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families

from api.served import DEADLINE_S, Served, served
from core.playbook import G, P
from siteshift.api.bodies import ACTS
from siteshift.runtime.limits import Limits

LOOKS = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/status",
    "/v1/plan",
    "/v1/overrides",
    "/v1/fate",
    "/v1/why/pangyo",
    "/v1/journal",
    "/v1/journal/verify",
    "/v1/openapi.json",
]


async def test_every_page_answers(node: Served) -> None:
    for path in LOOKS:
        reply = await node.get(path, owner="vera")
        assert reply.status == 200, path
        assert reply.kind == ("text/plain" if path == "/metrics" else "application/json"), path


async def test_the_pages_say_what_is(node: Served) -> None:
    status = (await node.get("/v1/status")).document
    assert status["services"][0]["sites"]["pangyo"]["desired_bp"] == 5_000
    assert (await node.get("/v1/plan")).document == {"plan": None, "offer": None}
    assert (await node.get("/v1/overrides")).document == {"overrides": []}
    assert (await node.get("/readyz")).document["ready"] is True
    assert (await node.get("/v1/journal/verify")).document["holds"] is True
    why = (await node.get("/v1/why/pangyo")).document
    assert any("share: 50.00 % desired" in line for line in json.dumps(why).split('"'))


async def test_the_journal_is_read_in_pages_and_by_kind(node: Served) -> None:
    first = (await node.get("/v1/journal?limit=2")).document
    assert [entry["sequence"] for entry in first["entries"]] == [1, 2]
    second = (await node.get(f"/v1/journal?limit=1&after={first['after']}")).document
    assert [entry["sequence"] for entry in second["entries"]] == [3]
    kinds = {entry["kind"] for entry in (await node.get("/v1/journal?kind=setup&kind=started")).document["entries"]}
    assert kinds == {"setup", "started"}
    others = {entry["kind"] for entry in (await node.get("/v1/journal?without=input")).document["entries"]}
    assert "setup" in others and "input" not in others


async def test_a_broken_record_is_told_with_its_place(node: Served) -> None:
    tampered = node.journal.written[1]
    node.journal.written[1] = type(tampered)(
        sequence=tampered.sequence,
        at_ms=tampered.at_ms + 1,
        kind=tampered.kind,
        data=tampered.data,
        previous=tampered.previous,
        digest=tampered.digest,
    )
    verdict = (await node.get("/v1/journal/verify")).document
    assert (verdict["holds"], verdict["sequence"]) == (False, 2)


async def test_why_can_be_asked_of_a_past_instant(node: Served) -> None:
    before_ms = node.node.clock.now_ms()
    assert (await node.act("drain", {"site": P, "reason": "test"})).status == 200
    await node.until(lambda status: status["services"][0]["sites"][P]["desired_bp"] == 0)
    await node.until(lambda _: any(e["lines"] and e["site"] == P and e["generation"] > 1 for e in node.entries("why")))
    then = (await node.get(f"/v1/why/pangyo?at_ms={before_ms}")).document
    now = (await node.get(f"/v1/why/pangyo?at_ms={node.node.clock.now_ms() + 1_000}")).document
    assert "50.00 % desired" in json.dumps(then["services"]["web"]["lines"])
    assert now["services"]["web"]["generation"] > then["services"]["web"]["generation"]
    assert (await node.get("/v1/why/pangyo?at_ms=0")).document["services"] == {}


async def test_why_of_an_instant_in_the_future_is_refused_and_says_until_when_the_record_goes(node: Served) -> None:
    now_ms = node.node.clock.now_ms()
    reply = await node.get(f"/v1/why/pangyo?at_ms={now_ms + 3_600_000}")
    assert (reply.status, reply.document["code"]) == (400, "IN_THE_FUTURE")
    assert "the record goes until " in reply.document["detail"]
    assert (await node.get(f"/v1/why/pangyo?at_ms={now_ms + 1_000}")).status == 200, "whoever asks may have another clock"


async def test_the_metrics_can_be_read_by_prometheus(node: Served) -> None:
    text = (await node.get("/metrics", owner="vera")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    shares = {
        sample.labels["site"]: sample.value
        for sample in families["siteshift_desired_share_ratio"].samples
        if sample.labels["service"] == "web"
    }
    assert shares == {"pangyo": 0.5, "gasan": 0.3, "anyang": 0.2}


async def test_events_come_as_they_happen(node: Served) -> None:
    connector = aiohttp.UnixConnector(str(node.socket))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://node/v1/events") as stream:
        assert stream.content_type == "text/event-stream"
        await node.act("drain", {"site": G, "reason": "stream"})
        kinds: set[str] = set()
        last = 0
        async with asyncio.timeout(DEADLINE_S):
            while not {"answer", "decision", "enact", "enacted"} <= kinds:
                line = (await stream.content.readline()).decode()
                if line.startswith("id: "):
                    assert int(line[4:]) > last
                    last = int(line[4:])
                if line.startswith("event: "):
                    kinds.add(line[7:].strip())
                if line.startswith("data: "):
                    assert json.loads(line[6:])["kind"] in kinds


async def test_one_stream_too_many_is_refused_and_a_place_that_is_left_is_free() -> None:
    async with served(limits=Limits(api_subscribers=1)) as node:
        connector = aiohttp.UnixConnector(str(node.socket))
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://node/v1/events") as stream:
            assert stream.status == 200
            refused = await node.get("/v1/events")
            assert (refused.status, refused.code) == (503, "TOO_MANY_STREAMS")
        await node.until(lambda _: not node.node.broadcast.is_full)


async def test_the_document_is_valid_and_agrees_with_the_routes(node: Served) -> None:
    document = (await node.get("/v1/openapi.json")).document
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    served_routes = {
        (route.method, route.resource.canonical)
        for route in node.api.application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert described == served_routes
    assert {path for method, path in described if method == "POST"} == {f"/v1/{name}" for name in ACTS}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/journal?limit=0", "limit"),
        ("/v1/journal?limit=1001", "limit"),
        ("/v1/journal?after=-1", "after"),
        ("/v1/journal?since_ms=yesterday", "since_ms"),
        ("/v1/journal?until_ms=99999999999999999999999", "until_ms"),
        ("/v1/why/pangyo?at_ms=1.5", "at_ms"),
        ("/v1/why/pangyo?at_ms=٣", "at_ms"),
    ],
)
async def test_a_number_that_cannot_be_is_named_with_its_remedy(node: Served, path: str, field: str) -> None:
    reply = await node.get(path)
    assert (reply.status, reply.kind, reply.code) == (400, "application/problem+json", "BAD_REQUEST")
    (error,) = reply.document["errors"]
    assert error["field"] == field and "whole number from" in error["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/v1/why/pangyo?at=1700000000000", "at"),
        ("GET", "/v1/journal?since=1700000000000", "since"),
        ("GET", "/v1/status?site=pangyo", "site"),
        ("POST", "/v1/drain?dry_run=true", "dry_run"),
        ("POST", "/v1/approve?digest=0123456789abcdef", "digest"),
    ],
)
async def test_a_parameter_that_is_not_known_is_refused_and_not_passed_over(
    node: Served, method: str, path: str, field: str
) -> None:
    """It was answered about now instead of then, and a drain whose ``dry_run`` stood in the query was carried out."""
    body = {"site": "pangyo", "reason": "only a look"} if method == "POST" else None
    reply = await node.ask(method, path, body, key="a")
    assert (reply.status, reply.kind, reply.code) == (400, "application/problem+json", "BAD_REQUEST")
    assert [error["field"] for error in reply.document["errors"]] == [field]
    assert (await node.get("/v1/overrides")).document["overrides"] == []
    assert (await node.get("/healthz?from=balancer")).status == 200, "who only asks whether we live may decorate it"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/why/busan", 404),
        ("GET", "/v1/why/%ff%00", 404),
        ("GET", "/v1/drain", 405),
        ("POST", "/v1/status", 405),
        ("DELETE", "/v1/status", 405),
    ],
)
async def test_what_is_not_there_is_a_problem_document(node: Served, method: str, path: str, status: int) -> None:
    reply = await node.ask(method, path)
    assert (reply.status, reply.kind) == (status, "application/problem+json")
    document = reply.document
    assert document["status"] == status and document["type"] == f"urn:siteshift:problem:{document['code']}"
    assert document["title"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls to a plain socket",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n",
        b"POST /v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_garbage_gets_an_answer_without_a_traceback(node: Served, raw: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(node.socket))
    writer.write(raw)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    assert b"Traceback" not in answer and b'File "' not in answer and b" 500 " not in answer
    assert (await node.get("/healthz")).status == 200
