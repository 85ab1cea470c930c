"""Seen traffic: asks the meters and tells the core what is known.

*Unknown is not zero.* A service's traffic at a site is told only when every meter that measures it has spoken since it was told
last: a load balancer that does not answer may carry anything. What is not told grows old in the core, and unknown there.

Beside its own time a meter is read when a suspicion asks for it (`look`). That reading is for the judge alone; the core hears
it as a part of the next window, which is as long as ever: a rate of some milliseconds is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from siteshift.core.messages.events import Event, SeenTraffic, TrafficMeasured
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import AdapterError, Permanent
from siteshift.ports import Clock, TrafficSample
from siteshift.runtime.equipment import Metered

IDLE_S = 1.0
SHORTEST_MS = 5
"""A meter that is due while it is being read is looked after again so soon."""
LOOK_AGAIN_MS = 20
"""No meter is read again sooner than this."""
MOST_RPS = 10_000_000
"""More than this nobody serves at one site: one HAProxy forwards two million requests a second at best (HAProxy
Technologies, 2021). A counter that jumps further was not counted, and the demand it tells would fill every site for minutes."""
Place = tuple[ServiceId, SiteId]


@dataclass(slots=True, kw_only=True)
class Metering:
    """All meters of a node. `configure` replaces them; `run` asks each in its own time."""

    clock: Clock
    offer: Callable[[Event], None]
    judge: Callable[[Sequence[SeenTraffic], int], None]
    """Takes what was read, and when."""
    on_error: Callable[[str, BaseException], None]
    meters: tuple[Metered, ...] = ()
    _last: dict[str, Sequence[TrafficSample]] = field(default_factory=dict)
    _untold: dict[str, dict[Place, TrafficSample]] = field(default_factory=dict)
    """What each meter counted since its place was told last. Two meters of a place need not be asked at the same time."""
    _due_ms: dict[str, int] = field(default_factory=dict)
    _failing: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _kept: dict[str, list[TrafficSample]] = field(default_factory=dict)
    """What looks have read since the last window, by meter."""
    _busy: set[str] = field(default_factory=set)
    _read_ms: dict[str, int] = field(default_factory=dict)
    _wanted: dict[Place, int] = field(default_factory=dict)
    _looks: asyncio.Event = field(default_factory=asyncio.Event)

    def configure(self, meters: Sequence[Metered]) -> None:
        """Take another set of meters; those that stay keep their time and their last word."""
        before = {entry.id: entry.meter for entry in self.meters}
        self.meters = tuple(meters)
        kept = {entry.id for entry in meters if before.get(entry.id) is entry.meter}
        self._last = {name: samples for name, samples in self._last.items() if name in kept}
        self._untold = {name: counts for name, counts in self._untold.items() if name in kept}
        self._due_ms = {name: at_ms for name, at_ms in self._due_ms.items() if name in kept}
        self._failing &= kept
        self._kept = {name: samples for name, samples in self._kept.items() if name in kept}
        self._news.set()

    async def run(self) -> None:
        """Ask whatever is due, until cancelled."""
        while True:
            now_ms = self.clock.now_ms()
            due = [entry for entry in self.meters if self._due_ms.get(entry.id, 0) <= now_ms and entry.id not in self._busy]
            if due:
                await self._ask(due, now_ms)
                continue
            next_ms = min((self._due_ms.get(entry.id, now_ms) for entry in self.meters), default=None)
            self._news.clear()
            wait_s = IDLE_S if next_ms is None else max(SHORTEST_MS, next_ms - now_ms) / 1_000
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _ask(self, due: Sequence[Metered], now_ms: int) -> None:
        for entry in due:
            self._due_ms[entry.id] = now_ms + entry.every_ms
        results = await self._sample([(entry, entry.timeout_ms) for entry in due])
        said: dict[str, Sequence[TrafficSample]] = {}
        for entry, result in zip(due, results, strict=True):
            if entry not in self.meters:
                continue
            if isinstance(result, BaseException):
                self._failed(entry, result)
            elif (odd := next((sample for sample in result if _is_beyond_belief(sample)), None)) is not None:
                self._failed(entry, Permanent(_words(odd), system=entry.id, operation="count traffic"))
            else:
                self._failing.discard(entry.id)
                said[entry.id] = result
                self._last[entry.id] = _together(self._kept.pop(entry.id, []), result)
                self._untold[entry.id] = _added(self._untold.get(entry.id, {}), self._last[entry.id])
        places = {place for entry in due for place in entry.covers}
        if read := merge(self.meters, said, places):
            self.judge(read, self.clock.now_ms())
        seen = tuple(told for place in sorted(places) if (told := self._told(place)) is not None)
        if seen:
            self.offer(TrafficMeasured(at_ms=self.clock.now_ms(), seen=seen))

    def _told(self, place: Place) -> SeenTraffic | None:
        """What all meters of a place counted since it was told last; None while one has yet to speak, or says nothing of it."""
        here = [entry.id for entry in self.meters if place in entry.covers]
        counts = [self._untold.get(name, {}).get(place) for name in here]
        if None in counts and all(any((s.service, s.site) == place for s in self._last.get(name, ())) for name in here):
            return None
        for name in here:
            self._untold.get(name, {}).pop(place, None)
        known = [count for count in counts if count is not None]
        return _sum(place, known) if len(known) == len(here) else None

    async def _sample(self, asked: Sequence[tuple[Metered, int]]) -> list[Sequence[TrafficSample] | BaseException]:
        """Ask these meters, each with its deadline in ms. One call of a meter at a time: its window ends with the call."""
        names = {entry.id for entry, _ in asked}
        self._busy |= names
        try:
            calls = (entry.meter.sample(deadline_ms=deadline_ms) for entry, deadline_ms in asked)
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            self._busy -= names
            self._read_ms.update(dict.fromkeys(names, self.clock.now_ms()))

    # -- on suspicion ---------------------------------------------------------------------------------------------

    def look(self, places: Iterable[Place], deadline_ms: int) -> None:
        """Have the meters of these places read at once (`run_looks` does it). Never blocks."""
        self._wanted.update(dict.fromkeys(places, deadline_ms))
        self._looks.set()

    async def run_looks(self) -> None:
        """Read what is asked for, until cancelled. A meter that is being read is not read again for it."""
        while True:
            await self._looks.wait()
            self._looks.clear()
            wanted, self._wanted = self._wanted, {}
            asked = [
                (entry, min(entry.timeout_ms, *(wanted[place] for place in here)))
                for entry in self.meters
                if (here := entry.covers & wanted.keys())
                and entry.id in self._last
                and entry.id not in self._busy
            ]
            if asked:
                last_ms = max(self._read_ms.get(entry.id, 0) for entry, _ in asked)
                await asyncio.sleep(max(0, last_ms + LOOK_AGAIN_MS - self.clock.now_ms()) / 1_000)
                asked = [one for one in asked if one[0].id not in self._busy]
                await self._look(asked, wanted.keys())

    async def _look(self, asked: Sequence[tuple[Metered, int]], places: Iterable[Place]) -> None:
        """One reading for the judge. What fails here is no news: the meter is asked again in its own time."""
        said: dict[str, Sequence[TrafficSample]] = {}
        for (entry, _), result in zip(asked, await self._sample(asked), strict=True):
            if isinstance(result, BaseException):
                if not isinstance(result, AdapterError):
                    raise result
            elif entry in self.meters and not any(_is_beyond_belief(sample) for sample in result):
                said[entry.id] = result
                self._kept[entry.id] = _together(self._kept.get(entry.id, []), result)
        seen = merge(self.meters, said, places)
        if seen:
            self.judge(seen, self.clock.now_ms())

    def _failed(self, entry: Metered, error: BaseException) -> None:
        """Forget what it said last; tell people once, not twice a second."""
        self._last.pop(entry.id, None)
        self._untold.pop(entry.id, None)
        self._kept.pop(entry.id, None)
        if entry.id not in self._failing:
            self._failing.add(entry.id)
            self.on_error(f"traffic meter {entry.id}", error)
        if not isinstance(error, AdapterError):
            raise error


def _together(before: Sequence[TrafficSample], after: Sequence[TrafficSample]) -> list[TrafficSample]:
    """Two windows, one after the other, as one."""
    known = {(sample.service, sample.site): sample for sample in before}
    return [_joined(known.get((sample.service, sample.site)), sample) for sample in after]


def _added(before: dict[Place, TrafficSample], after: Sequence[TrafficSample]) -> dict[Place, TrafficSample]:
    """What was counted with what is counted now. A place that is not spoken of is not known any more."""
    return {(sample.service, sample.site): _joined(before.get((sample.service, sample.site)), sample) for sample in after}


def _joined(before: TrafficSample | None, after: TrafficSample) -> TrafficSample:
    if before is None:
        return after
    is_told = before.answered is not None and after.answered is not None
    return replace(
        after,
        window_ms=before.window_ms + after.window_ms,
        requests=before.requests + after.requests,
        errors=before.errors + after.errors,
        answered=(before.answered or 0) + (after.answered or 0) if is_told else None,
        passed_on=before.passed_on + after.passed_on,
    )


def _is_beyond_belief(sample: TrafficSample) -> bool:
    most = MOST_RPS * max(1, sample.window_ms) // 1_000
    return max(sample.requests, sample.errors, sample.answered or 0, sample.passed_on) > most


def _words(sample: TrafficSample) -> str:
    return f"{sample.requests} requests of {sample.service} at {sample.site} in {sample.window_ms} ms: nobody serves so many"


def merge(meters: Iterable[Metered], last: dict[str, Sequence[TrafficSample]], places: Iterable[Place]) -> list[SeenTraffic]:
    """Add up what the meters saw at each place. A place that one of its meters says nothing of is left out.

    Windows may differ: counts are brought to the longest one.
    """
    wanted = sorted(places)
    found: dict[Place, list[TrafficSample]] = {place: [] for place in wanted}
    unknown: set[Place] = set()
    for entry in meters:
        said = {(sample.service, sample.site): sample for sample in last.get(entry.id, ())}
        for place in entry.covers & found.keys():
            sample = said.get(place)
            if sample is None:
                unknown.add(place)
            else:
                found[place].append(sample)
    return [_sum(place, found[place]) for place in wanted if found[place] and place not in unknown]


def _sum(place: Place, samples: Sequence[TrafficSample]) -> SeenTraffic:
    """Several meters' counts, brought to the longest of their windows. One that cannot tell what was answered spoils that."""
    window_ms = max(1, *(sample.window_ms for sample in samples))

    def total(count: Callable[[TrafficSample], int]) -> int:
        return sum(count(sample) * window_ms // max(1, sample.window_ms) for sample in samples)

    is_told = all(sample.answered is not None for sample in samples)
    return SeenTraffic(
        service=place[0],
        site=place[1],
        window_ms=window_ms,
        requests=total(lambda sample: sample.requests),
        errors=total(lambda sample: sample.errors),
        answered=total(lambda sample: sample.answered or 0) if is_told else None,
        passed_on=total(lambda sample: sample.passed_on),
    )
