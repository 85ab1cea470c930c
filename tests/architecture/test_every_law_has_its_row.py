"""Every law stands in docs/SAFETY.md with the checker that runs, and with tests and files that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from siteshift.core.invariants import CHECKERS

ROOT = Path(__file__).parents[2]
SAFETY = (ROOT / "docs" / "SAFETY.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) [^|]+\| `(law_\w+)` \| (.+) \|$", re.MULTILINE)


CATCHES = "test_laws.py"
"""Where tests break a law and look whether its checker says so, a test a violation."""


def functions(pattern: str) -> set[str]:
    """Names of the functions in these files of the tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob(pattern)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_law_that_is_checked_has_a_row_with_its_checker_and_no_row_has_none() -> None:
    rows = {int(number): checker for number, checker, _ in ROW.findall(SAFETY)}
    assert rows == {number: checker.__name__ for number, checker in CHECKERS.items()}


def test_every_violation_that_a_test_shows_is_named_in_the_row_of_its_law() -> None:
    named = {int(number): set(re.findall(r"`(test_\w+)`", rest)) for number, _, rest in ROW.findall(SAFETY)}
    shown = [name for name in functions(CATCHES) if re.match(r"test_law_\d+_(?!and_)", name)]
    assert [name for name in shown if name not in named[int(name.split("_")[2])]] == []


def test_the_readme_counts_the_laws_there_are() -> None:
    assert f"{_in_words(len(CHECKERS))} laws" in (ROOT / "README.md").read_text(encoding="utf-8")


def _in_words(number: int) -> str:
    return {17: "Seventeen", 18: "Eighteen", 19: "Nineteen", 20: "Twenty"}[number]


def test_the_tests_and_files_that_the_document_names_exist() -> None:
    assert set(re.findall(r"`(test_\w+)`", SAFETY)) - functions("*.py") == set()
    named = re.findall(r"`((?:tests|src|docs)/[\w./-]+)`", SAFETY)
    assert [path for path in named if not (ROOT / path).exists()] == []
