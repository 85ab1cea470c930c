"""The contract of `ports.Store`, for the SQLite store and its in-memory twin alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siteshift.adapters.memory.store import MemoryStore
from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.errors import AdapterError, StaleWrite
from siteshift.ports import Store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    opened, journal = await open_sqlite(tmp_path / "state.db")
    yield opened
    await opened.close()
    await journal.close()


async def test_a_new_store_remembers_nothing(store: Store) -> None:
    assert dict(await store.load()) == {}


async def test_what_was_saved_is_loaded_with_every_byte(store: Store) -> None:
    everything = bytes(range(256))
    await store.save({"overrides": everything, "empty": b"", "한글/키": b"x"})
    assert dict(await store.load()) == {"overrides": everything, "empty": b"", "한글/키": b"x"}


async def test_a_later_save_replaces_and_keeps_the_rest(store: Store) -> None:
    await store.save({"a": b"1", "b": b"2"})
    await store.save({"a": b"3"})
    assert dict(await store.load()) == {"a": b"3", "b": b"2"}


async def test_none_deletes_and_deleting_what_is_absent_is_no_error(store: Store) -> None:
    await store.save({"a": b"1", "b": b"2"})
    await store.save({"a": None, "never": None})
    assert dict(await store.load()) == {"b": b"2"}


async def test_a_write_with_the_right_generation_goes_in(store: Store) -> None:
    await store.save({"generation": b"1"}, expect_generation=0)
    await store.save({"generation": b"2", "steering": b"s"}, expect_generation=1)
    assert (await store.load())["generation"] == b"2"


async def test_a_stale_write_changes_nothing_and_tells_both_generations(store: Store) -> None:
    await store.save({"generation": b"7", "steering": b"new"})
    with pytest.raises(StaleWrite) as caught:
        await store.save({"generation": b"6", "steering": b"old", "more": b"x"}, expect_generation=5)
    assert (caught.value.wanted, caught.value.found) == (5, 7)
    assert dict(await store.load()) == {"generation": b"7", "steering": b"new"}


async def test_what_was_handed_out_does_not_change_afterwards(store: Store) -> None:
    changes: dict[str, bytes | None] = {"a": b"1"}
    await store.save(changes)
    loaded = await store.load()
    changes["a"] = b"2"
    await store.save({"a": b"3"})
    assert loaded["a"] == b"1"


async def test_a_closed_store_says_so_and_closing_twice_is_no_error(store: Store) -> None:
    await store.close()
    await store.close()
    with pytest.raises(AdapterError):
        await store.save({"a": b"1"})
