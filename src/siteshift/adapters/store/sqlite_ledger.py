"""`ports.Ledger` on SQLite: state and journal lie in one file, so one transaction holds both."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

from siteshift.adapters.store.chain import canonical
from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.sqlite import save_in
from siteshift.adapters.store.sqlite_journal import append_in, extent_in
from siteshift.ports import JournalRow

ENCODED_AT_ONCE = 100
"""Rows turned into text before the loop may do something else: 500 at once would hold it for more than 10 ms."""

Text = tuple[int, str, str]


class SqliteLedger:
    """The memory and the record of one node. See `ports.Ledger`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._lease = database.lease()

    async def reached(self) -> int:
        """Sequence of the last entry. The one thread answers in order, so a write under way has ended by then."""
        extent = await self._lease.read("reached", extent_in)
        return extent.head.sequence

    async def commit(self, changes: Mapping[str, bytes | None], rows: Sequence[JournalRow]) -> int:
        """All of it or nothing, durably; the sequence reached."""
        texts: list[Text] = []
        for number, (at_ms, kind, data) in enumerate(rows, 1):
            texts.append((at_ms, kind, canonical(data)))
            if number % ENCODED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return await self._lease.write("commit", partial(_commit, changes=dict(changes), texts=texts))

    async def close(self) -> None:
        """Give the file back; may be called again."""
        await self._lease.close()


def _commit(connection: sqlite3.Connection, *, changes: Mapping[str, bytes | None], texts: Sequence[Text]) -> int:
    save_in(connection, changes)
    append_in(connection, texts)
    return extent_in(connection).head.sequence
