"""The life of a service at a site: every life, with every signal, under every condition."""

from itertools import combinations, product
from pathlib import Path

import pytest

from core.playbook import DOWN, UP, WEB, P, Playbook, three_sites
from siteshift.core.beliefs.life import LIVED, PASSAGES, TABLE, Condition, Signal, passage_lines
from siteshift.core.messages.requests import DrainRequest, UndrainRequest
from siteshift.core.model.codes import SiteLife

ARCHITECTURE = Path(__file__).parents[2] / "docs/ARCHITECTURE.md"

LETTERS = {
    "s": SiteLife.SERVING,
    "u": SiteLife.SUSPECT,
    "d": SiteLife.DRAINING,
    "g": SiteLife.DRAINED,
    "r": SiteLife.RETURNING,
}
COLUMNS = ("none", "gained_lately", "unmoved", "kept", "may_return", "gone", "ramped")
EXPECTED = {
    SiteLife.SERVING: """
        well        s s s s s s s
        suspected   u u u u u u u
        overloaded  u u u u u u u
        sick        d u d d d d d
        dead        d d d d d d d
        no_evidence s s s s s s s
        forced_out  d d d d d d d
    """,
    SiteLife.SUSPECT: """
        well        s s s s s s s
        suspected   u u u u u u u
        overloaded  u u u u u u u
        sick        d u d d d d d
        dead        d d d d d d d
        no_evidence u u u u u u u
        forced_out  d d d d d d d
    """,
    SiteLife.DRAINING: """
        well        d d s s r g d
        suspected   d d d d d g d
        overloaded  d d d d d g d
        sick        d d d d d g d
        dead        d d d d d g d
        no_evidence d d d d d g d
        forced_out  d d d d d g d
    """,
    SiteLife.DRAINED: """
        well        g g g g r g g
        suspected   g g g g g g g
        overloaded  g g g g g g g
        sick        g g g g g g g
        dead        g g g g g g g
        no_evidence g g g g g g g
        forced_out  g g g g g g g
    """,
    SiteLife.RETURNING: """
        well        r r r r r r s
        suspected   r r r r r r r
        overloaded  r r r r r r r
        sick        d d d d d d d
        dead        d d d d d d d
        no_evidence r r r r r r r
        forced_out  d d d d d d d
    """,
}


def expected(life: SiteLife) -> dict[tuple[Signal, Condition], SiteLife]:
    found = {}
    for line in EXPECTED[life].strip().splitlines():
        signal, *letters = line.split()
        for column, letter in zip(COLUMNS, letters, strict=True):
            found[Signal(signal), Condition(column)] = LETTERS[letter]
    return found


@pytest.mark.parametrize("life", LIVED)
def test_every_life_goes_where_it_should_with_every_signal_under_every_condition(life: SiteLife) -> None:
    wanted = expected(life)
    assert set(wanted) == set(product(Signal, Condition))
    assert {key: TABLE[life, *key] for key in wanted} == wanted


def test_the_lives_that_are_stored_are_all_but_those_that_are_only_shown() -> None:
    assert set(LIVED) == set(SiteLife) - {SiteLife.HELD, SiteLife.BLIND} == set(EXPECTED)


def test_no_two_passages_hold_at_once() -> None:
    for one, other in combinations(PASSAGES, 2):
        is_same = one.before is other.before and one.signals & other.signals and one.conditions & other.conditions
        assert not is_same, f"{one} and {other}"


def test_a_signal_is_what_evidence_and_people_amount_to_and_nothing_that_is_derived() -> None:
    assert {signal.value for signal in Signal} == {
        "well",
        "suspected",
        "overloaded",
        "sick",
        "dead",
        "no_evidence",
        "forced_out",
    }


def test_the_architecture_shows_the_table_as_it_is() -> None:
    shown = ARCHITECTURE.read_text().split("## Life of a service at a site")[1].split("```")[1].strip()
    assert shown == "\n".join(passage_lines())


QUICK = {"hold_down_ms": 5_000, "soak_ms": 2_000}


def planned_drain(book: Playbook) -> None:
    """Drained by a person, let back, serving again."""
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    book.ask(UndrainRequest(site=P))
    book.run(120_000)
    assert book.state.track(WEB, P).life is SiteLife.SERVING


def held_ms(book: Playbook) -> int:
    """For how long a fault of pangyo holds it down now."""
    book.believe(P, DOWN)
    book.run(5_000)
    track = book.state.track(WEB, P)
    book.believe(P, UP)
    book.run(180_000)
    return track.hold_until_ms - track.left_at_ms


@pytest.mark.parametrize("drains", [0, 1, 3])
def test_planned_drains_before_a_fault_double_no_hold_down(drains: int) -> None:
    book = Playbook(setup=three_sites(**QUICK))
    book.run(60_000)
    for _ in range(drains):
        planned_drain(book)
    assert held_ms(book) == 5_000
    assert book.state.track(WEB, P).flaps == 0


def test_a_planned_drain_between_two_faults_hides_no_flap() -> None:
    book = Playbook(setup=three_sites(**QUICK))
    book.run(60_000)
    assert held_ms(book) == 5_000
    planned_drain(book)
    assert held_ms(book) == 10_000
