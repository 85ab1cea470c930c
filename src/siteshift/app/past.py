"""What a starting node finds of its past: the store, the second copy beside it, the journal's end, the clocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.second_copy import SecondCopy
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_errors import StoreBroken
from siteshift.adapters.store.sqlite_journal import LAST_MS, SqliteJournal
from siteshift.core.lifecycle.durable import NewerState, restore
from siteshift.core.lifecycle.instants import ClockNote, ClockReading, StartTime, time_at_start
from siteshift.core.lifecycle.start import Past
from siteshift.core.state.codec import from_document
from siteshift.errors import SiteshiftError
from siteshift.ports import JournalEntry
from siteshift.runtime.remembering import CLOCK_KEY, STATE_KEY

UNREADABLE_KEY = "controller.unreadable"
"""Where a state that could not be read is kept for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStore:
    """The database, opened. ``lost`` says what of an earlier one is gone; empty: nothing is."""

    database: SqliteDatabase
    lost: str = ""


async def open_store(file: Path) -> OpenStore:
    """Open the database; a damaged one is set aside and an empty one takes its place. Raises `AdapterError`."""
    is_gone = await asyncio.to_thread(_is_gone, file)
    lost = f"the store {file} is gone: it was there when a node ran here before" if is_gone else ""
    try:
        database = await SqliteDatabase.open(file)
    except StoreBroken as broken:
        if broken.aside is None:
            raise
        lost, database = f"the store was damaged and set aside: {broken}", await SqliteDatabase.open(file)
    if not lost and database.set_aside:
        lost = f"a damaged store lies beside ({database.set_aside[-1].name}), and nothing was remembered since"
    return OpenStore(database=database, lost=lost)


def _is_gone(file: Path) -> bool:
    """Whether a node ran here before, and its database is not there any more. The lock beside it is never taken away."""
    return not file.exists() and file.with_name(file.name + ".lock").exists()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPast:
    """Everything that tells of the past, and when it is now."""

    past: Past
    time: StartTime
    notes: tuple[str, ...] = ()
    """What people should know besides: a copy that cannot be used while the store is whole."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing at all was found, and nothing is known to be lost: a first start, or everything was deleted."""
        return self.past.document is None and self.past.copy is None and not self.past.lost and not self.past.recorded_generation


async def find_past(
    opened: OpenStore, store: SqliteStore, journal: SqliteJournal, copy: SecondCopy, clocks: ClockReading
) -> FoundPast:
    """Look at all of it. Raises `SiteshiftError` when the state is of a newer version: nothing is touched then."""
    remembered = await store.load()
    found = await copy.find()
    document, damage = _document(remembered.get(STATE_KEY), now_ms=clocks.wall_ms)
    if damage:
        await store.save({UNREADABLE_KEY: remembered[STATE_KEY]})
    lost = "" if document is not None else damage or opened.lost
    copy_damage = f"the second copy of the steering ({copy.path}) is of no use: {found.damage}" if found.damage else ""
    if document is None and copy_damage:
        lost = f"{lost}; {copy_damage}" if lost else copy_damage
    last_ms, generation = await _end_of(journal)
    time = time_at_start(_note(remembered.get(CLOCK_KEY)), last_ms, clocks)
    past = Past(
        document=document, copy=found.steering, lost=lost, recorded_generation=generation, shift_ms=time.shift_ms
    )
    return FoundPast(past=past, time=time, notes=(copy_damage,) if copy_damage and document is not None else ())


def _document(text: bytes | None, *, now_ms: int) -> tuple[dict[str, object] | None, str]:
    """The remembered state as a document, or why it is none. Raises `SiteshiftError` for one of a newer version."""
    if text is None:
        return None, ""
    try:
        document = json.loads(text)
        restore(document, now_ms=now_ms)
    except NewerState as error:
        raise SiteshiftError(str(error)) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return None, f"the remembered state cannot be read: {error}"
    return document, ""


def _note(text: bytes | None) -> ClockNote | None:
    try:
        return None if text is None else from_document(ClockNote, json.loads(text))
    except (ValueError, RecursionError):
        return None


async def _end_of(journal: SqliteJournal) -> tuple[int, int]:
    """The instant of the last entry, and the generation of the newest decision on record (0: none).

    Of one that was sealed away long ago the last checkpoint tells.
    """
    generation = 0
    for kind in ("decision", "state"):
        async for entry in journal.newest(kind, until_ms=LAST_MS):
            generation = max(generation, _generation_of(entry))
            break
    return await journal.latest_ms(), generation


def _generation_of(entry: JournalEntry) -> int:
    found: object = entry.data
    for name in ("generation",) if entry.kind == "decision" else ("state", "steering", "generation"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, int) else 0
