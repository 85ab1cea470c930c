"""The file itself: damage, strangers, versions, locks."""

import contextlib
import sqlite3
import stat
from pathlib import Path

import pytest

from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.file import Access, set_aside_files
from siteshift.adapters.store.schema import MIGRATIONS
from siteshift.adapters.store.sqlite import SqliteStore, open_sqlite
from siteshift.adapters.store.sqlite_errors import StoreBroken
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import AdapterError, Permanent


async def fill(path: Path, entries: int = 500) -> None:
    store, journal = await open_sqlite(path)
    await store.save({"overrides": b"x" * 50_000})
    await journal.append([(n, "fact", {"n": n, "text": "y" * 100}) for n in range(entries)])
    await store.close()
    await journal.close()


@pytest.mark.parametrize("where", ["the header", "a page in the middle", "the second half"])
async def test_a_damaged_file_is_kept_aside_and_the_error_says_where(tmp_path: Path, where: str) -> None:
    path = tmp_path / "state.db"
    await fill(path)
    content = bytearray(path.read_bytes())
    match where:
        case "the header":
            content[:64] = b"\x00" * 64
        case "a page in the middle":
            content[4096 * 5 : 4096 * 9] = b"\xa5" * 4096 * 4
        case _:
            del content[len(content) // 2 :]
    path.write_bytes(content)

    with pytest.raises(StoreBroken) as caught:
        await open_sqlite(path)
    (aside,) = set_aside_files(path)
    assert str(aside) == caught.value.aside
    assert aside.read_bytes() == content
    assert aside.name in str(caught.value)
    assert not path.exists()

    database = await SqliteDatabase.open(path)
    assert database.set_aside == (aside,)
    store = SqliteStore(database)
    assert dict(await store.load()) == {}
    await store.close()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("DROP TABLE journal", "no table journal"),
        ("DROP TABLE state", "no table state"),
        ("PRAGMA user_version = 0", "schema version 0"),
        ("PRAGMA user_version = -5", "schema version -5"),
    ],
)
async def test_a_file_of_ours_without_its_tables_or_its_version_is_damaged(tmp_path: Path, harm: str, says: str) -> None:
    """Its node ended with "no such table: journal" and was told to free what is in the way."""
    path = tmp_path / "state.db"
    await fill(path, entries=3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(harm)
    with pytest.raises(StoreBroken, match=says):
        await open_sqlite(path)
    assert len(set_aside_files(path)) == 1


async def test_a_whole_file_has_nothing_set_aside(tmp_path: Path) -> None:
    await fill(tmp_path / "state.db")
    database = await SqliteDatabase.open(tmp_path / "state.db")
    assert database.set_aside == ()
    await database.close()


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as stranger:
        stranger.execute("CREATE TABLE theirs (x)")
    stranger.close()
    before = path.read_bytes()
    with pytest.raises(Permanent, match="some other program"):
        await open_sqlite(path)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("theirs",)]
    assert len(before) == path.stat().st_size


async def test_an_older_version_is_migrated_with_its_content_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await fill(path, entries=3)
    newer = (*MIGRATIONS, ("ALTER TABLE state ADD COLUMN written_ms INTEGER", "CREATE TABLE terms (term INTEGER)"))
    database = await SqliteDatabase.open(path, migrations=newer)
    journal = SqliteJournal(database)
    assert await journal.verify() == 3
    assert await database.read("terms", lambda c: c.execute("SELECT count(*) FROM terms").fetchone()[0]) == 0
    await journal.close()
    with pytest.raises(Permanent, match=rf"schema version {len(newer)}.*newer siteshift"):
        await open_sqlite(path)


async def test_a_file_of_the_first_version_gets_its_index_and_keeps_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    journal = SqliteJournal(await SqliteDatabase.open(path, migrations=MIGRATIONS[:1]))
    await journal.append([(n, "why", {"n": n}) for n in range(3)])
    await journal.close()
    journal = SqliteJournal(await SqliteDatabase.open(path))
    assert [entry.at_ms async for entry in journal.newest("why", until_ms=1)] == [1, 0]
    assert await journal.verify() == 3
    await journal.close()


async def test_the_newest_of_a_kind_are_found_by_an_index(tmp_path: Path) -> None:
    """Not by walking the record: it is asked for while a fault goes on."""
    await fill(tmp_path / "state.db")
    statement = "EXPLAIN QUERY PLAN SELECT * FROM journal WHERE kind = ? AND (at_ms, sequence) < (?, ?) "
    statement += "ORDER BY at_ms DESC, sequence DESC LIMIT 1"
    with sqlite3.connect(tmp_path / "state.db") as connection:
        plan = " ".join(row[3] for row in connection.execute(statement, ("why", 1, 1)))
    connection.close()
    assert "USING INDEX journal_kind_at (kind=? AND at_ms<?" in plan
    assert "TEMP B-TREE" not in plan


async def test_a_migration_that_fails_leaves_the_old_version_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await fill(path, entries=3)
    broken = (*MIGRATIONS, ("CREATE TABLE terms (term INTEGER)", "CREATE TABLE terms (twice INTEGER)"))
    with pytest.raises(AdapterError):
        await SqliteDatabase.open(path, migrations=broken)
    store, journal = await open_sqlite(path)
    assert await journal.verify() == 3
    await store.close()
    await journal.close()


async def test_a_second_writer_is_kept_out_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store, journal = await open_sqlite(path)
    with pytest.raises(Permanent, match="another process"):
        await open_sqlite(path)
    await store.close()
    with pytest.raises(Permanent, match="another process"):
        await open_sqlite(path)
    await journal.close()
    store, journal = await open_sqlite(path)
    await store.close()
    await journal.close()


async def test_a_reader_verifies_and_exports_beside_a_running_writer_but_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store, journal = await open_sqlite(path)
    await journal.append([(1, "fact", {})])
    beside = SqliteJournal(await SqliteDatabase.open(path, access=Access.READ))
    assert await beside.verify() == 1
    await journal.append([(2, "fact", {})])
    assert await beside.verify() == 2
    with pytest.raises(AdapterError):
        await beside.append([(3, "fact", {})])
    assert await journal.verify() == 2
    await beside.close()
    await store.close()
    await journal.close()


async def test_reading_a_file_that_does_not_exist_creates_none(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no such file"):
        await SqliteDatabase.open(tmp_path / "state.db", access=Access.READ)
    assert not (tmp_path / "state.db").exists()


async def test_a_directory_that_is_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(AdapterError):
        await open_sqlite(tmp_path / "nowhere" / "state.db")


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    await fill(tmp_path / "state.db", entries=1)
    assert stat.S_IMODE((tmp_path / "state.db").stat().st_mode) == 0o600


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db")
    assert await database.read("mode", lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    assert await database.read("sync", lambda c: c.execute("PRAGMA synchronous").fetchone()[0]) == 2
    await database.close()
