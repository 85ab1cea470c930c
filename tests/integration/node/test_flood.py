"""A whole node under a flood moves nothing, stays small and answers; how late it is then is measured by `make flood`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FLOOD = Path(__file__).parents[3] / "benchmarks" / "flood.py"


def test_a_flood_moves_nothing_takes_little_memory_and_leaves_the_node_answering() -> None:
    ended = subprocess.run([sys.executable, str(FLOOD), "--quick"], capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures["missed"] == []
    assert figures["moves"] == 0
    assert figures["probes"] > 0, "the node's own metric of lateness is fed"
    assert figures["refused"] > 500, "the crowds came"
