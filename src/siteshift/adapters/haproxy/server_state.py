"""``show servers state``, read fast: what HAProxy itself holds about every server.

The format is version 1 (HAProxy 1.8 to 3.x), whose columns are found by name. Admin and operational states are explained in the
management guide, "show servers state".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from siteshift.adapters import wire
from siteshift.adapters.haproxy.rows import HEADER_CHARACTERS, Table, number
from siteshift.adapters.haproxy.runtime_api import TABLE_BYTES, RuntimeApi
from siteshift.errors import Permanent

SHOW_STATE = "show servers state"
FORMAT_VERSION = "1"
VERSION_CHARACTERS = 8
"""Longer than the first line ever was."""
COLUMNS = (
    "be_name",
    "srv_name",
    "srv_op_state",
    "srv_admin_state",
    "srv_uweight",
    "srv_iweight",
    "srv_time_since_last_change",
    "srv_check_state",
)
FORCED_MAINT, FORCED_DRAIN = 0x01, 0x08
"""What ``set server ... state`` sets and lifts. 0x04 only recalls that the config file had ``disabled``, 0x40 that the server's
name was changed by ``set server ... fqdn``."""
INHERITED_MAINT, INHERITED_DRAIN, UNRESOLVED = 0x02, 0x10, 0x20
"""What comes from elsewhere and no command to this server lifts: HAProxy answers ``state ready`` as if it were done."""
OP_STARTING, OP_RUNNING = 1, 2
"""0 is stopped (check-down or maint); 3 is stopping: it gets no new traffic."""
CHECK_CONFIGURED = 0x02
"""Bit of srv_check_state: the server has a health check."""


class AdminState(StrEnum):
    """What a person or siteshift asked of a server; the words are HAProxy's."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


class Bound(StrEnum):
    """What keeps a server out that no command to it lifts, in words."""

    MAINT = "in maint with the server it tracks"
    DRAIN = "in drain with the server it tracks"
    UNRESOLVED = "in maint because its name does not resolve"

    @property
    def remedy(self) -> str:
        """What lifts it."""
        if self is Bound.UNRESOLVED:
            return "mend its `resolvers`, or give it an address"
        return "put that server in `state ready`"


class ServerState(NamedTuple):
    """One server as HAProxy holds it. A named tuple: ten thousand of them are made per read-back.

    ``admin`` is what a command asked for, and ``bound`` what holds it beside that. ``is_backup``: HAProxy sends it nothing as
    long as a server that is no ``backup`` is usable.
    """

    admin: AdminState
    weight: int
    running: bool
    since_s: int
    check_configured: bool
    initial_weight: int = 1
    bound: Bound | None = None
    is_backup: bool = False

    @property
    def usable(self) -> bool:
        """Whether HAProxy would send it new traffic now, if none that goes before it is there."""
        return self.running and self.weight > 0 and self.admin is AdminState.READY and self.bound is None


ServersState = Mapping[str, Mapping[str, ServerState]]
"""By backend and server name."""


def _admin_of(flags: int) -> AdminState:
    if flags & FORCED_MAINT:
        return AdminState.MAINT
    return AdminState.DRAIN if flags & FORCED_DRAIN else AdminState.READY


def _bound_of(flags: int) -> Bound | None:
    if flags & UNRESOLVED:
        return Bound.UNRESOLVED
    if flags & INHERITED_MAINT:
        return Bound.MAINT
    return Bound.DRAIN if flags & INHERITED_DRAIN else None


_ADMIN = {str(flags): (_admin_of(flags), _bound_of(flags)) for flags in range(0x80)}
_RUNNING = {"0": False, str(OP_STARTING): True, str(OP_RUNNING): True, "3": False}


async def ask(api: RuntimeApi, *, deadline_ms: int) -> str:
    """The answer `parse` reads."""
    (text,) = await api.ask([SHOW_STATE], deadline_ms=deadline_ms, at_most_bytes=TABLE_BYTES)
    return text


async def parse(text: str, *, system: str) -> dict[str, dict[str, ServerState]]:
    """Every server of the answer. Raises `AdapterError` for another version of the format, or a row that does not fit."""
    table = Table(SHOW_STATE, " ", system=system)
    version, _, rest = text[: VERSION_CHARACTERS + HEADER_CHARACTERS].partition("\n")
    if version.strip() != FORMAT_VERSION:
        detail = f"not the state format, version {FORMAT_VERSION}: {text[:80]!r}"
        raise Permanent(detail, system=system, operation=SHOW_STATE)
    header = rest.partition("\n")[0]
    table.header(header, COLUMNS)
    states: dict[str, dict[str, ServerState]] = {}
    try:
        async for rows in table.rows(text, len(version) + len(header) + 2):
            _add(states, rows)
    except wire.BadWire as error:
        raise table.odd(str(error)) from error
    except KeyError as error:
        raise table.odd(f"a state this siteshift does not know: {error}") from error
    return states


def _add(states: dict[str, dict[str, ServerState]], rows: Iterable[tuple[str, ...]]) -> None:
    make = ServerState._make
    for backend_name, server, op_state, admin_state, weight, initial_weight, since_s, check_state in rows:
        backend = states.get(backend_name)
        if backend is None:
            backend = states[backend_name] = {}
        admin, bound = _ADMIN[admin_state]
        backend[server] = make(
            (
                admin,
                number(weight),
                _RUNNING[op_state],
                number(since_s),
                number(check_state) & CHECK_CONFIGURED != 0,
                number(initial_weight),
                bound,
                False,
            )
        )
