"""Confirming, approving and revoking (law 13).

*Confirming* is giving the digest of what one looked at: who asks always does that before traffic moves, except where they say
they need not look (`--yes`). *Approving* is what persons other than who asked do. A request that needs others is kept until
they approve it, at most `START_WITHIN_MS`. Whatever was shown is folded again when somebody confirms or approves, and counts
only as long as what is predicted now lies within it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from siteshift.core.decide.envelope import is_within
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.approval import Approval, ApprovalState, Envelope, Left, Offer, canonical
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.finding import Finding, finding, verdict
from siteshift.core.model.plan import Plan
from siteshift.core.operate.envelope import Folded, begun_at
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, GoalTrack

Grant = Callable[[GoalTrack | None], Answer]
"""Carries a request out. The track is what it is bound by; None: nothing was confirmed, the gate alone judges its steps."""

ADMIN = "admin"


def refusal(asking: OperatorRequest, findings: tuple[Finding, ...]) -> Answer:
    """No, and why."""
    return Answer(asking=asking.id, severity=Severity.REFUSED, findings=findings)


def settle(draft: Draft, asking: OperatorRequest, folded: Folded, grant: Grant) -> Answer:
    """Grant a request, keep it until others approve it, or say what is missing."""
    plans: tuple[Plan, ...] = (folded.plan,) if folded.plan is not None else ()
    answer = Answer(asking=asking.id, severity=Severity.REFUSED, findings=folded.findings, plans=plans, offer=folded.offer)
    bound = confirmed_envelope(asking, folded)
    if isinstance(bound, Finding):
        return replace(answer, findings=(bound, *folded.findings))
    severity = verdict(folded.findings)
    if severity is Severity.REFUSED:
        return answer
    needed = others_needed(folded.findings)
    if severity is Severity.NEEDS_APPROVAL and (bound is None or needed is None):
        return replace(answer, severity=Severity.NEEDS_APPROVAL)
    if bound is None:
        return replace(grant(None), findings=folded.findings, plans=plans, offer=folded.offer)
    track = _kept(draft, asking, Offer(goal=folded.offer.goal, envelope=bound))
    people = track.approvers()
    if len(people) < (needed or 0):
        draft.set_goal(track)
        draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "waiting", "needs": needed})
        return replace(
            answer,
            severity=Severity.NEEDS_APPROVAL,
            offer=Offer(goal=track.goal, envelope=track.envelope),
            approved_by=people,
            waits_until_ms=track.envelope.start_by_ms,
        )
    granted = grant(replace(track, state=GoalState.RUNNING, since_ms=draft.now_ms))
    lifted = tuple(replace(entry, severity=Severity.ALLOWED) for entry in folded.findings)
    offer = Offer(goal=track.goal, envelope=track.envelope)
    return replace(granted, findings=lifted, plans=plans, offer=offer, approved_by=people)


def confirmed_envelope(asking: OperatorRequest, folded: Folded) -> Envelope | Finding | None:
    """The envelope that was looked at, None when none was, or why it does not hold any more."""
    if asking.digest is None:
        return None
    if asking.digest == folded.offer.digest:
        return folded.offer.envelope
    shown = asking.shown
    is_same_goal = shown is not None and shown.digest == asking.digest and shown.goal.digest == folded.offer.goal.digest
    if shown is not None and is_same_goal and is_within(folded.predicted, shown.envelope):
        return begun_at(shown.envelope, folded.offer.envelope)
    return stale(asking.digest, folded.offer)


def stale(given: str, fresh: Offer) -> Finding:
    """What was looked at is not what would happen now."""
    text = f"what you looked at ({given}) is not what would happen now ({fresh.digest})"
    return finding(FindingCode.STALE_DIGEST, Severity.REFUSED, text, given=given, now=fresh.digest)


def others_needed(findings: tuple[Finding, ...]) -> int | None:
    """How many persons other than who asked lift everything that needs approval; None: nobody can."""
    needed = [entry.approvals_needed for entry in findings if entry.severity is Severity.NEEDS_APPROVAL]
    return None if None in needed else max((n for n in needed if n is not None), default=0)


def _kept(draft: Draft, asking: OperatorRequest, offer: Offer) -> GoalTrack:
    """The track of a request that was confirmed; approvals given to exactly this offer stay."""
    before = draft.state.goals.get(offer.goal.digest)
    if before is not None and before.state is GoalState.WAITING and before.digest == offer.digest:
        return before
    return GoalTrack(
        goal=offer.goal,
        asking=replace(asking, shown=None),
        state=GoalState.WAITING,
        since_ms=draft.now_ms,
        envelope=offer.envelope,
    )


def find(draft: Draft, digest: str) -> GoalTrack | None:
    """The goal that is offered, or was approved, under a digest."""
    tracks = [t for t in draft.state.goals.values() if t.state is not GoalState.ENDED]
    return next((track for track in tracks if digest in (track.digest, track.fresh_digest)), None)


def approval_of(asking: OperatorRequest, digest: str, envelope: Envelope, now_ms: int) -> Approval:
    return Approval(
        digest=digest,
        person=asking.person,
        rank=asking.rank,
        via=asking.via,
        at_ms=now_ms,
        expires_ms=envelope.ends_at_ms,
    )


def approved(track: GoalTrack, approval: Approval) -> GoalTrack:
    """The track with one more approval; the same person's earlier one of the same offer is replaced."""
    who, digest = canonical(approval.person), approval.digest
    others = tuple(a for a in track.approvals if not (canonical(a.person) == who and a.digest == digest and a.counts))
    return replace(track, approvals=(*others, approval))


