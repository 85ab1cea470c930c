"""Carries out commands, and turns every end into an event.

Order is the promise: what must be remembered is durable, and the journal has it, before a data plane is written
(laws 12 and 16) and before the person who asked for it is told that it holds. Each data plane has one worker, so it
never sees two writes at once, and only the newest steering waits. Retries live here for calls that are safe to repeat
(standby activation, notices); whether a *write* is tried again is the core's decision.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from siteshift.core.commands import (
    ActivateStandby,
    Answer,
    AskStandby,
    Command,
    Enact,
    ReadPlane,
    Record,
    Remember,
    RetireStandby,
    Tell,
    Watch,
)
from siteshift.core.durable import remember
from siteshift.core.events import (
    EnactFinished,
    Event,
    ReadBackArrived,
    ReadBackFailed,
    StandbyReported,
    StoreChanged,
)
from siteshift.core.model.codes import EnactOutcome, Severity, StandbyPhase
from siteshift.core.model.steering import EnactResult, Steering
from siteshift.core.model.topology import Member
from siteshift.core.model.units import EnactorId, MemberId
from siteshift.core.state import ControllerState
from siteshift.errors import AdapterError, Ambiguous, Retryable, SiteshiftError
from siteshift.ports import Clock, Journal, Notifier, StandbyDriver, Store
from siteshift.runtime.equipment import Equipment

SAVE_DEADLINE_S = 2.0
STANDBY_DEADLINE_MS = 10_000
NOTIFY_DEADLINE_MS = 5_000
STORE_RETRY_S = 1.0
ROWS_AT_ONCE = 100
_GRAVITY = (Severity.ALLOWED, Severity.NEEDS_APPROVAL, Severity.REFUSED)

Row = tuple[int, str, Mapping[str, object]]


@dataclass(slots=True, kw_only=True)
class Batch:
    """The commands of one step, with the durable part as it was then. ``answers`` wait until that is on the disk."""

    commands: tuple[Command, ...]
    durable: bytes | None
    rows: list[Row]
    generation: int
    answers: tuple[Answer, ...] = ()


@dataclass(slots=True, kw_only=True)
class Executor:
    """Everything that acts. ``offer`` takes the events; ``answered`` and ``watch`` take what the core says to us."""

    clock: Clock
    store: Store
    journal: Journal
    equipment: Equipment
    offer: Callable[[Event], None]
    answered: Callable[[Answer], None]
    watch: Callable[[Watch], None]
    on_error: Callable[[str, BaseException], None]
    recorded: int = 0
    tells_dropped: int = 0
    is_store_usable: bool = True
    _batches: deque[Batch] = field(default_factory=deque)
    _rows: list[Row] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _plane_work: dict[EnactorId, PlaneWork] = field(default_factory=dict)
    _standby_work: asyncio.Queue[Command] = field(default_factory=asyncio.Queue)
    _tells: deque[Tell] = field(default_factory=deque)
    _tell_news: asyncio.Event = field(default_factory=asyncio.Event)
    _last_durable: bytes | None = None
    _owed_answers: list[Answer] = field(default_factory=list)

    def refit(self, equipment: Equipment) -> None:
        """Take other equipment; what is under way ends with what it began with."""
        self.equipment = equipment

    def carry_out(self, commands: tuple[Command, ...], state: ControllerState) -> None:
        """Take the commands of one step. Never blocks. Watches, and answers that change nothing, go at once.

        So does an answer given while the core knows that the store is lost: it grants only what needs no store.
        """
        rows: list[Row] = []
        answers: list[Answer] = []
        must_save = any(isinstance(command, Remember) for command in commands)
        for command in commands:
            match command:
                case Answer() if must_save and state.is_store_usable:
                    answers.append(command)
                case Answer():
                    self.answered(command)
                case Watch():
                    self.watch(command)
                case Tell():
                    self._take_tell(command)
                case Record(kind=kind, data=data):
                    rows.append((self.clock.now_ms(), kind, data))
                case _:
                    pass
        durable = json.dumps(remember(state), separators=(",", ":")).encode() if must_save else None
        generation = state.steering.generation
        self._batches.append(
            Batch(commands=commands, durable=durable, rows=rows, generation=generation, answers=tuple(answers))
        )
        self._news.set()

    def note(self, kind: str, data: Mapping[str, object]) -> None:
        """Add a row to the journal; written with the next flush, in order."""
        self._batches.append(Batch(commands=(), durable=None, rows=[(self.clock.now_ms(), kind, data)], generation=0))
        self._news.set()

    def _take_tell(self, tell: Tell) -> None:
        """Beyond the limit, the oldest of the least severe gives way: the newest says most."""
        self._tells.append(tell)
        while len(self._tells) > self.equipment.limits.notify_queue:
            self._tells.remove(min(self._tells, key=lambda waiting: _GRAVITY.index(waiting.severity)))
            self.tells_dropped += 1
        self._tell_news.set()

    async def run_remembering(self) -> None:
        """Make batches durable in order, then let them act. While the store fails, nothing acts (law 12)."""
        while True:
            if not self._batches:
                self._news.clear()
                await self._news.wait()
            taken = [self._batches.popleft() for _ in range(len(self._batches))]
            durable = next((batch.durable for batch in reversed(taken) if batch.durable is not None), None)
            self._rows += [row for batch in taken for row in batch.rows]
            self._owed_answers += [answer for batch in taken for answer in batch.answers]
            ok = await self._make_durable(durable)
            for batch in taken:
                self._act(batch, is_durable=ok or batch.durable is None)
            if not ok:
                await self._until_store_is_back()

    async def flush(self) -> None:
        """At a stop: write what is still owed. What cannot be written was never acted upon."""
        self._shed_dry_batches()
        if self._rows:
            await self._make_durable(None)

    async def _make_durable(self, durable: bytes | None) -> bool:
        self._last_durable = durable or self._last_durable
        try:
            async with asyncio.timeout(SAVE_DEADLINE_S):
                if durable is not None:
                    await self.store.save({"controller": durable})
                await self._write_rows()
        except (SiteshiftError, TimeoutError) as error:
            self._store_failed(error)
            return False
        owed, self._owed_answers = self._owed_answers, []
        for answer in owed:
            self.answered(answer)
        return True

    async def _write_rows(self) -> None:
        """In portions: encoding 500 rows at once would hold the loop for more than 10 ms."""
        while self._rows:
            rows, self._rows = self._rows[:ROWS_AT_ONCE], self._rows[ROWS_AT_ONCE:]
            try:
                await self.journal.append(rows)
            except BaseException:
                self._rows = rows + self._rows
                raise
            self.recorded += len(rows)

    def _store_failed(self, error: BaseException) -> None:
        if self.is_store_usable:
            self.is_store_usable = False
            self.on_error("store", error)
            self.offer(StoreChanged(at_ms=self.clock.now_ms(), is_usable=False, detail=str(error)))

    async def _until_store_is_back(self) -> None:
        """Try again every second with everything that is owed; batches wait meanwhile."""
        while True:
            await asyncio.sleep(STORE_RETRY_S)
            self._shed_dry_batches()
            if await self._make_durable(self._last_durable):
                break
        self.is_store_usable = True
        self.offer(StoreChanged(at_ms=self.clock.now_ms(), is_usable=True))

    def _shed_dry_batches(self) -> None:
        """While the store is away: keep the newest durable part and the rows; let reading and answering go on."""
        taken = [self._batches.popleft() for _ in range(len(self._batches))]
        for batch in taken:
            self._last_durable = batch.durable or self._last_durable
            self._rows += batch.rows
            self._owed_answers += batch.answers
            self._act(batch, is_durable=False)

    def _act(self, batch: Batch, *, is_durable: bool) -> None:
        for command in batch.commands:
            match command:
                case Enact(enactor=enactor, steering=steering):
                    if is_durable:
                        self._work_of(enactor).put(steering)
                    else:
                        self._refuse_write(enactor, steering)
                case ReadPlane(enactor=enactor):
                    self._work_of(enactor).ask_reading()
                case ActivateStandby() | RetireStandby() | AskStandby():
                    self._standby_work.put_nowait(command)
                case _:
                    pass

    def _refuse_write(self, enactor: EnactorId, steering: Steering) -> None:
        """Not remembered, so not written: certainly not applied."""
        result = EnactResult(
            enactor=enactor,
            generation=steering.generation,
            outcome=EnactOutcome.FAILED,
            at_ms=self.clock.now_ms(),
            detail="not written: the store cannot remember it",
        )
        self.offer(EnactFinished(at_ms=result.at_ms, result=result))

    def _work_of(self, enactor: EnactorId) -> PlaneWork:
        return self._plane_work.setdefault(enactor, PlaneWork())

    async def run_plane(self, enactor: EnactorId) -> None:
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
        outcome, detail = EnactOutcome.REFUSED, "no such data plane in this configuration"
        if plane is not None:
            try:
                deadline_ms = self.equipment.limits.enact_timeout_ms
                async with asyncio.timeout(deadline_ms / 1000 + 1):
                    result = await plane.enact(steering, deadline_ms=deadline_ms)
                self.offer(EnactFinished(at_ms=self.clock.now_ms(), result=result))
                return
            except (AdapterError, TimeoutError) as error:
                is_sure = isinstance(error, AdapterError) and not isinstance(error, Ambiguous)
                outcome = EnactOutcome.FAILED if is_sure else EnactOutcome.AMBIGUOUS
                detail = str(error) or "no answer within the deadline"
            except Exception as error:
                self.on_error(f"enactor {enactor}", error)
                outcome, detail = EnactOutcome.AMBIGUOUS, f"{type(error).__name__}: {error}"
        result = EnactResult(
            enactor=enactor,
            generation=steering.generation,
            outcome=outcome,
            at_ms=self.clock.now_ms(),
            detail=detail,
        )
        self.offer(EnactFinished(at_ms=result.at_ms, result=result))

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

    async def run_standby(self) -> None:
        """One worker for all drivers' calls, side by side per member, in order for one member."""
        busy: dict[MemberId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                command = await self._standby_work.get()
                assert isinstance(command, ActivateStandby | RetireStandby | AskStandby)
                before = busy.get(command.member)
                if before is not None and not before.done() and isinstance(command, AskStandby):
                    continue
                busy[command.member] = group.create_task(
                    self._standby_call(command, before), name=f"standby {command.member}"
                )

    async def _standby_call(
        self, command: ActivateStandby | RetireStandby | AskStandby, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        member = self.equipment.members.get(command.member)
        drivers = self.equipment.drivers
        driver = drivers.get(member.standby_driver) if member and member.standby_driver else None
        if member is None or driver is None:
            self._standby_is(command.member, StandbyPhase.FAILED, "it has no standby driver")
            return
        try:
            await self._call_driver(command, driver, member)
        except AdapterError as error:
            if isinstance(command, ActivateStandby):
                self._standby_is(command.member, StandbyPhase.FAILED, str(error))
            else:
                self.on_error(f"standby {command.member}", error)
        except Exception as error:
            self.on_error(f"standby {command.member}", error)

    async def _call_driver(
        self, command: ActivateStandby | RetireStandby | AskStandby, driver: StandbyDriver, member: Member
    ) -> None:
        """Activation and retirement are safe to repeat: try for a while. A question is asked again by the core."""
        deadline_ms = self.equipment.driver_timeout_ms.get(driver.id, STANDBY_DEADLINE_MS)
        if isinstance(command, AskStandby):
            phase = await driver.phase(member, deadline_ms=deadline_ms)
            self._standby_is(member.id, phase, "")
            return
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Retryable),
            stop=stop_after_delay(10),
            wait=wait_exponential_jitter(initial=0.1, max=2),
            reraise=True,
        ):
            with attempt:
                if isinstance(command, ActivateStandby):
                    await driver.activate(member, deadline_ms=deadline_ms)
                else:
                    await driver.retire(member, deadline_ms=deadline_ms)

    def _standby_is(self, member: MemberId, phase: StandbyPhase, detail: str) -> None:
        self.offer(StandbyReported(at_ms=self.clock.now_ms(), member=member, phase=phase, detail=detail))

    async def run_notifying(self) -> None:
        """Tell people, through every notifier; one that fails costs the others nothing."""
        while True:
            await self._tell_news.wait()
            self._tell_news.clear()
            while self._tells:
                tell = self._tells.popleft()
                for notifier in self.equipment.notifiers:
                    await self._notify(notifier, tell)

    async def _notify(self, notifier: Notifier, tell: Tell) -> None:
        try:
            await notifier.notify(
                severity=tell.severity, code=tell.code, text=tell.text, deadline_ms=NOTIFY_DEADLINE_MS
            )
        except Exception as error:
            self.on_error("notifier", error)


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
