"""`ports.Journal` on SQLite: one table, chained, with a head record that shows a cut tail.

Besides the port: `head` (keep a copy elsewhere), `export` to JSON Lines, `seal` into a segment, and `prune`, which lets go of
old entries only when the journal itself says into which segment they were sealed. So where the chain begins is on record too:
whoever raises it to hide entries is found.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TextIO

from siteshift.adapters.store.chain import Head, WrittenEntry, canonical, follow, link, meet
from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.file import NO_SPACE
from siteshift.adapters.store.segments import Segment, SegmentWriter
from siteshift.errors import JournalBroken, Permanent, Retryable
from siteshift.ports import JournalEntry

CHUNK = 256
"""Entries handled in the thread at once: about 2 ms, so that appends never wait long behind a reader."""
BREATH_S = 0.01
"""Between chunks of a segment: sealing a hundred thousand entries takes four seconds more, and delays nobody."""
SEALED = "sealed"
"""The kind of the row that names a segment."""
LAST_MS = 2**62
"""Later than any instant."""
LAST_SEQUENCE = 2**62
"""Behind any entry."""
_COLUMNS = "sequence, at_ms, kind, data, previous, digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalExtent:
    """What the file holds. ``base`` is where the chain begins since the last prune; the first entry is one later."""

    base: Head
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSize:
    """How much the file holds. ``used_bytes``: pages in use, with the indexes and what is remembered; ``first_ms`` 0: empty."""

    entries: int
    used_bytes: int
    first_ms: int


class PruneVerdict(StrEnum):
    """``not_sealed``: refused, the journal has no row that says that all of it was sealed."""

    PRUNED = "pruned"
    NOT_SEALED = "not_sealed"
    NOTHING_THERE = "nothing_there"


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """``removed`` entries went; ``sealed_sequence`` is how far a prune may go now."""

    verdict: PruneVerdict
    removed: int
    sealed_sequence: int


class SqliteJournal:
    """The record of one node. See `ports.Journal`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._lease = database.lease()

    async def append(self, entries: Sequence[tuple[int, str, Mapping[str, object]]]) -> Sequence[JournalEntry]:
        """Add (at_ms, kind, data) durably and in order; many appends that wait together share one fsync."""
        texts = [(at_ms, kind, canonical(data)) for at_ms, kind, data in entries]
        written = await self._lease.write("append", partial(append_in, texts=texts))
        return [entry.read() for entry in written]

    async def read(self, *, since_ms: int = 0, until_ms: int | None = None) -> AsyncIterator[JournalEntry]:
        """Entries in order with ``since_ms <= at_ms <= until_ms``; those appended meanwhile may be among them."""
        until = LAST_MS if until_ms is None else until_ms
        first, last = await self._lease.read("read", partial(_span, since_ms=since_ms, until_ms=until))
        while first <= last:
            chunk = await self._chunk(first, last)
            for entry in chunk:
                if since_ms <= entry.at_ms <= until:
                    yield entry.read()
            if not chunk:
                return
            first = chunk[-1].sequence + 1

    async def newest(self, kind: str, *, until_ms: int) -> AsyncIterator[JournalEntry]:
        """Entries of one kind at or before an instant, the latest first, by an index of their own."""
        before = (until_ms, LAST_SEQUENCE)
        while chunk := await self._lease.read("newest", partial(_newest, kind=kind, before=before)):
            for entry in chunk:
                yield entry.read()
            before = (chunk[-1].at_ms, chunk[-1].sequence)

    async def verify(self) -> int:
        """Number of entries checked. Raises `JournalBroken` naming the first bad sequence and what is wrong with it."""
        extent = await self._lease.read("verify", extent_in)
        reached = extent.base
        while reached.sequence < extent.head.sequence:
            check = partial(_verify_chunk, after=reached, until=extent.head.sequence)
            following = await self._lease.read("verify", check)
            if following == reached:
                break
            reached = following
        meet(reached, extent.head)
        await self._lease.read("verify", _verify_ends)
        return extent.head.sequence - extent.base.sequence

    async def confirm(self, remembered: Head) -> None:
        """Compare with a head that was kept elsewhere. Raises `JournalBroken` when the journal was rewritten or cut."""
        extent = await self.extent()
        if remembered.sequence <= extent.base.sequence:
            return  # pruned since: only its export can tell
        found = await self._chunk(remembered.sequence, remembered.sequence)
        meet(found[0].head if found else extent.head, remembered)

    async def extent(self) -> JournalExtent:
        """Where the chain begins and ends."""
        return await self._lease.read("extent", extent_in)

    async def latest_ms(self) -> int:
        """The instant of the last entry; 0 when there is none."""
        return await self._lease.read("latest", _latest_ms)

    async def head(self) -> Head:
        """The last entry's sequence and digest."""
        return (await self.extent()).head

    async def export(self, target: Path) -> JournalExtent:
        """Write every entry to ``target`` as JSON Lines, checking the chain on the way; the extent that was written.

        The file appears whole or not at all: written beside it, synced, renamed.
        Raises `JournalBroken` and `AdapterError`.
        """
        extent = await self.extent()
        partly = target.with_name(target.name + ".partial")
        try:
            stream = await asyncio.to_thread(partly.open, "w", encoding="utf-8")
            try:
                await self._export_into(stream, extent)
                await asyncio.to_thread(_sync, stream)
            except BaseException:
                partly.unlink(missing_ok=True)
                raise
            finally:
                stream.close()
            await asyncio.to_thread(partly.rename, target)
        except OSError as error:
            kind = Retryable if error.errno in NO_SPACE else Permanent
            reason = error.strerror or str(error)
            raise kind(reason, system="journal", operation="export", target=str(target)) from error
        return extent

    async def size(self) -> JournalSize:
        """How much there is."""
        return await self._lease.read("size", _size)

    async def sealed(self) -> Head:
        """The end of the last segment that a row of the journal names; the empty head when none does."""
        return await self._lease.read("sealed", _sealed)

    async def newest_checkpoint(self, *, until: int = LAST_SEQUENCE) -> tuple[int, int]:
        """Sequence and instant of the setup of the last checkpoint or start not behind ``until``; (0, 0): there is none."""
        return await self._lease.read("checkpoint", partial(_checkpoint, until=until))

    async def first_since(self, at_ms: int) -> int:
        """The sequence of the first entry of that instant or later; one behind the last when there is none."""
        return await self._lease.read("since", partial(_first_since, at_ms=at_ms))

    async def seal(self, folder: Path, through: int, *, most_bytes: int) -> tuple[Segment, Head]:
        """Write the oldest entries, up to ``through`` or ``most_bytes`` of text, into a segment; the segment and its end.

        Nothing is removed here. Pauses between chunks, for the node has better to do. Raises `JournalBroken` and `AdapterError`.
        """
        writer = SegmentWriter(folder=folder, after=(await self.extent()).base)
        try:
            await asyncio.to_thread(writer.begin)
            while writer.reached.sequence < through and writer.text_bytes < most_bytes:
                chunk = await self._chunk(writer.reached.sequence + 1, through)
                if not chunk:
                    raise JournalBroken(writer.reached.sequence + 1, "is missing")
                await asyncio.to_thread(writer.add, chunk)
                await asyncio.sleep(BREATH_S)
            return await asyncio.to_thread(writer.finish), writer.reached
        except BaseException:
            writer.give_up()
            raise

    async def prune(self, through_sequence: int) -> PruneResult:
        """Let go of the entries up to ``through_sequence``, refused unless the journal says that all of them were sealed."""
        return await self._lease.write("prune", partial(_prune, through=through_sequence))

    async def close(self) -> None:
        """Give the file back; may be called again."""
        await self._lease.close()

    async def _chunk(self, first: int, last: int) -> list[WrittenEntry]:
        return await self._lease.read("read", partial(_chunk, first=first, last=last))

    async def _export_into(self, stream: TextIO, extent: JournalExtent) -> None:
        reached = extent.base
        while reached.sequence < extent.head.sequence:
            chunk = await self._chunk(reached.sequence + 1, extent.head.sequence)
            if not chunk:
                break
            for entry in chunk:
                reached = follow(reached, entry)
            await asyncio.to_thread(stream.write, "".join(f"{entry.line()}\n" for entry in chunk))
        meet(reached, extent.head)


