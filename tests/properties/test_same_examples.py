"""Property tests judge a change, so the same test draws the same examples, whatever runs beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DRAW = """
import hashlib, importlib, random, sys
import conftest
{before}
from hypothesis import given, settings
from properties.test_decide_properties import problems

drawn = []

@settings(max_examples=100, deadline=None)
@given(problems())
def draw(problem):
    drawn.append(repr(problem))

draw()
print(len(drawn), hashlib.sha256("".join(drawn).encode()).hexdigest())
"""


def drawn(before: str = "", hash_seed: str = "0") -> str:
    environment = {k: v for k, v in os.environ.items() if k != "SITESHIFT_EXPLORE"}
    environment |= {"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DRAW.format(before=before)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def alone() -> str:
    return drawn()


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("import siteshift.sim.fuzz.fuzz, sim.test_fuzz", id="the tests of the simulator"),
        pytest.param("import siteshift.lab.demo, siteshift.app.daemon", id="every layer"),
        pytest.param("random.seed(7)", id="a seed of its own"),
    ],
)
def test_what_was_imported_or_seeded_before_changes_no_example(alone: str, before: str) -> None:
    assert alone.startswith("100 ")
    assert drawn(before) == alone


def test_the_order_of_sets_changes_no_example(alone: str) -> None:
    assert drawn(hash_seed="1") == alone
