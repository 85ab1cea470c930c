"""Long work in slices, so that ten thousand servers do not hold the loop (probes are timed by it)."""

from __future__ import annotations

import asyncio

SLICE = 500
"""Servers between two yields: about 1 ms of work."""


class Pace:
    """Yields to the loop whenever a slice of work is done."""

    def __init__(self) -> None:
        self._work = 0

    async def after(self, servers: int) -> None:
        """Say that this many servers were worked on."""
        self._work += servers
        if self._work >= SLICE:
            self._work = 0
            await asyncio.sleep(0)
