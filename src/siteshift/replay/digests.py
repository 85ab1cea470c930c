"""Digests that held when they were given and are others here: under another policy, or as another version formed them.

Whether a digest held is on record: the answer. One that held is put as the digest of what is offered here; one that was refused
stays as it is. Versions keep the form of digests (`core.model.digest`), so under the policy of the record none is another one;
version 0.1 gave the digest of a plan, with who else approved it in the same request, and that is put with their approvals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from siteshift.core.messages.events import Asked, Event
from siteshift.core.messages.requests import ApproveRequest, OperatorRequest, RevokeRequest
from siteshift.core.model.approval import Approval, Offer
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.setup import Setup
from siteshift.core.operate.answer import look_at
from siteshift.core.state.codec import Document
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack

VERSION = "0.1"


def approved_by(event: Document) -> tuple[str, ...]:
    """Who else had approved what a recorded request gives the digest of; only version 0.1 said so in the request."""
    return tuple(event.get("asking", {}).get("approved_by") or ())


@dataclass(slots=True)
class Digests:
    """What the digests of a record are here, as far as they were needed.

    ``others``: so many requests gave one that held, and that is another one here.
    """

    others: int = 0
    _here: dict[str, str] = field(default_factory=dict)

    def put(
        self, state: ControllerState, event: Event, setup: Setup, answered: Severity, approved_by: Sequence[str] = ()
    ) -> tuple[ControllerState, Event]:
        """A request with the digest of what is offered here, and the state with what ``approved_by`` approved of it before.

        What is no request, was refused or gives no digest stays as it is.
        """
        if not isinstance(event, Asked) or answered is Severity.REFUSED:
            return state, event
        asking = self._renamed(event.asking)
        if asking.digest is None and not isinstance(asking.request, ApproveRequest):
            return state, replace(event, asking=asking)
        found = look_at(state, setup, asking, event.at_ms)
        is_stale = any(entry.code is FindingCode.STALE_DIGEST for entry in found.findings)
        if found.offer is None or not is_stale:
            return state, replace(event, asking=asking)
        offer, is_approval = found.offer, isinstance(asking.request, ApproveRequest)
        given = asking.request.digest if isinstance(asking.request, ApproveRequest) else asking.digest
        self._here[given or ""] = offer.digest
        self.others += 1
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
