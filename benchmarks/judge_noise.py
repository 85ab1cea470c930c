"""The world of `bench_judge`: probers in virtual time, a stated noise model, faults, and the real `Observer` and `diagnose`.

Noise model (all the time, every vantage and member unless said otherwise)
    independent failures   0.1 % of checks: a quarter resets, a quarter errors, half time-outs
    pauses                 each member stops for 1 s every 30 min (exponential); answers wait or time out (800 ms)
    latency                10 ms; 0.1 % of checks 600 ms (SLO 500 ms); a bout of 0.5-3 s at 300-700 ms per member every 20 min
    flapping member        one member refuses connections, 10 s down and 20 s up, for 3 min every 2 h
    noisy path             vantage 1 to site 2 loses 1 % of checks, and everything for 0.5 s once an hour
                           (only in worlds with `path`)

Probers start checks on a fixed phase, spread evenly over a pool; hot targets are checked at phases of the fast interval.
While everything is calm the world jumps to the next noise and credits the passes in between to the baselines.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log

from judge_faults import FAULTS, SERVICE, SITES, TIMEOUT_MS, FaultModel, topology

from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.evidence import Picture, VantageReport
from siteshift.core.model.policy import JudgePolicy, Policy
from siteshift.core.model.units import TargetId, VantageId

BAD = (Standing.DOWN, Standing.DEGRADED)
MOVE_BELOW_PM = 970
INDEPENDENT, ON_PATH = 0.001, 0.01
"""Part of checks that fail by themselves, and that the noisy path loses."""
PAUSE_EVERY_MS, BOUT_EVERY_MS, FLAP_EVERY_MS, CUT_EVERY_MS = 1_800_000, 1_200_000, 7_200_000, 3_600_000
JUMP_SHORT_MS = 1_300
"""A jump ends so long before the noise it leads to, so that every check has been made once by then."""


@dataclass
class Checked:
    """One member as one vantage checks it."""

    target: TargetId
    site: int
    phase: int
    generation: int = 0
    next_ms: int = 0
    hot: bool = False


@dataclass
class Node:
    """One vantage: observer, its checks and its latest report."""

    observer: Observer
    checks: dict[TargetId, Checked]
    index: int
    hot_version: int = 0
    report: VantageReport | None = None
    tick_ms: int = 0


@dataclass
class Tally:
    """What was seen."""

    virtual_ms: int = 0
    false_moves: int = 0
    false_views: int = 0
    moves_at: list[tuple[int, str]] = field(default_factory=list)
    probes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NextFailure:
    """The next failure that comes by itself, drawn before a jump: the first check of ``target`` from ``from_ms`` on."""

    node: int
    target: TargetId
    from_ms: int
    on_path: bool


class World:
    """Sites, vantages and noise, with one seed."""

    def __init__(self, *, members: int, vantages: int, seed: int, judge: JudgePolicy | None = None, path: bool = False) -> None:
        self.rng = random.Random(seed)
        self.policy = Policy(judge=judge or JudgePolicy())
        self.topology = topology(members, vantages)
        self.members = members
        self.path = path
        self.now = 1_000_000 + self.rng.randrange(1_000)
        self.heap: list[tuple[int, int, int, Checked | None, int, tuple[int, Outcome, Fault, int] | None]] = []
        self.count = 0
        self.tally = Tally()
        self.picture: Picture | None = None
        self.paused: dict[TargetId, tuple[int, int]] = {}
        self.bout: dict[TargetId, tuple[int, int, int]] = {}
        self.path_dead = (0, 0)
        self.flaps: tuple[int, int] = (0, 0)
        self.faulty: dict[int, tuple[int, FaultModel]] = {}
        self.nodes = [self._node(i, vantages) for i in range(vantages)]
        self.flapper = self.topology.pools[(SERVICE, SITES[0])].members[-1].target
        self.noise: list[tuple[int, int, str, TargetId | None]] = []
        for member in self.topology.members.values():
            self._plan("pause", member.target, PAUSE_EVERY_MS)
            self._plan("bout", member.target, BOUT_EVERY_MS)
        self._plan("flap", None, FLAP_EVERY_MS)
        if path:
            self._plan("cut", None, CUT_EVERY_MS)
        self.fail_next: int | None = None
        self.tilted_site: int | None = None
        self.tilted_rate = self.log_weight = 0.0
        self.next_failure: NextFailure | None = None
        self.in_flight = 0

    def _node(self, index: int, vantages: int) -> Node:
        site = SITES[index] if vantages > 1 else None
        observer = Observer(self.topology, self.policy.judge, VantageId(f"v{index}"), site)
        checks: dict[TargetId, Checked] = {}
        interval = self.policy.judge.interval_ms
        for where, site_id in enumerate(SITES):
            start = self.rng.randrange(interval)
            for i, member in enumerate(self.topology.pools[(SERVICE, site_id)].members):
                phase = (start + i * interval // self.members) % interval
                checks[member.target] = Checked(member.target, where, phase)
        node = Node(observer, checks, index)
        for check in checks.values():
            self._schedule(node, check, self.now)
        return node

    def _plan(self, kind: str, target: TargetId | None, mean_ms: int) -> None:
        self.count += 1
        heapq.heappush(self.noise, (self.now + int(self.rng.expovariate(1 / mean_ms)), self.count, kind, target))

    def _schedule(self, node: Node, check: Checked, after: int) -> None:
        step = self.policy.judge.fast_interval_ms if check.hot else self.policy.judge.interval_ms
        check.generation += 1
        check.next_ms = after + 1 + (check.phase - after - 1) % step
        self.count += 1
        heapq.heappush(self.heap, (check.next_ms, self.count, node.index, check, check.generation, None))

    # -- running --------------------------------------------------------------------------------------------------

    def inject(self, fault: str, sites: tuple[int, ...], *, at_ms: int) -> None:
        """From ``at_ms`` on, all members of these sites have the fault."""
        for site in sites:
            self.faulty[site] = (at_ms, FAULTS[fault])

    def run(self, until: int, *, stop: Callable[[World], bool] | None = None, jump: bool = True) -> bool:
        """Run to an instant, or until ``stop`` says so (then True)."""
        while self.now < until:
            if jump and self._calm():
                self._jump(until)
            self._advance_noise()
            due, _, index, check, generation, finished = heapq.heappop(self.heap)
            self._ticks(due)
            self.now = max(self.now, due)
            node = self.nodes[index]
            assert check is not None
            if finished is not None:
                self.in_flight -= 1
                self._deliver(node, check, due, finished)
            elif generation == check.generation:
                self._start(node, check)
                self._schedule(node, check, due)
            if stop is not None and stop(self):
                return True
        self.tally.virtual_ms = self.now - 1_000_000
        return False

    def _ticks(self, due: int) -> None:
        for node in self.nodes:
            while node.tick_ms <= due:
                at = max(node.tick_ms, self.now)
                if node.observer.tick(at):
                    self._changed(node, at)
                node.tick_ms = max(node.observer.next_timer_ms() or 0, at + 1)
                if node.tick_ms <= due - 2_000:
                    node.tick_ms = due

    def _start(self, node: Node, check: Checked) -> None:
        start = self.now
        self.tally.probes += 1
        outcome, fault, latency = self._answer(node, check, start)
        if outcome is Outcome.PASS and latency <= 10:
            self._deliver(node, check, start + latency, (start, outcome, fault, latency))
            return
        self.count += 1
        self.in_flight += 1
        heapq.heappush(self.heap, (start + latency, self.count, node.index, check, -1, (start, outcome, fault, latency)))

    def _answer(self, node: Node, check: Checked, start: int) -> tuple[Outcome, Fault, int]:
        injected = self.faulty.get(check.site)
        if injected is not None and start >= injected[0]:
            outcome = injected[1](self.rng)
            if outcome[0] is Outcome.FAIL or outcome[2] > 10:
                return outcome
        drawn = self.next_failure
        if drawn is not None and drawn.node == node.index and drawn.target == check.target and start >= drawn.from_ms:
            self.next_failure = None
            return (Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS) if drawn.on_path else self._noise_failure()
        if check.site == self.fail_next:
            self.fail_next = None
            return self._noise_failure()
        on_path = self.path and node.index == 0 and check.site == 1
        if self._fails_by_itself(check.site, INDEPENDENT):
            return self._noise_failure()
        if on_path and (self.path_dead[0] <= start < self.path_dead[1] or self._fails_by_itself(check.site, ON_PATH)):
            return Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS
        flapping = check.target == self.flapper and self.flaps[0] <= start < self.flaps[1]
        if flapping and (start - self.flaps[0]) % 30_000 < 10_000:
            return Outcome.FAIL, Fault.REFUSED, 1
        paused = self.paused.get(check.target)
        if paused is not None and paused[0] <= start < paused[1]:
            wait = paused[1] - start + 10
            return (Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS) if wait > TIMEOUT_MS else (Outcome.PASS, Fault.NONE, wait)
        bout = self.bout.get(check.target)
        if bout is not None and bout[0] <= start < bout[1]:
            return Outcome.PASS, Fault.NONE, bout[2]
        return Outcome.PASS, Fault.NONE, 600 if self.rng.random() < 0.001 else 10

    def _fails_by_itself(self, site: int, rate: float) -> bool:
        """One draw of an independent failure: from the tilted rate at the tilted site, and then weighed (`judge_rare`)."""
        if self.next_failure is not None and self.now < self.next_failure.from_ms:
            return False  # the next one is drawn already
        if site != self.tilted_site:
            return self.rng.random() < rate
        tilted = max(rate, self.tilted_rate)
        fails = self.rng.random() < tilted
        self.log_weight += log(rate / tilted) if fails else log((1.0 - rate) / (1.0 - tilted))
        return fails

    def _noise_failure(self) -> tuple[Outcome, Fault, int]:
        kind = self.rng.random()
        if kind < 0.5:
            return Outcome.FAIL, Fault.RESET if kind < 0.25 else Fault.BAD_STATUS, 5
        return Outcome.FAIL, Fault.TIMEOUT, TIMEOUT_MS

    def _deliver(self, node: Node, check: Checked, at: int, result: tuple[int, Outcome, Fault, int]) -> None:
        start, outcome, fault, latency = result
        if node.observer.result(check.target, outcome, fault, latency * 1_000, at, start):
            self._changed(node, at)

    def _changed(self, node: Node, at: int) -> None:
        if node.observer.hot_version != node.hot_version:
            node.hot_version = node.observer.hot_version
            hot = node.observer.hot_targets()
            for check in node.checks.values():
                if (check.target in hot) != check.hot:
                    check.hot = not check.hot
                    self._schedule(node, check, at)
        node.report = node.observer.report(at)
        if self._worth_a_diagnosis():
            self._diagnose(at)

    def _worth_a_diagnosis(self) -> bool:
        if self.picture is not None and self.moves(self.picture):
            return True
        return any(
            node.report is not None and node.report.views[pool.target].standing in BAD
            for node in self.nodes
            for pool in self.topology.pools.values()
        )

    def _diagnose(self, at: int) -> None:
        reports = {}
        for node in self.nodes:
            last = node.report or node.observer.report(at)
            node.report = last
            reports[last.vantage] = VantageReport(
                vantage=last.vantage,
                site=last.site,
                at_ms=at,
                sequence=last.sequence,
                self_check=last.self_check,
                views=last.views,
            )
        before = self.moves(self.picture) if self.picture is not None else set()
        self.picture = diagnose(self.topology, self.policy, reports, at, self.picture)
        for site in self.moves(self.picture) - before:
            self.tally.false_moves += 1
            self.tally.moves_at.append((at, site))

    def moves(self, picture: Picture) -> set[str]:
        """Sites a decider would move traffic away from."""
        if picture.blind:
            return set()
        moved = set()
        for (service, site), pool in picture.pools.items():
            if service in picture.global_fault:
                continue
            if pool.standing is Standing.DOWN or (pool.standing is Standing.DEGRADED and pool.score_pm < MOVE_BELOW_PM):
                moved.add(str(site))
        return moved

    # -- noise and jumps ------------------------------------------------------------------------------------------

    def _advance_noise(self) -> None:
        while self.noise and self.noise[0][0] <= self.now + 1_100:
            at, _, kind, target = heapq.heappop(self.noise)
            self.begin(kind, at, target)
            every = {"pause": PAUSE_EVERY_MS, "bout": BOUT_EVERY_MS, "flap": FLAP_EVERY_MS, "cut": CUT_EVERY_MS}[kind]
            self._plan(kind, target, every)

    def begin(self, kind: str, at: int, target: TargetId | None) -> None:
        """One piece of noise begins."""
        if kind == "pause" and target is not None:
            self.paused[target] = (at, at + 1_000)
        elif kind == "bout" and target is not None:
            self.bout[target] = (at, at + self.rng.randrange(500, 3_000), self.rng.randrange(300, 700))
        elif kind == "flap":
            self.flaps = (at, at + 180_000)
        elif kind == "cut":
            self.path_dead = (at, at + 500)

    def _calm(self) -> bool:
        if self.now < self.flaps[1] + 2_000 or self.now < self.path_dead[1] + 2_000:
            return False
        if self.next_failure is not None or self.in_flight:
            return False
        return all(node.observer.at_rest for node in self.nodes)

    def _jump(self, until: int) -> None:
        """To shortly before the next noise. The next random failure is drawn from the rate of all checks, and then whose it is.

        One that would come after other noise is not kept: chance has no memory, and from there each check draws its own.
        """
        other = min(self.noise[0][0], until)
        if other - JUMP_SHORT_MS <= self.now:
            return
        everywhere = 3 * self.members * len(self.nodes) * INDEPENDENT
        path = self.members * ON_PATH if self.path else 0.0
        failure = self.now + int(1_000 * self.rng.expovariate(everywhere + path))
        if failure <= other:
            on_path = self.rng.random() * (everywhere + path) < path
            node = self.nodes[0 if on_path else self.rng.randrange(len(self.nodes))]
            failing = [check.target for check in node.checks.values() if not on_path or check.site == 1]
            self.next_failure = NextFailure(node=node.index, target=self.rng.choice(failing), from_ms=failure, on_path=on_path)
        target = min(failure, other) - JUMP_SHORT_MS
        if target <= self.now:
            return
        for node in self.nodes:
            node.observer.fast_forward(target - self.now, target)
        self.heap.clear()
        self.now = target
        for node in self.nodes:
            node.tick_ms = target
            for check in node.checks.values():
                self._schedule(node, check, target)
