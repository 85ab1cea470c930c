"""One deadline shared by the several round trips of a call."""

from __future__ import annotations

import asyncio


class Deadline:
    """Counts down on the loop's monotonic clock."""

    def __init__(self, deadline_ms: int) -> None:
        self._ends_s = asyncio.get_running_loop().time() + deadline_ms / 1000

    @property
    def left_ms(self) -> int:
        """Never negative; 0 makes the next call fail at once."""
        return max(0, int((self._ends_s - asyncio.get_running_loop().time()) * 1000))
