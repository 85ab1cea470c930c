"""One SQLite file and the one thread that touches it.

All blocking calls happen in that thread. Work reaches it through a bounded queue: at the bound the caller is refused
at once (`Retryable`). Writes that wait together are committed together (one fsync for all of them), each in a savepoint
of its own, so that one refused write does not spoil its neighbours. A caller gets its answer after the commit is on the
disk, never before.

At its deadline a piece of work that was not begun is dropped (`Retryable`: certainly did not happen); a write that was
begun ends as `Ambiguous`: read before retrying.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Generic, TypeVar

from siteshift.adapters.store.file import Access, FileLock, InPlace, connect, set_aside_files
from siteshift.adapters.store.schema import MIGRATIONS
from siteshift.adapters.store.sqlite_errors import adapter_error
from siteshift.errors import Ambiguous, Permanent, Retryable, SiteshiftError

T = TypeVar("T")

QUEUE_LIMIT = 1_024
"""Pieces of work that may wait (one append of many entries is one): a disk that stalls must not eat the memory."""
GROUP_LIMIT = 256
"""Writes committed together at most, so that the first does not wait for an endless stream of others."""
DEADLINE_MS = 5_000
"""A healthy fsync takes 1-30 ms; a disk that needs seconds is a fault to report, not to wait for."""


class _Claim(Enum):
    WAITING = auto()
    BEGUN = auto()
    DROPPED = auto()


@dataclass(slots=True)
class _Work(Generic[T]):
    """One call for the thread. ``claim`` is the agreement of thread and loop on whether it was begun."""

    operation: str
    call: Callable[[sqlite3.Connection], T]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    claim: _Claim = _Claim.WAITING
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim_as(self, claim: _Claim) -> bool:
        """Claim the work if nobody did. False: the other side was first."""
        with self.lock:
            if self.claim is not _Claim.WAITING:
                return False
            self.claim = claim
            return True

    def answer(self, result: T | None, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class SqliteDatabase:
    """An open file. Made by `open`; shared by a store and a journal, closed when the last of them was."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: FileLock | None, *, deadline_ms: int, queue_limit: int
    ) -> None:
        self.path = path
        self.deadline_ms = deadline_ms
        self.set_aside: tuple[Path, ...] = set_aside_files(path)
        """Broken files renamed aside earlier that still lie there: to be reported until a person took them away."""
        self._connection = connection
        self._lock = lock
        self._in_place = InPlace(path)
        self._queue: queue.Queue[_Work[Any] | None] = queue.Queue(maxsize=queue_limit)
        self._leases = 0
        self._closed: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._work, name=f"sqlite {path.name}", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        access: Access = Access.WRITE,
        deadline_ms: int = DEADLINE_MS,
        queue_limit: int = QUEUE_LIMIT,
        migrations: tuple[tuple[str, ...], ...] = MIGRATIONS,
    ) -> SqliteDatabase:
        """Open, check and migrate.

        Raises `StoreBroken` (after renaming the file aside) when the file is damaged, `Permanent` when it belongs to
        another process or program or to a newer siteshift, `Retryable` when the disk has no room.
        """
        connection, lock = await asyncio.to_thread(connect, path, access, migrations)
        return cls(path, connection, lock, deadline_ms=deadline_ms, queue_limit=queue_limit)

    def lease(self) -> DatabaseLease:
        """One more user. The file is closed when the last lease was given back."""
        self._leases += 1
        return DatabaseLease(self)

    async def give_back(self) -> None:
        """For `DatabaseLease`: one user less."""
        self._leases -= 1
        if self._leases == 0:
            await self.close()

    async def read(self, operation: str, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in the thread."""
        return await self._submit(operation, call, writes=False)

    async def write(self, operation: str, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``call`` in a transaction, possibly together with others; returns when it is durable."""
        return await self._submit(operation, call, writes=True)

    async def close(self) -> None:
        """Finish what waits, checkpoint, close. May be called again."""
        if self._closed is None:
            self._closed = asyncio.get_running_loop().run_in_executor(None, self._end_thread)
        await asyncio.shield(self._closed)

    def _end_thread(self) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._lock is not None:
            self._lock.release()

    async def _submit(self, operation: str, call: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        if self._closed is not None:
            raise Permanent("is closed", system="sqlite", operation=operation, target=self.path.name)
        loop = asyncio.get_running_loop()
        work: _Work[T] = _Work(operation=operation, call=call, writes=writes, loop=loop, future=loop.create_future())
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            raise Retryable(
                f"{self._queue.maxsize} calls are waiting already",
                system="sqlite",
                operation=operation,
                target=self.path.name,
            ) from None
        try:
            async with asyncio.timeout(self.deadline_ms / 1000):
                return await work.future
        except TimeoutError:
            raise self._late(work) from None
        except asyncio.CancelledError:
            work.claim_as(_Claim.DROPPED)
            raise

    def _late(self, work: _Work[Any]) -> SiteshiftError:
        late = f"no answer within {self.deadline_ms} ms"
        if work.claim_as(_Claim.DROPPED) or not work.writes:
            return Retryable(late, system="sqlite", operation=work.operation, target=self.path.name)
        return Ambiguous(late, system="sqlite", operation=work.operation, target=self.path.name)

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        ending = False
        while not ending:
            first = self._queue.get()
            group: list[_Work[Any]] = []
            ending = not self._take(first, group)
            while not ending and len(group) < GROUP_LIMIT:
                try:
                    ending = not self._take(self._queue.get_nowait(), group)
                except queue.Empty:
                    break
            self._carry_out(group)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @staticmethod
    def _take(work: _Work[Any] | None, group: list[_Work[Any]]) -> bool:
        if work is None:
            return False
        if work.claim_as(_Claim.BEGUN):
            group.append(work)
        return True

    def _carry_out(self, group: list[_Work[Any]]) -> None:
        """Reads keep their place among the writes: each sees what was acknowledged before it was asked."""
        writes: list[_Work[Any]] = []
        for work in group:
            if work.writes:
                writes.append(work)
                continue
            self._commit(writes)
            writes = []
            self._query(work)
        self._commit(writes)

    def _query(self, work: _Work[Any]) -> None:
        try:
            self._in_place.check(work.operation)
            work.answer(work.call(self._connection), None)
        except sqlite3.Error as error:
            work.answer(None, adapter_error(error, operation=work.operation, target=self.path.name))
        except Exception as error:
            work.answer(None, error)

    def _commit(self, group: list[_Work[Any]]) -> None:
        if not group:
            return
        answers: list[tuple[_Work[Any], Any, BaseException | None]] = []
        try:
            self._in_place.check(group[0].operation)
        except Permanent as error:
            for work in group:
                work.answer(None, error)
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work in group:
                answers.append((work, *self._in_savepoint(work)))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if len(group) > 1:  # one of them was too much for the disk: the others may still fit
                for work in group:
                    self._commit([work])
                return
            group[0].answer(None, adapter_error(error, operation=group[0].operation, target=self.path.name))
            return
        for work, result, failure in answers:
            work.answer(result, failure)

    def _in_savepoint(self, work: _Work[Any]) -> tuple[Any, BaseException | None]:
        """The call's result or its own refusal. An error of SQLite goes up: it concerns the whole transaction."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = work.call(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            return None, error
        self._connection.execute("RELEASE one")
        return result, None

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite rolls back by itself after some errors
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


class DatabaseLease:
    """The right of one store or journal to use the file."""

    __slots__ = ("_database",)

    def __init__(self, database: SqliteDatabase) -> None:
        self._database: SqliteDatabase | None = database

    async def read(self, operation: str, call: Callable[[sqlite3.Connection], T]) -> T:
        """As `SqliteDatabase.read`."""
        return await self._usable(operation).read(operation, call)

    async def write(self, operation: str, call: Callable[[sqlite3.Connection], T]) -> T:
        """As `SqliteDatabase.write`."""
        return await self._usable(operation).write(operation, call)

    async def close(self) -> None:
        """Give the lease back; may be called again."""
        if self._database is not None:
            database, self._database = self._database, None
            await database.give_back()

    def _usable(self, operation: str) -> SqliteDatabase:
        if self._database is None:
            raise Permanent("is closed", system="sqlite", operation=operation)
        return self._database
