"""Nobody is led to a dead site, in whatever way HAProxy remembers them; a drained one still serves who belongs there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy, until
from servers.web_members import GENEROUS_S, Reply, WebMember
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.haproxy.agent_listener import AgentListen
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, PlaneMode, ServerMap
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.targets import plan_backend
from siteshift.core.model.codes import EnactOutcome, MemberRole
from siteshift.core.model.steering import Steering
from siteshift.ports import Enactor

from .planes import ALL, ANYANG, GASAN, PANGYO, WEB, WallClock, global_plane, mapped, steering

DEADLINE_MS = 20_000
NOMINAL = {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
WITHOUT_PANGYO = {PANGYO: 0, GASAN: 6000, ANYANG: 4000}
AT_PANGYO = ("p1", "p2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which HAProxy leads a user to the server it chose before. ``server`` is added to every server line."""

    name: str
    options: tuple[str, ...]
    server: str = ""
    algorithm: Algorithm = Algorithm.DYNAMIC


WAYS = (
    Way(name="cookie", options=("cookie SRV insert indirect",), server="cookie {name}"),
    Way(name="cookie with redispatch", options=("cookie SRV insert", "option redispatch", "retries 3"), server="cookie {name}"),
    Way(
        name="stick table",
        options=("stick-table type string len 32 size 1k", "stick on req.hdr(X-User)"),
    ),
    Way(name="use-server", options=("use-server p1 if { req.hdr(X-User) -m beg user }",)),
    Way(name="hash", options=("balance hdr(X-User)",), algorithm=Algorithm.STATIC),
    Way(name="consistent hash", options=("balance hdr(X-User)", "hash-type consistent")),
    Way(name="kept connection", options=("option prefer-last-server",)),
)
KEEPS_DRAINED = {"cookie", "cookie with redispatch", "stick table", "use-server"}
"""Ways that lead to a drained server as well: the others find another server for who comes."""


