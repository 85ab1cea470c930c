"""What people expect of a command line: `-h`, `version`, completion, groups, examples, `--yes` and `--json` everywhere."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from nodes.command_line import Cli, run
from nodes.running_node import RunningNode
from siteshift.cli.examples import EXAMPLES, GROUPS
from siteshift.cli.exits import ExitCode
from siteshift.cli.program import COMMANDS, app

BIN = Path(sys.executable).parent


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words."""
    for name, entry in (group or typer.main.get_command(app)).commands.items():
        if getattr(entry, "commands", None):
            yield from commands(entry, (*words, name))
        else:
            yield " ".join((*words, name)), entry


ALL = dict(commands())


def options(entry: Any) -> set[str]:
    return {option for parameter in entry.params for option in parameter.opts}


@pytest.mark.parametrize("words", [(), ("drain",), ("journal",), ("journal", "tail"), ("sim", "run"), ("config", "check")])
def test_short_help_is_help(words: tuple[str, ...]) -> None:
    short, long = run(*words, "-h"), run(*words, "--help")
    assert short.code == long.code == ExitCode.DONE
    assert short.out == long.out and "Usage" in short.out


def test_the_version_is_a_command_and_an_option() -> None:
    assert run("version").out.strip() == run("--version").out.strip() == version("siteshift")
    assert run("version", "--json").document == {"version": version("siteshift")}


def test_every_command_stands_in_one_group_and_help_shows_it_there() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    said = run("-h").out
    for group in GROUPS:
        assert f" {group} " in said


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_is_of_its_command_and_parses(name: str) -> None:
    assert name in ALL, name
    assert any(line.startswith(f"siteshift {name}") for line in EXAMPLES[name])
    shown = " ".join(run(*name.split(), "-h").out.split())
    for line in EXAMPLES[name]:
        assert line in shown
        words = shlex.split(line.partition(" > ")[0])[1:]
        group: Any = typer.main.get_command(app)
        while getattr(group, "commands", None):
            group, words = group.commands[words[0]], words[1:]
        group.make_context("x", words, resilient_parsing=False)


def test_who_acts_may_say_yes_beforehand_in_every_act_and_every_result_is_there_as_json() -> None:
    acts = {name for name, entry in ALL.items() if "--dry-run" in options(entry)} - {"setup"}  # which asks nothing
    assert acts == {name for name, entry in ALL.items() if "--yes" in options(entry)}
    assert len(acts) == 16
    mute = {name for name, entry in ALL.items() if "--json" not in options(entry)}
    assert mute == {"lab demo", "lab up"}, "they run until ended"


def completed(node: RunningNode, line: str) -> list[str]:
    """What bash itself completes a line to, with the script we print."""
    if shutil.which("bash") is None:
        pytest.fail("bash is missing")
    words = line.split(" ")
    code = f"""
source <(siteshift completion bash)
complete -p siteshift >/dev/null || exit 9
COMP_WORDS=({" ".join(shlex.quote(word) for word in words)}) COMP_CWORD={len(words) - 1}
_siteshift_completion siteshift
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "SITESHIFT_SOCKET": str(node.socket)}
    ended = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_bash_completes_commands_options_and_the_names_the_node_knows(node: RunningNode) -> None:
    assert {"drain", "drill"} == set(completed(node, "siteshift dr"))
    assert "--dry-run" in completed(node, "siteshift drain --dr")
    assert completed(node, "siteshift drain pan") == ["pangyo"]
    assert completed(node, "siteshift why sh") == ["shop"]
    assert completed(node, "siteshift drain pangyo --service s") == ["shop"]
    assert completed(node, "siteshift depool shop/pangyo/") == ["shop/pangyo/pangyo-1", "shop/pangyo/pangyo-2"]


def test_a_tab_without_a_node_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    class Gone:
        socket = tmp_path / "none.sock"

    assert completed(Gone(), "siteshift drain pan") == []  # type: ignore[arg-type]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    assert "_SITESHIFT_COMPLETE" in run("completion", shell).out
    assert run("completion", "tcsh").code == ExitCode.USAGE


def test_an_act_that_asks_nothing_takes_yes_all_the_same(cli: Cli) -> None:
    assert cli("freeze", "shop", "-r", "x", "--yes").code == ExitCode.DONE
    assert cli("switch", "on", "--yes").code == ExitCode.DONE
