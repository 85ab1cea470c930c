"""The contract of `ports.TrafficMeter`, for real HAProxies (2.6 and 2.8), pages of counters and the in-memory twin alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from servers.counter_pages import CounterPages, counter_pages, scrape_setup
from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy
from servers.web_members import WebMember, get, web_members
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, ServerMap
from siteshift.adapters.haproxy.traffic import HaproxyTrafficMeter
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.traffic import MemoryTrafficMeter
from siteshift.adapters.scrape.traffic import ScrapeTrafficMeter
from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.errors import AdapterError
from siteshift.ports import TrafficMeter, TrafficSample

WEB = ServiceId("web")
PANGYO, GASAN = SiteId("pangyo"), SiteId("gasan")
DEADLINE_MS = 10_000


@dataclass(kw_only=True)
class MemoryTraffic:
    """Requests told to the twin."""

    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self._meter = MemoryTrafficMeter([(WEB, PANGYO), (WEB, GASAN)], self.clock)
        self.meter: TrafficMeter = self._meter

    async def serve(self, site: SiteId, *, good: int = 0, bad: int = 0) -> None:
        self._meter.count(WEB, site, requests=good + bad, errors=bad, latency_ms=3)

    async def go_away(self) -> None:
        self._meter.go("gone")


@dataclass(kw_only=True)
class HaproxyTraffic:
    """Requests sent through a real HAProxy; the path chooses the server."""

    server: HaproxyServer
    members: dict[str, WebMember]
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        servers = (ServerMap(server="pangyo", site=PANGYO), ServerMap(server="gasan", site=GASAN))
        web = BackendMap(service=WEB, backend="web", servers=servers)
        plane = HaproxyPlane(id=EnactorId("lb"), address=self.server.address, backends=(web,))
        self.meter: TrafficMeter = HaproxyTrafficMeter(plane, self.clock)

    async def serve(self, site: SiteId, *, good: int = 0, bad: int = 0) -> None:
        for number in range(good + bad):
            self.members[site].status = 200 if number < good else 500
            assert (await get(self.server.port, f"/{site}")).status in (200, 500)

    async def go_away(self) -> None:
        await self.server.stop()


@dataclass(kw_only=True)
class ScrapedTraffic:
    """Two sites that count what they serve on a page each."""

    pages: CounterPages
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.meter: TrafficMeter = ScrapeTrafficMeter(scrape_setup(self.pages, WEB), self.clock)

    async def serve(self, site: SiteId, *, good: int = 0, bad: int = 0) -> None:
        self.pages.count(site, requests=good + bad, errors=bad, seconds=0.003 * (good + bad))

    async def go_away(self) -> None:
        await self.pages.stop()


Traffic = MemoryTraffic | HaproxyTraffic | ScrapedTraffic


@pytest.fixture(params=["memory", "scrape", *HaproxyVersion])
async def traffic(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Traffic]:
    if request.param == "memory":
        yield MemoryTraffic()
        return
    if request.param == "scrape":
        async with counter_pages((PANGYO, GASAN)) as pages:
            scraped = ScrapedTraffic(pages=pages)
            yield scraped
            await scraped.meter.close()
        return
    async with web_members(("pangyo", "gasan")) as members:
        lines = ["backend web"]
        lines += [f"  use-server {name} if {{ path_beg /{name} }}" for name in members]
        lines += [f"  server {name} 127.0.0.1:{member.port}" for name, member in members.items()]
        async with haproxy(tmp_path, "\n".join(lines), HaproxyVersion(request.param)) as server:
            yield HaproxyTraffic(server=server, members=members)


def of(samples: list[TrafficSample], site: SiteId) -> TrafficSample:
    (found,) = (sample for sample in samples if sample.site == site)
    return found


async def sampled(traffic: Traffic) -> list[TrafficSample]:
    return list(await traffic.meter.sample(deadline_ms=DEADLINE_MS))


async def test_the_first_call_opens_the_window_and_knows_nothing_yet(traffic: Traffic) -> None:
    await traffic.serve(PANGYO, good=3)
    assert await sampled(traffic) == []


async def test_requests_and_errors_count_for_the_site_that_served_them(traffic: Traffic) -> None:
    await sampled(traffic)
    await traffic.serve(PANGYO, good=5, bad=2)
    await traffic.serve(GASAN, good=4)
    traffic.clock.advance(2000)
    samples = await sampled(traffic)
    pangyo, gasan = of(samples, PANGYO), of(samples, GASAN)
    assert (pangyo.requests, pangyo.errors, pangyo.window_ms, pangyo.at_ms) == (7, 2, 2000, 2000)
    assert (gasan.requests, gasan.errors) == (4, 0)
    assert pangyo.latency_ms is not None
    assert {sample.service for sample in samples} == {WEB}


async def test_every_window_starts_where_the_one_before_ended(traffic: Traffic) -> None:
    await sampled(traffic)
    await traffic.serve(PANGYO, good=5)
    await sampled(traffic)
    await traffic.serve(PANGYO, good=1)
    assert of(await sampled(traffic), PANGYO).requests == 1


async def test_a_site_without_traffic_is_reported_with_zero(traffic: Traffic) -> None:
    await sampled(traffic)
    await traffic.serve(PANGYO, good=1)
    gasan = of(await sampled(traffic), GASAN)
    assert (gasan.requests, gasan.errors, gasan.latency_ms) == (0, 0, None)


async def test_what_cannot_be_asked_is_an_error_and_not_zero(traffic: Traffic) -> None:
    await sampled(traffic)
    await traffic.go_away()
    with pytest.raises(AdapterError):
        await sampled(traffic)
    await traffic.meter.close()
