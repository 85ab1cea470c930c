"""The next step of one service, or what it waits for. Steps are made here and nowhere else.

The executor takes the step this gives now (`plan.derive`); a plan is the same steps over a predicted state (`plan.fold`).
Nothing here changes anything: `plan.apply` does. A new kind of lever (features switched off before requests are shed) is
a new goal beside `StandbyGoal` and `SharesGoal`, with a `StepKind` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.beliefs.lives import gained_lately
from siteshift.core.decide.envelope import held_members, held_to_envelope, is_as_proposed
from siteshift.core.decide.gate import examine
from siteshift.core.decide.gate_input import context_of, proposal_for
from siteshift.core.decide.member_weights import dead_sites_for, dead_sites_kept, members_for, members_kept, standbys_open
from siteshift.core.decide.occasion import cannot_be_sent, cause_of, is_worth_it
from siteshift.core.decide.ramp import LEAST_STEP_BP, next_shares, within_room
from siteshift.core.decide.residual import as_caches_run_out
from siteshift.core.decide.rules_load import paced_since
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target, ttl_of, with_shares
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Mode, Severity, SiteLife, StandbyPhase, StepKind
from siteshift.core.model.finding import Finding, finding, verdict
from siteshift.core.model.plan import Step, Wait, WaitCode
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, MemberId, SiteId, part_way
from siteshift.core.plan.pending import what_is_coming, what_is_pending
from siteshift.core.state.draft import Draft, Licence
from siteshift.core.state.plane_queries import has_foreign, in_service, in_step, living
from siteshift.core.state.tracks import ServiceTransition

LOOK_AGAIN_MS = 250
"""How soon to look whether users have proven a step that others wait for: half a window of a meter."""
SILENT_PLANE_MS = 10_000
"""A data plane that has not confirmed a move for so long is told to people; a write takes milliseconds, a retry 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyGoal:
    """Which standby should be open: those that are wanted."""

    wanted: frozenset[MemberId]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesGoal:
    """Where the shares should go, and what siteshift may do about it by itself."""

    target: Target
    mode: Mode


def next_step(draft: Draft, situation: Situation, goal: StandbyGoal | SharesGoal) -> Step | Wait:
    """What to do next for a service, or what it waits for. ``draft`` is only read: what is known besides the situation."""
    if isinstance(goal, StandbyGoal):
        return _standby_step(draft, situation, goal)
    found = _share_step(draft, situation, goal)
    step = found if isinstance(found, Step) else None
    whole, held = _with_members(draft, situation, goal, step)
    if held:
        found = replace(found, findings=(*found.findings, *held))
        whole = replace(whole, findings=(*whole.findings, *held)) if whole is not None else None
    if whole is not None and isinstance(found, Wait):
        return replace(whole, cause=whole.cause or found.cause, findings=found.findings)
    return found if whole is None else whole


# -- standby --------------------------------------------------------------------------------------------------------


def _standby_step(draft: Draft, situation: Situation, goal: StandbyGoal) -> Step | Wait:
    standbys = situation.service.standbys
    phases = {member.id: draft.state.standby(member.id).phase for member in standbys}
    starting = tuple(m for m, phase in phases.items() if phase is StandbyPhase.COLD and m in goal.wanted)
    if starting:
        return _standing_still(situation, StepKind.ACTIVATE_STANDBY, starting)
    ending = tuple(
        member.id
        for member in standbys
        if phases[member.id] is StandbyPhase.PROVEN and member.id not in goal.wanted and situation.is_known(member.site)
    )
    if ending:
        return _standing_still(situation, StepKind.RETIRE_STANDBY, ending)
    return Wait(service=situation.service.id, code=WaitCode.NOTHING_LEFT)


def _standing_still(situation: Situation, kind: StepKind, members: tuple[MemberId, ...]) -> Step:
    """A step that leaves the steering as it is."""
    current = situation.current
    return Step(
        kind=kind,
        service=situation.service.id,
        before_bp=current.shares_bp,
        after_bp=current.shares_bp,
        members=members,
        shed_bp=current.shed_bp,
        shed_at=current.shed_at,
    )


