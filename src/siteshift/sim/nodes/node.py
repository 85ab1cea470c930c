"""One controller node: the real core and the real observer, with its own clock, life and workers. It decides nothing itself.

It does what `runtime` does in the live daemon, in the same order: results go to the observer, reports to the core (its own
at once, the others' over links), the core's commands to `workers`. A killed node comes back from what is durable, a paused
one knows nothing of the pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from siteshift.core.controller import step
from siteshift.core.invariants import check
from siteshift.core.judge.metered import Reading
from siteshift.core.lifecycle.start import Past, is_reload_due, start, taken_over
from siteshift.core.messages.commands import Command, ReadMeters, ReprobeStandby
from siteshift.core.messages.events import (
    Asked,
    Event,
    Reloaded,
    ReportArrived,
    StoreChanged,
    TermChanged,
    Ticked,
)
from siteshift.core.messages.requests import OperatorRequest
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.evidence import VantageReport
from siteshift.core.model.policy import Policy
from siteshift.core.model.units import SiteId, TargetId, VantageId
from siteshift.core.state.controller_state import NEVER_MS, ControllerState, initial_state
from siteshift.sim.nodes.leading import Candidate
from siteshift.sim.nodes.metering import Meter
from siteshift.sim.nodes.probing import Check, Prober
from siteshift.sim.nodes.resting import RestingObserver
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.nodes.workers import Workers
from siteshift.sim.world.clock import EPOCH_MS
from siteshift.sim.world.spec import NodeSpec
from siteshift.sim.world.world import World
from siteshift.sim.world.worlds import setup_of

KEEP_ALIVE_MS = 1_000
HASTEN_FOR_MS, HASTEN_AGAIN_MS = 5_000, 2_000


class Node:
    """One node. `start`, `kill`, `pause`, `resume` are its life; `ask` is its local interface.

    ``among``: all nodes of the world, this one too once they are made.
    """

    def __init__(
        self, spec: NodeSpec, world: World, policy: Policy, witness: Witness, *, among: Sequence[Node], may_rest: bool
    ) -> None:
        self.spec = spec
        self.setup = setup_of(world.spec, policy, spec.id)
        self._life = 0
        self.is_dead = True
        self.write_delay_ms = 0
        self.asked = 0
        self._world = world
        self._among = among
        self._witness = witness
        self._wall_ms = spec.wall_offset_ms
        self._offset_ms = EPOCH_MS + spec.wall_offset_ms
        self._anchors = tuple(f"anchor-{number + 1}" for number in range(world.spec.anchors))
        self.prober = Prober(self, world, policy.judge, may_rest=may_rest)
        self.observer = self._new_observer()
        self.workers = Workers(self, world)
        self.meter = Meter(self, world)
        self.candidate = Candidate(self, world) if world.shared_store is not None else None
        self.state: ControllerState = initial_state(now_ms=self.time_ms(world.clock.now_ms))
        self._is_paused = False
        self._deferred: list[Callable[[], None]] = []
        self._queue: deque[tuple[Event, Policy | None]] = deque()
        self._is_stepping = False
        self._wake_planned_ms = NEVER_MS
        self._last_step_ms = 0
        self._published_ms = 0
        self._sense_turn = 0
        self._is_changed = False
        self._watched: dict[TargetId, int] = {}
        self._hot_seen = -1
        self._hastened_ms = 0
        self._told_ms: dict[VantageId, int] = {}
        """When the last report is with each other node: over one connection none overtakes another."""

    def _new_observer(self) -> RestingObserver:
        spec, boot_id = self.spec, f"{self.spec.id}#{self._life}"
        topology, judge = self.setup.topology, self.setup.policy.judge
        return RestingObserver(topology, judge, spec.id, spec.site, anchors=self._anchors, boot_id=boot_id)

    @property
    def id(self) -> VantageId:
        return self.spec.id

    @property
    def site(self) -> SiteId:
        return self.spec.site

    @property
    def term(self) -> int | None:
        """The term its core holds."""
        return self.state.term

    def time_ms(self, world_ms: int) -> int:
        """This node's siteshift time at an instant of the world."""
        return world_ms + self._offset_ms

    @property
    def now_ms(self) -> int:
        return self.time_ms(self._world.clock.now_ms)

    @property
    def is_in_doubt(self) -> bool:
        """Whether it holds any site for other than well."""
        return any(standing is not Standing.UP for standing in self.state.picture.sites.values())

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to run, with what is durable and no beliefs."""
        if not self.is_dead:
            return
        self.is_dead, self._is_paused = False, False
        self._life += 1
        self._offset_ms = EPOCH_MS + self._wall_ms
        self._deferred, self._queue = [], deque()
        self._wake_planned_ms, self._last_step_ms = NEVER_MS, 0
        self._watched, self._hot_seen, self._told_ms = {}, -1, {}
        self.observer = self._new_observer()
        document = self.workers.durable()
        self.state = start(Past(document=document), self.setup, now_ms=self.now_ms)
        if self.candidate is not None:
            self.state = replace(self.state, term=None)
            self.candidate.start()
        self.workers.start()
        now_ms = self._world.clock.now_ms
        self._published_ms = self._hastened_ms = now_ms
        self._world.line(self.spec.id, "note", "starts")
        self.prober.start()
        self._plan_sense(now_ms + 1)
        self.meter.start()
        self.offer(Reloaded(at_ms=0, digest=self.setup.digest) if is_reload_due(self.state, self.setup) else Ticked(at_ms=0))

    def start_again(self) -> None:
        """Start after a death, as fast as its process does; dying meanwhile calls it off."""
        life = self._life
        at_ms = self._world.clock.now_ms + self.spec.starts_in_ms
        self._world.clock.at(at_ms, lambda: self.start() if life == self._life else None)

    def kill(self) -> None:
        """Die; what is durable stays."""
        if self.is_dead:
            self._life += 1
            return
        self.prober.stop()
        self.is_dead = True
        self._life += 1
        self._world.line(self.spec.id, "note", "dies")

    def pause(self) -> None:
        """Stop in mid-air (SIGSTOP)."""
        if self.is_dead or self._is_paused:
            return
        self.prober.stop()
        self._is_paused = True
        self._world.line(self.spec.id, "note", "is paused")

    def resume(self) -> None:
        """Go on as if nothing had been: first with what was under way."""
        if self.is_dead or not self._is_paused:
            return
        self._is_paused = False
        self._world.line(self.spec.id, "note", "goes on")
        deferred, self._deferred = self._deferred, []
        for do in deferred:
            do()
        self.prober.start()

    def step_wall_clock(self, by_ms: int) -> None:
        """The wall clock jumps. Siteshift time follows at the next start only: it is monotonic within a process."""
        self._wall_ms += by_ms
        self._world.line(self.spec.id, "note", f"its wall clock steps by {by_ms} ms")

    def later(self, at_ms: int, do: Callable[[], None]) -> None:
        """Do something of this process at an instant: never once it died, after the pause while it is paused."""
        life = self._life
        self._world.clock.at(at_ms, lambda: self._run(life, do))

    def _run(self, life: int, do: Callable[[], None]) -> None:
        if life != self._life:
            return
        if self._is_paused:
            self._deferred.append(lambda: self._run(life, do))
        else:
            do()

    # -- the core -------------------------------------------------------------------------------------------------

    def offer(self, event: Event, policy: Policy | None = None) -> None:
        """Hand an event to the core; at once, unless the node is paused or in the middle of a step."""
        if self.is_dead:
            return
        if self._is_paused:
            self._deferred.append(lambda: self.offer(event, policy))
            return
        self._queue.append((event, policy))
        if self._is_stepping:
            return
        self._is_stepping = True
        while self._queue:
            taken, new_policy = self._queue.popleft()
            if new_policy is not None and isinstance(taken, Reloaded):
                self._take_policy(new_policy, taken.digest)
            self._step(taken)
        self._is_stepping = False
        self._plan_wake()

    def _step(self, event: Event) -> None:
        now_ms = max(self.now_ms, self._last_step_ms)
        stamped = event if event.at_ms == now_ms else replace(event, at_ms=now_ms)
        before = self.state
        decision = step(before, stamped, self.setup)
        self.state = decision.state
        self._last_step_ms = now_ms
        if decision.is_idle:
            return
        broken = check(before, stamped, decision.state, decision.commands, self.setup)
        self._witness.stepped(self.id, before, stamped, decision, broken)
        if decision.commands:
            self._carry_out(decision.commands)

    def _carry_out(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            if isinstance(command, ReprobeStandby):
                self._watch(command)
            elif isinstance(command, ReadMeters):
                self.meter.look(command.places, command.deadline_ms)
        if any(not isinstance(command, ReadMeters) for command in commands):
            self.workers.carry_out(commands, self.state)

    def _plan_wake(self) -> None:
        wake_ms = self.state.wake_at_ms
        if wake_ms >= NEVER_MS or self.is_dead:
            return
        at_ms = max(wake_ms - self._offset_ms, self._world.clock.now_ms + 1)
        if at_ms >= self._wake_planned_ms:
            return
        self._wake_planned_ms = at_ms
        self.later(at_ms, lambda: self._wake(at_ms))

    def _wake(self, planned_ms: int) -> None:
        if planned_ms == self._wake_planned_ms:
            self._wake_planned_ms = NEVER_MS
        if self.now_ms >= self.state.wake_at_ms:
            self.offer(Ticked(at_ms=self.now_ms))
        else:
            self._plan_wake()

    def ask(self, asking: OperatorRequest) -> None:
        """Somebody asks over the local socket."""
        self.offer(Asked(at_ms=0, asking=asking))

    def reload(self, digest: str, policy: Policy | None = None) -> None:
        """Take a configuration, the same or another: one event (law 15). What is known goes on."""
        self.offer(Reloaded(at_ms=0, digest=digest), policy or self.setup.policy)

    def _take_policy(self, policy: Policy, digest: str) -> None:
        self.setup = replace(setup_of(self._world.spec, policy, self.spec.id), digest=digest)
        self.prober.take_policy(policy.judge)
        self.observer.refit(self.setup.topology, policy.judge, self.spec.site, anchors=self._anchors, changed=frozenset())
        self._hot_seen = -1
        self._is_changed = True
        self._plan_sense(self._world.clock.now_ms)

    def term_is(self, term: int | None) -> None:
        """Leadership changed."""
        if term != self.state.term:
            self.offer(TermChanged(at_ms=0, term=term))

    def takes_over(self, document: Mapping[str, Any] | None) -> None:
        """Make what the last leader remembered its own; beliefs stay."""
        self.state = taken_over(self.state, document, now_ms=self.now_ms)

    def store_is(self, *, usable: bool, detail: str = "") -> None:
        """The store was lost or is back."""
        if usable != self.state.is_store_usable:
            self.offer(StoreChanged(at_ms=0, is_usable=usable, detail=detail))

    # -- sensing --------------------------------------------------------------------------------------------------

    def sense_result(self, probed: Check, outcome: Outcome, fault: Fault, after_ms: int, at_ms: int, started_ms: int) -> None:
        """One finished check (instants of the world)."""
        offset_ms = self._offset_ms
        if probed.server is None:
            changed = self.observer.anchor(probed.name, outcome, at_ms + offset_ms, started_ms + offset_ms)
        else:
            changed = self.observer.result(
                probed.target, outcome, fault, after_ms * 1_000, at_ms + offset_ms, started_ms + offset_ms
            )
        if changed and not self._is_changed:
            self._is_changed = True
            self._plan_sense(self._world.clock.now_ms)

    def _plan_sense(self, at_ms: int) -> None:
        self._sense_turn += 1
        turn = self._sense_turn
        self.later(at_ms, lambda: self._sense(turn))

    def _sense(self, turn: int) -> None:
        """Tick the observer, publish what changed (and once a second anyhow), keep the hot targets hot."""
        if turn != self._sense_turn:
            return
        now_ms = self._world.clock.now_ms
        if self.prober.is_resting:
            self.prober.tell_anchors()
        else:
            self._is_changed |= self.observer.tick(self.now_ms)
        if self._is_changed or now_ms - self._published_ms >= KEEP_ALIVE_MS:
            self._is_changed = False
            self._published_ms = now_ms
            rests = self.prober.is_resting
            self._publish(self.observer.report_at_rest(self.now_ms) if rests else self.observer.report(self.now_ms))
        self._keep_hot(now_ms)
        next_ms = self._published_ms + KEEP_ALIVE_MS
        if not self.prober.is_resting and (timer_ms := self.observer.next_timer_ms()) is not None:
            next_ms = min(next_ms, _on_grid(timer_ms - self._offset_ms, now_ms))
        self._plan_sense(max(now_ms + 1, next_ms))

    def _publish(self, report: VantageReport) -> None:
        """To the core at once; to the others over the link between, or by way of the store."""
        self.offer(ReportArrived(at_ms=self.now_ms, report=report))
        for other in self._among:
            if other is self or other.is_dead or (late_ms := self._late_by_ms(other)) is None:
                continue
            at_ms = self._world.clock.now_ms + self._world.net.delay_ms(self.spec.site, other.spec.site) + late_ms
            self._told_ms[other.id] = max(at_ms, self._told_ms.get(other.id, at_ms))
            other.later(self._told_ms[other.id], self._delivery(other, report))

    @staticmethod
    def _delivery(other: Node, report: VantageReport) -> Callable[[], None]:
        return lambda: other.offer(ReportArrived(at_ms=other.now_ms, report=report))

    def _late_by_ms(self, other: Node) -> int | None:
        """How much later than usual a report gets to another node: over the link, or in time to count by way of the store."""
        world, here, there = self._world, self.spec.site, other.spec.site
        late_ms = world.passes_in_ms(self.id, here, there, self.setup.policy.judge.report_stale_ms)
        store = world.shared_store
        if late_ms is None and store is not None and store.is_reachable(here) and store.is_reachable(there):
            return 0
        return late_ms

    @property
    def is_watching(self) -> bool:
        """Whether the core asked for something to be looked at often."""
        return bool(self._watched)

    def _watch(self, watch: ReprobeStandby) -> None:
        self.prober.wake()
        for target in watch.targets:
            self.observer.renew(target)
            self._watched[target] = max(watch.until_ms, self._watched.get(target, 0))
        self._hot_seen = -1
        self._is_changed = True
        self._plan_sense(self._world.clock.now_ms)

    def _keep_hot(self, now_ms: int) -> None:
        time_ms = self.now_ms
        if self._watched:
            self._watched = {target: until for target, until in self._watched.items() if until > time_ms}
        if self.observer.hot_version == self._hot_seen and now_ms - self._hastened_ms < HASTEN_AGAIN_MS:
            return
        self._hot_seen = self.observer.hot_version
        self._hastened_ms = now_ms
        hot = self.observer.hot_targets()
        if not hot and not self._watched:
            self.prober.hasten(list, now_ms)
            return
        self.prober.hasten(lambda: sorted({*hot, *self._watched}), now_ms + HASTEN_FOR_MS)

    def sense_counts(self, target: TargetId, requests: int, errors: int, latency_ms: int | None) -> None:
        """What a site's front counted in the window that ends now."""
        self._is_changed |= self.observer.observe_counts(target, requests, errors, latency_ms, self.now_ms)

    def sense_reading(self, target: TargetId, reading: Reading) -> None:
        """What the meter of a pool read, for its observer; `reading` in its siteshift time."""
        if self.observer.metered(target, reading) and not self._is_changed:
            self._is_changed = True
            self._plan_sense(self._world.clock.now_ms)

    # -- what the world tells -------------------------------------------------------------------------------------

    def wake_prober(self) -> None:
        """Something is about to change: no rest any more."""
        self.prober.wake()

    def wakes(self) -> None:
        """The world stirs after a calm: look at traffic again soon."""
        if not self.is_dead and not self._is_paused:
            self.meter.wake()


def _on_grid(timer_ms: int, now_ms: int) -> int:
    """Ticks of the observer fall on whole steps, so that they do not hang on when a rest ended."""
    step_ms = 50 if timer_ms - now_ms <= 50 else 100
    return -(-timer_ms // step_ms) * step_ms
