"""Per cents of the weight in haproxy.cfg, whatever it is: shares are delivered, and nobody's is rounded to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy, until
from servers.web_members import WebMember, tally
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.haproxy.agent_listener import AgentListen
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane, ServerMap
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.targets import plan_backend
from siteshift.adapters.haproxy.weights import WEIGHT_MAX, integer_weights, nearest_weight, per_cent_of
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.units import EnactorId, SiteId
from siteshift.errors import Retryable

from .planes import GASAN, PANGYO, WEB, WallClock, mapped, steering

DEADLINE_MS = 20_000
INITIAL = st.integers(1, WEIGHT_MAX)


def agent_plane(initial_weight: int | None, initial_weights: Mapping[str, int], **more: object) -> HaproxyPlane:
    """One server at each of two sites."""
    web = BackendMap(service=WEB, backend="web", servers=(mapped("p1"), mapped("g1")), initial_weights=initial_weights)
    return HaproxyPlane(
        id=EnactorId("lb-1"), address="", backends=(web,), initial_weight=initial_weight, **more  # type: ignore[arg-type]
    )


def obeyed(weight: int, initial: int) -> int:
    """What HAProxy makes of the per cents that are told for a weight."""
    return min(initial * per_cent_of(weight, initial) // 100, WEIGHT_MAX)


@pytest.mark.parametrize(
    ("weights_in_file", "shares"),
    [
        (("", ""), (60, 40)),
        (("", ""), (97, 3)),
        (("weight 3", "weight 3"), (60, 40)),
        (("weight 10", "weight 10"), (97, 3)),
        (("weight 99", "weight 99"), (50, 50)),
        (("weight 100", "weight 100"), (60, 40)),
        (("weight 256", "weight 256"), (60, 40)),
        (("weight 1", "weight 256"), (60, 40)),
        (("weight 256", "weight 1"), (97, 3)),
        (("weight 200", "weight 50"), (20, 80)),
        (("weight 7", ""), (40, 60)),
    ],
)
async def test_requests_are_divided_by_the_shares_whatever_the_weights_in_the_file(
    weights_in_file: tuple[str, str],
    shares: tuple[int, int],
    members: dict[str, WebMember],
    tmp_path: Path,
    clock: WallClock,
    version: HaproxyVersion,
) -> None:
    p1, g1 = (int(text.partition(" ")[2] or 1) for text in weights_in_file)
    agent = AgentCheckEnactor(
        agent_plane(None if not weights_in_file[1] else g1, {"p1": p1}), AgentListen(host="127.0.0.1", port=0), clock
    )
    await agent.start()
    lines = ["backend web"]
    for name, weight in zip(("p1", "g1"), weights_in_file, strict=True):
        lines.append(
            f"  server {name} 127.0.0.1:{members[name].port} {weight} agent-check agent-inter 50ms agent-addr 127.0.0.1"
            f" agent-port {agent.port} agent-send web/{name}\\n"
        )
    try:
        async with haproxy(tmp_path, "\n".join(lines), version) as lb:
            await until(lambda: _have_asked(agent), "both servers asked")
            wanted = steering(1, {PANGYO: shares[0] * 100, GASAN: shares[1] * 100})
            result = await agent.enact(wanted, deadline_ms=DEADLINE_MS)
            assert (result.outcome, result.detail) == (EnactOutcome.APPLIED, "told")
            told = (await agent.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB]
            await until(lambda: _has_weights(lb, told), "the weights are there")
            counts = await tally(lb.port, 200)
            assert abs(counts.get("g1", 0) - 2 * shares[1]) <= 2, counts
            assert set(counts) == {"p1", "g1"}
    finally:
        await agent.close()


async def _have_asked(agent: AgentCheckEnactor) -> bool:
    """Only servers that have asked are waited for."""
    try:
        return not (await agent.read_back(deadline_ms=DEADLINE_MS)).drifts
    except Retryable:
        return False


async def _weighs(lb: HaproxyServer, wanted: Mapping[str, int]) -> bool:
    rows = [line.split(" ") for line in (await lb.cli("show servers state web")).splitlines()[2:] if line]
    return {row[3]: int(row[7]) for row in rows} == wanted


async def _has_weights(lb: HaproxyServer, told: Mapping[SiteId, int]) -> bool:
    """Whether HAProxy's weights are as `read_back` says: it is told first and obeys a moment later."""
    rows = [line.split(" ") for line in (await lb.cli("show servers state web")).splitlines()[2:] if line]
    weights = {row[3]: int(row[7]) for row in rows}
    return abs(weights["g1"] * 10_000 / sum(weights.values()) - told[GASAN]) <= 1


