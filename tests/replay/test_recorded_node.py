"""A real node's record is enough: folded through the core again, every decision comes out as it was."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nodes.command_line import run
from nodes.running_node import RunningNode, running_node
from siteshift.app.offline import read_record
from siteshift.cli.exits import ExitCode
from siteshift.core.model.codes import Failback, Mode
from siteshift.core.model.policy import Policy
from siteshift.ports import JournalEntry
from siteshift.replay.as_recorded import fold
from siteshift.replay.rows import CannotReplay, rows_of
from siteshift.replay.what_if import WhatIf, what_if


def entries_of(path: Path) -> list[JournalEntry]:
    async def read() -> list[JournalEntry]:
        return [entry async for entry in read_record(path)]

    return asyncio.run(read())


def live(node: RunningNode) -> None:
    """A crash and a return, a drain, another configuration, a death and a new start."""
    pangyo = [name for name in node.shape.member_names if name.startswith("pangyo")]
    for name in pangyo:
        node.members.stop(name)
    node.until(lambda status: status["sites"]["pangyo"]["standing"] == "down")
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    node.calm()
    digest = node.act("drain", site="gasan", reason="test", dry_run=True)[1]["offer"]["digest"]
    assert node.act("drain", site="gasan", reason="test", digest=digest)[0] == 200
    node.until(lambda status: status["services"][0]["sites"]["gasan"]["life"] == "drained")
    node.calm()
    values = yaml.safe_load(node.config.read_text(encoding="utf-8"))
    values["policy"]["ttl_normal_s"] = 3
    node.config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda _: any(e["kind"] == "reload" for e in node.ask("GET", "/v1/journal?kind=reload")[1]["entries"]))
    node.kill()
    node.start()
    node.calm()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store of a node that has lived through something, and stopped."""
    folder = tmp_path_factory.mktemp("recorded")
    with running_node(folder) as node:
        live(node)
        by_api = run("journal", "replay", "--socket", str(node.socket), "--json")
        assert by_api.code == ExitCode.DONE, by_api.out + by_api.err
        assert by_api.document["mismatches"] == []
        assert node.stop() == 0
        shutil.copy(node.config, folder / "kept.yaml")
        kept = folder / "kept.db"
        with sqlite3.connect(node.database) as connection, sqlite3.connect(kept) as copy:
            connection.backup(copy)
        yield kept


@pytest.fixture(scope="module")
def record(recorded: Path) -> list[JournalEntry]:
    return entries_of(recorded)


def under(record: list[JournalEntry], policy: Policy | None) -> WhatIf:
    return what_if(rows_of(record), lambda recorded: recorded if policy is None else policy)


def policy_of(record: list[JournalEntry]) -> Policy:
    run = fold(rows_of(record))
    assert run.setup is not None
    return run.setup.policy


def test_every_decision_comes_out_as_recorded(record: list[JournalEntry]) -> None:
    found = fold(rows_of(record))
    assert found.mismatches == []
    assert found.former == 0, "digests of this version hold by themselves"
    assert found.starts == 2
    assert found.decisions == sum(entry.kind == "decision" for entry in record) >= 6
    assert found.passed_over == 0


def test_the_reloaded_policy_holds_from_its_event_on(record: list[JournalEntry]) -> None:
    assert policy_of(record).default.ttl_normal_s == 3


