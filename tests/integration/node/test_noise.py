"""Half a minute of healthy but noisy traffic moves nothing; half an hour of it is `make soak`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[3] / "benchmarks" / "soak_noise.py"


def test_noise_moves_nothing() -> None:
    command = [sys.executable, str(SOAK), "--minutes", "0.5"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures["moves"] == 0
    assert figures["offered"] > 1_000, ended.stdout
