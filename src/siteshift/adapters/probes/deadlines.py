"""Deadlines of equal length expire in the order in which they were set: one line a length, no heap.

A line is a dictionary used as a queue (dictionaries keep their order): a run that finishes takes its deadline out, so that
a line holds what is pending and nothing else. Leaving it in until its time comes costs more: by then, 7,000 probes later,
its slot has left the processor's cache.
"""

from __future__ import annotations

from siteshift.adapters.probes.slot import Slot


class Deadlines:
    """Expires pending runs after a length of time. All times are monotonic microseconds."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, dict[Slot, int]] = {}

    def add(self, length_us: int, slot: Slot, now_us: int) -> None:
        """The slot's present run expires ``length_us`` from now. It has no other deadline: see `Slot.settle`."""
        line = self._lines.get(length_us)
        if line is None:
            line = self._lines[length_us] = {}
        line[slot] = now_us + length_us
        slot.line = line

    def next_us(self) -> int | None:
        """The earliest deadline."""
        return min((next(iter(line.values())) for line in self._lines.values() if line), default=None)

    def expired(self, now_us: int) -> list[tuple[Slot, int]]:
        """The slots whose deadline has come and the run it was set for; both are still there until they are settled."""
        found: list[tuple[Slot, int]] = []
        for line in self._lines.values():
            for slot, ends_us in line.items():
                if ends_us > now_us:
                    break
                found.append((slot, slot.started_us))
        return found

    def tidy(self) -> None:
        """Forget lengths that nothing uses any more."""
        self._lines = {length_us: line for length_us, line in self._lines.items() if line}
