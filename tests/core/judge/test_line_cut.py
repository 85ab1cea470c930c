"""A line to a site that is cut for half a second is no verdict, at whatever phase of the checks and however large the pool.

The cut is silent: its failures are seen at their time-outs, when it is over and checks started after it have passed.
"""

from __future__ import annotations

import copy
import heapq
import random

import pytest

from core.judge.cases import NOW_MS, PANGYO, WEB, deployment
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import SiteId, TargetId, VantageId, pool_target

LEARN_MS, CUT_MS, FOR_GOOD_MS, BEFORE_MS, AFTER_MS = 600_000, 500, 60_000, 2_000, 6_000
ANSWER_MS, SLOW_MS, TIMEOUT_MS = 10, 400, 800
"""All sites alike answer within 10 ms, or within 400: slow, and well (the SLO is 500 ms)."""
INDEPENDENT, LOSSY = 0.001, 0.01
POOL = pool_target(WEB, PANGYO)
BAD = (Standing.DOWN, Standing.DEGRADED)

Event = tuple[int, int, TargetId, int, tuple[Outcome, Fault, int] | None]
"""When, serial, target, generation of its schedule (a start) or start (a result), and the result."""


class Line:
    """An observer of three sites, checks at evenly spread phases, and a line to the first that loses checks and may be cut."""

    def __init__(self, members: int, loss: float, seed: int, answer_ms: int = ANSWER_MS) -> None:
        topology = deployment(members=members)
        self.rng = random.Random(seed)
        self.loss = loss
        self.answer_ms = answer_ms
        self.policy = JudgePolicy()
        self.observer = Observer(topology, self.policy, VantageId("v1"), None)
        self.at_ms = NOW_MS
        self.cut_from_ms, self.cut_for_ms = 0, CUT_MS
        self.serial = 0
        self.events: list[Event] = []
        self.phases: dict[TargetId, int] = {}
        self.sites: dict[TargetId, SiteId] = {}
        self.schedules: dict[TargetId, int] = {}
        self.hot: frozenset[TargetId] = frozenset()
        for pool in topology.pools.values():
            start = self.rng.randrange(self.policy.interval_ms)
            for i, member in enumerate(pool.members):
                self.phases[member.target] = start + i * self.policy.interval_ms // members
                self.sites[member.target] = pool.site
                self.schedules[member.target] = 0
                self._schedule(member.target)

    def run(self, until_ms: int) -> bool:
        """Run to an instant; True when the pool behind the line had a verdict."""
        accused = False
        while self.at_ms < until_ms:
            timer = self.observer.next_timer_ms() or until_ms
            if timer <= self.events[0][0]:
                self.at_ms = max(self.at_ms, timer)
                changed = self.observer.tick(self.at_ms)
            else:
                changed = self._next()
            if changed:
                self._rehot()
                accused |= self.observer.report(self.at_ms).views[POOL].standing in BAD
        return accused

    def _next(self) -> bool:
        at_ms, _, target, number, result = heapq.heappop(self.events)
        self.at_ms = max(self.at_ms, at_ms)
        if result is not None:
            outcome, fault, latency_ms = result
            return self.observer.result(target, outcome, fault, latency_ms * 1_000, self.at_ms, number)
        if number == self.schedules[target]:
            answer = self._answer(target)
            self._push(self.at_ms + answer[2], target, self.at_ms, answer)
            self._schedule(target)
        return False

    def _answer(self, target: TargetId) -> tuple[Outcome, Fault, int]:
        if self.rng.random() < INDEPENDENT / 2:
            return Outcome.FAIL, Fault.BAD_STATUS, self.answer_ms
        lost = self.rng.random() < INDEPENDENT / 2
        if self.sites[target] == PANGYO:
            lost |= self.rng.random() < self.loss or 0 <= self.at_ms - self.cut_from_ms < self.cut_for_ms
        return (Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS) if lost else (Outcome.PASS, Fault.NONE, self.answer_ms)

    def _rehot(self) -> None:
        hot = self.observer.hot_targets()
        moved = [target for target in self.phases if (target in hot) != (target in self.hot)]
        self.hot = hot
        for target in moved:
            self._schedule(target)

    def _schedule(self, target: TargetId) -> None:
        step = self.policy.fast_interval_ms if target in self.hot else self.policy.interval_ms
        self.schedules[target] += 1
        after_ms = self.at_ms + 1
        self._push(after_ms + (self.phases[target] - after_ms) % step, target, self.schedules[target], None)

    def _push(self, at_ms: int, target: TargetId, number: int, result: tuple[Outcome, Fault, int] | None) -> None:
        self.serial += 1
        heapq.heappush(self.events, (at_ms, self.serial, target, number, result))


@pytest.mark.parametrize(
    ("members", "loss", "answer_ms"),
    [(m, loss, ANSWER_MS) for m in (2, 4, 12, 50) for loss in (0.0, LOSSY)] + [(m, LOSSY, SLOW_MS) for m in (2, 4, 12)],
)
def test_a_line_cut_for_half_a_second_is_no_verdict_at_any_phase(members: int, loss: float, answer_ms: int) -> None:
    calm = Line(members, loss, members, answer_ms)
    assert not calm.run(NOW_MS + LEARN_MS)
    accused = []
    for phase_ms in range(0, 1_000, 25):
        line = copy.deepcopy(calm)  # cuts every few seconds would be a grey fault
        line.rng.seed(phase_ms)
        line.cut_from_ms = line.at_ms + BEFORE_MS + phase_ms
        if line.run(line.cut_from_ms + AFTER_MS):
            accused.append(phase_ms)
    assert accused == []


@pytest.mark.parametrize(("members", "answer_ms"), [*((m, ANSWER_MS) for m in (2, 4, 12, 50)), (4, SLOW_MS)])
def test_a_line_that_stays_cut_is_a_verdict_within_three_seconds(members: int, answer_ms: int) -> None:
    line = Line(members, LOSSY, members, answer_ms)
    line.run(NOW_MS + LEARN_MS)
    line.cut_from_ms, line.cut_for_ms = line.at_ms, FOR_GOOD_MS
    while not line.run(line.at_ms + 20) and line.at_ms < line.cut_from_ms + FOR_GOOD_MS:
        pass
    assert line.at_ms - line.cut_from_ms <= 3_000


@pytest.mark.parametrize("members", [4, 12, 50])
def test_a_line_that_comes_to_lose_ten_per_cent_is_found_although_it_always_lost_some(members: int) -> None:
    line = Line(members, LOSSY, seed=members)
    line.run(NOW_MS + LEARN_MS)
    line.loss, began_ms = 0.1, line.at_ms
    while not line.run(line.at_ms + 100) and line.at_ms < began_ms + FOR_GOOD_MS:
        pass
    assert line.at_ms - began_ms <= 20_000
