"""What the controller believes, wants and remembers. Immutable between events; `durable` names what survives a death.

Real, forced, desired, actual, seen are five fields: ``picture``, ``overrides``, ``steering``, ``planes`` (read back)
and ``traffic``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.core.model.evidence import Picture, VantageReport
from siteshift.core.model.notice import Notice
from siteshift.core.model.override import Override
from siteshift.core.model.steering import Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, VantageId
from siteshift.core.state.adoption import Adoption
from siteshift.core.state.changeable import Changeable
from siteshift.core.state.expected import Expected
from siteshift.core.state.goals import GoalState, GoalTrack
from siteshift.core.state.tracks import (
    DemandTrack,
    PlaneTrack,
    ServiceTransition,
    SiteTrack,
    StandbyTrack,
    TrafficTrack,
    VantageTrack,
)

NEVER_MS = 1 << 62
"""An instant that does not come."""


_NEW_TRACK, _NEW_TRANSITION, _NEW_PLANE, _NEW_STANDBY = SiteTrack(), ServiceTransition(), PlaneTrack(), StandbyTrack()
_NEW_VANTAGE = VantageTrack()
"""What is true of what was never heard of. They cannot change, so everybody may share them."""


@dataclass(frozen=True, kw_only=True)
class ControllerState(Changeable):
    """Everything.

    ``wake_at_ms``     the earliest instant at which time alone could change anything: the least of the next two and of when
                       a report falls silent for too long.
    ``rethink_at_ms``  from when on the whole must be derived anew; ``chores_at_ms``: from when on only the data planes need
                       looking after (a reading is due). ``thought_at_ms``: when the whole was last derived.
    """

    started_ms: int
    steering: Steering
    reports: Mapping[VantageId, VantageReport] = field(default_factory=dict)
    """The last of each vantage, in our time (`core.beliefs.hearing`)."""
    vantages: Mapping[VantageId, VantageTrack] = field(default_factory=dict)
    picture: Picture = field(default_factory=lambda: Picture(pools={}, sites={}, blind=True))
    is_fresh: bool = False
    unsettled_until_ms: Mapping[ServiceId, int] = field(default_factory=dict)
    """Services that were in a fault of all their sites, or not to be seen, just before (`core.beliefs`)."""
    alike_until_ms: Mapping[ServiceId, int] = field(default_factory=dict)
    """Those of them whose sites were in trouble alike: that may have been their load (`core.overload`)."""
    tracks: Mapping[tuple[ServiceId, SiteId], SiteTrack] = field(default_factory=dict)
    transitions: Mapping[ServiceId, ServiceTransition] = field(default_factory=dict)
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
    adoption: Adoption | None = None
    """Set while what is steered was found and not remembered (`core.lifecycle`)."""
    goals: Mapping[str, GoalTrack] = field(default_factory=dict)
    """By the digest of the goal; those that are over are kept for a while, for the list."""
    expected: Mapping[ServiceId, Expected] = field(default_factory=dict)
    """The steps still to come by the plan in force, of services that are followed (`core.plan.following`)."""
    told: Mapping[str, Notice] = field(default_factory=dict)
    """By key, the conditions that people were told of and that were not told to be over (`core.notices`)."""

    def vantage(self, name: VantageId) -> VantageTrack:
        return self.vantages.get(name, _NEW_VANTAGE)

    def track(self, service: ServiceId, site: SiteId) -> SiteTrack:
        return self.tracks.get((service, site), _NEW_TRACK)

    def steering_share(self, service: ServiceId, site: SiteId) -> int:
        """The desired share of a service at a site, in basis points."""
        entry = self.steering.of(service)
        return entry.shares_bp.get(site, 0) if entry is not None else 0

    def transition(self, service: ServiceId) -> ServiceTransition:
        return self.transitions.get(service, _NEW_TRANSITION)

    def is_held(self, service: ServiceId, site: SiteId) -> bool:
        """Whether a site is held as it was found, for nobody knows why it is so."""
        return self.adoption is not None and self.adoption.holds(service, site)

    def goals_of(self, service: ServiceId) -> tuple[GoalTrack, ...]:
        """What people want of a service, or siteshift proposes, and is not over."""
        return tuple(t for t in self.goals.values() if service in t.goal.services and t.state is not GoalState.ENDED)

    def plane(self, enactor: EnactorId) -> PlaneTrack:
        return self.planes.get(enactor, _NEW_PLANE)

    def standby(self, member: MemberId) -> StandbyTrack:
        return self.standbys.get(member, _NEW_STANDBY)


DURABLE = (
    "steering",
    "tracks",
    "transitions",
    "demand",
    "standbys",
    "overrides",
    "is_switched_off",
    "term",
    "setup_digest",
    "overrides_made",
    "adoption",
    "goals",
    "told",
)
"""The fields that must survive: overrides, hold-downs, steering (DESIGN §6). Beliefs are never restored, but the measured demand
is: the caps of sites are counted in requests/s, and mean nothing without it."""


def initial_state(*, now_ms: int, term: int | None = 1) -> ControllerState:
    """A node that remembers nothing: no steering until there is fresh evidence."""
    nothing = Steering(generation=0, term=term or 0, decided_at_ms=now_ms, services=())
    return ControllerState(started_ms=now_ms, steering=nothing, term=term)
