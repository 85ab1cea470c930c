"""Calls the standby drivers. Activation and retirement are safe to repeat, so they are retried here for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from siteshift.core.messages.commands import ActivateStandby, AskStandby, RetireStandby
from siteshift.core.messages.events import Event, StandbyReported
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import MemberId
from siteshift.errors import AdapterError, Retryable
from siteshift.ports import Clock, StandbyDriver
from siteshift.runtime.equipment import Equipment

STANDBY_DEADLINE_MS = 10_000
RETRY_FOR_S = 10

StandbyCommand = ActivateStandby | RetireStandby | AskStandby


@dataclass(slots=True, kw_only=True)
class StandbyWorkers:
    """One worker for all drivers' calls: side by side per member, in order for one member."""

    clock: Clock
    equipment: Equipment
    offer: Callable[[Event], None]
    on_error: Callable[[str, BaseException], None]
    _work: asyncio.Queue[StandbyCommand] = field(default_factory=asyncio.Queue)

    def take(self, command: StandbyCommand) -> None:
        self._work.put_nowait(command)

    def refuse(self, command: ActivateStandby) -> None:
        """Not remembered, so not started (law 12). A retirement needs no such care: it takes what serves nobody."""
        self._is(command.member, StandbyPhase.FAILED, "not started: the store cannot remember it")

    async def run(self) -> None:
        """Work until cancelled. A question about a member that is being served already is left out."""
        busy: dict[MemberId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                command = await self._work.get()
                before = busy.get(command.member)
                if before is not None and not before.done() and isinstance(command, AskStandby):
                    continue
                busy[command.member] = group.create_task(self._call(command, before), name=f"standby {command.member}")

    async def _call(self, command: StandbyCommand, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        member = self.equipment.members.get(command.member)
        drivers = self.equipment.drivers
        driver = drivers.get(member.standby_driver) if member and member.standby_driver else None
        if member is None or driver is None:
            self._is(command.member, StandbyPhase.FAILED, "it has no standby driver")
            return
        try:
            await self._call_driver(command, driver, member)
        except AdapterError as error:
            if isinstance(command, ActivateStandby):
                self._is(command.member, StandbyPhase.FAILED, str(error))
            else:
                self.on_error(f"standby {command.member}", error)
        except Exception as error:
            self.on_error(f"standby {command.member}", error)

    async def _call_driver(self, command: StandbyCommand, driver: StandbyDriver, member: Member) -> None:
        """A question is asked again by the core; the other two are tried for a while."""
        deadline_ms = self.equipment.driver_timeout_ms.get(driver.id, STANDBY_DEADLINE_MS)
        if isinstance(command, AskStandby):
            phase = await driver.phase(member, deadline_ms=deadline_ms)
            self._is(member.id, phase, "")
            return
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Retryable),
            stop=stop_after_delay(RETRY_FOR_S),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
            reraise=True,
        ):
            with attempt:
                if isinstance(command, ActivateStandby):
                    await driver.activate(member, deadline_ms=deadline_ms)
                else:
                    await driver.retire(member, deadline_ms=deadline_ms)

    def _is(self, member: MemberId, phase: StandbyPhase, detail: str) -> None:
        self.offer(StandbyReported(at_ms=self.clock.now_ms(), member=member, phase=phase, detail=detail))