# -- shares ---------------------------------------------------------------------------------------------------------


def _share_step(draft: Draft, situation: Situation, goal: SharesGoal) -> Step | Wait:
    """The next move of shares, with the findings that allowed it; or why there is none."""
    current, target, service = situation.current, goal.target, situation.service.id
    if _must_undo(draft, situation):
        return _undo(situation)
    cause = cause_of(situation, target)
    if not is_worth_it(situation, target, cause):
        code = WaitCode.BLIND if situation.is_blind else None
        wait = Wait(service=service, code=code) if code else what_is_pending(draft, situation)
        return replace(wait, findings=_standing_findings(draft, situation))
    wait_first = _wait_first(draft, situation, cause)
    if wait_first is not None:
        return wait_first
    after = with_shares(current, target, _how_far(situation, target, cause))
    findings = examine(proposal_for(situation, after, cause), context_of(draft, situation, goal.mode, after))
    if not is_permitted(findings, draft.licence) and (part := _within_velocity(situation, target, after, findings)) is not None:
        after = part
        findings = examine(proposal_for(situation, after, cause), context_of(draft, situation, goal.mode, after))
    # What is refused whoever asks leaves no envelope: an observed service stays where it is while a drain of all goes on.
    if _is_short_until_standby(draft, situation, findings) or verdict(findings) is Severity.REFUSED:
        return _at_the_gate(draft, situation, findings, cause)
    held = held_to_envelope(situation, after, cause)
    if held is not None:
        return Wait(service=service, code=WaitCode.GATE, findings=(held,), cause=cause)
    if not is_permitted(findings, draft.licence):
        return _at_the_gate(draft, situation, findings, cause)
    return Step(
        kind=StepKind.MOVE,
        service=service,
        before_bp=current.shares_bp,
        after_bp=after.shares_bp,
        shed_bp=after.shed_bp,
        shed_at=after.shed_at,
        cause=cause,
        findings=findings,
    )


def _at_the_gate(draft: Draft, situation: Situation, findings: tuple[Finding, ...], cause: Cause) -> Wait:
    """What a move waits for that the gate does not let through: standby on its way, the clock, or a change of the facts."""
    coming = what_is_coming(draft, situation)
    code, until_ms = coming or (WaitCode.GATE, _until_ms(situation, findings))
    return Wait(service=situation.service.id, code=code, until_ms=until_ms, findings=findings, cause=cause)


def _is_short_until_standby(draft: Draft, situation: Situation, findings: tuple[Finding, ...]) -> bool:
    """Whether all that stands in the way is room that a standby on its way brings: nobody is asked for leave to overload a site
    for the seconds until then."""
    asked = {entry.code for entry in findings if entry.severity is Severity.NEEDS_APPROVAL}
    return asked == {FindingCode.CAPACITY_SHORT} and what_is_coming(draft, situation) is not None


def is_permitted(findings: tuple[Finding, ...], licence: Licence) -> bool:
    """Whether the gate lets a step through; a plan to be approved goes on where a person may say so."""
    worst = verdict(findings)
    return worst is Severity.ALLOWED or (licence is Licence.AS_IF_APPROVED and worst is Severity.NEEDS_APPROVAL)


def _until_ms(situation: Situation, findings: tuple[Finding, ...]) -> int | None:
    """When the clock alone lets a refused step through, as far as that is known: when the oldest move that the velocity limit
    counts is out of its window, when the last hold-down of who would gain is over."""
    stopping = [entry for entry in findings if entry.severity is not Severity.ALLOWED]
    codes = {entry.code for entry in stopping}
    if codes == {FindingCode.VELOCITY}:
        window_ms = situation.policy.velocity_window_ms
        counted = paced_since(situation.transition.moves, situation.now_ms - window_ms)
        return min(move.at_ms for move in counted) + window_ms if counted else None
    if codes == {FindingCode.HOLD_DOWN}:
        return situation.now_ms + max(int(entry.numbers["left_ms"]) for entry in stopping)
    return None


