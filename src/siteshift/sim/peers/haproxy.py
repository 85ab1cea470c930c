"""HAProxy's own health checks at their defaults: before all sites, or in each of them behind another product.

``inter 2s fall 3 rise 2`` and a check that waits ``inter`` for its answer; the next one starts ``inter`` after the end of the
one before (HAProxy 2.6 configuration manual, 5.2 "check", "inter", "fall", "rise", "timeout check"). Weights stay as they are
written, a server's by its capacity: what is up shares the load of what is down. Standby servers stand in the configuration and
are down until they run; the first server that goes down makes the operator's alert start all those of its service. They serve
while an active server of it is down. A refused
connection goes to another server (``retries 3``, ``option redispatch``; here without the second that HAProxy waits). With every
server down HAProxy answers 503. Generous: the layer of HAProxy before all sites never fails, whatever place is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.checks import Counter, member_answers, repeat
from siteshift.sim.peers.delivery import Delivery, persons_weights
from siteshift.sim.world.servers import Server
from siteshift.sim.world.spec import OUTSIDE
from siteshift.sim.world.world import World

INTER_MS, FALL, RISE = 2_000, 3, 2
NAME = "haproxy"


class ServerChecks:
    """The checks of one HAProxy on its servers. ``tell`` hears of the service whose server turned."""

    def __init__(self, world: World, servers: Iterable[Server], place: str, name: str, tell: Callable[[ServiceId], None]) -> None:
        self._world = world
        self._place = place
        self._tell = tell
        self._counters: dict[MemberId, Counter] = {}
        lots = world.lots.of(name)
        for server in servers:
            is_up = server.member.role is MemberRole.ACTIVE
            self._counters[server.member.id] = Counter(down_after=FALL, up_after=RISE, is_up=is_up)
            check = partial(member_answers, world, server, place, INTER_MS, lots)
            # The first checks are spread over the interval, as HAProxy does.
            repeat(world, lots.randrange(INTER_MS), self._next(server), check, self._told(server))

    def is_up(self, member: MemberId) -> bool:
        """Whether it is used."""
        return self._counters[member].is_up

    def _next(self, server: Server) -> Callable[[bool], int]:
        """A refusal is known at once, silence after the whole interval."""

        def wait_ms(passed: bool) -> int:
            is_silent = not passed and (
                (server.condition.down is not None and server.condition.down.value > 1)
                or self._world.net.loss_pm(self._place, f"{server.member.service}@{server.member.site}") > 0
                or server.condition.add_ms >= INTER_MS
            )
            return INTER_MS * 2 if is_silent else INTER_MS

        return wait_ms

    def _told(self, server: Server) -> Callable[[bool], None]:
        counter, service = self._counters[server.member.id], server.member.service

        def tell(passed: bool) -> None:
            if counter.hear(passed):
                if not counter.is_up:
                    start_standbys(self._world, service)
                self._tell(service)

        return tell


def start_standbys(world: World, service: ServiceId) -> None:
    """What an operator's alert does: start every standby of a service. Nobody sends them back."""
    for member in world.spec.topology.members.values():
        if member.role is MemberRole.STANDBY and member.service == service:
            world.standbys.activate(member.id)


class HaproxyChecks:
    """One HAProxy with every server of every site in one backend per service."""

    def __init__(self, events: Sequence[TimedEvent]) -> None:
        self._events = events

    def start(self, world: World, witness: Witness) -> None:
        """Check from outside; weights follow."""
        delivery = Delivery(name=NAME, world=world, witness=witness)
        checks: list[ServerChecks] = []

        def deliver(service: ServiceId) -> None:
            self._deliver(delivery, checks[0], service)

        checks.append(ServerChecks(world, world.servers.values(), OUTSIDE, NAME, deliver))
        for event in self._events:
            world.clock.at(event.at_ms, partial(self._asked, delivery, deliver, event))

    @staticmethod
    def _asked(delivery: Delivery, deliver: Callable[[ServiceId], None], event: TimedEvent) -> None:
        for service in persons_weights(event, delivery):
            deliver(service)

    @staticmethod
    def _deliver(delivery: Delivery, checks: ServerChecks, service: ServiceId) -> None:
        nominal = delivery.nominal(service)
        weights: dict[SiteId, int] = dict.fromkeys(nominal, 0)
        members_pm: dict[MemberId, int] = {}
        pools = delivery.world.spec.topology.service_by_id[service].pools
        actives = [m for pool in pools for m in pool.members if m.role is MemberRole.ACTIVE]
        is_whole = all(checks.is_up(m.id) for m in actives)
        for pool in pools:
            actives_rps = sum(m.capacity_rps for m in pool.members if m.role is MemberRole.ACTIVE)
            up = [m for m in pool.members if checks.is_up(m.id) and (m.role is MemberRole.ACTIVE or not is_whole)]
            weights[pool.site] = nominal[pool.site] * sum(m.capacity_rps for m in up) // max(1, actives_rps)
            members_pm |= {m.id: 1_000 for m in up}
        delivery.set(service, weights, members_pm)


def run_local_balancers(delivery: Delivery) -> None:
    """Put an HAProxy into each site: it takes that site's dead servers out, and knows nothing of others."""
    world = delivery.world
    for site in world.spec.topology.site_ids:
        servers = [server for server in world.servers.values() if server.member.site == site]
        checks: list[ServerChecks] = []

        def deliver(service: ServiceId, site: SiteId = site, checks: list[ServerChecks] = checks) -> None:
            pool = world.spec.topology.pools[service, site]
            delivery.set_members(service, site, {m.id: 1_000 * checks[0].is_up(m.id) for m in pool.members})

        checks.append(ServerChecks(world, servers, str(site), f"{NAME}/{site}", deliver))
