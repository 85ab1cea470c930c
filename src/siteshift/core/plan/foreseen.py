"""Plans folded before they are asked for: whoever drives the core folds in slices, and hands the plan in with the request.

A plan made beforehand counts only when the facts it was folded from are still the same; else it is folded anew, at once.
Measured demand is left out: it wavers with every request, and a plan that no longer fits it is journalled as changed.
"""

from __future__ import annotations

import hashlib

from siteshift.core.model.plan import Plan
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId
from siteshift.core.plan.fold import fold
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft, PlanQuestion
from siteshift.core.state.tracks import PlaneTrack


def planned(draft: Draft, after: ControllerState, only: ServiceId | None) -> Plan | None:
    """The plan from a state: the one made beforehand, if it still holds, else a new one."""
    if draft.foreseen:
        basis = basis_of(after, draft.setup, only)
        for entry in draft.foreseen:
            if entry.basis == basis:
                return entry.plan
    if draft.plan_now is not None:
        return draft.plan_now(PlanQuestion(state=after, only=only))
    return fold(after, draft.setup, draft.now_ms, only=only)


def basis_of(state: ControllerState, setup: Setup, only: ServiceId | None) -> str:
    """A digest of everything a plan follows from, but demand and the clock."""
    facts = (
        setup.digest,
        only,
        (state.steering.generation, state.steering.digest()),
        (state.term, state.is_store_usable, state.is_switched_off, state.picture.blind, sorted(state.picture.global_fault)),
        [
            (o.id, o.kind.value, o.service, o.site, o.member, o.plane, o.mode, sorted((o.shares_bp or {}).items()))
            for o in state.overrides
        ],
        sorted((t.digest, t.state.value) for t in state.goals.values()),
        (sorted(state.adoption.sites), sorted(state.adoption.members_out)) if state.adoption is not None else None,
        sorted((s, t.held_until_ms, sorted(t.taken_out)) for s, t in state.transitions.items() if t.held_until_ms or t.taken_out),
        sorted((*key, t.life.value, t.left_because, t.ramp_step, t.is_return_asked) for key, t in state.tracks.items()),
        sorted((member, track.phase.value) for member, track in state.standbys.items()),
        sorted((p, t.standing.value, t.confirmed_generation, t.unread_since_ms, _found(t)) for p, t in state.planes.items()),
        sorted(
            (*key, pool.standing.value, [(m, view.standing.value) for m, view in sorted(pool.members.items())])
            for key, pool in state.picture.pools.items()
        ),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _found(track: PlaneTrack) -> tuple[str, ...]:
    """What was found there that a plan tells of."""
    reading = track.read_back
    if reading is None:
        return ()
    return (*(drift.what for drift in reading.drifts), *(str(found) for found in reading.obstacles))
