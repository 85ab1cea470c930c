"""What haproxy.cfg says of backends and servers that no table of states tells: the algorithm, and who is ``backup``.

It is asked for once in a process's life (``show stat`` is five times as long as the states), when a HAProxy is met that carries
no claim of ours: a process that was started or reloaded has none. Algorithms are shown to ``operator`` and ``admin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.adapters import wire
from siteshift.adapters.haproxy.rows import Table, numbers
from siteshift.adapters.haproxy.runtime_api import TABLE_BYTES, RuntimeApi
from siteshift.adapters.haproxy.server_state import ServersState, ServerState

SHOW_TRAITS = "show stat -1 6 -1"
"""All proxies; backends and servers, all of them."""
COLUMNS = ("pxname", "svname", "algo", "bck")
BACKEND = "BACKEND"
"""In place of a server's name: the row of the backend itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """``algorithms`` by backend, as HAProxy names them; ``backups`` by backend."""

    algorithms: Mapping[str, str] = field(default_factory=dict)
    backups: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def put_into(self, states: ServersState) -> ServersState:
        """The same states, with the servers that are ``backup`` marked."""
        if not self.backups:
            return states
        return {backend: self._marked(self.backups.get(backend), servers) for backend, servers in states.items()}

    def _marked(self, backups: frozenset[str] | None, servers: Mapping[str, ServerState]) -> Mapping[str, ServerState]:
        if backups is None:
            return servers
        return {name: state._replace(is_backup=True) if name in backups else state for name, state in servers.items()}


async def ask(api: RuntimeApi, *, system: str, deadline_ms: int) -> Traits:
    """The traits of every backend. Raises `AdapterError`."""
    (text,) = await api.ask([SHOW_TRAITS], deadline_ms=deadline_ms, at_most_bytes=TABLE_BYTES)
    return await parse(text, system=system)


async def parse(text: str, *, system: str) -> Traits:
    """The traits that the answer tells. Raises `AdapterError` when a column is missing or a row does not fit."""
    table = Table(SHOW_TRAITS, ",", system=system)
    header = text[: max(text.find("\n"), 0)]
    table.header(header, COLUMNS)
    algorithms: dict[str, str] = {}
    backups: dict[str, set[str]] = {}
    try:
        async for rows in table.rows(text, len(header) + 1):
            for backend, server, algorithm, backup in rows:
                if server == BACKEND:
                    algorithms[backend] = algorithm
                elif numbers((backup,))[0]:
                    backups.setdefault(backend, set()).add(server)
    except wire.BadWire as error:
        raise table.odd(str(error)) from error
    return Traits(algorithms=algorithms, backups={backend: frozenset(names) for backend, names in backups.items()})
