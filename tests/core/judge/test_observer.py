"""One vantage: what it concludes, what it refuses to conclude, and whom it probes fast."""

from __future__ import annotations

import pytest

from core.judge.cases import ANYANG, GASAN, NOW_MS, PANGYO, SITES, WEB, Drive, deployment
from siteshift.core.judge.hotset import FEW_POOLS, HotSet
from siteshift.core.model.codes import Fault, Hardness, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import ServiceId, SiteId, TargetId, pool_target, site_target


def healthy(drive: Drive, ms: int = 20_000) -> Drive:
    drive.run(ms)
    assert all(drive.pool(site).standing is Standing.UP for site in SITES)
    return drive


def test_nothing_is_known_before_the_first_result() -> None:
    drive = Drive(deployment())
    assert drive.pool(PANGYO).standing is Standing.UNKNOWN


@pytest.mark.parametrize(
    ("fault", "within_ms", "hardness"),
    [(Fault.REFUSED, 1_000, Hardness.HARD), (Fault.TIMEOUT, 1_700, Hardness.SILENT), (Fault.BAD_STATUS, 1_700, Hardness.GREY)],
)
def test_a_site_that_fails_is_down_soon(fault: Fault, within_ms: int, hardness: Hardness) -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO, fault)
    drive.run(within_ms)
    found = drive.pool(PANGYO)
    assert found.standing is Standing.DOWN and found.hardness is hardness
    assert drive.pool(GASAN).standing is Standing.UP


def test_a_blip_shorter_than_confirm_is_no_verdict() -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO, Fault.TIMEOUT)
    drive.run(600)
    drive.heal()
    for _ in range(60):
        drive.run(100)
        assert drive.pool(PANGYO).standing in (Standing.UP, Standing.SUSPECT)


def test_one_sick_member_stays_one_sick_member() -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO, only=1)
    for _ in range(60):
        drive.run(500)
        assert drive.pool(PANGYO).standing in (Standing.UP, Standing.SUSPECT)
    assert drive.member(PANGYO, 0).standing is Standing.DOWN
    assert drive.pool(PANGYO).standing is Standing.UP and drive.pool(PANGYO).score_pm == 1_000


def test_most_members_gone_degrades_and_the_last_one_downs_the_pool() -> None:
    drive = healthy(Drive(deployment()))
    for gone in (1, 2, 3):
        drive.fail(PANGYO, only=gone)
        drive.run(20_000)
    assert drive.pool(PANGYO).standing is Standing.DEGRADED
    drive.fail(PANGYO)
    drive.run(10_000)
    assert drive.pool(PANGYO).standing is Standing.DOWN


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.TIMEOUT, Fault.BAD_STATUS])
def test_sites_that_fall_a_little_apart_are_told_together(fault: Fault) -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO, fault)
    drive.run(200)
    drive.fail(GASAN, fault)
    drive.fail(ANYANG, fault)
    bad = (Standing.DOWN, Standing.DEGRADED)
    for _ in range(100):
        drive.run(50)
        standings = [drive.pool(site).standing in bad for site in SITES]
        assert all(standings) or not any(standings)
    assert all(standings)


def test_slowness_degrades_and_takes_longer_than_silence() -> None:
    drive = healthy(Drive(deployment()))
    drive.slow(PANGYO, 700)
    drive.run(2_500)
    assert drive.pool(PANGYO).standing is Standing.SUSPECT
    drive.run(3_000)
    assert drive.pool(PANGYO).standing is Standing.DEGRADED and drive.pool(PANGYO).hardness is Hardness.SLOW


def test_a_recovered_pool_is_up_again_after_rise() -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO)
    drive.run(5_000)
    drive.heal()
    drive.run(1_000)
    assert drive.pool(PANGYO).standing is Standing.DOWN
    drive.run(6_000)
    assert drive.pool(PANGYO).standing is Standing.UP


def test_silence_of_the_prober_is_unknown_not_down() -> None:
    drive = healthy(Drive(deployment()))
    drive.observer.tick(drive.at_ms + 60_000)
    views = drive.observer.report(drive.at_ms + 60_000).views
    assert all(one.standing is Standing.UNKNOWN for one in views.values())


