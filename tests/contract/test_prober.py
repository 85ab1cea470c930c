"""What every prober keeps to: the live one against real sockets, and its in-memory twin in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from enum import Enum
from itertools import pairwise
from typing import Protocol

import pytest

from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.prober import MemoryProber, Seen
from siteshift.adapters.probes.prober import SocketProber
from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.codes import Fault, Outcome, Stage
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec
from siteshift.core.model.units import ProbeId, TargetId
from siteshift.ports import ProbeResult
from siteshift.runtime.clock import SystemClock

TWIN_EVERY = 4
DEADLINE_S = 60
SLOW_MS = 250
PATIENCE_MS = 10_000
"""A time-out that never strikes where none is wanted."""


class Mood(Enum):
    """How the one target behaves."""

    WELL = "answers 200"
    SICK = "answers 503"
    HANGING = "never answers"
    SLOW = "answers 200 after 250 ms"


def probe(name: str = "p1", **more: object) -> ProbeSpec:
    usual: dict[str, object] = {"interval_ms": 100, "timeout_ms": PATIENCE_MS, "slo_latency_ms": PATIENCE_MS}
    settings: dict[str, object] = {"kind": ProbeKind.HTTP, **usual, **more}
    return ProbeSpec(
        id=ProbeId(name),
        target=TargetId(f"member:web/pangyo/{name}"),
        address="127.0.0.1",
        port=0,
        **settings,  # type: ignore[arg-type]
    )


class Bench(Protocol):
    """A running prober and its target."""

    prober: SocketProber | MemoryProber
    results: list[ProbeResult]
    mood: Mood

    def configure(self, *specs: ProbeSpec) -> None:
        """Configure the prober, with the target's port put in."""

    def now_ms(self) -> int: ...

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until the condition holds."""


class LiveBench:
    """`SocketProber` against a small HTTP server on loopback."""

    def __init__(self) -> None:
        self.mood = Mood.WELL
        self.results: list[ProbeResult] = []
        self._clock = SystemClock()
        self._news = asyncio.Event()
        self._port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self.prober = SocketProber(self._clock, self._sink, limits=ProberLimits(twin_every=TWIN_EVERY), seed=1)

    def _sink(self, result: ProbeResult) -> None:
        """A run in which this machine stood still says nothing of the target, and the prober says so: it does not count."""
        if (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL):
            self.results = [r for r in self.results if (r.probe, r.started_ms) != (result.probe, result.started_ms)]
        else:
            self.results.append(result)
        self._news.set()

    def configure(self, *specs: ProbeSpec) -> None:
        self.prober.configure([_at_port(spec, self._port) for spec in specs])

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.mood is Mood.HANGING:
                return
            if self.mood is Mood.SLOW:
                await asyncio.sleep(SLOW_MS / 1_000)
            well = self.mood is not Mood.SICK and b"/cannot" not in head
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (200 if well else 503))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[LiveBench]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(self.prober.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            server.close()
            for writer in self._writers:
                writer.transport.abort()


class MemoryBench:
    """`MemoryProber` and its clock, moved from one event to the next."""

    def __init__(self) -> None:
        self.mood = Mood.WELL
        self.results: list[ProbeResult] = []
        self._clock = ManualClock(1_700_000_000_000)
        self.prober = MemoryProber(self._clock, self.results.append, self._world, twin_every=TWIN_EVERY, seed=1)

    def _world(self, spec: ProbeSpec, _at_ms: int) -> Seen:
        match self.mood:
            case Mood.HANGING:
                return Seen(latency_us=None)
            case Mood.SLOW:
                return Seen(latency_us=SLOW_MS * 1_000)
            case Mood.WELL if "/cannot" not in spec.http.path:
                return Seen()
            case _:
                return Seen(outcome=Outcome.FAIL, fault=Fault.BAD_STATUS, detail="status 503")

    def configure(self, *specs: ProbeSpec) -> None:
        self.prober.configure(specs)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def until(self, holds: Callable[[], bool]) -> None:
        last_ms = self._clock.now_ms() + DEADLINE_S * 1_000
        while not holds():
            next_ms = self.prober.next_ms()
            assert self._clock.now_ms() < last_ms, f"never came: {self.results[-3:]}"
            self._clock.move_to(max(self._clock.now_ms() + 1, min(next_ms or last_ms, self._clock.now_ms() + 50)))
            self.prober.catch_up()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[MemoryBench]:
        task = asyncio.create_task(self.prober.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _at_port(spec: ProbeSpec, port: int) -> ProbeSpec:
    return replace(spec, port=port)


@pytest.fixture(params=[LiveBench, MemoryBench], ids=["live", "memory"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    made: LiveBench | MemoryBench = request.param()
    async with made.running() as running:
        yield running


def of(bench: Bench, name: str, *, since: int = 0) -> list[ProbeResult]:
    return [result for result in bench.results[since:] if result.probe == name]


async def test_every_probe_is_reported_again_and_again(bench: Bench) -> None:
    bench.configure(probe("p1"), probe("p2", phase_ms=50))
    await bench.until(lambda: len(of(bench, "p1")) >= 3 and len(of(bench, "p2")) >= 3)
    first = of(bench, "p1")[0]
    assert (first.outcome, first.fault, first.stage) == (Outcome.PASS, Fault.NONE, Stage.FINAL)
    assert first.started_ms <= first.at_ms <= bench.now_ms()
    assert not first.must_fail


async def test_results_tell_the_state_of_the_target(bench: Bench) -> None:
    bench.configure(probe())
    await bench.until(lambda: bool(bench.results))
    bench.mood = Mood.SICK
    await bench.until(lambda: bench.results[-1].outcome is Outcome.FAIL)
    assert bench.results[-1].fault is Fault.BAD_STATUS
    bench.mood = Mood.WELL
    await bench.until(lambda: bench.results[-1].outcome is Outcome.PASS)


async def test_a_new_set_replaces_the_old_one(bench: Bench) -> None:
    bench.configure(probe("stays"), probe("goes"))
    await bench.until(lambda: bool(of(bench, "stays")) and bool(of(bench, "goes")))
    bench.configure(probe("stays"), probe("comes"))
    since = len(bench.results)
    await bench.until(lambda: len(of(bench, "comes", since=since)) >= 3 and len(of(bench, "stays", since=since)) >= 3)
    assert not of(bench, "goes", since=since)


async def test_an_unchanged_probe_keeps_the_run_that_is_pending(bench: Bench) -> None:
    bench.mood = Mood.HANGING
    bench.configure(probe("p1", timeout_ms=1_000))
    await bench.until(lambda: bench.prober.pending_ms(ProbeId("p1")) is not None)
    bench.configure(probe("p1", timeout_ms=1_000), probe("p2"))
    await bench.until(lambda: bool(of(bench, "p1")))
    assert of(bench, "p1")[0].fault is Fault.TIMEOUT


async def test_a_changed_probe_drops_the_run_that_is_pending(bench: Bench) -> None:
    bench.mood = Mood.HANGING
    bench.configure(probe("p1"))
    await bench.until(lambda: bench.prober.pending_ms(ProbeId("p1")) is not None)
    bench.mood = Mood.WELL
    bench.configure(probe("p1", http=HttpCheck(path="/other")))
    await bench.until(lambda: bool(of(bench, "p1")))
    assert of(bench, "p1")[0].outcome is Outcome.PASS


async def test_two_probes_with_one_id_are_refused_and_change_nothing(bench: Bench) -> None:
    bench.configure(probe("p1"))
    with pytest.raises(ValueError, match="same id"):
        bench.configure(probe("p2"), probe("p2"))
    await bench.until(lambda: bool(bench.results))
    assert {result.probe for result in bench.results} == {"p1"}


async def test_silence_becomes_a_timeout(bench: Bench) -> None:
    bench.mood = Mood.HANGING
    bench.configure(probe(timeout_ms=80))
    await bench.until(lambda: len(bench.results) >= 2)
    assert {(r.outcome, r.fault, r.stage) for r in bench.results} == {(Outcome.FAIL, Fault.TIMEOUT, Stage.FINAL)}
    assert all(result.latency_us >= 60_000 for result in bench.results), "lag, a quarter at most, is taken off"


async def test_a_slow_target_has_one_run_at_a_time(bench: Bench) -> None:
    bench.mood = Mood.SLOW
    bench.configure(probe(interval_ms=50))
    await bench.until(lambda: len(bench.results) >= 4)
    runs = sorted((result.started_ms, result.at_ms) for result in bench.results)
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(runs))


async def test_a_hanging_probe_speaks_before_its_timeout_and_is_counted_once(bench: Bench) -> None:
    bench.mood = Mood.HANGING
    bench.configure(probe(timeout_ms=1_000, stopwatch_ms=150))
    await bench.until(lambda: len(spoken_twice(bench)) >= 2)
    for early, late in spoken_twice(bench):
        assert (early.stage, early.outcome, early.fault) == (Stage.EARLY, Outcome.FAIL, Fault.TIMEOUT)
        assert early.latency_us >= 110_000, "lag, a quarter at most, is taken off"
        assert (late.stage, late.outcome, late.fault) == (Stage.LATE, Outcome.FAIL, Fault.TIMEOUT)


async def test_a_slow_answer_after_the_stopwatch_comes_late_with_its_true_latency(bench: Bench) -> None:
    bench.mood = Mood.SLOW
    bench.configure(probe(interval_ms=500, stopwatch_ms=50))
    await bench.until(lambda: bool(spoken_twice(bench)))
    early, late = spoken_twice(bench)[0]
    assert (early.stage, early.outcome) == (Stage.EARLY, Outcome.FAIL)
    assert (late.stage, late.outcome) == (Stage.LATE, Outcome.PASS)
    assert late.latency_us >= SLOW_MS * 750


def spoken_twice(bench: Bench) -> list[tuple[ProbeResult, ...]]:
    """The runs with more than one result. A stopwatch that ran out while this machine stood still says nothing."""
    runs: dict[int, tuple[ProbeResult, ...]] = {}
    for result in bench.results:
        runs[result.started_ms] = (*runs.get(result.started_ms, ()), result)
    assert all(len(run) <= 2 for run in runs.values())
    return [run for run in runs.values() if len(run) == 2]


async def test_an_answer_before_the_stopwatch_is_final(bench: Bench) -> None:
    bench.configure(probe(stopwatch_ms=5_000))
    await bench.until(lambda: len(bench.results) >= 3)
    assert {result.stage for result in bench.results} == {Stage.FINAL}


async def test_a_stopwatch_may_be_set_while_running(bench: Bench) -> None:
    bench.configure(probe(timeout_ms=2_000))
    await bench.until(lambda: bool(bench.results))
    bench.prober.set_stopwatch([ProbeId("p1")], 100)
    bench.mood = Mood.HANGING
    await bench.until(lambda: bench.results[-1].stage is Stage.EARLY)


async def test_hastened_probes_run_faster_until_their_time_is_over(bench: Bench) -> None:
    bench.configure(probe("fast", interval_ms=1_000), probe("steady", interval_ms=1_000))
    await bench.until(lambda: bool(of(bench, "fast")) and bool(of(bench, "steady")))
    since = len(bench.results)
    until_ms = bench.now_ms() + 2_000
    bench.prober.hasten([ProbeId("fast"), ProbeId("unknown")], 50, until_ms)
    await bench.until(lambda: bench.now_ms() >= until_ms + 100)
    quick = [result for result in of(bench, "fast", since=since) if result.started_ms <= until_ms]
    assert len(quick) >= 8, "40 on an idle machine"
    assert len(of(bench, "steady", since=since)) <= 4
    since = len(bench.results)
    await bench.until(lambda: len(of(bench, "steady", since=since)) >= 3)
    assert len(of(bench, "fast", since=since)) <= 6


async def test_haste_is_ended_by_an_instant_gone_by(bench: Bench) -> None:
    bench.configure(probe("fast", interval_ms=500), probe("steady", interval_ms=500))
    await bench.until(lambda: bool(of(bench, "fast")))
    bench.prober.hasten([ProbeId("fast")], 50, bench.now_ms() + 60_000)
    await bench.until(lambda: len(of(bench, "fast")) >= 5)
    bench.prober.hasten([ProbeId("fast")], 50, bench.now_ms())
    since = len(bench.results)
    await bench.until(lambda: len(of(bench, "steady", since=since)) >= 4)
    assert len(of(bench, "fast", since=since)) <= 8


async def test_haste_survives_a_new_set(bench: Bench) -> None:
    bench.configure(probe("fast", interval_ms=1_000), probe("steady", interval_ms=1_000))
    await bench.until(lambda: bool(of(bench, "fast")))
    bench.prober.hasten([ProbeId("fast")], 50, bench.now_ms() + 60_000)
    bench.configure(probe("fast", interval_ms=1_000), probe("steady", interval_ms=1_000), probe("new"))
    since = len(bench.results)
    await bench.until(lambda: len(of(bench, "steady", since=since)) >= 2)
    assert len(of(bench, "fast", since=since)) >= 8


async def test_while_hastened_a_hanging_run_is_waited_for_and_no_second_one_is_in_flight(bench: Bench) -> None:
    bench.mood = Mood.HANGING
    bench.configure(probe("p1", interval_ms=1_000, timeout_ms=600, stopwatch_ms=100))
    await bench.until(lambda: bool(bench.results))
    bench.prober.hasten([ProbeId("p1")], 200, bench.now_ms() + 60_000)
    await bench.until(lambda: len(bench.results) >= 7)
    started = sorted({result.started_ms for result in bench.results})
    assert all(later - earlier >= 590 for earlier, later in pairwise(started))


async def test_a_probe_is_hastened_to_a_fifth_of_its_own_interval_and_no_further(bench: Bench) -> None:
    bench.configure(probe("rare", interval_ms=2_000), probe("often", interval_ms=250))
    bench.prober.hasten([ProbeId("rare"), ProbeId("often")], 50, bench.now_ms() + 60_000)
    await bench.until(lambda: len(of(bench, "rare")) >= 4)
    started = [result.started_ms for result in of(bench, "rare")]
    assert min(later - earlier for earlier, later in pairwise(started)) >= 300, "400 ms, less what a start may be late"
    assert len(of(bench, "often")) >= 2 * len(of(bench, "rare"))


async def test_a_journey_is_hastened_no_further_than_it_took_lately(bench: Bench) -> None:
    bench.mood = Mood.SLOW
    bench.configure(probe("trip", kind=ProbeKind.JOURNEY, interval_ms=1_000, timeout_ms=900))
    await bench.until(lambda: bool(of(bench, "trip")))
    bench.prober.hasten([ProbeId("trip")], 50, bench.now_ms() + 60_000)
    since = len(bench.results)
    await bench.until(lambda: len(of(bench, "trip", since=since)) >= 4)
    started = [result.started_ms for result in of(bench, "trip", since=since)]
    assert min(later - earlier for earlier, later in pairwise(started)) >= SLOW_MS


async def test_without_a_latency_objective_no_pass_is_slow(bench: Bench) -> None:
    bench.mood = Mood.SLOW
    bench.configure(probe(interval_ms=500, slo_latency_ms=0))
    await bench.until(lambda: len(bench.results) >= 2)
    assert {(result.outcome, result.fault) for result in bench.results} == {(Outcome.PASS, Fault.NONE)}


async def test_the_twin_runs_now_and_then_and_says_so(bench: Bench) -> None:
    bench.configure(probe(twin=HttpCheck(path="/cannot")))
    await bench.until(lambda: sum(result.must_fail for result in bench.results) >= 2)
    for result in bench.results:
        assert result.outcome is (Outcome.FAIL if result.must_fail else Outcome.PASS)
    assert sum(not result.must_fail for result in bench.results) >= TWIN_EVERY


async def test_a_twin_that_passes_is_delivered_as_it_is(bench: Bench) -> None:
    bench.configure(probe(twin=HttpCheck(path="/this-passes-too")))
    await bench.until(lambda: any(result.must_fail for result in bench.results))
    twin = next(result for result in bench.results if result.must_fail)
    assert twin.outcome is Outcome.PASS


async def test_nothing_pending_is_none(bench: Bench) -> None:
    assert bench.prober.pending_ms(ProbeId("nobody")) is None
    bench.mood = Mood.HANGING
    bench.configure(probe())
    await bench.until(lambda: (bench.prober.pending_ms(ProbeId("p1")) or 0) >= 100)


@pytest.mark.parametrize("kind", [LiveBench, MemoryBench])
async def test_a_cancelled_prober_says_no_more(kind: type[LiveBench] | type[MemoryBench]) -> None:
    bench = kind()
    async with bench.running():
        bench.configure(probe())
        await bench.until(lambda: bool(bench.results))
    said = len(bench.results)
    async with kind().running() as other:
        other.configure(probe())
        await other.until(lambda: len(other.results) >= 3)
    assert len(bench.results) == said
