"""Siteshift time (see `core.model.units`): the wall clock once, at start, then only the boot clock.

The boot clock (CLOCK_BOOTTIME) goes on while the machine sleeps and never jumps: what lasts an hour lasts an hour, also
over a night in suspend, and whatever is done to the wall clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from siteshift.core.lifecycle.instants import TOLERANCE_MS, ClockNote, ClockReading, seconds

NS_PER_MS = 1_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOOK_EVERY_S = 1.0


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def read_clocks() -> ClockReading:
    """The machine's clocks now."""
    try:
        boot_id = BOOT_ID.read_text().strip()
    except OSError:
        boot_id = ""  # no boot of a known name: never the same as another
    return ClockReading(wall_ms=time.time_ns() // NS_PER_MS, boot_id=boot_id, boot_ms=_boot_ns() // NS_PER_MS)


class SystemClock:
    """The live `ports.Clock`. A wall clock that jumps never moves siteshift time; `skew_ms` tells how far it went."""

    __slots__ = ("_offset_ns", "boot_id")

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - _boot_ns()
        self.boot_id = read_clocks().boot_id

    def start_at(self, now_ms: int) -> None:
        """Let it be this instant now: once, before anything reads the clock (`core.lifecycle.instants.time_at_start`)."""
        self._offset_ns = now_ms * NS_PER_MS - _boot_ns()

    def now_ms(self) -> int:
        """Milliseconds of siteshift time; never goes back within a process."""
        return (self._offset_ns + _boot_ns()) // NS_PER_MS

    def skew_ms(self) -> int:
        """Wall clock minus siteshift time now: what NTP or a person moved since start. Positive: the wall is ahead."""
        return round((time.time_ns() - _boot_ns() - self._offset_ns) / NS_PER_MS)

    def note(self) -> ClockNote:
        """This instant on both clocks, to be remembered."""
        boot_ns = _boot_ns()
        return ClockNote(at_ms=(self._offset_ns + boot_ns) // NS_PER_MS, boot_id=self.boot_id, boot_ms=boot_ns // NS_PER_MS)


async def watch_wall_clock(
    skew_ms: Callable[[], int], told: Callable[[int, str], None], *, every_s: float = LOOK_EVERY_S
) -> None:
    """Say when the wall clock leaves siteshift time, or comes back to it. Nothing else happens: no life hangs on the wall."""
    known_ms = skew_ms()
    while True:
        await asyncio.sleep(every_s)
        found_ms = skew_ms()
        if abs(found_ms - known_ms) > TOLERANCE_MS:
            jump_ms, known_ms = found_ms - known_ms, found_ms
            way = "ahead" if jump_ms > 0 else "back"
            told(found_ms, f"the clock was set {way} by {seconds(abs(jump_ms))} while the node ran: {SKEWED}")


SKEWED = "waits and overrides go by the time that really passed; times on record differ from the clock until a restart"
