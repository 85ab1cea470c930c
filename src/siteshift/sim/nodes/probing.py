"""A node's prober in virtual time: phases spread over the interval, sprints, and rest.

One by one, every check starts at its phase and its answer comes from the world. At rest (every member healthy, every link
whole, the detector at its fixed point) no check is made: the next failing one is known, because independent failures
are drawn as the number of passes before each (geometric), and the passes in between are credited at once. Rest ends two
intervals before that failure, and at once when anything in the world changes; what was not a whole interval
is then probed after all, so that both ways of probing give the detector the same results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from siteshift.core.judge.pacing import Asked, paces_ms
from siteshift.core.model.codes import Fault, MemberRole, Outcome
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import TargetId
from siteshift.sim.nodes.mute import Quarter
from siteshift.sim.nodes.resting import RestingObserver
from siteshift.sim.world.link import one_exchange, one_visit
from siteshift.sim.world.servers import Down, Server
from siteshift.sim.world.spec import ANCHORS, NodeSpec
from siteshift.sim.world.world import World

AT_ONCE_MS = 15
"""A pass (or a closed standby's refusal) that takes no longer is told when it starts: nothing can come between."""
CALM_AT_ONCE_MS = 100
"""The same while nothing is hastened: then a pass is no news whenever it is told."""
REST_MS = 10_000
"""Rest is taken in portions no longer than the detector's learning period."""
NEVER_COUNT = 1 << 60


@dataclass(slots=True)
class Check:
    """One member, or one anchor, as this prober checks it."""

    target: TargetId
    server: Server | None
    name: str
    phase_ms: int
    passes_left: int = NEVER_COUNT
    fast_ms: int = 0
    """Its interval while it is hot."""
    pending_until_ms: int = -(1 << 60)
    is_hot: bool = False


class Answered(NamedTuple):
    """What a check will say, and after how long (None: never)."""

    outcome: Outcome
    fault: Fault
    after_ms: int | None


SILENCE = Answered(Outcome.FAIL, Fault.TIMEOUT, None)


class ProbingNode(Protocol):
    """What a prober needs of its node."""

    @property
    def spec(self) -> NodeSpec: ...

    @property
    def observer(self) -> RestingObserver:
        """The one of its present life."""

    @property
    def is_watching(self) -> bool:
        """Whether the core asked for something to be looked at often: then there is no rest."""

    def time_ms(self, world_ms: int) -> int:
        """Its siteshift time at an instant of the world."""

    def sense_result(self, probed: Check, outcome: Outcome, fault: Fault, after_ms: int, at_ms: int, started_ms: int) -> None:
        """One finished check (instants of the world)."""


class Prober:
    """Probes for one node. ``may_rest`` off: every check is made (the reference of the equivalence test)."""

    def __init__(self, node: ProbingNode, world: World, judge: JudgePolicy, *, may_rest: bool) -> None:
        self._node = node
        self._world = world
        self._judge = judge
        self._may_rest = may_rest
        self._lots = world.lots.of(f"probe/{node.spec.id}")
        self._noise_ppm = world.spec.noise.failures_ppm
        self._blind = ""
        self.mute: tuple[Quarter, ...] = ()
        """Of these checks no result comes back, neither good nor bad nor that there is none; `silence` sets it."""
        self._lane = self._checks()
        self._by_target = {check.target: check for check in self._lane if check.server is not None}
        self._hot: list[Check] = []
        self._hot_until_ms = 0
        self._life = 0
        self._cursor = 0
        self._lap_ms = 0
        self._sprint = 0
        self._pending = 0
        self._rest_since_ms: int | None = None
        self._rest_turn = 0
        self.count = 0
        """Checks made, those credited at rest included."""

    def _checks(self) -> list[Check]:
        spec, interval_ms = self._world.spec, self._judge.interval_ms
        offset_ms = self._lots.randrange(interval_ms)
        checks: list[Check] = []
        for number, pool in enumerate(spec.topology.pools.values()):
            start_ms = offset_ms + number * 37
            for role in MemberRole:
                members = [member for member in pool.members if member.role is role]
                beside_ms = 0 if role is MemberRole.ACTIVE else interval_ms // 8
                for place, member in enumerate(members):
                    phase_ms = (start_ms + beside_ms + place * interval_ms // len(members)) % interval_ms
                    server = self._world.servers[member.id]
                    checks.append(Check(member.target, server, member.id, phase_ms, self._draw_passes()))
        for number in range(spec.anchors):
            phase_ms = (offset_ms + number * interval_ms // spec.anchors) % interval_ms
            checks.append(Check(TargetId(""), None, f"anchor-{number + 1}", phase_ms))
        return sorted(checks, key=lambda check: check.phase_ms)

    def _draw_passes(self) -> int:
        """Passes before the next independent failure: geometric."""
        if not self._noise_ppm:
            return NEVER_COUNT
        return int(math.log(1.0 - self._lots.random()) / math.log(1.0 - self._noise_ppm / 1e6))

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or go on after a pause, from the next start on."""
        self._life += 1
        self._rest_since_ms = None
        self._pending = 0
        for check in self._lane:
            check.pending_until_ms = -(1 << 60)
            check.is_hot = False
        self._hot = []
        self._seek(self._world.clock.now_ms)
        self._plan()

    def stop(self) -> None:
        """No more checks; what is under way is lost."""
        if self._rest_since_ms is not None:
            self._leave_rest()
        self._life += 1

    def blind(self, how: str) -> None:
        """`faults.control.Sees`, or empty: sees again."""
        self.wake()
        self._blind = how

    def silence(self, quarters: tuple[Quarter, ...]) -> None:
        """From now on checks there are made and say nothing, those under way too."""
        self.wake()
        self.mute = quarters

    def _is_mute(self, check: Check) -> bool:
        return any(quarter.holds(check.server) for quarter in self.mute)

    # -- one by one -----------------------------------------------------------------------------------------------

    def _seek(self, after_ms: int) -> None:
        """Put the cursor on the first start later than ``after_ms``."""
        interval_ms = self._judge.interval_ms
        self._lap_ms = after_ms // interval_ms * interval_ms
        self._cursor = 0
        while self._next_ms() <= after_ms:
            self._step_cursor()

    def _next_ms(self) -> int:
        return self._lap_ms + self._lane[self._cursor].phase_ms

    def _step_cursor(self) -> None:
        self._cursor += 1
        if self._cursor == len(self._lane):
            self._cursor = 0
            self._lap_ms += self._judge.interval_ms

    def _plan(self) -> None:
        life = self._life
        self._world.clock.at(self._next_ms(), lambda: self._walk(life))

    def _walk(self, life: int) -> None:
        """Start what is due, then go to the next phase (or to rest, at the end of a lap)."""
        if life != self._life or self._rest_since_ms is not None:
            return
        now_ms = self._world.clock.now_ms
        while self._next_ms() <= now_ms:
            check = self._lane[self._cursor]
            self._step_cursor()
            if not check.is_hot:
                self._start(check, now_ms)
            if life != self._life:
                return
            if self._cursor == 0 and self._rest(now_ms):
                return
        self._plan()

    def _start(self, check: Check, now_ms: int) -> None:
        if check.pending_until_ms > now_ms:
            return
        self.count += 1
        if self._is_mute(check):
            return
        found = self._look(check)
        timeout_ms = self._judge.timeout_ms
        after_ms, outcome, fault = found.after_ms, found.outcome, found.fault
        is_closed = check.server is not None and not check.server.is_open
        at_once_ms = AT_ONCE_MS if self._hot else CALM_AT_ONCE_MS
        if after_ms is not None and after_ms <= at_once_ms and (outcome is Outcome.PASS or is_closed):
            self._node.sense_result(check, outcome, fault, after_ms, now_ms + after_ms, now_ms)
            return
        if after_ms is None or after_ms >= timeout_ms:
            after_ms, outcome, fault = timeout_ms, Outcome.FAIL, Fault.TIMEOUT
        check.pending_until_ms = now_ms + after_ms
        life, told_ms = self._life, now_ms + after_ms
        self._pending += 1
        self._world.clock.at(told_ms, lambda: self._tell(life, check, Answered(outcome, fault, after_ms), now_ms))

    def _tell(self, life: int, check: Check, found: Answered, started_ms: int) -> None:
        if life != self._life:
            return
        self._pending -= 1
        if self._is_mute(check):
            return
        assert found.after_ms is not None
        self._node.sense_result(check, found.outcome, found.fault, found.after_ms, started_ms + found.after_ms, started_ms)

    def _look(self, check: Check) -> Answered:
        """What this check sees when it starts now."""
        net, site, server = self._world.net, str(self._node.spec.site), check.server
        if self._blind and (self._blind != "fail_only_targets" or server is not None):
            return Answered(Outcome.LOST, Fault.LOCAL, 0) if self._blind == "none" else SILENCE
        place = f"{server.member.service}@{server.member.site}" if server is not None else ANCHORS
        late_ms = one_visit(self._lots, net.loss_pm(site, place), self._judge.timeout_ms)
        if late_ms is None:
            return SILENCE
        trip_ms = 2 * net.delay_ms(site, str(server.member.site) if server is not None else ANCHORS) + late_ms
        if server is None:
            return Answered(Outcome.PASS, Fault.NONE, trip_ms)
        condition = server.condition
        if condition.down in (Down.SILENT, Down.HANG) and (server.is_open or condition.down is Down.SILENT):
            return SILENCE
        if not server.is_open or condition.down is Down.REFUSED:
            return Answered(Outcome.FAIL, Fault.REFUSED, trip_ms)
        if check.passes_left <= 0:
            check.passes_left = self._draw_passes()
            return Answered(Outcome.FAIL, Fault.RESET, trip_ms)
        check.passes_left -= 1
        return self._ask(server, trip_ms)

    def _ask(self, server: Server, trip_ms: int) -> Answered:
        """The answer of a server that answers."""
        condition = server.condition
        pool = self._world.flow.pool(server.member.service, server.member.site)
        bad_pm = condition.probe_error_pm + (1_000 - condition.probe_error_pm) * pool.dep_error_pm // 1_000
        after_ms = trip_ms + server.spec.latency_ms + pool.dep_add_ms
        if bad_pm and self._lots.randrange(1_000) < bad_pm:
            return Answered(Outcome.FAIL, Fault.BAD_STATUS, after_ms)
        for loss_pm in pool.dep_losses_pm:
            late_ms = one_exchange(self._lots, loss_pm, self._judge.timeout_ms)
            if late_ms is None:
                return SILENCE
            after_ms += late_ms
        if condition.add_ms and (condition.add_part_pm >= 1_000 or self._lots.randrange(1_000) < condition.add_part_pm):
            after_ms += condition.add_ms
        if server.queue or server.rate_rps:
            after_ms += int(server.wait_ms())
        return Answered(Outcome.PASS, Fault.NONE, after_ms)

    # -- sprints --------------------------------------------------------------------------------------------------

    def hasten(self, targets: Callable[[], list[TargetId]], until_ms: int) -> None:
        """Probe these at the fast interval until then, instead of those hastened before."""
        wanted = [self._by_target[target] for target in targets() if target in self._by_target]
        for check in self._hot:
            check.is_hot = False
        for check in wanted:
            check.is_hot = True
        interval_ms = self._judge.interval_ms
        same = [check.name for check in self._hot] == [check.name for check in wanted]
        self._hot, self._hot_until_ms = wanted, until_ms
        if same and wanted:
            return
        self._sprint += 1
        if wanted:
            self.wake()
            for check in wanted:
                check.fast_ms = self._fast_ms(check)
                tooth_ms = check.phase_ms * check.fast_ms // interval_ms
                self._plan_sprint(check, tooth_ms, self._sprint, self._life)

    def _fast_ms(self, check: Check) -> int:
        """What its target carries of the fast interval, as `runtime.sensing` reckons it."""
        assert check.server is not None
        asked, vantages = [Asked(self._judge.interval_ms)], len(self._world.spec.topology.vantages)
        return paces_ms(asked, self._judge.fast_interval_ms, check.server.member.capacity_rps, vantages)[0]

    def _plan_sprint(self, check: Check, tooth_ms: int, sprint: int, life: int) -> None:
        fast_ms, now_ms = check.fast_ms, self._world.clock.now_ms
        due_ms = tooth_ms + ((now_ms - tooth_ms) // fast_ms + 1) * fast_ms
        self._world.clock.at(due_ms, lambda: self._sprint_on(check, tooth_ms, sprint, life))

    def _sprint_on(self, check: Check, tooth_ms: int, sprint: int, life: int) -> None:
        if sprint != self._sprint or life != self._life:
            return
        now_ms = self._world.clock.now_ms
        if now_ms >= self._hot_until_ms:
            check.is_hot = False
            return
        self._start(check, now_ms)
        self._plan_sprint(check, tooth_ms, sprint, life)

    # -- rest -----------------------------------------------------------------------------------------------------

    @property
    def is_resting(self) -> bool:
        return self._rest_since_ms is not None

    def _rest(self, now_ms: int) -> bool:
        """Rest, if nothing can happen for a while; True when resting."""
        if not self._may_rest or self._blind or self.mute or self._pending or self._hot or not self._world.is_plain:
            return False
        if not self._node.observer.at_rest or self._node.is_watching:
            return False
        laps = self._laps_free()
        if laps < 3:
            return False
        self._rest_since_ms = now_ms
        self._rest_turn += 1
        turn, life = self._rest_turn, self._life
        rest_ms = min(REST_MS, (laps - 2) * self._judge.interval_ms)
        self._world.clock.at(now_ms + rest_ms, lambda: self._rested(turn, life))
        return True

    def _laps_free(self) -> int:
        """Whole laps before the next independent failure."""
        return min((c.passes_left for c in self._lane if c.server is not None and c.server.is_open), default=NEVER_COUNT)

    def _rested(self, turn: int, life: int) -> None:
        if turn != self._rest_turn or life != self._life or self._rest_since_ms is None:
            return
        self._leave_rest()
        if not self._rest(self._world.clock.now_ms):
            self._plan()

    def take_policy(self, judge: JudgePolicy) -> None:
        """A reload. The checks keep their phases and their interval; everything else is the new policy's."""
        self.wake()
        self._judge = replace(judge, interval_ms=self._judge.interval_ms)

    def wake(self) -> None:
        """Something changed: no rest any more. The checks since the last whole interval are made up for."""
        if self._rest_since_ms is None:
            return
        self._leave_rest()
        self._rest_turn += 1
        self._plan()

    def _leave_rest(self) -> None:
        """Credit whole intervals at once, and the rest of the last one check by check, as passes at their instants."""
        assert self._rest_since_ms is not None
        since_ms, now_ms, interval_ms = self._rest_since_ms, self._world.clock.now_ms, self._judge.interval_ms
        self._rest_since_ms = None
        laps = (now_ms - since_ms) // interval_ms
        if laps:
            span_ms = laps * interval_ms
            self._node.observer.fast_forward(span_ms, self._node.time_ms(since_ms + span_ms))
            self.count += laps * len(self._lane)
            for check in self._lane:
                if check.server is not None and check.server.is_open:
                    check.passes_left -= laps if check.passes_left < NEVER_COUNT else 0
            self._lap_ms += span_ms
        while self._next_ms() < now_ms:
            started_ms, check = self._next_ms(), self._lane[self._cursor]
            self._step_cursor()
            self.count += 1
            self._credit(check, started_ms)

    def _credit(self, check: Check, started_ms: int) -> None:
        site = str(self._node.spec.site)
        if check.server is None:
            trip_ms = 2 * self._world.net.delay_ms(site, ANCHORS)
            self._node.sense_result(check, Outcome.PASS, Fault.NONE, trip_ms, started_ms + trip_ms, started_ms)
            return
        trip_ms = 2 * self._world.net.delay_ms(site, check.server.member.site)
        if not check.server.is_open:
            self._node.sense_result(check, Outcome.FAIL, Fault.REFUSED, trip_ms, started_ms + trip_ms, started_ms)
            return
        check.passes_left -= 1 if check.passes_left < NEVER_COUNT else 0
        after_ms = trip_ms + check.server.spec.latency_ms
        self._node.sense_result(check, Outcome.PASS, Fault.NONE, after_ms, started_ms + after_ms, started_ms)

    def tell_anchors(self) -> None:
        """At rest: the anchors' passes, so that the self-check stays fresh."""
        now_ms = self._world.clock.now_ms
        for check in self._lane:
            if check.server is None:
                self._node.sense_result(check, Outcome.PASS, Fault.NONE, 5, now_ms, now_ms - 5)
