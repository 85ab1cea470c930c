"""From targets to the fewest runtime API commands, in the order widen, trim, narrow (law 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siteshift.adapters.haproxy.pace import Pace
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.targets import BackendPlan, Target


@dataclass(slots=True)
class Changes:
    """Commands by backend: ``widen`` opens and raises weights, ``trim`` lowers them, ``narrow`` takes servers out."""

    widen: dict[str, list[str]] = field(default_factory=dict)
    trim: dict[str, list[str]] = field(default_factory=dict)
    narrow: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(commands) for part in (self.widen, self.trim, self.narrow) for commands in part.values())


async def changes(plans: Sequence[BackendPlan], states: Mapping[str, Mapping[str, ServerState]]) -> Changes:
    """Only what differs from ``states`` is written."""
    found = Changes()
    pace = Pace()
    for plan in plans:
        backend = plan.backend.backend
        for server, target in plan.targets.items():
            state = states[backend][server]
            if not target.met_by(state):
                _change(found, backend, server, target, state)
        await pace.after(len(plan.targets))
    return found


def _change(found: Changes, backend: str, server: str, target: Target, state: ServerState) -> None:
    name = f"set server {backend}/{server}"
    if target.admin is not AdminState.READY:
        found.narrow.setdefault(backend, []).append(f"{name} state {target.admin}")
        return
    opens = state.admin is not AdminState.READY
    if target.weight is None and state.weight == 0:
        found.widen.setdefault(backend, []).append(f"{name} weight 100%")
    elif target.weight is not None and target.weight != state.weight:
        grows = opens or target.weight > state.weight
        (found.widen if grows else found.trim).setdefault(backend, []).append(f"{name} weight {target.weight}")
    if opens:
        found.widen.setdefault(backend, []).append(f"{name} state ready")
