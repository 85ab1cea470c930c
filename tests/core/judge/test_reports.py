"""What the observer reports, number by number: standing, score, since and reason, out of real results in virtual time.

Healthy for 20 s, every member asked once a second (at 0, 250, 500 and 750 ms); times count from the beginning of the fault.
"""

from __future__ import annotations

import random

import pytest

from core.judge.cases import ANYANG, GASAN, NOW_MS, PANGYO, SITES, WEB, Drive, deployment
from siteshift.core.judge.baseline import CEILING, FLOOR, MEMORY_SAMPLES, PRIOR_FAILS, PRIOR_SAMPLES, Baseline, learned_rates
from siteshift.core.judge.cusum import CRASH, GREY, SLOW
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.learning import SLICES
from siteshift.core.judge.siblings import Suspicion
from siteshift.core.model.codes import DiagnosisCode, Fault, Hardness, Outcome, Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.policy import JudgePolicy, Policy
from siteshift.core.model.units import MemberId, TargetId, VantageId, member_target, pool_target, site_target

HEALTHY_MS = 20_000
BEGAN_MS = NOW_MS + HEALTHY_MS
POOL = pool_target(WEB, PANGYO)
BAD = (Standing.DOWN, Standing.DEGRADED)
Said = tuple[Standing, int, Hardness, int, str]


def healthy(**topology: int) -> Drive:
    drive = Drive(deployment(**topology))  # type: ignore[arg-type]
    drive.run(HEALTHY_MS)
    return drive


def said(view: TargetView) -> Said:
    return view.standing, view.score_pm, view.hardness, view.since_ms - BEGAN_MS, view.reason


def seen(drive: Drive, target: TargetId) -> TargetView:
    return drive.observer.report(drive.at_ms).views[target]


# -- checks -------------------------------------------------------------------------------------------------------------


def test_in_health_the_score_is_whole_since_the_first_answer() -> None:
    drive = healthy()
    assert said(drive.pool(PANGYO)) == (Standing.UP, 1_000, Hardness.NONE, 300 - HEALTHY_MS, "")
    assert said(drive.member(PANGYO, 0)) == (Standing.UP, 1_000, Hardness.NONE, 1_050 - HEALTHY_MS, "")
    assert drive.pool(PANGYO).last_pass_ms == BEGAN_MS - 250


@pytest.mark.parametrize(
    ("fault", "hardness", "told_ms", "member_since_ms"),
    [
        (Fault.REFUSED, Hardness.HARD, 650, 400),
        (Fault.BAD_STATUS, Hardness.GREY, 1_250, 400),
        (Fault.TIMEOUT, Hardness.SILENT, 1_300, 1_000),
    ],
)
def test_a_crash_is_told_since_its_first_failure(fault: Fault, hardness: Hardness, told_ms: int, member_since_ms: int) -> None:
    """The member asked first after the beginning answered no more at 250 ms; the verdict says so whenever it comes."""
    drive = healthy()
    drive.fail(PANGYO, fault)
    drive.run(told_ms - 50)
    assert drive.pool(PANGYO).standing not in BAD
    drive.run(50)
    for target in (POOL, site_target(PANGYO)):
        assert said(seen(drive, target))[:4] == (Standing.DOWN, 0, hardness, 250)
    drive.run(10_000)
    assert said(drive.pool(PANGYO)) == (Standing.DOWN, 0, hardness, 250, "4 of 4 members failing now, goodput 0 %")
    assert said(drive.member(PANGYO, 0)) == (Standing.DOWN, 0, hardness, member_since_ms, f"{fault.value}, 100 % failing")
    assert drive.pool(PANGYO).last_pass_ms == BEGAN_MS
    assert said(drive.pool(GASAN))[:3] == (Standing.UP, 1_000, Hardness.NONE)


def test_on_the_way_back_it_is_down_with_the_few_good_answers_counted_and_then_up_since_the_clearing() -> None:
    drive = healthy()
    drive.fail(PANGYO)
    drive.run(11_000)
    drive.heal()
    drive.run(1_000)
    assert said(drive.pool(PANGYO)) == (Standing.DOWN, 57, Hardness.HARD, 250, "1 of 4 members failing now, goodput 5.7 %")
    drive.run(8_000)
    assert said(drive.pool(PANGYO)) == (Standing.UP, 1_000, Hardness.NONE, 14_050, "")


