"""The bank of CUSUM tests of one stream, member's or pooled.

Mutable on purpose: 15,000 probe results a second leave no room for building a new state per result. Nobody outside
`core.judge` sees a bank; `stream.observe` is the pure form of the same arithmetic.
"""

from __future__ import annotations

from math import exp

from siteshift.core.judge.cusum import CRASH, ERRORS, FAILURE_TESTS, FAULT_RATE, GREY, NEVER, SLOW, Tuning, blip_part, burst_steps
from siteshift.core.judge.evidence import SAMPLE_MS, confirm_ms
from siteshift.core.judge.recovery import Recovery
from siteshift.core.model.codes import Hardness
from siteshift.core.model.policy import JudgePolicy

NO_ALARM = -1
FLAP_MEMORY_MS = 600_000
MOST_FLAPS = 6
SUSPECT_STEPS = 1.2
"""A pool is suspect when its evidence is worth more than one failure: a single one says little about a pool."""


class Part:
    """What one member has brought into one pooled stream, per test; valid while the test's epoch lasts."""

    __slots__ = ("epoch", "fails", "nats")

    def __init__(self) -> None:
        self.fails = 0
        self.epoch = [0, 0, 0, 0]
        self.nats = [0.0, 0.0, 0.0, 0.0]

    def worth(self, test: int, epoch: int) -> float:
        """Nats still standing in the pooled sum."""
        return max(0.0, self.nats[test]) if self.epoch[test] == epoch else 0.0

    def fails_since(self, epoch: int) -> int:
        """Failing samples since the grey test left zero."""
        return self.fails if self.epoch[GREY] == epoch else 0


