"""Makes what was decided durable before anything is done about it.

State and record of all steps that wait go to the disk in one transaction, so that a death leaves both or neither. When
its end is unknown (a late answer, a failed fsync) the record is read before anything is written again (law 10): its last
sequence tells whether the commit happened. While the store fails nothing acts (law 12); what may wait is bounded
(`runtime.backlog`).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.instants import ClockNote
from siteshift.core.messages.commands import Answer, Command, Record, Remember, Tell
from siteshift.core.messages.events import Event, StoreChanged
from siteshift.core.model.codes import NoticeCode
from siteshift.core.model.notice import AlertState, severity_of
from siteshift.core.model.steering import Steering
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.errors import AdapterError, Ambiguous, SiteshiftError
from siteshift.ports import Clock, JournalRow, Ledger, SteeringKeeper
from siteshift.runtime.backlog import Backlog

SAVE_DEADLINE_S = 2.0
"""A healthy commit takes 1-30 ms; a disk that needs longer than this holds up what must be done now."""
STORE_RETRY_S = 1.0
STATE_KEY = "controller"
CLOCK_KEY = "clock"
"""Siteshift time and boot time of the last state (`core.lifecycle.instants`)."""
LOOK_EVERY_S = 5.0
"""How soon a store that was taken away is noticed when there is nothing to write."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """The commands of one step, with the durable part as it was then. ``answers`` wait until that is on the disk."""

    commands: tuple[Command, ...]
    durable: bytes | None
    steering: Steering | None = None
    """What to keep a second copy of."""
    rows: tuple[JournalRow, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(slots=True, kw_only=True)
class Remembering:
    """The way to the disk. ``act`` gets each step's commands afterwards, and whether they were remembered."""

    clock: Clock
    ledger: Ledger
    backlog: Backlog
    offer: Callable[[Event], None]
    act: Callable[[tuple[Command, ...], bool], None]
    answered: Callable[[Answer], None]
    tell: Callable[[Tell], None]
    state_now: Callable[[], Mapping[str, object]]
    on_error: Callable[[str, BaseException], None]
    on_written: Callable[[int, int, int], None]
    """Rows written, the sequence reached, milliseconds it took."""
    keeper: SteeringKeeper | None = None
    """None: no second copy is kept (tests, and what runs without a folder)."""
    clock_note: Callable[[], ClockNote] | None = None
    is_store_usable: bool = True
    _batches: deque[Batch] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _durable: bytes | None = None
    """The newest durable part that is not known to be on the disk."""
    _owed_answers: list[Answer] = field(default_factory=list)
    _reached: int | None = None
    """The sequence of the record's last entry as far as we know; None before it was read."""
    _has_told_gap: bool = False
    _copied: Steering | None = None
    _state_after: Mapping[str, object] = field(default_factory=dict)
    """The whole state after the rows that were taken last; only kept up to date while there is a gap."""

    def take(self, commands: tuple[Command, ...], state: ControllerState, answers: tuple[Answer, ...]) -> None:
        """Take one step. Never blocks."""
        must_save = any(isinstance(command, Remember) for command in commands)
        durable = json.dumps(remember(state), separators=(",", ":")).encode() if must_save else None
        at_ms = self.clock.now_ms()
        rows = tuple((at_ms, entry.kind, entry.data) for entry in commands if isinstance(entry, Record))
        steering = state.steering if must_save and state.steering.generation > 0 else None
        self._put(Batch(commands=commands, durable=durable, steering=steering, rows=rows, answers=answers))

    def note(self, kind: str, data: Mapping[str, object]) -> None:
        """Add a row to the journal; written with the next commit, in order."""
        self._put(Batch(commands=(), durable=None, rows=((self.clock.now_ms(), kind, data),)))

    def _put(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._news.set()

    async def run(self) -> None:
        """Commit what waits, then let it act."""
        while True:
            if not self._batches:
                self._news.clear()
                await self._wait()
            taken = self._absorb()
            is_durable = await self._commit()
            if is_durable:
                await self._keep_copy(taken)
            for batch in taken:
                self.act(batch.commands, is_durable or batch.durable is None)
            if not is_durable:
                await self._until_store_is_back()

    async def _wait(self) -> None:
        """For something to write; meanwhile look whether the store is still there."""
        while self.is_store_usable:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()
                return
            except TimeoutError:
                try:
                    async with asyncio.timeout(SAVE_DEADLINE_S):
                        await self.ledger.reached()
                except (SiteshiftError, TimeoutError) as error:
                    self._store_failed(error)
                    return
        await self._news.wait()

    async def _keep_copy(self, taken: list[Batch]) -> None:
        """The second copy, before anything is written to a plane. Failing, it is told; the store has the state all the same."""
        steering = next((batch.steering for batch in reversed(taken) if batch.steering is not None), None)
        if self.keeper is None or steering is None or steering == self._copied:
            return
        try:
            async with asyncio.timeout(SAVE_DEADLINE_S):
                await self.keeper.keep(steering)
        except (SiteshiftError, TimeoutError) as error:
            self.on_error("second copy", error)
            return
        self._copied = steering

    async def flush(self) -> None:
        """At a stop: write what is still owed. What cannot be written was never acted upon."""
        for batch in self._absorb():
            self.act(batch.commands, False)
        await self._commit()

    def _absorb(self) -> list[Batch]:
        """Take every batch that waits: whole steps only, so that a commit never divides one."""
        taken = list(self._batches)
        self._batches.clear()
        for batch in taken:
            self._durable = batch.durable or self._durable
            self._owed_answers += batch.answers
            for row in batch.rows:
                if self.is_store_usable:
                    self.backlog.keep(row)
                else:
                    self.backlog.keep_or_count(row)
        if self.backlog.has_gap:
            self._state_after = self.state_now()
            if not self._has_told_gap:
                self._tell_gap()
        return taken

    async def _commit(self) -> bool:
        try:
            async with asyncio.timeout(SAVE_DEADLINE_S):
                await self._settle()
                await self._write()
        except (SiteshiftError, TimeoutError) as error:
            self._store_failed(error)
            return False
        owed, self._owed_answers = self._owed_answers, []
        for answer in owed:
            self.answered(answer)
        return True

    async def _settle(self) -> None:
        """Read before writing: at the start, and after a commit whose end is unknown."""
        open_rows = self.backlog.sealed_rows
        if self._reached is not None and open_rows is None:
            return
        found = await self.ledger.reached()
        if open_rows is not None:
            if open_rows and found == (self._reached or 0) + open_rows:
                self._has_written(open_rows, found, 0)
            else:
                self.backlog.not_written()
        self._reached = found

    async def _write(self) -> None:
        durable = self._durable
        rows = self.backlog.seal(self.clock.now_ms(), self._state_after)
        if durable is None and not rows:
            self.backlog.written()
            return
        began_ms = self.clock.now_ms()
        try:
            reached = await self.ledger.commit(self._changes(durable), rows)
        except AdapterError as error:
            if not isinstance(error, Ambiguous):
                self.backlog.not_written()
            raise
        self._has_written(len(rows), reached, self.clock.now_ms() - began_ms)
        if self._durable is durable:
            self._durable = None

    def _changes(self, durable: bytes | None) -> dict[str, bytes | None]:
        if durable is None:
            return {}
        if self.clock_note is None:
            return {STATE_KEY: durable}
        return {STATE_KEY: durable, CLOCK_KEY: json.dumps(to_document(self.clock_note())).encode()}

    def _has_written(self, rows: int, reached: int, took_ms: int) -> None:
        self.backlog.written()
        self._reached = reached
        if self._has_told_gap and not self.backlog.has_gap:
            text = "the journal takes rows again; how many were only counted stands in it"
            severity, code = severity_of(NoticeCode.RECORD_GAP), NoticeCode.RECORD_GAP
            self.tell(Tell(severity=severity, code=code, text=text, state=AlertState.RESOLVED))
        self._has_told_gap = self.backlog.has_gap
        self.on_written(rows, reached, took_ms)

    def _store_failed(self, error: BaseException) -> None:
        if self.is_store_usable:
            self.is_store_usable = False
            self.on_error("store", error)
            detail = str(error) or f"no answer within {SAVE_DEADLINE_S:g} s"
            self.offer(StoreChanged(at_ms=self.clock.now_ms(), is_usable=False, detail=detail))

    async def _until_store_is_back(self) -> None:
        """Try again every second with everything that is owed; reading and answering go on meanwhile."""
        while True:
            await asyncio.sleep(STORE_RETRY_S)
            for batch in self._absorb():
                self.act(batch.commands, False)
            if await self._commit():
                break
        self.is_store_usable = True
        self.offer(StoreChanged(at_ms=self.clock.now_ms(), is_usable=True))

    def _tell_gap(self) -> None:
        """Once for each gap: whoever counts on the record has to know that it is not whole."""
        self._has_told_gap = True
        text = (
            f"{len(self.backlog)} rows wait for the journal, which is `limits.journal_rows`: what is heard from now on is "
            "only counted until the store takes rows again; what is done stays on record, and nothing is moved meanwhile"
        )
        self.on_error("journal", RecordHasGap(text))
        self.tell(Tell(severity=severity_of(NoticeCode.RECORD_GAP), code=NoticeCode.RECORD_GAP, text=text))


class RecordHasGap(SiteshiftError):
    """Rows of the journal were counted instead of kept."""
