"""Connections that members still hold a while after they were drained or taken out (`shutdown_sessions_after_ms`).

HAProxy tells how long a server has been in its state; nothing is timed here. Only what this enactor itself put to
rest is touched. Tunnels and shed servers are left alone: what they hold is served well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siteshift.adapters.haproxy.plane import HaproxyPlane
from siteshift.adapters.haproxy.server_state import AdminState, ServersState
from siteshift.adapters.haproxy.targets import Target

ServerName = tuple[str, str]
"""Backend and server."""


class LingeringSessions:
    """Whose sessions are due to be closed; each resting server is due once."""

    def __init__(self, plane: HaproxyPlane) -> None:
        self._plane = plane
        self._closed: set[ServerName] = set()

    def due(self, states: ServersState, written: Mapping[str, Mapping[str, Target]]) -> Sequence[ServerName]:
        """Members that were at rest long enough, and shall stay so under what was written."""
        after_ms = self._plane.shutdown_sessions_after_ms
        if after_ms is None:
            return ()
        resting: dict[ServerName, int] = {}
        for backend in self._plane.backends:
            present = states.get(backend.backend, {})
            targets = written.get(backend.backend, {})
            for mapped in backend.servers:
                state, target = present.get(mapped.server), targets.get(mapped.server)
                if mapped.member is None or state is None or target is None:
                    continue
                if AdminState.READY not in (state.admin, target.admin):
                    resting[backend.backend, mapped.server] = state.since_s * 1000
        self._closed &= resting.keys()
        return [name for name, for_ms in resting.items() if for_ms >= after_ms and name not in self._closed]

    def closed(self, servers: Sequence[ServerName]) -> None:
        """Remember that these were closed, until they serve again."""
        self._closed.update(servers)
