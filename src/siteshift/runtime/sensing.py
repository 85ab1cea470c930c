"""From probe results to vantage reports: the prober and the observer of this node, joined.

The observer is told of every result; only when a standing changes, and once a second as a sign of life, a report goes
to the core. Hot targets (the observer's own, and those the core asked to watch) are probed at the fast interval, or as near
to it as they carry (`core.judge.pacing`), and no longer than they are hot.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from siteshift.core.judge.metered import Reading
from siteshift.core.judge.pacing import Asked, capacities_of, paces_ms
from siteshift.core.judge.refit import changed_targets
from siteshift.core.judge.vantage import Observer
from siteshift.core.messages.commands import ReprobeStandby
from siteshift.core.messages.events import Event, ReportArrived, SeenTraffic
from siteshift.core.model.codes import Stage
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import ProbeId, TargetId, pool_target
from siteshift.ports import Clock, PassiveSample, Prober, ProbeResult

KEEP_ALIVE_MS = 1_000
HASTEN_FOR_MS = 5_000
HASTEN_AGAIN_MS = 2_000


@dataclass(slots=True, kw_only=True)
class Sensing:
    """Everything this vantage sees. `sink` is the prober's; `run` publishes."""

    clock: Clock
    judge: JudgePolicy
    topology: Topology
    observer: Observer
    offer: Callable[[Event], None]
    on_result: Callable[[ProbeResult], None]
    judged: tuple[ProbeSpec, ...] = ()
    """The checks whose results the observer knows of."""
    prober: Prober | None = None
    _probes: tuple[ProbeSpec, ...] = ()
    _anchor_names: tuple[ProbeId, ...] = ()
    _target_of: dict[ProbeId, TargetId] = field(default_factory=dict)
    _probes_of: dict[TargetId, list[ProbeSpec]] = field(default_factory=lambda: defaultdict(list))
    _hot_before: frozenset[TargetId] = frozenset()
    _capacities: dict[TargetId, int] = field(default_factory=dict)
    _capacities_of: Topology | None = None
    _many: set[TargetId] = field(default_factory=set)
    _anchors: set[ProbeId] = field(default_factory=set)
    _watched: dict[TargetId, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _published_ms: int = 0
    _hot_seen: int = -1
    _hastened_ms: int = 0

    def configure(self, probes: Sequence[ProbeSpec], anchors: Sequence[ProbeSpec]) -> None:
        """Make these checks from now on. Raises ValueError for two with one id, before anything is changed."""
        assert self.prober is not None
        self.prober.configure([*probes, *anchors])
        self._probes, self._anchor_names = tuple(probes), tuple(spec.id for spec in anchors)
        self._target_of = {spec.id: spec.target for spec in probes}
        self._probes_of = defaultdict(list)
        for spec in probes:
            self._probes_of[spec.target].append(spec)
        self._many = {target for target, specs in self._probes_of.items() if len(specs) > 1}
        self._anchors = set(self._anchor_names)
        self._hot_seen = -1

    def refit(self, setup: Setup) -> None:
        """Judge by the setup of a reload, once its checks are configured. Targets that are asked the same go on.

        Raises before anything is changed, or not at all.
        """
        site = setup.topology.site_of_vantage.get(setup.node)
        changed = changed_targets(self.judged, self._probes)
        self.observer.refit(setup.topology, setup.policy.judge, site, anchors=self._anchor_names, changed=changed)
        self.judged = self._probes
        self.judge, self.topology = setup.policy.judge, setup.topology
        self._changed.set()

    def sink(self, result: ProbeResult) -> None:
        """Take one finished check (on the loop; quick; never raises)."""
        self.on_result(result)
        if result.stage is Stage.LATE:
            return
        if result.probe in self._anchors:
            if self.observer.anchor(result.probe, result.outcome, result.at_ms, result.started_ms):
                self._changed.set()
            return
        target = self._target_of.get(result.probe)
        if target is None:
            return
        changed = self.observer.result(
            target,
            result.outcome,
            result.fault,
            result.latency_us,
            result.at_ms,
            result.started_ms,
            result.must_fail,
            check=result.probe if target in self._many else "",
            detail=result.detail,
        )
        if changed:
            self._changed.set()

    def passive(self, samples: Sequence[PassiveSample]) -> None:
        """How real users fare, as evidence beside the probes."""
        for sample in samples:
            if self.observer.observe_counts(
                sample.target, sample.requests, sample.errors, sample.latency_ms, sample.at_ms, sample.good_for_ms
            ):
                self._changed.set()

    def metered(self, seen: Sequence[SeenTraffic], at_ms: int) -> None:
        """What meters read just now, for the judge. One that does not tell answers from what still waits says nothing here."""
        for one in seen:
            if one.answered is None:
                continue
            reading = Reading(at_ms - one.window_ms, at_ms, one.requests, one.errors, one.answered)
            if self.observer.metered(pool_target(one.service, one.site), reading):
                self._changed.set()

    def watch(self, watch: ReprobeStandby) -> None:
        """The core wants these looked at afresh, and often for a while."""
        for target in watch.targets:
            self.observer.renew(target)
            self._watched[target] = max(watch.until_ms, self._watched.get(target, 0))
        self._hot_seen = -1
        self._changed.set()

    async def run(self) -> None:
        """Publish a report at each change, and at least once a second; keep the hot targets hot."""
        while True:
            now_ms = self.clock.now_ms()
            timer_ms = self.observer.next_timer_ms()
            until_ms = min(self._published_ms + KEEP_ALIVE_MS, timer_ms if timer_ms is not None else now_ms + 1_000)
            await self._wait(max(1, until_ms - now_ms))
            now_ms = self.clock.now_ms()
            changed = self.observer.tick(now_ms)
            if changed or self._changed.is_set() or now_ms - self._published_ms >= KEEP_ALIVE_MS:
                self._changed.clear()
                self._published_ms = now_ms
                self.offer(ReportArrived(at_ms=now_ms, report=self.observer.report(now_ms)))
            self._keep_hot(now_ms)

    async def _wait(self, wait_ms: int) -> None:
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _keep_hot(self, now_ms: int) -> None:
        """Ask for the fast interval when the hot set changed, and again before it runs out."""
        assert self.prober is not None
        self._watched = {target: until for target, until in self._watched.items() if until > now_ms}
        is_same = self.observer.hot_version == self._hot_seen
        if is_same and now_ms - self._hastened_ms < HASTEN_AGAIN_MS:
            return
        hot = self.observer.hot_targets() | self._watched.keys()
        self._hot_seen = self.observer.hot_version
        self._hastened_ms = now_ms
        if cooled := [spec.id for target in self._hot_before - hot for spec in self._probes_of.get(target, ())]:
            self.prober.hasten(cooled, self.judge.fast_interval_ms, now_ms)
        self._hot_before = frozenset(hot)
        by_pace: dict[int, list[ProbeId]] = defaultdict(list)
        if self._capacities_of is not self.topology:
            self._capacities, self._capacities_of = capacities_of(self.topology), self.topology
        for target in hot:
            specs = self._probes_of.get(target, [])
            asked = [Asked(interval_ms=spec.interval_ms, requests=spec.requests) for spec in specs]
            paces = paces_ms(asked, self.judge.fast_interval_ms, self._capacities.get(target), len(self.topology.vantages))
            for spec, pace_ms in zip(specs, paces, strict=True):
                by_pace[pace_ms].append(spec.id)
        for pace_ms, probes in by_pace.items():
            self.prober.hasten(probes, pace_ms, now_ms + HASTEN_FOR_MS)
