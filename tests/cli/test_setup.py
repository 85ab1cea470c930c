"""`siteshift setup` puts on a host what the wheel brings, says so beforehand, and leaves what a person changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nodes.command_line import Ended, run
from siteshift.app.install import EXAMPLES, is_as_written, stamp
from siteshift.cli import setup
from siteshift.cli.exits import ExitCode
from siteshift.config import check_config

UNIT, CONFIG = "etc/systemd/system/siteshift.service", "etc/siteshift/siteshift.yaml"
SHARED = "usr/local/share/siteshift"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "opt" / "siteshift" / "bin" / "siteshift"
    path.parent.mkdir(parents=True)
    path.touch(0o755)
    return path


def install(root: Path, program: Path, *words: str) -> Ended:
    return run("setup", "--root", str(root), "--program", str(program), *words)


def test_a_dry_run_names_everything_and_writes_nothing(tmp_path: Path, program: Path) -> None:
    root = tmp_path / "image"
    ended = install(root, program, "--dry-run", "--example", "bind", "--json")
    assert ended.code == ExitCode.DONE, ended.err
    assert not root.exists()
    named = {entry["path"] for entry in ended.document["files"]}
    assert {str(root / UNIT), str(root / CONFIG), str(root / SHARED / "simulations")} <= named
    assert {entry["doing"] for entry in ended.document["files"]} == {"write", "link"}


def test_it_installs_what_a_host_needs(tmp_path: Path, program: Path) -> None:
    root = tmp_path / "image"
    ended = install(root, program, "--example", "haproxy")
    assert ended.code == ExitCode.DONE, ended.out + ended.err
    unit = (root / UNIT).read_text()
    assert f"ExecStart={program} run --config /etc/siteshift/siteshift.yaml" in unit
    assert "/opt/siteshift/.venv" not in unit and "/opt/siteshift/docs" not in unit
    document = next(line for line in unit.splitlines() if line.startswith("Documentation="))
    assert (root / document.removeprefix("Documentation=file:///")).exists()
    assert "u siteshift" in (root / "etc/sysusers.d/siteshift.conf").read_text()
    assert (root / "usr/local/bin/siteshift").readlink() == program
    for name in ("config/prometheus-alerts.yaml", "config/grafana-dashboard.json", "config/haproxy.cfg.example"):
        assert (root / SHARED / name).exists(), name
    assert len(list((root / SHARED / "simulations").glob("*.yaml"))) > 30
    assert (root / SHARED / "docs/INSTALL.md").exists()
    assert not [path for path in root.rglob("*") if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH]


def test_it_may_be_repeated_and_says_that_nothing_is_to_do(tmp_path: Path, program: Path) -> None:
    install(tmp_path / "image", program, "--example", "bind")
    ended = install(tmp_path / "image", program, "--example", "haproxy", "--json")
    assert ended.code == ExitCode.DONE
    doing = {entry["path"].removeprefix(f"{tmp_path}/image/"): entry["doing"] for entry in ended.document["files"]}
    assert (doing[UNIT], doing[CONFIG], doing["usr/local/bin/siteshift"]) == ("keep", "keep", "keep")
    assert "tsig" in (tmp_path / "image" / CONFIG).read_text(), "the first example stays"


def test_an_older_unit_of_ours_is_replaced_and_a_changed_one_left(tmp_path: Path, program: Path) -> None:
    root = tmp_path / "image"
    install(root, program)
    unit = root / UNIT
    unit.write_text(stamp("[Service]\nExecStart=/old\n"))
    assert install(root, program).code == ExitCode.DONE
    assert f"ExecStart={program}" in unit.read_text()
    unit.write_text(unit.read_text().replace("MemoryMax=2G", "MemoryMax=4G"))
    ended = install(root, program)
    assert ended.code == ExitCode.FAILED
    assert "MemoryMax=4G" in unit.read_text() and "drop-in" in ended.out
    assert install(root, program, "--replace").code == ExitCode.DONE
    assert "MemoryMax=2G" in unit.read_text()


def test_a_command_of_somebody_else_stays(tmp_path: Path, program: Path) -> None:
    other = tmp_path / "image" / "usr/local/bin/siteshift"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    ended = install(tmp_path / "image", program)
    assert ended.code == ExitCode.FAILED
    assert other.read_text() == "mine" and "something else stands there" in ended.out


def test_a_program_that_the_unit_cannot_see_is_refused_with_the_way(program: Path) -> None:
    ended = run("setup", "--program", str(program), "--dry-run")
    assert ended.code == ExitCode.FAILED
    assert "hides home directories and /tmp" in ended.err and "/opt" in ended.err


@pytest.mark.parametrize("words", [("--program", "/opt/none/siteshift"), ("--example", "nginx")])
def test_what_is_not_there_is_named(words: tuple[str, str], tmp_path: Path) -> None:
    ended = run("setup", "--root", str(tmp_path), *words)
    assert ended.code in (ExitCode.FAILED, ExitCode.USAGE)
    assert words[1] in ended.err


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, program: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    ended = install(root, program)
    assert ended.code == ExitCode.FAILED
    assert str(root) in ended.err


def test_the_examples_named_on_the_command_line_are_those_there_are() -> None:
    assert tuple(EXAMPLES) == setup.EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_sound_but_for_its_addresses_and_secrets(example: str, tmp_path: Path, program: Path) -> None:
    install(tmp_path / "image", program, "--example", example)
    from siteshift.config import ProblemSeverity, Surroundings

    problems = check_config(tmp_path / "image" / CONFIG, Surroundings.IGNORED)
    assert [entry for entry in problems if entry.severity is ProblemSeverity.ERROR] == []


def test_a_stamp_tells_a_change_apart() -> None:
    assert is_as_written(stamp("[Unit]\n"))
    assert not is_as_written(stamp("[Unit]\n") + "x\n")
    assert not is_as_written("[Unit]\n")
