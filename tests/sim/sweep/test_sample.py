"""The worlds of the sweep: ids that say all of a world, and samples that leave no fault and no factor out."""

from __future__ import annotations

from itertools import chain

import pytest

from siteshift.core.model.units import SiteId
from siteshift.sim.sweep.factors import FACTORS, FAULTS, Combination, combination_of, places_of, single_combinations
from siteshift.sim.sweep.sample import LEAST, PAIRS, everything, pairs, sample
from siteshift.sim.sweep.scenarios import scenario, scenario_text

SIZES = (LEAST, 137, 800)


def met(worlds: list[Combination]) -> set[tuple[str, str]]:
    """Every pair of a fault and a value that single faults meet."""
    return {
        (one.fault, value) for one in worlds if len(one.strikes) == 1 for value in (one.strikes[0].place, *one.values)
    }


@pytest.mark.parametrize("size", SIZES)
def test_in_a_sample_every_fault_meets_every_value_of_every_factor(size: int) -> None:
    wanted = {(fault, value) for fault in FAULTS for value in (*places_of(fault), *chain(*FACTORS.values()))}
    assert met(sample(size)) == wanted


@pytest.mark.parametrize("size", SIZES)
def test_a_sample_has_as_many_different_worlds_as_asked_for(size: int) -> None:
    assert len({one.id for one in sample(size)}) == size


@pytest.mark.parametrize("size", SIZES)
def test_a_sample_is_the_same_each_time(size: int) -> None:
    assert [one.id for one in sample(size)] == [one.id for one in sample(size)]


def test_a_sample_has_pairs_too() -> None:
    assert sum(one.fault == "pair" for one in sample(100)) == 20


def test_each_beginning_of_a_sample_is_spread_over_the_faults() -> None:
    assert {one.fault for one in sample(800)[:14]} == {*FAULTS, "pair"}


def test_a_sample_that_cannot_meet_every_value_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 50"):
        sample(LEAST - 1)


def test_more_than_all_worlds_are_all_worlds() -> None:
    assert len(sample(1_000_000)) == len(everything()) == len(list(single_combinations())) + PAIRS


def test_six_hundred_pairs_are_drawn_and_no_fault_replaces_its_twin() -> None:
    drawn = pairs()
    assert len({one.id for one in drawn}) == PAIRS
    for one in drawn:
        struck = [(event["fault"], event["site"]) for event in one.events()]
        first, second = one.strikes
        assert first.kind != second.kind or len(set(struck)) == len(struck)


@pytest.mark.parametrize("one", [*sample(60)], ids=lambda one: one.id)
def test_an_id_says_all_of_a_world(one: Combination) -> None:
    assert combination_of(one.id) == one


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("crash", "is no"),
        ("crash-pangyo-load60-standby-page-dns-metered-once", "is no"),
        ("fire-pangyo-load60-standby-page-dns-metered-once-1node", "there is no fault `fire`"),
        ("crash-seoul-load60-standby-page-dns-metered-once-1node", "not at `seoul`"),
        ("crash-pangyo-load61-standby-page-dns-metered-once-1node", "`load61` is no value of load"),
        ("crash-pangyo-load60-standby-page-dns-metered-once-1node-x", "is no id"),
        ("crash-load60-standby-page-dns-metered-once-1node", "is no id"),
        ("", "is no id"),
        ("crash+hang-pangyo-load60-standby-page-dns-metered-once-1node", "`crash` does not say where"),
        ("checks_all-pangyo-load60-standby-page-dns-metered-once-1node", "not at `pangyo`"),
    ],
)
def test_an_id_of_no_world_is_refused_with_what_is_not_known(id: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        combination_of(id)


@pytest.mark.parametrize("one", [*sample(60)], ids=lambda one: one.id)
def test_every_world_is_a_scenario_file_without_a_problem(one: Combination) -> None:
    made = scenario(one)
    assert {event.act.site for event in made.events} == set(one.struck())  # type: ignore[union-attr]
    assert made.id in scenario_text(one)


@pytest.mark.parametrize(("load", "percent"), [("load60", 60), ("load95", 95)])
def test_every_site_is_as_full_in_calm_as_the_load_says(load: str, percent: int) -> None:
    made = scenario(combination_of(f"crash-pangyo-{load}-bare-page-dns-metered-once-1node"))
    for pool in made.world.topology.pools.values():
        carries_rps = sum(member.capacity_rps for member in pool.members)
        assert 100 * 1_000 * pool.nominal_bp / 10_000 / carries_rps == pytest.approx(percent, abs=1.5)


def test_checks_break_at_several_sites_one_after_the_other() -> None:
    one = combination_of("checks_several-anyang-load60-bare-page-dns-metered-once-1node")
    assert one.struck() == (SiteId("anyang"), SiteId("pangyo"))
    assert [event["at_s"] for event in one.events()] == [60, 70]
    assert one.harmed() == ()
