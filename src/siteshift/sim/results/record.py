"""What a run leaves behind: series by the second, what every node did and believed, what was lost and why.

All of it is plain data. Instants are milliseconds relative to the scenario's zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from siteshift.core.model.units import ServiceId, SiteId, VantageId
from siteshift.sim.results.loss import JUDGING, Loss


class LostTo(StrEnum):
    """Why a user's request was lost (after its retries)."""

    REFUSED = "refused"
    """Nobody listened: a crashed site, a pool without members."""
    SILENT = "silent"
    """No answer within the user's deadline: hang, cut link, dark site."""
    ERROR = "error"
    """An error answer of a faulty member or a broken dependency."""
    OVERLOAD = "overload"
    """Turned away, or not answered within its user's patience, because of a full queue."""
    SHED = "shed"
    """Demand that the steering sheds openly (where the service has an answer for it)."""


class Second(NamedTuple):
    """One service at one site in one second. ``offered`` counts first tries and retries that reached the site.

    ``late`` is what users had to wait too long for since their first try (`loss`); ``slow`` only what took too long at this site.
    A named tuple: a day of the standard world makes 780,000 of them, and a frozen dataclass costs five times as much to make.
    ``desired_bp`` is the leader's, ``actual_bp`` what the data planes give to new askers, ``seen_bp`` what users' requests did.
    ``utilisation_pm`` is load over the capacity of members that are open and alive; 0 when there is none.
    """

    service: ServiceId
    site: SiteId
    at_ms: int
    offered: float
    served: float
    lost: float
    late: float
    slow: float
    backlog: float
    utilisation_pm: int
    desired_bp: int
    actual_bp: int
    seen_bp: int
    latency_ms: int


class Shed(NamedTuple):
    """What of one service the sorry page answered in one second, where it answered any."""

    service: ServiceId
    at_ms: int
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the transcript. ``text`` is canonical; ``data`` what it was made of, for reports."""

    at_ms: int
    node: str
    kind: str
    """``decision`` ``finding`` ``life`` ``belief`` ``command`` ``answer`` ``term`` ``tell`` ``violation`` ``fault`` ``plane``
    ``standby`` ``store`` ``note``"""
    text: str
    data: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:+.3f} {self.node} {self.kind} {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A law broken by a node's core, as its checker tells."""

    at_ms: int
    node: VantageId
    law: int
    text: str


HEALTHY_PM = 970
"""A pool whose true goodput is at least this is healthy: what the default policy would not leave."""
SICK_PM = 500
"""One whose true goodput is below this is sick: sending it more is wrong."""


class Truth(NamedTuple):
    """Three facts about a service at a site, none of which follows from another.

    ``good_pm``     what its members answer well of what they are asked, faults and dependencies counted, overload not.
    ``reach_pm``    what the link leaves in time of what its users ask there and are answered.
    ``is_cut_off``  no other site gets there: it serves its users, and nobody outside can know.
    """

    good_pm: int
    reach_pm: int = 1_000
    is_cut_off: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether any of its users get there."""
        return self.reach_pm > 0

    @property
    def is_healthy(self) -> bool:
        """Whether leaving it is wrong."""
        return self.good_pm * self.reach_pm // 1_000 >= HEALTHY_PM and not self.is_cut_off

    @property
    def is_sick(self) -> bool:
        """Whether sending it more is wrong."""
        return self.good_pm * self.reach_pm // 1_000 < SICK_PM

    def __str__(self) -> str:
        """``400 pm, out of reach``"""
        reach = "out of reach" if not self.is_reached else f"{self.reach_pm} pm in reach"
        return ", ".join([f"{self.good_pm} pm"] + [reach] * (self.reach_pm < 1_000) + ["cut off"] * self.is_cut_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of a service's desired shares by whoever led. ``wrong``: why it was a wrong move; empty: it was not.

    ``truth`` is what was true of each site then; ``left`` the healthy sites that it took below half of what they should have;
    ``forced`` the sites that people had decided about.
    """

    at_ms: int
    by: str
    service: ServiceId
    before_bp: Mapping[SiteId, int]
    after_bp: Mapping[SiteId, int]
    shed_bp: int
    truth: Mapping[SiteId, Truth]
    generation: int
    left: tuple[SiteId, ...] = ()
    forced: tuple[SiteId, ...] = ()
    wrong: str = ""

    @property
    def is_by_people(self) -> bool:
        """Whether it changes the share of a site that people decided about."""
        return any(self.before_bp.get(site, 0) != self.after_bp.get(site, 0) for site in self.forced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injury:
    """One fault as it happened, with what it harmed. ``healed_ms`` None: it lasted."""

    label: str
    kind: str
    text: str
    at_ms: int
    sites: tuple[SiteId, ...] = ()
    healed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestones:
    """What followed one injury, in ms after it; None: it did not happen before the run's end or the next injury's.

    ``detect_ms``  a leader's picture calls a harmed pool or site bad.
    ``decide_ms``  desired shares lower a harmed site's share.
    ``t50_ms`` ``t95_ms``  half, and 95 %, of users' requests that went to harmed sites before go elsewhere.
    ``loss``  of all services since.
    ``site_rps``  the harmed site's traffic before.
    """

    label: str
    site: SiteId
    detect_ms: int | None
    decide_ms: int | None
    t50_ms: int | None
    t95_ms: int | None
    loss: Loss
    site_rps: float

    def lost_s(self, late_weight: float = JUDGING) -> float:
        """The loss in seconds of the harmed site's traffic; 0 where it had none."""
        return self.loss.weighed(late_weight) / self.site_rps if self.site_rps > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A whole run."""

    seed: int
    duration_ms: int
    seconds: tuple[Second, ...]
    sheds: tuple[Shed, ...]
    transcript: tuple[Line, ...]
    violations: tuple[Broken, ...]
    moves: tuple[Move, ...]
    injuries: tuple[Injury, ...]
    milestones: tuple[Milestones, ...]
    offered: float
    served: float
    lost: Mapping[LostTo, float]
    late: float
    """A part of those served."""
    pending: float
    """Requests in queues or waiting to be tried again at the end: offered = served + lost + pending."""
    peak_utilisation_pm: Mapping[SiteId, int]
    """Over the whole run, of sites that were not harmed at the time."""
    probes: Mapping[VantageId, int]
    facts: tuple[Line, ...] = ()
    """Facility signals and work that went on: recorded even where today's core does not hear of them."""

    @property
    def loss(self) -> Loss:
        """Of the whole run, warm-up included."""
        shed = self.lost.get(LostTo.SHED, 0.0)
        return Loss(failed=sum(self.lost.values()) - shed, shed=shed, late=self.late)

    @property
    def wrong_moves(self) -> tuple[Move, ...]:
        return tuple(move for move in self.moves if move.wrong)

    def text(self) -> str:
        """The transcript as text, one line each: byte for byte the same for the same seed."""
        return "".join(f"{line}\n" for line in self.transcript)

    def digest(self) -> str:
        """SHA-256 of the transcript's text."""
        return hashlib.sha256(self.text().encode()).hexdigest()
