"""Digests that held when they were given and are formed otherwise here: by version 0.1, or under another policy.

Version 0.1 gave the digest of a plan, with who else approved it in the same request. Here it is of a goal and its envelope, and
the policy is part of that. Whether a digest held is on record: the answer. One that held is put as the digest of what is offered
here, approved by the same people; one that was refused stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from siteshift.core.messages.events import Asked
from siteshift.core.messages.requests import ApproveRequest, OperatorRequest, RevokeRequest
from siteshift.core.model.approval import Approval, Offer
from siteshift.core.model.codes import FindingCode
from siteshift.core.model.setup import Setup
from siteshift.core.operate.answer import look_at
from siteshift.core.state.codec import Document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack

VERSION = "0.1"
_ITS_NAME = "Asking"
"""What version 0.1 called a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What a request of version 0.1 said that is said otherwise now: who else had approved the plan of its digest."""

    approved_by: tuple[str, ...]


def former_of(event: Document) -> Former | None:
    """What stands in a recorded event besides what is read of it; None: it is no request of 0.1 with a digest."""
    asking = event.get("asking", {})
    if asking.get("type") != _ITS_NAME or not (asking.get("digest") or asking["request"].get("digest")):
        return None
    return Former(approved_by=tuple(asking.get("approved_by") or ()))


@dataclass(slots=True)
class Digests:
    """What the digests of a record are here, as far as they were needed."""

    _here: dict[str, str] = field(default_factory=dict)

    def put(
        self, state: ControllerState, event: Asked, setup: Setup, approved_by: Sequence[str] = ()
    ) -> tuple[ControllerState, Asked]:
        """The request with the digest of what is offered here, and the state with what ``approved_by`` approved of it before."""
        asking = self._renamed(event.asking)
        found = look_at(state, setup, asking, event.at_ms)
        is_stale = any(entry.code is FindingCode.STALE_DIGEST for entry in found.findings)
        if found.offer is None or not is_stale:
            return state, replace(event, asking=asking)
        offer, is_approval = found.offer, isinstance(asking.request, ApproveRequest)
        given = asking.request.digest if isinstance(asking.request, ApproveRequest) else asking.digest
        self._here[given or ""] = offer.digest
        if is_approval:
            asking = replace(asking, request=ApproveRequest(digest=offer.digest))
        else:
            asking = replace(asking, digest=offer.digest, shown=offer)
        others = tuple(person for person in approved_by if not (is_approval and person == asking.person))
        return _approved(state, asking, offer, others, event.at_ms), replace(event, asking=asking)

    def _renamed(self, asking: OperatorRequest) -> OperatorRequest:
        match asking.request:
            case ApproveRequest(digest=digest) if digest in self._here:
                return replace(asking, request=ApproveRequest(digest=self._here[digest]))
            case RevokeRequest(digest=digest) as revoking if digest in self._here:
                return replace(asking, request=replace(revoking, digest=self._here[digest]))
            case _:
                return asking


def _approved(
    state: ControllerState, asking: OperatorRequest, offer: Offer, people: Sequence[str], at_ms: int
) -> ControllerState:
    """The goal as it waits for who asks, with the others' approvals."""
    if not people:
        return state
    ends_ms = offer.envelope.ends_at_ms
    waiting = GoalTrack(
        goal=offer.goal,
        asking=replace(asking, shown=None),
        state=GoalState.WAITING,
        since_ms=at_ms,
        envelope=offer.envelope,
        approvals=tuple(
            Approval(digest=offer.digest, person=person, rank="", via=VERSION, at_ms=at_ms, expires_ms=ends_ms)
            for person in people
        ),
    )
    return state.changed(goals={**state.goals, offer.goal.digest: waiting})
