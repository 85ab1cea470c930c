"""Goals, envelopes and approvals as documents, with the words a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from siteshift.core.model.approval import Approval, Direction, Envelope, Goal, Offer, Verb
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack

Document = dict[str, Any]

_PER = {"utilisation_pm": 10, "shed_bp": 100, "stays_bp": 100}
_MOST = {
    "utilisation_pm": ", up to {:g} % of capacity",
    "shed_bp": ", up to {:g} % shed",
    "stays_bp": ", up to {:g} % stays where it is",
}
"""The numbers of findings that are bounds, in words."""

_ORDER = (GoalState.SUSPENDED, GoalState.WAITING, GoalState.RUNNING, GoalState.REACHED, GoalState.ENDED)
"""What stands still for want of a person comes first."""


def offer_document(offer: Offer) -> Document:
    """What a person confirms or approves."""
    envelope = offer.envelope
    return {
        "digest": offer.digest,
        "goal": {**_goal(offer.goal), "digest": offer.goal.digest},
        "envelope": _envelope(envelope),
        "approvals_needed": envelope.approvals_needed,
        "lines": list(envelope_lines(envelope)),
    }


def goals_document(state: ControllerState, now_ms: int) -> list[Document]:
    """Every goal that is known, those that want a person's eye first."""
    tracks = sorted(state.goals.values(), key=lambda track: (_ORDER.index(track.state), -track.since_ms))
    return [goal_document(track, now_ms) for track in tracks]


def goal_document(track: GoalTrack, now_ms: int) -> Document:
    fresh = Offer(goal=track.goal, envelope=track.fresh) if track.fresh is not None else None
    return {
        **offer_document(Offer(goal=track.goal, envelope=track.envelope)),
        "words": goal_words(track.goal),
        "state": track.state.value,
        "since_ms": track.since_ms,
        "is_started": track.is_started,
        "override": track.override,
        "approvals": [_approval(entry) for entry in track.approvals],
        "approvals_missing": approvals_missing(track),
        "confirmation_missing": track.fresh is not None and not track.is_fresh_confirmed,
        "left_ms": max(0, _ends_ms(track) - now_ms),
        "left": {"field": track.left.field, "approved": track.left.approved, "now": track.left.now} if track.left else None,
        "fresh": offer_document(fresh) if fresh is not None else None,
        "ended_because": track.ended_because,
    }


def approvals_missing(track: GoalTrack) -> int:
    """How many persons are still to approve what is offered now."""
    if track.state is GoalState.ENDED:
        return 0
    envelope, digest = (track.fresh, track.fresh_digest) if track.fresh is not None else (track.envelope, track.digest)
    needed = max(int(track.is_proposed), envelope.approvals_needed)
    return max(0, needed - len(track.approvers(digest))) if track.state in (GoalState.WAITING, GoalState.SUSPENDED) else 0


def _ends_ms(track: GoalTrack) -> int:
    is_begun = track.is_started or track.state is GoalState.REACHED
    return track.envelope.ends_at_ms if is_begun else track.envelope.start_by_ms


def goal_words(goal: Goal) -> str:
    """What is wanted, in a line."""
    services = ", ".join(goal.services)
    match goal.verb:
        case Verb.DRAIN | Verb.UNDRAIN:
            return f"{goal.verb.value} {', '.join(goal.sites)} ({services})"
        case Verb.DEPOOL | Verb.POOL:
            return f"{goal.verb.value} {', '.join(goal.members)}"
        case Verb.SHARES:
            shares = ", ".join(f"{site} {bp / 100:g} %" for site, bp in goal.shares_bp.items())
            return f"shares of {services}: {shares}"
        case Verb.LIFT:
            return f"lift override {goal.override}"
        case _:
            return f"proposed ({goal.cause}): {services}, less at {', '.join(goal.sites) or 'no site'}"


def envelope_lines(envelope: Envelope) -> Iterator[str]:
    """The bounds in words, one line a service and site."""
    for b in envelope.bounds:
        line = f"{b.service} at {b.site}: share {b.share_min_bp / 100:g} to {b.share_max_bp / 100:g} %"
        yield f"{line}, load at most {b.utilisation_max_pm / 10:g} % of capacity"
    for service, bp in envelope.shed_max_bp.items():
        if bp:
            yield f"{service}: at most {bp / 100:g} % shed"
    for way, word in ((Direction.IN, "taken into service"), (Direction.OUT, "taken out")):
        members = [member for member, direction in envelope.members.items() if direction is way]
        if members:
            yield f"{word}: {', '.join(members)}"
    for entry in envelope.accepted:
        where = entry.numbers.get("site") or entry.numbers.get("member") or ""
        most = "".join(_MOST[key].format(int(number) / per) for key, number in entry.numbers.items() if (per := _PER.get(key)))
        yield f"accepted: {entry.code.value}{f' at {where}' if where else ''}{most}"


def _goal(goal: Goal) -> Document:
    return {
        "verb": goal.verb.value,
        "services": list(goal.services),
        "sites": list(goal.sites),
        "members": list(goal.members),
        "shares_bp": dict(goal.shares_bp),
        "override": goal.override,
        "cause": goal.cause,
        "owner": goal.owner,
        "ticket": goal.ticket,
        "life_ms": goal.life_ms,
        "expires_ms": goal.expires_ms,
        "topology": goal.topology,
        "policy": goal.policy,
    }


def _envelope(envelope: Envelope) -> Document:
    return {
        "bounds": [
            {
                "service": b.service,
                "site": b.site,
                "share_min_bp": b.share_min_bp,
                "share_max_bp": b.share_max_bp,
                "utilisation_max_pm": b.utilisation_max_pm,
            }
            for b in envelope.bounds
        ],
        "shed_max_bp": dict(envelope.shed_max_bp),
        "members": {member: way.value for member, way in envelope.members.items()},
        "planes": list(envelope.planes),
        "accepted": [
            {"code": e.code.value, "numbers": dict(e.numbers), "approvals_needed": e.approvals_needed}
            for e in envelope.accepted
        ],
        "not_before_ms": envelope.not_before_ms,
        "start_by_ms": envelope.start_by_ms,
        "ends_at_ms": envelope.ends_at_ms,
    }


def _approval(approval: Approval) -> Document:
    return {
        "digest": approval.digest,
        "person": approval.person,
        "rank": approval.rank,
        "via": approval.via,
        "at_ms": approval.at_ms,
        "expires_ms": approval.expires_ms,
        "state": approval.state.value,
    }
