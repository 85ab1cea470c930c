"""Commands are run without a shell, judged by their exit code, and ended with everything they started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from servers.haproxy_server import until
from siteshift.adapters.child import OUTPUT_BYTES
from siteshift.adapters.standby.command_hook import CommandHook, CommandHookStandby
from siteshift.core.model.codes import StandbyPhase
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

from .standbys import DEADLINE_MS, DRIVER, MEMBER, SHORT_MS


def shell(script: str, *words: str) -> CommandHookStandby:
    """The same small shell script for everything; ``words`` are its arguments."""
    argv = ("/bin/sh", "-c", script, "hook", *words)
    return CommandHookStandby(CommandHook(id=DRIVER, activate=argv, retire=argv, phase=argv))


def runs(pid: str) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    try:
        return Path("/proc", pid.strip(), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_name_is_one_word_and_never_a_command(tmp_path: Path) -> None:
    out = tmp_path / "out"
    driver = shell(f'printf "%s|%s|%s" "$1" "$2" "$SITESHIFT_MEMBER" > {out}', "{name}", "{address}:{port}")
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    assert out.read_text() == f"{MEMBER.name}|127.0.0.1:8080|{MEMBER.id}"


@pytest.mark.parametrize(
    ("code", "phase"),
    [(0, StandbyPhase.READY), (3, StandbyPhase.COLD), (75, StandbyPhase.STARTING), (1, StandbyPhase.FAILED)],
)
async def test_the_exit_code_is_the_phase(code: int, phase: StandbyPhase) -> None:
    assert await shell(f"exit {code}").phase(MEMBER, deadline_ms=DEADLINE_MS) is phase


@pytest.mark.parametrize(("code", "kind"), [(1, Permanent), (3, Permanent), (75, Retryable)])
async def test_a_start_that_is_not_accepted_says_why(code: int, kind: type[AdapterError]) -> None:
    with pytest.raises(AdapterError, match="no room left") as caught:
        await shell(f"echo no room left >&2; exit {code}").activate(MEMBER, deadline_ms=DEADLINE_MS)
    assert type(caught.value) is kind


async def test_at_the_deadline_the_command_and_its_children_are_killed(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(while :; do echo x >> {alive}; sleep 0.02; done) & echo $! > {tmp_path}/child; wait"
    with pytest.raises(Ambiguous):
        await shell(script).activate(MEMBER, deadline_ms=SHORT_MS)
    child = (tmp_path / "child").read_text()

    async def gone() -> bool:
        return not runs(child)

    await until(gone, "the grandchild is killed")
    with pytest.raises(Retryable):
        await shell("sleep 600").phase(MEMBER, deadline_ms=SHORT_MS)


async def test_a_cancelled_call_leaves_no_process(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    call = asyncio.create_task(shell(f"echo $$ > {pid_file}; exec sleep 600").activate(MEMBER, deadline_ms=600_000))

    async def started() -> bool:
        return pid_file.exists() and bool(pid_file.read_text().strip())

    await until(started, "the command runs")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not runs(pid_file.read_text())


async def test_a_daemon_that_keeps_standard_error_open_does_not_hold_us(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    driver = shell(f"setsid sleep 600 & echo $! > {pid_file}; exit 0")
    await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)
    assert runs(pid_file.read_text()), "what was started goes on"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


async def test_a_daemon_that_goes_on_complaining_is_not_killed_by_it(tmp_path: Path) -> None:
    goes_on, ended = tmp_path / "goes_on", tmp_path / "ended"
    daemon = f"while ! test -e {goes_on}; do sleep 0.02; done; echo late >&2; echo $? > {ended}"
    await shell(f"setsid sh -c '{daemon}' & exit 0").activate(MEMBER, deadline_ms=DEADLINE_MS)
    goes_on.touch()

    async def has_ended() -> bool:
        return ended.exists() and ended.read_text().strip() != ""

    await until(has_ended, "the daemon wrote and lived on")
    assert ended.read_text().strip() == "0"


@pytest.mark.parametrize("where", [">&2", "> /dev/stderr", ">> /dev/stderr"])
async def test_a_script_says_why_wherever_it_writes_its_errors(where: str) -> None:
    """A file in memory that is sealed against growth cannot be opened anew by its name: the whole script failed."""
    with pytest.raises(Permanent, match=r"exit code 9: no image$"):
        await shell(f"set -e; echo no image {where}; exit 9").activate(MEMBER, deadline_ms=DEADLINE_MS)
    await shell(f"set -e; echo starting {where}").activate(MEMBER, deadline_ms=DEADLINE_MS)


async def test_a_command_that_writes_without_end_fills_nothing(tmp_path: Path) -> None:
    """All it wrote until its deadline lay on the disk, and all that a daemon wrote for ever which kept standard error open."""
    writer = tmp_path / "writer.py"
    writer.write_text(
        "import os, pathlib\n"
        "taken = 0\n"
        "try:\n"
        "    while True:\n"
        "        taken += os.write(2, b'only words ' * 100)\n"
        "except BlockingIOError:\n"
        f"    pathlib.Path({str(tmp_path / 'taken')!r}).write_text(str(taken))\n"
    )
    with pytest.raises(Permanent, match="only words"):
        await shell(f"{sys.executable} {writer}; echo and now the reason >&2; exit 1").activate(MEMBER, deadline_ms=DEADLINE_MS)
    assert 0 < int((tmp_path / "taken").read_text()) <= OUTPUT_BYTES


async def test_a_command_that_does_not_exist_is_a_permanent_failure() -> None:
    argv = ("/nonexistent/starter",)
    driver = CommandHookStandby(CommandHook(id=DRIVER, activate=argv, retire=argv, phase=argv))
    with pytest.raises(Permanent):
        await driver.activate(MEMBER, deadline_ms=DEADLINE_MS)


def test_a_template_is_checked_at_once() -> None:
    with pytest.raises(ValueError, match="nmae"):
        shell("exit 0", "{nmae}")
    with pytest.raises(ValueError, match="no words"):
        CommandHook(id=DRIVER, activate=(), retire=("true",), phase=("true",))
