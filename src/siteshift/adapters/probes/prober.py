"""The live `ports.Prober`: one timer starts what is due, one poller hears the answers, queues tell what is overdue.

Rules:

- At most one run of a probe is pending, hastened or not: what was asked of a target is still work for it after we stopped
  listening. A run that becomes due meanwhile is skipped and counted.
- A probe is hastened as far as its own interval and its length allow (`Slot.pace_us`).
- A run with a stopwatch is reported `Stage.EARLY` (fail, timeout) once it has been pending that long; how it ends
  after all comes as `Stage.LATE`. Early counts, late does not: each run is counted once.
- Unknown is not down: a run that timed out while our own loop lagged, in all, for more than a quarter of that time is
  `lost`, and its stopwatch says nothing. Passes have the lag taken off their latency. What was received is evidence
  all the same: a refusal is a refusal, however late we read it.
- A pass slower than `ProbeSpec.slo_latency_ms` is a pass with `Fault.SLOW`; the detail of a pass is a warning.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic_ns

from siteshift.adapters.probes.carriers import carrier_for
from siteshift.adapters.probes.datagram import DatagramSockets
from siteshift.adapters.probes.deadlines import Deadlines
from siteshift.adapters.probes.lateness import Lateness
from siteshift.adapters.probes.poller import Poller
from siteshift.adapters.probes.schedule import Schedule
from siteshift.adapters.probes.slot import PASSED, Slot, Verdict, failed, lost
from siteshift.adapters.probes.twin import twin_of
from siteshift.adapters.probes.workbench import ProberLimits, Workbench
from siteshift.core.model.codes import Fault, Outcome, Stage
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.units import ProbeId
from siteshift.ports import Clock, ProbeResult, ProbeSink

LEAST_SLEEP_US = 1_000
"""uvloop's clock ticks in whole milliseconds; starts that fall into one tick are made together."""

HEARTBEAT_US = 50_000
"""The timer fires at least this often, so that a standstill of the loop is noticed."""

LAG_FLOOR_US = 10_000
"""Later than this is lag: a clock that ticks in milliseconds, a batch of starts and one of answers explain the rest."""

LAG_PARTS = 4
"""A time-out of which more than a quarter was lag says more about us than about the target."""

# Names of the module cost a tenth of an enum's member in Python 3.11; `_deliver` runs 15,000 times a second.
_PASS, _NONE = Outcome.PASS, Fault.NONE
_result = ProbeResult._make
_FINAL, _LATE = Stage.FINAL, Stage.LATE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProberFigures:
    """Counters since the start, for metrics. ``skipped``: due while the run before was still pending."""

    started: int
    skipped: int
    missed_laps: int
    stalls: int
    pending: int
    sockets_open: int
    late_p50_us: int
    late_p99_us: int
    late_worst_us: int


def settle_heap() -> None:
    """Take what exists now out of the garbage collector's rounds: call once, after start (see limits.md: latency)."""
    gc.collect()
    gc.freeze()