class User:
    """A user on one kept connection, with a cookie jar for one cookie and a name of their own."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._cookie = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> Reply:
        async with asyncio.timeout(GENEROUS_S):
            try:
                return await self._ask()
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
                return await self._ask()

    async def _ask(self) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        cookie = f"Cookie: {self._cookie}\r\n" if self._cookie else ""
        writer.write(f"GET / HTTP/1.1\r\nHost: test\r\nX-User: {self._name}\r\n{cookie}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        body = (await reader.readexactly(int(fields.get("content-length", 0)))).decode()
        if "set-cookie" in fields:
            self._cookie = fields["set-cookie"].split(";")[0].replace("srv", "SRV")
        return Reply(int(head[0].split()[1]), body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def sections(members: dict[str, WebMember], way: Way, each: str = "") -> str:
    lines = ["backend web", *(f"  {option}" for option in way.options)]
    for name, one in members.items():
        lines.append(f"  server {name} 127.0.0.1:{one.port} weight 10 {way.server.format(name=name)} {each.format(name=name)}")
    return "\n".join(lines)


def dead(generation: int) -> Steering:
    return steering(generation, WITHOUT_PANGYO, dead_sites=frozenset({PANGYO}))


@asynccontextmanager
async def settled_at_pangyo(lb: HaproxyServer) -> AsyncIterator[User]:
    """A user whom HAProxy serves from pangyo."""
    users = [User(lb.port, f"user{n}") for n in range(40)]
    try:
        served = {user: (await user.ask()).body for user in users}
        yield next(user for user, server in served.items() if server in AT_PANGYO)
    finally:
        for user in users:
            user.close()


async def apply(enactor: Enactor, wanted: Steering) -> None:
    result = await enactor.enact(wanted, deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result.detail


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_nobody_is_led_to_a_dead_site(
    way: Way, members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, sections(members, way), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address, algorithm=way.algorithm), clock)
        await apply(enactor, steering(1, NOMINAL))
        async with settled_at_pangyo(lb) as user:
            for name in AT_PANGYO:
                members[name].status = 500
            assert (await user.ask()).status == 500
            await apply(enactor, dead(2))
            for _ in range(5):
                reply = await user.ask()
                assert (reply.status, reply.body in AT_PANGYO) == (200, False)
        back = await enactor.read_back(deadline_ms=DEADLINE_MS)
        assert (back.generation, back.drifts, back.shares_bp[WEB][PANGYO]) == (2, (), 0), "what we put to maint is no drift"
        anew = HaproxyEnactor(global_plane(lb.address, algorithm=way.algorithm), clock)
        assert (await anew.read_back(deadline_ms=DEADLINE_MS)).drifts == (), "nor is it for who comes later"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_planned_drain_lets_who_belongs_there_finish(
    way: Way, members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """The counterpart, and the negative control: were they drained alone, users of a dead site would stay with it."""
    async with haproxy(tmp_path, sections(members, way), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address, algorithm=way.algorithm), clock)
        await apply(enactor, steering(1, NOMINAL))
        async with settled_at_pangyo(lb) as user:
            await apply(enactor, steering(2, WITHOUT_PANGYO))
            reply = await user.ask()
            assert (reply.body in AT_PANGYO) == (way.name in KEEPS_DRAINED)
            assert reply.status == 200


async def test_a_site_that_dies_after_it_was_drained_is_closed_and_comes_back_ready(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    async with haproxy(tmp_path, sections(members, WAYS[0]), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address), clock)
        await apply(enactor, steering(1, NOMINAL))
        async with settled_at_pangyo(lb) as user:
            await apply(enactor, steering(2, WITHOUT_PANGYO))
            assert (await user.ask()).body in AT_PANGYO
            await apply(enactor, dead(3))
            assert (await user.ask()).body not in AT_PANGYO
            await apply(enactor, steering(4, NOMINAL))
        async with settled_at_pangyo(lb) as user:
            assert (await user.ask()).status == 200
        assert (await lb.cli("show stat")).count(",MAINT,") == 0


@pytest.mark.parametrize("option", ["option persist", "force-persist if { always_true }"])
async def test_forced_persistence_in_the_configuration_overrules_every_state(
    option: str, members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    """Nothing the runtime API offers helps against it: the documents say to leave it out."""
    way = Way(name="persist", options=("cookie SRV insert indirect", option), server="cookie {name}")
    async with haproxy(tmp_path, sections(members, way), version) as lb:
        enactor = HaproxyEnactor(global_plane(lb.address), clock)
        await apply(enactor, steering(1, NOMINAL))
        async with settled_at_pangyo(lb) as user:
            await apply(enactor, dead(2))
            assert (await user.ask()).body in AT_PANGYO


async def test_agent_checks_close_a_dead_site_and_open_it_again(
    members: dict[str, WebMember], tmp_path: Path, clock: WallClock, version: HaproxyVersion
) -> None:
    plane = global_plane("agent", tuple(map(mapped, ALL)), initial_weight=10)
    agent = AgentCheckEnactor(plane, AgentListen(host="127.0.0.1", port=0), clock)
    await agent.start()
    each = f"agent-check agent-inter 50ms agent-addr 127.0.0.1 agent-port {agent.port} agent-send web/{{name}}\\n"

    def where(user: User, at_pangyo: bool) -> Callable[[], Awaitable[bool]]:
        async def is_there() -> bool:
            return ((await user.ask()).body in AT_PANGYO) is at_pangyo

        return is_there

    try:
        async with haproxy(tmp_path, sections(members, WAYS[0], each), version) as lb:
            await apply(agent, steering(1, NOMINAL))
            async with settled_at_pangyo(lb) as user:
                await apply(agent, steering(2, WITHOUT_PANGYO))
                await until(lambda: _has(lb, "DRAIN", 2), "both are drained")
                assert (await user.ask()).body in AT_PANGYO, "a planned drain keeps them"
                await apply(agent, dead(3))
                await until(where(user, at_pangyo=False), "nobody is led there")
                await apply(agent, steering(4, NOMINAL))
                await until(lambda: _has(lb, "MAINT", 0), "all are open again")
            async with settled_at_pangyo(lb) as user:
                assert (await user.ask()).status == 200
    finally:
        await agent.close()


async def _has(lb: HaproxyServer, status: str, servers: int) -> bool:
    return (await lb.cli("show stat -1 4 -1")).count(f",{status}") == servers


UP = ServerState(AdminState.READY, 10, running=True, since_s=0, check_configured=False)


def admin_states(servers: tuple[ServerMap, ...], **plane: object) -> dict[str, AdminState]:
    found = global_plane("unix:/none", servers, **plane)
    plan = plan_backend(found, found.backends[0], dead(1).services[0], {server.server: UP for server in servers})
    assert plan.problem is None
    return {server: target.admin for server, target in plan.targets.items()}


def test_a_tunnel_to_a_dead_site_is_closed_like_its_members() -> None:
    servers = (mapped("g1"), ServerMap(server="to-pangyo", site=PANGYO), ServerMap(server="to-anyang", site=ANYANG))
    found = admin_states(servers, mode=PlaneMode.LOCAL, beside=GASAN)
    assert found == {"g1": AdminState.READY, "to-pangyo": AdminState.MAINT, "to-anyang": AdminState.DRAIN}


def test_a_balancer_beside_the_dead_site_leads_on_and_closes_its_own_members() -> None:
    servers = (*map(mapped, AT_PANGYO), ServerMap(server="to-gasan", site=GASAN))
    found = admin_states(servers, mode=PlaneMode.LOCAL, beside=PANGYO)
    assert found == {"p1": AdminState.MAINT, "p2": AdminState.MAINT, "to-gasan": AdminState.READY}


def test_a_standby_that_is_being_started_at_a_dead_site_is_left_to_its_driver() -> None:
    servers = (mapped("p1", role=MemberRole.STANDBY), mapped("g1"), mapped("a1"))
    plane = global_plane("unix:/none", servers)
    starting = UP._replace(admin=AdminState.DRAIN)
    plan = plan_backend(plane, plane.backends[0], dead(1).services[0], {"p1": starting, "g1": UP, "a1": UP})
    assert plan.targets["p1"].met_by(starting)
    assert not plan.targets["p1"].met_by(UP)


@pytest.mark.parametrize(("shed_servers", "admin"), [((), AdminState.READY), (("sorry",), AdminState.MAINT)])
def test_a_dead_site_stays_open_only_for_what_nothing_else_answers(shed_servers: tuple[str, ...], admin: AdminState) -> None:
    """Were it closed without a shed server, survivors would get what they have no room for."""
    servers = (mapped("p1"), mapped("g1"))
    web = BackendMap(service=WEB, backend="web", servers=servers, shed_servers=shed_servers)
    plane = replace(global_plane("unix:/none"), backends=(web,))
    shares = {PANGYO: 0, GASAN: 7200, ANYANG: 0}
    wanted = steering(1, shares, shed_bp=2800, shed_at=PANGYO, dead_sites=frozenset({PANGYO})).services[0]
    plan = plan_backend(plane, web, wanted, dict.fromkeys(("p1", "g1", *shed_servers), UP))
    assert plan.targets["p1"].admin is admin


def test_a_dead_site_is_not_closed_when_nobody_else_would_serve() -> None:
    servers = (mapped("p1"), mapped("g1"), mapped("a1"))
    plane = global_plane("unix:/none", servers)
    down = UP._replace(running=False)
    plan = plan_backend(plane, plane.backends[0], dead(1).services[0], {"p1": UP, "g1": down, "a1": down})
    assert plan.problem is not None
    assert plan.problem.outcome is EnactOutcome.REFUSED
