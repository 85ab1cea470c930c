"""Who serves how much: tables for the allocation, each line a sentence."""

from __future__ import annotations

import pytest

from core.decide.build import ANYANG, GASAN, PANGYO, WEB
from siteshift.core.decide.capacity import (
    Allocation,
    Candidate,
    Demand,
    Problem,
    ServiceAllocation,
    StandbyUse,
    allocate,
    allocate_sliced,
)
from siteshift.core.decide.demand import OVERLOADED_PM
from siteshift.core.model.codes import Because
from siteshift.core.model.units import ServiceId, SiteId

SITES = (PANGYO, GASAN, ANYANG)


def candidates(
    nominal: tuple[int, int, int] = (5_000, 3_000, 2_000),
    current: tuple[int, int, int] = (5_000, 3_000, 2_000),
    active: tuple[int, int, int] = (1_000, 1_000, 1_000),
    standby: tuple[int, int, int] = (0, 0, 0),
    away: SiteId | None = PANGYO,
) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(site, nominal_bp, current_bp, active_rps, standby_rps, away=site == away)
        for site, nominal_bp, current_bp, active_rps, standby_rps in zip(SITES, nominal, current, active, standby, strict=True)
    )


def serve(entries: tuple[Candidate, ...], rps: int = 1_000, use: StandbyUse = StandbyUse.ALLOWED) -> ServiceAllocation:
    return allocate(Problem(demands=(Demand(WEB, 1, rps, 900, entries),)), standby=use).services[0]


def got(result: ServiceAllocation) -> list[int]:
    return [*result.shares_bp.values(), result.shed_bp]


def changed(entries: tuple[Candidate, ...], at: int, **changes: object) -> tuple[Candidate, ...]:
    return (*entries[:at], entries[at]._replace(**changes), *entries[at + 1 :])  # type: ignore[arg-type]


def test_all_is_well_and_nominal() -> None:
    assert got(serve(candidates(away=None))) == [5_000, 3_000, 2_000, 0]


def test_the_share_of_a_site_that_leaves_goes_by_nominal() -> None:
    assert got(serve(candidates())) == [0, 6_000, 4_000, 0]


def test_what_a_full_site_cannot_take_goes_to_the_other() -> None:
    assert got(serve(candidates(active=(1_000, 500, 1_000)))) == [0, 4_500, 5_500, 0]


def test_what_finds_no_room_is_shed_openly() -> None:
    result = serve(candidates(active=(1_000, 500, 300)))
    assert got(result) == [0, 4_500, 2_700, 2_800]
    assert result.utilisation_pm == {PANGYO: 0, GASAN: 900, ANYANG: 900}


def test_standby_opens_only_for_what_would_be_shed() -> None:
    tight = candidates(active=(1_000, 500, 300), standby=(0, 0, 1_000))
    result = serve(tight)
    assert got(result) == [0, 4_500, 5_500, 0]
    assert result.open_standby_rps == {ANYANG: 312}
    assert got(serve(tight, use=StandbyUse.NONE)) == [0, 4_500, 2_700, 2_800]
    roomy = serve(candidates(standby=(1_000, 1_000, 1_000)))
    assert roomy.open_standby_rps == {}


def test_standby_that_is_open_counts_and_is_known_to_be_needed() -> None:
    entries = changed(candidates(active=(1_000, 500, 300)), 2, open_standby_rps=400)
    result = serve(entries)
    assert got(result) == [0, 4_500, 5_500, 0]
    assert result.open_standby_rps == {}
    assert result.standby_needed_rps == {ANYANG: 312}
    home = changed(candidates(active=(1_000, 500, 300), away=None), 2, open_standby_rps=400)
    assert serve(home).standby_needed_rps == {}


def test_standby_that_carries_the_present_load_is_needed_though_the_target_could_do_without() -> None:
    on_the_way = changed(candidates(active=(1_000, 500, 300), current=(250, 4_500, 5_250), away=None), 2, open_standby_rps=400)
    result = serve(on_the_way)
    assert got(result) == [5_000, 3_000, 2_000, 0]
    assert result.standby_needed_rps == {ANYANG: 284}


def test_a_site_of_nominal_share_nothing_comes_last() -> None:
    spare = candidates(nominal=(6_000, 4_000, 0), current=(6_000, 4_000, 0))
    assert got(serve(spare)) == [0, 9_000, 1_000, 0]


def test_a_fixed_share_stays_whatever_its_capacity() -> None:
    entries = changed(candidates(active=(1_000, 1_000, 0)), 2, fixed_bp=2_500)
    result = serve(entries)
    assert got(result) == [0, 7_500, 2_500, 0]
    assert result.utilisation_pm[ANYANG] == OVERLOADED_PM
    assert result.because[ANYANG] is Because.NO_EVIDENCE_NO_CHANGE


def test_one_that_may_not_receive_keeps_what_it_has_and_gets_no_more() -> None:
    assert got(serve(changed(candidates(), 1, may_receive=False))) == [0, 3_000, 7_000, 0]
    assert got(serve(changed(candidates(away=None), 0, may_receive=False, current_bp=0))) == [0, 6_000, 4_000, 0]


def test_a_small_difference_is_not_worth_a_move() -> None:
    assert got(serve(candidates(current=(5_050, 2_980, 1_970), away=None))) == [5_050, 2_980, 1_970, 0]
    assert got(serve(candidates(current=(5_101, 2_949, 1_950), away=None))) == [5_000, 3_000, 2_000, 0]


