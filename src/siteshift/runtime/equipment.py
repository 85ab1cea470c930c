"""Everything concrete a node works with; made by `app`, replaced as a whole at a reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, EnactorId, MemberId, ServiceId, SiteId
from siteshift.ports import Enactor, EvidenceSource, Notifier, StandbyDriver, TrafficMeter
from siteshift.runtime.limits import DEFAULT_LIMITS, Limits

DEFAULT_EVERY_MS = 500
DEFAULT_TIMEOUT_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A traffic meter, how often it is asked, and whose traffic it measures when it can."""

    id: str
    meter: TrafficMeter
    covers: frozenset[tuple[ServiceId, SiteId]]
    every_ms: int = DEFAULT_EVERY_MS
    timeout_ms: int = DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidenced:
    """A source of passive evidence and how often it is asked."""

    id: str
    source: EvidenceSource
    every_ms: int = DEFAULT_TIMEOUT_MS
    timeout_ms: int = DEFAULT_TIMEOUT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A notifier, and how grave a notice must be for it."""

    id: str
    least: AlertSeverity
    notifier: Notifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The parts. ``driver_timeout_ms`` is how long one call of a standby driver may take."""

    setup: Setup
    probes: tuple[ProbeSpec, ...] = ()
    anchors: tuple[ProbeSpec, ...] = ()
    enactors: Mapping[EnactorId, Enactor] = field(default_factory=dict)
    drivers: Mapping[DriverId, StandbyDriver] = field(default_factory=dict)
    driver_timeout_ms: Mapping[DriverId, int] = field(default_factory=dict)
    meters: tuple[Metered, ...] = ()
    evidence: tuple[Evidenced, ...] = ()
    notifiers: tuple[Addressee, ...] = ()
    limits: Limits = DEFAULT_LIMITS

    @property
    def members(self) -> dict[MemberId, Member]:
        return self.setup.topology.members
