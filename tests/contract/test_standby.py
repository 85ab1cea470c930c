"""The contract of `ports.StandbyDriver`: HAProxy server state, HTTP hook, command hook and the in-memory twin alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.haproxy_server import HaproxyVersion, haproxy, until
from servers.hook_server import hook_server
from servers.web_members import web_members
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.standby import MemoryStandby
from siteshift.adapters.standby.command_hook import CommandHook, CommandHookStandby
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby, HaproxyStandby, StandbyPlace
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.core.model.codes import MemberRole, StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId, ServiceId, SiteId
from siteshift.errors import AdapterError
from siteshift.ports import StandbyDriver

DEADLINE_MS = 15_000
SHORT_MS = 400
DRIVER = DriverId("starter")
GASAN = SiteId("gasan")
MEMBER = Member(
    id=MemberId("web/gasan/g9"),
    service=ServiceId("web"),
    site=GASAN,
    name="g9",
    address="127.0.0.1",
    port=8080,
    capacity_rps=100,
    role=MemberRole.STANDBY,
    standby_driver=DRIVER,
)


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A driver, and what the world does to its member."""

    driver: StandbyDriver
    start_up: Callable[[], Awaitable[None]]
    break_down: Callable[[], Awaitable[None]]
    go_silent: Callable[[], Awaitable[None]]

    async def phase(self) -> StandbyPhase:
        return await self.driver.phase(MEMBER, deadline_ms=DEADLINE_MS)

    async def becomes(self, wanted: StandbyPhase) -> None:
        async def there() -> bool:
            return await self.phase() is wanted

        await until(there, f"the member is {wanted}")


async def memory(stack: AsyncExitStack, folder: Path) -> Starter:
    driver = MemoryStandby(DRIVER, ManualClock(), ready_after_ms=None)

    async def start_up() -> None:
        driver.make_ready(MEMBER.id)

    async def break_down() -> None:
        driver.fail(MEMBER.id)

    async def go_silent() -> None:
        driver.go("gone")

    return Starter(driver=driver, start_up=start_up, break_down=break_down, go_silent=go_silent)


async def haproxy_of_debian(stack: AsyncExitStack, folder: Path) -> Starter:
    return await haproxy_server(stack, folder, HaproxyVersion.DISTRIBUTION)


async def haproxy_2_8(stack: AsyncExitStack, folder: Path) -> Starter:
    return await haproxy_server(stack, folder, HaproxyVersion.LTS_2_8)


async def haproxy_server(stack: AsyncExitStack, folder: Path, version: HaproxyVersion) -> Starter:
    members = await stack.enter_async_context(web_members(("g1", "g9")))
    members["g9"].healthy = False
    check = "check inter 50 rise 2 fall 1"
    sections = (
        f"backend web\n  option httpchk GET /health\n  server g1 127.0.0.1:{members['g1'].port} {check}\n"
        f"  server g9 127.0.0.1:{members['g9'].port} {check} disabled\n"
    )
    lb = await stack.enter_async_context(haproxy(folder, sections, version))

    async def start_up() -> None:
        members["g9"].healthy = True

    async def break_down() -> None:
        members["g9"].healthy = False

    async def go_silent() -> None:
        lb.freeze()

    place = StandbyPlace(member=MEMBER.id, backend="web", server="g9")
    driver = HaproxyServerStandby(HaproxyStandby(id=DRIVER, addresses=(lb.address,), places=(place,)))
    return Starter(driver=driver, start_up=start_up, break_down=break_down, go_silent=go_silent)


async def http_hook(stack: AsyncExitStack, folder: Path) -> Starter:
    server = await stack.enter_async_context(hook_server())
    url = f"http://127.0.0.1:{server.port}"
    hook = HttpHook(
        id=DRIVER,
        activate_url=url + "/activate/{name}",
        retire_url=url + "/retire/{name}",
        phase_url=url + "/phase/{name}",
    )
    driver = HttpHookStandby(hook)
    stack.push_async_callback(driver.close)

    async def start_up() -> None:
        server.phase = "ready"

    async def break_down() -> None:
        server.phase = "failed"

    async def go_silent() -> None:
        server.hang = True

    return Starter(driver=driver, start_up=start_up, break_down=break_down, go_silent=go_silent)


