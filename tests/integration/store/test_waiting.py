"""The one thread: grouping, deadlines, a full queue, cancelled callers."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import Ambiguous, Retryable, StaleWrite

PATIENCE_S = 30


def write(key: str):
    return lambda c: c.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, b"x"))


class Plug:
    """A piece of work that holds the thread until it is pulled."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.pulled = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        write("plug")(connection)
        self.began.set()
        assert self.pulled.wait(PATIENCE_S)

    async def until_began(self) -> None:
        assert await asyncio.to_thread(self.began.wait, PATIENCE_S)


async def test_a_write_begun_at_its_deadline_is_ambiguous_and_one_waiting_certainly_did_not_happen(
    tmp_path: Path,
) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db", deadline_ms=200)
    plug = Plug()
    slow = asyncio.create_task(database.write("save", plug))
    await plug.until_began()
    with pytest.raises(Retryable, match="200 ms"):
        await database.write("save", write("late"))
    with pytest.raises(Ambiguous, match="200 ms"):
        await slow
    plug.pulled.set()
    await database.close()
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "state.db"))
    assert dict(await store.load()) == {"plug": b"x"}
    await store.close()


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db", queue_limit=2, deadline_ms=PATIENCE_S * 1000)
    plug = Plug()
    tasks = [asyncio.create_task(database.write("save", plug))]
    await plug.until_began()
    tasks += [asyncio.create_task(database.write("save", write(str(n)))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Retryable, match="2 calls are waiting"):
        await database.write("save", write("too much"))
    plug.pulled.set()
    await asyncio.gather(*tasks)
    assert await database.read("count", lambda c: c.execute("SELECT count(*) FROM state").fetchone()[0]) == 3
    await database.close()


async def test_a_cancelled_caller_takes_its_waiting_write_with_it(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db", deadline_ms=PATIENCE_S * 1000)
    plug = Plug()
    begun = asyncio.create_task(database.write("save", plug))
    await plug.until_began()
    waiting = asyncio.create_task(database.write("save", write("cancelled")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    plug.pulled.set()
    await begun
    assert await database.read("keys", lambda c: c.execute("SELECT key FROM state").fetchall()) == [("plug",)]
    await database.close()


async def test_closing_finishes_what_was_handed_in(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db")
    writes = [asyncio.create_task(database.write("save", write(str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(database.close(), database.close())
    await asyncio.gather(*writes)
    store = SqliteStore(await SqliteDatabase.open(tmp_path / "state.db"))
    assert len(await store.load()) == 50
    await store.close()


async def test_a_refused_write_does_not_spoil_those_committed_with_it(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "state.db", deadline_ms=PATIENCE_S * 1000)
    store, journal = SqliteStore(database), SqliteJournal(database)
    plug = Plug()
    begun = asyncio.create_task(database.write("save", plug))
    await plug.until_began()
    together = [
        asyncio.create_task(store.save({"a": b"1", "generation": b"1"}, expect_generation=0)),
        asyncio.create_task(store.save({"b": b"2"}, expect_generation=0)),
        asyncio.create_task(journal.append([(1, "fact", {})])),
        asyncio.create_task(database.write("save", lambda c: c.execute("INSERT INTO nowhere VALUES (1)"))),
        asyncio.create_task(store.save({"c": b"3"}, expect_generation=1)),
    ]
    await asyncio.sleep(0)
    plug.pulled.set()
    results = await asyncio.gather(begun, *together, return_exceptions=True)
    assert [type(result).__name__ for result in results] == [
        "NoneType",
        "NoneType",
        "StaleWrite",
        "list",
        "Permanent",
        "NoneType",
    ]
    assert isinstance(results[2], StaleWrite)
    assert set(await store.load()) == {"plug", "a", "generation", "c"}
    assert await journal.verify() == 1
    await store.close()
    await journal.close()


async def test_appends_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    """Every commit writes at least the head's page into the write-ahead log: its size counts them."""

    async def log_bytes(name: str, *, together: bool) -> int:
        path = tmp_path / name
        database = await SqliteDatabase.open(path)
        journal = SqliteJournal(database)
        appends = [journal.append([(n, "fact", {"n": n})]) for n in range(100)]
        if together:
            await asyncio.gather(*appends)
        else:
            for append in appends:
                await append
        size = path.with_name(f"{name}-wal").stat().st_size
        assert await journal.verify() == 100
        await journal.close()
        return size

    assert await log_bytes("together.db", together=True) * 4 < await log_bytes("alone.db", together=False)
