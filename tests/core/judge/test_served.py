"""What a meter counts of users is held against what checks say of the same pool, to the millisecond and the request."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from core.judge.cases import GASAN, NOW_MS, PANGYO, POLICY, SITES, WEB, deployment, pool_and_members, report, view
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.quorum import Verdict
from siteshift.core.judge.served import (
    DARK_PM,
    ERROR_COSTS_REQUESTS,
    FEWEST_REQUESTS,
    FRESH_MS,
    PROVING_REQUESTS,
    WELL_PM,
    Served,
    heed,
    to_the_good,
)
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.evidence import Picture, TargetView
from siteshift.core.model.units import ServiceId, SiteId, VantageId, pool_target

KEY = (WEB, PANGYO)
SILENT = view(Standing.DOWN, hardness=Hardness.SILENT, since_ms=NOW_MS - 5_000)
REFUSED = replace(SILENT, hardness=Hardness.HARD)
ERRS = view(Standing.DEGRADED, 700, Hardness.GREY, since_ms=NOW_MS - 5_000)
SLOW = replace(ERRS, hardness=Hardness.SLOW)


def counted(answered: int, *, asked: int = 1_000, ago_ms: int = 0, window_ms: int = 500, good: int = 0) -> Served:
    return Served(at_ms=NOW_MS - ago_ms, window_ms=window_ms, asked=asked, answered=answered, to_the_good=good)


def heeded(seen: TargetView, found: Served, *, carried: bool = True) -> Verdict:
    verdicts = {KEY: Verdict(view=seen, accusers=(VantageId("c1"),), carried=carried)}
    heed(verdicts, {KEY: found}.get, NOW_MS)
    return verdicts[KEY]


def judged(seen: TargetView, found: Served) -> tuple[Standing, int]:
    after = heeded(seen, found).view
    return after.standing, after.score_pm


# -- who is down -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [SILENT, REFUSED])
def test_a_pool_whose_users_are_answered_in_part_is_degraded_by_that_part_however_its_checks_fail(seen: TargetView) -> None:
    assert judged(seen, counted(600)) == (Standing.DEGRADED, 600)


def test_a_pool_that_answers_one_in_twenty_is_dark_and_stays_down() -> None:
    assert DARK_PM == 50
    assert judged(SILENT, counted(50)) == (Standing.DOWN, 0)
    assert judged(SILENT, counted(51)) == (Standing.DEGRADED, 51)
    assert judged(SILENT, counted(0)) == (Standing.DOWN, 0)


def test_of_six_requests_nothing_is_concluded() -> None:
    assert FEWEST_REQUESTS == 7
    assert judged(SILENT, counted(6, asked=6)) == (Standing.DOWN, 0)
    assert judged(SILENT, counted(7, asked=7)) == (Standing.DEGRADED, 1_000)


def test_a_count_older_than_three_windows_says_nothing() -> None:
    assert FRESH_MS == 1_500
    assert judged(SILENT, counted(600, ago_ms=1_500)) == (Standing.DEGRADED, 600)
    assert judged(SILENT, counted(600, ago_ms=1_501)) == (Standing.DOWN, 0)


def test_a_window_that_ends_a_jam_answers_no_more_than_all_it_was_asked() -> None:
    assert judged(SILENT, counted(2_000)) == (Standing.DEGRADED, 1_000)
    assert counted(0, asked=0).part_pm == 0, "nothing was asked: no division by it"


# -- the first window --------------------------------------------------------------------------------------------------


def failing_for(ms: int) -> TargetView:
    return replace(SILENT, since_ms=NOW_MS - ms)


def test_a_window_counts_that_began_when_the_checks_began_to_fail_and_not_one_from_before() -> None:
    assert judged(failing_for(500), counted(600)) == (Standing.DEGRADED, 600)
    assert judged(failing_for(499), counted(600))[0] is Standing.SUSPECT


@pytest.mark.parametrize(("window_ms", "awaited_ms"), [(100, 700), (350, 700), (500, 1_000), (1_000, 2_000), (2_000, 2_000)])
def test_the_first_window_that_began_since_is_awaited_for_two_windows(window_ms: int, awaited_ms: int) -> None:
    """One was under way when the check failed: waited for 0.7 s, a site was left whose users were answered."""
    before = counted(1_000, ago_ms=600, window_ms=window_ms)
    late = replace(SILENT, since_ms=NOW_MS - awaited_ms)
    soon = replace(late, since_ms=late.since_ms + 1)
    counts = before._replace(at_ms=min(before.at_ms, late.since_ms + window_ms - 1))
    assert judged(soon, counts)[0] is Standing.SUSPECT
    assert judged(late, counts) == (Standing.DOWN, 0)


def test_who_was_dark_already_before_its_checks_failed_is_not_waited_for() -> None:
    assert judged(failing_for(100), counted(50))[0] is Standing.DOWN
    assert judged(failing_for(100), counted(51))[0] is Standing.SUSPECT


def test_what_fails_in_part_is_not_waited_for() -> None:
    assert judged(replace(ERRS, since_ms=NOW_MS - 100), counted(1_000)) == (Standing.DEGRADED, 700)


# -- checks that are broken themselves -------------------------------------------------------------------------------


def test_checks_that_are_refused_while_users_lose_nothing_are_a_suspicion() -> None:
    assert WELL_PM == 980
    assert judged(REFUSED, counted(980)) == (Standing.SUSPECT, 0)
    assert judged(REFUSED, counted(979))[0] is Standing.DEGRADED


def test_checks_that_err_are_a_suspicion_once_users_are_proven_to_lose_nothing_and_no_window_of_chance_proves_it() -> None:
    """Fifteen requests hold no error in half of all windows of a site that errs in one of twenty: it was well, and sick again,
    every half second, with a notice and a write each time."""
    assert judged(ERRS, counted(15, asked=15, good=98)) == (Standing.DEGRADED, 700)
    assert judged(ERRS, counted(15, asked=15, good=99)) == (Standing.SUSPECT, 700)
    assert judged(ERRS, counted(6, asked=6, good=99)) == (Standing.SUSPECT, 700), "the last of many"
    assert judged(ERRS, counted(14, asked=15, good=120))[0] is Standing.SUSPECT, "one error does not end what many answers proved"


@pytest.mark.parametrize(
    ("before", "asked", "answered", "after"),
    [
        (0, 60, 60, 60),
        (60, 60, 60, 120),
        (190, 60, 60, 198),
        (0, 1_000, 980, 0),
        (0, 1_000, 990, 198),
        (198, 0, 0, 0),
    ],
)
def test_answers_to_the_good_are_summed_up_and_soon_forgotten(before: int, asked: int, answered: int, after: int) -> None:
    assert to_the_good(before, asked, answered) == after


def test_one_error_does_not_end_a_proof_and_one_request_that_was_under_way_costs_nothing() -> None:
    good = to_the_good(198, 20, 19)
    assert PROVING_REQUESTS < good < 198
    assert to_the_good(good, 19, 20) == 198
    assert to_the_good(198, 20, 17) < PROVING_REQUESTS
    assert to_the_good(0, 20, 80) < PROVING_REQUESTS, "a queue that empties"


def test_answers_to_the_good_are_walds_test_of_half_a_percent_against_five() -> None:
    an_answer = math.log(0.995 / 0.95)
    assert round(math.log(99) / an_answer) == PROVING_REQUESTS
    assert round(math.log(0.05 / 0.005) / an_answer) == ERROR_COSTS_REQUESTS


def test_silence_while_users_lose_nothing_is_no_suspicion_of_the_checks_for_a_queue_makes_them_wait_first() -> None:
    assert judged(SILENT, counted(1_000)) == (Standing.DEGRADED, 1_000)


def test_a_pool_that_is_slow_is_slow_although_all_are_answered_at_last() -> None:
    assert judged(SLOW, counted(1_000)) == (Standing.DEGRADED, 700)


def test_what_checks_say_of_errors_stays_where_users_lose_more_than_a_fiftieth() -> None:
    assert judged(ERRS, counted(300)) == (Standing.DEGRADED, 700)


def test_who_sees_nobody_answer_where_users_lose_nothing_has_seen_nothing_of_the_members_either() -> None:
    """A cut between two sites took the members of a healthy one out, one after the other, until the last was swamped."""
    topology = deployment()
    said = pool_and_members(topology, WEB, PANGYO, view(Standing.DOWN, hardness=Hardness.SILENT, since_ms=NOW_MS - 5_000))
    seen = {one.vantage: one for one in (report(topology, "node", None, said),)}
    for answered, standing in ((980, Standing.SUSPECT), (979, Standing.DOWN)):
        heeding = {KEY: counted(answered)}.get
        picture = diagnose(topology, POLICY, seen, NOW_MS, served_of=heeding)
        assert picture.pools[KEY].standing is Standing.DEGRADED
        assert {one.standing for one in picture.pools[KEY].members.values()} == {standing}


def test_a_member_that_fails_alone_is_taken_at_the_word_of_its_checks_whatever_the_pool_answers() -> None:
    """What stands before it may send everything to the others: the meter says nothing of one member."""
    topology = deployment()
    said = pool_and_members(topology, WEB, PANGYO, view(Standing.DOWN, hardness=Hardness.SILENT, since_ms=NOW_MS - 5_000))
    said[pool_target(WEB, PANGYO)] = view(Standing.DEGRADED, 700, Hardness.SILENT, since_ms=NOW_MS - 5_000)
    seen = {one.vantage: one for one in (report(topology, "node", None, said),)}
    picture = diagnose(topology, POLICY, seen, NOW_MS, served_of={KEY: counted(1_000)}.get)
    assert {one.standing for one in picture.pools[KEY].members.values()} == {Standing.DOWN}


# -- whom it concerns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standing", [Standing.UP, Standing.SUSPECT, Standing.UNKNOWN])
def test_only_what_is_bad_is_corrected(standing: Standing) -> None:
    seen = view(standing, since_ms=NOW_MS - 5_000)
    assert heeded(seen, counted(100)).view == seen


def test_a_pool_that_nobody_judges_gets_no_verdict() -> None:
    verdicts: dict[tuple[ServiceId, SiteId], Verdict] = {}
    heed(verdicts, {KEY: counted(600)}.get, NOW_MS)
    assert verdicts == {}


def test_who_accuses_is_kept_and_a_suspicion_is_carried_by_nobody() -> None:
    found = heeded(SILENT, counted(600))
    assert (found.accusers, found.carried) == ((VantageId("c1"),), True)
    assert not heeded(REFUSED, counted(1_000)).carried
    assert not heeded(SILENT, counted(600), carried=False).carried


# -- in the picture ----------------------------------------------------------------------------------------------------


def pictured(served: dict[tuple[ServiceId, SiteId], Served], *down: SiteId) -> Picture:
    topology = deployment()
    said = {target: seen for site in down for target, seen in pool_and_members(topology, WEB, site, SILENT).items()}
    reports = {VantageId(name): report(topology, name, None, said) for name in ("c1", "c2", "c3")}
    return diagnose(topology, POLICY, reports, NOW_MS, served_of=served.get)


def test_the_meter_of_one_pool_says_nothing_of_another() -> None:
    picture = pictured({KEY: counted(600)}, PANGYO, GASAN)
    assert picture.pools[KEY].standing is Standing.DEGRADED
    assert picture.pools[(WEB, GASAN)].standing is Standing.DOWN


def test_where_no_meter_sees_what_users_get_checks_decide() -> None:
    assert pictured({}, PANGYO).pools[KEY].standing is Standing.DOWN


def test_sites_that_are_all_silent_and_answer_alike_fail_alike() -> None:
    assert WEB in pictured({(WEB, site): counted(600) for site in SITES}, *SITES).global_fault


def test_a_meter_that_is_read_every_two_seconds_speaks_until_its_next_count_is_due_and_a_little_longer() -> None:
    """One that is read more often speaks for a second and a half."""
    for window_ms, fresh_ms in ((500, 1_500), (1_000, 1_500), (2_000, 3_000)):
        assert Served(at_ms=NOW_MS - fresh_ms, window_ms=window_ms, asked=60, answered=60).is_of_now(NOW_MS)
        assert not Served(at_ms=NOW_MS - fresh_ms - 1, window_ms=window_ms, asked=60, answered=60).is_of_now(NOW_MS)