async def test_a_server_that_does_not_ask_gets_no_more_than_the_file_gives_it(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """Told 3 % and 2 % of their weights, ours were nothing beside the hundred of somebody else: it got 95 % of all requests."""
    agent = AgentCheckEnactor(agent_plane(100, {}), AgentListen(host="127.0.0.1", port=0), clock)
    await agent.start()
    asks = f"weight 100 agent-check agent-inter 50ms agent-addr 127.0.0.1 agent-port {agent.port}"
    lines = [f'  server {name} 127.0.0.1:{members[name].port} {asks} agent-send "web/{name}\\n"' for name in ("p1", "g1")]
    lines.append(f"  server a1 127.0.0.1:{members['a1'].port} weight 100")
    try:
        async with haproxy(tmp_path, "\n".join(["backend web", *lines, ""]), version) as lb:
            await until(lambda: _have_asked(agent), "both servers asked")
            told = await agent.enact(steering(1, {PANGYO: 6_000, GASAN: 4_000}, ("p1", "g1")), deadline_ms=DEADLINE_MS)
            assert told.outcome is EnactOutcome.APPLIED, told.detail
            await until(lambda: _weighs(lb, {"p1": 120, "g1": 80, "a1": 100}), "the weights are there")
            counts = await tally(lb.port, 300)
            assert counts["a1"] <= 102, counts
            assert abs(counts["p1"] - 120) <= 3 and abs(counts["g1"] - 80) <= 3, counts
    finally:
        await agent.close()


@given(weight=st.integers(1, WEIGHT_MAX), initial=INITIAL)
def test_every_weight_that_is_told_is_obeyed_exactly(weight: int, initial: int) -> None:
    had = nearest_weight(weight, initial)
    assert 1 <= had <= WEIGHT_MAX
    assert obeyed(had, initial) == had


@given(weight=st.integers(1, WEIGHT_MAX), initial=st.integers(1, 100))
def test_an_initial_weight_up_to_100_has_every_weight(weight: int, initial: int) -> None:
    assert nearest_weight(weight, initial) == weight


@given(parts=st.lists(st.integers(1, 100), min_size=2, max_size=5), data=st.data())
def test_shares_are_kept_within_a_per_cent_and_nobody_gets_nothing(parts: list[int], data: st.DataObject) -> None:
    fractions = {f"s{n}": float(part) for n, part in enumerate(parts)}
    initial = {name: data.draw(INITIAL) for name in fractions}
    weights = integer_weights(fractions, [[name] for name in fractions], initial)
    told = {name: obeyed(weight, initial[name]) for name, weight in weights.items()}
    assert all(told.values())
    for name, part in fractions.items():
        assert abs(told[name] / sum(told.values()) - part / sum(parts)) <= 0.01


@pytest.mark.parametrize(
    ("plane", "remedy"),
    [
        (agent_plane(1, {}), ""),
        (agent_plane(256, {}), ""),
        (agent_plane(1, {}, algorithm=Algorithm.STATIC), "use a dynamic one such as roundrobin"),
        (agent_plane(None, {}, algorithm=Algorithm.STATIC), "use a dynamic one such as roundrobin"),
    ],
)
def test_a_share_that_no_weight_can_say_is_told_with_the_remedy(plane: HaproxyPlane, remedy: str) -> None:
    up = ServerState(AdminState.READY, 1, running=True, since_s=0, check_configured=False)
    wanted = steering(1, {PANGYO: 9_700, GASAN: 300}).services[0]
    plan = plan_backend(plane, plane.backends[0], wanted, {"p1": up, "g1": up})
    assert remedy in plan.note
    assert plan.note.startswith("web: pangyo gets 50 % instead of 97 %") == bool(remedy) == bool(plan.note)


@pytest.mark.parametrize(
    ("initial", "remedy"), [(1, "give them `weight 100`"), (None, "divide the share among fewer or stronger servers")]
)
def test_servers_too_many_for_a_small_share_are_told_with_the_remedy(initial: int | None, remedy: str) -> None:
    """A hundred servers with 1 each against one with 256: the least they can have together is a third, not a tenth."""
    many = tuple(ServerMap(server=f"g{n}", site=GASAN) for n in range(100))
    web = BackendMap(service=WEB, backend="web", servers=(mapped("p1"), *many))
    plane = HaproxyPlane(id=EnactorId("lb-1"), address="", backends=(web,), initial_weight=initial)
    up = ServerState(AdminState.READY, 1, running=True, since_s=0, check_configured=False)
    wanted = steering(1, {PANGYO: 9_000, GASAN: 1_000}).services[0]
    plan = plan_backend(plane, web, wanted, {server.server: up for server in web.servers})
    assert {plan.targets[server.server].weight for server in many} == {1}, "the smallest, never 0"
    assert remedy in plan.note
