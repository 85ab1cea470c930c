"""Probes that are more than one exchange, or somebody else's protocol: each run is a task.

They cost 0.2-2 ms of CPU a run and are for the rare shapes (ADR 1). The prober's own deadlines cancel the task; a
visit cleans up after itself when it is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from siteshift.adapters.probes.slot import Slot, Verdict, lost
from siteshift.adapters.probes.workbench import Workbench


class Visit(Protocol):
    """One probe's way of asking."""

    async def once(self) -> Verdict:
        """Ask once. Cancelled at the time-out. What it raises counts as ``lost``: our fault, not the target's."""

    async def close(self) -> None:
        """Let go of what is kept between runs."""


class VisitCarrier:
    """Runs a `Visit` in a task of the prober's group."""

    __slots__ = ("_bench", "_task", "_visit", "slot")

    def __init__(self, slot: Slot, bench: Workbench, visit: Visit) -> None:
        self.slot = slot
        self._bench = bench
        self._visit = visit
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        bench = self._bench
        if bench.visits_open >= bench.limits.visits:
            bench.finish(self.slot, lost(f"the prober makes {bench.visits_open} visits already, its limit"))
            return
        bench.visits_open += 1
        self._task = bench.spawn(self._carry(), f"probe {self.slot.spec.id}")
        self._task.add_done_callback(self._done)

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._bench.visits_open -= 1

    async def _carry(self) -> None:
        try:
            verdict = await self._visit.once()
        except Exception as problem:  # whatever a library raises that its visit did not expect
            verdict = lost(f"{type(problem).__name__}: {problem}")
        if asyncio.current_task() is self._task:
            self._bench.finish(self.slot, verdict)

    def abort(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()

    def close(self) -> None:
        self.abort()
        self._bench.dispose(self._visit.close)
