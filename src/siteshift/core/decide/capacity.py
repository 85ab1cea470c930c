"""Capacity-aware allocation (DESIGN §5, law 7): who serves how much, what opens, what is shed.

Rules, in the order of their force
----------------------------------
1. Fixed shares stay; a site that is ``away`` gets nothing; one that may not receive gets no more than it has.
2. No pool and no site is planned above its utilisation limit.
3. The most demand is served that can be, tier 1 before tier 2 and so on: the optimum of the linear program in the tests,
   but for two bp of each service at each of its sites (`reroute` says where they go).
4. Cold standby opens only for demand that would be shed otherwise.
5. Shares are in proportion to nominal as far as limits admit; sites of nominal share 0 come last, by headroom.
6. A share that would change by no more than `SETTLED_BP` stays where it is.

Pure and deterministic. The common case costs one pass over the candidates; only a site capacity that several services
fight for needs more (`reroute`).
"""

from __future__ import annotations

from collections.abc import Generator

from siteshift.core.decide.demand import (
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
from siteshift.core.decide.placement import SETTLED_BP, Placement

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
    placement = Placement(problem)
    tiers: dict[int, list[int]] = {}
    for i, demand in enumerate(problem.demands):
        tiers.setdefault(demand.tier, []).append(i)
    for tier in sorted(tiers):
        yield from placement.serve(tiers[tier], standby)
    yield from placement.settle()
    return (yield from placement.answer())
