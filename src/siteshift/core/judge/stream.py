"""The stream of one checked thing (a member, or a pool's or site's own address) from one vantage.

`Stream` is the mutable, slotted form that the observer drives; `observe` is its pure facade: same arithmetic on a copy.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum

from siteshift.core.judge.bank import Bank, Part
from siteshift.core.judge.baseline import Baseline, learned_rates
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, SLOW, tune
from siteshift.core.judge.evidence import SLOW_SAMPLE_MS, hardness_of, sample_ms
from siteshift.core.judge.recent import Recent
from siteshift.core.model.codes import Fault, Hardness, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import TargetId

NO_OBJECTIVE_US = 1 << 62
"""Longer than any check takes: without an objective nothing is late."""
DOWN_FROM_RATE, DOWN_UNTIL_RATE = 0.75, 0.4
"""A crash verdict with at least this part of results failing is ``down``; below it, something still answers.
What is down stays down until it is cleared or clearly only ill."""


class Sample(Enum):
    """What one result was worth. ECHO: it belongs to a sample already counted (same member, same second)."""

    PASSED = "passed"
    SLOWED = "slowed"
    FAILED = "failed"
    ECHO = "echo"
    SLOW_ECHO = "slow_echo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A stream's standing changed."""

    target: TargetId
    before: Standing
    after: Standing
    hardness: Hardness
    at_ms: int


class Pulse:
    """What a pass in calm times touches, side by side in memory: of 15,000 streams none is in the processor's cache.

    ``at_ease``: a pass within the SLO would change nothing here but this. False is always safe.
    """

    __slots__ = ("at_ease", "last_at_ms", "last_pass_ms", "last_start_ms", "quiet", "slo_us")

    def __init__(self, slo_us: int) -> None:
        self.at_ease = False
        self.last_at_ms = self.last_pass_ms = self.last_start_ms = 0
        self.quiet = 0
        self.slo_us = slo_us
        """What a pass may take; `NO_OBJECTIVE_US` where nothing is promised."""


