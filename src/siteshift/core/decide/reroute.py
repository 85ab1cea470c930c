"""Make room for demand that finds its site full, by moving other services on to where they have room.

Only sites with a capacity of their own, shared by services, need this: water-filling places one service after
another near nominal, and a later service may find the only site it can use full, while an earlier one could as
well be elsewhere. This is the shortest-augmenting-path step of a maximum flow (Edmonds and Karp 1972) with services,
grouped by site, between the sites: nothing that was served before is served less afterwards, so serving tier by tier
stays optimal for the higher tier.

Units: shares in bp of their service; room at a site in bp x rps, so that all arithmetic is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from siteshift.core.model.units import SiteId

Hop = tuple[int, SiteId, SiteId]
"""Service (by index) that moves, from, to."""


class Reroute:
    """The placement under repair. Owns nothing: ``shares`` and ``room`` are the caller's and are changed in place.

    ``shares[i][site]`` is what service ``i`` has where; ``limits[i][site]`` how much its pool takes there (no entry:
    what it has there is fixed; none for the service: it is idle, or not placed yet); ``rps[i]`` its demand;
    ``room[site]`` what is left at each limited site.
    """

    def __init__(
        self,
        shares: Sequence[dict[SiteId, int]],
        limits: Mapping[int, Mapping[SiteId, int]],
        rps: Sequence[int],
        room: dict[SiteId, int],
    ) -> None:
        self._shares = shares
        self._limits = limits
        self._rps = rps
        self._room = room
        self._movers: dict[tuple[SiteId, SiteId], list[int]] = {}
        self._useless: set[Hop] = set()
        self.touched: set[int] = set()

    def prepare(self, slice_services: int) -> Iterator[None]:
        """Note who could move where; yields after every ``slice_services``."""
        for done, i in enumerate(self._limits, 1):
            for site in self._limits[i]:
                self._offer(i, site)
            if not done % slice_services:
                yield

    def place(self, service: int, missing_bp: int) -> Iterator[int]:
        """Place up to ``missing_bp`` more of a service; yields what each path found placed (never 0)."""
        while missing_bp > 0:
            path = self._shortest_path(service)
            if path is None:
                return
            first, hops = path
            placed_bp = self._push(service, first, hops, missing_bp)
            if placed_bp:
                missing_bp -= placed_bp
                yield placed_bp

    def _offer(self, i: int, source: SiteId) -> None:
        """Note that service ``i`` could leave ``source`` for wherever it has room. Checked again when used."""
        if source not in self._room or self._shares[i].get(source, 0) <= 0:
            return
        for target, limit in self._limits[i].items():
            if target != source and limit > self._shares[i].get(target, 0):
                self._movers.setdefault((source, target), []).append(i)

    def _mover(self, source: SiteId, target: SiteId) -> int | None:
        movers = self._movers.get((source, target))
        while movers:
            i = movers[-1]
            shares = self._shares[i]
            if (
                shares.get(source, 0) > 0
                and self._limits[i].get(target, 0) > shares.get(target, 0)
                and (i, source, target) not in self._useless
            ):
                return i
            movers.pop()
        return None

    def _has_room(self, site: SiteId, entering: int) -> bool:
        """Whether at least one bp of the entering service fits."""
        room = self._room.get(site)
        return room is None or room >= self._rps[entering]

    def _shortest_path(self, service: int) -> tuple[SiteId, list[Hop]] | None:
        """The site the service enters, and who moves where to make room for it."""
        shares, limits = self._shares[service], self._limits[service]
        came_by: dict[SiteId, Hop | None] = {
            site: None for site, limit in limits.items() if limit > shares.get(site, 0)
        }
        queue = deque(came_by)
        targets = {target for _, target in self._movers}
        while queue:
            site = queue.popleft()
            hop = came_by[site]
            if self._has_room(site, service if hop is None else hop[0]):
                return self._unwind(site, came_by)
            for target in sorted(targets - came_by.keys()):
                mover = self._mover(site, target)
                if mover is not None:
                    came_by[target] = (mover, site, target)
                    queue.append(target)
        return None

    @staticmethod
    def _unwind(site: SiteId, came_by: dict[SiteId, Hop | None]) -> tuple[SiteId, list[Hop]]:
        hops: list[Hop] = []
        while (hop := came_by[site]) is not None:
            hops.append(hop)
            site = hop[1]
        hops.reverse()
        return site, hops

    def _push(self, service: int, first: SiteId, hops: list[Hop], missing_bp: int) -> int:
        """Move along the path as much as it bears, in whole bp of each service on it; 0 forbids the tight hop."""
        last = hops[-1][2] if hops else first
        bearing = self._room.get(last)
        for hop in reversed(hops):
            i, source, target = hop
            movable_bp = min(self._shares[i][source], self._limits[i][target] - self._shares[i].get(target, 0))
            if bearing is not None:
                movable_bp = min(movable_bp, bearing // self._rps[i])
            if movable_bp <= 0:
                self._useless.add(hop)
                return 0
            bearing = self._room[source] + movable_bp * self._rps[i]
        pool_bp = self._limits[service][first] - self._shares[service].get(first, 0)
        placed_bp = min(missing_bp, pool_bp)
        if bearing is not None:
            placed_bp = min(placed_bp, bearing // self._rps[service])
        if placed_bp <= 0:
            self._useless.add(hops[0])
            return 0
        self._shift(service, None, first, placed_bp)
        for i, source, target in hops:
            self._shift(i, source, target, -(self._room[source] // self._rps[i]))
        return placed_bp

    def _shift(self, i: int, source: SiteId | None, target: SiteId, moved_bp: int) -> None:
        """Move (or place) and keep the books; a site may be overdrawn until the next hop of the path repays it."""
        if moved_bp <= 0:
            return
        self.touched.add(i)
        if source is not None:
            self._shares[i][source] -= moved_bp
            self._room[source] += moved_bp * self._rps[i]
        self._shares[i][target] = self._shares[i].get(target, 0) + moved_bp
        if target in self._room:
            self._room[target] -= moved_bp * self._rps[i]
        for site in self._limits[i]:
            self._offer(i, site)
