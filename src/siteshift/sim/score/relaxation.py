"""The least that anybody could lose: a bound from below, reckoned and not steered.

The scenario's rules are relaxed until the optimum can be read off. Whoever steers knows of every fault the instant it starts,
moves all users at once and back at once, sends a request to the best server there is, pools the queues of all sites, starts
every standby with the first event and loses nothing to a server pushed past its knee. What is left cannot be had by steering:

``capacity``   more first tries than all servers that are reached can answer while their users wait;
``errors``     a request fails where even the best site errs on every try it has;
``lateness``   an answer is late where even the best site is too slow, or no server has a turn for it in time;
``stretchers`` resolvers that keep an answer longer than its TTL (8.7 %, `spec.ClientSpec`) and lead fresh look-ups to a site
               that answers nobody. They count from the first event on, for until then everybody steers as configured.

With N requests, at most A of them answered and at most T of those in time, no controller loses less than
``N - (1 - w) A - w T`` (`loss`): the two maxima are taken apart, so the bound holds for every weight ``w``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.delivery import OF_THE_WORLD, events_without_us
from siteshift.sim.results.loss import WEIGHTS, Loss, is_late
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.world.clients import Population
from siteshift.sim.world.servers import Server
from siteshift.sim.world.spec import USERS, ClientSpec, Entry, ServerSpec, WorldSpec
from siteshift.sim.world.world import TICK_MS, World

ROUNDING, ROUNDING_PART = 1.5, 0.002
"""Requests, and a part of the bound, by which ticks of different length round differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """What the best steering could have of a service now.

    ``answered_rps`` and ``in_time_rps``: good answers per second that all reached servers together can give, and can give
    within the objective. ``error`` and ``slow``: the least part of answers that err, or come late, at any; 1 where there is none.
    ``dead``: the sites where no user who is led there is answered, nor sent on by a balancer.
    """

    answered_rps: float
    in_time_rps: float
    error: float
    slow: float
    dead: frozenset[SiteId]


@dataclass(slots=True, kw_only=True)
class _Queue:
    """All servers as one that never tires: serves the oldest first and drops who waited longer than ``patience_ms``.

    No other order answers more of them within their patience (earliest deadline first, Jackson 1955; all wait equally long).
    """

    patience_ms: int
    dropped: float = 0.0
    _waiting: deque[tuple[int, float]] = field(default_factory=deque)

    def pass_time(self, now_ms: int, arrived: float, can_serve: float) -> None:
        """One tick that ends now."""
        if arrived > 0:
            self._waiting.append((now_ms, arrived))
        while self._waiting and can_serve > 0:
            born_ms, amount = self._waiting[0]
            done = min(amount, can_serve)
            can_serve -= done
            if done < amount:
                self._waiting[0] = (born_ms, amount - done)
            else:
                self._waiting.popleft()
        while self._waiting and now_ms - self._waiting[0][0] > self.patience_ms:
            self.dropped += self._waiting.popleft()[1]


class _Tick(NamedTuple):
    """A time in which nothing changed: first tries in it, those that stretchers lead astray, the best there was."""

    at_ms: int
    lasted_ms: int
    first: float
    stuck: float
    best: _Best


