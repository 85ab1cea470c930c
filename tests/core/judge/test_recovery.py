"""The way back: a fault that goes on is not taken for health by a run of luck, and health is believed soon enough."""

from __future__ import annotations

import random

import pytest

from core.judge.cases import PANGYO, Drive, deployment
from siteshift.core.judge.bank import Bank, Part
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, SLOW, tune
from siteshift.core.model.codes import Fault, Hardness, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import TargetId

POLICY = JudgePolicy()
MINUTE_MS = 60_000


class Pool:
    """The bank of a pool whose members are checked once a second each, and fail at random."""

    def __init__(self, rate: float, seed: int, members: int = 4) -> None:
        self.rate, self.rng, self.members = rate, random.Random(seed), members
        self.bank = Bank(tune(members, 20, 20, POLICY.interval_ms, POLICY.false_alarms_per_year))
        self.parts = [Part() for _ in range(members)]
        self.at_ms = 0

    def check(self) -> None:
        """One check of the next member."""
        self.at_ms += POLICY.interval_ms // self.members
        part = self.parts[self.at_ms * self.members // POLICY.interval_ms % self.members]
        if self.rng.random() < self.rate:
            self.bank.failed(self.at_ms, self.at_ms, Hardness.GREY, part)
        else:
            self.bank.passed(part)

    def until_alarm(self) -> Pool:
        """Fail until the bank is sure."""
        while self.bank.alarm < 0:
            self.check()
            for test in (CRASH, ERRORS, GREY, SLOW):
                if self.bank.alarm < 0 and self.bank.due_ms(test, POLICY) <= self.at_ms:
                    self.bank.raise_alarm(test, self.at_ms, POLICY)
        return self

    def clears_within(self, ms: int) -> int | None:
        """Time until the alarm may be cleared, or None."""
        since, end = self.at_ms, self.at_ms + ms
        while self.at_ms < end:
            self.check()
            if self.bank.may_clear(self.at_ms, POLICY):
                return self.at_ms - since
        return None


@pytest.mark.parametrize(("rate", "most"), [(0.3, 0), (0.6, 0), (0.1, 1), (0.05, 1)])
def test_a_fault_that_goes_on_is_not_cleared(rate: float, most: int) -> None:
    cleared = sum(Pool(rate, seed).until_alarm().clears_within(MINUTE_MS) is not None for seed in range(300))
    assert cleared <= most


@pytest.mark.parametrize(("rate", "usual_ms"), [(1.0, 3_500), (0.6, 8_000), (0.3, 16_000), (0.1, 60_000), (0.05, 80_000)])
def test_a_fault_that_ended_is_cleared_in_time(rate: float, usual_ms: int) -> None:
    took = []
    for seed in range(20):
        pool = Pool(rate, seed).until_alarm()
        for _ in range(10 * pool.members):
            pool.check()
        pool.rate = 0.0
        found = pool.clears_within(5 * MINUTE_MS)
        assert found is not None
        took.append(found)
    assert sorted(took)[10] <= usual_ms


def test_one_failure_on_the_way_back_costs_no_second_way() -> None:
    pool = Pool(0.3, 1).until_alarm()
    for _ in range(120):
        pool.check()
    pool.rate = 0.0
    for _ in range(36):
        pool.check()
    pool.rate = 1.0
    pool.check()
    pool.rate = 0.0
    found = pool.clears_within(MINUTE_MS)
    assert found is not None and POLICY.rise * POLICY.interval_ms <= found <= 14_000


def test_a_site_with_a_third_of_errors_stays_bad_while_they_last() -> None:
    for seed in range(3):
        drive = Drive(deployment())
        drive.run(20_000)
        rng = random.Random(seed)
        members = {m.target for pool in drive.topology.pools.values() if pool.site == PANGYO for m in pool.members}
        bad = 0
        for _ in range(40 * 4):
            draw_for(drive, members, rng)
            drive.run(250)
            bad += drive.pool(PANGYO).standing in (Standing.DOWN, Standing.DEGRADED)
            assert bad == 0 or drive.pool(PANGYO).standing in (Standing.DOWN, Standing.DEGRADED)
        assert bad > 100
        drive.heal()
        drive.run(40_000)
        assert drive.pool(PANGYO).standing is Standing.UP


def draw_for(drive: Drive, members: set[TargetId], rng: random.Random) -> None:
    """Each member answers its next checks well or badly."""
    for target in sorted(members):
        drive.faults.pop(target, None)
        if rng.random() < 0.3:
            drive.faults[target] = (Outcome.FAIL, Fault.BAD_STATUS, 1)
