"""Virtual time, and one source of chance per concern.

Events run in order of their instant, then in the order in which they were asked for. Nothing here depends on hashing,
on the real clock or on the order of sets.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

EPOCH_MS = 1_700_000_000_000
"""Siteshift time (ms) at the scenario's zero: any instant far from 0, which the core reads as never."""


@dataclass(slots=True)
class VirtualClock:
    """A queue of things to do. ``now_ms`` is relative to the scenario's zero and never goes back."""

    now_ms: int = 0
    _queue: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _asked: int = 0

    def at(self, at_ms: int, do: Callable[[], None]) -> None:
        """Do this at an instant (now, if that has passed)."""
        self._asked += 1
        heapq.heappush(self._queue, (at_ms if at_ms > self.now_ms else self.now_ms, self._asked, do))

    def after(self, delay_ms: int, do: Callable[[], None]) -> None:
        """Do this a while from now."""
        self.at(self.now_ms + max(0, delay_ms), do)

    def next_ms(self) -> int | None:
        """When something happens next."""
        return self._queue[0][0] if self._queue else None

    def run_until(self, end_ms: int) -> None:
        """Do everything due before ``end_ms``, in order, and stand there."""
        queue = self._queue
        while queue and queue[0][0] < end_ms:
            at_ms, _, do = heapq.heappop(queue)
            self.now_ms = at_ms
            do()
        self.now_ms = max(self.now_ms, end_ms)


@dataclass(slots=True)
class Lots:
    """Random sources by concern, so that a draw more in one place moves nothing in another."""

    seed: int
    _sources: dict[str, random.Random] = field(default_factory=dict)

    def of(self, concern: str) -> random.Random:
        """The source of one concern; the same for the same seed and name."""
        source = self._sources.get(concern)
        if source is None:
            source = self._sources[concern] = random.Random(f"{self.seed}/{concern}")
        return source
