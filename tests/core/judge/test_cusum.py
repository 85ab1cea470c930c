"""The arithmetic of the tests: levels follow the budget and the pool's size."""

from __future__ import annotations

from math import exp, inf, isclose

import pytest

from siteshift.core.judge.baseline import Baseline, learned_rates
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, alarm_level, lorden_bound_samples, member_part, refused_nats, tune
from siteshift.core.judge.evidence import confirm_ms, hardness_of
from siteshift.core.judge.siblings import cautious_rate
from siteshift.core.model.codes import Fault, Hardness
from siteshift.core.model.policy import JudgePolicy


def test_three_failures_in_a_row_make_a_lone_member_down() -> None:
    tuning = tune(1, 15, 15, 1_000, 1.0)
    assert 2 * tuning.up[CRASH] < tuning.level[CRASH] <= 3 * tuning.up[CRASH]


def test_levels_grow_with_the_pool_and_with_a_stricter_budget() -> None:
    levels = [tune(n, 15, 15, 1_000, 1.0).level[GREY] for n in (4, 12, 50)]
    assert levels == sorted(levels)
    assert tune(4, 15, 15, 1_000, 0.1).level[GREY] > tune(4, 15, 15, 1_000, 1.0).level[GREY]


def test_what_other_conditions_refuse_is_taken_off_only_where_they_can_refuse() -> None:
    pair, pool = (tune(n, 15, 15, 1_000, 1.0) for n in (2, 4))
    assert pair.level[GREY] > pool.level[GREY], "in a pair there are too few members to rest on"
    assert refused_nats(4, GREY, 1.6) < refused_nats(4, GREY, 3.3), "usual failures spread over members by themselves"
    assert refused_nats(4, CRASH, 6.0) <= 1.5, "a line cut for half a second looks like a crash"


@pytest.mark.parametrize("members", [3, 4, 6, 12])
@pytest.mark.parametrize("base", [10, 13, 20, 50])
def test_three_failures_that_come_by_themselves_make_no_grey_verdict(members: int, base: int) -> None:
    tuning = tune(members, base, 15, 1_000, 1.0)
    assert 3 * tuning.up[GREY] < tuning.level[GREY], "noise spreads three failures over members several times a year"


def test_a_budget_a_hundred_times_stricter_costs_the_logarithm_of_a_hundred() -> None:
    loose, strict = (alarm_level(1e8, 0.0015, 0.05, budget) for budget in (1.0, 0.01))
    assert isclose(exp(strict - loose), 100.0, rel_tol=1e-9)


@pytest.mark.parametrize("members", [3, 4, 12, 50])
def test_one_member_alone_never_reaches_the_level(members: int) -> None:
    tuning = tune(members, 15, 15, 1_000, 1.0)
    assert all(cap < level for cap, level in zip(tuning.cap, tuning.level, strict=True))


def test_a_lone_member_is_its_pool() -> None:
    assert member_part(1, CRASH) == inf
    assert member_part(2, CRASH) < 1.0


def test_baselines_start_careful_and_converge() -> None:
    assert learned_rates(()) == (50, 50)
    seen = Baseline()
    seen.commit(20_000, 24, 10)
    fails, slows = learned_rates((seen,))
    assert fails == 13 and slows == 10


def test_a_baseline_never_calls_a_sick_stream_normal() -> None:
    sick = Baseline()
    sick.commit(1_000, 900, 0)
    assert learned_rates((sick,))[0] == 200


@pytest.mark.parametrize(
    ("fault", "hardness", "wait_ms"),
    [
        (Fault.REFUSED, Hardness.HARD, 300),
        (Fault.RESET, Hardness.HARD, 300),
        (Fault.UNREACHABLE, Hardness.HARD, 300),
        (Fault.BAD_CERTIFICATE, Hardness.HARD, 300),
        (Fault.TIMEOUT, Hardness.SILENT, 1_000),
        (Fault.BAD_STATUS, Hardness.GREY, 1_000),
        (Fault.PROTOCOL, Hardness.GREY, 1_000),
        (Fault.SLOW, Hardness.SLOW, 3_000),
    ],
)
def test_evidence_is_as_hard_as_its_fault(fault: Fault, hardness: Hardness, wait_ms: int) -> None:
    assert hardness_of(fault) is hardness
    assert confirm_ms(hardness, JudgePolicy()) == wait_ms


def test_an_early_alarm_is_not_taken_for_a_crash() -> None:
    assert cautious_rate(4, 20) < 0.12
    assert cautious_rate(200, 1_000) > 0.18


def test_lorden_bound_shrinks_with_the_size_of_the_fault() -> None:
    bounds = [lorden_bound_samples(0.0015, rate, 1e8) for rate in (0.02, 0.05, 0.3, 0.9)]
    assert bounds == sorted(bounds, reverse=True)
    assert tune(4, 15, 15, 1_000, 1.0).down[ERRORS] > 0
