"""The tables, their versions, and how a file of an older version is brought up to date.

``PRAGMA user_version`` is the version, ``PRAGMA application_id`` says that the file is ours. A migration is added at
the end and never changed afterwards; each runs in one transaction together with its version number.
"""

from __future__ import annotations

import contextlib
import sqlite3
from functools import cache

from siteshift.adapters.store.sqlite_errors import damage
from siteshift.errors import Permanent

APPLICATION_ID = 0x53495445
"""ASCII "SITE"."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        """CREATE TABLE journal (
            sequence INTEGER PRIMARY KEY,
            at_ms INTEGER NOT NULL,
            kind TEXT NOT NULL,
            data TEXT NOT NULL,
            previous TEXT NOT NULL,
            digest TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX journal_at ON journal (at_ms)",
        # One row: the end of the chain, where it begins since the last prune; exported_sequence is of an earlier version, unused.
        """CREATE TABLE journal_head (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            sequence INTEGER NOT NULL,
            digest TEXT NOT NULL,
            base_sequence INTEGER NOT NULL,
            base_digest TEXT NOT NULL,
            exported_sequence INTEGER NOT NULL
        ) STRICT""",
        f"INSERT INTO journal_head VALUES (1, 0, '{'0' * 64}', 0, '{'0' * 64}', 0)",
    ),
    ("CREATE INDEX journal_kind_at ON journal (kind, at_ms, sequence)",),
)


def migrate(connection: sqlite3.Connection, *, path: str, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> int:
    """Bring the file to the newest version; the version it had.

    Raises `Permanent` for a file that is not for us, and an error of damage where it is ours and a table is missing.
    """
    ours = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = _tables(connection)
    if ours != APPLICATION_ID and tables:
        raise Permanent("the file is a database of some other program", system="sqlite", operation="open", target=path)
    if version > len(migrations):
        raise Permanent(
            f"the file has schema version {version}, written by a newer siteshift; this one knows {len(migrations)}",
            system="sqlite",
            operation="open",
            target=path,
        )
    if version < 0 or (version == 0 and tables):
        raise damage(f"the file has tables and schema version {version}")
    for number, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    missing = _tables_of(migrations) - _tables(connection)
    if missing:
        raise damage(f"no table {', '.join(sorted(missing))}")
    return version


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@cache
def _tables_of(migrations: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    """The tables that these migrations make."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statements in migrations:
            for statement in statements:
                connection.execute(statement)
        return frozenset(_tables(connection))
