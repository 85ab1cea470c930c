"""Traffic: from the users of every service, past DNS and balancers, to the pools; counted by the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.sim.results.record import LostTo, Second, Shed
from siteshift.sim.world.clients import Cache, Population
from siteshift.sim.world.link import ALL_PM, AT_ONCE, Answers, answers, part_in_time
from siteshift.sim.world.network import Net
from siteshift.sim.world.planes import INITIAL_TTL_S, Plane, parts_of
from siteshift.sim.world.servers import Down, PoolFlow, Server
from siteshift.sim.world.spec import OUTSIDE, USERS, Entry, WorldSpec
from siteshift.sim.world.ways import users_way, ways_of


@dataclass(slots=True)
class Route:
    """How users of one service get to its sites now; made anew when planes, links or members change.

    Its vectors have an element for each site, and one more for the sorry page where the service has one.
    """

    answers: list[float] | None
    ttl_ms: int
    direct: list[float] | None
    forward: list[list[float]] | None
    ways: list[list[Answers]] | None
    """What links do to who enters at one site and is served at another; None: nothing anywhere."""
    broken: list[float]
    mute: list[float]


@dataclass(slots=True)
class Meter:
    """Counts since the run's start: requests, errors, latency sum, good answers, as a balancer's statistics page has them."""

    requests: float = 0.0
    errors: float = 0.0
    latency_sum: float = 0.0
    answered: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Requests since the run's start. ``late`` is a part of ``served``."""

    offered: float
    served: float
    lost: Mapping[LostTo, float]
    late: float
    pending: float