def test_slowness_is_no_goodput_and_names_itself() -> None:
    drive = healthy()
    drive.slow(PANGYO, 700)
    drive.run(2_500)
    assert said(drive.pool(PANGYO)) == (Standing.SUSPECT, 333, Hardness.SLOW, 1_200, "0 of 4 members failing now, goodput 33.3 %")
    drive.run(13_000)
    assert said(drive.pool(PANGYO)) == (Standing.DEGRADED, 0, Hardness.SLOW, 250, "0 of 4 members failing now, goodput 0 %")
    assert said(drive.member(PANGYO, 0)) == (Standing.DEGRADED, 0, Hardness.SLOW, 1_000, "slow, 100 % failing")


# -- one member ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [2, 4, 12])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.TIMEOUT, Fault.BAD_STATUS])
def test_no_verdict_about_a_pool_rests_on_one_member(members: int, fault: Fault) -> None:
    drive = healthy(members=members)
    drive.fail(PANGYO, fault, only=1)
    for _ in range(240):
        drive.run(250)
        assert drive.pool(PANGYO).standing not in BAD
        assert seen(drive, site_target(PANGYO)).standing not in BAD
    assert said(drive.member(PANGYO, 0))[:2] == (Standing.DOWN, 0)
    assert said(drive.pool(PANGYO))[:3] == (Standing.UP, 1_000, Hardness.NONE)


def test_nor_on_one_that_fails_now_and_then() -> None:
    """Half of one member's answers are an eighth of the pool's: more than any grey fault needs, and all from one."""
    drive, chance = healthy(), random.Random(5)
    sick = drive.topology.pools[(WEB, PANGYO)].members[0].target
    for _ in range(600):
        drive.faults[sick] = (Outcome.FAIL if chance.random() < 0.5 else Outcome.PASS, Fault.BAD_STATUS, 10)
        drive.run(200)
        assert drive.pool(PANGYO).standing not in BAD
    assert drive.member(PANGYO, 0).standing in BAD


@pytest.mark.parametrize(("from_ms", "for_ms"), [(1_250, 1_000), (1_500, 1_000), (1_750, 500), (2_000, 250)])
def test_nor_on_one_that_fails_now_and_then_and_a_single_blip_of_another(from_ms: int, for_ms: int) -> None:
    """The level is reached, but nearly all of it is one member's."""
    drive = healthy(members=2)
    sick, other = (member.target for member in drive.topology.pools[(WEB, PANGYO)].members)
    while (now_ms := drive.at_ms - BEGAN_MS) < 8_000:
        drive.faults.clear()
        if now_ms // 200 % 3 == 0:
            drive.faults[sick] = (Outcome.FAIL, Fault.REFUSED, 10)
        if from_ms <= now_ms < from_ms + for_ms:
            drive.faults[other] = (Outcome.FAIL, Fault.REFUSED, 10)
        drive.run(50)
        assert drive.pool(PANGYO).standing not in BAD


def test_what_a_pool_still_delivers_is_told_of_those_that_answer() -> None:
    drive = healthy()
    drive.fail(PANGYO, only=3)
    drive.run(20_000)
    found = said(drive.pool(PANGYO))
    assert found == (Standing.DEGRADED, 1_000, Hardness.HARD, 250, "3 of 4 members failing now, goodput 100 %")


# -- stale passes and slow siblings --------------------------------------------------------------------------------------


def verdict_after_ms(drive: Drive, most_ms: int = 60_000) -> int:
    while drive.pool(PANGYO).standing not in BAD and drive.at_ms < BEGAN_MS + most_ms:
        drive.run(50)
    return drive.at_ms - BEGAN_MS


@pytest.mark.parametrize(("fault", "most_ms"), [(Fault.REFUSED, 650), (Fault.BAD_STATUS, 1_250)])
def test_siblings_that_are_asked_no_more_reassure_nobody(fault: Fault, most_ms: int) -> None:
    """Their last passes are from before the fault, or old: the verdict waits as long as it waits without reassurance."""
    drive = healthy()
    drive.fail(PANGYO, fault)
    assert verdict_after_ms(drive) <= most_ms
    stale = healthy()
    stale.members = [one for one in stale.members if f"/{PANGYO}/" in one[1]]
    stale.fail(PANGYO, fault)
    assert verdict_after_ms(stale) >= most_ms + JudgePolicy().confirm_silent_ms // 2