class Stream(Pulse):
    """Evidence about one checked thing."""

    __slots__ = (
        "bank",
        "baseline",
        "excluded",
        "failing",
        "failing_checks",
        "is_pooled",
        "last_fault",
        "policy",
        "pool_part",
        "recent",
        "sample_until_ms",
        "since_ms",
        "site_part",
        "slow_until_ms",
        "standing",
        "standing_counts",
        "streak",
        "target",
        "warning",
    )

    def __init__(self, target: TargetId, policy: JudgePolicy, slo_us: int, *, is_pooled: bool = False) -> None:
        super().__init__(slo_us)
        self.target = target
        self.is_pooled = is_pooled
        self.policy = policy
        self.baseline = Baseline()
        self.bank = Bank(tune(1, *learned_rates(()), policy.interval_ms, policy.false_alarms_per_year))
        self.pool_part = Part()
        self.site_part = Part()
        self.standing = Standing.UNKNOWN
        self.since_ms = 0
        self.failing = False
        self.failing_checks: set[str] = set()
        self.streak = 0
        """Failures in a row when positive, passes in a row when negative (passes of calm times are not counted)."""
        self.excluded = False
        """Known to be sick: judged alone, not part of the pooled streams."""
        self.standing_counts = (0, 0, 0)
        self.last_fault = Fault.NONE
        self.sample_until_ms = self.slow_until_ms = 0
        self.warning = ""
        self.recent: Recent | None = None
        """What the checks said since it stopped being at ease, for people."""

    # -- one result -----------------------------------------------------------------------------------------------

    def failed(self, fault: Fault, at_ms: int, started_ms: int, detail: str = "", check: str = "") -> Sample:
        """Count a failed check: FAILED or ECHO. ``detail`` and ``check`` are for people."""
        self._note(fault, detail, check, at_ms)
        self.last_at_ms, self.last_start_ms, self.last_fault = at_ms, started_ms, fault
        self.failing = True
        self.streak = self.streak + 1 if self.streak > 0 else 1
        if started_ms < self.sample_until_ms:
            self.bank.echoed(failing=1)
            return Sample.ECHO
        kind = hardness_of(fault)
        self.sample_until_ms = started_ms + sample_ms(kind, self.policy)
        self.bank.failed(started_ms, at_ms, kind, None)
        return Sample.FAILED

    def passed(self, latency_us: int, at_ms: int, started_ms: int) -> Sample:
        """Count a passed check: PASSED, SLOWED (over the SLO) or an echo."""
        self.last_at_ms, self.last_start_ms, self.last_pass_ms = at_ms, started_ms, started_ms
        self.failing = False
        self.streak = self.streak - 1 if self.streak < 0 else -1
        if latency_us > self.slo_us:
            self._note(Fault.SLOW, f"over {self.slo_us // 1_000} ms", "", at_ms)
            if started_ms < self.slow_until_ms:
                self.bank.dragged()
                return Sample.SLOW_ECHO
            self.slow_until_ms = started_ms + SLOW_SAMPLE_MS
            self.bank.slowed(started_ms, at_ms, None)
            return Sample.SLOWED
        if self.recent is not None:
            self.recent.passed()
        if started_ms < self.sample_until_ms:
            self.bank.echoed(failing=0)
            return Sample.ECHO
        if self.bank.calm:
            self.quiet += 1
        else:
            self.bank.passed(None)
        return Sample.PASSED

    def _note(self, fault: Fault, detail: str, check: str, at_ms: int) -> None:
        if self.recent is None:
            self.recent = Recent(at_ms)
        self.recent.failed(fault, detail, check)

    def judge(self, at_ms: int) -> bool:
        """Bring the standing up to date; True when it changed."""
        bank = self.bank
        if bank.alarm >= 0 and bank.may_clear(at_ms, self.policy):
            bank.clear(at_ms)
        if bank.ripe:
            for test in (CRASH, ERRORS, GREY, SLOW):
                if (bank.alarm < 0 or test < bank.alarm) and bank.due_ms(test, self.policy) <= at_ms:
                    bank.raise_alarm(test, at_ms, self.policy)
                    break
        standing = self._standing()
        if standing is self.standing:
            return False
        self.standing = standing
        self.since_ms = bank.alarm_since_ms if bank.alarm >= 0 else at_ms
        return True

    def _standing(self) -> Standing:
        bank = self.bank
        if bank.alarm >= 0:
            least = DOWN_UNTIL_RATE if self.standing is Standing.DOWN else DOWN_FROM_RATE
            down = bank.alarm == CRASH and bank.estimate >= least
            return Standing.DOWN if down else Standing.DEGRADED
        if self.last_at_ms == 0:
            return Standing.UNKNOWN
        return Standing.SUSPECT if self.failing or not bank.calm else Standing.UP

    def rest(self) -> None:
        """Find out whether this stream is at ease."""
        untroubled = self.bank.calm and self.bank.alarm < 0 and self.standing is Standing.UP
        self.at_ease = untroubled and not self.failing_checks and not self.warning
        if untroubled:
            self.recent = None

    def refit(self, policy: JudgePolicy) -> None:
        """Go on under this policy: what was seen and learned stays, the thresholds are the new policy's."""
        if policy != self.policy:
            self.policy = policy
            self._tune()

    def _tune(self) -> None:
        policy = self.policy
        self.bank.tuning = tune(1, *learned_rates((self.baseline,)), policy.interval_ms, policy.false_alarms_per_year)

    # -- learning -------------------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Commit what was seen in health. The caller vouches that no fault was going on."""
        bank = self.bank
        if bank.alarm < 0 and bank.calm:
            self.baseline.commit(self.quiet + bank.seen - bank.echoes, bank.bad - bank.echoes_bad, bank.slow - bank.echoes_slow)
            self.quiet = 0
            bank.settle()
            self._tune()

    def unlearn(self) -> None:
        """Throw away what was counted since the last commit: it came from a fault."""
        self.quiet = 0

    # -- what to tell ---------------------------------------------------------------------------------------------

    @property
    def score_pm(self) -> int:
        """Goodput of this stream, per mille."""
        bank = self.bank
        if bank.alarm >= 0:
            return round(1_000 * (1.0 - bank.estimate))
        return 1_000

    @property
    def hardness(self) -> Hardness:
        """The class of the evidence behind a standing that is not up."""
        bank = self.bank
        if bank.alarm >= 0:
            return bank.hardness(bank.alarm)
        return Hardness.NONE if bank.calm else bank.hardness(bank.strongest())


def standing_counts_of(stream: Stream) -> tuple[int, int, int]:
    """What a member adds to its groups' counts of known, of excluded and down, of excluded and ill members."""
    if stream.standing is Standing.UNKNOWN:
        return (0, 0, 0)
    if not stream.excluded:
        return (1, 0, 0)
    return (1, 1 if stream.standing is Standing.DOWN else 0, 1 if stream.bank.alarm >= 0 else 0)


def observe(
    stream: Stream, *, outcome: Outcome, fault: Fault, latency_us: int, at_ms: int, started_ms: int
) -> tuple[Stream, Change | None]:
    """Fold one result into a copy of the stream. LOST is no evidence and changes nothing (law 3)."""
    if outcome is Outcome.LOST:
        return stream, None
    after = deepcopy(stream)
    if outcome is Outcome.FAIL:
        after.failed(fault, at_ms, started_ms)
    else:
        after.passed(latency_us, at_ms, started_ms)
    if not after.judge(at_ms):
        return after, None
    return after, Change(target=after.target, before=stream.standing, after=after.standing, hardness=after.hardness, at_ms=at_ms)