class Bank:
    """Sums, the moments they left zero, and the latched alarm with its way back."""

    __slots__ = (
        "alarm",
        "alarm_at_ms",
        "alarm_since_ms",
        "bad",
        "bad_mark",
        "blips",
        "burst",
        "calm",
        "cleared_at_ms",
        "echoes",
        "echoes_bad",
        "echoes_slow",
        "epoch",
        "estimate",
        "estimate_weight",
        "flaps",
        "kinds",
        "last_bad_ms",
        "recovery",
        "seen",
        "seen_mark",
        "slow",
        "slow_mark",
        "sums",
        "t0",
        "tuning",
    )

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self.sums = [0.0, 0.0, 0.0, 0.0]
        self.t0 = [NEVER, NEVER, NEVER, NEVER]
        self.epoch = [0, 0, 0, 0]
        self.calm = True
        self.blips: dict[int, list[tuple[int, float]]] = {}
        self.burst = [0.0, 0.0, 0.0, 0.0]
        self.seen = self.bad = self.slow = 0
        self.echoes = self.echoes_bad = self.echoes_slow = 0
        self.seen_mark = [0, 0, 0, 0]
        self.bad_mark = [0, 0, 0, 0]
        self.slow_mark = [0, 0, 0, 0]
        self.kinds = [0.0, 0.0, 0.0]
        self.last_bad_ms = 0
        self.alarm = NO_ALARM
        self.alarm_at_ms = self.alarm_since_ms = 0
        self.cleared_at_ms = -FLAP_MEMORY_MS
        self.flaps = 0
        self.recovery = Recovery()
        self.estimate = 0.0
        self.estimate_weight = 0

    # -- samples --------------------------------------------------------------------------------------------------

    def failed(self, started_ms: int, at_ms: int, hardness: Hardness, part: Part | None) -> None:
        """One failing sample. With a part, the member's contribution is capped."""
        for test in FAILURE_TESTS:
            self._raise(test, started_ms, part)
        self.calm = False
        self.bad += 1
        self.seen += 1
        self.last_bad_ms = at_ms
        kinds = self.kinds
        kinds[0] *= 0.8
        kinds[1] *= 0.8
        kinds[2] *= 0.8
        kinds[0 if hardness is Hardness.HARD else 1 if hardness is Hardness.SILENT else 2] += 1.0
        if self.alarm >= 0:
            self._track(1.0)
            if self.alarm != SLOW:
                self.recovery.failed()

    def slowed(self, started_ms: int, at_ms: int, part: Part | None) -> None:
        """One sample that passed, but over the SLO."""
        self._raise(SLOW, started_ms, part)
        self.calm = False
        self.slow += 1
        if self.alarm == SLOW:
            self.last_bad_ms = at_ms
            self.recovery.failed()
            self._track(1.0)
        self.passed(part, Hardness.SLOW)

    def passed(self, part: Part | None, kind: Hardness = Hardness.NONE) -> None:
        """One passing sample of a stream that is not calm. ``kind`` SLOW: it passed, but says nothing for speed.

        It wears off the member's own part too, so that a member that still fails now and then keeps counting.
        """
        self.seen += 1
        sums, down = self.sums, self.tuning.down
        live = 0.0
        for test in (CRASH, ERRORS, GREY, SLOW):
            value = sums[test]
            if value > 0.0 and not (test == SLOW and kind is Hardness.SLOW):
                value -= down[test]
                if value <= 0.0:
                    value = 0.0
                    self.epoch[test] += 1
                    self.t0[test] = NEVER
                elif part is not None and part.nats[test] > 0.0:
                    part.nats[test] -= down[test]
                sums[test] = value
            live += value
        alarm = self.alarm
        if alarm >= 0:
            if not (alarm == SLOW and kind is Hardness.SLOW):
                self.recovery.passed()
                self._track(0.0)
        elif live == 0.0:
            self.calm = True
            self.kinds = [0.0, 0.0, 0.0]

    def echoed(self, *, failing: int) -> None:
        """A result that belongs to a sample already counted: it tells how much fails, not that something fails."""
        self.seen += 1
        self.bad += failing
        self.echoes += 1
        self.echoes_bad += failing
        if self.alarm >= 0 and self.alarm != SLOW:
            self._track(float(failing))
            self.recovery.echoed(failing)

    def dragged(self) -> None:
        """A pass over the SLO that belongs to a sample already counted."""
        self.seen += 1
        self.slow += 1
        self.echoes += 1
        self.echoes_slow += 1
        if self.alarm >= 0:
            self._track(1.0 if self.alarm == SLOW else 0.0)
            self.recovery.echoed(1 if self.alarm == SLOW else 0)

    def _raise(self, test: int, started_ms: int, part: Part | None) -> None:
        step = self.tuning.up[test]
        if self.sums[test] == 0.0:
            self.epoch[test] += 1
            self.t0[test] = started_ms
            self.burst[test] = 0.0
            self.seen_mark[test], self.bad_mark[test], self.slow_mark[test] = self.seen, self.bad, self.slow
        elif started_ms < self.t0[test]:
            self.t0[test] = started_ms
        if part is not None:
            had = part.worth(test, self.epoch[test])
            step = max(0.0, min(step, self.tuning.cap[test] - had))
            if test != CRASH:
                step = self._within_blip(test, step, started_ms)
            if test == GREY:
                part.fails = part.fails_since(self.epoch[GREY]) + 1
            part.epoch[test] = self.epoch[test]
            part.nats[test] = had + step
        self.sums[test] += step

    def _within_blip(self, test: int, step: float, started_ms: int) -> float:
        """Failures of a whole pool within one second may have one cause too: together they never make a verdict.

        The second is any second, not one of a row of seconds: a cut that began in one and ended in the next would count twice.
        (The crash test needs no such bound: nobody may answer after it, see `Pooled.unanswered`.)
        """
        tuning = self.tuning
        blips = [one for one in self.blips.get(test, ()) if started_ms - one[0] < 2 * SAMPLE_MS]
        counted = sum(nats for at_ms, nats in blips if abs(started_ms - at_ms) < SAMPLE_MS)
        step = max(0.0, min(step, blip_part(tuning.members) * tuning.level[test] - counted))
        if step > 0.0:
            blips.append((started_ms, step))
        self.burst[test] = max(self.burst[test], counted + step)
        self.blips[test] = blips
        return step

    def _track(self, failing: float) -> None:
        self.estimate_weight = min(self.estimate_weight + 1, self._window(self.alarm))
        self.estimate += (failing - self.estimate) / self.estimate_weight

    def _window(self, test: int) -> int:
        """Results that the estimate of a fault rests on: many for a few per cent."""
        return 20 + 10 * self.tuning.members if test in (CRASH, ERRORS) else 200 + 20 * self.tuning.members

    def withdraw(self, part: Part) -> None:
        """Take one member's part out again: it is known to be sick and judged alone."""
        for test in (CRASH, ERRORS, GREY, SLOW):
            worth = part.worth(test, self.epoch[test])
            if worth > 0.0:
                self.sums[test] = max(0.0, self.sums[test] - worth)
                part.nats[test] = 0.0
                if self.sums[test] == 0.0:
                    self.epoch[test] += 1
                    self.t0[test] = NEVER
        if self.alarm < 0 and not any(self.sums):
            self.calm = True

    # -- what it amounts to ---------------------------------------------------------------------------------------

    def hardness(self, test: int) -> Hardness:
        """What kind of failures made the evidence of ``test``."""
        if test == SLOW:
            return Hardness.SLOW
        hard, silent, grey = self.kinds
        if hard >= 0.6 * (hard + silent + grey):
            return Hardness.HARD
        return Hardness.SILENT if silent >= grey else Hardness.GREY

    def due_ms(self, test: int, policy: JudgePolicy) -> int:
        """The earliest instant at which ``test`` may alarm: its evidence must have reached the level and the age."""
        if self._weighed(test) < self.tuning.level[test]:
            return NEVER
        return self.t0[test] + confirm_ms(self.hardness(test), policy)

    def _weighed(self, test: int) -> float:
        """The sum, but the heaviest second of a larger pool counts as a few failures: a verdict must not lean on one burst."""
        tuning = self.tuning
        return self.sums[test] - max(0.0, self.burst[test] - burst_steps(tuning.members) * tuning.up[test])

    def tally(self, test: int) -> tuple[int, int]:
        """(bad, seen) results since ``test`` left zero."""
        bad = self.slow - self.slow_mark[test] if test == SLOW else self.bad - self.bad_mark[test]
        return bad, self.seen - self.seen_mark[test]

    def failing_rate(self, test: int) -> float:
        """Estimated part of results that were bad since ``test`` left zero."""
        bad, seen = self.tally(test)
        return bad / seen if seen else 0.0

    def strongest(self) -> int:
        """The test nearest to its level."""
        sums, level = self.sums, self.tuning.level
        return max((CRASH, ERRORS, GREY, SLOW), key=lambda test: sums[test] / level[test])

    @property
    def suspect(self) -> bool:
        """More evidence than one failure brings."""
        _, errors, grey, slow = self.sums
        if errors <= 0.0 and grey <= 0.0 and slow <= 0.0:
            return False
        up, cap = self.tuning.up, self.tuning.cap
        return (
            errors > SUSPECT_STEPS * min(up[ERRORS], cap[ERRORS])
            or grey > SUSPECT_STEPS * min(up[GREY], cap[GREY])
            or slow > SUSPECT_STEPS * min(up[SLOW], cap[SLOW])
        )

    @property
    def ripe(self) -> bool:
        """Whether some test has reached its level, confirmed or not."""
        sums, level = self.sums, self.tuning.level
        return sums[0] >= level[0] or sums[1] >= level[1] or sums[2] >= level[2] or sums[3] >= level[3]

    def raise_alarm(self, test: int, at_ms: int, policy: JudgePolicy) -> None:
        """Latch the verdict. A verdict soon after the last one doubles the way back."""
        if self.alarm < 0:
            quiet = (at_ms - self.cleared_at_ms) // FLAP_MEMORY_MS
            self.flaps = min(self.flaps + 1, MOST_FLAPS) if quiet < 1 else max(0, self.flaps - quiet)
            self.alarm_at_ms = at_ms
            self.alarm_since_ms = self.t0[test]
        if self.alarm < 0 or test == CRASH:
            self.estimate = self.failing_rate(test)
            self.estimate_weight = self.seen - self.seen_mark[test]
            tuning = self.tuning
            self.recovery.begin(
                *self.tally(test),
                members=tuning.members,
                base=FAULT_RATE[SLOW] * exp(-tuning.up[SLOW]) if test == SLOW else tuning.base_rate,
                interval_ms=policy.interval_ms,
                window=self._window(test),
            )
        self.alarm = test
        self.recovery.restart()
        if test == SLOW:
            self.last_bad_ms = at_ms

    def may_clear(self, at_ms: int, policy: JudgePolicy) -> bool:
        """Whether the alarm has been answered: enough passes, and ``rise`` intervals without a failure, doubled per flap."""
        quiet_ms = policy.rise * policy.interval_ms << self.flaps
        return at_ms - self.last_bad_ms >= quiet_ms and self.recovery.answered(policy.rise, self.flaps)

    def clear(self, at_ms: int) -> None:
        """Back to health, with nothing held over but the flap count."""
        self.alarm = NO_ALARM
        self.cleared_at_ms = at_ms
        self.settle()

    def settle(self) -> None:
        """Forget the excursion."""
        self.calm = True
        self.seen = self.bad = self.slow = 0
        self.echoes = self.echoes_bad = self.echoes_slow = 0
        for test in (CRASH, ERRORS, GREY, SLOW):
            self.sums[test] = 0.0
            self.t0[test] = NEVER
            self.epoch[test] += 1
            self.seen_mark[test] = self.bad_mark[test] = self.slow_mark[test] = 0
