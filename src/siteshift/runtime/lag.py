"""How late the loop is: a task that asks to be woken and measures how late it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

INTERVAL_MS = 50
"""Twenty samples a second: a pass of 50 ms is met by one of them for certain, at 0.1 % of a core."""


async def watch_loop_lag(
    observe: Callable[[int], None],
    *,
    interval_ms: int = INTERVAL_MS,
    threshold_ms: int = 10,
    on_late: Callable[[int], None] | None = None,
) -> None:
    """Report the lag in microseconds to ``observe`` until cancelled, and to ``on_late`` beyond ``threshold_ms``.

    The default threshold is the longest anything may hold the loop. The clock is the system's, not the loop's: uvloop's
    ticks in whole milliseconds and stands still while a callback runs.
    """
    while True:
        asked_us = time.monotonic_ns() // 1_000 + interval_ms * 1_000
        await asyncio.sleep(interval_ms / 1_000)
        lag_us = max(time.monotonic_ns() // 1_000 - asked_us, 0)
        observe(lag_us)
        if on_late is not None and lag_us > threshold_ms * 1_000:
            on_late(lag_us)