class Relaxation:
    """A pilot that moves nothing and writes down what the best could have had. `loss` after the run."""

    def __init__(self, events: Sequence[TimedEvent]) -> None:
        self._first_ms = min((event.at_ms for event in events), default=None)
        self._ticks: dict[ServiceId, list[_Tick]] = {}
        self._best: dict[ServiceId, _Best] = {}
        self._rates_rps: dict[ServiceId, float] = {}
        """Demand when the present stretch of time began."""
        self._until_ms = 0
        self._world: World | None = None

    def start(self, world: World, witness: Witness) -> None:
        """Look at the servers after every change, and at demand every tick."""
        del witness
        self._world = world
        self._until_ms = world.clock.now_ms
        self._ticks = {population.service.id: [] for population in world.flow.populations}
        world.watchers.append(partial(self._changed, world))
        self._look(world)
        self._again(world)

    def loss(self) -> Loss:
        """Of all services, at least."""
        assert self._world is not None
        losses = [
            _reckon(self._ticks[one.service.id], one.spec, self._world.spec.server, one.service.slo_latency_ms)
            for one in self._world.flow.populations
        ]
        return Loss(failed=sum(one.failed for one in losses), late=sum(one.late for one in losses))

    def _again(self, world: World) -> None:
        world.clock.after(TICK_MS, partial(self._tick, world))

    def _tick(self, world: World) -> None:
        now_ms = world.clock.now_ms
        self._account(world, {one.service.id: one.demand_rps(now_ms) for one in world.flow.populations})
        if not self._are_standbys_up(world.clock.now_ms - TICK_MS):
            self._look(world)
        self._again(world)

    def _changed(self, world: World) -> None:
        """What was the best before counts up to now; of demand, what it was, for it may have changed just now."""
        self._account(world, {})
        self._look(world)

    def _account(self, world: World, rates_rps: Mapping[ServiceId, float]) -> None:
        """One more stretch of time, at the lesser of the demands at its ends. ``rates_rps`` are those of its end."""
        now_ms, before_ms = world.clock.now_ms, self._until_ms
        if now_ms <= before_ms:
            return
        self._until_ms = now_ms
        for population in world.flow.populations:
            name = population.service.id
            best, rate_rps = self._best[name], self._rates_rps[name]
            first = min(rate_rps, rates_rps.get(name, rate_rps)) * (now_ms - before_ms) / 1_000
            stuck = first * self._stuck_part(world, population, best)
            self._ticks[name].append(_Tick(now_ms, now_ms - before_ms, first, stuck, best))
        self._note_rates(world)

    def _look(self, world: World) -> None:
        with_standbys = self._are_standbys_up(world.clock.now_ms)
        self._best = {p.service.id: _best(world, p, with_standbys=with_standbys) for p in world.flow.populations}
        self._note_rates(world)

    def _note_rates(self, world: World) -> None:
        now_ms = world.clock.now_ms
        self._rates_rps = {one.service.id: one.demand_rps(now_ms) for one in world.flow.populations}

    def _are_standbys_up(self, now_ms: int) -> bool:
        """Whether they could be in the tick that begins now, had they been started with the first event."""
        assert self._world is not None
        start_ms = self._world.spec.standby.cold_start_ms - TICK_MS
        return self._first_ms is not None and now_ms >= self._first_ms + start_ms

    def _stuck_part(self, world: World, population: Population, best: _Best) -> float:
        """The part of first tries that stretchers lead to a dead site, where nobody tries again."""
        clients = population.spec
        if self._first_ms is None or clients.retries or clients.stretch_ms <= 0:
            return 0.0
        held = 1 - (world.clock.now_ms - self._first_ms) / clients.stretch_ms
        if not 0 < held <= 1:
            return 0.0
        nominal_bp = sum(pool.nominal_bp for pool in population.service.pools if pool.site in best.dead)
        asked = clients.stretch_ms / (clients.stretch_ms + clients.resolver_idle_ms)
        return nominal_bp / 10_000 * held * asked * clients.stretch_pm / 1_000 * (1 - clients.reuse_pm / 1_000)


def _reckon(ticks: Sequence[_Tick], clients: ClientSpec, servers: ServerSpec, objective_ms: int) -> Loss:
    """The bound of one service. What still waits at the end is not lost."""
    tries = 1 + clients.retries
    patience_ms = _patience_ms(clients, servers)
    in_time_ms = min(patience_ms, objective_ms + TICK_MS) if objective_ms else patience_ms
    errors = [tick.best.error for tick in ticks]
    if clients.retries:
        errors = _least_ahead(ticks, errors, patience_ms)
    slows = _least_ahead(ticks, [tick.best.slow for tick in ticks], in_time_ms)
    answered, in_time = _Queue(patience_ms=patience_ms), _Queue(patience_ms=in_time_ms)
    failed = untimely = 0.0
    for tick, error, slow in zip(ticks, errors, slows, strict=True):
        free = tick.first - tick.stuck
        fails = tick.stuck + free * error**tries
        comes_late = tick.stuck + free * max(slow, error**tries)
        failed += fails
        untimely += comes_late
        answered.pass_time(tick.at_ms, tick.first - fails, tick.best.answered_rps * tick.lasted_ms / 1_000)
        in_time.pass_time(tick.at_ms, tick.first - comes_late, tick.best.in_time_rps * tick.lasted_ms / 1_000)
    lost = failed + answered.dropped
    return Loss(failed=lost, late=max(0.0, untimely + in_time.dropped - lost))


