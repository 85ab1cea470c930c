"""The in-memory `ports.Prober`: the real schedule in virtual time, against a world that is a function.

Nothing happens by itself: whoever moves the clock calls `catch_up`, best at every `next_ms`, so that each result
reaches the sink at its own instant. The rules are those of `adapters.probes.prober`, checked by the same contract.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from siteshift.adapters.probes.schedule import Schedule
from siteshift.adapters.probes.slot import Slot
from siteshift.adapters.probes.twin import twin_of
from siteshift.core.model.codes import Fault, Outcome, Stage
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.units import ProbeId
from siteshift.ports import Clock, ProbeResult, ProbeSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a probe sees. ``latency_us`` None: nothing, for as long as it waits."""

    outcome: Outcome = Outcome.PASS
    fault: Fault = Fault.NONE
    latency_us: int | None = 1_000
    detail: str = ""


World = Callable[[ProbeSpec, int], Seen]
"""What this specification (a probe's, or its twin's) sees when it starts at this instant of siteshift time (ms)."""


class _Turn(IntEnum):
    """What happens first when several things happen in one microsecond."""

    ANSWER = 0
    TIMEOUT = 1
    STOPWATCH = 2


class MemoryProber:
    """Probes a `World` in virtual time. ``twin_every`` as in `ProberLimits`."""

    def __init__(self, clock: Clock, sink: ProbeSink, world: World, *, twin_every: int = 60, seed: int = 0) -> None:
        self._clock = clock
        self._sink = sink
        self._world = world
        self._twin_every = twin_every
        self._schedule: Schedule[Slot] = Schedule(origin_us=clock.now_ms() * 1_000, seed=seed)
        self._specs: tuple[ProbeSpec, ...] = ()
        self._slots: dict[ProbeId, Slot] = {}
        self._twins: dict[ProbeId, Slot] = {}
        self._ahead: list[tuple[int, _Turn, int, Slot, int, Seen]] = []
        self._numbered = 0
        self._running = False
        self._started = 0

    def configure(self, specs: Sequence[ProbeSpec]) -> None:
        """Replace the whole set. Raises ValueError for two probes with one id."""
        if len({spec.id for spec in specs}) != len(specs):
            raise ValueError("two probes have the same id")
        self._specs = tuple(specs)
        if self._running:
            self._install()

    def hasten(self, probes: Sequence[ProbeId], interval_ms: int, until_ms: int) -> None:
        if not self._running:
            return
        for probe in probes:
            if slot := self._slots.get(probe):
                pace_us = slot.pace_us(interval_ms * 1_000)
                self._schedule.hasten(slot, interval_us=pace_us, until_us=until_ms * 1_000, now_us=self._now_us())

    def late_starts(self) -> Iterable[tuple[int, int]]:
        """In virtual time nothing is late."""
        started, self._started = self._started, 0
        return ((0, started),) if started else ()

    async def run(self) -> None:
        """Be driven until cancelled."""
        self._running = True
        self._install()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            self._ahead.clear()
            self._slots, self._twins = {}, {}

    def pending_ms(self, probe: ProbeId) -> int | None:
        """How long the probe's present run has been pending; None when none is."""
        slot = self._slots.get(probe)
        return (self._now_us() - slot.started_us) // 1_000 if slot and slot.pending else None

    def set_stopwatch(self, probes: Sequence[ProbeId], stopwatch_ms: int) -> None:
        """From their next run on, these probes speak early after ``stopwatch_ms`` (0: never)."""
        for probe in probes:
            if slot := self._slots.get(probe):
                slot.stopwatch_us = stopwatch_ms * 1_000

    def next_ms(self) -> int | None:
        """The first whole millisecond by which something happens; None: nothing ever will."""
        return None if (next_us := self._next_us()) is None else -(-next_us // 1_000)

    def catch_up(self) -> None:
        """Carry out everything up to the clock's now, in order."""
        while self._running and (next_us := self._next_us()) is not None and next_us <= self._now_us():
            if self._ahead and self._ahead[0][0] <= next_us:
                self._take_ahead()
                continue
            for due_us, slot in self._schedule.take(next_us, 1):
                self._start(slot, due_us)

    def _now_us(self) -> int:
        return self._clock.now_ms() * 1_000

    def _next_us(self) -> int | None:
        found = [self._schedule.next_us(), self._ahead[0][0] if self._ahead else None]
        return min((at_us for at_us in found if at_us is not None), default=None)

    def _install(self) -> None:
        wanted = {spec.id: spec for spec in self._specs}
        twins = {spec.id: twin for spec in self._specs if (twin := twin_of(spec, self._twin_every))}
        self._slots = self._matched(self._slots, wanted)
        self._twins = self._matched(self._twins, twins)
        for slot in self._twins.values():
            slot.must_fail = True
        self._schedule.replace((*self._slots.values(), *self._twins.values()), self._now_us())

    @staticmethod
    def _matched(present: dict[ProbeId, Slot], wanted: dict[ProbeId, ProbeSpec]) -> dict[ProbeId, Slot]:
        for probe, slot in present.items():
            if wanted.get(probe) != slot.spec:
                slot.pending = False
        return {
            probe: old if (old := present.get(probe)) and old.spec == spec else Slot(spec)
            for probe, spec in wanted.items()
        }

    def _start(self, slot: Slot, due_us: int) -> None:
        if slot.pending:
            return
        self._started += 1
        slot.pending, slot.spoken = True, False
        slot.started_us = due_us
        seen = self._world(slot.spec, due_us // 1_000)
        if seen.latency_us is not None and seen.latency_us < slot.timeout_us:
            self._foresee(due_us + seen.latency_us, _Turn.ANSWER, slot, seen)
        else:
            silence = Seen(
                outcome=Outcome.FAIL, fault=Fault.TIMEOUT, detail=f"no answer in {slot.timeout_us // 1_000} ms"
            )
            self._foresee(due_us + slot.timeout_us, _Turn.TIMEOUT, slot, silence)
        if 0 < slot.stopwatch_us < slot.timeout_us:
            hanging = Seen(
                outcome=Outcome.FAIL,
                fault=Fault.TIMEOUT,
                detail=f"still no answer after {slot.stopwatch_us // 1_000} ms",
            )
            self._foresee(due_us + slot.stopwatch_us, _Turn.STOPWATCH, slot, hanging)

    def _foresee(self, at_us: int, turn: _Turn, slot: Slot, seen: Seen) -> None:
        self._numbered += 1
        heapq.heappush(self._ahead, (at_us, turn, self._numbered, slot, slot.started_us, seen))

    def _take_ahead(self) -> None:
        at_us, turn, _, slot, started_us, seen = heapq.heappop(self._ahead)
        if not slot.pending or slot.started_us != started_us:
            return
        if turn is _Turn.STOPWATCH:
            stage = Stage.EARLY
        else:
            slot.pending = False
            if slot.is_long:
                slot.note_length(at_us - started_us)
            stage = Stage.LATE if slot.spoken else Stage.FINAL
        self._deliver(slot, at_us, seen, stage)
        slot.spoken = turn is _Turn.STOPWATCH

    def _deliver(self, slot: Slot, at_us: int, seen: Seen, stage: Stage) -> None:
        latency_us = at_us - slot.started_us
        slow = seen.outcome is Outcome.PASS and latency_us > slot.slo_us
        self._sink(
            ProbeResult(
                slot.spec.id,
                seen.outcome,
                Fault.SLOW if slow else seen.fault,
                latency_us,
                at_us // 1_000,
                slot.started_us // 1_000,
                seen.detail,
                slot.must_fail,
                stage,
            )
        )
