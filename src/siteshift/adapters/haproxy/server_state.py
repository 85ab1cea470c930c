"""``show servers state``, read fast: what HAProxy itself holds about every server.

The columns are those of version 1 of the format (HAProxy 1.8 to 3.x). Admin and operational states are explained in the
management guide, "show servers state".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from siteshift.adapters.haproxy.pace import SLICE, Pace
from siteshift.errors import Permanent

MAINT_BITS = 0x01 | 0x02 | 0x20 | 0x40
"""Forced, inherited, by DNS resolution, by host name. 0x04 only recalls that the config file had ``disabled``."""
DRAIN_BITS = 0x08 | 0x10
"""Forced and inherited."""
OP_STARTING, OP_RUNNING = 1, 2
"""0 is stopped (check-down or maint); 3 is stopping: it gets no new traffic."""
CHECK_CONFIGURED = 0x02
"""Bit of srv_check_state: the server has a health check."""
CHECK_PASSED = 3
"""srv_check_result of a check that passed."""


class AdminState(StrEnum):
    """What a person or siteshift asked of a server; the words are HAProxy's."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


class ServerState(NamedTuple):
    """One server as HAProxy holds it. A named tuple: ten thousand of them are made per read-back."""

    admin: AdminState
    weight: int
    running: bool
    since_s: int
    check_result: int
    check_configured: bool

    @property
    def usable(self) -> bool:
        """Whether HAProxy would send it new traffic now."""
        return self.running and self.weight > 0 and self.admin is AdminState.READY


ServersState = Mapping[str, Mapping[str, ServerState]]
"""By backend and server name."""


def _admin_of(flags: int) -> AdminState:
    if flags & MAINT_BITS:
        return AdminState.MAINT
    return AdminState.DRAIN if flags & DRAIN_BITS else AdminState.READY


_ADMIN = {str(flags): _admin_of(flags) for flags in range(0x80)}
_RUNNING = {str(OP_STARTING), str(OP_RUNNING)}


async def parse(text: str, *, system: str) -> dict[str, dict[str, ServerState]]:
    """Every server of the answer. Raises `Permanent` for another version of the format."""
    lines = text.split("\n")
    if lines[0] != "1" or len(lines) < 2 or not lines[1].startswith("# be_id be_name srv_id srv_name"):
        detail = f"not the state format, version 1: {' '.join(lines[:2])[:120]!r}"
        raise Permanent(detail, system=system, operation="show servers state")
    states: dict[str, dict[str, ServerState]] = {}
    pace = Pace()
    for start in range(2, len(lines), SLICE):
        _add(states, lines[start : start + SLICE])
        await pace.after(SLICE)
    return states


def _add(states: dict[str, dict[str, ServerState]], lines: Iterable[str]) -> None:
    make = ServerState._make
    for line in lines:
        if not line:
            continue
        field = line.split(" ", 14)
        backend = states.get(field[1])
        if backend is None:
            backend = states[field[1]] = {}
        backend[field[3]] = make(
            (
                _ADMIN[field[6]],
                int(field[7]),
                field[5] in _RUNNING,
                int(field[9]),
                int(field[11]),
                int(field[13]) & CHECK_CONFIGURED != 0,
            )
        )