class SocketProber:
    """Probes real targets. `configure`, `hasten` and `set_stopwatch` may be called before and during `run`."""

    def __init__(
        self,
        clock: Clock,
        sink: ProbeSink,
        *,
        limits: ProberLimits | None = None,
        seed: int | None = None,
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._limits = limits or ProberLimits()
        self._seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self._slots: dict[ProbeId, Slot] = {}
        self._twins: dict[ProbeId, Slot] = {}
        self._specs: tuple[ProbeSpec, ...] = ()
        self._schedule: Schedule[Slot] = Schedule(origin_us=monotonic_ns() // 1_000, seed=self._seed)
        self._deadlines = Deadlines()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._bench: Workbench | None = None
        self._disposal: list[Callable[[], Awaitable[None]]] = []
        self._timer: asyncio.Handle | None = None
        self._wake_us = 0
        self._lag_us = 0
        self._offset_us = 0
        self._started = self._skipped = self._stalls = 0
        self.lateness = Lateness()

    # ---- ports.Prober

    def configure(self, specs: Sequence[ProbeSpec]) -> None:
        """Replace the whole set. Unchanged specs keep phase, connection, sprint and the run in flight.

        A removed or changed probe's run in flight is dropped without a result. Raises ValueError for two probes
        with one id, before anything is changed.
        """
        if len({spec.id for spec in specs}) != len(specs):
            raise ValueError("two probes have the same id")
        self._specs = tuple(specs)
        if self._bench is not None:
            self._install()

    def hasten(self, probes: Sequence[ProbeId], interval_ms: int, until_ms: int) -> None:
        """Probe these at ``interval_ms`` until ``until_ms`` of siteshift time; a time gone by ends it.

        Each of them no faster than `Slot.pace_us` allows. Unknown ids are ignored: the set may have been replaced meanwhile.
        At most two minutes at a time.
        """
        if self._bench is None:
            return
        now_us = monotonic_ns() // 1_000
        until_us = until_ms * 1_000 - self._offset_us
        for probe in probes:
            slot = self._slots.get(probe)
            if slot is not None:
                pace_us = slot.pace_us(interval_ms * 1_000)
                self._schedule.hasten(slot, interval_us=pace_us, until_us=until_us, now_us=now_us)
        self._rearm(now_us)

    async def run(self) -> None:
        """Probe until cancelled. Everything opened is closed on the way out."""
        loop = asyncio.get_running_loop()
        poller = Poller(loop, self._limits.turn_us)
        datagrams = DatagramSockets(poller, self._limits.turn_messages)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._loop, self._tasks = loop, tasks
                self._offset_us = self._clock.now_ms() * 1_000 - monotonic_ns() // 1_000
                self._bench = Workbench(
                    poller=poller,
                    datagrams=datagrams,
                    limits=self._limits,
                    finish=self._finish,
                    spawn=self._spawn,
                    dispose=self._disposal.append,
                    socket_limit=self._limits.socket_limit,
                )
                self._install()
                try:
                    await loop.create_future()
                finally:
                    self._stop()  # before the group ends: it takes no new tasks while it waits for the old ones
        finally:
            await self._dispose()
            datagrams.close()
            poller.close()

    # ---- beyond the port

    def set_stopwatch(self, probes: Sequence[ProbeId], stopwatch_ms: int) -> None:
        """From their next run on, these probes speak early after ``stopwatch_ms`` (0: never)."""
        for probe in probes:
            if slot := self._slots.get(probe):
                slot.watch(stopwatch_ms)

    def pending_ms(self, probe: ProbeId) -> int | None:
        """How long the probe's present run has been pending; None when none is."""
        slot = self._slots.get(probe)
        if slot is None or not slot.pending:
            return None
        return (monotonic_ns() // 1_000 - slot.started_us) // 1_000

    def late_starts(self) -> Iterable[tuple[int, int]]:
        """How late probes were started since the last call."""
        return self.lateness.news()

    def figures(self) -> ProberFigures:
        return ProberFigures(
            started=self._started,
            skipped=self._skipped,
            missed_laps=self._schedule.missed_laps,
            stalls=self._stalls,
            pending=sum(slot.pending for slot in (*self._slots.values(), *self._twins.values())),
            sockets_open=self._bench.sockets_open if self._bench else 0,
            late_p50_us=self.lateness.quantile_us(500),
            late_p99_us=self.lateness.quantile_us(990),
            late_worst_us=self.lateness.worst_us,
        )

    # ---- the set

    def _install(self) -> None:
        wanted = {spec.id: spec for spec in self._specs}
        twins = {spec.id: twin for spec in self._specs if (twin := twin_of(spec, self._limits.twin_every))}
        self._slots = self._matched(self._slots, wanted)
        self._twins = self._matched(self._twins, twins)
        for slot in self._twins.values():
            slot.must_fail = True
        if self._disposal:
            self._spawn(self._dispose(), "probes: let go")
        self._deadlines.tidy()
        now_us = monotonic_ns() // 1_000
        self._schedule.replace((*self._slots.values(), *self._twins.values()), now_us)
        self._rearm(now_us)

    @staticmethod
    def _matched(present: dict[ProbeId, Slot], wanted: dict[ProbeId, ProbeSpec]) -> dict[ProbeId, Slot]:
        """Slots for the wanted specs: the present one where the spec is unchanged, a new one elsewhere."""
        for probe, slot in present.items():
            if wanted.get(probe) != slot.spec:
                slot.close()
        slots: dict[ProbeId, Slot] = {}
        for probe, spec in wanted.items():
            old = present.get(probe)
            if old is not None and old.spec == spec:
                slots[probe] = old
                continue
            slots[probe] = Slot(spec)
        return slots

    async def _dispose(self) -> None:
        """Let go of what closed visits kept (channels, sessions)."""
        while self._disposal:
            close = self._disposal.pop()
            try:
                await close()
            except Exception as problem:  # a library's: nothing depends on a channel that is given up
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a probe's connection did not close", "exception": problem}
                )

    def _stop(self) -> None:
        """Start nothing more, close everything, say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for slot in (*self._slots.values(), *self._twins.values()):
            slot.close()
        self._slots, self._twins = {}, {}
        self._bench = self._tasks = self._loop = None

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        assert self._tasks is not None
        return self._tasks.create_task(work, name=name)

    # ---- the timer

    def _rearm(self, now_us: int) -> None:
        """Wake at the next start or deadline."""
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._note_lag(now_us)  # whoever calls may be sooner than a timer that is late
        wake_us = now_us + HEARTBEAT_US
        for next_us in (self._schedule.next_us(), self._deadlines.next_us()):
            if next_us is not None and next_us < wake_us:
                wake_us = next_us
        self._wake_us = max(wake_us, now_us + LEAST_SLEEP_US)
        self._timer = self._loop.call_later((self._wake_us - now_us) / 1e6, self._tick)

    def _tick(self) -> None:
        now_us = monotonic_ns() // 1_000
        self._note_lag(now_us)
        due: list[tuple[int, Slot]] = []
        try:
            self._expire(now_us)
            due = self._schedule.take(now_us, self._limits.batch)
            self._start(due)
        finally:
            if len(due) >= self._limits.batch and self._loop is not None:
                self._wake_us = monotonic_ns() // 1_000
                self._timer = self._loop.call_soon(self._tick)
            else:
                self._rearm(monotonic_ns() // 1_000)

    def _note_lag(self, now_us: int) -> None:
        late_us = now_us - self._wake_us
        self._wake_us = now_us
        if late_us > LAG_FLOOR_US:
            self._lag_us += late_us
            self._stalls += late_us > self._limits.stall_ms * 1_000

    def _lag_within(self, slot: Slot, now_us: int) -> int:
        """How long our loop lagged since the run started, the lag included that the timer has yet to notice."""
        unseen_us = now_us - self._wake_us
        return self._lag_us - slot.lag_us + (unseen_us if unseen_us > LAG_FLOOR_US else 0)

    def _start(self, due: list[tuple[int, Slot]]) -> None:
        """Start a batch. One function, and few calls in it: it runs 15,000 times a second."""
        late, expire = self.lateness.add, self._deadlines.add
        for due_us, slot in due:
            carrier = slot.carrier
            if carrier is None:
                assert self._bench is not None
                carrier = slot.carrier = carrier_for(slot, self._bench)
            if slot.pending:
                self._skipped += 1
                continue
            now_us = monotonic_ns() // 1_000
            self._started += 1
            late(now_us - due_us)
            slot.pending = True
            slot.spoken = False
            slot.started_us = now_us
            slot.lag_us = self._lag_us
            slot.watched = slot.watches
            expire(slot.first_us, slot, now_us)
            carrier.start()

    # ---- verdicts

    def _expire(self, now_us: int) -> None:
        overdue = self._deadlines.expired(now_us)
        if not overdue:
            return
        if self._bench is not None:
            self._bench.poller.drain_all()  # an answer that waits for us is an answer, however late we are
        for slot, started_us in overdue:
            if not slot.pending or slot.started_us != started_us:
                continue
            if slot.watched:
                self._speak_early(slot, now_us)
            else:
                self._time_out(slot)

    def _speak_early(self, slot: Slot, now_us: int) -> None:
        """The stopwatch ran out: say so, and wait for the rest of the time."""
        slot.watched = False
        slot.line.pop(slot, None)
        self._deadlines.add(slot.timeout_us - slot.stopwatch_us, slot, now_us)
        if self._lag_within(slot, now_us) * LAG_PARTS <= slot.stopwatch_us:
            detail = f"still no answer after {slot.stopwatch_us // 1_000} ms"
            self._deliver(slot, failed(Fault.TIMEOUT, detail), now_us, Stage.EARLY)
            slot.spoken = True

    def _time_out(self, slot: Slot) -> None:
        if slot.carrier is not None:
            slot.carrier.abort()
        self._finish(slot, failed(Fault.TIMEOUT, f"no answer in {slot.timeout_us // 1_000} ms"))

    def _finish(self, slot: Slot, verdict: Verdict) -> None:
        """The run ended (called by carriers, once a run). Nearly always it is a plain pass: that way is short."""
        if not slot.pending:
            return
        slot.pending = False
        slot.line.pop(slot, None)
        bench = self._bench
        now_us = (bench.poller.collected_us if bench else 0) or monotonic_ns() // 1_000
        started_us = slot.started_us
        latency_us = now_us - started_us
        if slot.is_long:
            slot.note_length(latency_us)
        if verdict is not PASSED or slot.spoken or latency_us > slot.slo_us or slot.lag_us != self._lag_us:
            self._deliver(slot, verdict, now_us, _LATE if slot.spoken else _FINAL)
            return
        offset_us = self._offset_us
        at_ms, started_ms = (now_us + offset_us) // 1_000, (started_us + offset_us) // 1_000
        self._sink(_result((slot.id, _PASS, _NONE, latency_us, at_ms, started_ms, "", slot.must_fail, _FINAL)))

    def _deliver(self, slot: Slot, verdict: Verdict, now_us: int, stage: Stage) -> None:
        lag_us = self._lag_within(slot, now_us)
        latency_us = max(now_us - slot.started_us - lag_us, 0)
        outcome, fault, detail = verdict
        if fault is Fault.TIMEOUT and stage is not Stage.EARLY and lag_us * LAG_PARTS > slot.timeout_us:
            outcome, fault, detail = lost(f"{detail}, but our own loop lagged for {lag_us // 1_000} ms")
        if outcome is _PASS and latency_us > slot.slo_us:
            fault = Fault.SLOW
        offset_us = self._offset_us
        at_ms, started_ms = (now_us + offset_us) // 1_000, (slot.started_us + offset_us) // 1_000
        self._sink(ProbeResult(slot.id, outcome, fault, latency_us, at_ms, started_ms, detail, slot.must_fail, stage))
