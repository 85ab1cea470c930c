"""The journal without a node: verify or export a file that lies there. Nothing is locked, created or migrated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from siteshift.adapters.store.chain import WrittenEntry, canonical
from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.file import Access
from siteshift.adapters.store.segments import EXPORT_SUFFIXES, entries_of, segments_in, verify_entries, verify_segments
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import Permanent
from siteshift.ports import JournalEntry


@asynccontextmanager
async def open_journal(path: Path) -> AsyncIterator[SqliteJournal]:
    """The journal in a store's file, to read. Raises `AdapterError` when there is none."""
    journal = SqliteJournal(await SqliteDatabase.open(path, access=Access.READ))
    try:
        yield journal
    finally:
        await journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """So many entries hold. ``sealed``: those in segments; ``first``: the sequence of the first (0: there is none)."""

    entries: int
    sealed: int = 0
    first: int = 0


async def verify_file(path: Path, *, segments: Path | None = None) -> Verified:
    """Walk the chain of a store's file with its sealed segments, of an export or segment, or of a folder of segments.

    ``segments``: where those of a store's file are; None: in ``journal`` beside it. Raises `JournalBroken` naming the first bad
    sequence, and `AdapterError` when a file cannot be read.
    """
    if await asyncio.to_thread(path.is_dir):
        return await asyncio.to_thread(_verify_folder, path)
    if path.name.endswith(EXPORT_SUFFIXES):
        return await asyncio.to_thread(_verify_export, path)
    async with open_journal(path) as journal:
        count, extent = await journal.verify(), await journal.extent()
    folder = path.with_name("journal") if segments is None else segments
    sealed, first = await asyncio.to_thread(verify_segments, folder, base=extent.base)
    return Verified(entries=count + sealed, sealed=sealed, first=first or (extent.base.sequence + 1 if count else 0))


def _verify_export(path: Path) -> Verified:
    """An export may begin anywhere: its first line says what it follows."""
    count, head = verify_entries(entries_of(path))
    return Verified(entries=count, first=head.sequence - count + 1 if count else 0)


def _verify_folder(path: Path) -> Verified:
    """Segments alone: whether the last is the last there was, only the database can tell."""
    last = max((segment.last for segment in segments_in(path)), default=0)
    if not last:
        raise Permanent("there are no segments", system="journal", operation="verify", target=str(path))
    count, head = 0, None
    for segment in segments_in(path):
        found, head = verify_entries(entries_of(segment.path), after=head)
        count += found
    return Verified(entries=count, sealed=count, first=last - count + 1)


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
    """Every entry of a store's file, of an export or segment, or of a folder of segments, in order.

    Raises `AdapterError` and `JournalBroken`.
    """
    is_folder = await asyncio.to_thread(path.is_dir)
    if not is_folder and not path.name.endswith(EXPORT_SUFFIXES):
        async for entry in read_file(path):
            yield entry
        return
    files = [segment.path for segment in await asyncio.to_thread(segments_in, path)] if is_folder else [path]
    for file in files:
        for written in entries_of(file):
            yield written.read()


async def read_file(path: Path) -> AsyncIterator[JournalEntry]:
    """Every entry of a store's file, in order. Raises `AdapterError`."""
    async with open_journal(path) as journal:
        async for entry in journal.read():
            yield entry
