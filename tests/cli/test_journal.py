"""The record from the command line: read, followed, verified with and without a node, copied."""

from __future__ import annotations

import ast
import json
import sqlite3
from pathlib import Path

import pytest

from nodes.command_line import Cli, on_terminal, run
from nodes.running_node import RunningNode
from siteshift.cli.exits import ExitCode
from siteshift.cli.journal_kinds import KINDS
from siteshift.cli.show_journal import LONGEST, sentence

SOURCE = Path(__file__).parents[2] / "src" / "siteshift"


def test_the_last_entries_in_order(cli: Cli) -> None:
    cli("switch", "off", "-r", "first")
    cli("switch", "on", "-r", "second")
    document = cli("journal", "tail", "-n", "2", "--kind", "answer", "--json").document
    assert [entry["data"]["reason"] for entry in document["entries"]] == ["first", "second"]
    assert "root (uid 0) asked: switch on (second): allowed" in cli("journal", "tail", "--kind", "answer").out


def test_what_serves_a_replay_shows_only_when_asked_for(cli: Cli) -> None:
    usual = {entry["kind"] for entry in cli("journal", "tail", "-n", "1000", "--json").document["entries"]}
    assert "decision" in usual
    assert not usual & {"input", "why"}
    asked = cli("journal", "tail", "--kind", "why", "--kind", "input", "--json").document["entries"]
    assert {entry["kind"] for entry in asked} <= {"why", "input"}
    assert asked


def test_the_record_is_followed(node: RunningNode) -> None:
    node.act("switch-on", reason="before")
    surroundings = {"SITESHIFT_SOCKET": str(node.socket)}
    with on_terminal("journal", "tail", "-f", "-n", "1", "-k", "answer", environment=surroundings) as tail:
        tail.until("answer")
        node.act("switch-off", reason="while followed")
        tail.until("while followed")
        node.act("switch-on", reason="and back")
        tail.until("and back")
        tail.interrupt()
        assert tail.end() == ExitCode.DONE


def test_the_chain_is_verified_with_and_without_the_node(cli: Cli, node: RunningNode) -> None:
    assert "the chain holds" in cli("journal", "verify").out
    assert cli("journal", "verify", "--json").document["holds"] is True
    offline = run("journal", "verify", "--file", str(node.database), "--json")
    assert offline.document["holds"] is True
    assert offline.document["entries"] > 5


def test_exports_of_node_and_file_are_the_same(cli: Cli, node: RunningNode, tmp_path: Path) -> None:
    online, offline = tmp_path / "online.jsonl", tmp_path / "offline.jsonl"
    assert cli("journal", "export", str(online)).code == ExitCode.DONE
    assert run("journal", "export", str(offline), "--file", str(node.database)).code == ExitCode.DONE
    ours, theirs = online.read_text().splitlines(), offline.read_text().splitlines()
    assert ours == theirs[: len(ours)]
    assert f"{len(ours)} entries" in run("journal", "verify", "--file", str(online)).out
    assert cli("journal", "export", str(online)).code == ExitCode.USAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["offline.jsonl", "online.jsonl"]


