"""How users fare, by a real HAProxy: per member and per pool, and never by way of a tunnel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servers.haproxy_server import HaproxyServer
from servers.web_members import WebMember, get
from siteshift.adapters.haproxy.passive import HaproxyPassive
from siteshift.core.model.units import MemberId
from siteshift.errors import AdapterError
from siteshift.ports import PassiveSample

from .planes import WallClock, global_plane

DEADLINE_MS = 10_000


async def sampled(source: HaproxyPassive) -> dict[str, PassiveSample]:
    return {sample.target: sample for sample in await source.sample(deadline_ms=DEADLINE_MS)}


async def test_members_and_their_pool_are_told_apart(
    lb: HaproxyServer, members: dict[str, WebMember], clock: WallClock
) -> None:
    plane = global_plane(lb.address)
    source = HaproxyPassive(plane, clock)
    assert await sampled(source) == {}, "the first look opens the window"
    members["p1"].status = 500
    for _ in range(12):
        await get(lb.port)
    found = await sampled(source)
    by_name = {mapped.server: f"member:{mapped.member}" for mapped in plane.backends[0].servers}
    sick, well = found[by_name["p1"]], found[by_name["p2"]]
    assert sick.errors == sick.requests > 0 == well.errors
    service = plane.backends[0].service
    pool = found[f"pool:{service}/pangyo"]
    assert (pool.requests, pool.errors) == (sick.requests + well.requests, sick.errors)
    assert pool.good_for_ms is None
    assert sum(sample.requests for target, sample in found.items() if target.startswith("pool:")) == 12


async def test_a_tunnel_says_nothing_of_the_site_at_its_end(lb: HaproxyServer, clock: WallClock) -> None:
    plane = global_plane(lb.address)
    tunnelled = replace(
        plane.backends[0],
        servers=tuple(replace(s, member=None) if s.server == "p1" else s for s in plane.backends[0].servers),
    )
    source = HaproxyPassive(replace(plane, backends=(tunnelled,)), clock)
    await sampled(source)
    for _ in range(12):
        await get(lb.port)
    found = await sampled(source)
    assert not any(target.endswith("/p1") for target in found)
    assert sum(sample.requests for target, sample in found.items() if target.startswith("pool:")) < 12


async def test_what_cannot_be_asked_is_no_evidence(lb: HaproxyServer, clock: WallClock) -> None:
    source = HaproxyPassive(global_plane(lb.address), clock)
    await lb.stop()
    with pytest.raises(AdapterError):
        await sampled(source)


def test_members_are_named_as_the_topology_names_them() -> None:
    assert MemberId("web/pangyo/p1") in {entry.member for entry in global_plane("unix:/x").backends[0].servers}
