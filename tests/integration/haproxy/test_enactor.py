"""A real HAProxy does what the steering says, and says what it does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy, until
from servers.web_members import WebMember, get, load, tally
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Algorithm, PlaneMode, ServerMap
from siteshift.core.model.codes import EnactOutcome, MemberRole
from siteshift.core.model.steering import Steering

from .planes import ALL, ANYANG, GASAN, PANGYO, WEB, WallClock, backend, global_plane, mapped, steering

DEADLINE_MS = 10_000
NOMINAL = {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
PANGYO_DRAINED = {PANGYO: 0, GASAN: 6000, ANYANG: 4000}


async def apply(enactor: HaproxyEnactor, wanted: Steering) -> str:
    """Enact and insist; the answer is the detail."""
    result = await enactor.enact(wanted, deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result.detail
    return result.detail


def near(counts: dict[str, int], wanted: dict[str, int]) -> bool:
    """Round robin over two threads may be one or two off at any moment; nobody else serves, nobody is left out."""
    return counts.keys() == wanted.keys() and all(abs(counts[name] - wanted[name]) <= 2 for name in wanted)


async def test_weights_deliver_the_shares_to_real_requests(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    counts = await tally(lb.port, 200)
    assert near(counts, {"p1": 50, "p2": 50, "g1": 30, "g2": 30, "a1": 20, "a2": 20})
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.generation == 1
    assert back.shares_bp[WEB] == NOMINAL == enactor.expected_shares_bp(steering(1, NOMINAL))[WEB]
    assert back.drifts == ()


async def test_the_same_over_tcp(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(f"127.0.0.1:{lb.tcp_port}"), clock)
    await apply(enactor, steering(3, PANGYO_DRAINED))
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == PANGYO_DRAINED


async def test_a_share_is_divided_by_capacity_and_goodput(lb: HaproxyServer, clock: WallClock) -> None:
    servers = tuple(mapped(name, capacity_rps=300 if name == "p1" else 100) for name in ALL)
    enactor = HaproxyEnactor(global_plane(lb.address, servers), clock)
    goodput = {"p1": 1000, "p2": 1000, "g1": 500, "g2": 1000, "a1": 1000}
    await apply(enactor, steering(1, {PANGYO: 4000, GASAN: 3000, ANYANG: 3000}, goodput))
    counts = await tally(lb.port, 200)
    assert near(counts, {"p1": 60, "p2": 20, "g1": 20, "g2": 40, "a1": 60})
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    found = {member.rsplit("/", 1)[-1]: bp for member, bp in back.members_bp.items()}
    assert all(abs(found[name] - 50 * counts.get(name, 0)) <= 100 for name in ALL), (found, counts)


async def test_only_differences_are_sent(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    assert (await apply(enactor, steering(2, NOMINAL))).startswith("0 changes")
    await lb.cli("set server web/p1 weight 7")
    assert (await apply(enactor, steering(2, NOMINAL))).startswith("1 changes")


async def test_a_drain_lets_requests_in_flight_finish(lb: HaproxyServer, members: dict[str, WebMember], clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, {PANGYO: 10_000, GASAN: 0, ANYANG: 0}, ("p1", "g1", "a1")))
    slow = asyncio.create_task(get(lb.port, "/slow"))
    await asyncio.wait_for(members["p1"].arrived.wait(), 20)
    await apply(enactor, steering(2, PANGYO_DRAINED))
    assert set(await tally(lb.port, 20)) == {"g1", "g2", "a1", "a2"}
    members["p1"].gate.set()
    assert (await slow).body == "p1"
    state = (await lb.cli("show servers state web")).splitlines()
    assert [line.split()[6] for line in state if " p1 " in line] == ["8"], "alive and drained is drain, not maint"


async def test_a_dead_member_is_put_in_maint(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, PANGYO_DRAINED, ("p2", "g1", "g2", "a1", "a2")))
    states = {line.split()[3]: line.split()[6] for line in (await lb.cli("show servers state web")).splitlines()[2:-1]}
    assert states == {"p1": "1", "p2": "8", "g1": "0", "g2": "0", "a1": "0", "a2": "0"}


async def test_an_older_generation_is_refused_by_haproxy_itself(lb: HaproxyServer, clock: WallClock) -> None:
    await apply(HaproxyEnactor(global_plane(lb.address), clock), steering(5, NOMINAL))
    another = HaproxyEnactor(global_plane(lb.address), clock)
    result = await another.enact(steering(4, PANGYO_DRAINED), deadline_ms=DEADLINE_MS)
    assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 5)
    back = await another.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.shares_bp[WEB]) == (5, NOMINAL)


@pytest.mark.parametrize("fence", ["variable", "beside"])
async def test_a_restart_in_mid_drain_is_noticed_and_put_right(lb: HaproxyServer, clock: WallClock, fence: str) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address, fence=fence), clock)
    await apply(enactor, steering(7, PANGYO_DRAINED))
    await lb.restart()
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.generation is None
    assert back.shares_bp[WEB][PANGYO] > 0, "HAProxy serves what its file says"
    assert back.drifts == (), "forgotten, not edited"
    await apply(enactor, steering(7, PANGYO_DRAINED))
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.shares_bp[WEB]) == (7, PANGYO_DRAINED)


async def test_the_fence_beside_refuses_older_generations(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address, fence="beside"), clock)
    await apply(enactor, steering(7, NOMINAL))
    result = await enactor.enact(steering(6, PANGYO_DRAINED), deadline_ms=DEADLINE_MS)
    assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 7)


async def test_a_write_cut_off_half_way_leaves_no_generation(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    await lb.cli("experimental-mode on;set var proc.siteshift_lb_1_claim,iflt int(2);set server web/p1 weight 1")
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation is None
    await apply(enactor, steering(2, NOMINAL))
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation == 2


async def test_a_newer_writer_that_died_half_way_can_be_numbered_past(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await lb.cli("experimental-mode on;set var proc.siteshift_lb_1_claim int(9)")
    result = await enactor.enact(steering(7, NOMINAL), deadline_ms=DEADLINE_MS)
    assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 9)
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation == 9
    await apply(enactor, steering(10, NOMINAL))
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation == 10


async def test_a_server_edited_by_hand_is_drift(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    await lb.cli("set server web/g1 weight 77;set server web/p1 state maint")
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.generation == 1
    found = {drift.what: (drift.wanted.split()[0], drift.found, drift.ours) for drift in back.drifts}
    assert found == {"web/g1": ("ready", "ready weight 77", True), "web/p1": ("ready", "maint", True)}
    assert back.shares_bp[WEB][PANGYO] < 5000


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_what_was_edited_while_siteshift_was_away_is_drift(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, algorithm: Algorithm, version: HaproxyVersion
) -> None:
    """A node that starts anew has no memory of what it wrote; HAProxy keeps a fingerprint of it."""
    balance = "balance static-rr" if algorithm is Algorithm.STATIC else "balance roundrobin"
    servers = tuple(mapped(n, role=MemberRole.STANDBY if n == "g2" else MemberRole.ACTIVE) for n in ALL)
    async with haproxy(tmp_path, backend(members, "web", balance), version) as lb:
        plane = global_plane(lb.address, servers, algorithm=algorithm)
        await apply(HaproxyEnactor(plane, clock), steering(4, PANGYO_DRAINED, ("p1", "g1", "a1", "a2")))
        anew = HaproxyEnactor(plane, clock)
        back = await anew.read_back(deadline_ms=DEADLINE_MS)
        assert (back.generation, back.drifts) == (4, ())
        await lb.cli("set server web/g2 state drain")
        assert (await anew.read_back(deadline_ms=DEADLINE_MS)).drifts == (), "its driver warms a standby"
        await lb.cli("set server web/p1 state ready")
        (drift,) = (await anew.read_back(deadline_ms=DEADLINE_MS)).drifts
        assert (drift.what, drift.ours) == ("web", True)
        await apply(anew, steering(5, PANGYO_DRAINED, ("p1", "g1", "a1", "a2")))
        assert (await HaproxyEnactor(plane, clock).read_back(deadline_ms=DEADLINE_MS)).drifts == ()


async def test_unmapped_servers_are_nobodys_business(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address, tuple(map(mapped, ("p1", "g1")))), clock)
    await apply(enactor, steering(1, {PANGYO: 5000, GASAN: 5000}))
    await lb.cli("set server web/a1 state maint")
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.drifts == ()
    assert back.shares_bp[WEB] == {PANGYO: 5000, GASAN: 5000}


def share_of(lb_answer: str, servers: tuple[str, ...]) -> float:
    """The part of the backend's weight that these servers have, in the answer to ``show servers state``."""
    rows = [line.split() for line in lb_answer.splitlines()[2:] if line]
    weight = {row[3]: int(row[7]) if row[6] == "0" else 0 for row in rows}
    return sum(weight[name] for name in servers) / sum(weight.values())


