"""Make room for demand that finds its site full, by moving other services on to where they have room.

Only sites with a capacity of their own, shared by services, need this: water-filling places one service after
another near nominal, and a later service may find the only site it can use full, while an earlier one could as
well be elsewhere. This is the shortest-augmenting-path step of a maximum flow (Edmonds and Karp 1972) with services,
grouped by site, between the sites: nothing that was served before is served less afterwards, so serving tier by tier
stays optimal for the higher tier.

Units: shares in bp of their service; room at a site in bp x rps, so that all arithmetic is whole.

A flow is exact; ours moves whole bp, and one bp of a large service is more than one of a small one. So a way is judged
by what it *bears* once every move on it is rounded down, and it is given up only when it does not bear one bp of who
wants in. What stays unserved of a tier is therefore less than two bp of each service at each of its sites: one lost to
whole bp of a pool, one to whole bp of a move. The linear program in the tests holds the allocation to that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from siteshift.core.model.units import SiteId

ENDLESS = 10**18
"""The room at a site without a capacity of its own: more than any load (10,000 bp of 10^9 rps are 10^13)."""


class Hop(NamedTuple):
    """Who may move from one site to another, and how many bp of each."""

    movers: tuple[tuple[int, int], ...]
    source: SiteId
    target: SiteId


class Way(NamedTuple):
    """What a site can take in (bp x rps) when these hops, the nearest first, make room for it."""

    bears: int
    hops: tuple[Hop, ...]


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
        self._sites = dict.fromkeys(room)
        self._coarsest = 0
        self._movers: defaultdict[tuple[SiteId, SiteId], list[tuple[int, int]]] = defaultdict(list)
        """Who could move from one site to another, as (demand, service), the smallest first."""
        self._ways: list[tuple[Mapping[SiteId, Way], Mapping[SiteId, Way]]] = []
        """The best ways by at most 0, 1, ... hops, each with what that hop bettered; nothing is known after a move."""
        self.touched: set[int] = set()

    def prepare(self, slice_services: int) -> Iterator[None]:
        """Note who could move where; yields after every ``slice_services``."""
        by_demand = sorted((self._rps[i], i) for i in self._limits)
        self._coarsest = by_demand[-1][0] if by_demand else 0
        for done, entry in enumerate(by_demand, 1):
            self._sites.update(dict.fromkeys(self._limits[entry[1]]))
            for way in self._exits(entry[1]):
                self._movers[way].append(entry)
            if not done % slice_services:
                yield

    def place(self, service: int, missing_bp: int) -> Iterator[int]:
        """Place up to ``missing_bp`` more of a service; yields what each path found placed (never 0)."""
        while missing_bp > 0:
            found = self._shortest_way(service)
            if found is None:
                return
            first, way = found
            placed_bp = self._push(service, first, way, missing_bp)
            missing_bp -= placed_bp
            yield placed_bp

    def _exits(self, i: int) -> list[tuple[SiteId, SiteId]]:
        """From where to where a service could move and make room."""
        shares, limits = self._shares[i], self._limits[i]
        targets = [site for site, limit in limits.items() if limit > shares.get(site, 0)]
        if not targets:
            return []
        sources = [site for site in limits if site in self._room and shares.get(site, 0) > 0]
        return [(source, target) for source in sources for target in targets if source != target]

    def _offer(self, i: int) -> None:
        """Note what a service could do now that it has moved. Checked again when used."""
        entry = (self._rps[i], i)
        for way in self._exits(i):
            offers = self._movers[way]
            at = bisect_left(offers, entry)
            if at == len(offers) or offers[at] != entry:
                offers.insert(at, entry)

    def _shortest_way(self, service: int) -> tuple[SiteId, Way] | None:
        """Where the service enters, and by what way: the fewest hops that let one bp of it in, and of those the widest."""
        shares = self._shares[service]
        enters = [site for site, limit in self._limits[service].items() if limit > shares.get(site, 0)]
        for ways in self._by_hops() if enters else ():
            first = max(enters, key=lambda site: ways[site].bears)
            if ways[first].bears >= self._rps[service]:
                return first, ways[first]
        return None

    def _by_hops(self) -> Iterator[Mapping[SiteId, Way]]:
        """The best ways by at most 0, 1, ... hops. They are the same for whoever wants in, so they are worked out once."""
        if not self._ways:
            direct = {site: Way(self._room.get(site, ENDLESS), ()) for site in self._sites}
            self._ways.append((direct, direct))
        for ways, better in self._ways:  # grows while it is walked
            if not better:
                return
            yield ways
            if ways is self._ways[-1][0]:
                longer = self._one_hop_longer(ways, better)
                self._ways.append(({**ways, **longer}, longer))

    def _one_hop_longer(self, ways: Mapping[SiteId, Way], latest: Mapping[SiteId, Way]) -> dict[SiteId, Way]:
        """The sites that can take more in when they pass it on to one of the latest."""
        better: dict[SiteId, Way] = {}
        for target, way in latest.items():
            passed = {hop.source for hop in way.hops} | {hop.target for hop in way.hops}
            for source, room in self._room.items():
                if source in passed or (source, target) not in self._movers:
                    continue
                load, movers = self._load_off(source, target, way.bears)
                if room + load > better.get(source, ways[source]).bears:
                    better[source] = Way(room + load, (Hop(movers, source, target), *way.hops))
        return better

    def _load_off(self, source: SiteId, target: SiteId, bears: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """How much can move from one site to another, and who: as few services as make up one bp of the largest."""
        offers = self._movers[source, target]
        load, movers = 0, []
        at = len(offers)
        while load < self._coarsest and (at := bisect_right(offers, (bears - load, len(self._rps)), 0, at)):
            at -= 1
            rps, i = offers[at]
            shares = self._shares[i]
            most_bp = min(shares.get(source, 0), self._limits[i][target] - shares.get(target, 0))
            if most_bp <= 0:
                del offers[at]
                continue
            moved_bp = min(most_bp, (bears - load) // rps)
            movers.append((i, moved_bp))
            load += moved_bp * rps
        return load, tuple(movers)

    def _push(self, service: int, first: SiteId, way: Way, missing_bp: int) -> int:
        """Let in as much as the way bears, and move on along it no more than that needs; answers the bp let in."""
        pool_bp = self._limits[service][first] - self._shares[service].get(first, 0)
        placed_bp = min(missing_bp, pool_bp, way.bears // self._rps[service])
        self._ways.clear()
        self._shift(service, None, first, placed_bp)
        for hop in way.hops:
            for i, most_bp in hop.movers:
                needed_bp = -(self._room[hop.source] // self._rps[i])
                self._shift(i, hop.source, hop.target, min(most_bp, needed_bp))
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
        self._offer(i)
