"""Files that a command is given are refused in words, whatever they hold: a traceback says only whose fault it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.cli.exits import ExitCode

DIGITS = "9" * 5_000
"""More than Python reads as one number."""


@pytest.mark.parametrize(
    "text",
    [
        "policy: {ttl_normal_s: 2020-99-99}",
        "[" * 20_000,
        "policy: " + "{a: " * 5_000,
        f"policy: {{ttl_normal_s: {DIGITS}}}",
        "&a [*a]",
    ],
    ids=["a date that is none", "deep lists", "deep mappings", "a long number", "itself"],
)
def test_a_policy_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    policy = tmp_path / "new.yaml"
    policy.write_text(text + "\n", encoding="utf-8")
    found = run("journal", "replay", "--file", str(tmp_path / "none.jsonl"), "--policy", str(policy))
    assert found.code == ExitCode.USAGE
    assert f"{policy}:1:" in found.err


def test_a_policy_that_never_ends_is_not_read() -> None:
    found = run("journal", "replay", "--file", "none.jsonl", "--policy", "/dev/zero")
    assert found.code == ExitCode.USAGE
    assert "not a regular file" in found.err


@pytest.mark.parametrize("number", [DIGITS, f"{'9' * 400}.5"], ids=["long", "infinite"])
def test_a_scenario_with_a_number_that_nobody_can_read_is_refused_with_its_line(tmp_path: Path, number: str) -> None:
    scenario = tmp_path / "long.yaml"
    scenario.write_text(f"id: long\nduration_s: {number}\n", encoding="utf-8")
    for command in ("run", "score"):
        found = run("sim", command, str(scenario))
        assert found.code == ExitCode.USAGE
        assert f"{scenario}:2:" in found.err


def test_an_export_that_is_not_utf_8_is_told_as_a_broken_journal(tmp_path: Path) -> None:
    export = tmp_path / "record.jsonl"
    export.write_bytes(b"\xff\xfe\n")
    found = run("journal", "replay", "--file", str(export))
    assert found.code == ExitCode.FAILED
    assert "is not UTF-8" in found.err
