"""Siteshift time (see `core.model.units`): the wall clock once, at start, then only the monotonic clock."""

from __future__ import annotations

import time

NS_PER_MS = 1_000_000


class SystemClock:
    """The live `ports.Clock`. A wall clock that jumps never moves siteshift time; `skew_ms` tells how far it went."""

    __slots__ = ("_offset_ns",)

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Milliseconds of siteshift time; never goes back within a process."""
        return (self._offset_ns + time.monotonic_ns()) // NS_PER_MS

    def skew_ms(self) -> int:
        """Wall clock minus siteshift time now: what NTP or a person moved since start. Positive: the wall is ahead."""
        return round((time.time_ns() - time.monotonic_ns() - self._offset_ns) / NS_PER_MS)
