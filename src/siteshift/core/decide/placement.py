"""The work sheet of an allocation: who got what so far, what room is left, who is short (`capacity` has the rules)."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from siteshift.core.decide.demand import NOTHING, Allocation, Demand, Problem, ServiceAllocation, StandbyUse, capacity_for
from siteshift.core.decide.reroute import Reroute
from siteshift.core.decide.waterfill import water_fill
from siteshift.core.model.units import WHOLE_BP, SiteId

SETTLED_BP = 100
"""A change of no more than 1 % of a service at any site is not worth a move: demand, measured, wavers by more."""

NO_ROOM_NEEDED: dict[SiteId, int] = {}
"""What limits an idle service at the sites: nothing."""

Taker = tuple[SiteId, int, int]
"""A site that may take some: its nominal share, and what its pool bears in bp x rps."""

SLICE = 100
"""Services placed between two yields of `allocate_sliced`: about half a millisecond; the loop must not be held for 10."""


class Placement:
    """The work sheet: ``shares[i]`` is what demand ``i`` gets, in its candidates' order; ``missing`` found no room."""

    def __init__(self, problem: Problem) -> None:
        self.demands = problem.demands
        self.shares: list[dict[SiteId, int]] = [{}] * len(problem.demands)
        self.missing: dict[int, int] = {}
        self.cold: set[int] = set()
        self.crowded: set[int] = set()
        self.placed: list[int] = []
        self.changed: list[int] = []
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
                    room[entry.site] -= entry.fixed_bp * demand.demand_rps

    def serve(self, tier: list[int], standby: StandbyUse) -> Iterator[None]:
        """Serve one tier: with what is ready, then by moving others on, then with cold standby, then both."""
        for start in range(0, len(tier), SLICE):
            for i in tier[start : start + SLICE]:
                if not self._stays_nominal(i):
                    self._spread(i)
            yield
        self.placed += tier
        yield from self._make_room([i for i in tier if i in self.missing], StandbyUse.NONE)
        if standby is StandbyUse.NONE:
            return
        short = [i for i in tier if i in self.missing]
        for start in range(0, len(short), SLICE):
            for i in short[start : start + SLICE]:
                self._open_cold(i)
            yield
        yield from self._make_room([i for i in short if i in self.missing], StandbyUse.ALLOWED)

    def _stays_nominal(self, i: int) -> bool:
        """The common case, and the hot path: every site has its nominal share and room for it."""
        demand = self.demands[i]
        rps = demand.demand_rps or 1
        per_rps = demand.max_utilisation_pm * 10
        given = 0
        for _, nominal, current, active, _, opened, _, fixed, away, _, _ in demand.candidates:
            if nominal != current or away or fixed is not None or nominal * rps > (active + opened) * per_rps:
                return False
            given += nominal
        if given != WHOLE_BP:
            return False
        shares = {entry[0]: entry[1] for entry in demand.candidates}
        if self.room and demand.demand_rps and not self._book(shares, demand.demand_rps):
            return False
        self.shares[i] = shares
        return True

    def _book(self, shares: dict[SiteId, int], rps: int) -> bool:
        """Take the room for these shares at the limited sites; all or nothing."""
        room = self.room
        fits = True
        for site, share_bp in shares.items():
            if share_bp and site in room:
                room[site] = left = room[site] - share_bp * rps
                if left < 0:
                    fits = False
        if not fits:
            for site, share_bp in shares.items():
                if site in room:
                    room[site] += share_bp * rps
        return fits

    def _spread(self, i: int) -> None:
        """Fixed shares first, then the rest by nominal within the limits; `_squeeze` when a pool or a site is full."""
        demand = self.demands[i]
        rps = demand.demand_rps or 1
        room = self.room if demand.demand_rps else NO_ROOM_NEEDED
        per_rps = demand.max_utilisation_pm * 10
        takers: list[Taker] = []
        shares: dict[SiteId, int] = {}
        left_bp, whole, has_fixed, leaves = WHOLE_BP, 0, False, False
        for site, nominal, current, active, _, opened, may_receive, fixed, away, _, _ in demand.candidates:
            shares[site] = 0
            if away or fixed is not None:
                if fixed is not None:
                    left_bp = max(0, left_bp - fixed)
                    has_fixed = True
                elif current:
                    leaves = True
                continue
            bears = (active + opened) * per_rps
            takers.append((site, nominal, bears if may_receive or bears < current * rps else current * rps))
            whole += nominal
        running = done = 0
        if whole:
            for site, nominal, bears in takers:
                running += left_bp * nominal
                part = running // whole - done
                load = part * rps
                if load > bears:
                    break
                done += part
                shares[site] = part
                if site in room:
                    room[site] = spare = room[site] - load
                    if spare < 0:
                        done = -1
                        break
        if done != left_bp:
            self._squeeze(i, left_bp, takers, shares)
        if has_fixed:
            self._add_fixed(demand, shares)
        self.shares[i] = shares
        if not leaves:
            self.changed.append(i)

    def _squeeze(self, i: int, left_bp: int, takers: list[Taker], shares: dict[SiteId, int]) -> None:
        """Start over: what full pools cannot take goes to the others; once more when a site is full. Notes what is missing."""
        rps = self.demands[i].demand_rps or 1
        room = self.room if self.demands[i].demand_rps else NO_ROOM_NEEDED
        weights: list[int] = []
        limits: list[int] = []
        for site, nominal, bears in takers:
            if shares[site] and site in room:
                room[site] += shares[site] * rps
            weights.append(nominal)
            limits.append(bears // rps)
        parts, missing_bp = _fill_up(left_bp, weights, limits)
        fits = True
        for (site, _, _), part in zip(takers, parts):  # noqa: B905 - equal by construction; hot
            shares[site] = part
            if part and site in room:
                room[site] = spare = room[site] - part * rps
                if spare < 0:
                    fits = False
        if not fits:
            missing_bp = self._squeeze_into_sites(i, left_bp, takers, shares)
        if missing_bp:
            self.missing[i] = missing_bp

    def _squeeze_into_sites(self, i: int, left_bp: int, takers: list[Taker], shares: dict[SiteId, int]) -> int:
        """Give back what was booked and keep within the room of the sites as well; answers what is missing."""
        rps, room = self.demands[i].demand_rps, self.room
        limits = []
        for site, _, bears in takers:
            limit = bears // rps
            if site in room:
                room[site] += shares[site] * rps
                limit = min(limit, max(0, room[site] // rps))
            limits.append(limit)
        parts, missing_bp = _fill_up(left_bp, [nominal for _, nominal, _ in takers], limits)
        for (site, _, _), part in zip(takers, parts, strict=True):
            shares[site] = part
            if site in room:
                room[site] -= part * rps
        self.crowded.add(i)
        return missing_bp

    @staticmethod
    def _add_fixed(demand: Demand, shares: dict[SiteId, int]) -> None:
        """Lay the fixed shares in; together never more than the whole (the earlier site wins)."""
        left_bp = WHOLE_BP
        for entry in demand.candidates:
            if entry.fixed_bp is not None:
                shares[entry.site] = min(entry.fixed_bp, left_bp)
                left_bp -= shares[entry.site]

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
        per_rps = demand.max_utilisation_pm * 10
        room = self.room if demand.demand_rps else NO_ROOM_NEEDED
        shares = self.shares[i]
        weights: list[int] = []
        spare: list[int] = []
        for site, nominal, current, active, standby, opened, may_receive, fixed, away, _, _ in demand.candidates:
            weights.append(nominal)
            if fixed is not None or away or not (standby or site in room):
                spare.append(0)
                continue
            limit = (active + opened + standby) * per_rps // rps
            if not may_receive and limit > current:
                limit = current
            limit -= shares[site]
            if site in room and room[site] < limit * rps:
                limit = room[site] // rps
                self.crowded.add(i)
            spare.append(limit if limit > 0 else 0)
        parts, missing_bp = _fill_up(self.missing.pop(i), weights, spare)
        if missing_bp:
            self.missing[i] = missing_bp
        self.cold.add(i)
        for (site, share_bp), part in zip(shares.items(), parts, strict=True):
            if part:
                shares[site] = share_bp + part
                if site in room:
                    room[site] -= part * rps

    def _make_room(self, short: list[int], standby: StandbyUse) -> Iterator[None]:
        """Move others on for those that a full site keeps short, not their pools (`reroute`)."""
        short = [i for i in short if i in self.crowded]
        if not short:
            return
        limits: dict[int, dict[SiteId, int]] = {}
        for done, i in enumerate(self.placed, 1):
            if self.demands[i].demand_rps:
                limits[i] = self._limits(i, standby)
            if not done % SLICE:
                yield
        rps = [demand.demand_rps for demand in self.demands]
        repair = Reroute(self.shares, limits, rps, self.room)
        yield from repair.prepare(SLICE)
        for i in (i for i in short if i in limits):
            for placed_bp in repair.place(i, self.missing[i]):
                self.missing[i] -= placed_bp
                yield
            if not self.missing[i]:
                del self.missing[i]
            yield
        self.changed.extend(repair.touched)
        if standby is StandbyUse.ALLOWED:
            self.cold |= repair.touched

    def settle(self) -> Iterator[None]:
        """Leave each service where it is when the difference is not worth a move and its place still fits."""
        for done, i in enumerate(sorted(set(self.changed)), 1):
            shares = self.shares[i]
            current = _worth_keeping(self.demands[i], shares)
            if current is not None and self._fits(i, current, shares):
                self.shares[i] = current
            if not done % SLICE:
                yield

    def _fits(self, i: int, current: dict[SiteId, int], shares: dict[SiteId, int]) -> bool:
        """Whether the present shares are within every limit; if so, they are booked instead."""
        pools = self._limits(i, StandbyUse.ALLOWED if i in self.cold else StandbyUse.NONE)
        grows = {site: current_bp - shares[site] for site, current_bp in current.items()}
        if any(grow_bp > 0 and current[site] > pools.get(site, 0) for site, grow_bp in grows.items()):
            return False
        if any(grow_bp and site not in pools for site, grow_bp in grows.items()):
            return False
        return self._book(grows, self.demands[i].demand_rps)

    def answer(self) -> Generator[None, None, Allocation]:
        """The placement as results."""
        missing, cold = self.missing, self.cold
        results: list[ServiceAllocation] = []
        for start in range(0, len(self.demands), SLICE):
            results += [
                ServiceAllocation(demand, shares, missing.get(i, 0), _to_open(demand, shares) if i in cold else NOTHING)
                for i, (demand, shares) in enumerate(
                    zip(self.demands[start : start + SLICE], self.shares[start : start + SLICE], strict=True), start
                )
            ]
            yield
        return Allocation(services=tuple(results))


def _worth_keeping(demand: Demand, shares: dict[SiteId, int]) -> dict[SiteId, int] | None:
    """The present shares when they differ a little and make as much; None when they are far, or the very same."""
    difference = most_bp = 0
    for entry in demand.candidates:
        share_bp, current_bp = shares[entry.site], entry.current_bp
        if share_bp == current_bp:
            continue
        if not -SETTLED_BP <= share_bp - current_bp <= SETTLED_BP or not share_bp or not current_bp:
            return None
        difference += share_bp - current_bp
        most_bp = SETTLED_BP
    if not most_bp or difference:
        return None
    return {entry.site: entry.current_bp for entry in demand.candidates}


def _fill_up(amount: int, nominal: list[int], limits: list[int]) -> tuple[list[int], int]:
    """By nominal first, the rest by headroom; and what found no room."""
    brim = sum(limits)
    if brim <= amount:
        return limits, amount - brim
    shares = water_fill(amount, nominal, limits)
    left = amount - sum(shares)
    if left:
        headroom = [limit - share for limit, share in zip(limits, shares, strict=True)]
        more = water_fill(left, headroom, headroom)
        shares = [a + b for a, b in zip(shares, more, strict=True)]
    return shares, 0


def _to_open(demand: Demand, shares: dict[SiteId, int]) -> dict[SiteId, int]:
    """Cold standby each site needs for its share."""
    opens = {}
    for entry in demand.candidates:
        if entry.fixed_bp is None:
            wanted_rps = capacity_for(shares[entry.site], demand) - entry.active_rps - entry.open_standby_rps
            if wanted_rps > 0:
                opens[entry.site] = wanted_rps
    return opens