def test_an_edited_export_does_not_hold(cli: Cli, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    cli("journal", "export", str(copy))
    lines = copy.read_text().splitlines()
    entry = json.loads(lines[3])
    entry["at_ms"] += 1
    copy.write_text("\n".join([*lines[:3], json.dumps(entry), *lines[4:]]) + "\n")
    ended = run("journal", "verify", "--file", str(copy))
    assert ended.code == ExitCode.FAILED
    assert "journal entry 4" in ended.err
    assert run("journal", "verify", "--file", str(copy), "--json").document["sequence"] == 4


def test_an_edited_file_does_not_hold(node: RunningNode, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with sqlite3.connect(node.database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE journal SET at_ms = at_ms + 1 WHERE sequence = 2")
    ended = run("journal", "verify", "--file", str(copy))
    assert ended.code == ExitCode.FAILED
    assert "journal entry 2" in ended.err


@pytest.mark.parametrize("name", ["none.db", "none.jsonl"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    ended = run("journal", "verify", "--file", str(tmp_path / name))
    assert ended.code == ExitCode.FAILED
    assert name in ended.err


def test_every_kind_has_something_to_say() -> None:
    assert sentence({"kind": "life", "data": {"from": "serving"}}) == '{"from": "serving"}'
    assert sentence({"kind": "new", "data": {"text": "x" * 1_000}}).endswith("whole with --json)")
    assert len(sentence({"kind": "new", "data": {"text": "x" * 1_000}})) < LONGEST + 60


def test_a_kind_that_no_row_has_is_refused_with_those_there_are(cli: Cli) -> None:
    ended = cli("journal", "tail", "-k", "decison")
    assert (ended.code, "'decison'" in ended.err, "decision, envelope_left" in ended.err) == (ExitCode.USAGE, True, True)


def test_the_kinds_that_are_named_are_those_that_are_written() -> None:
    """Rows are written by `record(KIND, ...)`, `note(KIND, ...)` and `Record(kind=KIND, ...)`."""
    written = {"gap"}
    for path in (SOURCE / "core", SOURCE / "runtime", SOURCE / "app"):
        for file in path.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    given = [k.value for k in node.keywords if k.arg == "kind"] if name == "Record" else node.args[:1]
                    if name in ("record", "note", "Record"):
                        written |= {e.value for e in given if isinstance(e, ast.Constant) and isinstance(e.value, str)}
    assert set(KINDS) == written


def test_the_record_names_who_is_behind_sudo_and_what_where_and_under_which_ticket(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said `root asked: drain`: which of the ten who may become root, and of what, nobody could tell."""
    monkeypatch.setenv("SUDO_USER", "kim")
    monkeypatch.setenv("SUDO_UID", "1000")
    assert cli("drain", "pangyo", "-s", "shop", "-r", "power work", "-t", "OPS-17", "--yes").code == ExitCode.DONE
    said = cli("journal", "tail", "--kind", "answer").out.splitlines()[-1]
    assert "root (uid 0, sudo by kim (uid 1000)) asked: drain pangyo of shop (power work) [OPS-17]: allowed, override" in said
    row = cli("journal", "tail", "--kind", "answer", "--json").document["entries"][-1]["data"]
    assert (row["person"], row["peer"], row["via"]) == ("root", "uid 0, sudo by kim (uid 1000)", "unix socket")
    assert (row["about"], row["ticket"]) == ({"site": "pangyo", "service": "shop"}, "OPS-17")
    monkeypatch.setenv("SUDO_USER", "kim; rm -rf \x1b[31m")
    assert cli("undrain", "pangyo", "-s", "shop", "--yes").code == ExitCode.DONE
    assert cli("journal", "tail", "--kind", "answer", "--json").document["entries"][-1]["data"]["peer"] == "uid 0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("depool", "shop/pangyo/pangyo-1", "-r", "disk", "--yes"), "asked: depool shop/pangyo/pangyo-1 (disk)"),
        (("freeze", "shop", "-r", "x"), "asked: freeze of shop (x)"),
        (("freeze", "-r", "x"), "asked: freeze (x)"),
        (("override", "mode", "shop", "recommend", "-r", "x"), "asked: mode recommend of shop (x)"),
        (
            ("override", "shares", "shop", "pangyo=45", "gasan=33", "anyang=22", "-r", "x", "--yes"),
            "asked: shares anyang 22 %, gasan 33 %, pangyo 45 % of shop (x)",
        ),
    ],
)
def test_every_request_is_on_record_with_what_it_is_about(cli: Cli, words: tuple[str, ...], said: str) -> None:
    cli(*words)
    assert said in cli("journal", "tail", "--kind", "answer").out.splitlines()[-1]
