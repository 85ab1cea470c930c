"""The pooled stream of a service at a site, or of a whole site: finds in seconds what a member's own stream needs minutes for.

Rules that keep one sick member one sick member: its part is capped (`cusum.member_part`), a member known to be sick is
judged alone, and evidence that rests on a few members that fail solidly is left to their own streams.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.judge.bank import NO_ALARM, Bank, Part
from siteshift.core.judge.baseline import learned_rates
from siteshift.core.judge.cusum import CRASH, ERRORS, GREY, NEVER, SLOW, rest_part, tune
from siteshift.core.judge.siblings import Sibling, Suspicion
from siteshift.core.judge.stream import DOWN_FROM_RATE, DOWN_UNTIL_RATE, Stream
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import SiteId, TargetId

SOLID_FAILS = 2
"""A member that failed this often in a row fails solidly."""
PLAUSIBLE_MS = 250
"""The stopwatch: an answer later than this after its check was due is implausible where others fail silently."""


class Pooled:
    """One pooled stream with its members, siblings and standing. Driven by `vantage.Observer`."""

    __slots__ = (
        "asked_ms",
        "bank",
        "included",
        "index",
        "is_asked",
        "last_heard_ms",
        "last_pass_ms",
        "last_result_failed",
        "members",
        "near_since_ms",
        "near_test",
        "part_of",
        "policy",
        "siblings",
        "silent_since_ms",
        "site",
        "standing",
        "standing_counts",
        "standing_since_ms",
        "suspicion",
        "target",
        "watchers",
    )

    def __init__(self, index: int, target: TargetId, site: SiteId, members: list[Stream], policy: JudgePolicy) -> None:
        self.index = index
        self.target = target
        self.site = site
        self.members = members
        self.included = members
        """Members whose results make up the stream; chosen anew by `retune`."""
        self.standing_counts = (0, 0, 0)
        """How many members are known, known to be sick and down, known to be sick."""
        self.policy = policy
        self.part_of = "site_part" if target.startswith("site:") else "pool_part"
        self.siblings: list[Pooled] = []
        self.watchers: list[Suspicion] = []
        self.suspicion: Suspicion | None = None
        self.standing = Standing.UNKNOWN
        self.standing_since_ms = 0
        self.last_pass_ms = self.last_heard_ms = 0
        """When the latest check that passed was started, and when the latest pass came."""
        self.silent_since_ms = NEVER
        """The start of the first failing check that was started after the latest pass came."""
        self.last_result_failed = False
        self.near_since_ms = NEVER
        self.near_test = NO_ALARM
        self.asked_ms = NEVER
        """When the present verdict on silence asks for a reading of the meter, and whether it has."""
        self.is_asked = False
        self.bank = Bank(tune(1, 50, 50, policy.interval_ms, policy.false_alarms_per_year))
        self.retune()

    # -- membership and tuning ------------------------------------------------------------------------------------

    def count(self, now: tuple[int, int, int], before: tuple[int, int, int]) -> None:
        """One member's part of the counts changed (`stream.standing_counts_of`)."""
        known, down, sick = self.standing_counts
        self.standing_counts = (known + now[0] - before[0], down + now[1] - before[1], sick + now[2] - before[2])

    def retune(self) -> None:
        """Thresholds follow the number of members counted and what is normal for them."""
        self.included = [one for one in self.members if not one.excluded]
        included = self.included or self.members
        policy = self.policy
        rates = learned_rates(one.baseline for one in included)
        self.bank.tuning = tune(max(1, len(included)), *rates, policy.interval_ms, policy.false_alarms_per_year)

    def recount(self) -> None:
        """Count the members' standings anew; after members were handed over."""
        counts = [one.standing_counts for one in self.members]
        known, down, sick = (sum(part) for part in zip((0, 0, 0), *counts, strict=True))
        self.standing_counts = (known, down, sick)

    def go_on_from(self, former: Pooled, number_of: Mapping[int, int]) -> None:
        """Go on where the same group of the former roster stood, without the part of members that are gone.

        With none of its members left the evidence is about nobody: then this group starts anew. ``number_of``: former index to
        present one, of the groups that are still there.
        """
        present = {id(one) for one in self.members}
        gone = [one for one in former.members if id(one) not in present]
        if len(gone) == len(former.members):
            return
        for one in gone:
            former.bank.withdraw(former.part(one))
        self.bank = former.bank
        self.standing, self.standing_since_ms = former.standing, former.standing_since_ms
        self.last_pass_ms, self.last_result_failed = former.last_pass_ms, former.last_result_failed
        self.last_heard_ms, self.silent_since_ms = former.last_heard_ms, former.silent_since_ms
        self.near_since_ms, self.near_test = former.near_since_ms, former.near_test
        self.suspicion = former.suspicion
        if self.suspicion is not None:
            self.suspicion.renumber(number_of)
            for sibling in self.siblings:
                sibling.watchers.append(self.suspicion)

    @property
    def answering(self) -> bool:
        """Whether the latest result was a pass and there is no suspicion worth the name."""
        return not self.last_result_failed and not self.bank.suspect

    @property
    def last_answer_ms(self) -> int:
        """When the latest answer came of members whose last check passed; `last_pass_ms` is when such a check began."""
        return max((one.last_at_ms for one in self.members if one.last_pass_ms and not one.failing), default=0)

    @property
    def usual_gap_ms(self) -> int:
        """Time between two checks of the group at the normal interval."""
        return self.policy.interval_ms // max(1, len(self.members))

    def passed_since(self, from_ms: int) -> int:
        """Members whose last pass started at or after an instant."""
        return sum(1 for one in self.members if one.last_pass_ms >= from_ms)

    # -- judging --------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Keep the watch on the siblings in step with the bank."""
        bank = self.bank
        if bank.calm or bank.alarm >= 0:
            self.stop_watching()
            return
        if self.suspicion is None:
            self.suspicion = Suspicion()
            for sibling in self.siblings:
                sibling.watchers.append(self.suspicion)
        self.suspicion.follow(bank.sums, bank.epoch, bank.t0, self.siblings)

    def stop_watching(self) -> None:
        """End the watch."""
        if self.suspicion is not None:
            for sibling in self.siblings:
                sibling.watchers.remove(self.suspicion)
            self.suspicion = None

    def candidate(self, at_ms: int) -> int:
        """The test whose evidence is complete (level, age, spread over members), or NO_ALARM."""
        bank = self.bank
        if not (bank.ripe or bank.sums[CRASH] > bank.tuning.up[CRASH]):
            return NO_ALARM
        for test in (CRASH, ERRORS, GREY, SLOW):
            if 0 <= bank.alarm <= test:
                break
            if bank.sums[test] <= 0.0:
                continue
            if bank.alarm >= 0 and test == CRASH and any(one.streak <= SOLID_FAILS for one in self.included):
                continue  # what the level means was set for health; among errors a crash is when nobody answers
            if test == CRASH and self._silence_complete(at_ms):
                return CRASH
            if bank.due_ms(test, self.policy) <= at_ms and self.unanswered(test, at_ms) and self._spread(test):
                return test
        return NO_ALARM

    def unanswered(self, test: int, at_ms: int) -> bool:
        """Whether a silent crash has lasted: no check that was started in the last `confirm_silent_ms` has passed.

        The age of the evidence does not tell. Silence is seen at the time-out: a cut of half a second is over, and the passes
        after it were seen before its failures, when nothing was suspected yet and they did not count. Nor does the start of
        a check that was under way when an answer still came: the silence it met in its last step began later.
        """
        if test != CRASH or self.bank.hardness(CRASH) is not Hardness.SILENT:
            return True
        return at_ms - max(self.last_pass_ms, self.silent_since_ms) >= self.policy.confirm_silent_ms

    def hear(self, started_ms: int, at_ms: int, *, passed: bool) -> None:
        """One check that was started then has ended now."""
        self.last_result_failed = not passed
        if passed:
            self.last_pass_ms = max(self.last_pass_ms, started_ms)
            self.last_heard_ms, self.silent_since_ms = max(self.last_heard_ms, at_ms), NEVER
        elif self.last_heard_ms <= started_ms < self.silent_since_ms:
            self.silent_since_ms = started_ms

    def _spread(self, test: int) -> bool:
        """Whether the evidence stands without the members that fail solidly, or those are most of the pool."""
        included = self.included
        if len(included) < 2:
            return True
        solid = [one for one in included if one.streak >= SOLID_FAILS]
        steady = [one for one in included if one.streak <= -SOLID_FAILS and one.last_pass_ms > self.bank.t0[test]]
        if test == CRASH and steady:
            return False
        if 2 * len(solid) > len(included):
            return True
        bank = self.bank
        epoch, level = bank.epoch[test], bank.tuning.level[test]
        parts = {one.target: self.part(one).worth(test, epoch) for one in included}
        if bank.sums[test] - max(parts.values()) < rest_part(len(included)) * level:
            return False
        return bank.sums[test] - sum(parts[one.target] for one in solid) >= level if solid else True

    def part(self, member: Stream) -> Part:
        """What a member has brought into this group."""
        return member.site_part if self.part_of == "site_part" else member.pool_part

    def _silence_complete(self, at_ms: int) -> bool:
        """The stopwatch. Two members failed silently, nobody passed since, and the checks that should have answered did not.

        Only beside a sibling that answers: otherwise the prober itself may stand still.
        """
        bank = self.bank
        t0 = bank.t0[CRASH]
        if bank.hardness(CRASH) is not Hardness.SILENT or not self.unanswered(CRASH, at_ms):
            return False
        if at_ms - t0 < self.policy.confirm_silent_ms:
            return False
        if not any(sibling.last_pass_ms >= at_ms - 2 * PLAUSIBLE_MS for sibling in self.siblings):
            return False
        epoch, total, failed = bank.epoch[CRASH], bank.sums[CRASH], 0
        overdue_before = at_ms - self.policy.interval_ms - PLAUSIBLE_MS
        for one in self.included:
            if one.last_pass_ms >= t0:
                return False
            if one.failing and self.part(one).worth(CRASH, epoch) > 0.0:
                failed += 1
            elif one.last_start_ms <= overdue_before:
                total += min(bank.tuning.up[CRASH], bank.tuning.cap[CRASH])
        return failed >= 2 and total >= bank.tuning.level[CRASH]

    def come_near(self, test: int, at_ms: int) -> None:
        """A verdict is complete but for reassurance; remembered until the suspicion ends."""
        if self.near_test == NO_ALARM:
            self.near_since_ms = at_ms
        self.near_test = test

    def back_off(self) -> None:
        """The suspicion ended without a verdict."""
        self.near_test = NO_ALARM
        self.near_since_ms = self.asked_ms = NEVER

    def accuse(self, at_ms: int) -> None:
        """Latch the verdict that was near."""
        self.bank.raise_alarm(self.near_test, at_ms, self.policy)
        self.back_off()
        self.stop_watching()

    def wait_over(self, at_ms: int) -> bool:
        """Whether a complete verdict has waited long enough for reassurance.

        Siblings with the same silent fault show it within a second, with the same grey fault within 30 s; while all of
        them are under suspicion too, the wait is four times as long.
        """
        test = self.near_test
        grey = test != CRASH and self.bank.hardness(test) in (Hardness.GREY, Hardness.SLOW)
        bound = self.policy.confirm_silent_ms * (30 if grey or test == GREY else 1)
        if all(one.bank.alarm >= 0 or one.bank.suspect for one in self.siblings):
            bound *= 4
        return at_ms - self.near_since_ms >= bound

    def answered_with(self, at_ms: int) -> list[Stream]:
        """Members with an alarm of their own whose good answers were part of the pool's; those judged alone are not."""
        quiet_from = at_ms - self.policy.rise * self.policy.interval_ms
        return [one for one in self.included if one.bank.alarm >= 0 and one.streak < 0 and one.bank.last_bad_ms <= quiet_from]

    @property
    def accused_with_all(self) -> bool:
        """Whether this group and all its siblings have complete verdicts: then they are told together."""
        return bool(self.siblings) and all(one.bank.alarm >= 0 or one.near_test >= 0 for one in self.siblings)

    def reassurers(self, test: int, at_ms: int) -> list[Sibling]:
        """Siblings seen to be better, see `siblings`."""
        if self.suspicion is None:
            return []
        bank = self.bank
        self.suspicion.follow(bank.sums, bank.epoch, bank.t0, self.siblings)
        bad, seen = bank.tally(test)
        base, hardness = bank.tuning.base_rate, bank.hardness(test)
        return self.suspicion.reassured_by(test, bad, seen, base, self.siblings, at_ms, hardness)

    def wants_comparison(self, at_ms: int) -> bool:
        """Whether no sibling has been seen yet to be better than this group; then a few of them are worth asking often."""
        test = self.near_test if self.near_test != NO_ALARM else self.bank.strongest()
        return not self.reassurers(test, at_ms)

    # -- standing -------------------------------------------------------------------------------------------------

    def update_standing(self, at_ms: int) -> bool:
        """Derive the standing from alarm, suspicion and members; True when it changed."""
        standing = self._standing()
        if standing is self.standing:
            return False
        self.standing = standing
        self.standing_since_ms = self.bank.alarm_since_ms if self.bank.alarm >= 0 else at_ms
        return True

    def _standing(self) -> Standing:
        bank = self.bank
        known, down, sick = self.standing_counts
        if not known:
            return Standing.UNKNOWN
        if bank.alarm >= 0:
            least = DOWN_UNTIL_RATE if self.standing is Standing.DOWN else DOWN_FROM_RATE
            if bank.alarm in (CRASH, ERRORS) and bank.estimate >= least and not self._any_steady():
                return Standing.DOWN
            return Standing.DEGRADED
        if down == known:
            return Standing.DOWN
        if 2 * sick > len(self.members):
            return Standing.DEGRADED
        return Standing.SUSPECT if bank.suspect else Standing.UP

    def _any_steady(self) -> bool:
        """Whether some member answers steadily although the pool as a whole does not."""
        since = self.bank.alarm_since_ms
        if self.last_pass_ms <= since:
            return False  # nobody passed: a dead site of 500 members must not be searched at each of its failures
        return any(one.streak <= -SOLID_FAILS and one.last_pass_ms > since for one in self.members if not one.excluded)

    @property
    def score_pm(self) -> int:
        """Goodput of the members in use."""
        bank = self.bank
        if self.standing is Standing.DOWN:
            return 0 if bank.alarm < 0 else round(1_000 * (1.0 - bank.estimate))
        if bank.alarm >= 0:
            solid = sum(1 for one in self.members if one.streak >= SOLID_FAILS)
            if bank.alarm in (CRASH, ERRORS) and 2 * solid > len(self.members) and self._any_steady():
                rest = [one.score_pm for one in self.members if one.streak < SOLID_FAILS]
                return sum(rest) // len(rest)
            return round(1_000 * (1.0 - bank.estimate))
        if self.standing is Standing.DEGRADED:
            left = [one.score_pm for one in self.members if one.standing is not Standing.DOWN]
            return sum(left) // len(left) if left else 0
        if bank.suspect:
            test = bank.strongest()
            seen = bank.seen - bank.seen_mark[test]
            return round(1_000 * (1.0 - bank.failing_rate(test) * seen / (seen + 10)))
        return 1_000

    @property
    def hardness(self) -> Hardness:
        """The class of the evidence behind the standing."""
        bank = self.bank
        if bank.alarm >= 0:
            return bank.hardness(bank.alarm)
        if self.standing in (Standing.DOWN, Standing.DEGRADED):
            worst = [one.hardness for one in self.members if one.bank.alarm >= 0]
            return max(set(worst), key=worst.count) if worst else Hardness.NONE
        return Hardness.NONE if bank.calm or not bank.suspect else bank.hardness(bank.strongest())