def test_a_small_difference_is_worth_a_move_when_a_limit_is_passed() -> None:
    entries = candidates(current=(5_050, 2_950, 2_000), active=(556, 1_000, 1_000), away=None)
    assert got(serve(entries)) == [5_000, 3_000, 2_000, 0]


def test_a_site_is_entered_however_small_its_share() -> None:
    entries = candidates(nominal=(50, 5_000, 4_950), current=(0, 5_050, 4_950), away=None)
    assert got(serve(entries)) == [50, 5_000, 4_950, 0]


@pytest.mark.parametrize("rps", [0, 1])
def test_hardly_any_demand_still_needs_somebody(rps: int) -> None:
    assert got(serve(candidates(active=(0, 0, 10)), rps=rps)) == [0, 0, 10_000, 0]
    assert got(serve(candidates(active=(0, 0, 0)), rps=rps)) == [0, 0, 0, 10_000]


def test_nobody_to_ask_is_all_shed() -> None:
    assert got(serve(())) == [10_000]


def pair(problem_rps: dict[SiteId, int], *demands: Demand) -> Allocation:
    return allocate(Problem(demands=demands, site_capacity_rps=problem_rps), standby=StandbyUse.NONE)


def test_an_earlier_service_makes_room_for_one_that_can_be_nowhere_else() -> None:
    anywhere = Demand(WEB, 1, 800, 1_000, (Candidate(PANGYO, 10_000, 10_000, 900, 0), Candidate(GASAN, 0, 0, 900, 0)))
    only_here = Demand(ServiceId("login"), 1, 500, 1_000, (Candidate(PANGYO, 10_000, 10_000, 900, 0),))
    moved, stuck = pair({PANGYO: 1_000}, anywhere, only_here).services
    assert got(stuck) == [10_000, 0]
    assert got(moved) == [5_000, 5_000, 0]


def test_room_is_made_over_two_corners() -> None:
    """Pangyo is full of ``a``, which could be in Gasan, which is full of ``b``, which could be in Anyang."""

    def both(name: str, here: SiteId, there: SiteId) -> Demand:
        places = (Candidate(here, 10_000, 10_000, 2_000, 0), Candidate(there, 0, 0, 2_000, 0))
        return Demand(ServiceId(name), 1, 900, 1_000, places)

    late = Demand(ServiceId("late"), 2, 400, 1_000, (Candidate(PANGYO, 10_000, 0, 2_000, 0),))
    room = {PANGYO: 1_000, GASAN: 1_000, ANYANG: 1_000}
    a, b, c = pair(room, both("a", PANGYO, GASAN), both("b", GASAN, ANYANG), late).services
    assert c.shed_bp == 0
    assert (a.shed_bp, b.shed_bp) == (0, 0)
    assert b.shares_bp[ANYANG] > 0


def test_a_lower_tier_yields_in_a_site_that_is_short() -> None:
    def at_pangyo(name: str, tier: int) -> Demand:
        return Demand(ServiceId(name), tier, 600, 1_000, (Candidate(PANGYO, 10_000, 10_000, 1_000, 0),))

    low, high = pair({PANGYO: 1_000}, at_pangyo("low", 3), at_pangyo("high", 1)).services
    assert (high.shed_bp, low.shed_bp) == (0, 5_000)


def test_every_site_has_its_line_and_its_reason() -> None:
    tight = candidates(active=(0, 500, 300), standby=(0, 100, 0))
    result = serve(changed(tight, 0, because=Because.DRAINED_BY_PERSON))
    assert result.because == {
        PANGYO: Because.DRAINED_BY_PERSON,
        GASAN: Because.TAKES_OVER,
        ANYANG: Because.TAKES_OVER,
    }
    lines = result.lines
    assert len(lines) == 4
    assert "opens 100 rps of standby" in lines[1]
    assert "90.0 % used" in lines[2]
    assert "19.00 % (190 rps)" in lines[3]


@pytest.mark.parametrize(
    ("entries", "because"),
    [
        (candidates(), Because.DEGRADED),
        (candidates(active=(0, 1_000, 1_000)), Because.DEAD),
        (candidates(away=None), Because.NOMINAL),
        (candidates(active=(300, 1_000, 1_000), away=None), Because.CAPACITY_LIMIT),
        (changed(candidates(away=None), 0, may_receive=False, current_bp=0), Because.HELD_DOWN),
        (candidates(nominal=(2_000, 5_000, 3_000), away=GASAN), Because.TAKES_OVER),
    ],
)
def test_reasons(entries: tuple[Candidate, ...], because: Because) -> None:
    assert serve(entries).because[PANGYO] is because


def test_in_slices_it_is_the_same() -> None:
    problem = Problem(
        demands=tuple(
            Demand(ServiceId(f"s{number}"), 1 + number % 3, 100 + number, 900, candidates()) for number in range(1_000)
        ),
        site_capacity_rps={GASAN: 250_000, ANYANG: 250_000},
    )
    run = allocate_sliced(problem, standby=StandbyUse.ALLOWED)
    slices = 0
    while True:
        try:
            next(run)
            slices += 1
        except StopIteration as done:
            sliced: Allocation = done.value
            break
    assert slices >= 8
    assert sliced == allocate(problem, standby=StandbyUse.ALLOWED)
    assert [entry.demand.service for entry in sliced.services] == [entry.service for entry in problem.demands]
    assert sliced.of(ServiceId("s7")) is sliced.services[7]
    assert sliced.by_service[ServiceId("s7")] is sliced.services[7]
