"""What a starting node finds of its past, with real files: whole, damaged, deleted, old, of another version."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.playbook import P, Playbook, three_sites
from siteshift.adapters.store.second_copy import SecondCopy
from siteshift.adapters.store.sqlite import SqliteStore
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.adapters.store.sqlite_ledger import SqliteLedger
from siteshift.app.past import UNREADABLE_KEY, FoundPast, find_past, open_store
from siteshift.core.lifecycle.durable import FORMAT, remember
from siteshift.core.lifecycle.instants import ClockNote, ClockReading
from siteshift.core.lifecycle.start import start
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.mark import Origin
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState
from siteshift.errors import Permanent, SiteshiftError
from siteshift.runtime.remembering import CLOCK_KEY, STATE_KEY

NOW_MS = 2_000_000_000_000
CLOCKS = ClockReading(wall_ms=NOW_MS, boot_id="b", boot_ms=10_000)


@dataclass(slots=True)
class Folder:
    """A state directory."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "siteshift.db"

    @property
    def copy(self) -> SecondCopy:
        return SecondCopy(self.path / "siteshift.db.steering", origin=Origin(cluster="shop", node="node-a"))

    async def remember(self, state: ControllerState, *, at_ms: int = NOW_MS - 5_000) -> None:
        """What a node writes: state, journal and second copy."""
        opened = await open_store(self.database)
        ledger = SqliteLedger(opened.database)
        changes = {
            STATE_KEY: json.dumps(remember(state)).encode(),
            CLOCK_KEY: json.dumps(to_document(ClockNote(at_ms=at_ms, boot_id="b", boot_ms=5_000))).encode(),
        }
        await ledger.commit(changes, [(at_ms, "decision", {"generation": state.steering.generation})])
        await ledger.close()
        await self.copy.keep(state.steering)

    async def find(self, clocks: ClockReading = CLOCKS) -> FoundPast:
        """What the next start finds."""
        opened = await open_store(self.database)
        store, journal = SqliteStore(opened.database), SqliteJournal(opened.database)
        try:
            return await find_past(opened, store, journal, self.copy, clocks)
        finally:
            await store.close()
            await journal.close()

    async def start(self) -> ControllerState:
        found = await self.find()
        return start(found.past, three_sites(), now_ms=found.time.now_ms)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def drained() -> ControllerState:
    book = Playbook()
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(40_000)
    assert book.shares()[P] == 0
    return book.state


def damage(file: Path) -> None:
    with file.open("r+b") as out:
        out.seek(0)
        out.write(b"\0" * 4096)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def take_away(file: Path, how: str) -> None:
    file.unlink()
    if how == "replaced":
        file.write_bytes(b"")


