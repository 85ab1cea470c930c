"""What acts: once for each key, with every problem of a body named, within bounds; a dry run changes nothing."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from api.served import Served, served
from core.playbook import G, P
from siteshift.core.model.codes import Mode
from siteshift.runtime.limits import Limits

DRAIN = {"site": str(P), "reason": "test"}


async def test_every_act_is_answered_by_the_core(node: Served) -> None:
    first = await node.act("depool", {"member": "web/gasan/m1", "reason": "disk"})
    assert first.status == 200 and first.document["override"]["owner"] == "boss"
    assert (await node.act("pool", {"member": "web/gasan/m1", "reason": "fixed"})).status == 200
    assert (await node.act("freeze", {"reason": "sale"})).status == 200
    assert (await node.act("mode", {"service": "web", "mode": "recommend", "reason": "new"})).status == 200
    overrides = (await node.get("/v1/overrides")).document["overrides"]
    assert len(overrides) == 2
    for entry in overrides:
        assert (await node.act("lift", {"override": entry["id"], "reason": "done"})).status == 200
    assert (await node.act("switch-off", {"reason": "look"})).status == 200
    assert (await node.get("/v1/status")).document["switched_off"] is True
    assert (await node.act("switch-on", {"reason": "seen"})).status == 200
    assert (await node.act("drain", DRAIN)).status == 200
    assert (await node.act("undrain", DRAIN)).status == 200
    assert (await node.act("ack", {"site": "gasan", "reason": "seen"})).status == 422, "nothing waits there"
    assert (await node.act("approve", {"digest": "0" * 16})).status == 422
    shares = {"service": "web", "shares_bp": {"pangyo": 4_000, "gasan": 3_500, "anyang": 2_500}, "reason": "test"}
    assert (await node.act("shares", shares)).status == 200
    answers = {entry["request"] for entry in node.entries("answer")}
    assert len(answers) == 12, answers


async def test_a_refusal_has_its_code_its_reason_and_its_remedy(node: Served) -> None:
    reply = await node.act("drain", {"site": "busan", "reason": "test"})
    assert (reply.status, reply.kind, reply.code) == (422, "application/problem+json", "UNKNOWN_NAME")
    assert "known: pangyo, gasan, anyang" in reply.document["detail"]
    assert reply.document["type"] == "urn:siteshift:problem:UNKNOWN_NAME"
    nothing = await node.act("undrain", {"site": "gasan", "reason": "test"})
    assert (nothing.status, nothing.code) == (422, "NOTHING_TO_DO")


async def test_undraining_a_dead_site_needs_the_digest_of_the_plan_that_says_so(node: Served) -> None:
    assert (await node.act("drain", DRAIN)).status == 200
    node.down.add(str(P))
    await node.until(lambda status: status["services"][0]["sites"]["pangyo"]["standing"] == "down")
    reply = await node.act("undrain", {"site": str(P)})
    assert (reply.status, reply.code) == (409, "TARGET_UNHEALTHY")
    assert "pangyo is down by the evidence" in reply.document["detail"]
    assert len((await node.get("/v1/overrides")).document["overrides"]) == 1
    digest = reply.document["plans"][0]["digest"]
    assert (await node.act("undrain", {"site": str(P), "digest": digest})).status == 200
    assert (await node.get("/v1/overrides")).document["overrides"] == []


async def test_the_same_key_gets_the_same_answer_and_is_carried_out_once(node: Served) -> None:
    key = str(uuid.uuid4())
    first = await node.act("drain", DRAIN, key=key)
    again = await node.act("drain", DRAIN, key=key)
    assert (first.status, first.text) == (again.status, again.text)
    assert "Idempotent-Replay" not in first.headers and again.headers["Idempotent-Replay"] == "true"
    assert len((await node.get("/v1/overrides")).document["overrides"]) == 1


async def test_a_request_sent_twice_at_once_is_carried_out_once(node: Served) -> None:
    key = str(uuid.uuid4())
    body = {"member": "web/gasan/m1", "reason": "twice"}
    replies = await asyncio.gather(*(node.act("depool", body, key=key) for _ in range(8)))
    assert {(reply.status, reply.text) for reply in replies} == {(200, replies[0].text)}
    assert len((await node.get("/v1/overrides")).document["overrides"]) == 1


async def test_a_key_belongs_to_one_request_of_one_person(node: Served) -> None:
    key = str(uuid.uuid4())
    assert (await node.act("depool", {"member": "web/gasan/m1", "reason": "a"}, key=key)).status == 200
    other = await node.act("depool", {"member": "web/gasan/m2", "reason": "a"}, key=key)
    assert (other.status, other.code) == (422, "KEY_REUSED")
    theirs = await node.act("depool", {"member": "web/gasan/m2", "reason": "a"}, key=key, owner="olaf")
    assert theirs.status == 200, "another person's key is another key"


async def test_an_act_without_a_key_is_not_carried_out(node: Served) -> None:
    reply = await node.act("drain", DRAIN, key="")
    assert (reply.status, reply.code) == (400, "KEY_MISSING")
    assert "Idempotency-Key" in reply.document["detail"]
    assert (await node.act("drain", DRAIN, key="k" * 201)).status == 400
    assert (await node.get("/v1/overrides")).document == {"overrides": []}


@pytest.mark.parametrize("act", ["drain", "depool", "shares", "freeze", "switch-off", "approve"])
async def test_a_dry_run_shows_the_answer_and_changes_nothing(node: Served, act: str) -> None:
    bodies = {
        "drain": DRAIN,
        "depool": {"member": "web/gasan/m1", "reason": "test"},
        "shares": {"service": "web", "shares_bp": {"pangyo": 4_000, "gasan": 3_500, "anyang": 2_500}, "reason": "x"},
        "approve": {"digest": "0" * 16},
    }
    before = node.node.loop.state
    reply = await node.act(act, {**bodies.get(act, {"reason": "test"}), "dry_run": True}, key="")
    after = node.node.loop.state
    assert reply.status == 200 and reply.document["dry_run"] is True
    if act == "drain":
        (plan,) = reply.document["plans"]
        assert len(plan["digest"]) == 16 and plan["lines"]
    assert (after.overrides, after.steering, after.is_switched_off) == (before.overrides, before.steering, False)
    assert node.entries("answer") == []


async def test_the_plan_that_was_looked_at_is_the_plan_that_is_carried_out(node: Served) -> None:
    look = (await node.act("drain", {**DRAIN, "dry_run": True}, key="")).document
    stale = await node.act("drain", {**DRAIN, "digest": "f" * 16})
    assert (stale.status, stale.code) == (422, "STALE_DIGEST")
    done = await node.act("drain", {**DRAIN, "digest": look["plans"][0]["digest"]})
    assert done.status == 200 and done.document["plans"][0]["digest"] == look["plans"][0]["digest"]


@pytest.mark.parametrize(
    ("act", "raw", "field", "remedy"),
    [
        ("drain", b'{"reason": "x"}', "site", "add it"),
        ("drain", b'{"site": "pangyo", "force": true}', "force", "known are reason, ticket"),
        ("drain", b'{"site": 5}', "site", "DrainBody"),
        ("drain", b'{"site": ""}', "site", "DrainBody"),
        ("drain", b'{"site": "pangyo", "dry_run": "yes"}', "dry_run", "DrainBody"),
        ("drain", b'{"site": "pangyo", "expires_in_s": 0}', "expires_in_s", "DrainBody"),
        ("drain", b'{"site": "pangyo", "digest": "xyz"}', "digest", "DrainBody"),
        ("drain", b"not json", "(body)", "send a JSON object"),
        ("drain", b"\xff\xfe", "(body)", "send a JSON object"),
        ("drain", b"[]", "(body)", "DrainBody"),
        ("drain", b"[" * 5_000, "(body)", "send a JSON object"),
        ("shares", b'{"service": "web", "shares_bp": {"pangyo": 10001}}', "shares_bp.pangyo", "SharesBody"),
        ("shares", b'{"service": "web", "shares_bp": {"pangyo": NaN}}', "shares_bp.pangyo", "SharesBody"),
        ("mode", b'{"service": "web", "mode": "manual"}', "mode", "ModeBody"),
    ],
)
async def test_a_bad_body_is_told_field_by_field(node: Served, act: str, raw: bytes, field: str, remedy: str) -> None:
    reply = await node.ask("POST", f"/v1/{act}", data=raw, key=str(uuid.uuid4()))
    assert (reply.status, reply.kind, reply.code) == (400, "application/problem+json", "BAD_REQUEST")
    (error,) = reply.document["errors"]
    assert error["field"] == field and error["message"]
    assert remedy in error["remedy"]


async def test_all_problems_of_a_body_are_told_at_once(node: Served) -> None:
    reply = await node.act("shares", {"shares_bp": {"a": -1, "b": 2.5}, "who": "me"})
    assert {error["field"] for error in reply.document["errors"]} == {"service", "shares_bp.a", "shares_bp.b", "who"}


async def test_a_body_beyond_the_limit_is_refused() -> None:
    async with served(limits=Limits(api_body_bytes=2_048)) as node:
        body = json.dumps({**DRAIN, "dry_run": True}).encode()
        fits = await node.ask("POST", "/v1/drain", data=body + b" " * (2_048 - len(body)))
        assert fits.status == 200
        large = await node.ask("POST", "/v1/drain", data=b" " * 2_049)
        assert (large.status, large.code) == (413, "HTTP_413")


async def test_a_service_that_only_recommends_waits_for_an_approver() -> None:
    async with served(mode=Mode.RECOMMEND) as node:
        node.down.add(str(P))
        await node.until(lambda status: "MODE_RECOMMEND" in json.dumps(status["services"][0]))
        plan = (await node.get("/v1/plan")).document["plan"]
        assert (await node.act("approve", {"digest": plan["digest"]}, owner="olaf")).status == 403
        approved = await node.act("approve", {"digest": plan["digest"]}, owner="ada")
        assert approved.status == 200, approved.text
        await node.until(lambda status: status["services"][0]["sites"][P]["desired_bp"] == 0)


async def test_a_drain_moves_the_traffic_and_an_undrain_brings_it_back(node: Served) -> None:
    assert (await node.act("drain", {"site": str(G), "reason": "work"})).status == 200
    await node.until(lambda status: status["services"][0]["sites"][G]["life"] == "drained")
    assert (await node.act("undrain", {"site": str(G), "reason": "done"})).status == 200
    await node.until(lambda status: status["services"][0]["sites"][G]["life"] == "returning")


async def test_a_digest_of_another_form_is_told_in_words_and_not_as_a_pattern(node: Served) -> None:
    reply = await node.act("drain", {"site": "pangyo", "reason": "x", "digest": "XYZ"})
    assert (reply.status, reply.document["errors"][0]["message"]) == (400, "is no digest, which has 16 hexadecimal digits")
    assert "^[" not in str(reply.document)