def _least_ahead(ticks: Sequence[_Tick], values: Sequence[float], window_ms: int) -> list[float]:
    """For each tick the least value from then until ``window_ms`` later."""
    found = [0.0] * len(values)
    candidates: deque[int] = deque()
    for number in range(len(values) - 1, -1, -1):
        while candidates and values[candidates[0]] >= values[number]:
            candidates.popleft()
        candidates.appendleft(number)
        while ticks[candidates[-1]].at_ms > ticks[number].at_ms + window_ms:
            candidates.pop()
        found[number] = values[candidates[-1]]
    return found


def _patience_ms(clients: ClientSpec, servers: ServerSpec) -> int:
    """How long after its first try a request may be answered: a queue holds no more than ``queue_ms`` and a tick of work."""
    last_try_ms = min(clients.try_ms, servers.queue_ms) + TICK_MS
    return last_try_ms if not clients.retries else clients.deadline_ms + last_try_ms


def _best(world: World, population: Population, *, with_standbys: bool) -> _Best:
    service = population.service
    answered_rps = in_time_rps = 0.0
    error = slow = 1.0
    dead: set[SiteId] = set()
    entry = world.spec.entry_of(service.id)
    for pool in population.pools:
        site = pool.pool.site
        is_reached = world.net.is_open(USERS, site) and site not in world.dark_sites
        there = [s for s in pool.servers if s.condition.down is None and (s.is_open or _may_serve(s, with_standbys))]
        is_dead = not (is_reached and there) if entry is Entry.DNS else site in world.dark_sites
        if is_dead and entry is not Entry.BALANCER:
            dead.add(site)
        if not there or not _can_be_had(world, site, is_reached=is_reached):
            continue
        dep_error, dep_add_ms = _dependencies(world, service.depends_on, site)
        for server in there:
            condition = server.condition
            is_slow = is_late(pool.spec.latency_ms + condition.add_ms + dep_add_ms, service.slo_latency_ms)
            late_part = condition.add_part_pm / 1_000 if is_slow and condition.add_ms else float(is_slow)
            answered_rps += server.capacity_rps
            in_time_rps += server.capacity_rps * (1 - late_part)
            error = min(error, 1 - (1 - condition.error_pm / 1_000) * (1 - dep_error))
            slow = min(slow, late_part)
    return _Best(answered_rps=answered_rps, in_time_rps=in_time_rps, error=error, slow=slow, dead=frozenset(dead))


def _may_serve(server: Server, with_standbys: bool) -> bool:
    return with_standbys and server.member.role is MemberRole.STANDBY


def _can_be_had(world: World, site: SiteId, *, is_reached: bool) -> bool:
    """Whether users get there: by themselves, or sent on by the balancer of a site they reach."""
    if is_reached:
        return True
    others = [one for one in world.spec.topology.site_ids if one != site and world.net.is_open(USERS, one)]
    return site not in world.dark_sites and any(world.net.is_open(other, site) for other in others)


def _dependencies(world: World, needed: Sequence[ServiceId], site: SiteId) -> tuple[float, int]:
    """The least part that errs, and the least that is added, where the best server of everything needed there answers."""
    error, add_ms = 0.0, 0
    for name in needed:
        if (name, site) not in world.spec.topology.pools:
            continue
        servers = [s for s in world.flow.pool(name, site).servers if s.condition.down is None]
        if not servers:
            error = 1.0
            continue
        error = max(error, min(s.condition.error_pm for s in servers) / 1_000)
        add_ms += min(s.condition.add_ms for s in servers)
    return error, add_ms


def is_beaten(bound: Loss, loss: Loss) -> bool:
    """Whether somebody lost less than the bound, whatever a late answer weighs."""
    pairs = [(bound.weighed(weight), loss.weighed(weight)) for weight in WEIGHTS.values()]
    return any(lost < least * (1 - ROUNDING_PART) - ROUNDING for least, lost in pairs)


def least_loss(scenario: Scenario, *, seed: int, world: WorldSpec | None = None) -> Loss:
    """What nobody who steers this scenario's world, or another ``world`` under the same events, can lose less than."""
    pilot = Relaxation(scenario.events)
    simulate(
        replace(world or scenario.world, nodes=()),
        scenario.policy,
        events_without_us(scenario.events, OF_THE_WORLD),
        seed=seed,
        duration_ms=scenario.duration_ms,
        warm_up_ms=scenario.warm_up_ms,
        pilots=(pilot,),
    )
    return pilot.loss()
