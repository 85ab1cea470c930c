"""The next step of one service: from where it is towards its target, as far as the gate lets it go now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.beliefs.lives import gained_lately
from siteshift.core.decide.demand import ServiceAllocation
from siteshift.core.decide.gate import examine
from siteshift.core.decide.gate_input import cause_of, context_of, proposal_for, utilisation_of
from siteshift.core.decide.member_weights import (
    dead_sites_for,
    dead_sites_kept,
    members_for,
    members_kept,
    taken_out_now,
)
from siteshift.core.decide.ramp import next_shares, within_room
from siteshift.core.decide.residual import as_caches_run_out
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target, sent_on, target_of, ttl_of, with_shares
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import FindingCode, Mode, Severity, SiteLife
from siteshift.core.model.finding import Finding, finding, verdict
from siteshift.core.model.policy import HOUR_MS
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import in_step, living
from siteshift.core.state.tracks import ServiceTransition

RESTLESS_MS = 30_000
"""The short TTL stays this long after the last unrest."""
RESTLESS_AFTER_MS = 300
DEADBAND_BP = 200
"""A rebalance smaller than this is not worth a write; measured demand breathes by a few per cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSteering:
    """What a service shall have in the next generation; ``document`` tells the journal what changed and why."""

    steering: ServiceSteering
    document: Mapping[str, object] | None = None


def next_steering(draft: Draft, situation: Situation, allocation: ServiceAllocation, mode: Mode) -> NextSteering:
    """One service's next steering: unchanged when nothing should, or may, change."""
    if draft.state.steering.of(situation.service.id) is None:
        return _first(situation)
    target = target_of(situation, allocation)
    _note_unrest(draft, situation, target)
    for relief in situation.transition.relieved.values():
        draft.due(relief.until_ms)
    if any(situation.is_put_to_the_proof(pool) for pool in situation.service.pools):
        draft.due(situation.halving_ms)
    transition = draft.state.transition(situation.service.id)
    if transition is not situation.transition:
        situation = replace(situation, transition=transition)
    steering, cause, findings = _move(draft, situation, target, mode)
    _say_findings(draft, situation, findings)
    steering = _with_members(draft, situation, steering, mode)
    if steering == situation.current:
        return NextSteering(steering=steering)
    return NextSteering(steering=steering, document=_document(situation, target, steering, cause, findings))


def _first(situation: Situation) -> NextSteering:
    steering = situation.current
    return NextSteering(
        steering=steering,
        document={"service": situation.service.id, "cause": "first", "after_bp": dict(steering.shares_bp)},
    )


def _move(
    draft: Draft, situation: Situation, target: Target, mode: Mode
) -> tuple[ServiceSteering, Cause | None, tuple[Finding, ...]]:
    """The shares of the next generation, with the findings that allowed or stopped the move."""
    current = situation.current
    if _must_undo(draft, situation):
        return _undo(draft, situation)
    cause = cause_of(situation, target)
    if not _is_worth_it(situation, target, cause):
        return current, None, _standing_findings(situation)
    wait = _what_to_wait_for(draft, situation, cause)
    if wait is not None:
        return current, None, (wait,) if wait.severity is not Severity.ALLOWED else ()
    shares = _step(situation, target, cause)
    after = with_shares(current, target, shares)
    end = with_shares(current, target, target.shares_bp)
    findings = examine(proposal_for(situation, after, cause, end), context_of(draft, situation, mode, after))
    if verdict(findings) is not Severity.ALLOWED:
        return current, cause, findings
    _note_move(draft, situation, after, cause)
    return sent_on(after, draft.state.transition(situation.service.id).cached_bp), cause, findings


def _step(situation: Situation, target: Target, cause: Cause) -> Mapping[SiteId, int]:
    """How far to move now. Relief takes what room there is at once; with none worth it the gate says what is missing."""
    current_bp = situation.current.shares_bp
    room = {site: max(0, situation.limit_bp(site) - bp) for site, bp in current_bp.items()}
    if cause is Cause.DEAD:
        return target.shares_bp
    if cause is not Cause.RELIEF:
        return next_shares(current_bp, target.shares_bp, room)
    well = {site: bp if situation.signals[site] is Signal.WELL else 0 for site, bp in room.items()}
    part = within_room(current_bp, target.shares_bp, well)
    return part if _is_worth_it(situation, replace(target, shares_bp=part), cause) else target.shares_bp


