"""Everything the controller can hear. Each event carries its instant; every event is legal in every state."""

from __future__ import annotations

from dataclasses import dataclass

from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.plan import Foreseen, Plan
from siteshift.core.model.steering import EnactResult, ReadBack
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time passed."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportArrived:
    """A vantage published its beliefs."""

    at_ms: int
    report: VantageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class EnactFinished:
    """A write to a data plane ended, one way or another."""

    at_ms: int
    result: EnactResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBackArrived:
    """A data plane was read."""

    at_ms: int
    read_back: ReadBack


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBackFailed:
    """A data plane could not be read: unknown, not absent."""

    at_ms: int
    enactor: EnactorId
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTraffic:
    """Requests given to a service at a site within the last window, and what became of them.

    ``answered``: those that got a good answer, counted when it came; None: the meter cannot tell it from those that
    still wait, and it is ``requests`` less ``errors``. ``passed_on``: those that failed there and were given to another
    server, where they count once more: attempts here, and demand only there.
    """

    service: ServiceId
    site: SiteId
    window_ms: int
    requests: int
    errors: int
    answered: int | None = None
    passed_on: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficMeasured:
    """A meter told what it saw."""

    at_ms: int
    seen: tuple[SeenTraffic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyReported:
    """A standby driver told where a member is."""

    at_ms: int
    member: MemberId
    phase: StandbyPhase
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An operator asks for something."""

    at_ms: int
    asking: OperatorRequest
    foreseen: tuple[Foreseen, ...] = ()
    """Plans folded in slices before this was put to the core, so that answering it does not hold the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFolded:
    """A plan was folded beside the loop for what siteshift does by itself; ``basis`` are the facts it was folded from."""

    at_ms: int
    basis: str
    plan: Plan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChanged:
    """The store became usable or was lost."""

    at_ms: int
    is_usable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermChanged:
    """Leadership: the term this node holds, or None when it holds none."""

    at_ms: int
    term: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The setup given with this event is a new one (law 15: one event, all or nothing)."""

    at_ms: int
    digest: str


Event = (
    Ticked
    | ReportArrived
    | EnactFinished
    | ReadBackArrived
    | ReadBackFailed
    | TrafficMeasured
    | StandbyReported
    | Asked
    | PlanFolded
    | StoreChanged
    | TermChanged
    | Reloaded
)
