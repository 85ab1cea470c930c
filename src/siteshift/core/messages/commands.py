"""Everything the controller can ask for. The runtime carries commands out in the order given; results are events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.model.approval import Offer
from siteshift.core.model.codes import Severity
from siteshift.core.model.finding import Finding
from siteshift.core.model.notice import Notice
from siteshift.core.model.override import Override
from siteshift.core.model.plan import Plan
from siteshift.core.model.steering import Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, TargetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """Write the durable part of the state before anything that follows is carried out."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enact:
    """Bring one data plane to this steering."""

    enactor: EnactorId
    steering: Steering


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlane:
    """Read one data plane."""

    enactor: EnactorId


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateStandby:
    """Start a standby member."""

    member: MemberId
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireStandby:
    """Send a member back to standby."""

    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStandby:
    """Ask a driver where a member is."""

    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprobeStandby:
    """Look at these standbys afresh, at the fast interval, until then: what they were while closed does not count."""

    targets: tuple[TargetId, ...]
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMeters:
    """Read the meters of these places at once, for the judge: users may be answered where checks are not.

    What has not answered within ``deadline_ms`` is no evidence.
    """

    places: tuple[tuple[ServiceId, SiteId], ...]
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Write a journal entry. ``data`` is JSON-compatible."""

    kind: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell(Notice):
    """Tell people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to an operator's request: granted, needs approval or refused, with the plan it would mean.

    ``offer`` is what a person confirms or approves by its digest. ``waits_until_ms``: the request is kept and waits for others
    until then. ``note`` says what else happened, as that an identical request was joined.
    """

    asking: str
    severity: Severity
    findings: tuple[Finding, ...] = ()
    plans: tuple[Plan, ...] = ()
    override: Override | None = None
    offer: Offer | None = None
    approved_by: tuple[str, ...] = ()
    waits_until_ms: int | None = None
    note: str = ""


Command = (
    Remember
    | Enact
    | ReadPlane
    | ActivateStandby
    | RetireStandby
    | AskStandby
    | ReprobeStandby
    | ReadMeters
    | Record
    | Tell
    | Answer
)
