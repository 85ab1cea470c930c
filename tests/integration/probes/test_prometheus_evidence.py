"""Figures from Prometheus become evidence; silence does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.probes.prometheus_evidence import FIGURE_REQUESTS, Measures, PrometheusEvidence, PrometheusFigures
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import AdapterError
from siteshift.ports import PassiveSample

from .peers import closed_port, web_peer

VALUES: dict[str, str | None] = {}
PANGYO, GASAN = SiteId("pangyo"), SiteId("gasan")


async def query(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != "Bearer secret":
        return web.json_response({"status": "error", "error": "who are you"}, status=401)
    value = VALUES.get(str((await request.post())["query"]))
    result = [] if value is None else [{"metric": {}, "value": [1.0, value]}]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    VALUES.clear()
    async with web_peer(web.post("/api/v1/query", query)) as port:
        yield port


async def asked(port: int, measures: Measures = Measures.ERROR_RATIO) -> dict[str, PassiveSample]:
    figures = PrometheusFigures(
        url=f"http://127.0.0.1:{port}",
        service=ServiceId("web"),
        queries={PANGYO: "p", GASAN: "g"},
        measures=measures,
        degraded_above_pm=10,
        every_ms=15_000,
        timeout_ms=5_000,
        headers={"Authorization": "Bearer secret"},
    )
    source = PrometheusEvidence(figures, ManualClock(7))
    try:
        return {sample.target: sample for sample in await source.sample(deadline_ms=5_000)}
    finally:
        await source.close()


async def test_an_error_ratio_counts_from_what_is_called_degraded(port: int) -> None:
    VALUES.update(p="0.25", g="0.009")
    found = await asked(port)
    pangyo, gasan = found["pool:web/pangyo"], found["pool:web/gasan"]
    assert (pangyo.requests, pangyo.errors, pangyo.at_ms) == (FIGURE_REQUESTS, 250, 7)
    assert (gasan.requests, gasan.errors, gasan.latency_ms) == (FIGURE_REQUESTS, 0, None)
    assert pangyo.good_for_ms == 35_000, "a figure holds until the next ones are due"


async def test_a_latency_counts_as_latency(port: int) -> None:
    VALUES.update(p="1.25")
    (pangyo,) = (await asked(port, Measures.LATENCY_S)).values()
    assert (pangyo.target, pangyo.errors, pangyo.latency_ms) == ("pool:web/pangyo", 0, 1_250)


async def test_a_site_without_a_figure_is_left_out(port: int) -> None:
    VALUES.update(p="NaN", g="0.5")
    assert set(await asked(port)) == {"pool:web/gasan"}


async def test_a_prometheus_that_is_gone_is_no_evidence() -> None:
    with pytest.raises(AdapterError):
        await asked(closed_port())