async def test_servers_that_are_not_in_the_configuration_get_no_more_than_before(lb: HaproxyServer, clock: WallClock) -> None:
    """Small weights for ours would be large shares for theirs: 5, 3 and 2 beside a 10 of somebody else."""
    enactor = HaproxyEnactor(global_plane(lb.address, tuple(map(mapped, ("p1", "p2", "g1", "g2")))), clock)
    before = share_of(await lb.cli("show servers state web"), ("a1", "a2"))
    for generation, pangyo_bp in enumerate((5_000, 10_000, 6_667, 1, 9_999, 5_000), 1):
        wanted = steering(generation, {PANGYO: pangyo_bp, GASAN: 10_000 - pangyo_bp})
        detail = await apply(enactor, wanted)
        assert "not in the configuration: a1, a2" in detail
        assert share_of(await lb.cli("show servers state web"), ("a1", "a2")) <= before
        assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp == enactor.expected_shares_bp(wanted)
        assert (await apply(enactor, wanted)).startswith("0 changes"), "one write is enough"


async def test_a_site_that_leaves_the_configuration_gets_no_more_than_before(lb: HaproxyServer, clock: WallClock) -> None:
    """A share of 18 % became one of 89 %: weights of 161 and 28 were written anew as 3 and 2, and its own stayed at 41."""
    await apply(HaproxyEnactor(global_plane(lb.address), clock), steering(1, {PANGYO: 6_999, GASAN: 1_783, ANYANG: 1_218}))
    without = tuple(mapped(name) for name in ALL if name[0] != "g")
    before = share_of(await lb.cli("show servers state web"), ("g1", "g2"))
    detail = await apply(HaproxyEnactor(global_plane(lb.address, without), clock), steering(2, {PANGYO: 6_000, ANYANG: 4_000}))
    after = share_of(await lb.cli("show servers state web"), ("g1", "g2"))
    assert 0 < after <= before < 0.18
    assert "web: not in the configuration: g1, g2, which get 18 %" in detail


