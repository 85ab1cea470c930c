"""Deadlines of equal length expire in the order in which they were set: one line a length, no heap, no cancelling.

A run that finished leaves its deadline behind; it is dropped when its time comes. A line is three queues and not one of
tuples: 15,000 tuples a second that live for a time-out would keep the garbage collector busy.
"""

from __future__ import annotations

from collections import deque

from siteshift.adapters.probes.slot import Slot


class _Line:
    """The deadlines of one length, in order."""

    __slots__ = ("ends_us", "runs", "slots")

    def __init__(self) -> None:
        self.ends_us: deque[int] = deque()
        self.slots: deque[Slot] = deque()
        self.runs: deque[int] = deque()


class Deadlines:
    """Expires runs after a length of time. All times are monotonic microseconds."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}

    def add(self, length_us: int, slot: Slot, now_us: int) -> None:
        """The slot's present run expires ``length_us`` from now."""
        line = self._lines.get(length_us)
        if line is None:
            line = self._lines[length_us] = _Line()
        line.ends_us.append(now_us + length_us)
        line.slots.append(slot)
        line.runs.append(slot.run)

    def next_us(self) -> int | None:
        """The earliest deadline, of a finished run perhaps."""
        return min((line.ends_us[0] for line in self._lines.values() if line.ends_us), default=None)

    def expired(self, now_us: int) -> list[tuple[Slot, int]]:
        """The slots whose run (given with it) is still pending at its deadline, each once."""
        found: list[tuple[Slot, int]] = []
        for line in self._lines.values():
            ends_us, slots, runs = line.ends_us, line.slots, line.runs
            while ends_us and ends_us[0] <= now_us:
                ends_us.popleft()
                slot, run = slots.popleft(), runs.popleft()
                if slot.pending and slot.run == run:
                    found.append((slot, run))
        return found

    def tidy(self) -> None:
        """Forget lengths that nothing uses any more."""
        self._lines = {length_us: line for length_us, line in self._lines.items() if line.ends_us}
