"""The controller: fold one event into the state, then reconcile the whole.

`step` is the only way the state ever changes. Absorbing an event only updates beliefs (`core.absorb`); reconciling
(`core.reconcile`) looks at the complete state and derives what should change. Nothing here reacts to a transition, so
a decision that was refused is taken by itself once what stood in its way is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from siteshift.core.absorb import absorb
from siteshift.core.commands import Command, Remember
from siteshift.core.draft import Draft
from siteshift.core.events import Event
from siteshift.core.model.steering import Steering
from siteshift.core.reconcile import reconcile
from siteshift.core.setup import Setup
from siteshift.core.state import ControllerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The new state and what is to be done, in order."""

    state: ControllerState
    commands: tuple[Command, ...] = ()


def initial_state(*, now_ms: int, term: int | None = 1) -> ControllerState:
    """A node that remembers nothing: no steering until there is fresh evidence."""
    nothing = Steering(generation=0, term=term or 0, decided_at_ms=now_ms, services=())
    return ControllerState(started_ms=now_ms, steering=nothing, term=term)


def step(state: ControllerState, event: Event, setup: Setup) -> Decision:
    """Fold one event into the state, then reconcile. Every event in every state is legal."""
    now_ms = max(event.at_ms, state.started_ms)
    draft = Draft(state=state, setup=setup, now_ms=now_ms)
    if not absorb(draft, event) and now_ms < state.wake_at_ms:
        return Decision(state=draft.state, commands=tuple(draft.commands))
    reconcile(draft)
    commands = tuple(draft.commands)
    if draft.remembers:
        commands = (Remember(generation=draft.state.steering.generation), *commands)
    return Decision(state=replace(draft.state, wake_at_ms=draft.wake_at_ms), commands=commands)
