"""Makes standby drivers."""

from __future__ import annotations

from typing import assert_never

from siteshift.adapters.standby.command_hook import CommandHook, CommandHookStandby
from siteshift.adapters.standby.haproxy_server import HaproxyServerStandby, HaproxyStandby, StandbyPlace
from siteshift.adapters.standby.http_hook import HttpHook, HttpHookStandby
from siteshift.config.setups import CommandHookSetup, DriverSetup, HaproxyServerDriverSetup, HttpHookSetup

Driver = HaproxyServerStandby | HttpHookStandby | CommandHookStandby


def make_driver(setup: DriverSetup) -> Driver:
    """One standby driver. Raises `SecretUnavailable` when its token cannot be read."""
    match setup:
        case HaproxyServerDriverSetup():
            places = tuple(
                StandbyPlace(member=entry.member, backend=entry.backend, server=entry.server) for entry in setup.servers
            )
            return HaproxyServerStandby(HaproxyStandby(id=setup.id, addresses=setup.addresses, places=places))
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
