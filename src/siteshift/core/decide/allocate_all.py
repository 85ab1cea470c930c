"""The allocation as the controller asks for it: all services together, and with a little comfort when somebody is away.

At exactly the utilisation limit chance in arrivals carry a survivor beyond it every other second. So while a site is
away the rest is first planned for 95 % of the limit; only what does not fit like that is planned to the limit itself.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TypeVar

from siteshift.core.decide.capacity import allocate_sliced
from siteshift.core.decide.demand import Allocation, Candidate, Demand, Problem, ServiceAllocation, StandbyUse, capacity_for
from siteshift.core.decide.shared_fate import for_the_rest, is_spent, mates_of, without_mates
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import demand_of
from siteshift.core.model.codes import SiteLife
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, ServiceId

T = TypeVar("T")

Demands = dict[ServiceId, tuple[Situation, Demand]]
"""What each service asks of the allocation, with the situation it follows from."""

COMFORT_PM = 950
"""While a site is away or on its way back, survivors get a little less than their limit where that sheds nothing."""


def run_to_end(slices: Generator[None, None, T]) -> T:
    """The result of work in slices, done at once."""
    while True:
        try:
            next(slices)
        except StopIteration as done:
            result: T = done.value
            return result


def demands_sliced(
    situations: Mapping[ServiceId, Situation], known: Demands | None = None
) -> Generator[None, None, Demands]:
    """What each situation asks of the allocation; of those in ``known`` that are the very same it is not reckoned again."""
    found: Demands = {}
    for service, situation in situations.items():
        before = known.get(service) if known is not None else None
        found[service] = before if before is not None and before[0] is situation else (situation, demand_of(situation))
        yield
    return found


def allot_sliced(asked: Demands, setup: Setup, *, standby: StandbyUse) -> Generator[None, None, Allocation]:
    """The allocation, in slices: without the mates of sites that fail, and with them for what fits nowhere else."""
    mates = {service: found for service, (one, _) in asked.items() if (found := mates_of(one, setup.topology))}
    if not mates:
        return (yield from _allot(asked, setup, standby))
    apart = {s: (one, without_mates(demand, mates[s]) if s in mates else demand) for s, (one, demand) in asked.items()}
    first = yield from _allot(apart, setup, standby)
    rest: Demands = {}
    for service, (one, demand) in asked.items():
        entry = first.of(service)
        is_short = service in mates and entry is not None and entry.shed_bp > 0
        if is_short and entry is not None and is_spent(one, entry.shares_bp, mates[service]):
            rest[service] = (one, for_the_rest(demand, mates[service], entry.shares_bp))
    return (yield from _allot({**apart, **rest}, setup, standby)) if rest else first


def _allot(asked: Demands, setup: Setup, standby: StandbyUse) -> Generator[None, None, Allocation]:
    limits = {s.id: s.capacity_rps for s in setup.topology.sites if s.capacity_rps is not None}
    demands = tuple(demand for _, demand in asked.values())
    whole = Problem(demands=demands, site_capacity_rps=limits)
    is_returning = any(track.life is SiteLife.RETURNING for one, _ in asked.values() for track in one.tracks.values())
    if not is_returning and not any(candidate.away for demand in demands for candidate in demand.candidates):
        found = yield from allocate_sliced(whole, standby=standby)
        return (yield from _keeping(found, asked, whole, standby))
    eased = tuple(_eased(one, demand) for one, demand in asked.values())
    found = yield from allocate_sliced(replace(whole, demands=eased), standby=standby)
    tight = {entry.service for entry in found.services if entry.shed_bp}
    if not tight:
        return found
    mixed = tuple(demand if demand.service in tight else easy for demand, easy in zip(demands, eased, strict=True))
    found = yield from allocate_sliced(replace(whole, demands=mixed), standby=standby)
    is_enough = all(entry.service in tight or entry.shed_bp == 0 for entry in found.services)
    found = found if is_enough else (yield from allocate_sliced(whole, standby=standby))
    return (yield from _keeping(found, asked, whole, standby))


def _keeping(
    found: Allocation, asked: Demands, problem: Problem, standby: StandbyUse
) -> Generator[None, None, Allocation]:
    """The allocation again where something would be shed, in which sites may be fuller than the limit: with what they have now,
    and with what is theirs. What can be served must not be shed to keep a margin."""
    short = {entry.service for entry in found.services if entry.shed_bp}
    kept = tuple(
        _kept(asked[demand.service][0], demand) if demand.service in short else demand for demand in problem.demands
    )
    if kept == problem.demands:
        return found
    found = yield from allocate_sliced(replace(problem, demands=kept), standby=standby)
    asked_for = {demand.service: demand for demand in problem.demands}
    return Allocation(services=tuple(_to_the_point(asked[e.service][0], asked_for[e.service], e) for e in found.services))


def _to_the_point(situation: Situation, demand: Demand, entry: ServiceAllocation) -> ServiceAllocation:
    """The allocation without what rounding up to whole requests/s gave a site beyond what it may keep: four hundredths of a per
    cent too much, and the gate refuses the whole move."""
    shares, too_much_bp = dict(entry.shares_bp), 0
    for candidate, kept in zip(demand.candidates, entry.demand.candidates, strict=True):
        over_bp = shares[candidate.site] - max(_keeps_bp(situation, demand, candidate), _fits_bp(demand, candidate))
        if kept is not candidate and over_bp > 0:
            shares[candidate.site] -= over_bp
            too_much_bp += over_bp
    return entry._replace(shares_bp=shares, shed_bp=entry.shed_bp + too_much_bp) if too_much_bp else entry


def _fits_bp(demand: Demand, candidate: Candidate) -> int:
    """The share that a site carries within the limit."""
    capacity_rps = candidate.active_rps + candidate.open_standby_rps
    return capacity_rps * demand.max_utilisation_pm * WHOLE_BP // (WHOLE_PM * max(1, demand.demand_rps))


def _kept(situation: Situation, demand: Demand) -> Demand:
    """The demand with room for what well sites have now, or have in calm (of a surge as much as that), up to all they can carry.
    One that failed under load may not have more than it carried."""
    candidates = tuple(_may_keep(situation, demand, candidate) for candidate in demand.candidates)
    return demand if candidates == demand.candidates else demand._replace(candidates=candidates)


def _may_keep(situation: Situation, demand: Demand, candidate: Candidate) -> Candidate:
    if not candidate.may_receive or candidate.away or candidate.fixed_bp is not None:
        return candidate
    keeps_bp = _keeps_bp(situation, demand, candidate)
    keeps_rps = _carrying_rps(demand, candidate, keeps_bp)
    if keeps_rps <= candidate.active_rps:
        return candidate
    return candidate._replace(active_rps=keeps_rps, may_receive=keeps_bp > candidate.current_bp)


def _keeps_bp(situation: Situation, demand: Demand, candidate: Candidate) -> int:
    most_rps = max(1, situation.service.demand_rps, demand.demand_rps)
    usual_bp = candidate.nominal_bp * situation.service.demand_rps // most_rps
    pool = situation.service.pool_at(candidate.site)
    held_bp = situation.held_bp(pool) if pool is not None else usual_bp
    return max(candidate.current_bp, min(usual_bp, held_bp))


def _carrying_rps(demand: Demand, candidate: Candidate, share_bp: int) -> int:
    """The capacity with which the limit admits a share, at most what fills the site wholly."""
    most_rps = (candidate.active_rps + candidate.open_standby_rps) * WHOLE_PM // demand.max_utilisation_pm
    return min(most_rps, capacity_for(share_bp, demand)) - candidate.open_standby_rps


def _eased(situation: Situation, demand: Demand) -> Demand:
    """The demand with a little comfort for survivors. What a site carries that failed under load was seen: it has no need of it,
    and 5 % less of what it has at each look would leave it nothing."""
    eased = demand._replace(max_utilisation_pm=demand.max_utilisation_pm * COMFORT_PM // 1000)
    candidates = tuple(
        _without_comfort(candidate)
        if situation.is_capped(candidate.site) or situation.is_overloaded(candidate.site)
        else candidate
        for candidate in demand.candidates
    )
    return eased if candidates == demand.candidates else eased._replace(candidates=candidates)


def _without_comfort(candidate: Candidate) -> Candidate:
    """The candidate with the capacity at which the eased limit admits what the true one does."""
    whole_rps = candidate.active_rps + candidate.open_standby_rps
    return candidate._replace(active_rps=whole_rps * 1000 // COMFORT_PM - candidate.open_standby_rps)
