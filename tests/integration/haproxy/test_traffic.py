"""What a real HAProxy counts when members misbehave, and what survives its restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy
from servers.ports import free_port
from servers.web_members import WebMember, get
from siteshift.adapters.haproxy.plane import PlaneMode, ServerMap
from siteshift.adapters.haproxy.stat import ServerCounters
from siteshift.adapters.haproxy.traffic import HaproxyTrafficMeter, TrafficSum
from siteshift.ports import TrafficSample

from .planes import GASAN, PANGYO, WallClock, backend, global_plane, mapped

DEADLINE_MS = 10_000


async def only(lb: HaproxyServer, server: str) -> None:
    """All requests go to one server."""
    others = [name for name in ("p1", "p2", "g1", "g2", "a1", "a2") if name != server]
    await lb.cli(";".join([f"set server web/{server} state ready", *(f"set server web/{n} state maint" for n in others)]))


async def sampled(meter: HaproxyTrafficMeter) -> dict[str, TrafficSample]:
    return {sample.site: sample for sample in await meter.sample(deadline_ms=DEADLINE_MS)}


async def test_refused_connections_and_answers_that_never_come_are_errors(
    lb: HaproxyServer, members: dict[str, WebMember], clock: WallClock
) -> None:
    meter = HaproxyTrafficMeter(global_plane(lb.address), clock)
    await sampled(meter)
    await only(lb, "p1")
    await lb.cli("set server web/p1 addr 127.0.0.1 port 9")
    assert (await get(lb.port)).status == 503
    found = await sampled(meter)
    assert (found[PANGYO].requests, found[PANGYO].errors) == (1, 1)
    await only(lb, "g1")
    waiting = asyncio.create_task(get(lb.port, "/slow"))
    await asyncio.wait_for(members["g1"].arrived.wait(), 20)
    found = await sampled(meter)
    assert (found[GASAN].requests, found[GASAN].errors) == (1, 0), "a request counts when it is sent"
    assert found[GASAN].answered == 0, "and is answered when the answer came"
    await lb.cli("shutdown sessions server web/g1")
    await waiting
    assert (await sampled(meter))[GASAN].requests <= 1


async def test_a_request_that_another_site_saved_is_an_error_of_the_first(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    pair = {name: members[name] for name in ("p1", "g1")}
    async with haproxy(tmp_path, backend(pair, "web", "option redispatch 1", "retries 3"), version) as lb:
        meter = HaproxyTrafficMeter(global_plane(lb.address), clock)
        await sampled(meter)
        await lb.cli("set server web/p1 addr 127.0.0.1 port 9")
        for _ in range(4):
            assert (await get(lb.port)).body == "g1"
        found = await sampled(meter)
        assert 1 <= found[PANGYO].requests == found[PANGYO].errors <= 4
        assert (found[GASAN].requests, found[GASAN].errors) == (4, 0)
        assert (found[PANGYO].answered, found[GASAN].answered) == (0, 4)
        assert found[PANGYO].passed_on == found[PANGYO].requests
        assert found[GASAN].passed_on == 0


async def test_a_restart_resets_the_counters_and_is_not_negative_traffic(lb: HaproxyServer, clock: WallClock) -> None:
    meter = HaproxyTrafficMeter(global_plane(lb.address), clock)
    await only(lb, "p1")
    for _ in range(10):
        await get(lb.port)
    await sampled(meter)
    await lb.restart()
    await only(lb, "p1")
    for _ in range(3):
        await get(lb.port)
    assert (await sampled(meter))[PANGYO].requests == 3


async def test_tunnelled_requests_count_for_the_site_that_serves_them(lb: HaproxyServer, clock: WallClock) -> None:
    servers = (mapped("p1"), ServerMap(server="g1", site=GASAN))
    meter = HaproxyTrafficMeter(global_plane(lb.address, servers, mode=PlaneMode.LOCAL, beside=PANGYO), clock)
    await sampled(meter)
    await only(lb, "g1")
    await get(lb.port)
    found = await sampled(meter)
    assert (found[PANGYO].requests, found[GASAN].requests) == (0, 1)


TCP = """
frontend sessions
  mode tcp
  bind 127.0.0.1:{port}
  default_backend queue
backend queue
  mode tcp
  retries 1
  option redispatch 1
  server p1 127.0.0.1:{p1}
  server g1 127.0.0.1:{g1}
backend web
"""


async def session(port: int) -> None:
    """One connection that asks and is answered."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_whether_sessions_of_another_protocol_were_answered_is_not_known(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """Nobody counts answers there: taken for none, a pool that serves everybody would look dark."""
    port = free_port()
    pair = {name: members[name].port for name in ("p1", "g1")}
    async with haproxy(tmp_path, TCP.format(port=port, **pair), version) as lb:
        plane = global_plane(lb.address)
        meter = HaproxyTrafficMeter(replace(plane, backends=(replace(plane.backends[0], backend="queue"),)), clock)
        await sampled(meter)
        for _ in range(4):
            await session(port)
        found = await sampled(meter)
        assert {site: (one.requests, one.errors, one.answered) for site, one in found.items()} == {
            PANGYO: (2, 0, None),
            GASAN: (2, 0, None),
        }
        await lb.cli("set server queue/p1 addr 127.0.0.1 port 9")
        for _ in range(4):
            await session(port)
        found = await sampled(meter)
        assert found[PANGYO].errors == found[PANGYO].requests == found[PANGYO].passed_on > 0
        assert (found[GASAN].requests, found[GASAN].errors) == (4, 0)


def counted(**counts: int) -> ServerCounters:
    return ServerCounters(**(dict.fromkeys(ServerCounters._fields, 0) | {"mode": "http"} | counts))  # type: ignore[arg-type]


def test_a_restart_that_hides_in_one_counter_is_seen_in_the_others() -> None:
    """More were tried than before the restart, and fewer answered."""
    total = TrafficSum()
    total.add(counted(attempts=10, answers_2xx=10), counted(attempts=12, answers_2xx=2, answers_5xx=10))
    assert (total.requests, total.answered, total.errors) == (12, 2, 10)
