"""An operator who drains by hand, 20 minutes after a fault began, and takes it back 20 minutes after it ended.

Kinder than what happened: users of the outage of 2024-07-18 were told after 32 minutes. They name the fault rightly, start
every standby with the drain at the latest, set the weights on every data plane at once, and never touch a site that is well.
An HAProxy in each site takes dead servers out by itself meanwhile, and starts the standbys with the first. What people ask
siteshift for in a scenario, this operator does at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.delivery import Delivery, persons_weights
from siteshift.sim.peers.haproxy import run_local_balancers, start_standbys
from siteshift.sim.world.world import World

AFTER_MS = 20 * 60_000
NAME = "by-hand"
Key = tuple[ServiceId, SiteId]


class ByHand:
    """The operator, in the scenario's own world."""

    def __init__(self, events: Sequence[TimedEvent]) -> None:
        self._events = events
        self._sick_since_ms: dict[Key, int] = {}
        self._well_since_ms: dict[Key, int] = {}
        self._out: set[Key] = set()

    def start(self, world: World, witness: Witness) -> None:
        """Watch what truly happens; act late."""
        delivery = Delivery(name=NAME, world=world, witness=witness)
        run_local_balancers(delivery)
        world.watchers.append(lambda: self._look(delivery))
        for event in self._events:
            world.clock.at(event.at_ms, partial(self._asked, delivery, event))

    def _look(self, delivery: Delivery) -> None:
        world = delivery.world
        now_ms = world.clock.now_ms
        for key in world.spec.topology.pools:
            is_well = world.truth(*key).is_healthy
            since, other = (self._well_since_ms, self._sick_since_ms) if is_well else (self._sick_since_ms, self._well_since_ms)
            other.pop(key, None)
            if key not in since:
                since[key] = now_ms
                world.clock.at(now_ms + AFTER_MS, partial(self._act, delivery, key[0]))

    def _act(self, delivery: Delivery, service: ServiceId) -> None:
        """Do what 20 minutes of looking at it suggest."""
        now_ms = delivery.world.clock.now_ms
        keys = [key for key in delivery.world.spec.topology.pools if key[0] == service]
        sick = {key for key in keys if now_ms - self._sick_since_ms.get(key, now_ms) >= AFTER_MS}
        healed = {key for key in keys if now_ms - self._well_since_ms.get(key, now_ms) >= AFTER_MS}
        out = ({key for key in self._out if key[0] == service} - healed) | sick
        if len(out) == len(keys):
            return
        if out == {key for key in self._out if key[0] == service}:
            return
        if sick:
            start_standbys(delivery.world, service)
        self._out = {key for key in self._out if key[0] != service} | out
        self._deliver(delivery, service)

    def _asked(self, delivery: Delivery, event: TimedEvent) -> None:
        for service in persons_weights(event, delivery):
            start_standbys(delivery.world, service)
            self._deliver(delivery, service)

    def _deliver(self, delivery: Delivery, service: ServiceId) -> None:
        nominal = delivery.nominal(service)
        delivery.set(service, {site: 0 if (service, site) in self._out else weight for site, weight in nominal.items()})
