"""A controller that is told of every fault the instant it starts and the instant it ends: the least possible loss.

Only detection is idealised. It moves what can be moved, as fast as it can be moved: the same data planes with their write
times, the same TTLs, the same standbys with their start times, the same capacities and limit of utilisation. It knows nothing
in advance. It needs neither ramps nor confirmation, because it is never wrong about what it sees. It is greedy: it looks neither
at caches nor ahead, so where a site keeps a part of its share, what caches still send there beyond its capacity is lost, to it
as to us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from siteshift.core.decide.capacity import allocate
from siteshift.core.decide.demand import Candidate, Demand, Problem, ServiceAllocation, StandbyUse
from siteshift.core.decide.residual import still_held_bp
from siteshift.core.decide.steering import sent_on
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.policy import Policy, ServicePolicy
from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.sim.faults.acts import Ask, TimedEvent
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.delivery import OF_THE_PLANES, OF_THE_WORLD, Delivery, events_without_us, persons_weights
from siteshift.sim.results.loss import is_late
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.world.clients import Population
from siteshift.sim.world.clock import EPOCH_MS
from siteshift.sim.world.planes import Plane, Trouble
from siteshift.sim.world.servers import Down, Server
from siteshift.sim.world.world import World

NAME = "informed"
LOOK_MS = 1_000
"""Demand changes by itself: look at it this often."""
SAME_PM = 30
"""Goodput that differs by less is the same."""
SPARE_MS = 60_000
"""A standby nobody has needed for so long is sent back."""
_MUTE = (Trouble.DOWN, Trouble.DEAD, Trouble.REFUSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """What a pool truly is now. ``members``: those worth sending to; ``good_pm``: what users get right of what it is sent."""

    good_pm: int
    active_rps: int
    open_rps: int
    cold_rps: int
    members: tuple[MemberId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Answers that have not run out: the shares before the first move of a row, and when the last of them is gone."""

    before_bp: Mapping[SiteId, int]
    since_ms: int
    until_ms: int = 0


