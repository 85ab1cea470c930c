"""Silence, and what the meter says of it: a pause is no verdict where users are answered, a hang is one as soon as ever."""

from __future__ import annotations

import pytest

from core.judge.cases import PANGYO, SITES, WEB, Drive, deployment
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY
from siteshift.core.judge.metered import Metered, Reading
from siteshift.core.model.codes import Fault, Standing
from siteshift.core.model.units import pool_target

BAD = (Standing.DOWN, Standing.DEGRADED)
POOL = pool_target(WEB, PANGYO)
AT_MS = 1_000_000
RPS = 150


def readings(*windows: tuple[int, int, int]) -> Metered:
    """Windows of 200 ms up to `AT_MS`: requests, errors, answered."""
    meter = Metered()
    for place, (requests, errors, answered) in enumerate(windows):
        end_ms = AT_MS - 200 * (len(windows) - 1 - place)
        meter.add(Reading(end_ms - 200, end_ms, requests, errors, answered))
    return meter


@pytest.mark.parametrize(
    ("windows", "test", "refuted"),
    [
        ([(30, 0, 0), (30, 0, 0)], CRASH, False),
        ([(30, 0, 0), (30, 0, 60)], CRASH, True),
        ([(30, 0, 30)], CRASH, True),
        ([(3, 0, 3)], CRASH, False),
        ([(30, 30, 0)], CRASH, False),
        ([(30, 0, 15)], CRASH, False),
        ([(30, 0, 28), (30, 0, 29)], ERRORS, True),
        ([(30, 0, 20), (30, 0, 22)], ERRORS, False),
        ([(30, 0, 30), (30, 0, 30)], GREY, True),
        ([(30, 0, 27), (30, 0, 28)], GREY, False),
        ([(30, 0, 30)], GREY, False),
        ([], CRASH, False),
    ],
)
def test_a_test_is_refuted_where_users_see_less_than_a_third_of_what_it_is_for(
    windows: list[tuple[int, int, int]], test: int, refuted: bool
) -> None:
    assert readings(*windows).refutes(test, AT_MS - 10_000, AT_MS) is refuted


def test_what_waits_in_a_pause_is_not_lost_for_what_fails_in_part() -> None:
    well, waits = (30, 0, 30), (30, 0, 0)
    assert readings(*[well] * 20, *[waits] * 4).refutes(GREY, AT_MS - 10_000, AT_MS), "0.8 s of a pause"
    assert not readings(*[well] * 20, *[waits] * 4).refutes(CRASH, AT_MS - 10_000, AT_MS)
    assert not readings(*[well] * 20, *[waits] * 14).refutes(GREY, AT_MS - 10_000, AT_MS), "2.8 s are more than a pause"
    assert not readings(*[(30, 0, 28)] * 24).refutes(GREY, AT_MS - 10_000, AT_MS), "7 % that are never answered"


def test_windows_that_began_before_the_silence_say_nothing_of_it() -> None:
    assert not readings((30, 0, 30)).refutes(CRASH, AT_MS - 100, AT_MS)


def test_a_reading_that_is_not_fresh_says_nothing() -> None:
    assert not readings((30, 0, 30)).refutes(CRASH, AT_MS - 10_000, AT_MS + 601)
    assert not readings((90, 0, 90)).refutes(GREY, AT_MS - 10_000, AT_MS + 2_501)


class Watched(Drive):
    """A pool behind a meter. It is read every 500 ms, and 10 ms after its pool's report asks for it."""

    def __init__(self) -> None:
        super().__init__(deployment())
        self.answers = True
        self.is_mute = False
        self.waiting = 0
        self.read_ms = self.at_ms
        self.requests = self.answered = 0
        self.asked: list[int] = []

    def step(self) -> None:
        """50 ms."""
        self.run(50)
        self.requests += RPS * 50 // 1_000
        self.waiting += RPS * 50 // 1_000
        if self.answers:
            self.answered, self.waiting = self.answered + self.waiting, 0
        group = self.observer._group_of[POOL]
        is_asked = group.asked_ms == self.at_ms
        if is_asked:
            self.asked.append(self.at_ms)
        if not self.is_mute and (is_asked or self.at_ms - self.read_ms >= 500):
            self.observer.metered(POOL, Reading(self.read_ms, self.at_ms, self.requests, 0, self.answered))
            self.read_ms, self.requests, self.answered = self.at_ms, 0, 0

    def watch(self, ms: int) -> int | None:
        """So long; when within it the pool had a verdict."""
        began_ms = self.at_ms
        while self.at_ms < began_ms + ms:
            self.step()
            if self.pool(PANGYO).standing in BAD:
                return self.at_ms - began_ms
        return None

    def pause(self, ms: int) -> int | None:
        """Nothing is answered for so long, neither users nor checks; and 1.5 s more."""
        self.fail(PANGYO, Fault.TIMEOUT)
        self.answers = False
        verdict_ms = self.watch(ms)
        self.answers = True
        self.heal()
        return verdict_ms if verdict_ms is not None else self.watch(1_500)


def test_a_hang_is_a_verdict_with_a_meter_hardly_later_than_without() -> None:
    bare, metered = Drive(deployment()), Watched()
    bare.run(10_000)
    assert metered.watch(10_000) is None
    bare.fail(PANGYO, Fault.TIMEOUT)
    began_ms = bare.at_ms
    while bare.pool(PANGYO).standing not in BAD:
        bare.run(50)
    found_ms = metered.pause(5_000)
    assert found_ms is not None and found_ms <= bare.at_ms - began_ms + 200, "150 ms for a pause to settle, and a tick"


def test_a_hang_behind_a_meter_that_has_fallen_silent_waits_for_it_a_fifth_of_a_second_at_most() -> None:
    metered = Watched()
    metered.watch(10_000)
    metered.is_mute = True
    with_silence_ms = metered.pause(5_000)
    other = Watched()
    other.watch(10_000)
    assert with_silence_ms is not None
    assert with_silence_ms <= (other.pause(5_000) or 0) + 200


@pytest.mark.parametrize("phase_ms", range(0, 1_000, 50))
def test_a_pause_of_a_second_is_no_verdict_at_any_phase(phase_ms: int) -> None:
    metered = Watched()
    metered.watch(10_000 + phase_ms)
    assert metered.pause(1_000) is None


def test_checks_that_hear_nothing_are_no_verdict_while_users_are_answered() -> None:
    metered = Watched()
    metered.watch(10_000)
    metered.fail(PANGYO, Fault.TIMEOUT)
    assert metered.watch(20_000) is None
    assert metered.pool(PANGYO).standing is Standing.SUSPECT
    assert metered.asked, "it was asked at once when the verdict was due"


def test_refused_connections_are_a_verdict_whatever_the_meter_says() -> None:
    metered = Watched()
    metered.watch(10_000)
    metered.fail(PANGYO, Fault.REFUSED)
    assert (metered.watch(5_000) or 9_999) <= 650


def test_users_that_are_answered_no_more_end_the_respite() -> None:
    metered = Watched()
    metered.watch(10_000)
    metered.fail(PANGYO, Fault.TIMEOUT)
    assert metered.watch(5_000) is None
    metered.answers = False
    assert (metered.watch(5_000) or 9_999) <= 1_450


def test_a_silence_everywhere_moves_nobody_and_is_told_together() -> None:
    metered = Watched()
    metered.watch(10_000)
    for site in SITES:
        metered.fail(site, Fault.TIMEOUT)
    metered.answers = False
    metered.watch(8_000)
    assert {metered.pool(site).standing for site in SITES} == {Standing.DOWN}
