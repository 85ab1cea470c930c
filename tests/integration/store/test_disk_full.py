"""A disk without room: nothing half-written, said so as retryable, and usable again once there is room."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILLER = Path(__file__).with_name("filler.py")


@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_a_full_disk_refuses_cleanly_and_the_journal_goes_on_when_there_is_room(tmp_path: Path, how: str) -> None:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    apart = ["unshare", "--mount", *as_root] if how == "tmpfs" else []
    run = subprocess.run(
        [*apart, sys.executable, FILLER, how, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].startswith("held")
    assert run.stdout.count("refused:") == 3
