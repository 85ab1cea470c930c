"""Whoever changes the record behind our back is noticed, and the first bad entry is named with the reason."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siteshift.adapters.memory.journal import MemoryJournal
from siteshift.adapters.store.chain import Head, link, verify_export
from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.adapters.store.sqlite_journal import PruneVerdict, SqliteJournal
from siteshift.errors import JournalBroken


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    store, opened = await open_sqlite(tmp_path / "state.db")
    await opened.append([(n, "fact", {"n": n}) for n in range(1, 601)])
    yield opened
    await opened.close()
    await store.close()


def tamper(tmp_path: Path, *statements: str) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


SWAP = (
    "UPDATE journal SET sequence = -1 WHERE sequence = 300",
    "UPDATE journal SET sequence = 300 WHERE sequence = 301",
    "UPDATE journal SET sequence = 301 WHERE sequence = -1",
)


@pytest.mark.parametrize(
    ("statements", "sequence", "reason"),
    [
        (["""UPDATE journal SET data = '{"n":8}' WHERE sequence = 7"""], 7, "edited"),
        (["""UPDATE journal SET data = '{"n": 7}' WHERE sequence = 7"""], 7, "edited"),
        (["UPDATE journal SET at_ms = at_ms + 1 WHERE sequence = 599"], 599, "edited"),
        (["UPDATE journal SET kind = 'decision' WHERE sequence = 1"], 1, "edited"),
        (["UPDATE journal SET digest = replace(digest, 'a', 'b') WHERE sequence = 256"], 256, "edited"),
        (["DELETE FROM journal WHERE sequence = 1"], 1, "missing"),
        (["DELETE FROM journal WHERE sequence BETWEEN 256 AND 258"], 256, "missing"),
        (list(SWAP), 300, "reordered"),
        (["DELETE FROM journal WHERE sequence > 590"], 591, "tail was cut"),
        (["DELETE FROM journal"], 1, "tail was cut"),
        (["INSERT INTO journal VALUES (601, 1, 'x', '{}', '', '')"], 601, "added from outside"),
        (["INSERT INTO journal VALUES (0, 1, 'x', '{}', '', '')"], 0, "added from outside"),
        (["UPDATE journal_head SET sequence = 599"], 599, "head on record"),
        (["UPDATE journal_head SET digest = 'x'"], 600, "head on record"),
        (["DELETE FROM journal_head"], 0, "head record is missing"),
    ],
)
async def test_tampering_is_found_and_named(
    journal: SqliteJournal, tmp_path: Path, statements: list[str], sequence: int, reason: str
) -> None:
    assert await journal.verify() == 600
    tamper(tmp_path, *statements)
    with pytest.raises(JournalBroken, match=reason) as caught:
        await journal.verify()
    assert caught.value.sequence == sequence


async def test_a_rewritten_entry_with_a_right_digest_breaks_the_next_one(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    entries = [entry async for entry in journal.read()]
    forged = link(Head(sequence=9, digest=entries[8].digest), at_ms=10, kind="fact", data='{"n":999}')
    tamper(tmp_path, f"UPDATE journal SET data = '{forged.data}', digest = '{forged.digest}' WHERE sequence = 10")
    with pytest.raises(JournalBroken, match="replaced") as caught:
        await journal.verify()
    assert caught.value.sequence == 11


async def test_a_journal_rewritten_whole_is_found_by_a_head_kept_elsewhere(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    kept = await journal.head()
    await journal.append([(700, "fact", {})])
    await journal.confirm(kept)
    tamper(
        tmp_path,
        "DELETE FROM journal WHERE sequence > 100",
        "UPDATE journal_head SET sequence = 100, digest = (SELECT digest FROM journal WHERE sequence = 100)",
    )
    assert await journal.verify() == 100
    with pytest.raises(JournalBroken, match="tail was cut"):
        await journal.confirm(kept)


async def test_the_in_memory_twin_notices_too() -> None:
    journal = MemoryJournal()
    await journal.append([(n, "fact", {"n": n}) for n in range(5)])
    cut = journal.written.pop()
    with pytest.raises(JournalBroken, match="tail was cut"):
        await journal.verify()
    journal.written.append(cut)
    assert await journal.verify() == 5
    journal.written[1], journal.written[2] = journal.written[2], journal.written[1]
    with pytest.raises(JournalBroken):
        await journal.verify()


async def test_an_export_is_whole_checkable_alone_and_shows_tampering(journal: SqliteJournal, tmp_path: Path) -> None:
    extent = await journal.export(tmp_path / "journal.jsonl")
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 600
    assert verify_export(lines) == extent.head == await journal.head()
    assert not (tmp_path / "journal.jsonl.partial").exists()
    for number, bad in [(4, lines[3].replace('"n":4', '"n":5')), (9, "not json"), (12, lines[12])]:
        with pytest.raises(JournalBroken) as caught:
            verify_export([*lines[: number - 1], bad, *lines[number:]])
        assert caught.value.sequence == number


async def test_a_broken_journal_is_not_exported_as_if_it_were_whole(journal: SqliteJournal, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE journal SET kind = 'x' WHERE sequence = 300")
    with pytest.raises(JournalBroken):
        await journal.export(tmp_path / "journal.jsonl")
    assert not (tmp_path / "journal.jsonl").exists()
    assert (await journal.prune(1)).verdict is PruneVerdict.NOT_EXPORTED


async def test_only_what_was_exported_may_go_and_the_chain_goes_on(journal: SqliteJournal, tmp_path: Path) -> None:
    refused = await journal.prune(10)
    assert (refused.verdict, refused.removed) == (PruneVerdict.NOT_EXPORTED, 0)
    first = await journal.export(tmp_path / "first.jsonl")
    await journal.append([(601, "fact", {})])
    assert (await journal.prune(601)).verdict is PruneVerdict.NOT_EXPORTED
    pruned = await journal.prune(500)
    assert (pruned.verdict, pruned.removed) == (PruneVerdict.PRUNED, 500)
    assert (await journal.prune(500)).verdict is PruneVerdict.NOTHING_THERE
    assert await journal.verify() == 101
    assert [entry.sequence async for entry in journal.read()] == list(range(501, 602))
    await journal.confirm(Head(sequence=7, digest="of an entry that is gone"))

    await journal.export(tmp_path / "second.jsonl")
    second = (tmp_path / "second.jsonl").read_text().splitlines()
    earlier = (tmp_path / "first.jsonl").read_text().splitlines()
    assert verify_export(earlier) == first.head
    assert verify_export([*earlier[:500], *second]) == await journal.head()
    assert (await journal.prune(601)).removed == 101
    assert await journal.verify() == 0
    await journal.append([(602, "fact", {})])
    assert await journal.verify() == 1
    tamper(tmp_path, "DELETE FROM journal")
    with pytest.raises(JournalBroken) as caught:
        await journal.verify()
    assert caught.value.sequence == 602


async def test_a_journal_that_was_pruned_opens_again_and_holds(journal: SqliteJournal, tmp_path: Path) -> None:
    await journal.export(tmp_path / "all.jsonl")
    await journal.prune(600)
    beside = tmp_path / "copy.db"
    with sqlite3.connect(tmp_path / "state.db") as source, sqlite3.connect(beside) as target:
        source.backup(target)
    store, copy = await open_sqlite(beside)
    (entry,) = await copy.append([(700, "fact", {})])
    assert entry.sequence == 601
    assert await copy.verify() == 1
    await copy.close()
    await store.close()
