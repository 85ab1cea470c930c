"""Worlds of the sweep in which more was lost than with nothing done, or shares turned to and fro, each with what it was."""

from __future__ import annotations

import pytest

from siteshift.sim.peers.nothing import run_nothing
from siteshift.sim.run.replay import replay
from siteshift.sim.scenario.scenario import scenario_of
from siteshift.sim.sweep.factors import combination_of
from siteshift.sim.sweep.rules import turns_of
from siteshift.sim.sweep.sweep import Swept, run_combination


def swept(id: str) -> Swept:
    return run_combination(combination_of(id))


@pytest.mark.parametrize(
    "id",
    [
        "errors5-pangyo-load95-bare-page-both-unmetered-retries-1node",
        "errors5-gasan-load95-bare-nopage-balancer-unmetered-retries-1node",
    ],
)
def test_members_of_a_full_pool_that_all_err_a_little_keep_their_weights(id: str) -> None:
    """One that was spared filled its siblings, whose users tried again: 230 s more of the site's traffic than nothing done."""
    found = swept(id)
    assert (found.findings, found.moves) == ({}, 0)


@pytest.mark.parametrize(
    "id",
    [
        "latency500-pangyo-load95-bare-page-balancer-unmetered-retries-3nodes",
        "hang-anyang-load95-bare-page-both-unmetered-retries-1node",
        "cap50-anyang-load95-bare-page-dns-unmetered-once-3nodes",
    ],
)
def test_nothing_is_shed_from_a_site_that_only_checks_call_down(id: str) -> None:
    """Its users may be answered, late or by another way than checks go; and nobody counts them."""
    assert swept(id).findings == {}


def test_where_checks_break_at_one_site_after_the_other_the_second_is_left_only_as_far_as_there_is_room() -> None:
    found = swept("checks_several-pangyo-load95-standby-page-dns-unmetered-once-3nodes")
    assert found.more_s < 1
    assert "worse" not in found.findings


def test_a_site_that_is_well_again_gets_its_own_share_although_that_is_above_the_limit() -> None:
    """It kept 94 % of its share for good, and the rest was shed to keep a margin."""
    found = swept("crash-gasan-load95-bare-page-balancer-unmetered-once-1node")
    assert "not-home" not in found.findings
    assert found.more_s < 6, "what its first steps shed, and the hold-down"


def test_a_site_that_was_well_with_less_climbs_by_small_steps() -> None:
    """It was given all of its share again, eight times, and failed each time."""
    assert swept("cap50-pangyo-load60-bare-nopage-both-unmetered-once-3nodes").findings == {}


def test_a_standby_that_closed_since_does_not_explain_why_a_site_failed() -> None:
    """Its share was 317 of 412 requests/s when it failed, and of 312 a little later: so it was given all of it again."""
    found = swept("cap70-gasan-load95-standby-page-dns-unmetered-retries-3nodes")
    assert found.more_s < -270
    assert found.turns <= 3


def test_a_capped_site_is_not_cut_again_and_again_while_it_answers_all_it_is_asked() -> None:
    """Each step was 95 % of what it had: comfort for others, chance in windows, and what came of old answers."""
    found = swept("cap30-gasan-load95-bare-page-balancer-metered-retries-1node")
    assert found.more_s < -80
    assert found.moves < 25


def test_a_move_is_not_refused_for_what_rounding_up_to_whole_requests_gives_beyond_a_sites_own_share() -> None:
    """Pangyo would have got 50.04 instead of 50 %: the gate refused it, and all users of Gasan stayed at a site that hung."""
    found = swept("hang-gasan-load95-standby-nopage-dns-unmetered-retries-3nodes")
    assert found.more_s < -50
    assert "worse" not in found.findings


def test_a_full_pool_whose_members_are_late_is_not_taken_apart_where_nobody_counts() -> None:
    """Each that went made the others later; users tried again elsewhere, and a tenth too much took down three sites."""
    found = swept("cap90-gasan-load95-bare-page-both-unmetered-retries-1node")
    assert found.findings == {}
    assert found.more_s < 1


def test_a_storm_of_retries_is_forgotten_with_the_trouble_that_made_it() -> None:
    """Half of all users were shed for as long as a peak is remembered, with room for them: 199 s more than nothing done."""
    assert swept("cap50-gasan-load95-bare-page-balancer-metered-retries-3nodes").more_s < -150


def test_a_meter_is_read_as_often_in_a_long_fault_as_at_its_begin() -> None:
    """After half a minute of calm its count was 2 s old: checks alone called a site down whose users were answered late."""
    found = swept("latency500-gasan-load95-bare-page-balancer-metered-once-3nodes")
    assert found.more_s < 4, "the last of its way back"


PART_OF_A_SITE_HANGS = """
id: part-of-a-site-hangs
title: Three of four servers of a site hang, and nobody counts requests
source: a review of what keeps late servers in
happened: Three of Gasan's four servers hung for two minutes.
lesson: A server that is well beside them shows that it is not the load, unless there is no room at all.
world: {services: [web], nodes: 1, standbys: 0, demand_rps: 1000, load_percent: LOAD, entry: balancer, unmetered: [web]}
policy: {hold_down_s: 30, hold_down_max_s: 60, soak_s: 5, velocity_window_s: 60}
lasts_s: 240
warm_up_s: 20
seed: 1
events:
  - {at_s: 20, fault: hang, site: gasan, fraction: 0.75, until_s: 140}
pass: []
"""


