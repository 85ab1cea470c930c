"""What is written for people decides nothing: a reason may be reworded, and every decision stays."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import siteshift.core
from core.playbook import DOWN, PLANE, SICK, SUSPECT, WEB, A, G, P, Playbook
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.units import pool_target

CORE = Path(siteshift.core.__file__).parent
FOR_PEOPLE = frozenset({"reason", "detail", "text", "remedy", "warning"})
"""Fields whose text is written for people."""
READS = frozenset({"startswith", "endswith", "find", "index", "partition", "split", "removeprefix", "removesuffix", "lower"})
IS_SHOWN = {("member_list.py", "said.detail")}
"""Only whether to print the detail beside the fault's own word hangs on it."""


def decisions_by_text(source: str) -> list[str]:
    """Places that compare, search or parse a text that is written for people. Whether there is one at all may be asked."""
    found = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS:
            parts = [node.func.value]
        elif isinstance(node, ast.Match):
            parts = [node.subject]
        found += [ast.unparse(one) for one in parts if isinstance(one, ast.Attribute) and one.attr in FOR_PEOPLE]
    return found


@pytest.mark.parametrize(
    "source",
    [
        "if view.reason.startswith('check'): ...",
        "a = 'refused' in pool.detail",
        "b = e.text == 'x'",
        "match f.reason:\n case 'x': ...",
    ],
)
def test_the_finder_finds_what_it_looks_for(source: str) -> None:
    assert decisions_by_text(source)


def test_no_code_of_the_core_reads_a_text_that_is_written_for_people() -> None:
    found = {
        (path.name, where) for path in CORE.rglob("*.py") for where in decisions_by_text(path.read_text())
    }
    assert found - IS_SHOWN - _about_change() == set()


def _about_change() -> set[tuple[str, str]]:
    """Whether a text changed since the last report is news to people, and is no decision about traffic."""
    return {("vantage.py", "stream.warning")}


Wording = Callable[[str], str]


def story(wording: Wording) -> Playbook:
    """Suspicion, a sick site, a dead one, a plane that refuses, a contradicted check: with all texts worded so."""

    def said(view: TargetView) -> TargetView:
        return replace(view, reason=wording(view.reason))

    book = Playbook()
    book.run(60_000)
    book.believe(G, said(SUSPECT))
    book.run(5_000)
    book.believe(G, said(replace(SICK, score_pm=300)))
    book.run(60_000)
    book.plane_outcome = EnactOutcome.REFUSED
    book.believe(P, said(DOWN))
    book.run(20_000)
    book.plane_outcome = EnactOutcome.APPLIED
    book.beliefs[pool_target(WEB, A)] = said(replace(SUSPECT, is_contradicted=True))
    book.run(60_000)
    return book


@pytest.mark.parametrize("wording", [lambda _: "", lambda _: "check contradicted by traffic: dead", lambda text: text[::-1]])
def test_the_same_events_in_other_words_lead_to_the_same_decisions(wording: Wording) -> None:
    one, other = story(lambda text: text), story(wording)
    assert other.history == one.history
    assert other.state.steering == one.state.steering and one.state.plane(PLANE).standing is other.state.plane(PLANE).standing
    assert {k: t.life for k, t in other.state.tracks.items()} == {k: t.life for k, t in one.state.tracks.items()}
    assert [d.code for d in other.state.picture.diagnoses] == [d.code for d in one.state.picture.diagnoses]
    assert one.history, "the story moves something"
