"""The contract of `ports.Ledger`, for the SQLite ledger and its in-memory twin alike."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from siteshift.adapters.memory.ledger import MemoryLedger
from siteshift.adapters.store.database import SqliteDatabase
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.adapters.store.sqlite_ledger import SqliteLedger
from siteshift.errors import AdapterError
from siteshift.ports import Journal, JournalRow, Ledger, Store

ROWS: tuple[JournalRow, ...] = ((10, "input", {"n": 1}), (11, "decision", {"generation": 7}))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A ledger, and what can be read beside it."""

    ledger: Ledger
    store: Store
    journal: Journal

    async def state(self) -> Mapping[str, bytes]:
        return dict(await self.store.load())

    async def kinds(self) -> list[str]:
        return [entry.kind async for entry in self.journal.read()]


@pytest.fixture(params=["memory", "sqlite"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    if request.param == "memory":
        twin = MemoryLedger()
        yield Kept(ledger=twin, store=twin.store, journal=twin.journal)
        return
    database = await SqliteDatabase.open(tmp_path / "state.db")
    found = Kept(ledger=SqliteLedger(database), store=SqliteStore(database), journal=SqliteJournal(database))
    yield found
    await found.ledger.close()
    await found.store.close()
    await found.journal.close()


async def test_a_new_record_has_reached_nothing(kept: Kept) -> None:
    assert await kept.ledger.reached() == 0


async def test_state_and_rows_are_there_together_and_the_sequence_is_told(kept: Kept) -> None:
    assert await kept.ledger.commit({"controller": b"7"}, ROWS) == 2
    assert await kept.state() == {"controller": b"7"}
    assert await kept.kinds() == ["input", "decision"]
    assert await kept.ledger.commit({"controller": b"8"}, ROWS[:1]) == 3
    assert await kept.ledger.reached() == 3
    assert await kept.journal.verify() == 3


async def test_state_alone_and_rows_alone_are_commits_too(kept: Kept) -> None:
    assert await kept.ledger.commit({"a": b"1", "b": b"2"}, ()) == 0
    assert await kept.ledger.commit({}, ROWS) == 2
    assert await kept.ledger.commit({"a": None}, ()) == 2
    assert await kept.state() == {"b": b"2"}


async def test_when_a_row_cannot_be_written_the_state_is_not_either(kept: Kept) -> None:
    await kept.ledger.commit({"controller": b"old"}, ROWS)
    with pytest.raises(AdapterError):
        await kept.ledger.commit({"controller": b"new"}, ((12, "decision", {"generation": object()}),))
    assert await kept.state() == {"controller": b"old"}
    assert await kept.ledger.reached() == 2
    assert await kept.journal.verify() == 2


async def test_many_rows_arrive_in_order(kept: Kept) -> None:
    rows = tuple((n, "why", {"n": n}) for n in range(1_234))
    assert await kept.ledger.commit({"controller": b"x"}, rows) == 1_234
    assert [entry.at_ms async for entry in kept.journal.read()] == list(range(1_234))


async def test_rows_of_the_journal_itself_are_followed(kept: Kept) -> None:
    await kept.journal.append([(1, "fact", {})])
    assert await kept.ledger.commit({}, ROWS) == 3
    assert await kept.journal.verify() == 3


async def test_a_closed_ledger_says_so_and_closing_twice_is_no_error(kept: Kept) -> None:
    await kept.ledger.close()
    await kept.ledger.close()
    with pytest.raises(AdapterError):
        await kept.ledger.commit({}, ROWS)
