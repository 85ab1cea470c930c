"""Numbers from Prometheus, against a server that speaks its query API."""

from __future__ import annotations

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
