"""The record stays within its bounds: old entries are sealed, verify, and nothing is lost by a death or a reload on the way."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nodes import short_days
from nodes.command_line import run
from nodes.running_node import DEADLINE_S, NodeShape, RunningNode, running_node
from siteshift.app.offline import Verified, read_record, verify_file
from siteshift.cli.exits import ExitCode
from siteshift.ports import JournalEntry

PROGRAM = (sys.executable, str(Path(short_days.__file__)))
SHAPE = NodeShape(sections={"journal": {"keep_days": 1, "sealed_days": None, "sealed_mb": None}})


def kept(node: RunningNode) -> dict[str, object]:
    code, document = node.ask("GET", "/v1/journal/kept")
    assert code == 200, document
    return document


def first(node: RunningNode) -> int:
    database = kept(node)["database"]
    assert isinstance(database, dict)
    return int(database["first"])


def live(node: RunningNode) -> None:
    """Something to write down."""
    assert node.act("drain", site="gasan", reason="test")[0] == 200
    node.until(lambda status: status["services"][0]["sites"]["gasan"]["life"] == "drained")
    node.calm()


def live_until_sealed(node: RunningNode, entries: int) -> None:
    """Live on until so many entries have left the database."""
    limit_s = time.monotonic() + 3 * DEADLINE_S
    while first(node) <= entries:
        assert time.monotonic() < limit_s, kept(node)
        live(node)


def verified(node: RunningNode) -> Verified:
    return asyncio.run(verify_file(node.database))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("kept"), SHAPE, PROGRAM) as node:
        live_until_sealed(node, 200)
        yield node


def test_what_was_sealed_and_what_is_left_hold_as_one_chain(node: RunningNode) -> None:
    found = verified(node)
    assert (found.first, found.sealed >= 200) == (1, True)
    assert node.ask("GET", "/v1/journal/verify")[1]["holds"]
    ended = run("journal", "verify", "--file", str(node.database))
    assert ended.code == ExitCode.DONE and "in sealed segments" in ended.out, ended.out + ended.err


def test_the_command_says_what_is_kept_and_for_how_long(node: RunningNode) -> None:
    ended = run("journal", "kept", "--socket", str(node.socket))
    assert ended.code == ExitCode.DONE, ended.err
    assert "kept for 1 days and up to 256 MiB, then sealed" in ended.out
    assert "journal-000000000001-" in ended.out
    assert "for ever" in ended.out


def test_what_is_left_can_be_replayed_and_explained(node: RunningNode) -> None:
    ended = run("journal", "replay", "--socket", str(node.socket), "--json")
    assert ended.code == ExitCode.DONE, ended.out + ended.err
    assert ended.document["mismatches"] == []
    code, why = node.ask("GET", f"/v1/why/gasan?at_ms={int(time.time() * 1_000)}")
    assert code == 200 and why["services"], why


def test_segments_can_be_read_and_replayed_without_a_node(node: RunningNode) -> None:
    folder = node.database.with_name("journal")
    assert run("journal", "verify", "--file", str(folder)).code == ExitCode.DONE
    newest = sorted(folder.glob("*.gz"))[0]
    ended = run("journal", "replay", "--file", str(newest), "--json")
    assert ended.code == ExitCode.DONE, ended.err
    assert ended.document["inputs"] > 0 and ended.document["mismatches"] == []


def test_a_reload_while_it_is_sealed_is_taken_and_loses_nothing(node: RunningNode) -> None:
    at = first(node)
    for percent in (11, 12, 13, 14, 15):
        values = yaml.safe_load(node.config.read_text(encoding="utf-8"))
        values["policy"]["ramp_percent"] = [percent, 100]
        node.config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)
        live(node)
    live_until_sealed(node, at + 100)
    assert verified(node).first == 1
    changes = [entry.data["changes"] for entry in whole_record(node) if entry.kind == "reload"]
    assert len(changes) == 5


def test_bounds_are_taken_by_a_reload_and_what_is_removed_is_on_record(node: RunningNode) -> None:
    """The machine's clock is not moved: the day of a file is in its name, so one is made a year older."""
    oldest = sorted(node.database.with_name("journal").glob("*.gz"))[0]
    oldest.rename(oldest.with_name(oldest.name.replace(oldest.name[-17:-9], "20200101")))
    values = yaml.safe_load(node.config.read_text(encoding="utf-8"))
    values["journal"]["sealed_days"] = 400
    node.config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda _: len(node.ask("GET", "/v1/journal?kind=segment_removed")[1]["entries"]) == 1)
    found = verified(node)
    assert found.first > 1 and found.sealed > 0


@pytest.mark.parametrize("point", short_days.POINTS)
def test_a_death_while_it_is_sealed_loses_nothing(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_node(tmp_path, SHAPE, PROGRAM) as node:
        assert node.act("drain", site="pangyo", reason="stays", expires_in_s=3_600)[0] == 200
        node.stop()
        monkeypatch.setenv("SITESHIFT_TEST_DIE_AT", point)
        node.launch()
        assert node.process is not None
        limit_s = time.monotonic() + 3 * DEADLINE_S
        number = 0
        while node.process.poll() is None:
            assert time.monotonic() < limit_s, node.log_tail()
            number += 1
            try:
                node.act("freeze" if number % 2 else "unfreeze", service="shop", reason=f"test {number}")
            except OSError:
                time.sleep(0.1)
        assert node.process.wait() == -signal.SIGKILL
        node.process = None
        monkeypatch.delenv("SITESHIFT_TEST_DIE_AT")
        before = whole_record(node)
        node.launch()
        node.until(lambda status: any(entry["reason"] == "stays" for entry in status["overrides"]))
        node.until(lambda _: first(node) > 1)
        node.stop()
        after = whole_record(node)
        assert after[: len(before)] == before, "an entry was lost or changed"
        found = verified(node)
        assert (found.first, found.entries) == (1, after[-1].sequence)
        assert not list(node.database.with_name("journal").glob("*.partial"))


def whole_record(node: RunningNode) -> list[JournalEntry]:
    """Segments and database as one: each entry once, in order."""

    async def read() -> list[JournalEntry]:
        found: dict[int, JournalEntry] = {}
        folder = node.database.with_name("journal")
        for path in (folder, node.database):
            if path.exists():
                async for entry in read_record(path):
                    assert found.setdefault(entry.sequence, entry) == entry
        return [found[sequence] for sequence in sorted(found)]

    record = asyncio.run(read())
    assert [entry.sequence for entry in record] == list(range(1, len(record) + 1)), "the record has a hole"
    return record