class Flow:
    """All traffic. `settle` brings it up to an instant; `refresh` looks at the world again."""

    def __init__(self, spec: WorldSpec, net: Net, planes: Mapping[EnactorId, Plane], start_ms: int) -> None:
        self._spec = spec
        self._net = net
        self._planes = planes
        self._at_ms = start_ms
        self.servers: dict[MemberId, Server] = {
            member.id: Server(member, spec.server, is_open=member.role is MemberRole.ACTIVE)
            for member in spec.topology.members.values()
        }
        self._pools: dict[tuple[ServiceId, SiteId], PoolFlow] = {
            key: PoolFlow(pool, [self.servers[m.id] for m in pool.members], spec.server, self._slo_ms(pool.service))
            for key, pool in spec.topology.pools.items()
        }
        self.meters = {key: Meter() for key in self._pools}
        self.populations: list[Population] = [self._population(service.id) for service in spec.topology.services]
        self._routes: list[Route] = []
        self.is_plain = True
        self.is_stirred = False
        self.paths: list[tuple[int, ServiceId, tuple[float, ...]]] = []
        """Whenever it changed by 0.1 %: where the requests of a service went."""
        self._last_parts: dict[ServiceId, tuple[float, ...]] = {}
        self.refresh()

    def _slo_ms(self, service: ServiceId) -> int:
        return self._spec.topology.service_by_id[service].slo_latency_ms

    def _population(self, name: ServiceId) -> Population:
        service, spec = self._spec.topology.service_by_id[name], self._spec.clients_of(name)
        nominal = [pool.nominal_bp / 10_000 for pool in service.pools]
        nominal += [0.0] if service.shed_answers else []
        habits = ((1_000 - spec.stretch_pm - spec.pin_pm, 0), (spec.stretch_pm, spec.stretch_ms), (spec.pin_pm, spec.pin_ms))
        caches = [
            (
                part_pm,
                Cache(
                    least_ms=least_ms,
                    mix=list(nominal),
                    answers=list(nominal),
                    hold_ms=max(INITIAL_TTL_S * 1_000, least_ms),
                    idle_ms=spec.resolver_idle_ms,
                ),
            )
            for part_pm, least_ms in habits
            if part_pm > 0
        ]
        return Population(
            service=service,
            spec=spec,
            load=self._spec.load_of(name),
            pools=[self._pools[(name, site)] for site in service.sites],
            caches=caches,
            connections=list(nominal),
            seen=[0.0] * len(service.pools),
        )

    def pool(self, service: ServiceId, site: SiteId) -> PoolFlow:
        """One pool as it runs."""
        return self._pools[(service, site)]

    # -- looking at the world -------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """After any change: dependencies, weights, routes."""
        self._refresh_dependencies()
        for population in self.populations:
            self._refresh_weights(population)
        for pool in self._pools.values():
            pool.refresh()
        self._routes = [self._route(population) for population in self.populations]
        self._look()

    def _refresh_dependencies(self) -> None:
        for (name, site), pool in self._pools.items():
            good_pm, add_ms, losses_pm = 1_000, 0, list[int]()
            for needed in self._spec.topology.service_by_id[name].depends_on:
                there = self._pools.get((needed, site))
                if there is None:
                    continue
                loss_pm = self._net.loss_pm(f"{name}@{site}", f"{needed}@{site}")
                losses_pm += [loss_pm] if 0 < loss_pm < ALL_PM else []
                good_pm = min(good_pm, self._goodput_of(there) if loss_pm < ALL_PM else 0)
                add_ms += max((server.condition.add_ms for server in there.servers if server.is_alive), default=0)
            pool.dep_error_pm, pool.dep_add_ms, pool.dep_losses_pm = 1_000 - good_pm, add_ms, tuple(losses_pm)

    @staticmethod
    def _goodput_of(pool: PoolFlow) -> int:
        takers = [server for server in pool.servers if server.is_taking]
        if not takers:
            return 0
        return sum(1_000 - s.condition.error_pm if s.condition.down is None else 0 for s in takers) // len(takers)

    def _refresh_weights(self, population: Population) -> None:
        """What balancers give to single members; without a balancer of its own a site's front knows only their capacity."""
        name = population.service.id
        for pool in population.pools:
            plane = self._balancer(name, pool.pool.site) or self._balancer(name, OUTSIDE)
            members = plane.members_pm[name] if plane is not None else {}
            for server in pool.servers:
                server.weight_pm = members.get(server.member.id, 0) if members else 1_000

    def _balancer(self, service: ServiceId, place: str) -> Plane | None:
        found = (p for p in self._planes.values() if p.spec.kind is PlaneKind.BALANCER and p.spec.place == place)
        return next((plane for plane in found if service in plane.shares_bp), None)

    def _route(self, population: Population) -> Route:
        name, sites = population.service.id, population.service.sites
        entry = self._spec.entry_of(name)
        told, ttl_ms = self._dns(name, sites)
        direct = forward = None
        ways = ways_of(population, self._net)
        has_sorry = bool(population.service.shed_answers)
        if entry is Entry.BALANCER:
            plane = self._balancer(name, OUTSIDE)
            shares = plane.delivered_bp(name) if plane is not None and plane.is_delivering else {}
            if not shares:
                shares = {pool.site: pool.nominal_bp for pool in population.service.pools}
                ways = [[()] * len(sites) for _ in sites]
            direct = _whole(parts_of(shares, sites), has_sorry=has_sorry)
            if direct is not None and plane is not None and plane.spec.redispatches:
                direct = _redispatched(direct, [_broken(pool) == 1 for pool in population.pools])
        elif told is not None:
            told = _whole(told, has_sorry=has_sorry)
        if entry is Entry.DNS_AND_BALANCER:
            forward = [self._forward(name, site, number, sites, has_sorry=has_sorry) for number, site in enumerate(sites)]
        try_ms = self._spec.clients_of(name).try_ms
        broken = [_broken(pool) for pool in population.pools]
        mute = [_mute(pool, try_ms) for pool in population.pools]
        if ways is not None:
            heard = [part_in_time(answers(self._net.loss_pm(USERS, f"{name}@{site}"), try_ms)) for site in sites]
            mute = [1 - (1 - silent) * part for silent, part in zip(mute, heard, strict=True)]
        if has_sorry:
            broken, mute = [*broken, 1.0], [*mute, 0.0]
            ways = None if ways is None else [*ways, [AT_ONCE] * len(sites)]
        return Route(told, ttl_ms, direct, forward, ways, broken, mute)

    def reach_pm(self, service: ServiceId, site: SiteId) -> int:
        """The part of its users' requests that their link to a site leaves in time: within the objective, or their patience."""
        population = next(one for one in self.populations if one.service.id == service)
        return round(1_000 * part_in_time(users_way(population, site, self._net), population.service.slo_latency_ms or None))

    def _dns(self, name: ServiceId, sites: tuple[SiteId, ...]) -> tuple[list[float] | None, int]:
        """What resolvers are told: the mean of the DNS planes that answer them."""
        planes = [
            plane
            for plane in self._planes.values()
            if plane.spec.kind is PlaneKind.DNS
            and name in plane.shares_bp
            and plane.is_delivering
            and plane.delivered_bp(name)
            and self._net.is_open(USERS, plane.spec.place)
        ]
        if not planes:
            return None, INITIAL_TTL_S * 1_000
        sums = [0.0] * len(sites)
        for plane in planes:
            for number, part in enumerate(parts_of(plane.delivered_bp(name), sites)):
                sums[number] += part / len(planes)
        return sums, max(plane.ttl_s[name] for plane in planes) * 1_000

    def _forward(self, name: ServiceId, site: SiteId, number: int, sites: tuple[SiteId, ...], *, has_sorry: bool) -> list[float]:
        """A site's balancer keeps what comes, unless the steering wants nothing there: then it sends it where it is wanted."""
        places: tuple[SiteId | None, ...] = (*sites, None) if has_sorry else sites
        stays = [1.0 if other == number else 0.0 for other in range(len(places))]
        plane = self._balancer(name, site)
        sent_on = plane.sends_on_bp(name, site) if plane is not None and plane.is_delivering else None
        if sent_on is None:
            return stays
        here = f"{name}@{site}"
        parts = [float(sent_on.get(to, 0)) if to is None or self._net.is_open(here, f"{name}@{to}") else 0.0 for to in places]
        total = sum(parts)
        return [part / total for part in parts] if total else stays

    # -- moving ---------------------------------------------------------------------------------------------------

    def settle(self, now_ms: int) -> None:
        """Let traffic flow up to an instant."""
        dt_ms = now_ms - self._at_ms
        if dt_ms <= 0:
            return
        self._at_ms = now_ms
        for population, route in zip(self.populations, self._routes, strict=True):
            before = list(population.seen)
            population.advance(
                now_ms,
                dt_ms,
                answers=route.answers,
                ttl_ms=route.ttl_ms,
                direct=route.direct,
                forward=route.forward,
                ways=route.ways,
                broken=route.broken,
                mute=route.mute,
            )
            self._note_path(population, before, now_ms)
        self._look()

    def _note_path(self, population: Population, before: list[float], now_ms: int) -> None:
        sent = [after - was for after, was in zip(population.seen, before, strict=True)]
        total = sum(sent)
        if total <= 0:
            return
        parts = tuple(one / total for one in sent)
        last = self._last_parts.get(population.service.id)
        if last is None or any(abs(a - b) >= 0.001 for a, b in zip(parts, last, strict=True)):
            self._last_parts[population.service.id] = parts
            self.paths.append((now_ms, population.service.id, parts))

    def _look(self) -> None:
        pools = self._pools.values()
        self.is_plain = all(pool.is_healthy for pool in pools)
        has_queues = not self.is_plain and any(server.queue for pool in pools for server in pool.servers)
        self.is_stirred = has_queues or any(p.has_retries or p.is_ramping(self._at_ms) for p in self.populations)

    def drop(self, server: Server, now_ms: int) -> None:
        """A server's queue is lost."""
        batches = server.close()
        for population in self.populations:
            if population.service.id == server.member.service:
                population.drop(population.site_index(server.member.site), batches, now_ms)

    # -- counting -------------------------------------------------------------------------------------------------

    def close_second(self, at_ms: int, window_ms: int, desired: Mapping[ServiceId, Mapping[SiteId, int]]) -> list[Second]:
        """What was counted since the last call, by service and site; counters start anew."""
        rows: list[Second] = []
        for population, route in zip(self.populations, self._routes, strict=True):
            name, sites = population.service.id, population.service.sites
            total = sum(population.seen)
            actual = route.direct or route.answers or [0.0] * len(sites)
            for number, (site, pool) in enumerate(zip(sites, population.pools, strict=True)):
                capacity = sum(server.capacity_rps for server in pool.servers if server.is_alive)
                rate = pool.offered * 1_000 / window_ms
                rows.append(
                    Second(
                        service=name,
                        site=site,
                        at_ms=at_ms,
                        offered=pool.offered,
                        served=pool.served,
                        lost=pool.lost,
                        late=pool.late,
                        slow=pool.slow,
                        backlog=pool.backlog(),
                        utilisation_pm=round(rate * 1_000 / capacity) if capacity else 0,
                        desired_bp=desired.get(name, {}).get(site, 0),
                        actual_bp=round(actual[number] * 10_000),
                        seen_bp=round(population.seen[number] * 10_000 / total) if total else 0,
                        latency_ms=round(pool.latency_sum / pool.served) if pool.served else 0,
                    )
                )
                self._read_meter(name, site, pool)
                population.served_before += pool.served
                population.late_before += pool.late
                pool.offered = pool.served = pool.lost = pool.late = pool.slow = pool.errors = pool.latency_sum = 0.0
                population.seen[number] = 0.0
        return rows

    def close_sheds(self, at_ms: int) -> list[Shed]:
        """What the sorry pages answered since the last call."""
        sheds = [Shed(p.service.id, at_ms, p.shed) for p in self.populations if p.shed > 0]
        for population in self.populations:
            population.shed = 0.0
        return sheds

    def _read_meter(self, service: ServiceId, site: SiteId, pool: PoolFlow) -> None:
        """Keep what a meter has not read yet when the second's counters are closed."""
        meter = self.meters[(service, site)]
        meter.requests += pool.offered
        meter.errors += pool.errors
        meter.latency_sum += pool.latency_sum
        meter.answered += pool.served

    def metered(self, service: ServiceId, site: SiteId) -> tuple[float, float, float, float]:
        """Requests, errors, latency sum and answers at a site's front since the run's start."""
        pool, meter = self._pools[(service, site)], self.meters[(service, site)]
        latency_sum = meter.latency_sum + pool.latency_sum
        return meter.requests + pool.offered, meter.errors + pool.errors, latency_sum, meter.answered + pool.served

    def totals(self) -> Totals:
        """What became of everything so far."""
        lost: dict[LostTo, float] = dict.fromkeys(LostTo, 0.0)
        for population in self.populations:
            for cause, amount in population.lost.items():
                lost[cause] += amount
        return Totals(
            offered=sum(p.offered for p in self.populations),
            served=sum(p.served_before + sum(pool.served for pool in p.pools) for p in self.populations),
            lost=lost,
            late=sum(p.late_before + sum(pool.late for pool in p.pools) for p in self.populations),
            pending=sum(p.pending for p in self.populations),
        )


