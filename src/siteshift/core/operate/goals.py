"""What time, reloads and overrides do to goals: they lapse, are suspended, end; and a suspended one gets a fresh offer."""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.decide.envelope import left_by, suspend
from siteshift.core.decide.situations import situation_of
from siteshift.core.model.approval import RELEASES, ApprovalState, Goal, Left, canonical
from siteshift.core.model.codes import FindingCode, NoticeCode, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.operate.approval import lacks, record_approval, without_approvals
from siteshift.core.operate.envelope import Folded, fold_goal
from siteshift.core.operate.goal import setup_digests
from siteshift.core.plan.foreseen import planned
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import BINDING, GoalState, GoalTrack, narrowed

KEEP_ENDED_MS = 24 * HOUR_MS
MOST_ENDED = 50
"""Goals that are over stay in the list this long, and no more than this many: the journal has all of them."""

_CHANGED = "changed by the configuration, or by a default of this version"


def tend_goals(draft: Draft) -> None:
    """Before anything is decided: what may not go on as it was approved."""
    if not draft.state.goals:
        return
    for track in tuple(draft.state.goals.values()):
        if track.state is not GoalState.ENDED:
            _tend(draft, track)
    _forget(draft)


def _tend(draft: Draft, track: GoalTrack) -> None:
    if track.override is not None and all(entry.id != track.override for entry in draft.state.overrides):
        end(draft, track, "its override ended")
        return
    track = _without_lost_ranks(draft, track)
    changed = _changed_setup(draft, track)
    if track.state is GoalState.WAITING:
        if changed is not None:
            end(draft, track, f"the configuration, or a default of this version, changed: {changed.field}")
        elif draft.due(track.envelope.start_by_ms):
            end(draft, track, "not approved in time")
        return
    if track.state is GoalState.RUNNING and not track.is_started and draft.due(track.envelope.start_by_ms):
        _never_begun(draft, track)
        return
    if track.is_proposed:
        if changed is not None or lacks(track) is not None or draft.due(track.envelope.ends_at_ms):
            end(draft, track, "its approval does not hold any more")
        return
    left = changed or (lacks(track) or _over(draft, track) if track.state is GoalState.RUNNING else None)
    if left is not None:
        if changed is None and left.field == "end":
            track = replace(track, approvals=track.lapsed())
        suspend(draft, track, left)
    elif track.state is GoalState.REACHED:
        _watch(draft, track)
    elif track.state is GoalState.SUSPENDED:
        _let_lapse(draft, track)


def _over(draft: Draft, track: GoalTrack) -> Left | None:
    ends_ms = track.envelope.ends_at_ms
    if not draft.due(ends_ms):
        return None
    minutes = (draft.now_ms - track.envelope.not_before_ms) // MINUTE_MS
    return Left(field="end", approved="to be there by then", now=f"not there after {minutes} min")


def _let_lapse(draft: Draft, track: GoalTrack) -> None:
    """What was given to a fresh offer counts no longer than what is given to any other; the offer stays."""
    given = [a for a in track.approvals if a.digest == track.fresh_digest and a.counts]
    if track.fresh is None or not (given or track.is_fresh_confirmed) or not draft.due(track.fresh.start_by_ms):
        return
    lapsed = {approval: replace(approval, state=ApprovalState.LAPSED) for approval in given}
    for approval in lapsed.values():
        record_approval(draft, track, approval)
    kept = tuple(lapsed.get(approval, approval) for approval in track.approvals)
    draft.set_goal(replace(track, approvals=kept, is_fresh_confirmed=False))


def _changed_setup(draft: Draft, track: GoalTrack) -> Left | None:
    """A reload that changes the goal's part of the configuration makes every approval of it void; so does a version with
    another default for it. A version that only knows more fields does not (`model.digest`)."""
    topology, policy = setup_digests(draft.setup, track.goal.services)
    if topology != track.goal.topology:
        return Left(field="topology", approved="sites, members and capacities of then", now=_CHANGED)
    if policy != track.goal.policy:
        return Left(field="policy", approved="the rules of then", now=_CHANGED)
    planes = {plane.id for name in track.goal.services for plane in draft.setup.planes_of(name)}
    known = (track.fresh or track.envelope).planes
    if not planes <= set(known):
        return Left(field="planes", approved=", ".join(known), now=", ".join(sorted(planes)))
    return None


def _without_lost_ranks(draft: Draft, track: GoalTrack) -> GoalTrack:
    known = draft.setup.approvers
    if known is None:
        return track
    gone = [a for a in track.approvals if a.counts and canonical(a.person) not in known]
    return without_approvals(draft, track, gone) if gone else track


def _never_begun(draft: Draft, track: GoalTrack) -> None:
    """Approved, and not begun in time: it has changed nothing, so it is as if it had not been asked for."""
    overrides = tuple(entry for entry in draft.state.overrides if entry.id != track.override)
    draft.set(overrides=overrides)
    end(draft, track, "not begun in time")


def _watch(draft: Draft, track: GoalTrack) -> None:
    """A goal that is reached lives on in its override; when its bounds are left later, people are told, once."""
    left = None
    for service in draft.setup.topology.services:
        if service.id in track.goal.services and left is None:
            situation = situation_of(draft.state, draft.setup, service, draft.now_ms)
            left = left_by(track.envelope, situation, situation.current)
    if (left is None) == (track.left is None):
        return
    draft.set_goal(replace(track, left=left))
    if left is not None:
        text = f"{track.goal.verb.value} of {track.goal.owner}, done as approved, has left its bounds since: {left.text}"
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.ENVELOPE_LEFT, text, about=track.goal.digest)
        draft.record("envelope_left", {"goal": track.goal.digest, "digest": track.digest, "field": left.field, "now": left.now})