@pytest.mark.parametrize(("load", "part"), [(60, 0.1), (95, 1.0)])
def test_servers_that_hang_beside_one_that_is_well_are_taken_out_where_there_is_room(load: int, part: float) -> None:
    """Kept in at 60 % load they lost fourteen times as much; taken out at 95 % they took the last one with them."""
    scenario = scenario_of(PART_OF_A_SITE_HANGS.replace("LOAD", str(load)), "part-of-a-site-hangs.yaml")
    _, record = replay(scenario, seed=1)
    assert record.loss.weighed() <= part * run_nothing(scenario, seed=1).loss.weighed() + 1


ONE_FLAPS_ONE_ERRS = """
id: one-flaps-one-errs
title: One site flaps, and all that another answers for two seconds is errors
source: siteshift sim fuzz --seed 5231
happened: Gasan went down and up; Anyang failed for a moment. Nothing answered what was shed.
lesson: What nothing answers must not take down a site that is alive.
world: {services: [web], nodes: 1, standbys: 0, capacity_percent: 100, demand_rps: 1000, entry: dns_and_balancer}
policy: {hold_down_s: 20, hold_down_max_s: 320, soak_s: 2, failback: manual, ttl_normal_s: 10}
lasts_s: 400
warm_up_s: 20
seed: 1
events:
  - {at_s: 20, fault: flap, site: gasan, down_s: 2, up_s: 5, until_s: 200}
  - {at_s: 50, fault: errors, site: anyang, rate_percent: 100, are_fast: false, until_s: 52}
pass: []
"""


def test_what_nothing_answers_does_not_take_down_a_site_that_is_alive() -> None:
    """All of it went to Anyang: 46 % at a site that carries 40, and six times the loss of nothing done."""
    scenario = scenario_of(ONE_FLAPS_ONE_ERRS, "one-flaps-one-errs.yaml")
    _, record = replay(scenario, seed=1)
    assert record.loss.weighed() < run_nothing(scenario, seed=1).loss.weighed()


HALF_FULL = """
id: {id}
title: {title}
source: an adversary of ours
happened: All three sites are {load} % full; what is shed gets a sorry page.
lesson: never worse than nothing done
world: {{demand_rps: 1000, load_percent: {load}, standbys: 0, entry: balancer, sorry_page: [web]}}
policy: {{hold_down_s: 30, hold_down_max_s: 60, soak_s: 5, velocity_window_s: 60}}
lasts_s: {lasts}
warm_up_s: 30
events:
{events}
pass: []
"""


def beside_nothing(title: str, load: int, lasts_s: int, *events: str) -> tuple[float, int]:
    """How many more requests were lost than with nothing done, and how often the worst share turned."""
    lines = "\n".join(f"  - {{{event}}}" for event in events)
    name = title.replace(" ", "-")
    text = HALF_FULL.format(id=name, title=title, load=load, lasts=lasts_s, events=lines)
    made = scenario_of(text, f"{name}.yaml")
    _, record = replay(made, seed=made.seed)
    turns = max((len(instants) for instants in turns_of(record.moves).values()), default=0)
    assert not record.violations
    return record.loss.weighed() - run_nothing(made, seed=made.seed).loss.weighed(), turns


def test_a_site_that_errs_at_once_is_not_full_because_it_failed_so_before() -> None:
    """What it had failed at as sick was the proof that it was full; its users were shed for the whole fault, and the gate forbade
    to take that back (25 s of the site's traffic, at other loads and with retries up to 970 s)."""
    more, turns = beside_nothing("errors", 82, 260, "at_s: 60, fault: errors, site: pangyo, rate_percent: 30, until_s: 180")
    assert more < 0
    assert turns <= 1


def test_a_restart_in_a_partial_fault_makes_a_good_state_no_worse() -> None:
    errors = "at_s: 60, fault: errors, site: pangyo, rate_percent: 30, until_s: 240"
    kills = ("at_s: 120, fault: ctl_kill, until_s: 125", "at_s: 180, fault: ctl_kill, until_s: 182")
    more, _ = beside_nothing("restart", 70, 300, errors, *kills)
    assert more < 0


def test_faults_of_a_site_that_come_and_go_shed_hardly_anybody_in_between() -> None:
    events = [f"at_s: {at}, fault: errors, site: pangyo, rate_percent: 40, until_s: {at + 30}" for at in range(60, 300, 60)]
    more, _ = beside_nothing("coming and going", 85, 360, *events)
    assert more < 6_000, "38,000 before; a member that was out for its errors leaves its siblings full when they end"


def test_what_a_short_fault_shed_is_served_again_within_a_minute() -> None:
    """After 15 s of half the capacity 30 % of all users were shed for two minutes, and 3 % for good."""
    more, turns = beside_nothing("short", 95, 300, "at_s: 60, fault: cap_cut, site: pangyo, factor_percent: 50, until_s: 75")
    assert more < 14_000
    assert turns <= 1


def test_a_site_whose_checks_pass_and_whose_users_all_fail_comes_back_by_what_nobody_notices() -> None:
    """It got a third of all traffic again, every eight seconds, for its meter is silent once it has none: 75 turns."""
    more, turns = beside_nothing("lie", 85, 240, "at_s: 60, fault: probe_lie, site: pangyo, rate_percent: 96, until_s: 200")
    assert turns <= 3
    assert more < 10_000


def test_a_cap_that_holds_something_back_is_not_forgotten_by_the_clock() -> None:
    """It was, a minute after its wait; the site got all of its share at once, and its users' retries took all sites along."""
    assert swept("cap30-gasan-load95-bare-page-balancer-metered-retries-3nodes").more_s < -50


def test_a_site_that_was_cut_as_full_is_not_given_it_again_as_sick() -> None:
    """It was, every two seconds for as long as the fault: 31 turns."""
    found = swept("cap50-pangyo-load95-bare-page-both-metered-once-1node")
    assert found.more_s < 1
    assert found.turns <= 3