def _sync(stream: TextIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


# ---- in the database's thread ---------------------------------------------------------------------------------------


def extent_in(connection: sqlite3.Connection) -> JournalExtent:
    """Where the chain begins and ends. Raises `JournalBroken` when the head record is missing."""
    row = connection.execute(
        "SELECT sequence, digest, base_sequence, base_digest FROM journal_head"
    ).fetchone()
    if row is None:
        raise JournalBroken(0, "the head record is missing")
    return JournalExtent(
        head=Head(sequence=row[0], digest=row[1]),
        base=Head(sequence=row[2], digest=row[3]),
    )


def append_in(connection: sqlite3.Connection, texts: Sequence[tuple[int, str, str]]) -> list[WrittenEntry]:
    """Within the transaction of the database's thread: the entries, linked to the head and counted in it."""
    head = extent_in(connection).head
    written: list[WrittenEntry] = []
    for at_ms, kind, data in texts:
        entry = link(head, at_ms=at_ms, kind=kind, data=data)
        head = entry.head
        written.append(entry)
    connection.executemany(
        f"INSERT INTO journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        [(e.sequence, e.at_ms, e.kind, e.data, e.previous, e.digest) for e in written],
    )
    connection.execute("UPDATE journal_head SET sequence = ?, digest = ?", (head.sequence, head.digest))
    return written


def _chunk(connection: sqlite3.Connection, *, first: int, last: int) -> list[WrittenEntry]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?",
        (first, last, CHUNK),
    )
    return [_entry(row) for row in rows]


def _latest_ms(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(at_ms), 0) FROM journal").fetchone()[0])


