"""The controller: fold one event into the state, then reconcile. `step` is the only way the state ever changes.

Absorbing an event only updates beliefs (`core.absorb`); reconciling (`core.reconcile`) looks at the complete state and derives
what should change. Nothing here reacts to a transition, so a decision that was refused is taken by itself once what stood in
its way is gone.

Most events say nothing new. They are absorbed and that is all: the whole is derived again when something changed, when an
instant comes that a decision waits for, or when a vantage has fallen silent. When only a data plane is due to be read,
only the planes are looked after.
"""

from __future__ import annotations

from typing import NamedTuple

from siteshift.core.absorb import absorb
from siteshift.core.messages.commands import Command, Remember
from siteshift.core.messages.events import Event, Ticked
from siteshift.core.model.plan import Step
from siteshift.core.model.setup import Setup
from siteshift.core.notices import tell_ends
from siteshift.core.reconcile import reconcile, tend_planes
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft


class Decision(NamedTuple):
    """The new state and what is to be done, in order. ``is_idle``: nothing was derived, only beliefs were updated.

    ``steps``: the steps taken, in the order of the services. A named tuple, for every event makes one.
    """

    state: ControllerState
    commands: tuple[Command, ...] = ()
    is_idle: bool = False
    steps: tuple[Step, ...] = ()


def step(state: ControllerState, event: Event, setup: Setup) -> Decision:
    """Fold one event into the state, then reconcile. Every event in every state is legal."""
    now_ms = max(event.at_ms, state.started_ms)
    if now_ms < state.wake_at_ms and isinstance(event, Ticked):
        return Decision(state, is_idle=True)
    draft = Draft(state=state, setup=setup, now_ms=now_ms)
    if absorb(draft, event):
        return _think(draft)
    if now_ms < state.wake_at_ms and draft.wake_at_ms >= state.chores_at_ms:
        is_idle = not draft.commands
        return Decision(draft.state, tuple(draft.commands), is_idle)
    silent_at_ms = _silent_at_ms(draft)
    if now_ms >= min(state.rethink_at_ms, silent_at_ms):
        return _think(draft)
    chores_at_ms, is_idle = min(state.chores_at_ms, draft.wake_at_ms), not draft.commands
    if now_ms >= chores_at_ms:
        draft.wake_at_ms = NEVER_MS
        tend_planes(draft)
        chores_at_ms, is_idle = draft.wake_at_ms, False
    wake_at_ms = min(state.rethink_at_ms, chores_at_ms, silent_at_ms)
    after = draft.state.changed(wake_at_ms=wake_at_ms, chores_at_ms=chores_at_ms)
    return Decision(state=after, commands=tuple(draft.commands), is_idle=is_idle)


def _think(draft: Draft) -> Decision:
    """Derive the whole; note until when time alone changes nothing."""
    draft.wake_at_ms = NEVER_MS
    reconcile(draft)
    rethink_at_ms, draft.wake_at_ms = draft.wake_at_ms, NEVER_MS
    tend_planes(draft)
    tell_ends(draft)
    commands = tuple(draft.commands)
    if draft.remembers:
        commands = (Remember(generation=draft.state.steering.generation), *commands)
    draft.set(thought_at_ms=draft.now_ms)
    chores_at_ms = draft.wake_at_ms
    wake_at_ms = min(rethink_at_ms, chores_at_ms, _silent_at_ms(draft))
    after = draft.state.changed(wake_at_ms=wake_at_ms, rethink_at_ms=rethink_at_ms, chores_at_ms=chores_at_ms)
    return Decision(state=after, commands=commands, steps=tuple(draft.steps))


def _silent_at_ms(draft: Draft) -> int:
    """When the next vantage has been silent for so long that its word counts no more; it moves on with every report."""
    after_ms, thought_at_ms = draft.setup.policy.judge.report_stale_ms + 1, draft.state.thought_at_ms
    instants = [report.at_ms + after_ms for report in draft.state.reports.values()]
    return min((at_ms for at_ms in instants if at_ms > thought_at_ms), default=NEVER_MS)
