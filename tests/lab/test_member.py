"""A member has a capacity, a queue before it, and whatever is wrong with it."""

from __future__ import annotations

import pytest

from siteshift.lab.member import HEALTHY, Condition, Member, Request
from siteshift.lab.spec import MemberSpec, NoiseSpec


def member(*, capacity_rps: int = 50, queue_ms: int = 400, noise: NoiseSpec | None = None) -> Member:
    spec = MemberSpec(name="p1", site="pangyo", address="127.0.0.1", port=8080, capacity_rps=capacity_rps)
    return Member(spec, queue_ms=queue_ms, noise=noise or NoiseSpec(), seed=1)


def test_an_idle_member_answers_after_one_service_time() -> None:
    answer = member(capacity_rps=50).admit(Request.WORK, 100.0)
    assert answer.status == 200
    assert answer.delay_s == pytest.approx(0.02)


def test_requests_wait_for_each_other_in_order() -> None:
    server = member(capacity_rps=50)
    delays = [server.admit(Request.WORK, 100.0).delay_s for _ in range(4)]
    assert delays == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_latency_rises_with_load_and_never_more_is_served_than_the_capacity() -> None:
    def mean_delay_s(load_rps: int) -> tuple[float, int]:
        server = member(capacity_rps=50)
        answers = [server.admit(Request.WORK, number / load_rps) for number in range(load_rps * 10)]
        good = [answer.delay_s for answer in answers if answer.status == 200]
        return sum(good) / len(good), len(good)

    below, at_80 = mean_delay_s(40)
    above, at_150 = mean_delay_s(75)
    assert below == pytest.approx(0.02)
    assert above > 10 * below
    assert at_80 == 400
    assert at_150 <= 50 * 10 + 50 * 0.4 + 1


def test_a_full_queue_turns_requests_away() -> None:
    server = member(capacity_rps=50, queue_ms=400)
    statuses = [server.admit(Request.WORK, 100.0).status for _ in range(30)]
    assert statuses == [200] * 21 + [503] * 9
    assert server.counters.rejected == 9


def test_the_health_page_waits_its_turn_but_does_no_work() -> None:
    server = member(capacity_rps=50)
    for _ in range(10):
        server.admit(Request.WORK, 100.0)
    assert server.admit(Request.HEALTH, 100.0).delay_s == pytest.approx(0.2)
    assert server.wait_s(100.0) == pytest.approx(0.2)


def test_errors_are_fast_and_use_no_capacity() -> None:
    server = member()
    server.condition = Condition(work_error_pm=1_000, health_error_pm=1_000)
    assert server.admit(Request.WORK, 100.0).status == 500
    assert server.admit(Request.HEALTH, 100.0).status == 500
    assert server.wait_s(100.0) == 0.0


def test_an_error_rate_is_kept_on_average() -> None:
    server = member(capacity_rps=10_000)
    server.condition = Condition(work_error_pm=300)
    bad = sum(server.admit(Request.WORK, number / 100).status == 500 for number in range(5_000))
    assert 1_300 < bad < 1_700


def test_a_probe_lie_and_a_broken_health_page_are_opposites() -> None:
    server = member()
    server.condition = Condition(work_error_pm=1_000)
    assert (server.admit(Request.HEALTH, 1.0).status, server.admit(Request.WORK, 1.0).status) == (200, 500)
    server.condition = Condition(health_error_pm=1_000)
    assert (server.admit(Request.HEALTH, 2.0).status, server.admit(Request.WORK, 2.0).status) == (500, 200)


def test_added_latency_delays_answers_without_filling_the_queue() -> None:
    server = member(capacity_rps=50)
    server.condition = Condition(added_ms=1_500)
    assert server.admit(Request.WORK, 100.0).delay_s == pytest.approx(1.52)
    assert server.wait_s(100.0) == pytest.approx(0.02)


def test_a_slow_member_has_less_capacity() -> None:
    server = member(capacity_rps=50)
    server.condition = Condition(slowdown_pm=10_000)
    assert server.admit(Request.WORK, 100.0).delay_s == pytest.approx(0.2)
    server.condition = HEALTHY
    assert server.admit(Request.WORK, 100.0).delay_s == pytest.approx(0.22)


def test_noise_pauses_a_member_now_and_then_for_a_second() -> None:
    server = member(capacity_rps=1_000, noise=NoiseSpec(pause_every_s=60, pause_ms=1_000))
    delays = [server.admit(Request.HEALTH, number / 10).delay_s for number in range(36_000)]
    paused = [delay for delay in delays if delay > 0]
    assert max(paused) <= 1.0
    assert 300 < len(paused) < 1_000, "some sixty pauses of ten samples each in an hour"


def test_every_few_seconds_one_pool_stands_still_and_the_others_do_not() -> None:
    noise, sites = NoiseSpec(stall_every_s=3, stall_ms=1_000), ("pangyo", "gasan", "anyang")

    def at(site: str) -> Member:
        spec = MemberSpec(name="m1", site=site, address="127.0.0.1", port=8080, capacity_rps=1_000)
        return Member(spec, queue_ms=400, noise=noise, seed=1, sites=sites)

    pools = [at(site) for site in sites]
    stalled = [[pool.admit(Request.HEALTH, turn * 3.0 + 0.25).delay_s for pool in pools] for turn in range(300)]
    assert all(sorted(delays) == [0.0, 0.0, pytest.approx(0.75)] for delays in stalled), "what waits is answered at its end"
    assert all(70 < sum(delays[place] > 0 for delays in stalled) < 130 for place in range(3)), "all of them in time"
    assert all(pool.admit(Request.HEALTH, turn * 3.0 + 1.5).delay_s == 0.0 for turn in range(300) for pool in pools)


def test_noise_is_the_same_for_the_same_seed() -> None:
    noise = NoiseSpec(error_pm=50, spike_pm=50)
    one, other = member(noise=noise), member(noise=noise)
    assert [one.admit(Request.HEALTH, float(at)) for at in range(500)] == [
        other.admit(Request.HEALTH, float(at)) for at in range(500)
    ]
