"""Makes standby drivers, and joins those that stand before several HAProxies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_never

from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, ServerMap
from siteshift.adapters.standby.command_hook import CommandHook, CommandHookStandby
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.config.setups import CommandHookSetup, DriverSetup, HaproxyServerDriverSetup, HttpHookSetup
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, EnactorId, ServiceId, SiteId
from siteshift.ports import StandbyDriver

_LEAST_READY = (StandbyPhase.FAILED, StandbyPhase.COLD, StandbyPhase.STARTING, StandbyPhase.READY)


def make_driver(setup: DriverSetup) -> StandbyDriver:
    """One standby driver. Raises `SecretUnavailable` when its token cannot be read."""
    match setup:
        case HaproxyServerDriverSetup():
            made = [HaproxyServerStandby(setup.id, _plane(setup, address)) for address in setup.addresses]
            return made[0] if len(made) == 1 else EveryDriver(setup.id, made)
        case HttpHookSetup():
            headers = dict(setup.headers)
            if setup.token is not None:
                headers["Authorization"] = f"Bearer {setup.token.resolve()}"
            hook = HttpHook(
                id=setup.id,
                activate_url=setup.activate_url,
                retire_url=setup.retire_url,
                phase_url=setup.phase_url,
                headers=headers,
            )
            return HttpHookStandby(hook)
        case CommandHookSetup():
            command = CommandHook(id=setup.id, activate=setup.activate, retire=setup.retire, phase=setup.phase)
            return CommandHookStandby(command)
        case _:
            assert_never(setup)


def _plane(setup: HaproxyServerDriverSetup, address: str) -> HaproxyPlane:
    """The HAProxy at one address, as far as the standbys go: only names count here."""
    backends: dict[str, list[ServerMap]] = {}
    for entry in setup.servers:
        _, site, _ = entry.member.split("/", 2)
        backends.setdefault(entry.backend, []).append(
            ServerMap(server=entry.server, site=SiteId(site), member=entry.member)
        )
    return HaproxyPlane(
        id=EnactorId(f"{setup.id} {address}"),
        address=address,
        backends=tuple(
            BackendMap(service=ServiceId(backend), backend=backend, servers=tuple(servers))
            for backend, servers in backends.items()
        ),
    )


class EveryDriver:
    """A member that stands behind several load balancers: it is ready when it is ready at all of them."""

    def __init__(self, driver: DriverId, drivers: Sequence[StandbyDriver]) -> None:
        self._id = driver
        self._drivers = drivers

    @property
    def id(self) -> DriverId:
        return self._id

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        await asyncio.gather(*(driver.activate(member, deadline_ms=deadline_ms) for driver in self._drivers))

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        await asyncio.gather(*(driver.retire(member, deadline_ms=deadline_ms) for driver in self._drivers))

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        phases = await asyncio.gather(*(driver.phase(member, deadline_ms=deadline_ms) for driver in self._drivers))
        return min(phases, key=_LEAST_READY.index)