async def test_a_whole_store_is_remembered(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    state = await folder.start()
    assert state.adoption is None
    assert state.overrides and state.steering.generation == drained.steering.generation


async def test_a_new_folder_holds_nothing(folder: Folder) -> None:
    assert (await folder.start()).adoption is None


async def test_a_damaged_store_started_twice_holds_what_the_copy_has(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    damage(folder.database)
    for _ in range(2):
        state = await folder.start()
        assert state.adoption is not None and "damaged" in state.adoption.why
        assert state.steering.services == drained.steering.services


async def test_a_deleted_store_holds_what_the_copy_has(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    folder.database.unlink()
    state = await folder.start()
    assert state.adoption is not None and "is gone" in state.adoption.why
    assert state.steering_share("web", P) == 0  # type: ignore[arg-type]


async def test_a_damaged_store_and_a_damaged_copy_hold_whatever_the_planes_will_tell(
    folder: Folder, drained: ControllerState
) -> None:
    await folder.remember(drained)
    damage(folder.database)
    cut(folder.copy.path)
    state = await folder.start()
    assert state.steering.generation == 0
    assert state.adoption is not None and "checksum" in state.adoption.why and "damaged" in state.adoption.why


async def test_a_damaged_copy_beside_a_whole_store_is_told_and_changes_nothing(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    cut(folder.copy.path)
    found = await folder.find()
    assert "checksum" in found.notes[0]
    assert (await folder.start()).adoption is None


@pytest.mark.timeout(60)
async def test_a_copy_that_is_no_file_keeps_no_node_from_starting(tmp_path: Path) -> None:
    """Nobody writes into a pipe that stands there, and whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "copy")
    assert (await SecondCopy(tmp_path / "copy").find()).damage == "it is not a regular file"


async def test_where_store_and_copy_disagree_the_newer_one_is_held(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    newer = replace(drained.steering, generation=drained.steering.generation + 5)
    await folder.copy.keep(newer)
    state = await folder.start()
    assert state.steering.generation == newer.generation
    assert state.adoption is not None and state.overrides


async def test_a_state_without_its_last_decisions_is_held(folder: Folder, drained: ControllerState) -> None:
    book = Playbook()
    book.run(5_000)
    await folder.remember(drained)
    opened = await open_store(folder.database)
    store = SqliteStore(opened.database)
    await store.save({STATE_KEY: json.dumps(remember(book.state)).encode()})
    await store.close()
    folder.copy.path.unlink()
    state = await folder.start()
    assert state.adoption is not None and "the journal has generation" in state.adoption.why


@pytest.mark.parametrize(
    "unreadable", [b'{"format": 2, "steering": 7}', b"[" * 100_000, b"\xff", b""], ids=["7", "deep", "bytes", "empty"]
)
async def test_a_state_that_cannot_be_read_is_kept_for_people_and_held_from_the_copy(
    folder: Folder, drained: ControllerState, unreadable: bytes
) -> None:
    await folder.remember(drained)
    opened = await open_store(folder.database)
    store = SqliteStore(opened.database)
    await store.save({STATE_KEY: unreadable, CLOCK_KEY: unreadable})
    await store.close()
    state = await folder.start()
    assert state.adoption is not None and "cannot be read" in state.adoption.why
    opened = await open_store(folder.database)
    store = SqliteStore(opened.database)
    assert (await store.load())[UNREADABLE_KEY] == unreadable
    await store.close()


async def test_a_state_of_a_newer_version_is_refused_and_the_database_is_untouched(
    folder: Folder, drained: ControllerState
) -> None:
    await folder.remember(drained)
    opened = await open_store(folder.database)
    store = SqliteStore(opened.database)
    newer = json.dumps({**remember(drained), "format": FORMAT + 1}).encode()
    await store.save({STATE_KEY: newer})
    await store.close()
    before = folder.database.read_bytes()
    with pytest.raises(SiteshiftError, match="start that version again"):
        await folder.start()
    assert folder.database.read_bytes() == before


async def test_the_clock_is_compared_with_the_record_and_with_the_boot_clock(folder: Folder, drained: ControllerState) -> None:
    await folder.remember(drained)
    found = await folder.find(replace(CLOCKS, wall_ms=NOW_MS + 3 * 3_600_000))
    assert found.past.shift_ms == 3 * 3_600_000 and "set ahead by 3 h" in found.time.told
    found = await folder.find(replace(CLOCKS, wall_ms=NOW_MS - 3_600_000))
    assert found.time.now_ms == NOW_MS - 5_000 and "behind the last entry" in found.time.told


class TestSecondCopy:
    async def test_what_is_kept_is_found(self, folder: Folder, drained: ControllerState) -> None:
        await folder.copy.keep(drained.steering)
        assert (await folder.copy.find()).steering == drained.steering

    async def test_every_damaged_byte_is_noticed(self, folder: Folder, drained: ControllerState) -> None:
        await folder.copy.keep(drained.steering)
        whole = folder.copy.path.read_bytes()
        for place in range(0, len(whole) - 1, 7):
            folder.copy.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            found = await folder.copy.find()
            assert found.steering is None and found.damage, place

    async def test_a_copy_that_cannot_be_written_leaves_the_former_one(self, folder: Folder, drained: ControllerState) -> None:
        await folder.copy.keep(drained.steering)
        (folder.path / "siteshift.db.steering.partial").mkdir()
        with pytest.raises(Permanent):
            await folder.copy.keep(replace(drained.steering, generation=99))
        assert (await folder.copy.find()).steering == drained.steering


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_taken_away_while_it_is_open_is_noticed_by_the_next_call(folder: Folder, suffix: str, how: str) -> None:
    opened = await open_store(folder.database)
    store = SqliteStore(opened.database)
    await store.save({"a": b"1"})
    take_away(Path(f"{folder.database}{suffix}"), how)
    with pytest.raises(Permanent, match=how):
        await store.save({"a": b"2"})
    with pytest.raises(Permanent, match=how):
        await store.load()
    await store.close()