def record_approval(draft: Draft, track: GoalTrack, approval: Approval) -> None:
    data: dict[str, object] = {"goal": track.goal.digest, "digest": approval.digest, "person": approval.person}
    data |= {"rank": approval.rank, "via": approval.via, "at_ms": approval.at_ms}
    data |= {"expires_ms": approval.expires_ms, "state": approval.state.value}
    draft.record("approval", data)


def own_request(asking: OperatorRequest) -> Answer:
    text = f"{asking.person} asked for this; confirming what one asked for oneself is no approval"
    return refusal(asking, (finding(FindingCode.OWN_REQUEST, Severity.REFUSED, text, person=asking.person),))


def revoke(
    draft: Draft, asking: OperatorRequest, digest: str, person: str | None
) -> tuple[Answer, Left | None, GoalTrack | None]:
    """Take approvals back. Says what the goal lacks now, for whoever suspends it."""
    track = find(draft, digest)
    if track is None:
        text = f"no goal with the digest {digest} waits or runs"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, digest=digest),)), None, None
    whose = canonical(person or asking.person)
    if whose != canonical(asking.person) and asking.rank != ADMIN:
        text = f"only {person} or an admin may take back what {person} approved"
        return refusal(asking, (finding(FindingCode.NOT_ALLOWED, Severity.REFUSED, text),)), None, None
    granted = Answer(asking=asking.id, severity=Severity.ALLOWED)
    if whose == canonical(track.goal.owner):
        if (nothing := _not_taken_back(asking, track)) is not None:
            return nothing, None, None
        return replace(granted, note=f"{track.goal.owner} takes the request back"), _withdrawn(track), track
    mine = [a for a in track.approvals if canonical(a.person) == whose and a.counts]
    if not mine:
        text = f"{person or asking.person} has no approval of {digest} that counts"
        return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, digest=digest),)), None, None
    after = without_approvals(draft, track, mine)
    return granted, lacks(after), after


def _not_taken_back(asking: OperatorRequest, track: GoalTrack) -> Answer | None:
    """Why there is nothing to take back of one's own request: what it forced is ended otherwise."""
    if track.state not in (GoalState.REACHED, GoalState.SUSPENDED) or track.is_fresh_confirmed:
        return None
    said = "is done" if track.state is GoalState.REACHED else "is suspended already"
    text = f"{track.goal.verb.value} of {track.goal.owner} {said}: nothing of it waits or moves by that word"
    if track.override is not None:
        text += f"; what it forced holds until `siteshift override lift {track.override}`"
    return refusal(asking, (finding(FindingCode.NOTHING_TO_DO, Severity.REFUSED, text, digest=track.digest),))


def _withdrawn(track: GoalTrack) -> Left:
    return Left(field="confirmation", approved=f"by {track.goal.owner}", now="taken back")


def without_approvals(draft: Draft, track: GoalTrack, gone: list[Approval]) -> GoalTrack:
    """The track with approvals that are void."""
    for approval in gone:
        record_approval(draft, track, replace(approval, state=ApprovalState.REVOKED))
    after = replace(track, approvals=tuple(replace(a, state=ApprovalState.REVOKED) if a in gone else a for a in track.approvals))
    draft.set_goal(after)
    return after


def lacks(track: GoalTrack) -> Left | None:
    """What a goal in force is missing of its approvals."""
    needed, have = max(int(track.is_proposed), track.envelope.approvals_needed), len(track.approvers())
    if track.state is not GoalState.RUNNING or have >= needed:
        return None
    return Left(field="approvals", approved=str(needed), now=str(have))