def test_a_decision_that_nobody_would_take_is_found(record: list[JournalEntry]) -> None:
    number, entry = next((n, e) for n, e in enumerate(record) if e.kind == "decision" and n > len(record) // 2)
    forged = [*record]
    forged[number] = replace(entry, data={**entry.data, "digest": "0" * 16})
    (found,) = fold(rows_of(forged)).mismatches
    assert found.recorded is not None and found.recorded[1] == "0" * 16
    assert found.replayed is not None and found.replayed[1] == entry.data["digest"]


def test_an_input_that_is_missing_is_noticed(record: list[JournalEntry]) -> None:
    asked = next(n for n, e in enumerate(record) if e.kind == "input" and "DrainRequest" in json.dumps(e.data))
    shorter = [entry for number, entry in enumerate(record) if number != asked]
    assert fold(rows_of(shorter)).mismatches


def test_a_record_that_the_core_fails_on_is_refused_with_its_entry(record: list[JournalEntry]) -> None:
    """A plan for a service that the configuration never had: a traceback, before."""
    number, entry = next((n, e) for n, e in enumerate(record) if e.kind == "input" and e.data["event"].get("foreseen"))
    event = json.loads(json.dumps(dict(entry.data["event"])))
    event["foreseen"][0]["plan"]["services"][0] = "x"
    forged = [*record]
    forged[number] = replace(entry, data={**entry.data, "event": event})
    with pytest.raises(CannotReplay, match=f"entry {entry.sequence}: the core fails on it"):
        fold(rows_of(forged))


def test_a_record_that_begins_before_a_start_is_passed_over_until_then(record: list[JournalEntry]) -> None:
    later = [entry for entry in record if entry.sequence > 5]
    found = fold(rows_of(later))
    assert found.passed_over > 0
    assert found.starts == 1
    assert found.mismatches == []


def test_the_same_policy_never_parts_from_the_record(record: list[JournalEntry]) -> None:
    found = under(record, None)
    assert found.differences() == []
    assert found.recorded.mismatches == []


def test_a_policy_that_only_observes_would_have_moved_nothing(record: list[JournalEntry]) -> None:
    policy = policy_of(record)
    found = under(record, replace(policy, default=replace(policy.default, mode=Mode.OBSERVE)))
    assert found.is_apart
    first = found.differences()[0]
    assert first.recorded is not None and first.other is not None
    assert first.recorded.steering.shares_bp["pangyo"] == 0
    assert first.other.steering.shares_bp["pangyo"] == 5_000
    assert all(entry.steering.shares_bp["pangyo"] == 5_000 for entry in found.would_be["shop"])


def test_a_policy_that_stays_away_does_not_come_back_by_itself(record: list[JournalEntry]) -> None:
    policy = policy_of(record)
    found = under(record, replace(policy, default=replace(policy.default, failback=Failback.MANUAL, soak_ms=5_000)))
    assert found.differences()
    assert [entry.text for entry in found.would_be["shop"][:2]] == [entry.text for entry in found.was["shop"][:2]]


def test_what_people_confirmed_is_confirmed_under_another_policy_too(record: list[JournalEntry]) -> None:
    """The policy is part of what a digest is of: under another one every digest of the record was stale, and nobody drained."""
    policy = policy_of(record)
    found = under(record, replace(policy, default=replace(policy.default, max_utilisation_pm=850)))
    assert any(shares.steering.shares_bp["gasan"] == 0 for shares in found.was["shop"])
    assert any(shares.steering.shares_bp["gasan"] == 0 for shares in found.would_be["shop"])


def test_from_the_command_line(recorded: Path, tmp_path: Path) -> None:
    policy = tmp_path / "observe.yaml"
    policy.write_text("policy: {mode: observe}\n", encoding="utf-8")
    shown = run("journal", "replay", "--file", str(recorded), "--policy", str(policy))
    assert shown.code == ExitCode.DONE, shown.err
    assert "all come out as recorded" in shown.out
    assert "would have steered otherwise" in shown.out
    document = run("journal", "replay", "--file", str(recorded), "--policy", str(policy), "--json").document
    assert document["mismatches"] == []
    assert document["differences"][0]["recorded_bp"]["pangyo"] == 0


def test_an_incident_becomes_a_scenario_that_plays_in_the_world_of_its_configuration(recorded: Path, tmp_path: Path) -> None:
    again, transcript = tmp_path / "again.yaml", tmp_path / "transcript.txt"
    made = run("journal", "to-scenario", str(again), "--file", str(recorded), "--json")
    assert made.code == ExitCode.DONE, made.out + made.err
    values = yaml.safe_load(again.read_text(encoding="utf-8"))
    crash, drain = values["events"][0], next(event for event in values["events"] if event.get("ask") == "drain")
    assert (crash["at_s"], crash["fault"], crash["site"]) == (0, "crash", "pangyo")
    assert "members" not in crash, "all members of the site are the site"
    assert (drain["site"], drain["confirms"], drain["reason"]) == ("gasan", True, "test")
    assert "# guessed: faults are named by what checks" in again.read_text(encoding="utf-8")
    assert any(event.get("note") == "the configuration was reloaded" for event in values["events"])

    config = recorded.with_name("kept.yaml")
    played = run("sim", "run", "--config", str(config), str(again), "--transcript", str(transcript), "--json")
    assert played.code == ExitCode.DONE, played.out + played.err
    said = transcript.read_text(encoding="utf-8")
    assert "serving to suspect" in said and "shop/pangyo" in said
    assert "root asks" in said or "asks" in said


def test_a_part_of_the_record_in_which_nothing_happened_makes_no_scenario(recorded: Path, tmp_path: Path) -> None:
    quiet = run("journal", "to-scenario", str(tmp_path / "no.yaml"), "--file", str(recorded), "--until", "2001-01-01T00:00:00Z")
    assert quiet.code == ExitCode.FAILED
    assert "nothing was ill and nobody asked for anything" in quiet.err
    assert not (tmp_path / "no.yaml").exists()


def test_a_scenario_is_written_over_nothing(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("mine", encoding="utf-8")
    assert run("journal", "to-scenario", str(tmp_path / "there.yaml"), "--file", str(recorded)).code == ExitCode.USAGE
    assert (tmp_path / "there.yaml").read_text(encoding="utf-8") == "mine"
    assert run("journal", "to-scenario", str(tmp_path / "there.txt"), "--file", str(recorded)).code == ExitCode.USAGE


def test_an_export_serves_as_well(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "record.jsonl"
    assert run("journal", "export", str(copy), "--file", str(recorded)).code == ExitCode.DONE
    assert run("journal", "replay", "--file", str(copy), "--json").document["decisions"] >= 6


def test_a_forged_record_fails_the_command(recorded: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged.db"
    shutil.copy(recorded, forged)
    with sqlite3.connect(forged) as connection:
        sequence, data = connection.execute(
            "select sequence, data from journal where kind = 'decision' limit 1 offset 2"
        ).fetchone()
        changed = json.dumps({**json.loads(data), "digest": "0" * 16})
        connection.execute("update journal set data = ? where sequence = ?", (changed, sequence))
    found = run("journal", "replay", "--file", str(forged))
    assert found.code == ExitCode.FAILED
    assert "come out differently" in found.out


def test_a_policy_file_with_an_unknown_key_is_refused(recorded: Path, tmp_path: Path) -> None:
    policy = tmp_path / "bad.yaml"
    policy.write_text("policy: {hold_dwon_s: 3}\n", encoding="utf-8")
    found = run("journal", "replay", "--file", str(recorded), "--policy", str(policy))
    assert found.code == ExitCode.USAGE
    assert "hold_dwon_s" in found.err
