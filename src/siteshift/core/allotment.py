"""The allocation as the controller asks for it: all services together, and with a little comfort when somebody is away.

At exactly the utilisation limit the dice of arrivals carry a survivor beyond it every other second. So while a site is
away the rest is first planned for 95 % of the limit; only what does not fit like that is planned to the limit itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.decide.capacity import allocate
from siteshift.core.decide.demand import Allocation, Problem, StandbyUse
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import demand_of
from siteshift.core.model.units import ServiceId
from siteshift.core.setup import Setup

COMFORT_PM = 950


def allot(situations: Mapping[ServiceId, Situation], setup: Setup, *, standby: StandbyUse) -> Allocation:
    """What every service should get, for these situations."""
    limits = {s.id: s.capacity_rps for s in setup.topology.sites if s.capacity_rps is not None}
    demands = tuple(demand_of(situation) for situation in situations.values())
    whole = Problem(demands=demands, site_capacity_rps=limits)
    if not any(candidate.away for demand in demands for candidate in demand.candidates):
        return allocate(whole, standby=standby)
    eased = Problem(
        demands=tuple(d._replace(max_utilisation_pm=d.max_utilisation_pm * COMFORT_PM // 1000) for d in demands),
        site_capacity_rps=limits,
    )
    found = allocate(eased, standby=standby)
    return found if all(entry.shed_bp == 0 for entry in found.services) else allocate(whole, standby=standby)
