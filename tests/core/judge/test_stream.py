"""One member's stream: first failure suspect, three samples down, LOST is nothing, the way back is earned."""

from __future__ import annotations

from siteshift.core.judge.stream import Stream, observe
from siteshift.core.model.codes import Fault, Hardness, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import TargetId

TARGET = TargetId("member:web/pangyo/m0")


def stream() -> Stream:
    return Stream(TARGET, JudgePolicy(), 500_000)


def passes(one: Stream, at_ms: int, count: int) -> tuple[Stream, int]:
    for _ in range(count):
        one, _ = observe(one, outcome=Outcome.PASS, fault=Fault.NONE, latency_us=9_000, at_ms=at_ms, started_ms=at_ms)
        at_ms += 1_000
    return one, at_ms


def fails(one: Stream, at_ms: int, count: int, fault: Fault = Fault.REFUSED, every_ms: int = 1_000) -> tuple[Stream, int]:
    for _ in range(count):
        one, _ = observe(one, outcome=Outcome.FAIL, fault=fault, latency_us=900, at_ms=at_ms, started_ms=at_ms)
        at_ms += every_ms
    return one, at_ms


def test_the_pure_form_leaves_its_argument_alone() -> None:
    before = stream()
    after, change = observe(before, outcome=Outcome.PASS, fault=Fault.NONE, latency_us=9_000, at_ms=1_000, started_ms=1_000)
    assert before.standing is Standing.UNKNOWN and after.standing is Standing.UP
    assert change is not None and (change.before, change.after) == (Standing.UNKNOWN, Standing.UP)


def test_lost_is_no_evidence() -> None:
    one = stream()
    same, change = observe(one, outcome=Outcome.LOST, fault=Fault.LOCAL, latency_us=0, at_ms=1, started_ms=1)
    assert same is one and change is None


def test_the_first_failure_makes_suspect_and_the_third_down() -> None:
    one, at = passes(stream(), 1_000, 5)
    one, at = fails(one, at, 1)
    assert one.standing is Standing.SUSPECT
    one, at = fails(one, at, 3)
    assert one.standing is Standing.DOWN
    assert one.score_pm == 0 and one.hardness is Hardness.HARD


def test_silent_failures_within_a_second_are_one_sample() -> None:
    one, at = passes(stream(), 1_000, 5)
    one, _ = fails(one, at, 5, Fault.TIMEOUT, every_ms=200)
    assert one.standing is Standing.SUSPECT


def test_refused_connections_count_again_after_300_ms() -> None:
    one, at = passes(stream(), 1_000, 5)
    one, _ = fails(one, at, 8, Fault.REFUSED, every_ms=200)
    assert one.standing is Standing.DOWN


def test_a_server_that_fails_every_third_request_is_degraded() -> None:
    one, at = passes(stream(), 1_000, 5)
    for _ in range(12):
        one, at = passes(one, at, 2)
        one, at = fails(one, at, 1, Fault.BAD_STATUS)
    assert one.standing is Standing.DEGRADED
    assert 500 <= one.score_pm <= 800


def test_three_passes_bring_a_crashed_member_back_and_each_flap_doubles_them() -> None:
    one, at = passes(stream(), 1_000, 5)
    needed = []
    for _ in range(3):
        one, at = fails(one, at, 5)
        assert one.standing is Standing.DOWN
        count = 0
        while one.standing is not Standing.UP:
            one, at = passes(one, at, 1)
            count += 1
        needed.append(count)
    assert needed[0] == 3 and needed[1] >= 6 and needed[2] >= 12


def test_answers_over_the_slo_degrade_but_never_down() -> None:
    one, at = passes(stream(), 1_000, 5)
    for _ in range(20):
        one, _ = observe(one, outcome=Outcome.PASS, fault=Fault.NONE, latency_us=700_000, at_ms=at, started_ms=at)
        at += 1_000
    assert one.standing is Standing.DEGRADED and one.hardness is Hardness.SLOW
