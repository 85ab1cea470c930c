"""Shared fate is a preference: a mate of what fails gets what fits nowhere else, of a sick site with a person's leave only."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import DOWN, SICK, WEB, A, G, P, Playbook, three_sites
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import SharedFateGroup
from siteshift.core.model.units import GroupId


def of_one_campus(**policy: object) -> Setup:
    """Pangyo and Gasan stand in one group, Anyang outside it."""
    setup = three_sites(**policy)
    group = SharedFateGroup(id=GroupId("campus"), sites=(P, G))
    return replace(setup, topology=replace(setup.topology, groups=(group,)))


def a_day_in(setup: Setup) -> Playbook:
    book = Playbook(setup=setup)
    book.run(5_000)
    return book


def test_a_dead_sites_traffic_goes_outside_its_group_first() -> None:
    book = a_day_in(of_one_campus())
    book.believe(G, DOWN)
    book.run(3_000)
    assert book.shares()[G] == 0
    assert book.shares()[A] > 2_000
    apart = a_day_in(three_sites())
    apart.believe(G, DOWN)
    apart.run(3_000)
    assert book.shares()[A] >= apart.shares()[A]
    assert book.violations == []


def test_a_dead_sites_mate_takes_at_once_what_fits_nowhere_else() -> None:
    book = a_day_in(of_one_campus())
    book.believe(P, DOWN)
    book.run(30_000)
    assert book.shares()[P] == 0
    assert book.shares()[G] > 3_000
    assert book.violations == []


def test_what_fits_outside_the_group_of_a_sick_site_moves_without_a_person() -> None:
    book = a_day_in(of_one_campus())
    book.believe(G, SICK)
    book.run(30_000)
    assert book.shares()[A] > 2_500
    assert book.shares()[P] <= 5_000
    assert book.violations == []


def test_a_person_is_asked_for_what_only_a_mate_of_a_sick_site_could_take() -> None:
    book = a_day_in(of_one_campus())
    book.believe(P, SICK)
    book.run(60_000)
    assert book.shares()[A] > 2_500
    assert book.shares()[G] <= 3_000
    asked = {entry.code.value: entry.severity.value for entry in book.state.transition(WEB).findings}
    assert asked.get("SAME_FATE") == "needs_approval", asked
    assert book.violations == []


def test_a_policy_that_takes_any_refuge_has_no_preference() -> None:
    book, apart = a_day_in(of_one_campus(refuge_same_fate=True)), a_day_in(three_sites())
    for one in (book, apart):
        one.believe(G, DOWN)
        one.run(3_000)
    assert book.shares() == apart.shares()
