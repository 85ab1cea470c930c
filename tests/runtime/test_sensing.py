"""A node's senses: how it hastens what it suspects, and that slow is not silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from core.judge.cases import PANGYO, SITES, WEB, deployment
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.prober import MemoryProber, Seen
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Outcome, Stage
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import ProbeId, VantageId
from siteshift.ports import ProbeResult
from siteshift.runtime.sensing import Sensing

START_MS = 1_700_000_000_000
JUDGE = JudgePolicy()
CAPACITY_RPS = next(iter(deployment().members.values())).capacity_rps


class Senses:
    """A node's sensing in virtual time, against a world that is a function."""

    def __init__(self, topology: Topology, *specs: ProbeSpec) -> None:
        self.clock = ManualClock(START_MS)
        self.answer: Callable[[ProbeSpec], Seen] = lambda _: Seen()
        self.results: list[ProbeResult] = []
        self.sensing = Sensing(
            clock=self.clock,
            judge=JUDGE,
            topology=topology,
            observer=Observer(topology, JUDGE, VantageId("c1"), None),
            offer=lambda _: None,
            on_result=self.results.append,
        )
        self.prober = MemoryProber(self.clock, self.sensing.sink, lambda spec, _: self.answer(spec))
        self.sensing.prober = self.prober
        self.sensing.configure(specs, ())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Senses]:
        task = asyncio.create_task(self.prober.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def run(self, ms: int) -> list[ProbeResult]:
        """Let time pass, 50 ms at a time; what was found meanwhile."""
        since = len(self.results)
        for _ in range(ms // 50):
            self.clock.advance(50)
            self.prober.catch_up()
            self.sensing.observer.tick(self.clock.now_ms())
            self.sensing._keep_hot(self.clock.now_ms())
        return self.results[since:]


def probes(topology: Topology, **more: object) -> list[ProbeSpec]:
    """One check of every member, phases spread."""
    settings: dict[str, object] = {"kind": ProbeKind.HTTP, "interval_ms": 1_000, "timeout_ms": 800, **more}
    return [
        ProbeSpec(
            id=ProbeId(f"{member.id}#health"),
            target=member.target,
            address="127.0.0.1",
            port=1,
            phase_ms=number * 250 % 1_000,
            **settings,  # type: ignore[arg-type]
        )
        for number, member in enumerate(topology.members.values())
    ]


def sick(site: str) -> Callable[[ProbeSpec], Seen]:
    bad = Seen(outcome=Outcome.FAIL, fault=Fault.BAD_STATUS)
    return lambda spec: bad if f"/{site}/" in spec.target else Seen()


def starts(results: list[ProbeResult], part: str) -> int:
    return sum(part in result.probe for result in results)


async def test_an_answer_that_takes_longer_than_the_objective_is_slow_and_not_silent() -> None:
    topology = deployment()
    async with Senses(topology, *probes(topology)).running() as senses:
        senses.answer = lambda _: Seen(latency_us=600_000)
        found = senses.run(3_000)
    assert {(one.outcome, one.fault, one.stage) for one in found} == {(Outcome.PASS, Fault.SLOW, Stage.FINAL)}


async def test_a_stopwatch_that_is_configured_still_speaks_early() -> None:
    topology = deployment()
    async with Senses(topology, *probes(topology, stopwatch_ms=300)).running() as senses:
        senses.answer = lambda _: Seen(latency_us=600_000)
        found = senses.run(3_000)
    assert {one.stage for one in found} == {Stage.EARLY, Stage.LATE}


async def test_what_is_suspected_is_hastened_and_cools_as_soon_as_it_is_not() -> None:
    topology = deployment()
    first = topology.pools[(WEB, PANGYO)].members[0].id
    async with Senses(topology, *probes(topology)).running() as senses:
        senses.run(10_000)
        senses.answer = lambda spec: sick(PANGYO)(spec) if str(first) in spec.target else Seen()
        assert starts(senses.run(2_000), f"/{PANGYO}/") > 2 * 2 * 4, "more than twice the usual"
        senses.answer = lambda _: Seen()
        while senses.sensing.observer.hot_targets():
            senses.run(50)
        assert starts(senses.run(3_000), f"/{PANGYO}/") <= 3 * 4 + 4


async def test_a_heavy_journey_is_hastened_as_far_as_its_members_carry() -> None:
    topology = deployment()
    steps = tuple(HttpCheck(path=f"/{number}") for number in range(CAPACITY_RPS // 15))
    specs = probes(topology, kind=ProbeKind.JOURNEY, steps=steps, interval_ms=1_000)
    async with Senses(topology, *specs).running() as senses:
        senses.run(10_000)
        senses.answer = sick(PANGYO)
        found = senses.run(1_000)
    extra_rps = (starts(found, f"/{PANGYO}/") - 4) * len(steps) / 4
    assert extra_rps <= CAPACITY_RPS / 10 + len(steps) / 4, "a tenth of what a member carries, and a start at the edge"


async def test_a_suspicion_of_one_site_asks_no_sibling_more_than_a_comparison_takes() -> None:
    topology = deployment()
    async with Senses(topology, *probes(topology)).running() as senses:
        senses.run(10_000)
        senses.answer = sick(PANGYO)
        found = senses.run(1_500)
    for site in SITES:
        if site != PANGYO:
            assert starts(found, f"/{site}/") <= 1.5 * 4 + 8
