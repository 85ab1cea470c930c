"""`ports.Store` on SQLite: what the node must not forget, by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from siteshift.adapters.store.database import DEADLINE_MS, SqliteDatabase
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import Permanent, StaleWrite

GENERATION_KEY = "generation"
"""Decimal digits; absent means 0. `expect_generation` is compared with it."""


class SqliteStore:
    """The durable state of one node. See `ports.Store`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._lease = database.lease()

    async def load(self) -> Mapping[str, bytes]:
        """Everything remembered, by key."""
        return await self._lease.read("load", _load)

    async def save(self, changes: Mapping[str, bytes | None], *, expect_generation: int | None = None) -> None:
        """Write all or nothing, durably. Raises `StaleWrite`; `AdapterError` when the disk does not take it."""
        frozen = dict(changes)
        await self._lease.write("save", lambda connection: save_in(connection, frozen, expect_generation))

    async def close(self) -> None:
        """Give the file back; may be called again."""
        await self._lease.close()


async def open_sqlite(path: Path, *, deadline_ms: int = DEADLINE_MS) -> tuple[SqliteStore, SqliteJournal]:
    """A store and a journal in one file; closing both closes the file. Raises as `SqliteDatabase.open`."""
    database = await SqliteDatabase.open(path, deadline_ms=deadline_ms)
    return SqliteStore(database), SqliteJournal(database)


def stored_generation(value: bytes | None) -> int:
    """The generation under `GENERATION_KEY`. Raises `Permanent` when it is not a number."""
    if value is None:
        return 0
    try:
        return int(value)
    except ValueError as error:
        raise Permanent(
            f"the stored generation is not a number: {value[:20]!r}", system="store", operation="save"
        ) from error


def _load(connection: sqlite3.Connection) -> dict[str, bytes]:
    return {key: bytes(value) for key, value in connection.execute("SELECT key, value FROM state")}


def save_in(
    connection: sqlite3.Connection, changes: Mapping[str, bytes | None], expected: int | None = None
) -> None:
    """In the database's thread, within its transaction. Raises `StaleWrite`."""
    if expected is not None:
        row = connection.execute("SELECT value FROM state WHERE key = ?", (GENERATION_KEY,)).fetchone()
        found = stored_generation(bytes(row[0]) if row else None)
        if found != expected:
            raise StaleWrite(wanted=expected, found=found)
    for key, value in changes.items():
        if value is None:
            connection.execute("DELETE FROM state WHERE key = ?", (key,))
        else:
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))
