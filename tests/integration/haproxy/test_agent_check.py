"""A real HAProxy asks the agent-check responder and does what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy, until
from servers.ports import free_port
from servers.web_members import WebMember, load, tally
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.haproxy.agent_listener import AgentListen
from siteshift.core.model.codes import EnactOutcome
from siteshift.errors import Permanent, Retryable

from .planes import ALL, ANYANG, GASAN, PANGYO, WEB, WallClock, global_plane, mapped, steering

DEADLINE_MS = 20_000
NOMINAL = {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
PANGYO_DRAINED = {PANGYO: 0, GASAN: 6000, ANYANG: 4000}


def asking(members: dict[str, WebMember], port_of: dict[str, int] | int) -> str:
    """A backend whose servers ask; by name on one port, or on a port each."""
    lines = ["backend web"]
    for name, member in members.items():
        line = f"  server {name} 127.0.0.1:{member.port} weight 100 agent-check agent-inter 50ms agent-addr 127.0.0.1"
        if isinstance(port_of, int):
            lines.append(f"{line} agent-port {port_of} agent-send web/{name}\\n")
        else:
            lines.append(f"{line} agent-port {port_of[name]}")
    return "\n".join(lines)


@asynccontextmanager
async def responder(listen: AgentListen, clock: WallClock) -> AsyncIterator[AgentCheckEnactor]:
    enactor = AgentCheckEnactor(global_plane("agent", tuple(map(mapped, ALL)), initial_weight=100), listen, clock)
    await enactor.start()
    try:
        yield enactor
    finally:
        await enactor.close()


@pytest.fixture
async def agent(clock: WallClock) -> AsyncIterator[AgentCheckEnactor]:
    async with responder(AgentListen(host="127.0.0.1", port=0), clock) as enactor:
        yield enactor


@pytest.fixture
async def asker(
    agent: AgentCheckEnactor, members: dict[str, WebMember], tmp_path: Path, version: HaproxyVersion
) -> AsyncIterator[HaproxyServer]:
    async with haproxy(tmp_path, asking(members, agent.port), version) as server:
        yield server


async def apply(agent: AgentCheckEnactor, generation: int, shares: dict[str, int]) -> None:
    result = await agent.enact(steering(generation, shares), deadline_ms=DEADLINE_MS)  # type: ignore[arg-type]
    assert result.outcome is EnactOutcome.APPLIED, result.detail


async def serving(lb: HaproxyServer, wanted: dict[str, int], requests: int) -> None:
    """Told is not yet obeyed: wait until a round of requests is divided so, one or two off."""

    async def divided() -> bool:
        counts = await tally(lb.port, requests)
        return counts.keys() == wanted.keys() and all(abs(counts[name] - wanted[name]) <= 2 for name in wanted)

    await until(divided, f"{requests} requests divided as {wanted}")


async def test_shares_are_told_and_delivered(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    await apply(agent, 1, NOMINAL)
    await serving(asker, {"p1": 10, "p2": 10, "g1": 6, "g2": 6, "a1": 4, "a2": 4}, 40)
    await apply(agent, 2, PANGYO_DRAINED)
    await serving(asker, {"g1": 12, "g2": 12, "a1": 8, "a2": 8}, 40)
    back = await agent.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.shares_bp[WEB], back.drifts) == (2, PANGYO_DRAINED, ())
    await apply(agent, 3, NOMINAL)
    await serving(asker, {"p1": 10, "p2": 10, "g1": 6, "g2": 6, "a1": 4, "a2": 4}, 40)


async def test_a_dead_member_is_in_maint_and_comes_back(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    shares = {PANGYO: 5000, GASAN: 5000, ANYANG: 0}
    without = steering(1, shares, ("p2", "g1", "g2", "a1", "a2"))
    assert (await agent.enact(without, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    await serving(asker, {"p2": 10, "g1": 5, "g2": 5}, 20)
    assert (await asker.cli("show stat")).count(",MAINT,") == 1
    await apply(agent, 2, shares)  # type: ignore[arg-type]
    await serving(asker, {"p1": 5, "p2": 5, "g1": 5, "g2": 5}, 20)


async def test_there_is_always_somebody_who_serves(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    """Everything moves from one site to another and back while requests go on: none is refused."""
    async with load(asker.port) as replies:
        for generation in range(1, 9):
            shares = {PANGYO: 10_000, GASAN: 0} if generation % 2 else {PANGYO: 0, GASAN: 10_000}
            wanted = steering(generation, shares)
            assert (await agent.enact(wanted, deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
    assert replies[200] == sum(replies.values()) > 0


async def test_without_steering_nothing_is_changed(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    await serving(asker, dict.fromkeys(ALL, 5), 30)

    async def asked() -> bool:
        try:
            return (await agent.read_back(deadline_ms=DEADLINE_MS)).generation is None
        except Retryable:
            return False

    await until(asked, "HAProxy asks")
    assert dict((await agent.read_back(deadline_ms=DEADLINE_MS)).shares_bp) == {}


async def test_when_the_responder_is_gone_haproxy_keeps_what_it_was_told(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    await apply(agent, 1, PANGYO_DRAINED)
    await serving(asker, {"g1": 6, "g2": 6, "a1": 4, "a2": 4}, 20)
    await agent.close()

    async def asked_in_vain() -> bool:
        return "L4CON" in await asker.cli("show stat")

    await until(asked_in_vain, "HAProxy finds nobody to ask")
    await serving(asker, {"g1": 6, "g2": 6, "a1": 4, "a2": 4}, 20)


async def test_nobody_asks_is_unknown_and_a_write_is_ambiguous(agent: AgentCheckEnactor) -> None:
    result = await agent.enact(steering(1, NOMINAL), deadline_ms=50)
    assert result.outcome is EnactOutcome.AMBIGUOUS
    with pytest.raises(Retryable):
        await agent.read_back(deadline_ms=DEADLINE_MS)


async def test_an_empty_backend_is_refused(agent: AgentCheckEnactor, asker: HaproxyServer) -> None:
    await apply(agent, 1, NOMINAL)
    result = await agent.enact(steering(2, {PANGYO: 0, GASAN: 0, ANYANG: 0}), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED
    assert set(await tally(asker.port, 40)) == set(ALL)


async def test_a_port_for_each_server(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    ports = {name: free_port() for name in ALL}
    listen = AgentListen(host="127.0.0.1", port=0, ports={f"web/{name}": port for name, port in ports.items()})
    async with responder(listen, clock) as agent, haproxy(tmp_path, asking(members, ports), version) as lb:
        await apply(agent, 1, PANGYO_DRAINED)
        await serving(lb, {"g1": 6, "g2": 6, "a1": 4, "a2": 4}, 20)


async def test_a_port_that_is_taken_is_a_permanent_failure(agent: AgentCheckEnactor, clock: WallClock) -> None:
    with pytest.raises(Permanent):
        async with responder(AgentListen(host="127.0.0.1", port=agent.port), clock):
            pass