def _whole(parts: list[float], *, has_sorry: bool) -> list[float] | None:
    """Parts that make a whole: what is missing goes to the sorry page, or is spread alike. None: there is nothing."""
    total = sum(parts)
    if not total:
        return None
    if has_sorry:
        return [*parts, max(0.0, 1 - total)]
    return [part / total for part in parts]


def _redispatched(parts: list[float], refuse: list[bool]) -> list[float]:
    """Parts for sites that refuse every connection go to those that do not, as far as there are any."""
    kept = [0.0 if number < len(refuse) and refuse[number] else part for number, part in enumerate(parts)]
    total = sum(kept[: len(refuse)])
    if not total:
        return parts
    moved = sum(parts[: len(refuse)]) - total
    return [part * (1 + moved / total) if number < len(refuse) else part for number, part in enumerate(kept)]


def _takers(pool: PoolFlow) -> list[Server]:
    """The servers that connections of users end at."""
    return [server for server in pool.servers if server.is_open and server.weight_pm > 0]


def _broken(pool: PoolFlow) -> float:
    """The part of kept connections to a pool that are reset at once: those to servers that died."""
    takers = _takers(pool)
    return sum(server.condition.down is Down.REFUSED for server in takers) / len(takers) if takers else 1.0


def _mute(pool: PoolFlow, try_ms: int) -> float:
    """The part of requests to a pool that are not answered in time. Their users notice when they use the connection."""
    takers = _takers(pool)
    return sum(_mute_part(pool, server, try_ms) for server in takers) / len(takers) if takers else 0.0


def _mute_part(pool: PoolFlow, server: Server, try_ms: int) -> float:
    condition = server.condition
    if condition.down is not None:
        return 0.0 if condition.down is Down.REFUSED else 1.0
    if condition.add_ms + pool.dep_add_ms <= try_ms:
        return 0.0
    return condition.add_part_pm / 1_000 if condition.add_ms else 1.0