def _how_far(situation: Situation, target: Target, cause: Cause) -> Mapping[SiteId, int]:
    """How far to move now. Relief takes what room there is at once; with none worth it the gate says what is missing."""
    if cause is Cause.DEAD:
        return target.shares_bp
    current_bp = situation.current.shares_bp
    room = {site: max(0, situation.limit_bp(site) - bp) for site, bp in current_bp.items()}
    if cause is not Cause.RELIEF:
        if _is_missed_and_proven(situation):
            return target.shares_bp
        return next_shares(current_bp, target.shares_bp, room)
    well = {site: bp if situation.signals[site] is Signal.WELL else 0 for site, bp in room.items()}
    part = within_room(current_bp, target.shares_bp, well)
    return part if is_worth_it(situation, replace(target, shares_bp=part), cause) else target.shares_bp


def _within_velocity(
    situation: Situation, target: Target, after: ServiceSteering, findings: tuple[Finding, ...]
) -> ServiceSteering | None:
    """The part of a move that the velocity limit lets through now, where nothing but the limit stands in the way: it says how
    much may move without a person, not that all of it waits. None where the rest of the window is not worth a step."""
    stopping = [entry for entry in findings if entry.severity is not Severity.ALLOWED]
    if [entry.code for entry in stopping] != [FindingCode.VELOCITY]:
        return None
    numbers = {name: int(value) for name, value in stopping[0].numbers.items()}
    left_bp = numbers["velocity_bp"] - numbers["moved_before_bp"]
    if left_bp <= 0 or left_bp < min(LEAST_STEP_BP, numbers["velocity_bp"]):
        return None
    current_bp = situation.current.shares_bp
    here, there = ([shares.get(site, 0) for site in after.shares_bp] for shares in (current_bp, after.shares_bp))
    part = part_way(here, there, left_bp * WHOLE_BP // numbers["moved_bp"])
    return with_shares(situation.current, target, dict(zip(after.shares_bp, part, strict=True)))


def _standing_findings(draft: Draft, situation: Situation) -> tuple[Finding, ...]:
    """What should be said although nothing can be moved: every site should be left, and one must stay; or forced shares name a
    site that gets nothing. The latter is no part of a plan: who asks for shares is told (`operate.answer`), nobody else is held.
    """
    away = [site for site in situation.service.sites if situation.away(site)]
    if len(away) == len(situation.service.sites):
        text = f"{situation.service.id}: every site should be left; the last serving site is never removed"
        return (finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, text, sites=",".join(away)),)
    if situation.forced.shares_bp is None or draft.is_forecast:
        return ()
    return cannot_be_sent(situation, situation.forced.shares_bp)


def _wait_first(draft: Draft, situation: Situation, cause: Cause) -> Wait | None:
    """A move waits until the last one is read back everywhere and its effect was watched. A dead site is not waited for."""
    if cause is Cause.DEAD:
        return None
    service, transition, now_ms = situation.service.id, situation.transition, draft.now_ms
    if cause is not Cause.PERSON and now_ms < transition.held_until_ms:
        text = f"{service}: the last step made a survivor worse and was undone; waiting before the next"
        until_ms = transition.held_until_ms
        found = finding(FindingCode.HOLD_DOWN, Severity.REFUSED, text, until_ms=until_ms)
        return Wait(service=service, code=WaitCode.HELD_DOWN, until_ms=until_ms, findings=(found,))
    if not in_step(draft.state, living(draft.state, draft.setup.planes_of(service))):
        text = f"{service}: a data plane has not confirmed generation {draft.state.steering.generation}"
        told_ms = max(transition.moved_at_ms, draft.state.steering.decided_at_ms) + SILENT_PLANE_MS
        if now_ms < told_ms or draft.state.steering.generation == 0:
            return Wait(service=service, code=WaitCode.PLANES, until_ms=told_ms)
        found = finding(FindingCode.DATA_PLANE_UNKNOWN, Severity.REFUSED, text, now_ms=now_ms)
        return Wait(service=service, code=WaitCode.PLANES, findings=(found,))
    settled_ms = transition.moved_at_ms + situation.policy.settle_ms
    if now_ms < settled_ms and not _is_pressing(transition, cause) and not _is_missed_and_proven(situation):
        until_ms = min(settled_ms, now_ms + LOOK_AGAIN_MS) if _returning_for_shed(situation) else settled_ms
        return Wait(service=service, code=WaitCode.SETTLE, until_ms=until_ms)
    return None


