"""The contract of `ports.Journal`, for the SQLite journal and its in-memory twin alike."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siteshift.adapters.memory.journal import MemoryJournal
from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.core.model.codes import Standing
from siteshift.errors import AdapterError
from siteshift.ports import Journal, JournalEntry


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    store, opened = await open_sqlite(tmp_path / "state.db")
    yield opened
    await opened.close()
    await store.close()


async def everything(journal: Journal, since_ms: int = 0, until_ms: int | None = None) -> list[JournalEntry]:
    return [entry async for entry in journal.read(since_ms=since_ms, until_ms=until_ms)]


async def test_a_new_journal_is_empty_and_holds(journal: Journal) -> None:
    assert await everything(journal) == []
    assert await journal.verify() == 0


async def test_entries_come_back_in_order_as_append_returned_them(journal: Journal) -> None:
    first = await journal.append([(10, "fact", {"site": "pangyo"}), (11, "decision", {"shares": [1, 2]})])
    second = await journal.append([(12, "read_back", {"ok": True, "none": None, "x": 0.1})])
    assert await everything(journal) == [*first, *second]
    assert [entry.sequence for entry in [*first, *second]] == [1, 2, 3]
    assert await journal.verify() == 3


async def test_each_entry_is_chained_to_the_one_before(journal: Journal) -> None:
    await journal.append([(1, "a", {}), (2, "b", {})])
    await journal.append([(3, "c", {})])
    one, two, three = await everything(journal)
    assert one.previous == "0" * 64
    assert (two.previous, three.previous) == (one.digest, two.digest)


async def test_the_digest_is_sha256_over_canonical_json(journal: Journal) -> None:
    (entry,) = await journal.append([(5, "fact", {"b": "판교", "a": {"z": 1, "y": [1.5, None]}})])
    record = {"sequence": 1, "at_ms": 5, "kind": "fact", "data": entry.data, "previous": "0" * 64}
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert entry.digest == hashlib.sha256(canonical.encode()).hexdigest()


async def test_appending_nothing_is_no_error(journal: Journal) -> None:
    assert list(await journal.append([])) == []
    assert await journal.verify() == 0


async def test_read_takes_both_ends_of_the_span(journal: Journal) -> None:
    await journal.append([(at, "tick", {}) for at in (10, 20, 30, 40)])
    assert [entry.at_ms for entry in await everything(journal, 20, 30)] == [20, 30]
    assert [entry.at_ms for entry in await everything(journal, 35)] == [40]
    assert await everything(journal, 41) == []
    assert [entry.at_ms for entry in await everything(journal, 0, 10)] == [10]


async def test_order_is_that_of_appending_even_when_a_restart_put_the_clock_back(journal: Journal) -> None:
    await journal.append([(at, "tick", {}) for at in (100, 50, 60, 110)])
    assert [entry.at_ms for entry in await everything(journal)] == [100, 50, 60, 110]
    assert [entry.at_ms for entry in await everything(journal, 60)] == [100, 60, 110]


async def test_the_newest_of_a_kind_come_first_up_to_an_instant(journal: Journal) -> None:
    rows = [(at, "why" if at % 2 else "tick", {"n": at}) for at in range(1, 1_001)]
    await journal.append([*rows, (500, "why", {"n": "a clock put back"})])
    found = [entry.data["n"] async for entry in journal.newest("why", until_ms=600)]
    assert found[:3] == [599, 597, 595]
    assert found == [*range(599, 500, -2), "a clock put back", *range(499, 0, -2)]
    assert [entry async for entry in journal.newest("why", until_ms=0)] == []
    assert [entry async for entry in journal.newest("nothing", until_ms=600)] == []


async def test_a_long_journal_is_read_whole(journal: Journal) -> None:
    await journal.append([(at, "tick", {"n": at}) for at in range(2_000)])
    assert [entry.at_ms for entry in await everything(journal)] == list(range(2_000))
    assert await journal.verify() == 2_000


async def test_a_reader_may_stop_early_and_writers_go_on(journal: Journal) -> None:
    await journal.append([(at, "tick", {}) for at in range(600)])
    async for entry in journal.read():
        if entry.sequence == 3:
            break
    await journal.append([(601, "tick", {})])
    assert await journal.verify() == 601


async def test_many_appends_at_once_all_arrive_unbroken(journal: Journal) -> None:
    batches = await asyncio.gather(*(journal.append([(n, "a", {"n": n}), (n, "b", {"n": n})]) for n in range(200)))
    for batch in batches:
        assert batch[1].sequence == batch[0].sequence + 1
    assert len({entry.sequence for batch in batches for entry in batch}) == 400
    assert await journal.verify() == 400


async def test_frozen_mappings_enums_and_tuples_are_written_as_json(journal: Journal) -> None:
    data = MappingProxyType({"at": MappingProxyType({"standing": Standing.DOWN}), "shares": (1, 2)})
    (entry,) = await journal.append([(1, "fact", data)])
    assert entry.data == {"at": {"standing": "down"}, "shares": [1, 2]}


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}, {"x": "\ud800"}])
async def test_what_is_not_json_is_refused_and_nothing_of_its_batch_written(
    journal: Journal, data: dict[str, object]
) -> None:
    with pytest.raises(AdapterError):
        await journal.append([(1, "fact", {}), (2, "fact", data)])
    assert await everything(journal) == []
    assert await journal.verify() == 0


async def test_a_closed_journal_says_so_and_closing_twice_is_no_error(journal: Journal) -> None:
    await journal.close()
    await journal.close()
    with pytest.raises(AdapterError):
        await journal.append([(1, "fact", {})])


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_json = st.recursive(
    _scalars | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)

_entry = st.tuples(st.integers(0, 2**53), _texts, st.dictionaries(_texts, _json, max_size=3))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_entry, max_size=3), max_size=3))
async def test_any_json_survives_the_round_trip_and_the_chain_holds(
    journal: Journal, batches: list[list[tuple[int, str, dict[str, object]]]]
) -> None:
    before = await journal.verify()
    written = [entry for batch in batches for entry in await journal.append(batch)]
    assert (await everything(journal))[before:] == written
    assert [dict(entry.data) for entry in written] == [data for batch in batches for _, _, data in batch]
    assert await journal.verify() == before + len(written)
