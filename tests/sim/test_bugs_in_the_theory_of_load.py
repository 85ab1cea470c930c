"""Bugs planted into the theory of load break no law: each is found by a named run that is right without it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from siteshift.sim.fuzz.mutants import MUTANTS, planted
from siteshift.sim.run.replay import replay
from siteshift.sim.scenario.scenario import load_scenario
from siteshift.sim.sweep.factors import combination_of
from siteshift.sim.sweep.rules import RULES
from siteshift.sim.sweep.sweep import run_combination

ROOT = Path(__file__).parents[2]
SAFETY = (ROOT / "docs" / "SAFETY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| `(\S+)` \| `([a-z_-]+)` \|$", SAFETY, re.MULTILINE)
SEEDS = re.findall(r"^\| `([a-z-]+)` \| .+? \| \d+ \| .+? \|$", SAFETY, re.MULTILINE)


def found_in(run: str) -> set[str]:
    """The criteria a scenario of the library misses, or the rules a world of the sweep breaks."""
    file = ROOT / "simulations" / f"{run}.yaml"
    if not file.exists():
        return set(run_combination(combination_of(run)).findings)
    outcome, _ = replay(load_scenario(file))
    return {entry.name for entry in outcome.missed}


@pytest.mark.parametrize(("bug", "run", "check"), [(bug, run, check) for bug, _, run, check in ROWS])
def test_a_bug_in_the_theory_of_load_is_found_by_a_run_that_is_right_without_it(bug: str, run: str, check: str) -> None:
    assert check not in found_in(run)
    with planted(MUTANTS[bug]):
        assert check in found_in(run)


def test_what_finds_a_bug_is_a_rule_of_the_sweep_or_a_criterion_of_a_scenario() -> None:
    for _, _, run, check in ROWS:
        file = ROOT / "simulations" / f"{run}.yaml"
        known = {entry.NAME for entry in load_scenario(file).criteria} if file.exists() else set(RULES)
        assert check in known, run


def test_every_deliberate_bug_stands_in_one_of_the_tables_as_what_it_is() -> None:
    assert len(ROWS) >= 3
    assert {bug: says for bug, says, _, _ in ROWS}.items() <= {bug.name: bug.says for bug in MUTANTS.values()}.items()
    assert sorted([*(bug for bug, _, _, _ in ROWS), *SEEDS]) == sorted(MUTANTS)
