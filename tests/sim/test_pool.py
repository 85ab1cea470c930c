"""The processes of a long run end with it: nobody computes on for a command that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

DEADLINE_S = 60.0
LIBRARY = Path(__file__).parents[2] / "simulations"


def until(holds: Callable[[], bool], what: str) -> None:
    limit_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < limit_s, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "command",
    [
        ("run", *(str(LIBRARY / name) for name in ("descheduled.yaml", "peak-drain.yaml"))),
        ("score", *(str(LIBRARY / name) for name in ("descheduled.yaml", "peak-drain.yaml"))),
        ("fuzz", "--runs", "50"),
    ],
    ids=lambda command: command[0],
)
def test_workers_end_with_a_command_that_is_killed(command: tuple[str, ...]) -> None:
    argv = [str(Path(sys.executable).with_name("siteshift")), "sim", *command, "--jobs", "2"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers: list[int] = []
    try:
        until(lambda: len(workers_of(process.pid)) == 2, "two workers")
        workers = workers_of(process.pid)
        time.sleep(1)  # for their interpreters to be up: what dies before has not begun
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(is_there(pid) for pid in workers), "the workers are gone")
