"""Real traffic as evidence: error and latency figures of a load balancer, as one more stream.

Requests of one interval share their causes, so a batch counts for at most `WORTH` samples however many requests it had,
and moves a test by at most `BATCH_PART` of its level: a verdict takes three bad batches and `confirm_silent_ms`.
"""

from __future__ import annotations

from siteshift.core.judge.baseline import Baseline, learned_rates
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, NEVER, SLOW, Tuning, tune
from siteshift.core.judge.evidence import SLOW_CONFIRM_FACTOR
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.policy import JudgePolicy

WORTH = 10
BATCH_PART = 0.4
FEWEST_REQUESTS = 5
"""A batch of fewer requests says nothing."""
CONTRADICTS_REQUESTS, CONTRADICTS_ERRORS = 50.0, 0.02
"""So much recent traffic with so few errors contradicts a check that fails."""
FLOOR_PER_10000 = 50
"""Users cancel, crawlers ask nonsense: below 0.5 % errors real traffic is healthy."""


class Traffic:
    """One target's real traffic. Mutable, private to one observer."""

    __slots__ = (
        "_baseline",
        "_clean_since_ms",
        "_errors",
        "_good_for_ms",
        "_policy",
        "_requests",
        "_slo_ms",
        "_slow",
        "_sums",
        "_t0",
        "_tuning",
        "alarm",
        "alarm_since_ms",
        "at_ms",
        "standing",
    )

    def __init__(self, policy: JudgePolicy, slo_latency_ms: int, good_for_ms: int | None = None) -> None:
        self._policy = policy
        self._good_for_ms = policy.report_stale_ms if good_for_ms is None else good_for_ms
        self._slo_ms = slo_latency_ms
        self._baseline = Baseline()
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._t0 = [NEVER, NEVER, NEVER, NEVER]
        self._requests = self._errors = self._slow = 0.0
        self._clean_since_ms = NEVER
        self._tuning = self._tune()
        self.alarm = -1
        self.alarm_since_ms = 0
        """When the fault of the alarm began: the first batch that spoke for it."""
        self.at_ms = 0
        self.standing = Standing.UNKNOWN

    def is_for(self, slo_latency_ms: int) -> bool:
        """Whether what it calls slow is still what is called so."""
        return self._slo_ms == slo_latency_ms

    def refit(self, policy: JudgePolicy) -> None:
        """Go on under this policy."""
        if policy != self._policy:
            if self._good_for_ms == self._policy.report_stale_ms:
                self._good_for_ms = policy.report_stale_ms
            self._policy = policy
            self._tuning = self._tune()

    def _tune(self) -> Tuning:
        fails, slows = learned_rates((self._baseline,))
        policy = self._policy
        rates = (max(FLOOR_PER_10000, fails), max(FLOOR_PER_10000, slows))
        return tune(WORTH, *rates, policy.interval_ms, policy.false_alarms_per_year)

    def add(self, requests: int, errors: int, latency_ms: int | None, at_ms: int) -> bool:
        """One batch; True when the standing changed."""
        if requests < FEWEST_REQUESTS:
            return False
        if self.at_ms and not self.fresh(at_ms):
            self._forget()
        rate = min(1.0, errors / requests)
        slow = 0.0 if latency_ms is None or latency_ms <= self._slo_ms else 1.0
        self._requests = 0.7 * self._requests + requests
        self._errors = 0.7 * self._errors + requests * rate
        self._slow = 0.7 * self._slow + requests * slow
        worth = min(WORTH, requests)
        self.at_ms = at_ms
        is_calm = self.alarm < 0 and not any(self._sums)
        if not (is_calm and rate == slow == 0.0):
            for test in (CRASH, ERRORS, GREY, SLOW):
                self._weigh(test, slow if test == SLOW else rate, worth, at_ms)
            self._judge(at_ms)
            is_calm = self.alarm < 0 and not any(self._sums)
        if is_calm:
            self._baseline.commit(worth, round(rate * worth), round(slow * worth))
            if self._baseline.samples % 100 < WORTH:
                self._tuning = self._tune()
        return self._restand()

    def _forget(self) -> None:
        """Too long ago to mean anything: what users saw before a site was drained says nothing of its return."""
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._t0 = [NEVER, NEVER, NEVER, NEVER]
        self._requests = self._errors = self._slow = 0.0
        self._clean_since_ms = NEVER
        self.alarm = -1

    def _weigh(self, test: int, rate: float, worth: int, at_ms: int) -> None:
        tuning = self._tuning
        gain = worth * (rate * tuning.up[test] - (1.0 - rate) * tuning.down[test])
        before = self._sums[test]
        self._sums[test] = max(0.0, before + min(gain, BATCH_PART * tuning.level[test]))
        if self._sums[test] == 0.0:
            self._t0[test] = NEVER
        elif before == 0.0:
            self._t0[test] = at_ms

    def _judge(self, at_ms: int) -> None:
        policy = self._policy
        for test in (CRASH, ERRORS, GREY, SLOW):
            age = policy.confirm_silent_ms * (SLOW_CONFIRM_FACTOR if test == SLOW else 1)
            if self._sums[test] >= self._tuning.level[test] and at_ms - self._t0[test] >= age:
                if self.alarm < 0:
                    self.alarm_since_ms = self._t0[test]
                if self.alarm < 0 or test < self.alarm:
                    self.alarm = test
                break
        if self.alarm < 0:
            return
        clean = self._sums[self.alarm] < 0.5 * self._tuning.level[self.alarm]
        self._sums[self.alarm] = min(self._sums[self.alarm], 2 * self._tuning.level[self.alarm])
        if not clean:
            self._clean_since_ms = NEVER
        elif self._clean_since_ms == NEVER:
            self._clean_since_ms = at_ms
        elif at_ms - self._clean_since_ms >= policy.rise * policy.interval_ms:
            self.alarm, self._clean_since_ms = -1, NEVER
            self._sums = [0.0, 0.0, 0.0, 0.0]

    def _restand(self) -> bool:
        before = self.standing
        if self.alarm >= 0:
            self.standing = Standing.DOWN if self.alarm == CRASH and self.score_pm < 250 else Standing.DEGRADED
        else:
            self.standing = Standing.SUSPECT if any(self._sums) else Standing.UP
        return before is not self.standing

    @property
    def score_pm(self) -> int:
        """Goodput of the last few batches; with a slow alarm the part that was fast enough."""
        if not self._requests:
            return 1_000
        bad = max(self._errors, self._slow) if self.alarm == SLOW else self._errors
        return round(1_000 * (1.0 - bad / self._requests))

    @property
    def hardness(self) -> Hardness:
        """Answers with errors are grey evidence; slow ones slow."""
        return Hardness.SLOW if self.alarm == SLOW else Hardness.GREY

    def fresh(self, at_ms: int) -> bool:
        """Whether the figures are recent enough to mean anything."""
        return self.at_ms > 0 and at_ms - self.at_ms <= self._good_for_ms

    def contradicts(self, at_ms: int, since_ms: int) -> bool:
        """Whether users are served well although checks have failed since ``since_ms``."""
        return (
            self.fresh(at_ms)
            and self.alarm < 0
            and self.at_ms >= since_ms + self._policy.confirm_silent_ms
            and self._requests >= CONTRADICTS_REQUESTS
            and self._errors <= CONTRADICTS_ERRORS * self._requests
        )
