"""Numbers from Prometheus, against a server that speaks its query API."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from siteshift.adapters.probes.prometheus import PrometheusSource
from siteshift.errors import Permanent, Retryable

from .peers import closed_port, never, tcp_peer, web_peer


def vector(*values: str) -> dict[str, object]:
    series = [{"metric": {"n": str(n)}, "value": [1_700_000_000.1, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


ANSWERS: dict[str, tuple[int, dict[str, object]]] = {
    "errors": (200, vector("0.0125")),
    "scalar": (200, {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "42"]}}),
    "nothing": (200, vector()),
    "nan": (200, vector("NaN")),
    "two": (200, vector("1", "2")),
    "matrix": (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}),
    "typo(": (400, {"status": "error", "errorType": "bad_data", "error": "parse error: unclosed left parenthesis"}),
    "busy": (503, {"status": "error", "errorType": "unavailable", "error": "starting"}),
}


async def query(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != "Bearer secret":
        return web.json_response({"status": "error", "error": "who are you"}, status=401)
    status, document = ANSWERS[str((await request.post())["query"])]
    return web.json_response(document, status=status)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with web_peer(web.post("/api/v1/query", query)) as port:
        yield port


async def sample(port: int, **queries: str) -> dict[str, float]:
    source = PrometheusSource(f"http://127.0.0.1:{port}/", queries, timeout_ms=5_000, headers={"Authorization": "Bearer secret"})
    try:
        return dict(await source.sample())
    finally:
        await source.close()


async def test_numbers_come_by_label(port: int) -> None:
    assert await sample(port, ratio="errors", count="scalar") == {"ratio": 0.0125, "count": 42.0}


async def test_no_result_and_no_number_are_no_evidence(port: int) -> None:
    assert await sample(port, a="nothing", b="nan", c="errors") == {"c": 0.0125}


@pytest.mark.parametrize(("text", "words"), [("two", "2 series"), ("matrix", "neither"), ("typo(", "unclosed")])
async def test_a_query_that_cannot_serve_is_permanent(port: int, text: str, words: str) -> None:
    with pytest.raises(Permanent, match=words) as raised:
        await sample(port, ratio=text)
    assert raised.value.target == "ratio"


async def test_a_wrong_token_is_permanent(port: int) -> None:
    source = PrometheusSource(f"http://127.0.0.1:{port}", {"ratio": "errors"})
    with pytest.raises(Permanent, match="who are you"):
        await source.sample()
    await source.close()


async def test_a_server_in_trouble_is_retryable(port: int) -> None:
    with pytest.raises(Retryable):
        await sample(port, ratio="busy")


async def test_no_server_is_retryable() -> None:
    with closed_port() as port, pytest.raises(Retryable):
        await sample(port, ratio="errors")


async def test_a_server_that_hangs_is_retryable() -> None:
    async with tcp_peer(never) as port:
        source = PrometheusSource(f"http://127.0.0.1:{port}", {"ratio": "errors"}, timeout_ms=100)
        with pytest.raises(Retryable):
            await source.sample()
        await source.close()


ODD = {
    "a number with an underscore": b'{"status":"success","data":{"resultType":"scalar","result":[1,"1_0"]}}',
    "a number in other digits": '{"status":"success","data":{"resultType":"scalar","result":[1,"٣"]}}'.encode(),
    "a number after a space": b'{"status":"success","data":{"resultType":"scalar","result":[1," 1"]}}',
    "brackets without end": b"[" * 100_000,
    "an answer without end": b'{"status":"success","data":"' + b"x" * 4_000_000,
    "bytes that are no text": b"\xff\xfe\xff",
    "an empty answer": b"",
    "a list": b"[]",
}


@pytest.mark.parametrize("case", ODD)
async def test_an_odd_answer_is_an_error_of_that_source(case: str) -> None:
    async def odd(_request: web.Request) -> web.Response:
        return web.Response(body=ODD[case], content_type="application/json")

    async with web_peer(web.post("/api/v1/query", odd)) as port:
        with pytest.raises((Permanent, Retryable)):
            await sample(port, a="errors")


async def test_a_packed_answer_is_not_unpacked() -> None:
    """We ask for none; a few kilobytes could become gigabytes."""
    packed = gzip.compress(bytes(100_000_000))

    async def bomb(_request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    async with web_peer(web.post("/api/v1/query", bomb)) as port:
        tracemalloc.start()
        try:
            with pytest.raises(Retryable):
                await sample(port, a="errors")
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 5_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_token_goes_nowhere_else(status: int) -> None:
    came: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        came.append(request.headers.get("Authorization", "no token"))
        return web.json_response(vector("1"))

    async with web_peer(web.route("*", "/api/v1/query", elsewhere)) as other:
        place = f"http://127.0.0.1:{other}/api/v1/query"

        async def moved(_request: web.Request) -> web.Response:
            return web.json_response(vector("0.5"), status=status, headers={"Location": place})

        async with web_peer(web.post("/api/v1/query", moved)) as port:
            with pytest.raises(Permanent, match=f"status {status}: redirected to 'http://127.0.0.1:{other}") as raised:
                await sample(port, a="errors")
    assert raised.value.target == "a"
    assert came == []


async def test_a_drip_is_over_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with tcp_peer(drip) as port:
        source = PrometheusSource(f"http://127.0.0.1:{port}", {"ratio": "errors"}, timeout_ms=300)
        async with asyncio.timeout(30):
            with pytest.raises(Retryable):
                await source.sample()
        await source.close()


async def test_an_error_of_many_words_is_quoted_in_part() -> None:
    async def wordy(_request: web.Request) -> web.Response:
        return web.json_response({"status": "error", "error": "x" * 100_000}, status=400)

    async with web_peer(web.post("/api/v1/query", wordy)) as port:
        with pytest.raises(Permanent) as raised:
            await sample(port, a="errors")
    assert len(str(raised.value)) < 1_000


async def test_without_its_bound_an_answer_without_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: what the bound refuses is valid otherwise."""
    long = b'{"status":"success","warnings":["' + b"x" * 1_000_000 + b'"],"data":{"resultType":"scalar","result":[1,"42"]}}'

    async def query(_request: web.Request) -> web.Response:
        return web.Response(body=long, content_type="application/json")

    async with web_peer(web.post("/api/v1/query", query)) as port:
        with pytest.raises(Retryable, match="more than 262144 bytes"):
            await sample(port, a="errors")
        monkeypatch.setattr("siteshift.adapters.probes.prometheus.MAX_ANSWER_BYTES", 1 << 40)
        assert await sample(port, a="errors") == {"a": 42.0}
