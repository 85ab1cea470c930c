"""HAProxy's own health checks at their defaults, in front of all sites.

``inter 2s fall 3 rise 2`` and a check that waits ``inter`` for its answer; the next one starts ``inter`` after the end of the
one before (HAProxy 2.6 configuration manual, 5.2 "check", "inter", "fall", "rise", "timeout check"). Weights stay as they are
written: what is up shares the load of what is down. Standby servers stay idle, for nothing starts them. With every server
down HAProxy answers 503. Generous: this layer of HAProxy itself never fails, whatever place is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.sim.acts import TimedEvent
from siteshift.sim.peer_checks import Counter, member_answers, repeat
from siteshift.sim.peer_delivery import Delivery, persons_weights
from siteshift.sim.servers import Server
from siteshift.sim.spec import OUTSIDE
from siteshift.sim.witness import Witness
from siteshift.sim.world import World

INTER_MS, FALL, RISE = 2_000, 3, 2
NAME = "haproxy"


class HaproxyChecks:
    """One HAProxy with every active server of every site in one backend per service."""

    def __init__(self, events: Sequence[TimedEvent]) -> None:
        self._events = events
        self._counters: dict[MemberId, Counter] = {}

    def start(self, world: World, witness: Witness) -> None:
        """Spread the first checks over the interval, as HAProxy does."""
        delivery = Delivery(name=NAME, world=world, witness=witness)
        lots = world.lots.of(NAME)
        servers = [s for s in world.servers.values() if s.member.role is MemberRole.ACTIVE]
        for server in servers:
            self._counters[server.member.id] = Counter(down_after=FALL, up_after=RISE)
            check = partial(member_answers, world, server, OUTSIDE, INTER_MS, lots)
            repeat(world, lots.randrange(INTER_MS), self._next(world, server), check, self._told(delivery, server))
        for event in self._events:
            world.clock.at(event.at_ms, partial(self._asked, delivery, event))

    @staticmethod
    def _next(world: World, server: Server) -> Callable[[bool], int]:
        """A refusal is known at once, silence after the whole interval."""

        def wait_ms(passed: bool) -> int:
            is_silent = not passed and (
                (server.condition.down is not None and server.condition.down.value > 1)
                or not world.net.is_open(OUTSIDE, server.member.site)
                or server.condition.add_ms >= INTER_MS
            )
            return INTER_MS * 2 if is_silent else INTER_MS

        return wait_ms

    def _told(self, delivery: Delivery, server: Server) -> Callable[[bool], None]:
        counter = self._counters[server.member.id]

        def tell(passed: bool) -> None:
            if counter.hear(passed):
                self._deliver(delivery, server.member.service)

        return tell

    def _asked(self, delivery: Delivery, event: TimedEvent) -> None:
        for service in persons_weights(event, delivery):
            self._deliver(delivery, service)

    def _deliver(self, delivery: Delivery, service: ServiceId) -> None:
        nominal = delivery.nominal(service)
        weights: dict[SiteId, int] = dict.fromkeys(nominal, 0)
        members_pm: dict[MemberId, int] = {}
        for pool in delivery.world.spec.topology.service_by_id[service].pools:
            actives = [m for m in pool.members if m.role is MemberRole.ACTIVE]
            up = [m for m in actives if self._counters[m.id].is_up]
            weights[pool.site] = nominal[pool.site] * len(up) // max(1, len(actives))
            members_pm |= {m.id: 1_000 for m in up}
        delivery.set(service, weights, members_pm)
