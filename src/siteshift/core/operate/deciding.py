"""What other people say to a goal, and what who asked says to it again: approve, take back, join, confirm afresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from siteshift.core.decide.envelope import left_finding, suspend
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.approval import Offer, canonical
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.override import Override
from siteshift.core.model.plan import Plan
from siteshift.core.model.setup import Setup
from siteshift.core.operate.approval import (
    approval_of,
    approved,
    confirmed_envelope,
    find,
    own_request,
    record_approval,
    refusal,
    revoke,
    stale,
)
from siteshift.core.operate.envelope import Folded, begun_at, fold_goal
from siteshift.core.operate.goal import proposal_of
from siteshift.core.operate.goals import end, refold, renew
from siteshift.core.plan.foreseen import planned
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, GoalTrack

Again = Callable[[Draft, OperatorRequest], Answer]
"""Answers a request that waited, once more."""


def approve(draft: Draft, asking: OperatorRequest, digest: str, again: Again) -> Answer:
    """One person's approval: of a colleague's goal that waits or is suspended, or of what siteshift proposes."""
    known = draft.setup.approvers
    if known is not None and canonical(asking.person) not in known:
        text = f"{asking.person} is no approver by the configuration as it was loaded; a group counts as it was then: reload"
        return refusal(asking, (finding(FindingCode.NOT_ALLOWED, Severity.REFUSED, text),))
    track = find(draft, digest)
    if track is None or track.is_proposed:
        return _approve_proposal(draft, asking, digest)
    if canonical(asking.person) == canonical(track.goal.owner):
        return own_request(asking)
    if track.state is GoalState.WAITING:
        return _approve_waiting(draft, asking, track, again)
    if track.fresh is not None and digest == track.fresh_digest:
        return _approve_fresh(draft, asking, track)
    text = f"{track.goal.verb.value} of {track.goal.owner} is {track.state.value}: this approval is not asked for"
    return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, digest=digest),))


def _approve_waiting(draft: Draft, asking: OperatorRequest, track: GoalTrack, again: Again) -> Answer:
    """The request is answered once more with this approval: granted, still one short, or not what was shown any more."""
    approval = approval_of(asking, track.digest, track.envelope, draft.now_ms)
    before, commands = draft.state, len(draft.commands)
    draft.set_goal(approved(track, approval))
    shown = Offer(goal=track.goal, envelope=track.envelope)
    reply = again(draft, replace(track.asking, digest=track.digest, shown=shown))
    reply = replace(reply, asking=asking.id)
    if reply.severity is Severity.REFUSED:
        draft.state = before
        del draft.commands[commands:]
        return reply
    record_approval(draft, track, approval)
    return reply


def _approve_fresh(draft: Draft, asking: OperatorRequest, track: GoalTrack) -> Answer:
    """Approve the fresh envelope of a goal that is suspended; it goes on once who asked has confirmed it too."""
    folded = refold(draft.state, draft, track)
    assert track.fresh is not None
    look = replace(asking, digest=track.fresh_digest, shown=Offer(goal=track.goal, envelope=track.fresh))
    bound = confirmed_envelope(look, folded)
    if isinstance(bound, Finding):
        renew(draft, track)
        return _answer(asking, Severity.REFUSED, folded, (bound,))
    bound = bound or track.fresh
    approval = approval_of(asking, track.fresh_digest or "", bound, draft.now_ms)
    track = approved(replace(track, fresh=bound), approval)
    draft.set_goal(track)
    record_approval(draft, track, approval)
    return _resume(draft, asking, track, folded)


def _resume(draft: Draft, asking: OperatorRequest, track: GoalTrack, folded: Folded) -> Answer:
    """Go on by the fresh envelope, if nothing is missing any more."""
    assert track.fresh is not None
    people, needed = track.approvers(track.fresh_digest), track.fresh.approvals_needed
    if len(people) < needed or not track.is_fresh_confirmed:
        missing = f"{track.goal.owner} has to confirm it" if not track.is_fresh_confirmed else ""
        return replace(
            _answer(asking, Severity.NEEDS_APPROVAL, folded, (left_finding(track), *folded.findings)),
            offer=Offer(goal=track.goal, envelope=track.fresh),
            approved_by=people,
            note=missing,
            waits_until_ms=track.fresh.start_by_ms,
        )
    envelope = begun_at(track.fresh, folded.offer.envelope)
    given = (replace(a, expires_ms=envelope.ends_at_ms) if a.digest == track.fresh_digest else a for a in track.approvals)
    running = replace(
        track,
        state=GoalState.RUNNING,
        since_ms=draft.now_ms,
        envelope=envelope,
        fresh=None,
        left=None,
        at_target=frozenset(),
        is_fresh_confirmed=False,
        approvals=tuple(a for a in given if a.digest == track.fresh_digest or not a.counts),
    )
    running = replace(running, approvals=running.in_use() if running.is_started else running.approvals)
    draft.set_goal(running)
    draft.set(
        overrides=tuple(
            replace(o, approved_by=people, plan_digest=running.digest) if o.id == track.override else o
            for o in draft.state.overrides
        )
    )
    draft.record("goal", {"goal": track.goal.digest, "digest": running.digest, "state": "running", "override": track.override})
    return replace(_answer(asking, Severity.ALLOWED, folded, ()), approved_by=people, note="it goes on by the fresh envelope")


def _answer(asking: OperatorRequest, severity: Severity, folded: Folded, findings: tuple[Finding, ...]) -> Answer:
    plans = (folded.plan,) if folded.plan is not None else ()
    return Answer(asking=asking.id, severity=severity, findings=findings, plans=plans, offer=folded.offer)


# -- the same request again -----------------------------------------------------------------------------------------------


def join(draft: Draft, asking: OperatorRequest, track: GoalTrack | None, first: Override | None) -> Answer:
    """A second identical request joins the first; with the digest of a fresh envelope it confirms that one.

    ``first`` is the override that carries it out, where there is one; ``track`` what it is bound by, if by anything.
    """
    if track is None or asking.digest in (None, track.digest):
        if track is not None and track.state is GoalState.SUSPENDED:
            return _suspended(draft, asking, track)
        if track is not None and (waiting := _at_the_gate(draft, asking, track)) is not None:
            return waiting
        where = f"in force as override {first.id}" if first is not None else "under way"
        text = f"the same was asked for before and is {where}; nothing was added"
        return Answer(asking=asking.id, severity=Severity.ALLOWED, override=first, note=text)
    folded = refold(draft.state, draft, track)
    bound = confirmed_envelope(_with_offered(asking, track), folded)
    if isinstance(bound, Finding):
        if track.state is GoalState.SUSPENDED:
            renew(draft, track)
        return _answer(asking, Severity.REFUSED, folded, (bound,))
    if bound is None:
        return _suspended(draft, asking, track)
    fresh_digest = Offer(goal=folded.offer.goal, envelope=bound).digest
    track = replace(track, goal=folded.offer.goal, fresh=bound, is_fresh_confirmed=True)
    if track.state is not GoalState.SUSPENDED and len(track.approvers(fresh_digest)) >= bound.approvals_needed:
        return _resume(draft, asking, track, folded)
    draft.set_goal(track)
    return _resume(draft, asking, track, folded)


def _at_the_gate(draft: Draft, asking: OperatorRequest, track: GoalTrack) -> Answer | None:
    """What a goal under way needs a yes for that nobody has given; None: nothing."""
    if track.state is not GoalState.RUNNING:
        return None
    folded = refold(draft.state, draft, track)
    new = tuple(e for e in folded.findings if e.severity is Severity.NEEDS_APPROVAL and not track.envelope.accepts(e))
    return _answer(asking, Severity.NEEDS_APPROVAL, folded, new) if new else None


def _with_offered(asking: OperatorRequest, track: GoalTrack) -> OperatorRequest:
    """What was offered to everybody needs nobody who remembers having shown it."""
    if asking.shown is None and track.fresh is not None and asking.digest == track.fresh_digest:
        return replace(asking, shown=Offer(goal=track.goal, envelope=track.fresh))
    return asking


def _suspended(draft: Draft, asking: OperatorRequest, track: GoalTrack) -> Answer:
    folded = refold(draft.state, draft, track)
    return _answer(asking, Severity.NEEDS_APPROVAL, folded, (left_finding(track), *folded.findings))


# -- what siteshift proposes ----------------------------------------------------------------------------------------------


def proposal_from(plan: Plan | None, state: ControllerState, setup: Setup, now_ms: int) -> Folded | None:
    """What siteshift would do now, and what of it waits for a person."""
    if plan is None:
        return None
    return fold_goal(proposal_of(plan, setup), plan, plan.findings, state=state, setup=setup, now_ms=now_ms)


def _approve_proposal(draft: Draft, asking: OperatorRequest, digest: str) -> Answer:
    """Approve what waits: for what may not act by itself (law 6), or what a rule wants a person for."""
    folded = proposal_from(planned(draft, draft.state, None), draft.state, draft.setup, draft.now_ms)
    if folded is None:
        text = f"nothing with the digest {digest} waits for an approval: who wants it asks for it first, then it is approved"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, digest=digest),))
    bound = confirmed_envelope(replace(asking, digest=digest), folded)
    if isinstance(bound, Finding) or bound is None:
        return _answer(asking, Severity.REFUSED, folded, (bound or stale(digest, folded.offer),))
    refused = tuple(e for e in folded.findings if e.severity is Severity.REFUSED)
    if refused:
        return _answer(asking, Severity.REFUSED, folded, folded.findings)
    track = _proposed(draft, asking, Offer(goal=folded.offer.goal, envelope=bound))
    approval = approval_of(asking, track.digest, bound, draft.now_ms)
    track = approved(track, approval)
    record_approval(draft, track, approval)
    people = track.approvers()
    needed = max(1, bound.approvals_needed)
    track = replace(track, state=GoalState.RUNNING if len(people) >= needed else GoalState.WAITING)
    draft.set_goal(track)
    draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": track.state.value})
    if track.state is GoalState.WAITING:
        return replace(_answer(asking, Severity.NEEDS_APPROVAL, folded, folded.findings), approved_by=people)
    lifted = tuple(replace(e, severity=Severity.ALLOWED) for e in folded.findings)
    return replace(_answer(asking, Severity.ALLOWED, folded, lifted), approved_by=people)


def _proposed(draft: Draft, asking: OperatorRequest, offer: Offer) -> GoalTrack:
    before = draft.state.goals.get(offer.goal.digest)
    if before is not None and before.digest == offer.digest and before.state in (GoalState.WAITING, GoalState.RUNNING):
        return before
    kept = replace(asking, shown=None)
    return GoalTrack(goal=offer.goal, asking=kept, state=GoalState.WAITING, since_ms=draft.now_ms, envelope=offer.envelope)


# -- taken back -----------------------------------------------------------------------------------------------------------


def take_back(draft: Draft, asking: OperatorRequest, digest: str, person: str | None) -> Answer:
    """Void at once: what waits waits on or is over, what runs is suspended."""
    reply, left, track = revoke(draft, asking, digest, person)
    if track is None or left is None:
        return reply
    if track.state is GoalState.WAITING or track.is_proposed:
        end(draft, track, reply.note or f"{person or asking.person} took the approval back")
    elif track.state is GoalState.RUNNING:
        suspend(draft, track, left)
    elif track.is_fresh_confirmed and canonical(person or asking.person) == canonical(track.goal.owner):
        draft.set_goal(replace(track, is_fresh_confirmed=False))
    return reply