SCRIPT = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
[ -e silent ] && exec sleep 600
case "$1" in
  activate) [ -e up ] || touch up ;;
  retire) rm -f up ready broken ;;
  phase)
    [ -e up ] || exit 3
    [ -e broken ] && exit 1
    [ -e ready ] && exit 0
    exit 75 ;;
esac
"""


async def command_hook(stack: AsyncExitStack, folder: Path) -> Starter:
    script = folder / "starter"
    script.write_text(SCRIPT)
    script.chmod(0o700)
    argv = str(script)
    hook = CommandHook(
        id=DRIVER,
        activate=(argv, "activate", "{name}"),
        retire=(argv, "retire", "{name}"),
        phase=(argv, "phase", "{name}"),
    )

    async def start_up() -> None:
        (folder / "ready").touch()

    async def break_down() -> None:
        (folder / "broken").touch()

    async def go_silent() -> None:
        (folder / "silent").touch()

    return Starter(driver=CommandHookStandby(hook), start_up=start_up, break_down=break_down, go_silent=go_silent)


@pytest.fixture(params=[memory, haproxy_of_debian, haproxy_2_8, http_hook, command_hook], ids=lambda make: make.__name__)
async def starter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack, tmp_path)


async def activate(starter: Starter) -> None:
    await starter.driver.activate(MEMBER, deadline_ms=DEADLINE_MS)


async def retire(starter: Starter) -> None:
    await starter.driver.retire(MEMBER, deadline_ms=DEADLINE_MS)


async def test_it_has_the_id_it_was_given(starter: Starter) -> None:
    assert starter.driver.id == DRIVER


async def test_a_standby_is_cold_until_somebody_activates_it(starter: Starter) -> None:
    assert await starter.phase() is StandbyPhase.COLD


async def test_an_accepted_start_is_not_readiness(starter: Starter) -> None:
    await activate(starter)
    assert await starter.phase() is StandbyPhase.STARTING
    await starter.start_up()
    await starter.becomes(StandbyPhase.READY)


async def test_activating_again_changes_nothing(starter: Starter) -> None:
    await activate(starter)
    await activate(starter)
    assert await starter.phase() is StandbyPhase.STARTING
    await starter.start_up()
    await starter.becomes(StandbyPhase.READY)
    await activate(starter)
    assert await starter.phase() is StandbyPhase.READY


async def test_retiring_makes_it_cold_however_often(starter: Starter) -> None:
    await retire(starter)
    await activate(starter)
    await starter.start_up()
    await starter.becomes(StandbyPhase.READY)
    await retire(starter)
    assert await starter.phase() is StandbyPhase.COLD
    await retire(starter)
    assert await starter.phase() is StandbyPhase.COLD


async def test_one_that_breaks_after_it_was_ready_has_failed(starter: Starter) -> None:
    await activate(starter)
    await starter.start_up()
    await starter.becomes(StandbyPhase.READY)
    await starter.break_down()
    await starter.becomes(StandbyPhase.FAILED)
    await retire(starter)
    assert await starter.phase() is StandbyPhase.COLD


async def test_silence_is_an_error_at_the_deadline_and_no_phase(starter: Starter) -> None:
    await starter.go_silent()
    with pytest.raises(AdapterError):
        await starter.driver.phase(MEMBER, deadline_ms=SHORT_MS)
    with pytest.raises(AdapterError):
        await starter.driver.activate(MEMBER, deadline_ms=SHORT_MS)
    with pytest.raises(AdapterError) as caught:
        await starter.driver.retire(MEMBER, deadline_ms=SHORT_MS)
    assert caught.value.target in (MEMBER.id, "")
    assert DRIVER in caught.value.system