@pytest.mark.parametrize(("asked_ms", "told_ms"), [(1_000, 1_250), (950, 2_250)])
def test_a_sibling_that_answered_until_a_moment_ago_is_not_seen_to_answer_now(asked_ms: int, told_ms: int) -> None:
    """What spoke for it is enough; when the verdict is ripe, at 1,250 ms, its last pass must be no older than 325 ms.

    By then it has long given its reassurance and is asked every 250 ms again: at 1,000 ms or at 750.
    """
    drive = healthy()
    drive.fail(PANGYO, Fault.BAD_STATUS)
    drive.run(asked_ms)
    drive.members = [one for one in drive.members if f"/{PANGYO}/" in one[1]]
    assert verdict_after_ms(drive) == told_ms


def test_passes_of_checks_that_were_started_before_the_fault_do_not_count_for_a_sibling() -> None:
    """They come in later, and say nothing of the time since."""
    drive = healthy()
    drive.fail(PANGYO)
    siblings = [target for _, target in drive.members if f"/{PANGYO}/" not in target]
    drive.members = [one for one in drive.members if f"/{PANGYO}/" in one[1]]
    for _ in range(30):
        drive.run(50)
        for target in siblings:
            drive.observer.result(target, Outcome.PASS, Fault.NONE, 10_000, drive.at_ms, BEGAN_MS)
        if drive.at_ms < BEGAN_MS + 1_300:
            assert drive.pool(PANGYO).standing not in BAD


@pytest.mark.parametrize(
    ("fault", "usual_ms", "within_ms"),
    [
        (Fault.REFUSED, 400, 1_100),
        (Fault.REFUSED, 480, 1_100),
        (Fault.BAD_STATUS, 400, 1_400),
        (Fault.BAD_STATUS, 480, 1_400),
        (Fault.TIMEOUT, 480, 2_600),
    ],
)
def test_siblings_that_always_take_long_reassure_when_their_answer_comes(fault: Fault, usual_ms: int, within_ms: int) -> None:
    """All sites take 400 ms, within the SLO. By when they were asked, their passes would always be too old."""
    drive = Drive(deployment())
    for site in SITES:
        drive.slow(site, usual_ms)
    drive.run(HEALTHY_MS)
    assert all(drive.pool(site).standing is Standing.UP for site in SITES)
    drive.fail(PANGYO, fault)
    assert verdict_after_ms(drive) <= within_ms


@pytest.mark.parametrize("usual_ms", [10, 400, 480])
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_errors_beside_siblings_that_take_long_is_found_in_seconds(usual_ms: int, seed: int) -> None:
    drive, chance = Drive(deployment()), random.Random(seed)
    for site in SITES:
        drive.slow(site, usual_ms)
    drive.run(HEALTHY_MS)
    crew = [member.target for member in drive.topology.pools[(WEB, PANGYO)].members]
    while drive.pool(PANGYO).standing not in BAD and drive.at_ms < BEGAN_MS + 60_000:
        for target in crew:
            is_bad = chance.random() < 0.2
            drive.faults[target] = (Outcome.FAIL, Fault.BAD_STATUS, usual_ms) if is_bad else (Outcome.PASS, Fault.NONE, usual_ms)
        drive.run(50)
    assert drive.at_ms - BEGAN_MS <= 6_000
    assert drive.pool(GASAN).standing is drive.pool(ANYANG).standing is Standing.UP


def test_a_slow_pass_of_a_sibling_speaks_against_a_crash_here_and_not_against_slowness() -> None:
    drive = healthy()
    sibling = drive.observer._group_of[pool_target(WEB, GASAN)]
    suspicion, began_ms = Suspicion(), drive.at_ms - 1_000
    suspicion.follow([1.0] * 4, [1] * 4, [began_ms] * 4, ())
    for _ in range(5):
        suspicion.passed(sibling.index, drive.at_ms, slow=1)
    reassured = {
        test: suspicion.reassured_by(test, 4, 4, 0.005, [sibling], drive.at_ms, Hardness.HARD) for test in (CRASH, GREY, SLOW)
    }
    assert reassured == {CRASH: [sibling], GREY: [sibling], SLOW: []}


def test_siblings_that_are_slow_too_reassure_nobody_about_slowness() -> None:
    drive = healthy()
    for site in SITES:
        drive.slow(site, 700)
    for _ in range(80):
        drive.run(100)
        bad = [drive.pool(site).standing in BAD for site in SITES]
        assert all(bad) or not any(bad)
    drive.run(30_000)
    report = drive.observer.report(drive.at_ms)
    picture = diagnose(drive.topology, Policy(), {VantageId("v1"): report}, drive.at_ms)
    assert WEB in picture.global_fault


