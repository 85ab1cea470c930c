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
SECOND_MS = 1_000
MOST_AT_ONCE = 2
"""A tick that comes late makes up for one second it missed, never for a stall: that would hold the loop again."""


class Learner:
    """Goes round the streams of one observer. Which slice learns is a matter of the clock alone (its second modulo
    `SLICES`), so a driver that rests and skips time learns the same things at the same instants. Mutable, private.
    """

    __slots__ = ("_entries", "_groups", "_second", "_targets")

    def __init__(self, entries: Mapping[TargetId, Entry], groups: Sequence[Pooled]) -> None:
        self._entries = entries
        self._targets = tuple(entries)
        self._groups = tuple(groups)
        self._second = 0

    def go_on_from(self, former: Learner) -> None:
        """The seconds that are over have taught what they had to teach."""
        self._second = former._second

    def learn_until(self, at_ms: int) -> None:
        """The slices of the seconds that have begun since the last call, two at the most."""
        now = at_ms // SECOND_MS
        for second in range(max(self._second + 1, now - MOST_AT_ONCE + 1), now + 1):
            self._learn_slice(second)
        self._second = max(self._second, now)

    def skip(self, passes: int, at_ms: int, interval_ms: int) -> None:
        """What so many passes of every stream, up to ``at_ms``, would have taught; for drivers in virtual time.

        Each slice learns at its last second within, from the passes that had come by then.
        """
        for stream, _, _ in self._entries.values():
            stream.quiet += passes
        now = at_ms // SECOND_MS
        for second in range(max(self._second + 1, now - SLICES + 1), now + 1):
            streams = [self._entries[target][0] for target in self._targets[second % SLICES :: SLICES]]
            late = [passes - min(passes, max(0, second * SECOND_MS - one.last_at_ms) // interval_ms) for one in streams]
            for stream, count in zip(streams, late, strict=True):
                stream.quiet -= count
            self._learn_slice(second)
            for stream, count in zip(streams, late, strict=True):
                stream.quiet += count
        self._second = max(self._second, now)

    def _learn_slice(self, second: int) -> None:
        for target in self._targets[second % SLICES :: SLICES]:
            _learn(*self._entries[target])
        for group in self._groups[second % SLICES :: SLICES]:
            if group.bank.calm:
                group.bank.settle()
                group.retune()


def _learn(stream: Stream, pool: Pooled | None, site: Pooled | None) -> None:
    if stream.excluded or stream.bank.alarm >= 0 or _troubled(pool) or _troubled(site):
        stream.unlearn()
    elif pool is None or pool.bank.calm:
        stream.learn()


def _troubled(group: Pooled | None) -> bool:
    return group is not None and (group.bank.alarm >= 0 or group.near_since_ms != NEVER)