def _is_pressing(transition: ServiceTransition, cause: Cause) -> bool:
    """Whether somebody overloaded is relieved for the first time: the move just before was reckoned without knowing that."""
    return cause is Cause.RELIEF and bool(transition.moves) and transition.moves[-1].cause is not Cause.RELIEF


def _is_missed_and_proven(situation: Situation) -> bool:
    """Whether users are shed for want of a site on its way back that answers all it is asked: to wait would only shed more."""
    returning = _returning_for_shed(situation)
    return bool(returning) and all(_is_proven_by_users(situation, site) for site in returning)


def _is_proven_by_users(situation: Situation, site: SiteId) -> bool:
    """Whether users were answered often enough since the site's share was written."""
    load = situation.loads.get(site)
    return load is not None and load.is_proven_since(situation.transition.moved_at_ms)


def _returning_for_shed(situation: Situation) -> list[SiteId]:
    """The sites on their way back while users are shed."""
    if situation.current.shed_bp == 0:
        return []
    return [site for site, track in situation.tracks.items() if track.life is SiteLife.RETURNING]


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
        if situation.tracks[site].life not in AWAY and not _gives_back(situation, site)
    )


def _gives_back(situation: Situation, site: SiteId) -> bool:
    """Whether its meter sees what users get: then a survivor that fails is overloaded, and gives back what it does not carry
    (`beliefs.overload`). One that counts only what is asked tells nobody which."""
    load = situation.loads.get(site)
    return load is not None and load.tells_answers


def _undo(situation: Situation) -> Step:
    """Back to the shares before the last step, and no next one for a hold-down."""
    current, service = situation.current, situation.service.id
    before = dict(situation.transition.undo_bp or current.shares_bp)
    shed_bp = 10_000 - sum(before.values())
    held_until_ms = situation.now_ms + situation.policy.hold_down_ms
    text = f"{service}: the last step made a survivor worse; undone"
    found = finding(FindingCode.TARGET_UNHEALTHY, Severity.REFUSED, text, held_until_ms=held_until_ms)
    return Step(
        kind=StepKind.UNDO,
        service=service,
        before_bp=current.shares_bp,
        after_bp=before,
        shed_bp=shed_bp,
        shed_at=current.shed_at if shed_bp else None,
        cause=Cause.REBALANCE,
        findings=(found,),
    )


# -- members and TTL: the harmless part -----------------------------------------------------------------------------


def may_tend(draft: Draft, situation: Situation, mode: Mode) -> bool:
    """Whether siteshift may change members, standby and TTLs by itself. Elsewhere only people change them."""
    return _may_act(draft, situation, mode) and not draft.state.is_switched_off and may_write_at_all(draft)


def may_open_standby(draft: Draft, situation: Situation) -> bool:
    """The same for standby: the off switch stops what siteshift does by itself; what a person asked for needs its standbys."""
    forced = situation.forced
    is_asked = bool(forced.drained_sites or forced.shares_bp)
    is_free = is_asked or not draft.state.is_switched_off
    if has_foreign(draft.state, in_service(draft.state, draft.setup.planes_of(situation.service.id))):
        return False  # a standby could not be given its traffic, and would be tried without end
    return is_free and _may_act(draft, situation, situation.mode) and may_write_at_all(draft)


