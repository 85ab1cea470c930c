"""What a script can rely on: each refusal of a real node has its code, its reason and its exit code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.command_line import Cli, Ended, run
from nodes.running_node import RunningNode
from siteshift.cli.exits import ExitCode, exit_code_of


def test_a_drain_that_is_granted(cli: Cli, node: RunningNode) -> None:
    ended = cli("drain", "pangyo", "--reason", "generator test", "--ticket", "OPS-1", "--for", "2h", "--yes")
    assert ended.code == ExitCode.DONE, ended.err
    assert "pangyo is being drained" in ended.out
    forced = node.status()["overrides"][0]
    assert (forced["reason"], forced["ticket"]) == ("generator test", "OPS-1")
    assert 7_100_000 < forced["left_ms"] <= 7_200_000
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")


def test_the_plan_is_shown_before_anything_moves(cli: Cli, node: RunningNode) -> None:
    ended = cli("drain", "pangyo", "-r", "test")
    assert ended.code == ExitCode.USAGE
    for part in ("share now", "capacity", "Old answers live on", "expected to take"):
        assert part in ended.out
    assert "--yes" in ended.err
    assert node.status()["overrides"] == []


def test_a_dry_run_changes_nothing(cli: Cli, node: RunningNode) -> None:
    ended = cli("drain", "pangyo", "-r", "test", "--dry-run")
    assert ended.code == ExitCode.DONE
    assert "nothing was changed" in ended.err
    assert node.status()["overrides"] == []


def test_the_last_serving_site_is_refused(cli: Cli, node: RunningNode) -> None:
    drained_all_but_anyang(cli, node)
    ended = cli("drain", "anyang", "-r", "test", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "LAST_SERVING_SITE" in ended.out + ended.err
    assert cli("drain", "anyang", "-r", "test", "--dry-run").code == ExitCode.REFUSED


def drained_all_but_anyang(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes").code == ExitCode.DONE
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    needs = cli("drain", "gasan", "-r", "test", "--yes", "--json")
    assert needs.code == ExitCode.NEEDS_APPROVAL
    digest = needs.document["plans"][0]["digest"]
    assert cli("drain", "gasan", "-r", "test", "--digest", digest).code == ExitCode.DONE


def test_what_survivors_cannot_carry_needs_approval_by_digest(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes").code == ExitCode.DONE
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    ended = cli("drain", "gasan", "-r", "test", "--yes")
    assert ended.code == ExitCode.NEEDS_APPROVAL
    assert "CAPACITY_SHORT" in ended.out
    digest = cli("drain", "gasan", "-r", "test", "--dry-run", "--json").document["plans"][0]["digest"]
    assert f"siteshift drain gasan --reason test --digest {digest}" in ended.err
    assert len(node.status()["overrides"]) == 1
    assert cli("drain", "gasan", "-r", "test", "--digest", digest).code == ExitCode.DONE
    assert len(node.status()["overrides"]) == 2


def test_a_stale_digest_shows_the_plan_of_now(cli: Cli) -> None:
    ended = cli("drain", "pangyo", "-r", "test", "--digest", "0123456789abcdef")
    assert ended.code == ExitCode.REFUSED
    assert "STALE_DIGEST" in ended.err
    assert "share now" in ended.out
    document = cli("drain", "pangyo", "-r", "test", "--digest", "0123456789abcdef", "--json").document
    assert document["code"] == "STALE_DIGEST"
    assert document["plans"][0]["digest"] in document["remedy"]


@pytest.mark.parametrize(
    "words", [("drain", "mars", "-r", "x", "--yes"), ("undrain", "mars", "--yes"), ("why", "mars"), ("ack", "mars")]
)
def test_an_unknown_site_is_a_wrong_command_line_and_told_with_the_names_there_are(cli: Cli, words: tuple[str, ...]) -> None:
    ended = cli(*words)
    assert ended.code == ExitCode.USAGE
    assert "UNKNOWN_NAME" in ended.out + ended.err
    assert "pangyo, gasan, anyang" in ended.out + ended.err


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("members", "mars"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("why", "mars"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("drain", "mars", "-r", "x", "--yes"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("drain", "mars", "-r", "x", "--dry-run"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("drain", "pangyo", "-s", "shpo", "-r", "x", "--yes"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("freeze", "shpo", "-r", "x"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("unfreeze", "shpo"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("depool", "shop/pangyo/nobody", "-r", "x", "--yes"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("override", "lift", "o99", "--yes"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("override", "mode", "shpo", "auto", "-r", "x"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("override", "shares", "shop", "pangoy=100", "-r", "x", "--yes"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("ack", "--plane", "dnss"), "UNKNOWN_NAME", ExitCode.USAGE),
        (("approve", "0123456789abcdef"), "NOTHING_TO_DO", ExitCode.REFUSED),
        (("drain", "pangyo", "-r", "x"), "USAGE", ExitCode.USAGE),
        (("why", "pangyo", "--at", "yesterday"), "USAGE", ExitCode.USAGE),
    ],
)
def test_a_failure_in_json_says_what_why_and_what_to_do(cli: Cli, words: tuple[str, ...], code: str, exit_code: ExitCode) -> None:
    ended = cli(*words, "--json")
    said = ended.document
    assert (ended.code, said["exit_code"], said["code"]) == (exit_code, exit_code, code)
    assert said["detail"] and said["remedy"]
    assert said.get("dry_run", "--dry-run" in words) is ("--dry-run" in words)


def test_an_unknown_name_is_said_once(cli: Cli) -> None:
    assert cli("why", "mars").err.startswith("UNKNOWN_NAME: there is no site or service 'mars'; known: pangyo")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("why", "pangoy"), "pangyo"),
        (("members", "pangoy"), "pangyo"),
        (("drain", "Pangyo", "-r", "x", "--yes"), "pangyo"),
        (("drain", "pangyo", "-s", "shpo", "-r", "x", "--yes"), "shop"),
        (("unfreeze", "shpo"), "shop"),
        (("freeze", "shpo", "-r", "x"), "shop"),
    ],
)
def test_a_name_that_is_almost_one_is_answered_with_the_one_that_was_meant(cli: Cli, words: tuple[str, ...], meant: str) -> None:
    ended = cli(*words)
    assert ended.code == ExitCode.USAGE
    assert f"did you mean '{meant}'?" in ended.out + ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("undrain", "pangyo", "--yes"),
        ("undrain", "pangyo", "--dry-run"),
        ("undrain", "pangyo"),
        ("undrain", "pangyo", "--yes", "--wait"),
        ("pool", "shop/pangyo/pangyo-1", "--yes"),
        ("ack", "pangyo"),
        ("ack",),
        ("ack", "--plane", "dns"),
        ("unfreeze",),
        ("unfreeze", "shop"),
        ("switch", "on"),
    ],
)
def test_what_is_so_already_is_done_with_a_note(cli: Cli, words: tuple[str, ...]) -> None:
    """A script that runs twice failed the second time."""
    ended = cli(*words)
    assert ended.code == ExitCode.DONE, ended.err
    assert "nothing to do: " in ended.out
    said = cli(*words, "--json").document
    assert (said["code"], said["exit_code"]) == ("NOTHING_TO_DO", 0)
    assert said["note"]


def test_a_drain_of_all_services_is_not_lifted_for_one_and_that_is_no_success(cli: Cli) -> None:
    assert cli("drain", "pangyo", "-r", "test", "--yes").code == ExitCode.DONE
    ended = cli("undrain", "pangyo", "-s", "shop", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "drained for all services by override" in ended.out + ended.err
    assert cli("freeze", "-r", "x").code == ExitCode.DONE
    assert cli("unfreeze", "shop").code == ExitCode.REFUSED


def test_who_is_not_known_and_whose_role_is_too_small_is_refused() -> None:
    assert (exit_code_of(401, "UNKNOWN_PERSON"), exit_code_of(403, "ROLE")) == (ExitCode.REFUSED, ExitCode.REFUSED)


def test_the_exit_codes_are_documented_in_one_place_and_each_once() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "CLI.md").read_text()
    for code in ExitCode:
        assert len(re.findall(rf"(?m)^\| {int(code)} \|", text)) == 1
    for other in (root / "README.md", *(path for path in (root / "docs").glob("*.md") if path.name != "CLI.md")):
        assert not re.search(r"(?i)exit codes?:? 0 ", other.read_text()), other


def test_an_override_that_is_over_already(cli: Cli) -> None:
    assert cli("drain", "pangyo", "-r", "x", "--for", "0s", "--yes").code == ExitCode.USAGE


def test_an_override_that_would_last_too_long(cli: Cli) -> None:
    ended = cli("drain", "pangyo", "-r", "x", "--for", "73h", "--yes")
    assert ended.code == ExitCode.REFUSED
    assert "OVERRIDE_TOO_LONG" in ended.err


def test_an_override_ends_by_itself(cli: Cli, node: RunningNode) -> None:
    assert cli("drain", "pangyo", "-r", "x", "--for", "2s", "--yes").code == ExitCode.DONE
    node.until(lambda status: not status["overrides"])
    ended = cli("journal", "tail", "--kind", "override_expired", "--json")
    assert ended.document["entries"][-1]["data"]["owner"] == "root"


@pytest.mark.parametrize(
    "words",
    [
        ("drain", "pangyo"),
        ("drain", "pangyo", "-r", "x", "--for", "soon"),
        ("why", "pangyo", "--at", "yesterday"),
        ("approve", "123"),
        ("override", "shares", "shop", "pangyo:50", "-r", "x"),
        ("override", "shares", "shop", "pangyo=50.005", "-r", "x"),
        ("override", "mode", "shop", "off", "-r", "x"),
        ("top",),
        ("nonsense",),
    ],
)
def test_a_wrong_command_line(cli: Cli, words: tuple[str, ...]) -> None:
    ended: Ended = cli(*words)
    assert ended.code == ExitCode.USAGE
    assert "Traceback" not in ended.err


def test_a_broken_configuration_keeps_the_node_from_starting(tmp_path: Path) -> None:
    config = tmp_path / "siteshift.yaml"
    config.write_text("node: {id: n}\nsites: [{id: a}, {id: a}]\nnonsense: 1\n")
    ended = run("run", "--config", str(config))
    assert ended.code == ExitCode.USAGE
    lines = [line for line in ended.err.splitlines() if line.startswith(f"{config}:")]
    assert len(lines) >= 2
    assert any(line.startswith(f"{config}:3:1 CFG-101") for line in lines)


def test_a_second_node_on_the_same_folder_is_told_what_is_in_the_way(node: RunningNode) -> None:
    script = Path(sys.executable).parent / "siteshift"
    second = subprocess.run([script, "run", "--config", node.config], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == ExitCode.FAILED
    assert "another process holds the file" in second.stderr
    assert "start it again" in second.stderr
    assert "Traceback" not in second.stderr


def test_configurations_are_checked_without_a_node(tmp_path: Path, node: RunningNode) -> None:
    assert run("config", "check", str(node.config)).code == ExitCode.DONE
    assert "ramp_percent" in run("config", "show", str(node.config)).out
    assert run("config", "show", str(node.config), "--json").document["node"]["id"] == "node-anyang"
    assert run("config", "schema").document["title"] == "siteshift configuration"
    broken = tmp_path / "broken.yaml"
    broken.write_text("node: 3\n")
    ended = run("config", "check", str(broken), "--json")
    assert ended.code == ExitCode.USAGE
    assert ended.document["problems"][0]["line"] == 1
    assert run("config", "show", str(broken)).code == ExitCode.USAGE