def end(draft: Draft, track: GoalTrack, because: str) -> None:
    """The goal is over; nothing of it holds any more."""
    approvals = track.used() if track.state is GoalState.REACHED else track.lapsed()
    draft.set_goal(
        replace(track, state=GoalState.ENDED, since_ms=draft.now_ms, approvals=approvals, fresh=None, ended_because=because)
    )
    draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "ended", "because": because})
    if track.state is not GoalState.REACHED:
        text = f"{track.goal.verb.value} of {track.goal.owner} ({track.digest}) is over: {because}"
        draft.tell(Severity.ALLOWED, NoticeCode.GOAL_ENDED, text, about=track.digest)


def _forget(draft: Draft) -> None:
    ended = sorted((t for t in draft.state.goals.values() if t.state is GoalState.ENDED), key=lambda t: t.since_ms)
    old = {t.goal.digest for t in ended[:-MOST_ENDED]}
    old |= {t.goal.digest for t in ended if draft.now_ms - t.since_ms > KEEP_ENDED_MS}
    if old:
        draft.set(goals={key: track for key, track in draft.state.goals.items() if key not in old})
        draft.remembers = True


# -- in the place of another ----------------------------------------------------------------------------------------------


def superseded(state: ControllerState, goal: Goal) -> tuple[GoalTrack, ...]:
    """Suspended goals whose place this one takes once it is confirmed: the same wish, or a release of what it decides anew.

    Else what one person left suspended would hold everybody who wants the same, and a release, which no override ends, for good.
    """
    return tuple(
        track
        for track in state.goals.values()
        if track.state is GoalState.SUSPENDED and track.goal.digest != goal.digest and _is_decided_by(goal, track.goal)
    )


def _is_decided_by(goal: Goal, old: Goal) -> bool:
    named, decided = {*old.sites, *old.members}, {*goal.sites, *goal.members}
    if not named or not named <= decided or not set(old.services) <= set(goal.services):
        return False
    is_same = old.verb is goal.verb and named == decided and dict(old.shares_bp) == dict(goal.shares_bp)
    return is_same or old.verb in RELEASES


def without_superseded(state: ControllerState, goal: Goal) -> tuple[ControllerState, tuple[Finding, ...]]:
    """The state as it will be when this goal is confirmed, and what is to be confirmed of that."""
    over = superseded(state, goal)
    if not over:
        return state, ()
    gone = {track.goal.digest for track in over}
    after = state.changed(goals={key: track for key, track in state.goals.items() if key not in gone})
    return after, tuple(_superseding(track) for track in over)


def _superseding(track: GoalTrack) -> Finding:
    left = track.left.text if track.left is not None else "its envelope was left"
    text = f"{track.goal.verb.value} of {track.goal.owner} is suspended ({left}); confirmed, this takes its place"
    return finding(FindingCode.ENVELOPE_LEFT, Severity.NEEDS_APPROVAL, text, goal=track.digest, approvals_needed=0)


def supersede(draft: Draft, goal: Goal) -> None:
    """The goal was granted: what it takes the place of is over."""
    for track in superseded(draft.state, goal):
        end(draft, track, f"{goal.owner} decided anew about it")


# -- fresh offers ---------------------------------------------------------------------------------------------------------


def offer_fresh(draft: Draft) -> None:
    """After a decision: every goal that was suspended gets the envelope of now, and people are told what to do."""
    for track in tuple(draft.state.goals.values()):
        if track.state is GoalState.SUSPENDED and track.fresh is None:
            track = renew(draft, track)
            left = track.left.text if track.left is not None else "its envelope was left"
            text = f"{track.goal.verb.value} of {track.goal.owner} is suspended: {left}; nothing of it moves or is undone. "
            text += f"{track.goal.owner} confirms the envelope of now with --digest {track.fresh_digest}"
            if track.fresh is not None and (needed := track.fresh.approvals_needed):
                text += f", and {needed} other approve{'s' if needed == 1 else ''} it: siteshift approve {track.fresh_digest}"
            draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.ENVELOPE_LEFT, text, about=track.goal.digest)


def renew(draft: Draft, track: GoalTrack) -> GoalTrack:
    """The track with a fresh offer, under the configuration of now."""
    folded = refold(draft.state, draft, track)
    goals = {key: entry for key, entry in draft.state.goals.items() if key != track.goal.digest}
    track = replace(track, goal=folded.offer.goal, fresh=folded.offer.envelope, is_fresh_confirmed=False)
    overrides = tuple(replace(o, goal=track.goal.digest) if o.id == track.override else o for o in draft.state.overrides)
    draft.set(goals=goals, overrides=overrides)
    draft.set_goal(track)
    draft.record("offer", {"goal": track.goal.digest, "digest": track.fresh_digest})
    return track


def refold(state: ControllerState, draft: Draft, track: GoalTrack) -> Folded:
    """What a goal comes to now, whatever it is bound by."""
    goal = narrowed(track.goal, draft.setup.topology) or track.goal
    topology, policy = setup_digests(draft.setup, goal.services)
    goal = replace(goal, topology=topology, policy=policy)
    unbound = state.changed(goals={key: entry for key, entry in state.goals.items() if key != track.goal.digest})
    only = goal.services[0] if len(goal.services) == 1 else None
    plan = planned(draft, unbound, only)
    findings = plan.findings if plan is not None else ()
    return fold_goal(goal, plan, findings, state=unbound, setup=draft.setup, now_ms=draft.now_ms)


def live(state: ControllerState, goal: str) -> GoalTrack | None:
    """A goal that is being carried out."""
    track = state.goals.get(goal)
    return track if track is not None and track.state in BINDING else None