def _newest(connection: sqlite3.Connection, *, kind: str, before: tuple[int, int]) -> list[WrittenEntry]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE kind = ? AND (at_ms, sequence) < (?, ?) "
        "ORDER BY at_ms DESC, sequence DESC LIMIT ?",
        (kind, *before, CHUNK),
    )
    return [_entry(row) for row in rows]


def _entry(row: tuple[int, int, str, str, str, str]) -> WrittenEntry:
    return WrittenEntry(sequence=row[0], at_ms=row[1], kind=row[2], data=row[3], previous=row[4], digest=row[5])


def _span(connection: sqlite3.Connection, *, since_ms: int, until_ms: int) -> tuple[int, int]:
    """First and last sequence of entries in the span of time; (1, 0) when there are none."""
    row = connection.execute(
        "SELECT min(sequence), max(sequence) FROM journal WHERE at_ms BETWEEN ? AND ?", (since_ms, until_ms)
    ).fetchone()
    return (1, 0) if row[0] is None else (row[0], row[1])


def _verify_chunk(connection: sqlite3.Connection, *, after: Head, until: int) -> Head:
    base = extent_in(connection).base
    reached = base if base.sequence > after.sequence else after  # pruned while we were verifying
    for entry in _chunk(connection, first=reached.sequence + 1, last=until):
        reached = follow(reached, entry)
    return reached


def _verify_ends(connection: sqlite3.Connection) -> None:
    """Nothing stands before the beginning or after the end on record."""
    extent = extent_in(connection)
    first, last = connection.execute("SELECT min(sequence), max(sequence) FROM journal").fetchone()
    if first is not None and first <= extent.base.sequence:
        raise JournalBroken(first, "stands before the beginning on record: it was added from outside")
    if last is not None and last > extent.head.sequence:
        raise JournalBroken(extent.head.sequence + 1, "stands after the head on record: it was added from outside")
    sealed, base = _sealed(connection), extent.base
    if base.sequence > sealed.sequence:
        detail = f"is missing: no seal on record says that the journal begins after {base.sequence}"
        raise JournalBroken(sealed.sequence + 1, detail)
    if base.sequence == sealed.sequence:
        meet(base, sealed)


def _size(connection: sqlite3.Connection) -> JournalSize:
    pages, free, page_bytes = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    extent = extent_in(connection)
    first = connection.execute("SELECT at_ms FROM journal ORDER BY sequence LIMIT 1").fetchone()
    return JournalSize(
        entries=extent.head.sequence - extent.base.sequence,
        used_bytes=(pages - free) * page_bytes,
        first_ms=0 if first is None else int(first[0]),
    )


def _sealed(connection: sqlite3.Connection) -> Head:
    """By the newest row that names a segment. A head that is no head breaks the journal: nothing may hang on it."""
    row = connection.execute(
        "SELECT sequence, data FROM journal WHERE kind = ? ORDER BY sequence DESC LIMIT 1", (SEALED,)
    ).fetchone()
    if row is None:
        return Head()
    try:
        found = json.loads(row[1])
        return Head(sequence=int(found["through"]), digest=str(found["digest"]))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalBroken(row[0], "says that something was sealed, and not what") from error


def _checkpoint(connection: sqlite3.Connection, *, until: int) -> tuple[int, int]:
    row = connection.execute(
        "SELECT setup.sequence, setup.at_ms FROM journal AS state JOIN journal AS setup ON setup.sequence = state.sequence - 1 "
        "WHERE state.kind = 'state' AND setup.kind = 'setup' AND setup.sequence <= ? ORDER BY state.sequence DESC LIMIT 1",
        (until,),
    ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _first_since(connection: sqlite3.Connection, *, at_ms: int) -> int:
    wanted = "SELECT sequence FROM journal WHERE at_ms >= ? ORDER BY at_ms, sequence LIMIT 1"
    row = connection.execute(wanted, (at_ms,)).fetchone()
    return extent_in(connection).head.sequence + 1 if row is None else int(row[0])


def _prune(connection: sqlite3.Connection, *, through: int) -> PruneResult:
    extent = extent_in(connection)
    sealed = _sealed(connection).sequence
    if through > sealed:
        return PruneResult(verdict=PruneVerdict.NOT_SEALED, removed=0, sealed_sequence=sealed)
    if through <= extent.base.sequence:
        return PruneResult(verdict=PruneVerdict.NOTHING_THERE, removed=0, sealed_sequence=sealed)
    last = connection.execute("SELECT digest FROM journal WHERE sequence = ?", (through,)).fetchone()
    if last is None:
        raise JournalBroken(through, "is missing")
    removed = connection.execute("DELETE FROM journal WHERE sequence <= ?", (through,)).rowcount
    connection.execute("UPDATE journal_head SET base_sequence = ?, base_digest = ?", (through, last[0]))
    return PruneResult(verdict=PruneVerdict.PRUNED, removed=removed, sealed_sequence=sealed)
