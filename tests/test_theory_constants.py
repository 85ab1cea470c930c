"""The constants of the theory of load are found by themselves, each with a unit and a reason, and changed wherever they stand."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from siteshift.core.beliefs import load, traffic
from siteshift.core.decide import carrying as noting
from siteshift.core.judge import served
from siteshift.core.state import carrying

ROOT = Path(__file__).parent.parent
FEWEST_WORDS = 8
"""A sentence that says where a number is from, or what happens below and above it, has so many."""


@pytest.fixture
def theory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("theory_constants")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module with constants of every shape."""
    text = 'from math import pi as PI\n\nWAIT_MS = 5\n"""Why\n5."""\nLOW_PM, HIGH_PM = 1, 2\n"""Both."""\nBARE_MS: int = 3\n'
    text += '_TABLE = {"A": 1}\nRATE = 0.5\n"""No whole number."""\nIS_ON = True\nword = 7\n'
    (tmp_path / "small_theory.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("small_theory")
    sys.modules.pop("small_theory", None)


def test_every_constant_of_the_theory_has_a_unit_in_its_name_and_says_why_it_is_what_it_is(theory: ModuleType) -> None:
    found = theory.constants()
    assert len(found) > 30
    assert [one.id for one in found if not one.unit] == []
    assert [one.id for one in found if len(one.source.split()) < FEWEST_WORDS] == []


def test_whole_numbers_in_capitals_are_constants_with_or_without_a_reason(theory: ModuleType, small: ModuleType) -> None:
    found = [(one.name, one.value, one.unit, one.source) for one in theory.constants_of(small)]
    assert found == [
        ("WAIT_MS", 5, "ms", "Why 5."),
        ("LOW_PM", 1, "per mille", "Both."),
        ("HIGH_PM", 2, "per mille", "Both."),
        ("BARE_MS", 3, "ms", ""),
    ]


def test_a_constant_is_changed_in_every_module_that_imports_it_and_is_back_afterwards(theory: ModuleType) -> None:
    first = next(one for one in theory.constants() if one.id == "carrying.FIRST_HOLD_MS")
    with theory.changed(first, 7):
        assert carrying.FIRST_HOLD_MS == noting.FIRST_HOLD_MS == 7
    assert carrying.FIRST_HOLD_MS == noting.FIRST_HOLD_MS == first.value


def test_a_constant_of_another_module_keeps_its_value_under_the_same_name(theory: ModuleType) -> None:
    fresh = next(one for one in theory.constants() if one.id == "served.FRESH_MS")
    of_traffic = traffic.FRESH_MS
    with theory.changed(fresh, 7):
        assert served.FRESH_MS == 7
        assert traffic.FRESH_MS == load.FRESH_MS == of_traffic


def test_the_table_of_sensitivity_has_a_line_for_a_constant_and_ends_with_a_line_of_json() -> None:
    options = "ARGS=--cases capacity-70 --worlds 0 --only carrying.SURE_PM"
    command = ["make", "--no-print-directory", "sensitivity", options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *table, last = done.stdout.splitlines()
    assert table[-1].startswith("| `carrying.SURE_PM` | 800 | per mille | ")
    figures = json.loads(last)
    assert figures["bench"] == "sensitivity"
    assert figures["constants"]["carrying.SURE_PM"]["half"]["value"] == 400
