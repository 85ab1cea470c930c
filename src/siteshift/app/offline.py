"""The journal without a node: verify or export a file that lies there. Nothing is locked, created or migrated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from siteshift.adapters.store.chain import WrittenEntry, canonical, parse_line, verify_export
from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.file import Access
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import JournalBroken, Permanent
from siteshift.ports import JournalEntry

EXPORT_SUFFIX = ".jsonl"


@asynccontextmanager
async def open_journal(path: Path) -> AsyncIterator[SqliteJournal]:
    """The journal in a store's file, to read. Raises `AdapterError` when there is none."""
    journal = SqliteJournal(await SqliteDatabase.open(path, access=Access.READ))
    try:
        yield journal
    finally:
        await journal.close()


async def verify_file(path: Path) -> int:
    """Walk the chain of a store's file, or of an export (``.jsonl``): how many entries hold.

    Raises `JournalBroken` naming the first bad sequence, and `AdapterError` when the file cannot be read.
    """
    if path.suffix == EXPORT_SUFFIX:
        return await asyncio.to_thread(_verify_export, path)
    async with open_journal(path) as journal:
        return await journal.verify()


def _verify_export(path: Path) -> int:
    """An export may begin anywhere: its first line says what it follows. Its sequences have no gaps, so two tell the count."""
    first: int | None = None
    try:
        with path.open(encoding="utf-8") as stream:
            head = verify_export(stream)
        if head.sequence:
            with path.open(encoding="utf-8") as stream:
                first = parse_line(stream.readline(), number=1).sequence
    except OSError as error:
        raise Permanent(error.strerror or str(error), system="journal", operation="verify", target=str(path)) from error
    except UnicodeDecodeError as error:
        raise JournalBroken(1, "the export is not UTF-8") from error
    return 0 if first is None else head.sequence - first + 1


def export_line(entry: JournalEntry) -> str:
    """An entry as a line of an export, without the newline."""
    return WrittenEntry(
        sequence=entry.sequence,
        at_ms=entry.at_ms,
        kind=entry.kind,
        data=canonical(entry.data),
        previous=entry.previous,
        digest=entry.digest,
    ).line()


async def read_record(path: Path) -> AsyncIterator[JournalEntry]:
    """Every entry of a store's file or of an export (``.jsonl``), in order. Raises `AdapterError` and `JournalBroken`."""
    if path.suffix != EXPORT_SUFFIX:
        async for entry in read_file(path):
            yield entry
        return
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                yield parse_line(line, number=number).read()
    except OSError as error:
        raise Permanent(error.strerror or str(error), system="journal", operation="read", target=str(path)) from error
    except UnicodeDecodeError as error:
        raise JournalBroken(1, "the export is not UTF-8") from error


async def read_file(path: Path) -> AsyncIterator[JournalEntry]:
    """Every entry of a store's file, in order. Raises `AdapterError`."""
    async with open_journal(path) as journal:
        async for entry in journal.read():
            yield entry
