"""Drift: mapped servers that differ from what we wrote. A failing health check is not drift, a hand is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from siteshift.adapters.haproxy.fingerprint import of_states
from siteshift.adapters.haproxy.pace import Pace
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane
from siteshift.adapters.haproxy.server_state import AdminState, ServersState, ServerState
from siteshift.adapters.haproxy.targets import Target, mapped_servers
from siteshift.core.model.steering import Drift


async def drifts(plane: HaproxyPlane, written: Mapping[str, Mapping[str, Target]], states: ServersState) -> tuple[Drift, ...]:
    """``written`` is what we know to have written to this very process; empty when we cannot know."""
    pace = Pace()
    found: list[Drift] = []
    for backend in plane.backends:
        found += _of_backend(plane, backend, written.get(backend.backend, {}), states.get(backend.backend, {}))
        await pace.after(len(backend.servers))
    return tuple(found)


async def drifts_since(plane: HaproxyPlane, left: Mapping[str, int], states: ServersState, generation: int) -> tuple[Drift, ...]:
    """The same for what another siteshift wrote, or this one before its restart: it is seen where, not what it was."""
    pace = Pace()
    found: list[Drift] = []
    for backend in plane.backends:
        present = states.get(backend.backend, {})
        if left.get(backend.backend, of_states(plane, backend, present)) != of_states(plane, backend, present):
            wanted = f"as generation {generation} left it"
            found.append(Drift(enactor=plane.id, what=backend.backend, wanted=wanted, found="changed by somebody", ours=True))
        await pace.after(len(backend.servers))
    return tuple(found)


def _of_backend(
    plane: HaproxyPlane, backend: BackendMap, targets: Mapping[str, Target], present: Mapping[str, ServerState]
) -> Iterator[Drift]:
    for server in mapped_servers(backend):
        what = f"{backend.backend}/{server}"
        target, state = targets.get(server), present.get(server)
        if state is None:
            yield Drift(enactor=plane.id, what=what, wanted="a server of this name", found="none", ours=True)
        elif target is not None and not target.met_by(state):
            yield Drift(enactor=plane.id, what=what, wanted=str(target), found=_words(state), ours=True)


def _words(state: ServerState) -> str:
    return f"ready weight {state.weight}" if state.admin is AdminState.READY else state.admin.value
