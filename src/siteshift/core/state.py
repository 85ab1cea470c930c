"""What the controller believes, wants and remembers. Immutable between events; `durable` names what survives a death.

Real, forced, desired, actual, seen are five fields: ``picture``, ``overrides``, ``steering``, ``planes`` (read back)
and ``traffic``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from siteshift.core.decide.finding import Finding
from siteshift.core.decide.override import Override
from siteshift.core.decide.plan import Plan
from siteshift.core.decide.proposal import Move
from siteshift.core.decide.relief import Relief
from siteshift.core.model.codes import EnactOutcome, SiteLife, StandbyPhase
from siteshift.core.model.evidence import Picture, VantageReport
from siteshift.core.model.steering import ReadBack, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, VantageId

NEVER_MS = 1 << 62
"""An instant that does not come."""


class LeftBecause(StrEnum):
    """Why a site was left."""

    DEAD = "dead"
    SICK = "sick"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTrack:
    """The life of one service at one site. ``flaps`` doubles the hold-down each time and decays with quiet."""

    life: SiteLife = SiteLife.SERVING
    since_ms: int = 0
    left_because: LeftBecause | None = None
    left_at_ms: int = 0
    hold_until_ms: int = 0
    flaps: int = 0
    ramp_step: int = 0
    step_since_ms: int = 0
    is_return_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyTrack:
    """Where a standby member is, as its driver and its probes tell, and whether it is wanted.

    ``failures``: how often in a row it failed since it was last proven.
    """

    phase: StandbyPhase = StandbyPhase.COLD
    since_ms: int = 0
    deadline_ms: int = 0
    wanted_until_ms: int = 0
    proof_since_ms: int = 0
    next_ask_ms: int = 0
    detail: str = ""
    failures: int = 0


class PlaneStanding(StrEnum):
    """How a data plane stands to the desired steering."""

    UNREAD = "unread"
    IN_STEP = "in_step"
    WRITING = "writing"
    BEHIND = "behind"
    UNSURE = "unsure"
    REFUSING = "refusing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneTrack:
    """One data plane. ``confirmed_generation`` is the last one written and acknowledged, or read back.

    ``ended_ms``: when the last write ended, however it did.
    ``read_back`` is the last reading; ``unread_since_ms`` is set while it cannot be read. ``found_generation`` is what
    the plane told when it refused an older write.
    """

    standing: PlaneStanding = PlaneStanding.UNREAD
    sent_generation: int = -1
    confirmed_generation: int | None = None
    outcome: EnactOutcome | None = None
    attempts: int = 0
    next_try_ms: int = 0
    next_read_ms: int = 0
    reading_since_ms: int | None = None
    unread_since_ms: int | None = None
    detail: str = ""
    read_back: ReadBack | None = None
    found_generation: int | None = None
    ended_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """The movements of one service.

    ``tail_until_ms``: until then caches may hold answers given before the last move (law 9).
    ``old_ttl_until_ms``: until then answers with a longer TTL than the present one may live.
    ``cached_bp``: the shares those old answers were given by, before the first move of a row, made at ``cached_ms``.
    ``undo_bp``: shares before the last move, kept while its effect on the survivors is being watched.
    ``relieved``: what overloaded sites were relieved to, and until when they get no more (`decide.relief`).
    ``approved``: a plan a person approved, and who; it covers moves towards exactly its end (law 13).
    ``taken_out``: members that serve no more because a person took them out; they come back when that is lifted (law 5).
    """

    moved_at_ms: int = 0
    tail_until_ms: int = 0
    old_ttl_until_ms: int = 0
    restless_until_ms: int = 0
    cached_bp: Mapping[SiteId, int] = field(default_factory=dict)
    cached_ms: int = 0
    undo_bp: Mapping[SiteId, int] | None = None
    held_until_ms: int = 0
    moves: tuple[Move, ...] = ()
    removals_ms: tuple[int, ...] = ()
    pending: Plan | None = None
    approved: Plan | None = None
    approved_by: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    relieved: Mapping[SiteId, Relief] = field(default_factory=dict)
    taken_out: frozenset[MemberId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficTrack:
    """Seen traffic of one service at one site, in requests per second x 1000.

    ``rate_mrps`` and ``demand_mrps`` are smoothed (`core.traffic`), the others are of the last window. ``demand_mrps`` and
    ``asked_mrps`` leave out what was passed on to another server; ``answered_mrps`` got a good answer. ``since_ms``: when
    it was heard again after a silence (0: never silent).
    """

    at_ms: int
    rate_mrps: int
    last_mrps: int
    window_ms: int = 1_000
    asked_mrps: int = 0
    answered_mrps: int = 0
    demand_mrps: int = 0
    since_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandTrack:
    """Measured demand of a service: the highest smoothed total within the last minutes, in requests per second.

    ``troubled_at_ms``: when what was counted was last in doubt, because users and load balancers tried again.
    """

    peak_rps: int
    peak_at_ms: int
    since_ms: int = 0
    troubled_at_ms: int = 0


_NEW_TRACK, _NEW_MOTION, _NEW_PLANE, _NEW_STANDBY = SiteTrack(), Motion(), PlaneTrack(), StandbyTrack()
"""What is true of what was never heard of. They cannot change, so everybody may share them."""


@dataclass(frozen=True, kw_only=True)
class ControllerState:
    """Everything. Not slotted: `changed` is called several times a step, and copying a dictionary costs a tenth of `replace`.

    ``wake_at_ms``     the earliest instant at which time alone could change anything: the least of the next two and of when
                       a report falls silent for too long.
    ``rethink_at_ms``  from when on the whole must be derived anew; ``chores_at_ms``: from when on only the data planes need
                       looking after (a reading is due). ``thought_at_ms``: when the whole was last derived.
    """

    started_ms: int
    steering: Steering
    reports: Mapping[VantageId, VantageReport] = field(default_factory=dict)
    picture: Picture = field(default_factory=lambda: Picture(pools={}, sites={}, blind=True))
    is_fresh: bool = False
    unsettled_until_ms: Mapping[ServiceId, int] = field(default_factory=dict)
    """Services that were in a fault of all their sites, or not to be seen, just before (`core.beliefs`)."""
    alike_until_ms: Mapping[ServiceId, int] = field(default_factory=dict)
    """Those of them whose sites were in trouble alike: that may have been their load (`core.overload`)."""
    tracks: Mapping[tuple[ServiceId, SiteId], SiteTrack] = field(default_factory=dict)
    motions: Mapping[ServiceId, Motion] = field(default_factory=dict)
    standbys: Mapping[MemberId, StandbyTrack] = field(default_factory=dict)
    planes: Mapping[EnactorId, PlaneTrack] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack] = field(default_factory=dict)
    demand: Mapping[ServiceId, DemandTrack] = field(default_factory=dict)
    full_at_ms: Mapping[tuple[ServiceId, SiteId], int] = field(default_factory=dict)
    """When a site that is called overloaded was last seen full (`core.overload`)."""
    is_switched_off: bool = False
    is_store_usable: bool = True
    term: int | None = 1
    setup_digest: str = ""
    wake_at_ms: int = 0
    rethink_at_ms: int = 0
    chores_at_ms: int = 0
    thought_at_ms: int = 0
    overrides_made: int = 0

    def changed(self, **changes: object) -> Self:
        """A copy with these fields replaced. Raises TypeError for a name that is no field."""
        after = object.__new__(type(self))
        known = after.__dict__
        known.update(self.__dict__)
        known.update(changes)
        if len(known) != len(self.__dict__):
            raise TypeError(f"no fields of the state: {', '.join(changes.keys() - self.__dict__.keys())}")
        return after

    def track(self, service: ServiceId, site: SiteId) -> SiteTrack:
        return self.tracks.get((service, site), _NEW_TRACK)

    def steering_share(self, service: ServiceId, site: SiteId) -> int:
        """The desired share of a service at a site, in basis points."""
        entry = self.steering.of(service)
        return entry.shares_bp.get(site, 0) if entry is not None else 0

    def motion(self, service: ServiceId) -> Motion:
        return self.motions.get(service, _NEW_MOTION)

    def plane(self, enactor: EnactorId) -> PlaneTrack:
        return self.planes.get(enactor, _NEW_PLANE)

    def standby(self, member: MemberId) -> StandbyTrack:
        return self.standbys.get(member, _NEW_STANDBY)


DURABLE = (
    "steering",
    "tracks",
    "motions",
    "standbys",
    "overrides",
    "is_switched_off",
    "term",
    "setup_digest",
    "overrides_made",
)
"""The fields that must survive: overrides, hold-downs, steering (DESIGN §6). Beliefs are never restored."""