def _standing_findings(situation: Situation) -> tuple[Finding, ...]:
    """What should be said although nothing can be moved: every site should be left, and one must stay."""
    away = [site for site in situation.service.sites if situation.away(site)]
    if len(away) == len(situation.service.sites):
        text = f"{situation.service.id}: every site should be left; the last serving site is never removed"
        return (finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, text, sites=",".join(away)),)
    return ()


def _is_worth_it(situation: Situation, target: Target, cause: Cause) -> bool:
    current = situation.current
    if situation.is_blind and cause is not Cause.PERSON:
        return False
    sites = set(current.shares_bp) | set(target.shares_bp)
    change = max(abs(target.shares_bp.get(s, 0) - current.shares_bp.get(s, 0)) for s in sites)
    change = max(change, abs(target.shed_bp - current.shed_bp))
    if cause is Cause.REBALANCE:
        return change >= DEADBAND_BP
    if cause is Cause.RELIEF:
        return any(
            current.shares_bp.get(s, 0) - target.shares_bp.get(s, 0) >= min(DEADBAND_BP, current.shares_bp.get(s, 0) // 10)
            for s in sites
            if situation.is_overloaded(s)
        )
    return change > 0


def _what_to_wait_for(draft: Draft, situation: Situation, cause: Cause) -> Finding | None:
    """A step waits until the last one is read back everywhere and its effect was watched. A dead site is not waited for."""
    if cause is Cause.DEAD:
        return None
    transition, now_ms = situation.transition, draft.now_ms
    if cause is not Cause.PERSON and not draft.due(transition.held_until_ms):
        text = f"{situation.service.id}: the last step made a survivor worse and was undone; waiting before the next"
        return finding(FindingCode.HOLD_DOWN, Severity.REFUSED, text, until_ms=transition.held_until_ms)
    if not in_step(draft.state, living(draft.state, draft.setup.planes_of(situation.service.id))):
        text = f"{situation.service.id}: a data plane has not confirmed generation {draft.state.steering.generation}"
        is_long = draft.due(transition.moved_at_ms + 10_000) and draft.state.steering.generation > 0
        severity = Severity.REFUSED if is_long else Severity.ALLOWED
        return finding(FindingCode.DATA_PLANE_UNKNOWN, severity, text, now_ms=now_ms if is_long else 0)
    if not _is_pressing(transition, cause) and not draft.due(transition.moved_at_ms + situation.policy.settle_ms):
        return finding(FindingCode.NOTHING_TO_DO, Severity.ALLOWED, "watching the last step settle")
    return None


def _is_pressing(transition: ServiceTransition, cause: Cause) -> bool:
    """Whether somebody overloaded is relieved for the first time: a rebalance just before was reckoned without knowing that."""
    return cause is Cause.RELIEF and bool(transition.moves) and transition.moves[-1].cause is Cause.REBALANCE


def _must_undo(draft: Draft, situation: Situation) -> bool:
    """Whether a site that gained in the last move got sick since, and we may act upon it."""
    state = draft.state
    if situation.transition.undo_bp is None or not state.is_store_usable or state.term is None or state.is_switched_off:
        return False
    if situation.is_blind or situation.is_global_fault:
        return False
    before, now = situation.transition.undo_bp, situation.current.shares_bp
    gets_back = [site for site in situation.service.sites if before.get(site, 0) > now.get(site, 0)]
    if sum(before.values()) < sum(now.values()) or any(situation.is_dead(site) for site in gets_back):
        return False  # going back would shed more than now, or send users to the dead (laws 1, 7)
    if not all(situation.fits(site, before[site]) for site in gets_back):
        return False  # it was too full before, and gave for that
    return any(
        situation.signals[site] is Signal.SICK and gained_lately(draft, situation.service, site)
        for site in situation.service.sites
        if situation.tracks[site].life not in AWAY
    )


def _undo(draft: Draft, situation: Situation) -> tuple[ServiceSteering, Cause, tuple[Finding, ...]]:
    """Back to the shares before the last step, and no next one for a hold-down."""
    before = dict(situation.transition.undo_bp or situation.current.shares_bp)
    held_until_ms = draft.now_ms + situation.policy.hold_down_ms
    tail_ms = max(draft.now_ms + situation.current.ttl_s * 1000, situation.transition.old_ttl_until_ms)
    draft.set_transition(
        situation.service.id,
        undo_bp=None,
        moved_at_ms=draft.now_ms,
        tail_until_ms=max(tail_ms, situation.transition.tail_until_ms),
        cached_bp=_cached_bp(situation),
        cached_ms=_cached_ms(situation),
        held_until_ms=held_until_ms,
    )
    text = f"{situation.service.id}: the last step made a survivor worse; undone"
    found = finding(FindingCode.TARGET_UNHEALTHY, Severity.REFUSED, text, held_until_ms=held_until_ms)
    shed = 10_000 - sum(before.values())
    current = situation.current
    undone = replace(current, shares_bp=before, shed_bp=shed, shed_at=current.shed_at if shed else None)
    return sent_on(undone, _cached_bp(situation)), Cause.REBALANCE, (found,)


def _cached_bp(situation: Situation) -> Mapping[SiteId, int]:
    """The shares that users' caches go by at a move: the present ones, or older ones whose TTL still runs."""
    return situation.transition.cached_bp if _is_in_tail(situation) else situation.current.shares_bp


def _cached_ms(situation: Situation) -> int:
    """Since when they run out."""
    return situation.transition.cached_ms if _is_in_tail(situation) else situation.now_ms


def _is_in_tail(situation: Situation) -> bool:
    return bool(situation.transition.cached_bp) and situation.now_ms < situation.transition.tail_until_ms


def _note_move(draft: Draft, situation: Situation, after: ServiceSteering, cause: Cause) -> None:
    """Remember the move: for velocity, for the TTL tail, and for undoing it."""
    current, transition, now_ms = situation.current, situation.transition, draft.now_ms
    lost = {s: bp - after.shares_bp.get(s, 0) for s, bp in current.shares_bp.items() if bp > after.shares_bp.get(s, 0)}
    window_ms = max(situation.policy.velocity_window_ms, HOUR_MS)
    moves = tuple(m for m in transition.moves if now_ms - m.at_ms <= window_ms)
    removed = any(after.shares_bp.get(site, 0) == 0 for site in lost)
    removals = tuple(at for at in transition.removals_ms if now_ms - at <= HOUR_MS)
    is_automatic = cause not in (Cause.PERSON, Cause.RELEASE)
    tail_ms = max(now_ms + current.ttl_s * 1000, transition.old_ttl_until_ms) if lost else transition.tail_until_ms
    draft.set_transition(
        situation.service.id,
        moved_at_ms=now_ms,
        tail_until_ms=max(tail_ms, transition.tail_until_ms),
        cached_bp=_cached_bp(situation),
        cached_ms=_cached_ms(situation),
        undo_bp=None if cause is Cause.DEAD else dict(current.shares_bp),
        relieved=situation.reliefs_after(after.shares_bp),
        moves=(*moves, Move(at_ms=now_ms, moved_bp=sum(lost.values()), cause=cause)) if lost else moves,
        removals_ms=(*removals, now_ms) if removed and is_automatic else removals,
        pending=None,
    )


def _note_unrest(draft: Draft, situation: Situation, target: Target) -> None:
    """Keep the TTL short while something is suspect, in transition or not yet where it should be."""
    transition = situation.transition
    is_suspect = any(
        track.life is SiteLife.SUSPECT and draft.due(track.since_ms + RESTLESS_AFTER_MS)
        for track in situation.tracks.values()
    )
    is_moving = any(t.life in (SiteLife.DRAINING, SiteLife.RETURNING) for t in situation.tracks.values())
    if (is_suspect or is_moving) and transition.restless_until_ms < draft.now_ms + RESTLESS_MS // 2:
        transition = draft.set_transition(situation.service.id, restless_until_ms=draft.now_ms + RESTLESS_MS)
    draft.due(transition.restless_until_ms)
    is_at_target = dict(target.shares_bp) == dict(situation.current.shares_bp)
    if is_at_target and transition.approved is not None and not is_moving:
        draft.set_transition(situation.service.id, approved=None, approved_by=())


def _with_members(draft: Draft, situation: Situation, steering: ServiceSteering, mode: Mode) -> ServiceSteering:
    """Member weights and TTL: the harmless part. Only people change them where siteshift may not act by itself."""
    is_approved = mode is Mode.RECOMMEND and situation.transition.approved is not None
    may_act = (mode is Mode.AUTO or is_approved) and not draft.state.is_switched_off and draft.state.term is not None
    may_act = may_act and draft.state.is_store_usable
    is_moved = steering.shares_bp != situation.current.shares_bp
    if may_act or is_moved:
        steering = as_caches_run_out(draft, situation, steering)
    if not draft.state.is_store_usable or draft.state.term is None:
        return steering
    taken_out = taken_out_now(situation)
    if taken_out != situation.transition.taken_out:
        draft.set_transition(situation.service.id, taken_out=taken_out)
    dead_sites = (dead_sites_for if may_act or is_moved else dead_sites_kept)(situation, steering)
    steering = replace(steering, dead_sites=dead_sites)
    if not may_act:
        return replace(steering, members_pm=members_kept(situation, steering))
    ttl_s = ttl_of(situation)
    if ttl_s < situation.current.ttl_s:
        until_ms = draft.now_ms + situation.current.ttl_s * 1000
        draft.set_transition(situation.service.id, old_ttl_until_ms=until_ms)
    return replace(steering, members_pm=members_for(situation, steering), ttl_s=ttl_s)


def _say_findings(draft: Draft, situation: Situation, findings: tuple[Finding, ...]) -> None:
    """What stands in the way is kept in the state, and said once when it changes."""
    standing = tuple(entry for entry in findings if entry.severity is not Severity.ALLOWED)
    before = situation.transition.findings
    if standing == before:
        return
    draft.set_transition(situation.service.id, findings=standing)
    if {e.code for e in standing} == {e.code for e in before}:
        return
    documents = [{"code": e.code.value, "severity": e.severity.value, "text": e.text} for e in standing]
    draft.record("findings", {"service": situation.service.id, "findings": documents})
    known = {e.code for e in before}
    for entry in standing:
        if entry.code not in known:
            draft.tell(entry.severity, entry.code.value, entry.text)


def _document(
    situation: Situation, target: Target, after: ServiceSteering, cause: Cause | None, findings: tuple[Finding, ...]
) -> dict[str, object]:
    """What changed for one service, in a form the journal keeps and `why` reads."""
    before = situation.current
    members = before.members_pm.keys() | after.members_pm.keys()
    changed = sorted(m for m in members if before.members_pm.get(m) != after.members_pm.get(m))
    return {
        "service": situation.service.id,
        "cause": cause.value if cause else None,
        "before_bp": dict(before.shares_bp),
        "after_bp": dict(after.shares_bp),
        "target_bp": dict(target.shares_bp),
        "shed_bp": after.shed_bp,
        "because": {site: why.value for site, why in target.because.items()},
        "signals": {site: signal.value for site, signal in situation.signals.items()},
        "ttl_s": after.ttl_s,
        "members": {m: after.members_pm.get(m, 0) for m in changed},
        "dead_sites": sorted(after.dead_sites),
        "demand_rps": situation.demand_rps,
        "utilisation_pm": utilisation_of(situation, after),
        "findings": [entry.code.value for entry in findings],
    }


def pending_key(transition: ServiceTransition) -> str | None:
    """The digest of the plan that waits for a person, if any."""
    return transition.pending.digest if transition.pending else None
