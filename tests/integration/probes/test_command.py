"""Commands: exit status, output, and an end to everything they start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProbeKind

from .probing import DEADLINE_S, first_result, spec


async def test_exit_status_zero_passes() -> None:
    result = await first_result(spec(ProbeKind.COMMAND, 0, command=("true",)))
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE)


async def test_another_exit_status_fails_with_the_first_line_of_output() -> None:
    result = await first_result(spec(ProbeKind.COMMAND, 0, command=("sh", "-c", "echo replica lags >&2; exit 2")))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)
    assert result.detail == "exit status 2: replica lags"


async def test_death_by_a_signal_fails() -> None:
    result = await first_result(spec(ProbeKind.COMMAND, 0, command=("sh", "-c", "kill -SEGV $$")))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.BAD_STATUS)
    assert result.detail == "killed by signal 11"


async def test_the_output_must_contain_what_is_expected() -> None:
    command = ("sh", "-c", "echo $SITESHIFT_ADDRESS $SITESHIFT_PORT $SITESHIFT_TARGET")
    good = spec(ProbeKind.COMMAND, 81, command=command, expect=b"127.0.0.1 81 member:web/pangyo/one")
    assert (await first_result(good)).outcome is Outcome.PASS
    bad = await first_result(spec(ProbeKind.COMMAND, 81, command=command, expect=b"primary"))
    assert (bad.outcome, bad.fault) == (Outcome.FAIL, Fault.BAD_CONTENT)


async def test_a_command_that_writes_more_than_a_pipe_holds_ends() -> None:
    command = ("sh", "-c", "head -c 3000000 /dev/zero")
    assert (await first_result(spec(ProbeKind.COMMAND, 0, command=command))).outcome is Outcome.PASS


async def test_a_command_that_is_not_there_is_our_fault() -> None:
    result = await first_result(spec(ProbeKind.COMMAND, 0, command=("/nonexistent/check",)))
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL)


async def test_the_whole_process_group_is_killed_at_the_timeout(tmp_path: Path) -> None:
    noted = tmp_path / "pids"
    script = f"sleep 600 & echo $! $$ > {noted}.new; mv {noted}.new {noted}; wait"
    one = spec(ProbeKind.COMMAND, 0, command=("sh", "-c", script), timeout_ms=2_000, interval_ms=5_000)
    result = await first_result(one)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT)
    child, shell = (int(pid) for pid in noted.read_text().split())
    async with asyncio.timeout(DEADLINE_S):
        while _runs(child) or _runs(shell):  # noqa: ASYNC110 - nobody tells us when a stranger's process ends
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    """Alive, and not just a zombie that its new parent has not collected yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