# -- baselines ----------------------------------------------------------------------------------------------------------


def test_a_baseline_beyond_its_memory_keeps_its_rate_and_forgets_half() -> None:
    one = Baseline()
    for _ in range(MEMORY_SAMPLES // 100 + 1):
        one.commit(100, 1, 2)
        assert one.samples <= MEMORY_SAMPLES
    assert one.samples == (MEMORY_SAMPLES + 100) / 2
    assert one.fails == pytest.approx(one.samples * 0.01)
    assert one.slows == pytest.approx(one.samples * 0.02)
    assert learned_rates((one,)) == (99, 198), "with the prior: 400 samples of 0.5 %"


def test_other_habits_are_learned_within_the_memory_however_long_the_old_ones_lasted() -> None:
    one = Baseline()
    for _ in range(20 * MEMORY_SAMPLES // 1_000):
        one.commit(1_000, 2, 0)
    assert learned_rates((one,))[0] == 20
    commits = 0
    while learned_rates((one,))[0] < 90:
        one.commit(1_000, 10, 0)
        commits += 1
    assert commits * 1_000 <= 2.5 * MEMORY_SAMPLES


def test_rates_stay_between_floor_and_ceiling_whatever_was_learned() -> None:
    quiet, sick = Baseline(), Baseline()
    quiet.commit(40_000, 0, 0)
    sick.commit(40_000, 20_000, 40_000)
    assert learned_rates((quiet,)) == (10_000 * FLOOR, 10_000 * FLOOR)
    assert learned_rates((sick,)) == (10_000 * CEILING, 10_000 * CEILING)
    assert learned_rates(()) == (10_000 * PRIOR_FAILS / PRIOR_SAMPLES,) * 2


def test_an_observer_that_has_learned_for_days_still_finds_a_crash_and_reports_it_alike() -> None:
    """More than 50,000 passes of every member: the memory was halved."""
    drive = healthy()
    days_ms = 60_000 * 1_000
    drive.observer.fast_forward(days_ms, drive.at_ms + days_ms)
    drive.pending.clear()
    drive.at_ms += days_ms
    drive.run(SLICES * 1_000 + 20_000)
    stream = drive.observer._entries[member_target(MemberId("web/pangyo/m0"))][0]
    assert 0 < stream.baseline.samples <= MEMORY_SAMPLES < days_ms // 1_000
    assert stream.bank.tuning.base_rate == FLOOR
    began_ms = drive.at_ms
    drive.fail(PANGYO)
    drive.run(700)
    found = drive.pool(PANGYO)
    assert (found.standing, found.score_pm, found.hardness) == (Standing.DOWN, 0, Hardness.HARD)
    assert began_ms <= found.since_ms <= began_ms + 300


# -- figures ------------------------------------------------------------------------------------------------------------

EVERY_MS, GOOD_FOR_MS = 15_000, 32_000


def counted(drive: Drive, target: TargetId, errors: int, times: int, *, requests: int = 300, latency_ms: int | None = 20) -> None:
    for _ in range(times):
        drive.run(1_000)
        drive.observer.observe_counts(target, requests, errors, latency_ms, drive.at_ms)


def test_what_real_traffic_says_is_told_since_the_first_bad_batch_for_as_long_as_it_lasts() -> None:
    drive = healthy()
    counted(drive, POOL, 0, 5)
    counted(drive, POOL, 90, 3)
    for score_pm in (791, 762, 743, 730, 721):
        found = drive.pool(PANGYO)
        assert said(found) == (Standing.DEGRADED, score_pm, Hardness.GREY, 6_000, "seen in real traffic")
        assert found.last_pass_ms > BEGAN_MS, "the checks go on to pass, and that stays beside it"
        counted(drive, POOL, 90, 1)


def test_what_only_one_vantage_sees_in_traffic_is_a_path_after_a_minute_and_no_suspicion_for_ever() -> None:
    """A lone accusation is suspect for a minute from its beginning; were it renewed with each batch, for ever."""
    drive = healthy()
    standings = []
    counted(drive, POOL, 0, 5)
    for _ in range(100):
        counted(drive, POOL, 90, 1)
        mine = drive.observer.report(drive.at_ms)
        views = {target: TargetView(standing=Standing.UP, score_pm=1_000) for target in mine.views}
        others = {
            VantageId(name): type(mine)(
                vantage=VantageId(name), site=GASAN, at_ms=drive.at_ms, sequence=1, self_check=mine.self_check, views=views
            )
            for name in ("v2", "v3")
        }
        picture = diagnose(drive.topology, Policy(), {VantageId("v1"): mine, **others}, drive.at_ms)
        standings.append(picture.pools[(WEB, PANGYO)].standing)
    assert set(standings[5:50]) == {Standing.SUSPECT}
    assert standings[-1] is Standing.UP
    assert DiagnosisCode.PATH_DOWN in {entry.code for entry in picture.diagnoses}


def test_figures_of_one_member_are_its_own() -> None:
    drive = healthy()
    sick = member_target(MemberId("web/pangyo/m1"))
    for index in range(8):
        drive.run(EVERY_MS)
        for i in range(4):
            errors = 300 if i == 1 and index >= 2 else 0
            target = member_target(MemberId(f"web/pangyo/m{i}"))
            drive.observer.observe_counts(target, 1_000, errors, 20, drive.at_ms, GOOD_FOR_MS)
    view = seen(drive, sick)
    assert said(view) == (Standing.DEGRADED, 719, Hardness.GREY, 3 * EVERY_MS, "seen in real traffic")
    assert [drive.member(PANGYO, i).standing for i in (0, 2, 3)] == [Standing.UP] * 3
    assert drive.pool(PANGYO).standing is Standing.UP
    drive.run(GOOD_FOR_MS + 1_000)
    assert said(seen(drive, sick))[:3] == (Standing.UP, 1_000, Hardness.NONE), "figures that stopped say nothing"


def test_good_figures_that_lag_contradict_no_check() -> None:
    drive = healthy()
    drive.fail(PANGYO, Fault.BAD_STATUS)
    for _ in range(6):
        drive.run(1_000)
        drive.observer.observe_counts(POOL, 1_000, 0, 20, drive.at_ms, GOOD_FOR_MS)
    assert said(drive.pool(PANGYO)) == (Standing.DOWN, 0, Hardness.GREY, 250, "4 of 4 members failing now, goodput 0 %")


def test_what_the_checks_of_a_member_said_is_not_lost_behind_its_figures() -> None:
    drive = healthy()
    target = member_target(MemberId("web/pangyo/m0"))
    drive.faults[target] = (Outcome.PASS, Fault.NONE, 700)
    drive.run(2_000)
    assert drive.member(PANGYO, 0).standing is Standing.SUSPECT
    for _ in range(5):
        drive.observer.observe_counts(target, 1_000, 300, 20, drive.at_ms, GOOD_FOR_MS)
        drive.run(500)
    view = seen(drive, target)
    assert said(view) == (Standing.DEGRADED, 700, Hardness.GREY, 2_000, "seen in real traffic")
    assert view.evidence is not None and view.evidence.fault is Fault.SLOW


# -- an idle night ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good_for_ms", [None, GOOD_FOR_MS])
@pytest.mark.parametrize(("requests", "errors"), [(0, 0), (0, 3), (1, 1), (4, 4)])
def test_no_traffic_or_hardly_any_says_nothing(requests: int, errors: int, good_for_ms: int | None) -> None:
    drive = healthy()
    for _ in range(60):
        drive.run(1_000)
        for target in drive.topology.targets:
            drive.observer.observe_counts(target, requests, errors, None, drive.at_ms, good_for_ms)
    views = drive.observer.report(drive.at_ms).views
    assert {(view.standing, view.score_pm, view.reason) for view in views.values()} == {(Standing.UP, 1_000, "")}


def test_an_idle_night_ends_what_traffic_accused_and_does_not_hide_a_crash() -> None:
    drive = healthy()
    counted(drive, POOL, 90, 6)
    assert drive.pool(PANGYO).reason == "seen in real traffic"
    counted(drive, POOL, 0, 10, requests=0, latency_ms=None)
    assert said(drive.pool(PANGYO))[:3] == (Standing.UP, 1_000, Hardness.NONE)
    began_ms = drive.at_ms
    drive.fail(PANGYO, Fault.BAD_STATUS)
    counted(drive, POOL, 0, 3, requests=0, latency_ms=None)
    found = drive.pool(PANGYO)
    assert (found.standing, found.score_pm) == (Standing.DOWN, 0), "nobody is served well, so nothing contradicts the check"
    assert began_ms < found.since_ms <= began_ms + 300
