"""Capacity-aware allocation (DESIGN §5, law 7): who serves how much, what opens, what is shed.

Rules, in the order of their force
----------------------------------
1. Fixed shares stay; a site that is ``away`` gets nothing; one that may not receive gets no more than it has.
2. No pool and no site is planned above its utilisation limit.
3. The most demand is served that can be, tier 1 before tier 2 and so on (a linear program agrees, see the tests).
4. Cold standby opens only for demand that would be shed otherwise.
5. Shares are in proportion to nominal as far as limits admit; sites of nominal share 0 come last, by headroom.
6. A share that would change by no more than `SETTLED_BP` stays where it is.

Pure and deterministic. The common case costs one pass over the candidates; only a site capacity that several services
fight for needs more (`reroute`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import groupby

from siteshift.core.decide.demand import (
    NOTHING,
    Allocation,
    Candidate,
    Demand,
    Problem,
    ServiceAllocation,
    StandbyUse,
    capacity_for,
    explain,
    load_pm,
)
from siteshift.core.decide.reroute import Reroute
from siteshift.core.decide.waterfill import water_fill
from siteshift.core.model.units import WHOLE_BP, SiteId

__all__ = [
    "SETTLED_BP",
    "Allocation",
    "Candidate",
    "Demand",
    "Problem",
    "ServiceAllocation",
    "StandbyUse",
    "allocate",
    "allocate_sliced",
    "capacity_for",
    "explain",
    "load_pm",
]

SETTLED_BP = 100
"""A change of no more than 1 % of a service at any site is not worth a move: demand, measured, wavers by more."""

SLICE = 250
"""Services placed between two yields of `allocate_sliced`: about 1 ms; the loop must not be held for 10."""


def allocate(problem: Problem, *, standby: StandbyUse) -> Allocation:
    """The allocation of all demands at once."""
    run = allocate_sliced(problem, standby=standby)
    while True:
        try:
            next(run)
        except StopIteration as done:
            allocation: Allocation = done.value
            return allocation


def allocate_sliced(problem: Problem, *, standby: StandbyUse) -> Generator[None, None, Allocation]:
    """The same in slices: a generator that yields when about a millisecond has gone and returns the allocation."""
    placement = _Placement(problem)
    demands = problem.demands
    by_tier = sorted(range(len(demands)), key=lambda i: demands[i].tier)
    for _, members in groupby(by_tier, key=lambda i: demands[i].tier):
        yield from placement.serve(list(members), standby)
    yield from placement.settle()
    return (yield from placement.answer())


class _Placement:
    """The work sheet: ``shares[i]`` is parallel to demand ``i``'s candidates; ``missing`` is what found no room."""

    def __init__(self, problem: Problem) -> None:
        self.demands = problem.demands
        self.shares: list[list[int]] = [[]] * len(problem.demands)
        self.missing: dict[int, int] = {}
        self.cold: set[int] = set()
        self.placed: list[int] = []
        percent = problem.site_max_utilisation_pm * 10
        self.room: dict[SiteId, int] = {site: rps * percent for site, rps in problem.site_capacity_rps.items()}
        if self.room:
            self._take_fixed()

    def _take_fixed(self) -> None:
        """What is fixed is there already, whatever its tier: it takes its room first."""
        room = self.room
        for demand in self.demands:
            for entry in demand.candidates:
                if entry.fixed_bp and entry.site in room:
                    room[entry.site] -= entry.fixed_bp * (demand.demand_rps or 1)

    def serve(self, tier: list[int], standby: StandbyUse) -> Iterator[None]:
        """Serve one tier: with what is ready, then by moving others on, then with cold standby, then both."""
        for done, i in enumerate(tier, 1):
            self._place(i)
            if not done % SLICE:
                yield
        self.placed += tier
        short = [i for i in tier if i in self.missing]
        if short and self.room:
            yield from self._reroute(short, StandbyUse.NONE)
        if standby is StandbyUse.NONE:
            return
        for i in [i for i in short if i in self.missing]:
            self._open_cold(i)
        still = [i for i in short if i in self.missing]
        if still and self.room:
            yield from self._reroute(still, StandbyUse.ALLOWED)

    def _place(self, i: int) -> None:
        """The hot path: nominal where it fits, else water-filling."""
        demand = self.demands[i]
        rps = demand.demand_rps or 1
        per_rps = demand.max_utilisation_pm * 10
        room = self.room
        nominal: list[int] = []
        limits: list[int] = []
        given = fits = 0
        for site, nominal_bp, current_bp, active, _, opened, may_receive, fixed, away, _, _ in demand.candidates:
            if fixed is not None or away:
                nominal.append(0)
                limits.append(0)
                fits = 1
                continue
            limit = (active + opened) * per_rps // rps
            if room and (left := room.get(site)) is not None and left < limit * rps:
                limit = left // rps if left > 0 else 0
            if limit > WHOLE_BP:
                limit = WHOLE_BP
            if not may_receive and limit > current_bp:
                limit = current_bp
            if nominal_bp > limit:
                fits = 1
            nominal.append(nominal_bp)
            limits.append(limit)
            given += nominal_bp
        if fits or given != WHOLE_BP:
            nominal = self._fill(i, nominal, limits)
        self.shares[i] = nominal
        if room:
            for entry, share_bp in zip(demand.candidates, nominal, strict=True):
                if share_bp and entry.fixed_bp is None and entry.site in room:
                    room[entry.site] -= share_bp * rps

    def _fill(self, i: int, nominal: list[int], limits: list[int]) -> list[int]:
        """Fixed shares first, then the rest by nominal, then what is left by headroom. Notes what is missing."""
        candidates = self.demands[i].candidates
        left = WHOLE_BP
        fixed = [0] * len(candidates)
        for at, entry in enumerate(candidates):
            if entry.fixed_bp is not None:
                fixed[at] = min(entry.fixed_bp, left)
                left -= fixed[at]
        shares, missing_bp = _fill_up(left, nominal, limits)
        if missing_bp:
            self.missing[i] = missing_bp
        return [a + b for a, b in zip(shares, fixed, strict=True)]

    def _limits(self, i: int, standby: StandbyUse) -> dict[SiteId, int]:
        """How much of the service each pool takes, site capacities apart; only sites that may take any."""
        demand = self.demands[i]
        rps = demand.demand_rps or 1
        limits = {}
        for entry in demand.candidates:
            if entry.fixed_bp is not None or entry.away:
                continue
            usable_rps = entry.active_rps + entry.open_standby_rps
            if standby is StandbyUse.ALLOWED:
                usable_rps += entry.standby_rps
            most_bp = WHOLE_BP if entry.may_receive else entry.current_bp
            limits[entry.site] = min(usable_rps * demand.max_utilisation_pm * 10 // rps, most_bp)
        return limits

    def _open_cold(self, i: int) -> None:
        """Give what is missing to sites with cold standby, by nominal."""
        demand = self.demands[i]
        rps = demand.demand_rps or 1
        pools = self._limits(i, StandbyUse.ALLOWED)
        shares = self.shares[i]
        spare = []
        for entry, share_bp in zip(demand.candidates, shares, strict=True):
            extra_bp = pools.get(entry.site, 0) - share_bp
            if entry.site in self.room:
                extra_bp = min(extra_bp, self.room[entry.site] // rps)
            spare.append(max(0, extra_bp))
        extra, missing_bp = _fill_up(self.missing.pop(i), [entry.nominal_bp for entry in demand.candidates], spare)
        self.shares[i] = [a + b for a, b in zip(shares, extra, strict=True)]
        self.cold.add(i)
        if missing_bp:
            self.missing[i] = missing_bp
        for entry, extra_bp in zip(demand.candidates, extra, strict=True):
            if entry.site in self.room:
                self.room[entry.site] -= extra_bp * rps

    def _reroute(self, short: list[int], standby: StandbyUse) -> Iterator[None]:
        """Make room for those that are short by moving others on (`reroute`)."""
        shares: dict[int, dict[SiteId, int]] = {}
        limits: dict[int, dict[SiteId, int]] = {}
        for done, i in enumerate(self.placed, 1):
            limits[i] = self._limits(i, standby)
            shares[i] = {
                entry.site: share_bp
                for entry, share_bp in zip(self.demands[i].candidates, self.shares[i], strict=True)
                if entry.fixed_bp is None and not entry.away
            }
            if not done % SLICE:
                yield
        rps = [demand.demand_rps or 1 for demand in self.demands]
        repair = Reroute(shares, limits, rps, self.room, self.placed)
        for i in short:
            for placed_bp in repair.place(i, self.missing[i]):
                self.missing[i] -= placed_bp
                yield
            if not self.missing[i]:
                del self.missing[i]
        for i in repair.touched:
            self.shares[i] = [
                shares[i].get(entry.site, old_bp)
                for entry, old_bp in zip(self.demands[i].candidates, self.shares[i], strict=True)
            ]
            if standby is StandbyUse.ALLOWED:
                self.cold.add(i)

    def settle(self) -> Iterator[None]:
        """Leave each service where it is when the difference is not worth a move and its place still fits."""
        for i, demand in enumerate(self.demands):
            shares = self.shares[i]
            for entry, share_bp in zip(demand.candidates, shares, strict=True):
                if entry.current_bp != share_bp:
                    self._keep_current(i, demand, shares)
                    break
            if not (i + 1) % SLICE:
                yield

    def _keep_current(self, i: int, demand: Demand, shares: list[int]) -> None:
        current = [entry.current_bp for entry in demand.candidates]
        if sum(current) != sum(shares):
            return
        for now_bp, then_bp in zip(current, shares, strict=True):
            if not -SETTLED_BP <= now_bp - then_bp <= SETTLED_BP or (now_bp == 0) is not (then_bp == 0):
                return
        rps = demand.demand_rps or 1
        pools = self._limits(i, StandbyUse.ALLOWED if i in self.cold else StandbyUse.NONE)
        for entry, then_bp in zip(demand.candidates, shares, strict=True):
            grows_bp = entry.current_bp - then_bp
            if entry.fixed_bp is not None and grows_bp:
                return
            if grows_bp > 0 and entry.current_bp > pools.get(entry.site, 0):
                return
            if entry.site in self.room and self.room[entry.site] < grows_bp * rps:
                return
        self.shares[i] = current
        for entry, then_bp in zip(demand.candidates, shares, strict=True):
            if entry.site in self.room:
                self.room[entry.site] -= (entry.current_bp - then_bp) * rps

    def answer(self) -> Generator[None, None, Allocation]:
        """The placement as results. What was rounded away lies in the shed part, so that all sums are whole."""
        results: list[ServiceAllocation] = []
        missing, cold = self.missing, self.cold
        for i, demand in enumerate(self.demands):
            shares = self.shares[i]
            results.append(
                ServiceAllocation(
                    demand,
                    {entry.site: share_bp for entry, share_bp in zip(demand.candidates, shares, strict=True)},
                    missing.get(i, 0),
                    _to_open(demand, shares) if i in cold else NOTHING,
                )
            )
            if not (i + 1) % SLICE:
                yield
        return Allocation(services=tuple(results))


def _fill_up(amount: int, nominal: list[int], limits: list[int]) -> tuple[list[int], int]:
    """By nominal first, the rest by headroom; and what found no room."""
    shares = water_fill(amount, nominal, limits)
    left = amount - sum(shares)
    if left:
        headroom = [limit - share for limit, share in zip(limits, shares, strict=True)]
        more = water_fill(left, headroom, headroom)
        shares = [a + b for a, b in zip(shares, more, strict=True)]
        left -= sum(more)
    return shares, left


def _to_open(demand: Demand, shares: list[int]) -> dict[SiteId, int]:
    """Cold standby each site needs for its share."""
    opens = {}
    for entry, share_bp in zip(demand.candidates, shares, strict=True):
        if entry.fixed_bp is None:
            wanted_rps = capacity_for(share_bp, demand) - entry.active_rps - entry.open_standby_rps
            if wanted_rps > 0:
                opens[entry.site] = wanted_rps
    return opens
