"""Every benchmark of the README starts by its `make` target, and ends with its line of JSON where that takes seconds."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
QUICK = {
    "core": "--events 200",
    "haproxy": "--rounds 1",
    "journal": "--entries 500",
    "plan": "--quick",
}
"""Options with which a benchmark is over in seconds."""
LONG = ("detect", "dns", "judge", "loss", "probe", "sim")
"""These take a minute or more whatever they are told: here they only say their options."""


def run(benchmark: str, options: str) -> str:
    """What `make` prints for one benchmark."""
    command = ["make", "--no-print-directory", f"bench-{benchmark}", f"ARGS={options}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_benchmark_is_tried_here() -> None:
    assert {path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")} == {*QUICK, *LONG}


@pytest.mark.parametrize(("benchmark", "options"), QUICK.items())
def test_a_quick_benchmark_runs_and_ends_with_a_line_of_json(benchmark: str, options: str) -> None:
    figures = json.loads(run(benchmark, options).splitlines()[-1])
    assert figures["bench"] == benchmark


@pytest.mark.parametrize("benchmark", LONG)
def test_a_long_benchmark_starts_and_says_its_options(benchmark: str) -> None:
    assert "options:" in run(benchmark, "--help")
