"""The users of one service as fluid: resolvers' caches of every habit, kept connections, retries and their budget.

Caches are buckets by the instant they run out. While answers have not changed for longer than any cache of a kind lives,
its ages are spread evenly and no buckets are kept; they are laid out again when answers change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from siteshift.core.model.topology import Service
from siteshift.core.model.units import SiteId
from siteshift.sim.results.record import LostTo
from siteshift.sim.world.link import AT_ONCE, Answers, part_in_time
from siteshift.sim.world.servers import DUST, Batch, Fate, PoolFlow
from siteshift.sim.world.spec import ClientSpec, LoadSpec

BUCKETS = 30
LEAST_BUCKET_MS = 100
MOST_REUSE = 0.98
"""Who never asks anew would use a connection infinitely often before it ends."""
BUDGET_MS = 10_000
"""Retries saved up at most: those of ten seconds."""


@dataclass(slots=True, kw_only=True)
class Cache:
    """All resolvers of one habit. ``mix`` is the part of them that holds each site."""

    least_ms: int
    mix: list[float]
    answers: list[float]
    hold_ms: int
    idle_ms: int = 0
    """How long nobody asks a resolver after its answer ran out, on the mean: such a resolver asks anew when somebody does."""
    _buckets: dict[int, list[float]] = field(default_factory=dict)
    _settled_ms: int = 0
    """From then on no answer older than the present ones is held."""

    def advance(self, now_ms: int, answers: Sequence[float] | None, ttl_ms: int) -> None:
        """Let caches run out and ask again. ``answers`` None: nobody answers, old ones are used on (RFC 8767)."""
        if answers is None:
            return
        hold_ms = max(ttl_ms, self.least_ms)
        if list(answers) != self.answers or hold_ms != self.hold_ms:
            if not self._buckets:
                self._lay_out(now_ms)
            self._settled_ms = max(self._buckets)
            self.answers, self.hold_ms = list(answers), hold_ms
        if not self._buckets:
            return
        if now_ms >= self._settled_ms:
            self.mix, self._buckets = list(self.answers), {}
            return
        due = sorted(at_ms for at_ms in self._buckets if at_ms <= now_ms)
        if due:
            self._ask_again(due, now_ms)

    def _ask_again(self, due: list[int], now_ms: int) -> None:
        freed = 0.0
        for at_ms in due:
            for site, part in enumerate(self._buckets.pop(at_ms)):
                self.mix[site] -= part
                freed += part
        step_ms = max(LEAST_BUCKET_MS, self.hold_ms // BUCKETS)
        until_ms = max((now_ms + self.hold_ms) // step_ms * step_ms, now_ms + 1)
        bucket = self._buckets.setdefault(until_ms, [0.0] * len(self.mix))
        for site, part in enumerate(self.answers):
            self.mix[site] += freed * part
            bucket[site] += freed * part

    def _lay_out(self, now_ms: int) -> None:
        """Spread the ages of a settled cache evenly, before its answers change; what had run out holds nothing."""
        idle = self.idle_ms / max(1, self.hold_ms + self.idle_ms)
        self._buckets[now_ms] = [part * idle for part in self.mix]
        count = max(1, min(BUCKETS, self.hold_ms // LEAST_BUCKET_MS))
        for number in range(1, count + 1):
            until_ms = now_ms + max(1, self.hold_ms * number // count)
            self._buckets[until_ms] = [part * (1 - idle) / count for part in self.mix]


class Way(NamedTuple):
    """What requests that wait have in common: when they were first made, their try, and what befell them where."""

    born_ms: int
    tries: int
    site: int
    cause: LostTo


@dataclass(slots=True)
class Waiting:
    """Requests that will fail, or be tried again, at instants that only grow. Those alike are one: else retries of retries
    would multiply."""

    _instants: deque[int] = field(default_factory=deque)
    _amounts: dict[int, dict[Way, float]] = field(default_factory=dict)

    def put(self, at_ms: int, way: Way, amount: float) -> None:
        """Let so many wait until then."""
        found = self._amounts.get(at_ms)
        if found is None:
            found = self._amounts[at_ms] = {}
            self._instants.append(at_ms)
        found[way] = found.get(way, 0.0) + amount

    def due(self, now_ms: int) -> list[tuple[Way, float]]:
        """Take those whose instant has come."""
        taken: list[tuple[Way, float]] = []
        while self._instants and self._instants[0] <= now_ms:
            taken += self._amounts.pop(self._instants.popleft()).items()
        return taken

    def amount(self) -> float:
        """How many wait."""
        return sum(amount for found in self._amounts.values() for amount in found.values())

    def __bool__(self) -> bool:
        return bool(self._instants)


@dataclass(slots=True)
class Population:
    """The users of one service. The world calls `advance` each tick with what DNS answers and where balancers send."""

    service: Service
    spec: ClientSpec
    load: LoadSpec
    pools: list[PoolFlow]
    caches: list[tuple[int, Cache]]
    """Per mille of the resolvers with each habit."""
    connections: list[float]
    offered: float = 0.0
    served_before: float = 0.0
    late_before: float = 0.0
    shed: float = 0.0
    """Requests the sorry page answered since the last second."""
    lost: dict[LostTo, float] = field(default_factory=dict)
    seen: list[float] = field(default_factory=list)
    """Requests (all tries) sent to each site since the last second."""
    pinned_pm: int = 0
    pinned_mix: list[float] = field(default_factory=list)
    held_pm: int = 0
    held_mix: list[float] = field(default_factory=list)
    pinned_until_ms: int = 0
    _failing: Waiting = field(default_factory=Waiting)
    _again: Waiting = field(default_factory=Waiting)
    _tokens: float = 0.0
    _surge: tuple[int, int, int, int] = (1_000, 1_000, 0, 0)
    """From, to (per mille), since, over (ms)."""

    # -- what faults do -------------------------------------------------------------------------------------------

    def surge(self, factor_pm: int, ramp_ms: int, now_ms: int) -> None:
        """Demand goes to this factor over a ramp."""
        self._surge = (self._factor_pm(now_ms), factor_pm, now_ms, ramp_ms)

    def pin(self, part_pm: int, connections_pm: int, until_ms: int) -> None:
        """A part of resolvers, and of requests on old connections, stays where it is now until then."""
        self.pinned_pm, self.held_pm, self.pinned_until_ms = part_pm, connections_pm, until_ms
        self.pinned_mix, self.held_mix = self._cached(), list(self.connections)

    # -- demand ---------------------------------------------------------------------------------------------------

    def demand_rps(self, now_ms: int) -> float:
        """First tries per second now."""
        load = self.load
        points = load.curve_pm
        if len(points) == 1:
            base_pm = float(points[0])
        else:
            place = ((now_ms + load.start_ms) % load.period_ms) * len(points) / load.period_ms
            left = int(place) % len(points)
            base_pm = points[left] + (points[(left + 1) % len(points)] - points[left]) * (place - int(place))
        return load.peak_rps * base_pm / 1_000 * self._factor_pm(now_ms) / 1_000

    def _factor_pm(self, now_ms: int) -> int:
        start, end, since_ms, over_ms = self._surge
        if start == end or now_ms >= since_ms + over_ms:
            return end
        return start + (end - start) * (now_ms - since_ms) // over_ms

    def is_ramping(self, now_ms: int) -> bool:
        """Whether a surge is growing or falling."""
        start, end, since_ms, over_ms = self._surge
        return start != end and now_ms < since_ms + over_ms

    # -- where requests go ----------------------------------------------------------------------------------------

    def _cached(self) -> list[float]:
        """The parts of resolvers that hold each place."""
        mix = [0.0] * len(self.connections)
        for part_pm, cache in self.caches:
            for site, part in enumerate(cache.mix):
                mix[site] += part * part_pm / 1_000
        return mix

    def _wanted(self, now_ms: int, dt_ms: int, cached: list[float], broken: list[float], mute: list[float]) -> list[float]:
        """The part of requests for each site: over kept connections, and by fresh look-ups."""
        is_pinned = now_ms < self.pinned_until_ms
        if is_pinned and self.pinned_pm:
            pinned = self.pinned_pm / 1_000
            cached = [c * (1 - pinned) + p * pinned for c, p in zip(cached, self.pinned_mix, strict=True)]
        kept = self._keep_connections(min(1.0, dt_ms / max(1, self.spec.connection_ms)), cached, broken, mute)
        reuse = self.spec.reuse_pm / 1_000
        parts = [k * reuse + c * (1 - reuse) for k, c in zip(kept, cached, strict=True)]
        if is_pinned and self.held_pm:
            held = self.held_pm / 1_000
            parts = [p * (1 - held) + h * held for p, h in zip(parts, self.held_mix, strict=True)]
        return parts

    def _keep_connections(
        self, turnover: float, cached: list[float], broken: list[float], mute: list[float]
    ) -> list[float]:
        """Let connections end, break and begin; where the requests go that would use one.

        A connection ends when its user asks anew instead of using it (`connection_ms`). So it is used, on the mean, reuse /
        (1 - reuse) times as often as it ends, and one that stays mute is given up after its next use. Who has none looks up,
        and so goes where their cache leads: as many begin at a site as caches lead there beyond those who are connected. Who is
        led to a dead or mute site stays without, the others connect.
        """
        connections = self.connections
        reuse = min(MOST_REUSE, self.spec.reuse_pm / 1_000)
        used = turnover * reuse / (1 - reuse)
        for site, part in enumerate(connections):
            connections[site] = part * (1 - min(1.0, turnover + broken[site] + used * mute[site]))
        led = [
            max(0.0, part * max(gone, silent) - kept * silent)
            for part, gone, silent, kept in zip(cached, broken, mute, connections, strict=True)
        ]
        stuck = sum(led)
        free = 1 - sum(connections) - stuck
        begin = [max(0.0, part - gone - kept) for part, gone, kept in zip(cached, led, connections, strict=True)]
        wanting = sum(begin)
        if free > 0 and wanting > DUST:
            for site, part in enumerate(begin):
                connections[site] += min(free, wanting) * part / wanting
        without = max(0.0, 1 - sum(connections))
        if without <= DUST:
            return connections
        return [
            kept + without * (gone / stuck if stuck > 0 else c) for kept, gone, c in zip(connections, led, cached, strict=True)
        ]

    def advance(
        self,
        now_ms: int,
        dt_ms: int,
        *,
        answers: Sequence[float] | None,
        ttl_ms: int,
        direct: Sequence[float] | None,
        forward: Sequence[Sequence[float]] | None,
        ways: Sequence[Sequence[Answers]] | None,
        broken: list[float],
        mute: list[float],
    ) -> None:
        """One tick. Vectors have an element for each site, and one for the sorry page where there is one.

        ``answers``   what DNS gives to those who ask now; ``direct``: where a balancer before all sites sends instead.
        ``forward``   per site, where its balancer sends what arrives there (None: it stays).
        ``ways``      what links do to who enters at one site and is served at another (None: nothing anywhere).
        ``broken``    the part of kept connections that are reset at a site at once; ``mute``: the part of requests there that get
                      no answer in time.
        """
        if direct is not None:
            parts = list(direct)
        else:
            for _, cache in self.caches:
                cache.advance(now_ms, answers, ttl_ms)
            parts = self._wanted(now_ms, dt_ms, self._cached(), broken, mute)
        legs = self._legs(parts, forward, ways)
        first = self.demand_rps(now_ms) * dt_ms / 1_000
        self.offered += first
        if self.spec.retry_budget_pm is not None:
            most = self.demand_rps(now_ms) * BUDGET_MS / 1_000
            self._tokens = min(most, self._tokens + first) if self.spec.retry_budget_pm else 0.0
        again: dict[tuple[int, int], float] = {}
        for way, amount in self._again.due(now_ms):
            again[way.born_ms, way.tries] = again.get((way.born_ms, way.tries), 0.0) + amount
        batches = [Batch(now_ms, 0, first), *(Batch(born, tries, amount) for (born, tries), amount in again.items())]
        if len(legs) > len(self.pools) and (part := sum(legs[-1].values())) > 0:
            turned_away = sum(batch.amount for batch in batches) * part
            self.lost[LostTo.SHED] = self.lost.get(LostTo.SHED, 0.0) + turned_away
            self.shed += turned_away
        for site, come in enumerate(legs[: len(self.pools)]):
            self._send(site, come, batches, now_ms, dt_ms)
        for way, amount in self._failing.due(now_ms):
            self._failed(Batch(way.born_ms, way.tries, amount), way.site, way.cause, now_ms)

    def _legs(
        self, parts: list[float], forward: Sequence[Sequence[float]] | None, ways: Sequence[Sequence[Answers]] | None
    ) -> list[dict[Answers, float]]:
        """The parts of requests that each place gets, by what links do to them on the way."""
        legs: list[dict[Answers, float]] = [{} for _ in parts]
        for entered, part in enumerate(parts):
            row = forward[entered] if forward is not None and entered < len(forward) else None
            for target, share in enumerate(row) if row is not None else ((entered, 1.0),):
                found = AT_ONCE if ways is None or target >= len(self.pools) else ways[entered][target]
                legs[target][found] = legs[target].get(found, 0.0) + part * share
        return legs

    def _send(self, site: int, legs: dict[Answers, float], batches: list[Batch], now_ms: int, dt_ms: int) -> None:
        pool = self.pools[site]
        part = sum(legs.values())
        if part <= DUST and pool.is_plain:
            pool.rest()
            return
        mine = self._under_way(site, legs, batches, now_ms) if part > DUST else []
        fates: list[Fate] = []
        pool.take(mine, now_ms, dt_ms, self.spec.try_ms, fates)
        for at_ms, batch, cause in fates:
            if at_ms > now_ms:
                self._failing.put(at_ms, Way(batch.born_ms, batch.tries, site, cause), batch.amount)
            else:
                self._failed(batch, site, cause, now_ms)

    def _under_way(self, site: int, legs: dict[Answers, float], batches: list[Batch], now_ms: int) -> list[Batch]:
        """What arrives at a site, by how late its answers are on the way; the rest waits in vain."""
        arriving: list[Batch] = []
        for answers, part in legs.items():
            missing = 1 - part_in_time(answers)
            for born_ms, tries, whole, _ in batches:
                amount = whole * part
                self.seen[site] += amount
                arriving += [Batch(born_ms, tries, amount * each, late_ms) for late_ms, each in answers]
                if missing * amount > DUST:
                    self._failing.put(now_ms + self.spec.try_ms, Way(born_ms, tries, site, LostTo.SILENT), amount * missing)
        return arriving

    def drop(self, site: int, dropped: Sequence[Batch], now_ms: int) -> None:
        """Requests in the queue of a server that just died."""
        for batch in dropped:
            self._failed(batch, site, LostTo.REFUSED, now_ms)

    def _failed(self, batch: Batch, site: int, cause: LostTo, now_ms: int) -> None:
        """A try failed: try again while the user waits and the budget lasts, else it is lost."""
        spec = self.spec
        again_ms = now_ms + spec.retry_after_ms
        amount = batch.amount
        if batch.tries < spec.retries and again_ms - batch.born_ms <= spec.deadline_ms:
            allowed = amount
            if spec.retry_budget_pm is not None:
                allowed = min(amount, self._tokens * spec.retry_budget_pm / 1_000)
                self._tokens -= allowed * 1_000 / max(1, spec.retry_budget_pm)
            if allowed > 0:
                self._again.put(again_ms, Way(batch.born_ms, batch.tries + 1, site, cause), allowed)
                amount -= allowed
        if amount > 0:
            self.lost[cause] = self.lost.get(cause, 0.0) + amount
            self.pools[site].lost += amount

    @property
    def pending(self) -> float:
        """Requests whose end is not known yet."""
        return self._failing.amount() + self._again.amount() + sum(pool.waiting() for pool in self.pools)

    @property
    def has_retries(self) -> bool:
        return bool(self._again)

    def site_index(self, site: SiteId) -> int:
        return self.service.sites.index(site)
