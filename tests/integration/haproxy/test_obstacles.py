"""What no command lifts, or only haproxy.cfg can change: never written against, never counted as done, named with its remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy, until
from servers.web_members import WebMember, get
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Algorithm, HaproxyPlane
from siteshift.adapters.haproxy.server_state import AdminState, Bound, ServerState
from siteshift.adapters.haproxy.targets import plan_backend
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby, HaproxyStandby, StandbyPlace
from siteshift.core.model.codes import EnactOutcome, MemberRole, StandbyPhase
from siteshift.core.model.steering import Obstacle
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId
from siteshift.errors import Permanent

from .planes import GASAN, PANGYO, WEB, WallClock, global_plane, mapped, member, steering

DEADLINE_MS = 10_000
PAIR = ("p1", "g1")
TO_GASAN = {PANGYO: 0, GASAN: 10_000}
BOTH = {PANGYO: 6_000, GASAN: 4_000}


def plane_of(lb: HaproxyServer, servers: tuple[str, ...] = PAIR, **more: object) -> HaproxyPlane:
    return global_plane(lb.address, tuple(map(mapped, servers)), **more)


def sections(members: dict[str, WebMember], *lines: str) -> str:
    """``{name}`` in a line: the address of that member."""
    addresses = {name: f"127.0.0.1:{found.port}" for name, found in members.items()}
    return "\n".join(("backend web", *(f"  {line.format(**addresses)}" for line in lines))) + "\n"


async def served_by(lb: HaproxyServer, requests: int = 20) -> set[str]:
    replies = [await get(lb.port) for _ in range(requests)]
    assert all(reply.status == 200 for reply in replies)
    return {reply.body for reply in replies}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("set server be_shared/n2 state maint", "in maint with the server it tracks"),
        ("set server be_shared/n2 state drain", "in drain with the server it tracks"),
    ],
)
async def test_nobody_is_sent_to_a_server_that_is_out_with_the_one_it_tracks(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion, command: str, why: str
) -> None:
    own = sections(members, "server p1 {p1} track be_shared/n1", "server g1 {g1} track be_shared/n2")
    tracked = sections(members, "server n1 {p1} check inter 100", "server n2 {g1} check inter 100")
    async with haproxy(tmp_path, own + tracked.replace("backend web", "backend be_shared"), version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        assert (await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        await lb.cli(command)
        await until(lambda: _closed(enactor), "the server that tracks is out as well")
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert back.shares_bp[WEB] == {PANGYO: 10_000, GASAN: 0}, "that is what HAProxy does"
        assert back.drifts == (), "nobody touched what we wrote"
        (found,) = back.obstacles
        assert (found.what, found.text, found.closes) == ("web/g1", why, GASAN)
        assert "state ready" in found.remedy
        result = await enactor.enact(steering(2, TO_GASAN), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.REFUSED
        assert "would be left without a usable server; g1 is " + why in result.detail
        assert await served_by(lb) == {"p1"}, "users stay where they are answered"
        await lb.cli("set server be_shared/n2 state ready")
        await until(lambda: _open(enactor), "it is lifted where it was set")
        assert (await enactor.enact(steering(2, TO_GASAN), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert await served_by(lb) == {"g1"}


async def _closed(enactor: HaproxyEnactor) -> bool:
    return (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB][GASAN] == 0


async def _open(enactor: HaproxyEnactor) -> bool:
    return (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB][GASAN] > 0


async def test_nobody_is_sent_to_a_server_whose_name_does_not_resolve(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    resolvers = "resolvers r\n  nameserver nobody 127.0.0.1:9\n"
    lines = sections(members, "server p1 {p1}", "server g1 gasan.invalid:80 resolvers r init-addr none")
    async with haproxy(tmp_path, lines + resolvers, version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        assert [(found.text, found.closes) for found in (await read(enactor))] == [(Bound.UNRESOLVED.value, GASAN)]
        result = await enactor.enact(steering(1, TO_GASAN), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.REFUSED
        assert "resolvers" in result.detail
        assert await served_by(lb) == {"p1"}


async def read(enactor: HaproxyEnactor) -> tuple[Obstacle, ...]:
    return (await enactor.read_back(deadline_ms=DEADLINE_MS)).obstacles


@pytest.mark.parametrize("word", ["disabled", "# a changed name"])
async def test_a_maint_that_a_command_lifts_is_lifted(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion, word: str
) -> None:
    """``disabled`` in the file leaves 0x04 behind, a changed name 0x40."""
    async with haproxy(tmp_path, sections(members, "server p1 {p1}", f"server g1 {{g1}} {word}"), version) as lb:
        await lb.cli("set server web/g1 fqdn gasan.invalid")
        enactor = HaproxyEnactor(plane_of(lb), clock)
        assert await read(enactor) == ()
        assert (await enactor.enact(steering(1, TO_GASAN), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert await served_by(lb) == {"g1"}


async def test_a_site_whose_servers_are_backup_takes_over_whole_and_shares_nothing(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, sections(members, "server p1 {p1}", "server g1 {g1} backup"), version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert back.shares_bp[WEB] == {PANGYO: 10_000, GASAN: 0}, "a backup gets nothing while another is usable"
        (found,) = back.obstacles
        assert (found.what, found.closes) == ("web/g1", GASAN)
        assert "remove `backup`" in found.remedy
        result = await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED, "no share of a backup can be kept"
        assert "gasan has 4000 bp and no server here that may serve; g1 is `backup`" in result.detail
        assert await served_by(lb) == {"p1"}
        for generation, shares, body in ((2, TO_GASAN, "g1"), (3, {PANGYO: 10_000, GASAN: 0}, "p1")):
            result = await enactor.enact(steering(generation, shares), deadline_ms=DEADLINE_MS)
            assert result.outcome is EnactOutcome.APPLIED
            assert await served_by(lb) == {body}
            back = await enactor.read_back(deadline_ms=DEADLINE_MS)
            assert (back.shares_bp[WEB], back.drifts) == (shares, ())


async def test_a_backup_beside_servers_of_its_site_stays_ready_behind_them(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    lines = sections(members, "server p1 {p1}", "server p2 {p2} backup", "server g1 {g1} weight 10")
    async with haproxy(tmp_path, lines, version) as lb:
        enactor = HaproxyEnactor(plane_of(lb, ("p1", "p2", "g1")), clock)
        assert (await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (back.shares_bp[WEB], back.drifts) == (BOTH, ())
        assert [(found.what, found.closes) for found in back.obstacles] == [("web/p2", None)]
        assert await served_by(lb) == {"p1", "g1"}
        await lb.cli("set server web/p1 state maint;set server web/g1 state maint")
        assert await served_by(lb) == {"p2"}, "it is HAProxy's own last resort"


async def test_a_backup_that_is_not_ours_takes_nothing_from_anybodys_share(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """``server sorry ... backup`` stands in many files."""
    lines = sections(members, "server p1 {p1}", "server g1 {g1}", "server sorry {a1} backup")
    async with haproxy(tmp_path, lines, version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        result = await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)
        assert (result.outcome, "sorry" in result.detail) == (EnactOutcome.APPLIED, False)
        assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).shares_bp[WEB] == BOTH


@pytest.mark.parametrize("balance", ["static-rr", "source", "uri", "hdr(host)", "url_param id"])
async def test_an_algorithm_that_takes_no_weights_is_refused_with_its_remedy(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion, balance: str
) -> None:
    async with haproxy(tmp_path, sections(members, f"balance {balance}", "server p1 {p1}", "server g1 {g1}"), version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        told = [found.remedy for found in await read(enactor)]
        assert ["`algorithm: static`" in remedy for remedy in told] == ([True] if balance == "static-rr" else [])
        result = await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED
        assert "set `algorithm: static`" in result.detail
        static = HaproxyEnactor(plane_of(lb, algorithm=Algorithm.STATIC), clock)
        assert await read(static) == ()
        assert (await static.enact(steering(2, TO_GASAN), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert await served_by(lb) == {"g1"}


@pytest.mark.parametrize("balance", ["leastconn", "random", "source\n  hash-type consistent"])
async def test_an_algorithm_that_takes_weights_is_no_obstacle(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion, balance: str
) -> None:
    async with haproxy(tmp_path, sections(members, f"balance {balance}", "server p1 {p1}", "server g1 {g1}"), version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        assert (await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert await read(enactor) == ()


async def test_an_algorithm_that_ignores_weights_is_named(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, sections(members, "balance first", "server p1 {p1}", "server g1 {g1}"), version) as lb:
        (found,) = await read(HaproxyEnactor(plane_of(lb), clock))
        assert (found.what, found.remedy, found.closes) == ("web", "use `balance roundrobin`", None)


async def test_a_static_server_of_weight_0_is_not_taken_for_one_that_serves(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """HAProxy takes ``weight 100%`` for it, which is 100 % of nothing."""
    lines = sections(members, "balance static-rr", "server p1 {p1}", "server g1 {g1} weight 0")
    async with haproxy(tmp_path, lines, version) as lb:
        enactor = HaproxyEnactor(plane_of(lb, algorithm=Algorithm.STATIC), clock)
        (found,) = await read(enactor)
        assert (found.closes, found.remedy) == (GASAN, "give it a weight there")
        result = await enactor.enact(steering(1, TO_GASAN), deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.FAILED
        assert "weight 0" in result.detail
        assert await served_by(lb) == {"p1"}


async def test_what_the_file_says_is_looked_up_again_after_a_reload(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, sections(members, "server p1 {p1}", "server g1 {g1} backup"), version) as lb:
        enactor = HaproxyEnactor(plane_of(lb), clock)
        assert (await enactor.enact(steering(1, TO_GASAN), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert len(await read(enactor)) == 1
        config = tmp_path / "haproxy.cfg"
        config.write_text(config.read_text().replace(" backup", ""))
        await lb.reload()
        assert await read(enactor) == ()
        assert (await enactor.enact(steering(1, BOTH), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.APPLIED
        assert await served_by(lb) == {"p1", "g1"}


async def test_a_standby_that_is_out_with_what_it_tracks_is_not_started_and_never_ready(
    members: dict[str, WebMember], tmp_path: Path, version: HaproxyVersion
) -> None:
    lines = sections(members, "server p1 {p1}", "server g1 {g1} track be_shared/n2") + (
        f"backend be_shared\n  server n2 127.0.0.1:{members['g1'].port} check inter 100\n"
    )
    async with haproxy(tmp_path, lines, version) as lb:
        await lb.cli("set server be_shared/n2 state maint")
        place = StandbyPlace(member=member("g1"), backend="web", server="g1")
        driver = HaproxyServerStandby(HaproxyStandby(id=DriverId("d"), addresses=(lb.address,), places=(place,)))
        spare = Member(
            id=member("g1"), service=WEB, site=GASAN, name="g1", address="127.0.0.1", port=9, capacity_rps=1,
            role=MemberRole.STANDBY,
        )  # fmt: skip
        with pytest.raises(Permanent, match="put that server in `state ready`"):
            await driver.activate(spare, deadline_ms=DEADLINE_MS)
        assert await driver.phase(spare, deadline_ms=DEADLINE_MS) is not StandbyPhase.READY


def test_servers_that_are_out_for_one_reason_are_named_together_and_a_few_of_them() -> None:
    names = tuple(f"g{number}" for number in range(1, 9))
    plane = global_plane("", (mapped("p1"), *(replace(mapped("g1"), server=name) for name in names)))
    up = ServerState(AdminState.READY, 1, running=True, since_s=0, check_configured=False)
    states = {"p1": up, **dict.fromkeys(names, up._replace(running=False, bound=Bound.MAINT))}
    plan = plan_backend(plane, plane.backends[0], steering(1, TO_GASAN).services[0], states)
    assert plan.problem is not None
    assert plan.problem.detail.count("in maint with the server it tracks") == 5
