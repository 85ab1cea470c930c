"""Learning what is normal, a slice at a time: 15,000 streams at once would hold the event loop for 80 ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siteshift.core.judge.cusum import NEVER
from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.stream import Stream
from siteshift.core.model.units import TargetId

Entry = tuple[Stream, Pooled | None, Pooled | None]
"""A stream with the pooled streams of its pool and its site; a standby has none."""
SLICES = 32
"""One slice a second, so every stream learns once in 32 s; a slice of 15,000 streams takes some 4 ms."""


class Learner:
    """Goes round the streams of one observer in a fixed order. Mutable, private to it."""

    __slots__ = ("_entries", "_groups", "_slice", "_targets")

    def __init__(self, entries: Mapping[TargetId, Entry], groups: Sequence[Pooled]) -> None:
        self._entries = entries
        self._targets = tuple(entries)
        self._groups = tuple(groups)
        self._slice = 0

    def learn_next(self) -> None:
        """One slice."""
        self._slice = (self._slice + 1) % SLICES
        for target in self._targets[self._slice :: SLICES]:
            _learn(*self._entries[target])
        for group in self._groups[self._slice :: SLICES]:
            if group.bank.calm:
                group.bank.settle()
                group.retune()

    def learn_all(self) -> None:
        """A whole round, for drivers in virtual time that have skipped one."""
        for _ in range(SLICES):
            self.learn_next()


def _learn(stream: Stream, pool: Pooled | None, site: Pooled | None) -> None:
    if stream.excluded or stream.bank.alarm >= 0 or _troubled(pool) or _troubled(site):
        stream.unlearn()
    elif pool is None or pool.bank.calm:
        stream.learn()


def _troubled(group: Pooled | None) -> bool:
    return group is not None and (group.bank.alarm >= 0 or group.near_since_ms != NEVER)