def test_an_anchored_vantage_accuses_only_when_its_line_is_seen_to_work() -> None:
    drive = Drive(deployment(sites=(PANGYO, GASAN)), anchors=("a",), site=GASAN)
    drive.observer.anchor("a", Outcome.PASS, drive.at_ms, drive.at_ms)
    drive.run(10_000)
    drive.fail(PANGYO)
    drive.run(700)
    assert drive.pool(PANGYO).standing is Standing.SUSPECT
    drive.observer.anchor("a", Outcome.PASS, drive.at_ms, drive.at_ms)
    drive.run(300)
    assert drive.pool(PANGYO).standing is Standing.DOWN


def hot_siblings(drive: Drive, ms: int) -> list[int]:
    """How many members of other sites than Pangyo were hot, every 50 ms."""
    counts = []
    for _ in range(ms // 50):
        drive.run(50)
        counts.append(sum(f"/{PANGYO}/" not in target for target in drive.observer.hot_targets()))
    return counts


def test_suspicion_hastens_the_pool_then_a_few_of_its_siblings_and_verdicts_end_it() -> None:
    drive = healthy(Drive(deployment()))
    assert drive.observer.hot_targets() == frozenset()
    drive.fail(PANGYO, Fault.BAD_STATUS, only=1)
    drive.run(1_100)
    hot = drive.observer.hot_targets()
    assert {m.target for m in drive.topology.pools[(WEB, PANGYO)].members} <= hot
    drive.fail(PANGYO, Fault.BAD_STATUS)
    assert 0 < max(hot_siblings(drive, 400)) <= 8
    drive.run(5_000)
    assert drive.pool(PANGYO).standing in (Standing.DOWN, Standing.DEGRADED)
    assert drive.observer.hot_targets() == frozenset()


def test_a_sibling_that_has_been_seen_to_be_better_is_asked_as_usual_again_while_the_suspicion_lasts() -> None:
    drive = healthy(Drive(deployment()))
    drive.fail(PANGYO, Fault.BAD_STATUS)
    counts = hot_siblings(drive, 1_000)
    assert drive.pool(PANGYO).standing is Standing.SUSPECT
    assert max(counts) > 0 and counts[-1] == 0
    assert sum(count > 0 for count in counts) <= 12, "600 ms of a suspicion of a second"


def test_of_many_siblings_only_so_many_members_are_hastened_as_a_comparison_takes() -> None:
    drive = Drive(deployment(sites=(*(SiteId(f"s{number}") for number in range(12)), PANGYO)))
    drive.run(10_000)
    drive.fail(PANGYO, Fault.BAD_STATUS)
    assert 0 < max(hot_siblings(drive, 1_000)) <= 8


def test_a_sibling_that_fails_as_well_is_hastened_as_a_suspect_and_not_as_a_witness() -> None:
    drive = healthy(Drive(deployment()))
    for site in SITES:
        drive.fail(site, Fault.BAD_STATUS)
    drive.run(500)
    assert len(drive.observer.hot_targets()) == 3 * 4
    drive.run(5_000)
    assert drive.observer.hot_targets() == frozenset(), "they are told together, and nobody is asked often any more"


def test_over_any_minute_there_are_at_most_as_many_extra_checks_as_usual_ones() -> None:
    """The account of the hour is full at the start: it may not be spent at once."""
    drive = Drive(deployment())
    drive.run(10_000)
    spent = []
    for second in range(180):
        drive.heal()
        for pool in drive.topology.pools.values() if second % 2 else ():
            drive.faults[pool.members[second // 2 % 4].target] = (Outcome.FAIL, Fault.BAD_STATUS, 1)
        hot = 0
        for _ in range(10):
            drive.run(100)
            hot += len(drive.observer.hot_targets())
        spent.append(hot / 10 * (1_000 / 200 - 1))
    minutes = [sum(spent[at : at + 60]) for at in range(len(spent) - 60)]
    assert max(minutes) > 0.2 * 12 * 60, "it is spent at all"
    assert max(minutes) <= 12 * 60 * 1.1


def test_fast_probing_stays_within_a_tenth_of_the_load_over_an_hour() -> None:
    drive = Drive(deployment())
    drive.run(10_000)
    hot_ms = 0
    for _ in range(300):
        drive.fail(PANGYO, Fault.BAD_STATUS, only=1)
        drive.run(1_000)
        drive.heal()
        for _ in range(11):
            drive.run(1_000)
            hot_ms += 1_000 * len(drive.observer.hot_targets())
    extra_probes = hot_ms * (1 / 200 - 1 / 1_000)
    assert extra_probes <= 0.1 * 12 * 3_600 * 1.05


def test_a_pass_of_the_twin_is_a_broken_check_until_it_fails_again() -> None:
    drive = healthy(Drive(deployment()))
    target = pool_target(WEB, PANGYO)
    assert drive.observer.result(target, Outcome.PASS, Fault.NONE, 900, drive.at_ms, drive.at_ms, must_fail=True)
    assert drive.observer.report(drive.at_ms).self_check.broken_checks == (target,)
    assert drive.observer.result(target, Outcome.FAIL, Fault.BAD_STATUS, 900, drive.at_ms, drive.at_ms, must_fail=True)
    assert drive.observer.report(drive.at_ms).self_check.broken_checks == ()


def test_one_failing_check_is_not_excused_by_another_that_passes() -> None:
    drive = healthy(Drive(deployment()))
    target = drive.topology.pools[(WEB, PANGYO)].members[0].target
    for _ in range(10):
        drive.at_ms += 500
        drive.observer.result(target, Outcome.PASS, Fault.NONE, 900, drive.at_ms, drive.at_ms, check="tcp")
        drive.observer.result(target, Outcome.FAIL, Fault.BAD_STATUS, 900, drive.at_ms, drive.at_ms, check="http")
        drive.observer.tick(drive.at_ms)
    assert drive.member(PANGYO, 0).standing is Standing.DOWN


def test_a_certificate_about_to_expire_is_a_warning() -> None:
    drive = healthy(Drive(deployment()))
    target = drive.topology.pools[(WEB, PANGYO)].members[0].target
    at = drive.at_ms
    assert drive.observer.result(target, Outcome.PASS, Fault.NONE, 900, at, at, detail="certificate expires in 9 days")
    found = drive.member(PANGYO, 0)
    assert found.standing is Standing.UP and "9 days" in found.reason


def test_a_warning_ends_with_the_first_pass_that_gives_none() -> None:
    drive = healthy(Drive(deployment()))
    target = drive.topology.pools[(WEB, PANGYO)].members[0].target
    drive.observer.result(target, Outcome.PASS, Fault.NONE, 900, drive.at_ms, drive.at_ms, detail="certificate expires in 9 days")
    assert drive.observer.result(target, Outcome.PASS, Fault.NONE, 900, drive.at_ms, drive.at_ms)
    assert drive.member(PANGYO, 0).reason == ""


def test_a_pool_s_own_address_counts_beside_its_members() -> None:
    drive = healthy(Drive(deployment()))
    for _ in range(6):
        drive.run(1_000)
        drive.observer.result(pool_target(WEB, PANGYO), Outcome.FAIL, Fault.REFUSED, 900, drive.at_ms, drive.at_ms)
    assert drive.pool(PANGYO).standing is Standing.DOWN
    assert drive.member(PANGYO, 0).standing is Standing.UP


def traffic(drive: Drive, errors: int, times: int, latency_ms: int | None = 20) -> None:
    for _ in range(times):
        drive.run(1_000)
        drive.observer.observe_counts(pool_target(WEB, PANGYO), 300, errors, latency_ms, drive.at_ms)


def test_errors_in_real_traffic_degrade_although_the_check_passes() -> None:
    drive = healthy(Drive(deployment()))
    traffic(drive, 0, 5)
    traffic(drive, 90, 4)
    found = drive.pool(PANGYO)
    assert found.standing is Standing.DEGRADED and 600 < found.score_pm < 900
    traffic(drive, 0, 20)
    assert drive.pool(PANGYO).standing is Standing.UP


def test_one_bad_batch_of_traffic_is_no_verdict() -> None:
    drive = healthy(Drive(deployment()))
    traffic(drive, 0, 5)
    traffic(drive, 300, 1)
    assert drive.pool(PANGYO).standing is Standing.UP


def test_good_traffic_contradicts_a_grey_check() -> None:
    drive = healthy(Drive(deployment()))
    traffic(drive, 0, 5)
    drive.fail(PANGYO, Fault.BAD_STATUS)
    traffic(drive, 0, 5)
    found = drive.pool(PANGYO)
    assert found.standing is Standing.SUSPECT and "contradicted" in found.reason


def test_standby_members_are_seen_but_not_pooled() -> None:
    drive = Drive(deployment(members=2, standby=2))
    for pool in drive.topology.pools.values():
        for member in pool.members[2:]:
            drive.faults[member.target] = (Outcome.FAIL, Fault.REFUSED, 1)
    drive.run(20_000)
    assert drive.member(PANGYO, 2).standing is Standing.DOWN
    assert drive.pool(PANGYO).standing is Standing.UP


def test_unknown_targets_are_ignored() -> None:
    drive = Drive(deployment())
    assert not drive.observer.result(TargetId("member:no/such/one"), Outcome.FAIL, Fault.RESET, 1, 1, 1)
    assert site_target(PANGYO) in drive.observer.report(1).views


def test_choosing_whom_to_probe_fast_is_bounded_when_hundreds_stir_at_once() -> None:
    """Each result of a great outage's first second would look at all pools and their siblings anew."""
    hot = HotSet(15_000, JudgePolicy())
    hot.update(NOW_MS, (), ())
    assert hot.due(NOW_MS, FEW_POOLS), "a few are chosen from with each result"
    assert not hot.due(NOW_MS + 199, 300)
    assert hot.due(NOW_MS + 200, 300)
    assert hot.due(NOW_MS - 5_000, 300), "a late result does not hold the choice up"


def test_many_services_of_a_dead_site_are_all_found_at_once() -> None:
    services = tuple(ServiceId(f"s{n}") for n in range(12))
    drive = Drive(deployment(services=services))
    drive.run(20_000)
    drive.fail(PANGYO)
    drive.run(1_000)
    assert all(drive.pool(PANGYO, service).standing is Standing.DOWN for service in services)


def test_a_pause_of_a_second_is_no_verdict_when_the_last_answer_before_it_had_been_long_on_its_way() -> None:
    """That check was started 300 ms before the pause: its start does not say since when nobody answers."""
    drive = healthy(Drive(deployment()))
    members = [one.target for one in drive.topology.pools[(WEB, PANGYO)].members]
    began_ms = drive.at_ms
    ends = [(began_ms + 800, began_ms, members[0], Outcome.FAIL), (began_ms + 300, began_ms + 5, members[1], Outcome.PASS)]
    for number, target in enumerate(members[1:]):
        start_ms = began_ms + 310 + 10 * number
        ends.append((start_ms + 800, start_ms, target, Outcome.FAIL))
    others = [target for _, target in drive.members if target not in members]
    for at_ms in range(began_ms, began_ms + 1_290, 50):
        ends.append((at_ms + 10, at_ms, others[at_ms // 50 % len(others)], Outcome.PASS))
    for end_ms, start_ms, target, outcome in sorted(ends):
        fault = Fault.TIMEOUT if outcome is Outcome.FAIL else Fault.NONE
        drive.observer.result(target, outcome, fault, (end_ms - start_ms) * 1_000, end_ms, start_ms)
        drive.observer.tick(end_ms)
        drive.at_ms = end_ms
        assert drive.pool(PANGYO).standing in (Standing.UP, Standing.SUSPECT), end_ms - began_ms
    drive.at_ms = began_ms + 1_310
    drive.observer.tick(drive.at_ms)
    assert drive.pool(PANGYO).standing is Standing.DOWN, "a second after nobody was answered any more"