def _may_act(draft: Draft, situation: Situation, mode: Mode) -> bool:
    """Whether the mode lets siteshift act, or a person who approved."""
    is_approved = is_as_proposed(situation) or draft.licence is Licence.AS_IF_APPROVED
    return mode is Mode.AUTO or (mode is Mode.RECOMMEND and is_approved)


def may_write_at_all(draft: Draft) -> bool:
    """Whether there is a store to remember in, and a term to decide by."""
    return draft.state.is_store_usable and draft.state.term is not None


def _with_members(
    draft: Draft, situation: Situation, goal: SharesGoal, step: Step | None
) -> tuple[Step | None, tuple[Finding, ...]]:
    """The step with the members and the TTL that go with it in one generation; None where neither changes either. And what
    keeps members of goals as they are."""
    current = situation.current
    after = current if step is None else replace(current, shares_bp=step.after_bp, shed_bp=step.shed_bp, shed_at=step.shed_at)
    if not may_write_at_all(draft):
        return step, ()
    is_free = may_tend(draft, situation, goal.mode)
    members_pm = members_for(situation, after) if is_free else members_kept(situation, after)
    if not is_free and may_open_standby(draft, situation):
        members_pm |= standbys_open(situation)
    held = held_members(situation, replace(after, members_pm=members_pm)) if situation.goals else {}
    if held:
        present = {m: pm for m, pm in current.members_pm.items() if m in held}
        members_pm = {m: pm for m, pm in members_pm.items() if m not in held} | present
    ttl_s = ttl_of(situation) if is_free else current.ttl_s
    is_moved = step is not None and dict(step.after_bp) != dict(current.shares_bp)
    dead_sites = (dead_sites_for if is_free or is_moved else dead_sites_kept)(situation, after)
    if members_pm != current.members_pm or ttl_s != current.ttl_s or dead_sites != current.dead_sites:
        step = _with_weights(situation, step, members_pm, ttl_s, dead_sites)
    elif step is None and is_free and as_caches_run_out(draft, situation, current) != current:
        step = _standing_still(situation, StepKind.SEND_ON, ())
    return step, tuple({str(entry.numbers["goal"]): entry for entry in held.values()}.values())


def _with_weights(
    situation: Situation,
    step: Step | None,
    members_pm: Mapping[MemberId, int],
    ttl_s: int,
    dead_sites: frozenset[SiteId],
) -> Step:
    current = situation.current
    before_pm = current.members_pm
    weights = {m: members_pm.get(m, 0) for m in (*before_pm, *members_pm) if members_pm.get(m, 0) != before_pm.get(m, 0)}
    base = step or _standing_still(situation, _kind_of(current, weights, ttl_s, dead_sites), ())
    if base.cause is None and situation.forced.depooled.intersection(weights):
        base = replace(base, cause=Cause.PERSON)
    return replace(base, members=tuple(sorted(weights)), weights_pm=weights, ttl_s=ttl_s if ttl_s != current.ttl_s else None,
        dead_sites=dead_sites if dead_sites != current.dead_sites else None,
    )


def _kind_of(
    current: ServiceSteering, weights: Mapping[MemberId, int], ttl_s: int, dead_sites: frozenset[SiteId]
) -> StepKind:
    """What a change of members or TTL alone is called: the gravest part of it."""
    if any(pm == 0 for pm in weights.values()):
        return StepKind.DEPOOL
    if any(member not in current.members_pm for member in weights):
        return StepKind.POOL
    if dead_sites != current.dead_sites:
        return StepKind.CLOSE_SITE if dead_sites - current.dead_sites else StepKind.OPEN_SITE
    if weights:
        return StepKind.WEIGH
    return StepKind.LOWER_TTL if ttl_s < current.ttl_s else StepKind.RESTORE_TTL
