"""Health-checked DNS at documented defaults: Route 53, gdnsd, PowerDNS Lua records, k8gb.

All check a site at its own address and answer by its weight while it is up. None knows capacity. As a skilled operator would have
it, an HAProxy in each site takes dead servers out (`haproxy`), and the first server or site that goes down starts all
standbys of its service. The numbers are those of the vendors' documentation; where a zone's owner chooses (TTL), the value is
one they recommend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.checks import Counter, repeat, site_answers
from siteshift.sim.peers.delivery import Delivery, persons_weights
from siteshift.sim.peers.haproxy import run_local_balancers, start_standbys
from siteshift.sim.world.spec import OUTSIDE, USERS
from siteshift.sim.world.world import World


class AllDown(StrEnum):
    """What is answered when nothing is up."""

    EVERYTHING = "everything"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsHabits:
    """How one product checks and answers. ``up_pm``: down when fewer than this part of its checkers see it up.

    ``least_up_pm``: with less of the weight up than this, everything counts as up.
    """

    name: str
    interval_ms: int
    timeout_ms: int
    down_after: int
    up_after: int
    ttl_s: int
    source: str
    forgets_after: int = 1
    checkers: int = 1
    up_pm: int = 500
    place: str = OUTSIDE
    all_down: AllDown = AllDown.EVERYTHING
    least_up_pm: int = 0


ROUTE_53 = DnsHabits(
    name="route53",
    interval_ms=10_000,
    timeout_ms=2_000,
    down_after=3,
    up_after=3,
    checkers=16,
    up_pm=180,
    place=USERS,
    ttl_s=60,
    source="Amazon Route 53 Developer Guide: fast interval 10 s, failure threshold 3, HTTP answer within 2 s, healthy while more "
    "than 18 % of checkers say so, all unhealthy counts as all healthy, TTL 60 s or less recommended for failover",
)
GDNSD = DnsHabits(
    name="gdnsd",
    interval_ms=10_000,
    timeout_ms=3_000,
    down_after=10,
    forgets_after=10,
    up_after=20,
    ttl_s=60,
    least_up_pm=500,
    source="gdnsd.config(5), gdnsd-plugin-weighted(8): interval 10, timeout 3, down_thresh 10, ok_thresh 10, up_thresh 20; below "
    "half of the weight everything counts as up",
)
POWERDNS = DnsHabits(
    name="powerdns-lua",
    interval_ms=5_000,
    timeout_ms=2_000,
    down_after=1,
    up_after=1,
    ttl_s=60,
    source="PowerDNS Authoritative Server, Lua records: ifurlup, lua-health-checks-interval 5, timeout 2, minimumFailures 1, "
    "backup selector: all addresses",
)
K8GB = DnsHabits(
    name="k8gb",
    interval_ms=10_000,
    timeout_ms=1_000,
    down_after=3,
    up_after=1,
    ttl_s=30,
    all_down=AllDown.NOTHING,
    source="Kubernetes readiness probes: periodSeconds 10, failureThreshold 3, timeoutSeconds 1, successThreshold 1; k8gb chart: "
    "dnsTtlSeconds 30; clusters without healthy endpoints are left out, within its 30 s of reconciling (none added here)",
)
HABITS = (ROUTE_53, GDNSD, POWERDNS, K8GB)


class DnsChecks:
    """One product in a world behind DNS."""

    def __init__(self, habits: DnsHabits, events: Sequence[TimedEvent]) -> None:
        self._habits = habits
        self._events = events
        self._counters: dict[tuple[ServiceId, SiteId], list[Counter]] = {}
        self._is_up: dict[tuple[ServiceId, SiteId], bool] = {}

    def start(self, world: World, witness: Witness) -> None:
        """Every checker begins at a moment of its own."""
        habits = self._habits
        delivery = Delivery(name=habits.name, world=world, witness=witness, ttl_s=habits.ttl_s)
        run_local_balancers(delivery)
        lots = world.lots.of(habits.name)
        for service, site in world.spec.topology.pools:
            self._is_up[(service, site)] = True
            counters = self._counters[(service, site)] = []
            for _ in range(habits.checkers):
                counter = Counter(down_after=habits.down_after, up_after=habits.up_after, forgets_after=habits.forgets_after)
                counters.append(counter)
                check = partial(site_answers, world, service, site, habits.place, habits.timeout_ms, lots)
                first_ms = lots.randrange(habits.interval_ms)
                repeat(world, first_ms, lambda _: habits.interval_ms, check, self._told(delivery, (service, site), counter))
        for service_id in (service.id for service in world.spec.topology.services):
            self._deliver(delivery, service_id)
        for event in self._events:
            world.clock.at(event.at_ms, partial(self._asked, delivery, event))

    def _told(self, delivery: Delivery, key: tuple[ServiceId, SiteId], counter: Counter) -> Callable[[bool], None]:
        def tell(passed: bool) -> None:
            if not counter.hear(passed):
                return
            counters = self._counters[key]
            is_up = sum(one.is_up for one in counters) * 1_000 > self._habits.up_pm * len(counters)
            if is_up != self._is_up[key]:
                self._is_up[key] = is_up
                if not is_up:
                    start_standbys(delivery.world, key[0])
                self._deliver(delivery, key[0])

        return tell

    def _asked(self, delivery: Delivery, event: TimedEvent) -> None:
        for service in persons_weights(event, delivery):
            self._deliver(delivery, service)

    def _deliver(self, delivery: Delivery, service: ServiceId) -> None:
        habits, nominal = self._habits, delivery.nominal(service)
        weights = {site: weight if self._is_up[(service, site)] else 0 for site, weight in nominal.items()}
        up, whole = sum(weights.values()), sum(nominal.values())
        if up * 1_000 < whole * habits.least_up_pm or (not up and habits.all_down is AllDown.EVERYTHING):
            weights = dict(nominal)
        delivery.set(service, weights)
