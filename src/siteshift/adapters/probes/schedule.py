"""When each probe starts: static phases, a little jitter, and sprints for what is being confirmed. No clock, no loop.

All times are monotonic microseconds. Entries of one interval form a *lane*: sorted by phase once, then walked round
and round by a cursor, so that the next start costs no heap. Start times hang on a fixed origin, not on the start
before: a lane that is rebuilt keeps every phase, and a late start does not push the next one.

Each lap of a lane is moved as a whole by up to 1/`JITTER_PARTS` of its interval. The spacing of a pool's members stays
even, while the lane cannot fall in step with anything periodic at the target. A hastened entry leaves its lane for a
*sprint*: a comb of the shorter interval with its phase scaled down, so that a hastened pool is evenly spread as well.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar

JITTER_PARTS = 50
"""Jitter of a lap: at most 2 % of the interval; phases are compressed by as much, so that laps never overlap."""

MAX_HASTE_US = 120_000_000
"""A sprint ends by itself after two minutes: a caller that forgets cannot keep the load up."""

MIN_INTERVAL_US = 20_000
"""No probe starts more often than every 20 ms, whatever is asked."""


def _mixed(lap: int, seed: int) -> int:
    """32 bits that depend on both and follow no pattern (the finalizer of MurmurHash3)."""
    mixed = (lap * 0x9E3779B1 + seed) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return mixed ^ mixed >> 16


class Entry:
    """One thing to start again and again. ``haste_us`` is 0 while it walks in its lane."""

    __slots__ = ("haste_due_us", "haste_until_us", "haste_us", "interval_us", "phase_us")

    def __init__(self, *, interval_us: int, phase_us: int) -> None:
        self.interval_us = max(interval_us, MIN_INTERVAL_US)
        self.phase_us = phase_us % self.interval_us
        self.haste_us = 0
        self.haste_until_us = 0
        self.haste_due_us = 0


EntryT = TypeVar("EntryT", bound=Entry)


class _Lane(Generic[EntryT]):
    """The entries of one interval. ``next_us`` is when the entry under the cursor is due."""

    __slots__ = (
        "_base_us",
        "_cursor",
        "_entries",
        "_interval_us",
        "_lap",
        "_offsets",
        "_origin_us",
        "_seed",
        "next_us",
    )

    def __init__(self, interval_us: int, entries: list[EntryT], *, origin_us: int, seed: int) -> None:
        entries.sort(key=lambda entry: entry.phase_us)
        self._interval_us = interval_us
        self._entries = entries
        room = interval_us - interval_us // JITTER_PARTS
        self._offsets = [entry.phase_us * room // interval_us for entry in entries]
        self._origin_us = origin_us
        self._seed = seed
        self._lap = self._cursor = self._base_us = self.next_us = 0

    def _start_lap(self, lap: int) -> None:
        span = self._interval_us // JITTER_PARTS
        jitter = (_mixed(lap, self._seed) * span) >> 32
        self._lap = lap
        self._cursor = 0
        self._base_us = self._origin_us + lap * self._interval_us + jitter
        self.next_us = self._base_us + self._offsets[0]

    def seek(self, after_us: int) -> None:
        """Put the cursor on the first start later than ``after_us``."""
        self._start_lap((after_us - self._origin_us) // self._interval_us - 1)
        while self._base_us + self._offsets[-1] <= after_us:
            self._start_lap(self._lap + 1)
        self._cursor = bisect_right(self._offsets, after_us - self._base_us)
        self.next_us = self._base_us + self._offsets[self._cursor]

    def take(self, now_us: int, limit: int, due: list[tuple[int, EntryT]]) -> int:
        """Append up to ``limit`` due entries; how many laps were skipped because nobody asked for longer than one.

        The last lap is made up for: entries whose starts were skipped whenever the process is late would starve.
        """
        longest_us = self._interval_us + self._interval_us // JITTER_PARTS
        missed = (now_us - self.next_us) // longest_us
        if missed > 0:
            self.seek(now_us - longest_us)
        entries, offsets, last = self._entries, self._offsets, len(self._entries)
        while limit > 0 and self.next_us <= now_us:
            entry = entries[self._cursor]
            if not entry.haste_us:
                due.append((self.next_us, entry))
                limit -= 1
            self._cursor += 1
            if self._cursor == last:
                self._start_lap(self._lap + 1)
            else:
                self.next_us = self._base_us + offsets[self._cursor]
        return max(missed, 0)


class Schedule(Generic[EntryT]):
    """All lanes and sprints. `take` hands out what is due, in bounded batches."""

    def __init__(self, *, origin_us: int, seed: int) -> None:
        self._origin_us = origin_us
        self._seed = seed
        self._lanes: list[_Lane[EntryT]] = []
        self._sprints: list[tuple[int, int, EntryT]] = []
        self._pushed = 0
        self.missed_laps = 0

    def replace(self, entries: Iterable[EntryT], now_us: int) -> None:
        """Take over a new set. Entries that were there before keep their phase and their sprint."""
        by_interval: dict[int, list[EntryT]] = {}
        kept: set[int] = set()
        for entry in entries:
            by_interval.setdefault(entry.interval_us, []).append(entry)
            kept.add(id(entry))
        self._lanes = []
        for interval_us, members in by_interval.items():
            lane = _Lane(interval_us, members, origin_us=self._origin_us, seed=self._seed)
            lane.seek(now_us)
            self._lanes.append(lane)
        self._sprints = [item for item in self._sprints if id(item[2]) in kept]
        heapq.heapify(self._sprints)

    def hasten(self, entry: EntryT, *, interval_us: int, until_us: int, now_us: int) -> None:
        """Start ``entry`` every ``interval_us`` until ``until_us``; an instant in the past ends a sprint.

        A call during a sprint prolongs it (or changes its pace). An interval not shorter than the entry's own
        ends the sprint as well.
        """
        interval_us = max(interval_us, MIN_INTERVAL_US)
        until_us = min(until_us, now_us + MAX_HASTE_US)
        if until_us <= now_us or interval_us >= entry.interval_us:
            entry.haste_us = 0
            return
        entry.haste_until_us = until_us
        if entry.haste_us != interval_us:
            entry.haste_us = interval_us
            self._push(entry, now_us)

    def _push(self, entry: EntryT, after_us: int) -> None:
        """Put the entry on the first tooth of its comb later than ``after_us``."""
        pace = entry.haste_us
        tooth = self._origin_us + entry.phase_us * pace // entry.interval_us
        entry.haste_due_us = tooth + ((after_us - tooth) // pace + 1) * pace
        self._pushed += 1
        heapq.heappush(self._sprints, (entry.haste_due_us, self._pushed, entry))

    def next_us(self) -> int | None:
        """When something is due next; None when there is nothing."""
        first = min((lane.next_us for lane in self._lanes), default=None)
        if self._sprints and (first is None or self._sprints[0][0] < first):
            return self._sprints[0][0]
        return first

    def take(self, now_us: int, limit: int) -> list[tuple[int, EntryT]]:
        """Up to ``limit`` entries due by now, each with the time it was due. Call again while it is full."""
        due: list[tuple[int, EntryT]] = []
        if self._sprints and self._sprints[0][0] <= now_us:
            self._take_sprints(now_us, limit, due)
        for lane in self._lanes:
            if lane.next_us <= now_us:
                self.missed_laps += lane.take(now_us, limit - len(due), due)
        return due

    def _take_sprints(self, now_us: int, limit: int, due: list[tuple[int, EntryT]]) -> None:
        sprints = self._sprints
        while sprints and len(due) < limit and sprints[0][0] <= now_us:
            due_us, _, entry = heapq.heappop(sprints)
            if not entry.haste_us or entry.haste_due_us != due_us:
                continue
            due.append((due_us, entry))
            self._push(entry, max(due_us, now_us - entry.haste_us))
            if entry.haste_due_us > entry.haste_until_us:
                entry.haste_us = 0
