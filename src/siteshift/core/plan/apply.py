"""Carries a step into the draft: the steering of the next generation, and what has to be remembered of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.decide.carrying import carrying_after
from siteshift.core.decide.residual import as_caches_run_out
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import sent_on
from siteshift.core.enact.standby import retire, start
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import StepKind
from siteshift.core.model.plan import Step
from siteshift.core.model.policy import HOUR_MS
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId
from siteshift.core.plan.next_step import may_tend
from siteshift.core.state.draft import Draft


def apply_step(draft: Draft, situation: Situation, step: Step) -> ServiceSteering:
    """Take a step: the steering it leads to. Orders to standbys go out at once, and leave the steering as it is."""
    draft.steps.append(step)
    current = situation.current
    match step.kind:
        case StepKind.ACTIVATE_STANDBY:
            for member in step.members:
                start(draft, situation, member)
            return current
        case StepKind.RETIRE_STANDBY:
            for member in step.members:
                retire(draft, member)
            return current
        case StepKind.MOVE:
            after = _with_step(current, step)
            note_move(draft, situation, after, step.cause or Cause.REBALANCE)
            after = sent_on(after, draft.state.transition(situation.service.id).cached_bp)
        case StepKind.UNDO:
            after = sent_on(_with_step(current, step), _cached_bp(situation))
            _note_undo(draft, situation)
        case _:
            after = _with_step(current, step)
    if step.kind in (StepKind.MOVE, StepKind.UNDO) or may_tend(draft, situation, situation.mode):
        after = as_caches_run_out(draft, situation, after)
    if after.ttl_s < current.ttl_s:
        draft.set_transition(situation.service.id, old_ttl_until_ms=draft.now_ms + current.ttl_s * 1000)
    return after


def _with_step(current: ServiceSteering, step: Step) -> ServiceSteering:
    members = {**current.members_pm, **step.weights_pm}
    return replace(
        current,
        shares_bp=dict(step.after_bp),
        shed_bp=step.shed_bp,
        shed_at=step.shed_at,
        members_pm={member: pm for member, pm in members.items() if pm},
        ttl_s=current.ttl_s if step.ttl_s is None else step.ttl_s,
        dead_sites=current.dead_sites if step.dead_sites is None else step.dead_sites,
    )


def note_move(draft: Draft, situation: Situation, after: ServiceSteering, cause: Cause) -> None:
    """Remember the move: for velocity, for the TTL tail, and for undoing it."""
    current, transition, now_ms = situation.current, situation.transition, draft.now_ms
    lost = {s: bp - after.shares_bp.get(s, 0) for s, bp in current.shares_bp.items() if bp > after.shares_bp.get(s, 0)}
    window_ms = max(situation.policy.velocity_window_ms, HOUR_MS)
    moves = tuple(m for m in transition.moves if now_ms - m.at_ms <= window_ms)
    removed = any(after.shares_bp.get(site, 0) == 0 for site in lost)
    removals = tuple(at for at in transition.removals_ms if now_ms - at <= HOUR_MS)
    is_automatic = cause not in (Cause.PERSON, Cause.RELEASE)
    draft.set_transition(
        situation.service.id,
        moved_at_ms=now_ms,
        tail_until_ms=_tail_until_ms(situation) if lost else transition.tail_until_ms,
        cached_bp=_cached_bp(situation),
        cached_ms=_cached_ms(situation),
        undo_bp=None if cause is Cause.DEAD else dict(current.shares_bp),
        carrying=carrying_after(situation, after.shares_bp),
        moves=(*moves, Move(at_ms=now_ms, moved_bp=sum(lost.values()), cause=cause)) if lost else moves,
        removals_ms=(*removals, now_ms) if removed and is_automatic else removals,
    )


def _note_undo(draft: Draft, situation: Situation) -> None:
    """Remember that the last move was taken back: no next one for a hold-down."""
    draft.set_transition(
        situation.service.id,
        undo_bp=None,
        moved_at_ms=draft.now_ms,
        tail_until_ms=_tail_until_ms(situation),
        cached_bp=_cached_bp(situation),
        cached_ms=_cached_ms(situation),
        held_until_ms=draft.now_ms + situation.policy.hold_down_ms,
    )


def _cached_bp(situation: Situation) -> Mapping[SiteId, int]:
    """The shares that users' caches go by at a move: the present ones, or older ones whose TTL still runs."""
    return situation.transition.cached_bp if _is_in_tail(situation) else situation.current.shares_bp


def _cached_ms(situation: Situation) -> int:
    """Since when they run out."""
    return situation.transition.cached_ms if _is_in_tail(situation) else situation.now_ms


def _is_in_tail(situation: Situation) -> bool:
    """Whether the last moves are of one row with the next: old answers still live, or without DNS, it moved just before."""
    transition = situation.transition
    until_ms = transition.tail_until_ms if situation.has_dns else transition.restless_until_ms
    return bool(transition.cached_bp) and situation.now_ms < until_ms


def _tail_until_ms(situation: Situation) -> int:
    """Until when caches may hold what is answered now (law 9); where no DNS steers, nothing holds it."""
    transition = situation.transition
    if not situation.has_dns:
        return transition.tail_until_ms
    now_ms = situation.now_ms + situation.current.ttl_s * 1000
    return max(now_ms, transition.old_ttl_until_ms, transition.tail_until_ms)
