"""A node's look at traffic: what every site's front counted since the last look, as windows for the core and the observer.

Under suspicion the core has single places read at once (`look`): for the judge alone, as in `runtime.metering`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from siteshift.core.judge.metered import Reading
from siteshift.core.messages.events import Event, SeenTraffic, TrafficMeasured
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import ServiceId, SiteId, TargetId, pool_target
from siteshift.sim.world.spec import NodeSpec
from siteshift.sim.world.world import World

CALM_METERS = 4
"""In calm only every fourth look is made (its counts are rates either way)."""
Totals = tuple[float, float, float, float]
"""Counted at a site's front since the run's start: requests, errors, latency sum, answers (see `flow`)."""


class MeteringNode(Protocol):
    """What a meter needs of its node."""

    @property
    def spec(self) -> NodeSpec: ...

    @property
    def setup(self) -> Setup:
        """It says which services are metered."""

    @property
    def now_ms(self) -> int:
        """Its siteshift time."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether it holds any site for other than well: then a count must not be older than a real meter's."""

    def later(self, at_ms: int, do: Callable[[], None]) -> None:
        """At an instant of the world, if it lives then."""

    def offer(self, event: Event) -> None:
        """For its core."""

    def sense_counts(self, target: TargetId, requests: int, errors: int, latency_ms: int | None) -> None:
        """For its observer: a window that ends now."""

    def sense_reading(self, target: TargetId, reading: Reading) -> None:
        """For its observer's judge."""


class Meter:
    """Looks twice a second while anything stirs or is in doubt, every two seconds in calm. Instants are the world's."""

    def __init__(self, node: MeteringNode, world: World) -> None:
        self._node = node
        self._world = world
        self._metered: dict[TargetId, Totals] = {}
        self._read: dict[TargetId, tuple[int, Totals]] = {}
        """When each was read for the judge, and what it had counted."""
        self._sampled_ms = 0
        self._turn = 0

    def start(self) -> None:
        """Begin: nothing is known of what was counted before."""
        self._metered, self._read = {}, {}
        self._sampled_ms = self._world.clock.now_ms
        self._plan()

    def wake(self) -> None:
        """The world stirs after a calm: look again soon."""
        self._end_calm_windows()
        self._plan()

    def _plan(self) -> None:
        every_ms = self._world.spec.meter_every_ms
        self._turn += 1
        turn = self._turn
        is_calm = not (self._world.is_stirred or self._node.is_in_doubt)
        wait_ms = CALM_METERS * every_ms if is_calm else every_ms
        self._node.later(self._sampled_ms + wait_ms, lambda: self._look() if turn == self._turn else None)

    def _end_calm_windows(self) -> None:
        """End the windows that would be over by now had each been looked at: what came in calm came evenly."""
        world, every_ms = self._world, self._world.spec.meter_every_ms
        passed_ms = world.clock.now_ms - self._sampled_ms
        over_ms = passed_ms // every_ms * every_ms
        if over_ms <= 0:
            return
        for service, site in world.spec.topology.pools:
            before = self._metered.get(pool_target(service, site))
            if before is not None:
                totals = world.flow.metered(service, site)
                self._metered[pool_target(service, site)] = _between(before, totals, over_ms / passed_ms)
        self._sampled_ms += over_ms

    def _look(self) -> None:
        """Ask every site's front what it served; a site that cannot be asked says nothing (unknown, not zero)."""
        world, node = self._world, self._node
        world.flow.settle(world.clock.now_ms)
        now_ms, window_ms = world.clock.now_ms, world.clock.now_ms - self._sampled_ms
        seen: list[SeenTraffic] = []
        for service, site in world.spec.topology.pools:
            target = pool_target(service, site)
            totals = world.flow.metered(service, site)
            late_ms = world.late_by_ms(node.spec.id, node.spec.site, site, world.spec.meter_every_ms)
            if late_ms is None or service not in node.setup.metered:
                self._metered.pop(target, None)  # what is counted meanwhile belongs to no window of ours
                self._read.pop(target, None)
                continue
            before = self._metered.get(target)
            self._metered[target] = totals
            if before is None:
                continue
            requests, errors = int(totals[0]) - int(before[0]), int(totals[1]) - int(before[1])
            asked, answered = totals[0] - before[0], int(totals[3]) - int(before[3])
            latency_ms = int((totals[2] - before[2]) / asked) if asked > 0 else None
            seen.append(
                SeenTraffic(service=service, site=site, window_ms=window_ms, requests=requests, errors=errors, answered=answered)
            )
            node.sense_counts(target, requests, errors, latency_ms)
            self._judge(target, totals)
        self._sampled_ms = now_ms
        if seen:
            node.offer(TrafficMeasured(at_ms=node.now_ms, seen=tuple(seen)))
        self._plan()

    def look(self, places: Sequence[tuple[ServiceId, SiteId]], deadline_ms: int) -> None:
        """Read these at once; each is read half a round trip from now and told after a whole one, or not at all."""
        world = self._world
        for service, site in places:
            trip_ms = 2 * world.net.delay_ms(self._node.spec.site, site)
            if trip_ms <= deadline_ms:
                self._node.later(world.clock.now_ms + max(1, trip_ms), partial(self._read_one, service, site))

    def _read_one(self, service: ServiceId, site: SiteId) -> None:
        world, target, spec = self._world, pool_target(service, site), self._node.spec
        if target in self._read and world.late_by_ms(spec.id, spec.site, site, world.spec.meter_every_ms) is not None:
            world.flow.settle(world.clock.now_ms)
            self._judge(target, world.flow.metered(service, site))

    def _judge(self, target: TargetId, totals: Totals) -> None:
        """Tell what was counted since it was read last."""
        at_ms = self._world.clock.now_ms
        before_ms, before = self._read.get(target, (at_ms, totals))
        self._read[target] = (at_ms, totals)
        if at_ms > before_ms:
            requests, errors, _, answered = (int(now) - int(was) for was, now in zip(before, totals, strict=True))
            now_ms = self._node.now_ms
            self._node.sense_reading(target, Reading(now_ms - (at_ms - before_ms), now_ms, requests, errors, answered))


def _between(before: Totals, after: Totals, part: float) -> Totals:
    """What was counted when this part of the time between was over, had it come evenly."""
    a, b, c, d = (was + (now - was) * part for was, now in zip(before, after, strict=True))
    return a, b, c, d
