"""A standby in HAProxy: opened, proven by its health check, served by the enactor, and sent back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyServer, haproxy, until
from servers.web_members import WebMember, tally, web_members
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, ServerMap
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby, HaproxyStandby, StandbyPlace
from siteshift.core.model.codes import EnactOutcome, MemberRole, StandbyPhase
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId
from siteshift.errors import Permanent, Retryable

from .standbys import DEADLINE_MS, DRIVER, MEMBER

WEB, GASAN = ServiceId("web"), MEMBER.site
ACTIVE = MemberId("web/gasan/g1")


@pytest.fixture
async def members() -> AsyncIterator[dict[str, WebMember]]:
    async with web_members(("g1", "g9")) as running:
        yield running


def backend(members: dict[str, WebMember], check: str) -> str:
    return (
        f"backend web\n  option httpchk GET /health\n  server g1 127.0.0.1:{members['g1'].port} {check}\n"
        f"  server g9 127.0.0.1:{members['g9'].port} {check} disabled\n"
    )


@pytest.fixture
async def lb(members: dict[str, WebMember], tmp_path: Path) -> AsyncIterator[HaproxyServer]:
    async with haproxy(tmp_path, backend(members, "check inter 50 rise 2 fall 2")) as server:
        yield server


def plane(lb: HaproxyServer) -> HaproxyPlane:
    servers = (
        ServerMap(server="g1", site=GASAN, member=ACTIVE),
        ServerMap(server="g9", site=GASAN, member=MEMBER.id, role=MemberRole.STANDBY),
    )
    web = BackendMap(service=WEB, backend="web", servers=servers)
    return HaproxyPlane(id=EnactorId("lb"), address=lb.address, backends=(web,))


def standby(*addresses: str) -> HaproxyServerStandby:
    place = StandbyPlace(member=MEMBER.id, backend="web", server="g9")
    return HaproxyServerStandby(HaproxyStandby(id=DRIVER, addresses=addresses, places=(place,)))


def steering(generation: int, *members: MemberId) -> Steering:
    entry = ServiceSteering(service=WEB, shares_bp={GASAN: 10_000}, members_pm=dict.fromkeys(members, 1000), ttl_s=30)
    return Steering(generation=generation, term=1, decided_at_ms=0, services=(entry,))


async def test_from_cold_to_serving_and_back(lb: HaproxyServer, members: dict[str, WebMember]) -> None:
    enactor, driver = HaproxyEnactor(plane(lb), ManualClock()), standby(lb.address)

    async def write(wanted: Steering) -> None:
        result = await enactor.enact(wanted, deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.APPLIED, result.detail

    async def phase() -> StandbyPhase:
        return await driver.phase(MEMBER, deadline_ms=DEADLINE_MS)

    async def ready() -> bool:
        return await phase() is StandbyPhase.READY

    await write(steering(1, ACTIVE))
    assert await phase() is StandbyPhase.COLD
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    await until(ready, "the standby passes its checks")
    await write(steering(1, ACTIVE))
    assert await phase() is StandbyPhase.READY, "asserting the steering again does not close a standby that warms up"
    assert (await enactor.read_back(deadline_ms=DEADLINE_MS)).drifts == ()
    assert set(await tally(lb.port, 10)) == {"g1"}, "ready is not yet open"
    await write(steering(2, ACTIVE, MEMBER.id))
    assert set(await tally(lb.port, 10)) == {"g1", "g9"}
    await write(steering(3, ACTIVE))
    await driver.retire(MEMBER, deadline_ms=DEADLINE_MS)
    assert await phase() is StandbyPhase.COLD
    assert set(await tally(lb.port, 10)) == {"g1"}


async def test_a_sick_standby_stays_starting_and_gets_no_traffic(lb: HaproxyServer, members: dict[str, WebMember]) -> None:
    members["g9"].healthy = False
    driver = standby(lb.address)
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)

    async def checked_thrice() -> bool:
        assert await driver.phase(MEMBER, deadline_ms=DEADLINE_MS) is StandbyPhase.STARTING
        return members["g9"].health_checks >= 3

    await until(checked_thrice, "HAProxy checks the standby")
    assert set(await tally(lb.port, 6)) == {"g1"}


async def test_the_last_usable_server_is_not_retired(lb: HaproxyServer, members: dict[str, WebMember]) -> None:
    driver = standby(lb.address)
    await lb.cli("set server web/g9 state ready;set server web/g1 state maint")
    with pytest.raises(Permanent, match="last usable"):
        await driver.retire(MEMBER, deadline_ms=DEADLINE_MS)
    assert set(await tally(lb.port, 3)) == {"g9"}


async def test_a_server_without_a_health_check_can_prove_nothing(members: dict[str, WebMember], tmp_path: Path) -> None:
    async with haproxy(tmp_path, backend(members, "")) as lb:
        with pytest.raises(Permanent, match="no health check"):
            await standby(lb.address).activate(MEMBER, deadline_ms=DEADLINE_MS)


async def test_a_member_nobody_mapped_is_a_permanent_failure(lb: HaproxyServer) -> None:
    stranger = replace(MEMBER, id=MemberId("web/gasan/nobody"))
    with pytest.raises(Permanent, match="mapped"):
        await standby(lb.address).phase(stranger, deadline_ms=DEADLINE_MS)


async def test_haproxy_gone_is_unknown(lb: HaproxyServer) -> None:
    await lb.stop()
    driver = standby(lb.address)
    for call in (driver.activate, driver.retire, driver.phase):
        with pytest.raises(Retryable):
            await call(MEMBER, deadline_ms=DEADLINE_MS)


async def test_one_haproxy_that_burns_does_not_keep_the_standby_cold(lb: HaproxyServer) -> None:
    driver = standby("unix:/nonexistent/burnt.sock", lb.address)
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)

    async def ready() -> bool:
        return await driver.phase(MEMBER, deadline_ms=DEADLINE_MS) is StandbyPhase.READY

    await until(ready, "the standby passes the checks of the HAProxy that is left")
