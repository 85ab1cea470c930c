"""Passive evidence: asks those who see real users fare, and hands it to the observer beside the probes.

A source that cannot be asked is no evidence: nothing is handed on, and what it said before grows old in the observer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from siteshift.errors import AdapterError
from siteshift.ports import Clock, PassiveSample
from siteshift.runtime.equipment import Evidenced

IDLE_S = 1.0


@dataclass(slots=True, kw_only=True)
class Evidence:
    """All sources of a node, each asked in its own time, side by side."""

    clock: Clock
    take: Callable[[Sequence[PassiveSample]], None]
    on_error: Callable[[str, BaseException], None]
    sources: tuple[Evidenced, ...] = ()
    _failing: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def configure(self, sources: Sequence[Evidenced]) -> None:
        """Take another set of sources."""
        self.sources = tuple(sources)
        self._failing &= {entry.id for entry in sources}
        self._changed.set()

    async def run(self) -> None:
        """Ask until cancelled; begin anew when the sources change."""
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask_often(e), name=f"evidence {e.id}") for e in self.sources]
                await self._changed.wait()
                for task in tasks:
                    task.cancel()

    async def _ask_often(self, entry: Evidenced) -> None:
        while True:
            started_ms = self.clock.now_ms()
            try:
                samples = await entry.source.sample(deadline_ms=entry.timeout_ms)
            except AdapterError as error:
                self._failed(entry, error)
            else:
                self._failing.discard(entry.id)
                self.take(samples)
            await asyncio.sleep(max(0.01, (started_ms + entry.every_ms - self.clock.now_ms()) / 1_000))

    def _failed(self, entry: Evidenced, error: AdapterError) -> None:
        """Tell people once, not every time."""
        if entry.id not in self._failing:
            self._failing.add(entry.id)
            self.on_error(f"evidence {entry.id}", error)