class Informed:
    """The pilot. Its moves are told as those of ``informed``."""

    def __init__(self, policy: Policy, asks: Sequence[TimedEvent]) -> None:
        self._policy = policy
        self._asks = asks
        self._steering = Steering(generation=0, term=0, decided_at_ms=0, services=())
        self._is_asked = False
        self._needed_ms: dict[MemberId, int] = {}
        self._under_way: set[str] = set()
        self._tails: dict[ServiceId, Tail] = {}
        self._with_sorry: frozenset[ServiceId] = frozenset()
        self._now_ms = 0

    def start(self, world: World, witness: Witness) -> None:
        """Look at once after every change of the world, and once a second."""
        people = Delivery(name=NAME, world=world, witness=witness)
        self._with_sorry = frozenset(service.id for service in world.spec.topology.services if service.shed_answers)
        world.watchers.append(lambda: self._soon(people))
        for event in self._asks:
            world.clock.at(event.at_ms, partial(self._asked, people, event))
        world.clock.after(0, partial(self._every_second, people))

    def _asked(self, people: Delivery, event: TimedEvent) -> None:
        if persons_weights(event, people):
            self._soon(people)

    def _every_second(self, people: Delivery) -> None:
        self._think(people)
        people.world.clock.after(LOOK_MS, partial(self._every_second, people))

    def _soon(self, people: Delivery) -> None:
        """After everything else of this instant has happened."""
        if not self._is_asked:
            self._is_asked = True
            people.world.clock.after(0, partial(self._think, people))

    # -- deciding -------------------------------------------------------------------------------------------------

    def _think(self, people: Delivery) -> None:
        self._is_asked = False
        world = people.world
        self._now_ms = world.clock.now_ms
        truths = {key: self._truth(world, *key) for key in world.spec.topology.pools}
        sites = {site.id: site.capacity_rps for site in world.spec.topology.sites if site.capacity_rps is not None}
        demands = tuple(self._demand(people, population, truths) for population in world.flow.populations)
        most_pm = self._policy.default.max_utilisation_pm
        problem = Problem(demands=demands, site_capacity_rps=sites, site_max_utilisation_pm=most_pm)
        self._tend_standbys(world, allocate(problem, standby=StandbyUse.ALLOWED).services)
        entries = tuple(self._entry(one, truths) for one in allocate(problem, standby=StandbyUse.NONE).services)
        if entries != self._steering.services:
            self._decide(people, entries)
        for plane in world.planes.values():
            self._write(world, plane)

    def _truth(self, world: World, service: ServiceId, site: SiteId) -> _Truth:
        pool = world.flow.pool(service, site)
        reach_pm = world.flow.reach_pm(service, site) if site not in world.dark_sites else 0
        is_reached = reach_pm > 0
        takers = [s for s in pool.servers if s.is_open and s.condition.down is not Down.REFUSED and is_reached]
        goods = {server.member.id: _good_pm(server, pool.dep_add_ms, pool.slo_ms) for server in takers}
        worth = takers
        if any(plane.spec.kind is PlaneKind.BALANCER for plane in world.planes.values()):
            best = max(goods.values(), default=0)
            worth = [server for server in takers if goods[server.member.id] >= best - SAME_PM]
        good_pm = sum(goods[s.member.id] for s in worth) // max(1, len(worth)) * (1_000 - pool.dep_error_pm) // 1_000
        cold = [s for s in pool.servers if s.member.role is MemberRole.STANDBY and not s.is_open and s.condition.down is None]
        return _Truth(
            good_pm=good_pm * reach_pm // 1_000,
            active_rps=_carries(worth, MemberRole.ACTIVE),
            open_rps=_carries(worth, MemberRole.STANDBY),
            cold_rps=int(sum(s.capacity_rps for s in cold)) if is_reached else 0,
            members=tuple(server.member.id for server in worth),
        )

    def _demand(self, people: Delivery, population: Population, truths: Mapping[tuple[ServiceId, SiteId], _Truth]) -> Demand:
        service = population.service
        goods = {site: truths[(service.id, site)].good_pm for site in service.sites}
        best = max(goods.values())
        leave_below_pm = min(best - SAME_PM, self._policy.of(service.id).leave_degraded_below_pm)
        before = self._steering.of(service.id)
        nominal = people.nominal(service.id)
        is_forced = service.id in people.forced
        candidates = []
        for pool in service.pools:
            truth = truths[(service.id, pool.site)]
            bp = nominal.get(pool.site, 0)
            away = goods[pool.site] <= leave_below_pm or best == 0 or (is_forced and not bp)
            candidates.append(
                Candidate(
                    site=pool.site,
                    nominal_bp=bp,
                    current_bp=before.shares_bp.get(pool.site, 0) if before else bp,
                    active_rps=truth.active_rps,
                    standby_rps=truth.cold_rps,
                    open_standby_rps=truth.open_rps,
                    away=away and best > 0,
                    health_pm=truth.good_pm,
                )
            )
        demand_rps = max(1, round(population.demand_rps(people.world.clock.now_ms)))
        return Demand(service.id, service.tier, demand_rps, self._policy.of(service.id).max_utilisation_pm, tuple(candidates))

    def _entry(self, found: ServiceAllocation, truths: Mapping[tuple[ServiceId, SiteId], _Truth]) -> ServiceSteering:
        """Shares, with what found no room sent where it is still served best: a sick site serves more than none."""
        service, shares, shed_bp = found.service, dict(found.shares_bp), found.shed_bp
        left = [entry for entry in found.demand.candidates if entry.away and entry.active_rps and entry.health_pm]
        for entry in sorted(left, key=lambda one: -one.health_pm):
            room_bp = entry.active_rps * found.demand.max_utilisation_pm * 10 // found.demand.demand_rps
            taken = min(shed_bp, max(0, room_bp - shares[entry.site]))
            shares[entry.site] += taken
            shed_bp -= taken
        dead = [entry.site for entry in found.demand.candidates if not truths[(service, entry.site)].good_pm]
        shed_at = dead[0] if shed_bp and dead else None
        is_calm = shares == {entry.site: entry.nominal_bp for entry in found.demand.candidates}
        policy = self._policy.of(service)
        members = {m: 1_000 for entry in found.demand.candidates for m in truths[(service, entry.site)].members}
        steering = ServiceSteering(
            service=service,
            shares_bp=shares,
            members_pm=members,
            ttl_s=policy.ttl_normal_s if is_calm else policy.ttl_suspect_s,
            shed_bp=shed_bp,
            shed_at=shed_at,
        )
        return sent_on(steering, self._cached_bp(service, shares, policy))

    def _cached_bp(self, service: ServiceId, shares_bp: Mapping[SiteId, int], policy: ServicePolicy) -> Mapping[SiteId, int]:
        """What caches may still hold, as `core.decide.residual` reckons it."""
        now_ms, before = self._now_ms, self._steering.of(service)
        if before is None:
            return {}
        tail = self._tails.get(service)
        if dict(before.shares_bp) != dict(shares_bp):
            is_older_out = tail is not None and now_ms < tail.until_ms
            first = tail if tail is not None and is_older_out else Tail(before_bp=before.shares_bp, since_ms=now_ms)
            tail = self._tails[service] = replace(first, until_ms=now_ms + policy.ttl_normal_s * 1_000)
        if tail is None or service in self._with_sorry:
            return tail.before_bp if tail is not None else {}
        return still_held_bp(tail.before_bp, shares_bp, (tail.since_ms, tail.until_ms), now_ms)[0]

    def _decide(self, people: Delivery, entries: tuple[ServiceSteering, ...]) -> None:
        before, world = self._steering, people.world
        generation = 1 + max((plane.generation or 0 for plane in world.planes.values()), default=0)
        generation = max(generation, before.generation + 1)
        at_ms = EPOCH_MS + world.clock.now_ms
        self._steering = Steering(generation=generation, term=1, decided_at_ms=at_ms, services=entries)
        for entry in entries:
            old = before.of(entry.service)
            if old is not None and dict(old.shares_bp) != dict(entry.shares_bp):
                forced = tuple(people.forced.get(entry.service, {}))
                people.witness.moved(by=NAME, entry=entry, before_bp=old.shares_bp, generation=generation, forced=forced)

    # -- acting ---------------------------------------------------------------------------------------------------

    def _write(self, world: World, plane: Plane) -> None:
        """Bring a plane up to date unless it cannot be written just now; what fails is tried again within a second."""
        is_mute = plane.is_dark or plane.trouble in _MUTE or str(plane.spec.id) in self._under_way
        if is_mute or (plane.generation == self._steering.generation and not plane.edits):
            return
        if plane.edits and plane.generation == self._steering.generation:
            self._steering = replace(self._steering, generation=self._steering.generation + 1)
        steering, add_ms = self._steering, plane.add_ms if plane.trouble is Trouble.SLOW else 0
        self._under_way.add(str(plane.spec.id))

        def arrive() -> None:
            self._under_way.discard(str(plane.spec.id))
            world.change_plane(lambda: plane.write(steering, EPOCH_MS + world.clock.now_ms))
            if steering is not self._steering:
                self._write(world, plane)

        world.clock.after(world.spec.far_ms + plane.spec.write_ms + add_ms, arrive)

    def _tend_standbys(self, world: World, wanted: Sequence[ServiceAllocation]) -> None:
        """Start what is needed beyond what is open; send back what has not been needed for a while."""
        now_ms = world.clock.now_ms
        for found in wanted:
            for site in world.spec.topology.service_by_id[found.service].sites:
                needed_rps = found.standby_needed_rps.get(site, 0)
                standbys = [s for s in world.flow.pool(found.service, site).servers if s.member.role is MemberRole.STANDBY]
                for server in sorted(standbys, key=lambda one: not one.is_open):
                    member = server.member
                    if needed_rps > 0 and server.condition.down is None:
                        needed_rps -= member.capacity_rps
                        self._needed_ms[member.id] = now_ms
                        answer_ms = world.spec.standby.answer_ms
                        if not server.is_open:
                            world.clock.after(answer_ms, partial(world.standbys.activate, member.id))
                    elif server.is_open and now_ms - self._needed_ms.get(member.id, now_ms) > SPARE_MS:
                        world.standbys.retire(member.id)


def _carries(servers: Sequence[Server], role: MemberRole) -> int:
    return int(sum(s.capacity_rps for s in servers if s.member.role is role and s.condition.down is None))


def _good_pm(server: Server, dep_add_ms: int, slo_ms: int) -> int:
    """What users get right of what this server is sent."""
    condition = server.condition
    if condition.down is not None:
        return 0
    is_slow = is_late(condition.add_ms + dep_add_ms + server.spec.latency_ms, slo_ms)
    slow_pm = (condition.add_part_pm if condition.add_ms else 1_000) if is_slow else 0
    return (1_000 - condition.error_pm) * (1_000 - slow_pm) // 1_000


def run_informed(scenario: Scenario, *, seed: int) -> Record:
    """The scenario with the informed controller in our place."""
    asks = [event for event in scenario.events if isinstance(event.act, Ask)]
    return simulate(
        replace(scenario.world, nodes=()),
        scenario.policy,
        events_without_us(scenario.events, (*OF_THE_WORLD, *OF_THE_PLANES)),
        seed=seed,
        duration_ms=scenario.duration_ms,
        warm_up_ms=scenario.warm_up_ms,
        pilots=(Informed(scenario.policy, asks),),
    )
