"""Whoever changes the record behind our back is noticed, and the first bad entry is named with the reason."""

import gzip
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from siteshift.adapters.memory.journal import MemoryJournal
from siteshift.adapters.store.chain import Head, link, verify_export
from siteshift.adapters.store.segments import entries_of, segments_in, verify_entries
from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.adapters.store.sqlite_journal import PruneVerdict, SqliteJournal
from siteshift.app.offline import verify_file
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


MOST = 10**9
DIGEST_600 = "SELECT digest FROM journal WHERE sequence = 600"


def base_at(sequence: int) -> str:
    """The chain would begin behind this entry; its digest is what the next one follows."""
    digest = f"SELECT previous FROM journal WHERE sequence = {sequence + 1}"
    return f"UPDATE journal_head SET base_sequence = {sequence}, base_digest = ({digest})"


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sequence":4,', '"sequence":4,"note":1,'),
        ('"sequence":4,', '"sequence":3,"sequence":4,'),
        ('"sequence":4,', '"sequence":4.9,'),
        ('"sequence":4,', '"sequence":"4",'),
        ('"sequence":4,', '"sequence": 4,'),
        ('"data":{"n":4}', '"data":{"n":5,"n":4}'),
        ('"data":{"n":4}', '"data":{"n":4.0}'),
        ('"at_ms":4', '"at_ms":4.5'),
    ],
)
async def test_an_export_is_what_was_written_byte_for_byte(journal: SqliteJournal, tmp_path: Path, old: str, new: str) -> None:
    """A reader of the file may see what our digest, of the values that we read, does not hold."""
    await journal.export(tmp_path / "journal.jsonl")
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert old in lines[3]
    with pytest.raises(JournalBroken) as caught:
        verify_export([*lines[:3], lines[3].replace(old, new), *lines[4:]])
    assert caught.value.sequence == 4


async def test_a_broken_journal_is_neither_exported_nor_sealed_as_if_whole(journal: SqliteJournal, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE journal SET kind = 'x' WHERE sequence = 300")
    with pytest.raises(JournalBroken):
        await journal.export(tmp_path / "journal.jsonl")
    with pytest.raises(JournalBroken):
        await journal.seal(tmp_path / "journal", 500, most_bytes=MOST)
    assert written_under(tmp_path) == []
    assert (await journal.prune(1)).verdict is PruneVerdict.NOT_SEALED


def written_under(folder: Path) -> list[Path]:
    """Files beside the database."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("state.db")]


async def seal(journal: SqliteJournal, folder: Path, through: int) -> Head:
    """Seal and say so, as a node does."""
    segment, head = await journal.seal(folder, through, most_bytes=MOST)
    row = {"file": segment.path.name, "first": segment.first, "through": head.sequence, "digest": head.digest}
    await journal.append([(10_000, "sealed", row)])
    return head


async def test_only_what_was_sealed_may_go_and_the_chain_goes_on(journal: SqliteJournal, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    assert (await journal.prune(10)).verdict is PruneVerdict.NOT_SEALED
    await seal(journal, folder, 500)
    assert (await journal.prune(501)).verdict is PruneVerdict.NOT_SEALED
    assert (await journal.prune(200)).removed == 200
    assert await journal.verify() == 401, "half done, it holds"
    pruned = await journal.prune(500)
    assert (pruned.verdict, pruned.removed) == (PruneVerdict.PRUNED, 300)
    assert (await journal.prune(500)).verdict is PruneVerdict.NOTHING_THERE
    assert [entry.sequence async for entry in journal.read()] == list(range(501, 602))
    await journal.confirm(Head(sequence=7, digest="of an entry that is gone"))
    await seal(journal, folder, 601)
    await journal.prune(601)
    assert await journal.verify() == 1
    found = await verify_file(tmp_path / "state.db")
    assert (found.entries, found.sealed, found.first) == (602, 601, 1)
    tamper(tmp_path, "DELETE FROM journal")
    with pytest.raises(JournalBroken) as caught:
        await journal.verify()
    assert caught.value.sequence == 602


@pytest.mark.parametrize(
    ("statements", "sequence"),
    [
        (["DELETE FROM journal WHERE sequence <= 550", base_at(550)], 501),
        (["DELETE FROM journal WHERE sequence <= 600", base_at(600)], 501),
        (["UPDATE journal_head SET base_digest = 'x'"], 501),
        (["DELETE FROM journal WHERE kind = 'sealed'", f"UPDATE journal_head SET sequence = 600, digest = ({DIGEST_600})"], 1),
    ],
    ids=["raised", "raised to the end", "another digest", "without the seal"],
)
async def test_a_beginning_that_was_raised_is_found(
    journal: SqliteJournal, tmp_path: Path, statements: list[str], sequence: int
) -> None:
    await seal(journal, tmp_path / "journal", 500)
    await journal.prune(500)
    assert await journal.verify() == 101
    tamper(tmp_path, *statements)
    with pytest.raises(JournalBroken) as caught:
        await journal.verify()
    assert caught.value.sequence == sequence


async def test_a_segment_that_is_changed_missing_or_cut_is_found(journal: SqliteJournal, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    for through in (100, 200, 300):
        await seal(journal, folder, through)
        await journal.prune(through)
    first, second, third = [segment.path for segment in segments_in(folder)]
    assert (await verify_file(folder)).entries == 300
    assert (await verify_file(second)).entries == 100
    kept = {path: path.read_bytes() for path in (first, second, third)}

    async def broken_at() -> int:
        with pytest.raises(JournalBroken) as caught:
            await verify_file(tmp_path / "state.db")
        for path, raw in kept.items():
            path.write_bytes(raw)
        return caught.value.sequence

    second.unlink()
    assert await broken_at() == 101
    third.unlink()
    assert await broken_at() in (200, 201)
    second.write_bytes(gzip.compress(gzip.decompress(kept[second]).replace(b'"n":150', b'"n":151')))
    assert await broken_at() == 150
    text = gzip.decompress(kept[third])
    third.write_bytes(gzip.compress(text[: text.rindex(b"\n", 0, -1) + 1]))
    assert await broken_at() == 300
    second.write_bytes(kept[second][:-40])
    assert await broken_at() > 100
    first.unlink()
    found = await verify_file(tmp_path / "state.db")
    assert (found.first, found.sealed) == (101, 200), "the oldest may go: retention removes them"


async def test_a_journal_that_was_pruned_opens_again_and_holds(journal: SqliteJournal, tmp_path: Path) -> None:
    await seal(journal, tmp_path / "journal", 600)
    await journal.prune(600)
    beside = tmp_path / "copy.db"
    with sqlite3.connect(tmp_path / "state.db") as source, sqlite3.connect(beside) as target:
        source.backup(target)
    store, copy = await open_sqlite(beside)
    (entry,) = await copy.append([(700, "fact", {})])
    assert entry.sequence == 602
    assert await copy.verify() == 2
    await copy.close()
    await store.close()


async def test_a_segment_takes_no_more_than_it_may_and_begins_where_the_last_one_ended(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    segment, head = await journal.seal(tmp_path / "journal", 600, most_bytes=1_000)
    assert (segment.first, segment.last) == (1, 256), "whole chunks"
    assert verify_entries(entries_of(segment.path)) == (256, head)
    assert segment.path.stat().st_mode & 0o777 == 0o600
    again, _ = await journal.seal(tmp_path / "journal", 600, most_bytes=1_000)
    assert again.path.read_bytes() == segment.path.read_bytes(), "sealed again, it is the same file"