async def test_a_failing_health_check_changes_what_is_actual_but_is_no_drift(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    sections = backend(members, "web", "option httpchk GET /health", extra="check inter 100 fall 1 rise 1")
    async with haproxy(tmp_path, sections, version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address), clock)
        await apply(enactor, steering(1, NOMINAL))
        members["p1"].healthy = members["p2"].healthy = False

        async def pangyo_is_out() -> bool:
            back = await enactor.read_back(deadline_ms=DEADLINE_MS)
            assert back.drifts == ()
            assert back.generation == 1
            return back.shares_bp[WEB] == {PANGYO: 0, GASAN: 6000, ANYANG: 4000}

        await until(pangyo_is_out, "HAProxy's own checks take pangyo out")


async def test_an_empty_backend_is_refused_and_left_as_it_is(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    result = await enactor.enact(steering(2, {PANGYO: 0, GASAN: 0, ANYANG: 0}), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.REFUSED
    assert "web" in result.detail
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.shares_bp[WEB] == NOMINAL
    assert back.generation is None, "generation 2 is claimed, not written"


async def test_moving_everything_to_servers_that_haproxy_sees_down_is_refused(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    members["g1"].healthy = members["g2"].healthy = False
    sections = backend(members, "web", "option httpchk GET /health", extra="check inter 100 fall 1 rise 1")
    async with haproxy(tmp_path, sections, version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address), clock)

        async def gasan_is_out() -> bool:
            return (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB][GASAN] == 0

        await until(gasan_is_out, "HAProxy sees gasan down")
        result = await enactor.enact(steering(1, {PANGYO: 0, GASAN: 10_000, ANYANG: 0}), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.REFUSED
        assert (await get(lb.port)).status == 200


async def test_a_share_that_no_server_here_can_carry_fails_and_is_not_pushed_upon_others(
    lb: HaproxyServer, clock: WallClock
) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, NOMINAL))
    result = await enactor.enact(steering(2, PANGYO_DRAINED, ("p1", "p2", "g1", "g2")), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.FAILED
    assert "anyang" in result.detail
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == NOMINAL


async def test_a_mapped_server_that_haproxy_lacks_is_told_and_the_rest_is_written(lb: HaproxyServer, clock: WallClock) -> None:
    servers = (*map(mapped, ALL), mapped("p9"))
    enactor = HaproxyEnactor(global_plane(lb.address, servers), clock)
    assert "web/p9" in await apply(enactor, steering(1, NOMINAL, (*ALL, "p9")))
    back = await enactor.read_back(deadline_ms=DEADLINE_MS)
    assert back.shares_bp[WEB] == NOMINAL
    assert [(drift.what, drift.found) for drift in back.drifts] == [("web/p9", "none")]


async def test_a_static_algorithm_gets_ready_and_drain_only(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, backend(members, "web", "balance static-rr"), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address, algorithm=Algorithm.STATIC), clock)
        await apply(enactor, steering(1, PANGYO_DRAINED))
        assert near(await tally(lb.port, 40), {"g1": 10, "g2": 10, "a1": 10, "a2": 10})
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (back.generation, back.drifts) == (1, ())
        assert back.shares_bp == enactor.expected_shares_bp(steering(1, PANGYO_DRAINED))


async def test_weights_for_a_static_algorithm_fail_in_haproxys_words(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, backend(members, "web", "balance static-rr"), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address), clock)
        result = await enactor.enact(steering(1, PANGYO_DRAINED), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED
        assert "static LB algorithm" in result.detail
        assert set(await tally(lb.port, 12)) == set(ALL), "what cannot be weighed is not narrowed"


async def test_what_still_comes_to_a_drained_site_is_tunnelled(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    tunnels = (ServerMap(server="g1", site=GASAN), ServerMap(server="a1", site=ANYANG))
    async with haproxy(tmp_path, backend({n: members[n] for n in ("p1", "p2", "g1", "a1")}), version) as lb:
        plane = global_plane(lb.address, (mapped("p1"), mapped("p2"), *tunnels), mode=PlaneMode.LOCAL, beside=PANGYO)
        enactor = HaproxyEnactor(plane, clock)
        await apply(enactor, steering(1, NOMINAL))
        assert near(await tally(lb.port, 20), {"p1": 10, "p2": 10})
        await apply(enactor, steering(2, PANGYO_DRAINED))
        assert near(await tally(lb.port, 20), {"g1": 12, "a1": 8})
        assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == PANGYO_DRAINED
        dead = steering(3, NOMINAL, ("g1", "g2", "a1", "a2"))
        await apply(enactor, dead)
        assert near(await tally(lb.port, 10), {"g1": 6, "a1": 4}), "no local member may serve: tunnelled as well"
        await apply(enactor, steering(4, NOMINAL))
        assert near(await tally(lb.port, 20), {"p1": 10, "p2": 10})


async def test_shed_demand_goes_to_the_shed_server(members: dict[str, WebMember], lb: HaproxyServer, clock: WallClock) -> None:
    plane = global_plane(lb.address, tuple(map(mapped, ("p1", "p2", "g1", "g2"))))
    web = replace(plane.backends[0], shed_servers=("a1", "a2"))
    enactor = HaproxyEnactor(replace(plane, backends=(web,)), clock)
    short = steering(1, {PANGYO: 0, GASAN: 6000}, shed_bp=4000, shed_at=PANGYO)
    await apply(enactor, short)
    assert near(await tally(lb.port, 20), {"g1": 6, "g2": 6, "a1": 4, "a2": 4})
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == {PANGYO: 0, GASAN: 6000}
    await apply(enactor, steering(2, {PANGYO: 5000, GASAN: 5000}))
    assert near(await tally(lb.port, 20), {"p1": 5, "p2": 5, "g1": 5, "g2": 5})


async def test_a_standby_rests_in_maint_or_where_its_driver_put_it(lb: HaproxyServer, clock: WallClock) -> None:
    servers = tuple(mapped(n, role=MemberRole.STANDBY if n == "g2" else MemberRole.ACTIVE) for n in ALL)
    enactor = HaproxyEnactor(global_plane(lb.address, servers), clock)
    active = ("p1", "p2", "g1", "a1", "a2")
    await apply(enactor, steering(1, NOMINAL, active))
    assert "g2" not in await tally(lb.port, 20)
    await lb.cli("set server web/g2 state drain")
    assert (await apply(enactor, steering(2, NOMINAL, active))).startswith("0 changes")
    await apply(enactor, steering(3, NOMINAL))
    assert "g2" in await tally(lb.port, 20)
    await apply(enactor, steering(4, NOMINAL, active))
    assert "g2" not in await tally(lb.port, 20)


async def test_sessions_of_a_drained_member_end_after_a_time(
    lb: HaproxyServer, members: dict[str, WebMember], clock: WallClock
) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address, shutdown_sessions_after_ms=1000), clock)
    await apply(enactor, steering(1, {PANGYO: 10_000, GASAN: 0, ANYANG: 0}, ("p1", "g1", "a1")))
    pinned = asyncio.create_task(get(lb.port, "/slow"))
    await asyncio.wait_for(members["p1"].arrived.wait(), 20)
    await apply(enactor, steering(2, PANGYO_DRAINED))
    assert not pinned.done()

    async def closed() -> bool:
        assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).generation == 2
        return pinned.done()

    await until(closed, "the pinned request is ended")
    assert (await pinned).body != "p1"


async def test_a_service_that_is_not_in_the_steering_is_left_alone(lb: HaproxyServer, clock: WallClock) -> None:
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    await apply(enactor, steering(1, PANGYO_DRAINED))
    nothing = Steering(generation=2, term=1, decided_at_ms=0, services=())
    assert (await apply(enactor, nothing)).startswith("0 changes")
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == PANGYO_DRAINED


async def test_no_request_is_lost_because_of_our_move(lb: HaproxyServer, clock: WallClock) -> None:
    """All traffic moves between sites, members come and go, while clients keep asking."""
    enactor = HaproxyEnactor(global_plane(lb.address), clock)
    moves = (
        ({PANGYO: 10_000, GASAN: 0, ANYANG: 0}, ALL),
        ({PANGYO: 0, GASAN: 10_000, ANYANG: 0}, ("p1", "g1")),
        ({PANGYO: 0, GASAN: 0, ANYANG: 10_000}, ("a2",)),
        (NOMINAL, ALL),
    )
    async with load(lb.port) as replies:
        for generation in range(40):
            shares, members = moves[generation % len(moves)]
            await apply(enactor, steering(generation + 1, shares, members))
    assert replies[200] == sum(replies.values()) > 0
