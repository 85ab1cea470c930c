"""Writes and reads the data planes: one worker each, so that a plane never sees two writes at once.

Only the newest steering waits. Every end, also a timeout or a fault of an adapter, becomes an event; whether a write is
tried again is the core's decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from siteshift.core.messages.events import EnactFinished, Event, ReadBackArrived, ReadBackFailed
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import EnactResult, Steering
from siteshift.core.model.units import EnactorId
from siteshift.errors import AdapterError, Ambiguous, Retryable
from siteshift.ports import Clock
from siteshift.runtime.equipment import Equipment


@dataclass(slots=True)
class PlaneWork:
    """What waits for one data plane: the newest steering, and whether to read it."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    _steering: Steering | None = None
    _reads: bool = False

    def put(self, steering: Steering) -> None:
        self._steering = steering
        self.news.set()

    def ask_reading(self) -> None:
        self._reads = True
        self.news.set()

    def take_steering(self) -> Steering | None:
        taken, self._steering = self._steering, None
        return taken

    def take_reading(self) -> bool:
        taken, self._reads = self._reads, False
        return taken


@dataclass(slots=True, kw_only=True)
class PlaneWorkers:
    """All data planes. ``equipment`` is replaced at a reload; what is under way ends with what it began with."""

    clock: Clock
    equipment: Equipment
    offer: Callable[[Event], None]
    on_error: Callable[[str, BaseException], None]
    _work: dict[EnactorId, PlaneWork] = field(default_factory=dict)

    def write(self, enactor: EnactorId, steering: Steering) -> None:
        self._work_of(enactor).put(steering)

    def read(self, enactor: EnactorId) -> None:
        self._work_of(enactor).ask_reading()

    def refuse(self, enactor: EnactorId, steering: Steering) -> None:
        """Not remembered, so not written: certainly not applied."""
        self._ended(enactor, steering, EnactOutcome.FAILED, "not written: the store cannot remember it")

    def _work_of(self, enactor: EnactorId) -> PlaneWork:
        return self._work.setdefault(enactor, PlaneWork())

    async def run(self, enactor: EnactorId) -> None:
        """The worker of one data plane: the newest write first, then the reading that was asked for."""
        work = self._work_of(enactor)
        while True:
            await work.news.wait()
            work.news.clear()
            if (steering := work.take_steering()) is not None:
                await self._enact(enactor, steering)
            if work.take_reading():
                await self._read(enactor)

    async def _enact(self, enactor: EnactorId, steering: Steering) -> None:
        plane = self.equipment.enactors.get(enactor)
        if plane is None:
            self._ended(enactor, steering, EnactOutcome.REFUSED, "no such data plane in this configuration")
            return
        try:
            deadline_ms = self.equipment.limits.enact_timeout_ms
            async with asyncio.timeout(deadline_ms / 1000 + 1):
                result = await plane.enact(steering, deadline_ms=deadline_ms)
            self.offer(EnactFinished(at_ms=self.clock.now_ms(), result=result))
        except (AdapterError, TimeoutError) as error:
            is_sure = isinstance(error, AdapterError) and not isinstance(error, Ambiguous)
            outcome = EnactOutcome.FAILED if is_sure else EnactOutcome.AMBIGUOUS
            self._ended(enactor, steering, outcome, str(error) or "no answer within the deadline")
        except Exception as error:
            self.on_error(f"enactor {enactor}", error)
            self._ended(enactor, steering, EnactOutcome.AMBIGUOUS, f"{type(error).__name__}: {error}")

    def _ended(self, enactor: EnactorId, steering: Steering, outcome: EnactOutcome, detail: str) -> None:
        now_ms = self.clock.now_ms()
        result = EnactResult(
            enactor=enactor, generation=steering.generation, outcome=outcome, at_ms=now_ms, detail=detail
        )
        self.offer(EnactFinished(at_ms=now_ms, result=result))

    async def _read(self, enactor: EnactorId) -> None:
        plane = self.equipment.enactors.get(enactor)
        try:
            if plane is None:
                raise Retryable("no such data plane in this configuration", system=enactor, operation="read")
            deadline_ms = self.equipment.limits.enact_timeout_ms
            async with asyncio.timeout(deadline_ms / 1000 + 1):
                reading = await plane.read_back(deadline_ms=deadline_ms)
            self.offer(ReadBackArrived(at_ms=self.clock.now_ms(), read_back=reading))
        except (AdapterError, TimeoutError) as error:
            detail = str(error) or "no answer within the deadline"
            self.offer(ReadBackFailed(at_ms=self.clock.now_ms(), enactor=enactor, detail=detail))
        except Exception as error:
            self.on_error(f"enactor {enactor}", error)
            self.offer(ReadBackFailed(at_ms=self.clock.now_ms(), enactor=enactor, detail=str(error)))
