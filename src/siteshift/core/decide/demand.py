"""The question put to the allocation, and the answer.

`Candidate`, `Demand` and `ServiceAllocation` are named tuples, not dataclasses: a plan for 1,000 services at 5 sites
makes 7,000 of them, and a frozen dataclass of ten fields costs five times as much to make (1.8 against 0.36 us). Change
one with ``_replace``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from siteshift.core.model.codes import Because
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId

OVERLOADED_PM = 100_000
"""The utilisation written where there is traffic and no capacity at all."""

NOTHING: Mapping[SiteId, int] = MappingProxyType({})


class StandbyUse(StrEnum):
    """``NONE``: only what is ready now. ``ALLOWED``: may plan to open cold standby."""

    NONE = "none"
    ALLOWED = "allowed"


class Candidate(NamedTuple):
    """One site a service could be served from.

    ``active_rps``: what its serving members carry now, already scaled by goodput. ``open_standby_rps``: standby ready
    now, not counted in ``active_rps``. ``standby_rps``: cold standby that could be opened on top.
    ``may_receive`` False: the site may keep up to what it has and gets no more (suspect, held down).
    ``away``: evidence or an override says the traffic should leave; the site gets 0.
    ``fixed_bp``: the share stays exactly this (unknown evidence, frozen, forced shares), whatever its capacity.
    ``because``: the caller's reason for ``away``, ``fixed_bp`` or ``may_receive``; None: a general one.
    ``health_pm`` only explains: it is in ``active_rps`` already.
    """

    site: SiteId
    nominal_bp: int
    current_bp: int
    active_rps: int
    standby_rps: int
    open_standby_rps: int = 0
    may_receive: bool = True
    fixed_bp: int | None = None
    away: bool = False
    health_pm: int = 1_000
    because: Because | None = None


class Demand(NamedTuple):
    """One service's demand and where it could be served. Candidates in the order of the file, which decides ties."""

    service: ServiceId
    tier: int
    demand_rps: int
    max_utilisation_pm: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything to be allocated together.

    ``site_capacity_rps`` is what a site carries for all services together; a site that is missing has no such limit.
    It is used up to ``site_max_utilisation_pm``.
    """

    demands: tuple[Demand, ...]
    site_capacity_rps: Mapping[SiteId, int] = field(default_factory=dict)
    site_max_utilisation_pm: int = 900


class ServiceAllocation(NamedTuple):
    """What one service gets. ``shares_bp`` names every candidate and makes 10,000 together with ``shed_bp``.

    ``open_standby_rps``: how much cold standby must be opened, per site that needs some. The explanations are
    worked out when asked for.
    """

    demand: Demand
    shares_bp: Mapping[SiteId, int]
    shed_bp: int
    open_standby_rps: Mapping[SiteId, int] = NOTHING

    @property
    def service(self) -> ServiceId:
        return self.demand.service

    @property
    def utilisation_pm(self) -> dict[SiteId, int]:
        """Load against capacity at each site, with the standby this allocation opens; rounded up."""
        return {
            entry.site: load_pm(
                self.shares_bp[entry.site] * self.demand.demand_rps,
                entry.active_rps + entry.open_standby_rps + self.open_standby_rps.get(entry.site, 0),
            )
            for entry in self.demand.candidates
        }

    @property
    def standby_needed_rps(self) -> dict[SiteId, int]:
        """Standby capacity in use, open or to be opened, per site that needs some; what is open beyond may retire.

        What carries the present shares is in use, though the target could do without: the way there may be long (ramps,
        hold-downs), and a standby that retires before its load has left takes the load down with it (law 2).
        """
        needed = {}
        for entry in self.demand.candidates:
            wanted_rps = capacity_for(self.shares_bp[entry.site], self.demand) - entry.active_rps
            carries_rps = capacity_for(entry.current_bp, self.demand) - entry.active_rps
            spare_rps = entry.open_standby_rps + self.open_standby_rps.get(entry.site, 0)
            used_rps = max(min(wanted_rps, spare_rps), min(carries_rps, entry.open_standby_rps))
            if used_rps > 0:
                needed[entry.site] = used_rps
        return needed

    @property
    def because(self) -> dict[SiteId, Because]:
        """Why each site gets what it gets."""
        return {entry.site: _because(entry, self.shares_bp[entry.site]) for entry in self.demand.candidates}

    @property
    def lines(self) -> tuple[str, ...]:
        return explain(self)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The answer for all demands, in the order they were put."""

    services: tuple[ServiceAllocation, ...]

    @cached_property
    def by_service(self) -> dict[ServiceId, ServiceAllocation]:
        return {entry.demand.service: entry for entry in self.services}

    def of(self, service: ServiceId) -> ServiceAllocation | None:
        return self.by_service.get(service)


def load_pm(load_bp_rps: int, capacity_rps: int) -> int:
    """Utilisation of a capacity under a load given in bp x rps, rounded up."""
    if capacity_rps <= 0:
        return OVERLOADED_PM if load_bp_rps else 0
    return -(-load_bp_rps // (10 * capacity_rps))


def capacity_for(share_bp: int, demand: Demand) -> int:
    """The capacity (rps, rounded up) that a share needs to stay within the service's utilisation limit."""
    return -(-share_bp * demand.demand_rps // (10 * demand.max_utilisation_pm))


def explain(allocation: ServiceAllocation) -> tuple[str, ...]:
    """One line per site, and one for what is shed, for a person to follow."""
    demand = allocation.demand
    used_pm, because = allocation.utilisation_pm, allocation.because
    lines = []
    for entry in demand.candidates:
        share_bp = allocation.shares_bp[entry.site]
        opened_rps = allocation.open_standby_rps.get(entry.site, 0)
        capacity_rps = entry.active_rps + entry.open_standby_rps + opened_rps
        lines.append(
            f"{demand.service} at {entry.site}: {share_bp / 100:.2f} % (now {entry.current_bp / 100:.2f}, nominal "
            f"{entry.nominal_bp / 100:.2f}), {share_bp * demand.demand_rps // WHOLE_BP} of {capacity_rps} rps, "
            f"{used_pm[entry.site] / 10:.1f} % used"
            + (f", opens {opened_rps} rps of standby" if opened_rps else "")
            + (f", health {entry.health_pm / 10:.1f} %" if entry.health_pm < 1_000 else "")
            + f": {because[entry.site].value}"
        )
    if allocation.shed_bp:
        shed_rps = allocation.shed_bp * demand.demand_rps // WHOLE_BP
        lines.append(
            f"{demand.service} (tier {demand.tier}): {allocation.shed_bp / 100:.2f} % ({shed_rps} rps) finds no room "
            f"within {demand.max_utilisation_pm / 10:.0f} % utilisation: {Because.SHED.value}"
        )
    return tuple(lines)


def _because(entry: Candidate, share_bp: int) -> Because:
    if entry.fixed_bp is not None:
        return entry.because or Because.NO_EVIDENCE_NO_CHANGE
    if entry.away:
        return entry.because or (Because.DEGRADED if entry.active_rps else Because.DEAD)
    if share_bp < entry.nominal_bp:
        if not entry.may_receive and share_bp >= entry.current_bp:
            return entry.because or Because.HELD_DOWN
        return Because.CAPACITY_LIMIT
    return Because.NOMINAL if share_bp == entry.nominal_bp else Because.TAKES_OVER
