"""Two test processes, or two servers of one test, never get the same port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from servers.ports import free_port

ASK = "from servers.ports import free_port; print(*(free_port() for _ in range(50)))"


def ports_of(worker: str) -> set[int]:
    environment = {**os.environ, "PYTEST_XDIST_WORKER": worker, "PYTHONPATH": str(Path(__file__).parents[1])}
    said = subprocess.run([sys.executable, "-c", ASK], env=environment, check=True, capture_output=True, text=True).stdout
    return {int(port) for port in said.split()}


def test_one_process_gets_each_port_once() -> None:
    assert len({free_port() for _ in range(100)}) == 100


def test_two_processes_get_none_in_common_and_none_that_the_kernel_gives_away() -> None:
    one, other = ports_of("gw0"), ports_of("gw1")
    assert len(one) == len(other) == 50 and not one & other
    assert max(one | other) < 32_768
