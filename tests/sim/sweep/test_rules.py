"""The rules of the sweep: each finds what it is for, and leaves alone what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from siteshift.core.model.units import ServiceId, SiteId, VantageId
from siteshift.sim.results.record import Broken, LostTo, Move, Record, Second, Shed
from siteshift.sim.sweep import rules
from siteshift.sim.sweep.factors import Combination, combination_of, single_combinations
from siteshift.sim.sweep.rules import RULES, Observed, unknowable

WEB = ServiceId("web")
PANGYO, GASAN, ANYANG = SITES = (SiteId("pangyo"), SiteId("gasan"), SiteId("anyang"))
NOMINAL_BP = {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
CAPACITY = {PANGYO: 833, GASAN: 500, ANYANG: 333}
ENDS_S, STRIKES_S, HEALS_S = 360, 60, 180
CRASH = "crash-pangyo-load60-standby-page-dns-metered-once-1node"
FULL = CRASH.replace("load60", "load95")
Shape = Callable[[Second], Second]


def second(site: SiteId, at_s: int, bp: int) -> Second:
    """A second in which all is well and the site has a share of 1,000 requests."""
    asked = bp / 10
    return Second(
        service=WEB,
        site=site,
        at_ms=at_s * 1_000,
        offered=asked,
        served=asked,
        lost=0.0,
        late=0.0,
        slow=0.0,
        backlog=0.0,
        utilisation_pm=round(1_000 * asked / CAPACITY[site]),
        desired_bp=bp,
        actual_bp=bp,
        seen_bp=bp,
        latency_ms=10,
    )


def move(at_s: float, before: tuple[int, int, int], after: tuple[int, int, int], wrong: str = "") -> Move:
    return Move(
        at_ms=round(at_s * 1_000),
        by="c3",
        service=WEB,
        before_bp=dict(zip(SITES, before, strict=True)),
        after_bp=dict(zip(SITES, after, strict=True)),
        shed_bp=10_000 - sum(after),
        truth={},
        generation=1,
        wrong=wrong,
    )


def record(*moves: Move, shape: Shape = lambda row: row, lost: float = 0.0, late: float = 0.0) -> Record:
    """A run at nominal shares, with what ``shape`` makes of its seconds."""
    seconds = [shape(second(site, at_s, NOMINAL_BP[site])) for at_s in range(-29, ENDS_S + 1) for site in SITES]
    return Record(
        seed=1,
        duration_ms=ENDS_S * 1_000,
        seconds=tuple(seconds),
        sheds=(),
        transcript=(),
        violations=(),
        moves=moves,
        injuries=(),
        milestones=(),
        offered=390_000.0,
        served=390_000.0 - lost,
        lost={LostTo.REFUSED: lost},
        late=late,
        pending=0.0,
        peak_utilisation_pm={},
        probes={},
    )


def observed(ours: Record, nothing: Record | None = None, id: str = CRASH) -> Observed:
    return Observed(
        combination=combination_of(id),
        record=ours,
        nothing=nothing or record(),
        limit_pm=900,
        nominal_bp=NOMINAL_BP,
        struck_rps=500.0,
    )


def filled(site: SiteId, from_s: int, until_s: int, utilisation_pm: int) -> Shape:
    """That a site is so full for a while."""

    def shape(row: Second) -> Second:
        is_then = row.site == site and from_s <= row.at_ms / 1_000 < until_s
        return row._replace(utilisation_pm=utilisation_pm) if is_then else row

    return shape


def test_no_rule_finds_anything_in_a_run_in_which_all_is_well() -> None:
    assert {name: rule(observed(record())) for name, rule in RULES.items()} == dict.fromkeys(RULES, "")


# -- never worse than nothing done ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "late", "is_found"), [(999, 0, False), (1_001, 0, True), (0, 1_999, False), (0, 2_001, True)])
def test_two_seconds_of_the_struck_sites_traffic_may_be_lost_beyond_nothing_done(
    lost: float, late: float, is_found: bool
) -> None:
    found = rules.worse(observed(record(lost=5_000 + lost, late=late), record(lost=5_000)))
    assert bool(found) is is_found


# -- turns ------------------------------------------------------------------------------------------------------------

OUT = move(61, (5_000, 3_000, 2_000), (0, 5_000, 5_000))
BACK = move(185, (0, 5_000, 5_000), (5_000, 3_000, 2_000))


def test_to_leave_and_to_come_back_is_one_turn_after_the_heal() -> None:
    assert not rules.turns(observed(record(OUT, BACK)))


def test_to_come_back_and_to_leave_again_under_one_fault_is_a_turn_too_many() -> None:
    again = replace(BACK, at_ms=80_000)
    found = rules.turns(observed(record(OUT, again, replace(OUT, at_ms=90_000))))
    assert found == "share turns: pangyo 2 times under fault"


def test_a_second_turn_after_the_heal_is_one_too_many() -> None:
    found = rules.turns(observed(record(OUT, BACK, replace(OUT, at_ms=200_000))))
    assert found == "share turns: pangyo 2 times after the heal"


def test_two_faults_may_make_a_share_turn_twice() -> None:
    id = CRASH.replace("crash-pangyo", "crash-pangyo+hang-gasan")
    moves = (OUT, replace(BACK, at_ms=80_000), replace(OUT, at_ms=90_000))
    assert not rules.turns(observed(record(*moves), id=id))
    assert rules.turns(observed(record(*moves, replace(BACK, at_ms=95_000)), id=id))


def test_small_steps_add_up_to_a_turn() -> None:
    down = [move(61 + n, (5_000, 3_000, 2_000), (5_000 - 100 * n, 3_000, 2_000 + 100 * n)) for n in range(5)]
    up = [move(70 + n, (5_000, 3_000, 2_000), (4_600 + 100 * n, 3_000, 2_400 - 100 * n)) for n in range(5)]
    again = [replace(one, at_ms=one.at_ms + 20_000) for one in down]
    assert not rules.turns(observed(record(*down, *up)))
    assert rules.turns(observed(record(*down, *up, *again)))


def test_the_rounding_of_an_allocation_is_no_turn() -> None:
    wobble = [move(61 + n, (5_000, 3_000, 2_000), (5_000 + 90 * (n % 2), 3_000, 2_000 - 90 * (n % 2))) for n in range(20)]
    assert not rules.turns(observed(record(*wobble)))


def test_in_calm_nothing_turns_unless_sites_are_fuller_than_the_policy_allows() -> None:
    moves = (replace(OUT, at_ms=0), replace(BACK, at_ms=20_000))
    assert rules.turns(observed(record(*moves))) == "share turns: pangyo 1 times in calm"
    assert not rules.turns(observed(record(*moves), id=FULL))


# -- overload ---------------------------------------------------------------------------------------------------------


def test_a_survivor_above_its_limit_after_the_tail_of_caches_is_found() -> None:
    found = rules.overload(observed(record(shape=filled(GASAN, 125, 137, 1_100))))
    assert found == "gasan above 92 % for 12 s, up to 110 %"


@pytest.mark.parametrize(
    ("site", "from_s", "until_s", "utilisation_pm"),
    [(GASAN, 61, 120, 1_500), (GASAN, 125, 135, 1_100), (GASAN, 125, 175, 915), (PANGYO, 125, 175, 1_500)],
    ids=["while caches run out", "for ten seconds", "by rounding", "where the fault is"],
)
def test_a_site_may_be_full(site: SiteId, from_s: int, until_s: int, utilisation_pm: int) -> None:
    assert not rules.overload(observed(record(shape=filled(site, from_s, until_s, utilisation_pm))))


def test_behind_a_balancer_no_caches_are_waited_for() -> None:
    ours = record(shape=filled(GASAN, 95, 115, 1_100))
    assert rules.overload(observed(ours, id=CRASH.replace("dns", "balancer")))
    assert not rules.overload(observed(ours))


def test_who_was_above_the_limit_before_may_be_full_but_not_fuller() -> None:
    before = filled(GASAN, -29, 361, 955)
    assert not rules.overload(observed(record(shape=before), id=FULL))
    assert rules.overload(observed(record(shape=filled(GASAN, 125, 150, 1_100)), id=FULL))


def test_what_nothing_done_would_have_overloaded_as_long_is_not_our_doing() -> None:
    full = record(shape=filled(GASAN, 125, 150, 1_100))
    assert not rules.overload(observed(full, full))


def test_a_site_whose_checks_alone_fail_is_no_harmed_one() -> None:
    id = CRASH.replace("crash", "checks_one")
    assert rules.overload(observed(record(shape=filled(PANGYO, 125, 150, 1_100)), id=id))


# -- refill -----------------------------------------------------------------------------------------------------------


def failing(site: SiteId, from_s: int, until_s: int, utilisation_pm: int = 1_400) -> Shape:
    """That a site is asked for more than it carries for a while, and loses a tenth."""

    def shape(row: Second) -> Second:
        is_then = row.site == site and from_s <= row.at_ms / 1_000 < until_s
        return row._replace(utilisation_pm=utilisation_pm, lost=row.offered / 10) if is_then else row

    return shape


CUT = move(65, (5_000, 3_000, 2_000), (3_500, 3_900, 2_600))


def raised(at_s: float, bp: int) -> Move:
    return move(at_s, (3_500, 3_900, 2_600), (bp, 3_900, 6_100 - bp))


def test_what_a_site_failed_at_is_not_given_back_within_its_quiet_time() -> None:
    found = rules.refill(observed(record(CUT, raised(80, 5_000), shape=failing(PANGYO, 61, 66))))
    assert found == "pangyo given 50.0 % at 80 s, 15 s after it failed at 50.0 %"


@pytest.mark.parametrize(("at_s", "bp"), [(80, 4_500), (96, 5_000)], ids=["less than it failed at", "after the quiet time"])
def test_a_site_may_be_given_more(at_s: float, bp: int) -> None:
    assert not rules.refill(observed(record(CUT, raised(at_s, bp), shape=failing(PANGYO, 61, 66))))


def test_a_site_that_is_sick_fails_at_any_load_and_has_no_level() -> None:
    assert not rules.refill(observed(record(CUT, raised(80, 5_000), shape=failing(PANGYO, 61, 66, utilisation_pm=600))))


# -- nominal again ----------------------------------------------------------------------------------------------------


def given(site: SiteId, bp: int, from_s: int) -> Shape:
    def shape(row: Second) -> Second:
        is_then = row.site == site and row.at_ms / 1_000 >= from_s
        return row._replace(desired_bp=bp, actual_bp=bp) if is_then else row

    return shape


def test_a_site_without_its_share_at_the_end_is_found() -> None:
    found = rules.not_home(observed(record(shape=given(PANGYO, 4_700, 61))))
    assert found == "pangyo has 47.0 % (desired) at the end, nominal 50 %"
    assert not rules.not_home(observed(record(shape=given(PANGYO, 4_800, 61))))


def test_the_shares_of_the_calm_before_are_as_good_as_nominal_ones() -> None:
    assert not rules.not_home(observed(record(shape=given(PANGYO, 4_500, -29))))


def test_in_a_full_world_it_is_enough_that_everybody_is_served_within_the_limit() -> None:
    def spread(row: Second) -> Second:
        bp = {PANGYO: 4_600, GASAN: 2_800, ANYANG: 2_600}[row.site]
        return row._replace(desired_bp=bp, actual_bp=bp) if row.at_ms > 61_000 else row

    assert not rules.not_home(observed(record(shape=spread), id=FULL))
    assert rules.not_home(observed(record(shape=spread)))
    shed = replace(record(shape=spread), sheds=(Shed(service=WEB, at_ms=359_000, amount=50.0),))
    assert rules.not_home(observed(shed, id=FULL))
    assert rules.not_home(observed(record(shape=lambda row: filled(GASAN, 350, 361, 950)(spread(row))), id=FULL))
    assert rules.not_home(observed(record(shape=given(PANGYO, 4_700, 61)), id=FULL))


# -- wrong moves ------------------------------------------------------------------------------------------------------


def test_a_wrong_move_is_found() -> None:
    wrong = replace(OUT, wrong="gasan is healthy and was left")
    assert rules.wrong(observed(record(wrong))) == "1 wrong moves, first at 61 s: gasan is healthy and was left"


def test_a_law_broken_is_found() -> None:
    broken = Broken(at_ms=61_000, node=VantageId("c3"), law=3, text="two at once")
    assert rules.law(observed(replace(record(), violations=(broken,)))) == "law 3 broken: two at once"


# -- what nobody could have known -------------------------------------------------------------------------------------


def test_nobody_can_tell_broken_checks_of_one_site_where_nobody_counts() -> None:
    marked = [one for one in single_combinations() if unknowable(one)]
    assert {(one.fault, one.value("meter")) for one in marked} == {("checks_one", "unmetered")}


def test_a_mark_does_not_hang_on_how_a_run_went() -> None:
    one = combination_of(CRASH.replace("crash", "checks_one").replace("metered", "unmetered"))
    assert isinstance(one, Combination) and unknowable(one)
    assert sorted(rules.EXCUSED) == ["worse", "wrong"]
