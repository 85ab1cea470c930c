"""Seen traffic of several meters: what one of them cannot say is unknown, never zero."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from siteshift.adapters.memory.traffic import MemoryTrafficMeter
from siteshift.core.messages.events import Event, SeenTraffic, TrafficMeasured
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.ports import Clock, TrafficSample
from siteshift.runtime.clock import SystemClock
from siteshift.runtime.equipment import Metered
from siteshift.runtime.metering import Metering, merge

WEB = ServiceId("web")
P, G = SiteId("pangyo"), SiteId("gasan")
CLOCK = SystemClock()
DEADLINE_S = 30


def metered(name: str, *sites: SiteId, every_ms: int = 20) -> Metered:
    meter = MemoryTrafficMeter([(WEB, site) for site in sites], CLOCK)
    return Metered(id=name, meter=meter, covers=frozenset((WEB, site) for site in sites), every_ms=every_ms)


def sample(site: SiteId, requests: int, window_ms: int = 500) -> TrafficSample:
    return TrafficSample(service=WEB, site=site, at_ms=0, window_ms=window_ms, requests=requests, errors=0)


def told(seen: list[SeenTraffic]) -> dict[str, tuple[int, int]]:
    return {entry.site: (entry.requests, entry.window_ms) for entry in seen}


def test_what_several_load_balancers_saw_is_added_up() -> None:
    meters = [metered("a", P, G), metered("b", P)]
    last = {"a": [sample(P, 10), sample(G, 3)], "b": [sample(P, 5)]}
    assert told(merge(meters, last, {(WEB, P), (WEB, G)})) == {P: (15, 500), G: (3, 500)}


def test_a_place_that_one_of_its_meters_cannot_tell_is_left_out() -> None:
    meters = [metered("a", P, G), metered("b", P)]
    assert told(merge(meters, {"a": [sample(P, 10), sample(G, 3)]}, {(WEB, P), (WEB, G)})) == {G: (3, 500)}


def test_windows_of_different_length_are_brought_to_the_longest() -> None:
    meters = [metered("a", P), metered("b", P)]
    last = {"a": [sample(P, 10, 500)], "b": [sample(P, 40, 2_000)]}
    assert told(merge(meters, last, {(WEB, P)})) == {P: (80, 2_000)}


def test_what_was_answered_is_known_when_every_meter_tells_it() -> None:
    meters = [metered("a", P), metered("b", P)]
    tells = replace(sample(P, 10), answered=8, passed_on=2)
    (known,) = merge(meters, {"a": [tells], "b": [tells]}, {(WEB, P)})
    assert (known.requests, known.answered, known.passed_on) == (20, 16, 4)
    (half,) = merge(meters, {"a": [tells], "b": [sample(P, 5)]}, {(WEB, P)})
    assert (half.answered, half.passed_on) == (None, 2)


class Running:
    """A metering at work, and what it told."""

    def __init__(self, *meters: Metered) -> None:
        self.events: list[TrafficMeasured] = []
        self.errors: list[str] = []
        self.judged: list[SeenTraffic] = []
        self.metering = Metering(
            clock=CLOCK,
            offer=self._take,
            judge=lambda seen, _: self.judged.extend(seen),
            on_error=lambda what, _: self.errors.append(what),
            meters=meters,
        )

    def _take(self, event: Event) -> None:
        assert isinstance(event, TrafficMeasured)
        self.events.append(event)

    async def until(self, holds: Callable[[], object]) -> None:
        """Let it work until this holds."""
        tasks = [asyncio.create_task(self.metering.run()), asyncio.create_task(self.metering.run_looks())]
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not holds():  # noqa: ASYNC110 (the world, not a task, makes it true)
                    await asyncio.sleep(0.005)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def last_sites(self) -> set[str]:
        return {entry.site for entry in self.events[-1].seen} if self.events else set()


async def test_a_meter_that_fails_makes_its_places_unknown_and_is_told_once() -> None:
    one, other = metered("one", P), metered("other", G)
    running = Running(one, other)
    await running.until(lambda: running.last_sites() == {P, G})
    assert isinstance(one.meter, MemoryTrafficMeter)
    one.meter.go("gone")
    await running.until(lambda: running.last_sites() == {G} and len(running.events) > 20)
    assert running.errors == ["traffic meter one"]
    one.meter.go("")
    await running.until(lambda: running.last_sites() == {P, G})


async def test_each_meter_is_asked_in_its_own_time_and_others_may_come() -> None:
    quick, slow = metered("quick", P), metered("slow", G, every_ms=3_600_000)
    running = Running(quick, slow)
    await running.until(lambda: len(running.events) >= 10)
    assert all({entry.site for entry in event.seen} == {P} for event in running.events)
    running.metering.configure([metered("new", G)])
    await running.until(lambda: running.last_sites() == {G})


async def test_two_meters_of_a_place_that_are_asked_by_turns_are_counted_once() -> None:
    """Each told the last window of the other again: of 40 requests/s the core heard 70, twice as often as it takes."""
    now_ms = 0

    class TenAtATime(MemoryTrafficMeter):
        async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:
            return [sample(P, 10)]

    clock = SimpleNamespace(now_ms=lambda: now_ms)
    meters = [replace(metered(name, P), meter=TenAtATime([(WEB, P)], CLOCK)) for name in ("a", "b")]
    running = Running(*meters)
    running.metering.clock = cast(Clock, clock)
    for turn in range(8):
        now_ms = turn * 250
        await running.metering._ask([meters[turn % 2]], now_ms)
    heard = [event.seen[0] for event in running.events]
    assert [(entry.requests, entry.window_ms) for entry in heard] == [(20, 500)] * 3
    for _ in range(4):
        await running.metering._ask([meters[0]], now_ms)
    await running.metering._ask([meters[1]], now_ms)
    assert (running.events[-1].seen[0].requests, running.events[-1].seen[0].window_ms) == (60, 1_500), "one is asked less often"


async def test_a_count_that_nobody_can_serve_is_a_fault_of_the_meter_and_no_demand() -> None:
    """A counter that jumped by 2^64 was demand for minutes, and a dead site kept its share for want of room."""
    one, other = metered("one", P), metered("other", G)
    running = Running(one, other)
    await running.until(lambda: running.last_sites() == {P, G})
    assert isinstance(one.meter, MemoryTrafficMeter)
    one.meter.count(WEB, P, requests=(1 << 64) - 1)
    await running.until(lambda: running.errors)
    assert running.errors == ["traffic meter one"]
    assert all(entry.requests < 1 << 40 for event in running.events for entry in event.seen)
    await running.until(lambda: running.last_sites() == {P, G})


async def test_a_suspicion_has_a_meter_read_at_once_for_the_judge_alone() -> None:
    one, slow = metered("one", P, every_ms=3_600_000), metered("slow", G, every_ms=3_600_000)
    running = Running(one, slow)
    await running.until(lambda: running.metering._last.keys() == {"one", "slow"})
    assert isinstance(one.meter, MemoryTrafficMeter)
    one.meter.count(WEB, P, requests=7)
    running.metering.look([(WEB, P)], 200)
    await running.until(lambda: running.judged)
    assert [(seen.site, seen.requests) for seen in running.judged] == [(P, 7)]
    assert running.events == []


async def test_what_was_read_on_suspicion_is_part_of_the_next_window() -> None:
    one = metered("one", P, every_ms=3_600_000)
    running = Running(one)
    await running.until(lambda: "one" in running.metering._last)
    assert isinstance(one.meter, MemoryTrafficMeter)
    one.meter.count(WEB, P, requests=7)
    running.metering.look([(WEB, P)], 200)
    await running.until(lambda: running.judged)
    one.meter.count(WEB, P, requests=5)
    running.metering._due_ms["one"] = 0
    await running.until(lambda: running.events)
    assert running.events[0].seen[0].requests == 12
    assert [seen.requests for seen in running.judged] == [7, 5], "the judge has each of them once"
    assert running.events[0].seen[0].window_ms >= running.judged[0].window_ms


async def test_a_meter_that_does_not_answer_a_suspicion_is_no_evidence_and_no_alarm() -> None:
    one = metered("one", P, every_ms=3_600_000)
    running = Running(one)
    await running.until(lambda: "one" in running.metering._last)
    assert isinstance(one.meter, MemoryTrafficMeter)
    one.meter.go("gone")
    running.metering.look([(WEB, P)], 200)
    await running.until(lambda: running.metering._read_ms["one"] and not running.metering._wanted)
    assert running.judged == [] and running.errors == []
