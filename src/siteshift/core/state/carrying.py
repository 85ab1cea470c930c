"""What a pool was found to carry when it failed alive, and when a little more may be tried.

A pool that fails while it answers carries less than it is asked, whatever is written in the file: a cooling fault, a bad
release, a neighbour. What it answered then is the most it is given (the cap) until it has been quiet for a while; then it
climbs by small steps (additive increase, multiplicative decrease: Chiu and Jain 1989) until it fails, and goes back to the
last one it was quiet with. Each relapse doubles the wait. Where the load alone explains the failure, what is written in the
file is the limit again after the first wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_HOLD_MS = 30_000
"""The first wait: the usual TTL, for before that nobody sees what a move brings."""
LONGEST_HOLD_MS = 300_000
"""The longest where more was asked than the file says it carries: as long as a peak of demand is remembered
(`core.beliefs.traffic`)."""
SURE_PM = 800
"""A pool that is asked about what the file says and answers less than 80 % of that carries less; no file is closer than to a
tenth or two, and a full pool answers nearly all it can while little more is asked."""
ANSWERING_PM = 300
"""Who answers three in ten of what it is asked, or can carry, is there. Far past its knee a server does not manage more."""
CLIMB_MS = 7_000
"""A raise after which all is well is followed by the next: the short TTL, and what a meter or a check takes to see it."""
TELLING_PM = 900
"""Asked at most this part of what it failed at, a pool shows whether it is full or sick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrying:
    """One pool's failure under load, in requests/s.

    ``failed_rps``: what was asked of it, of which it answered ``answered_rps``; ``cap_rps``: the most it is meant to get, None
    once it may have all again; ``proven_rps``: what it was quiet with before the last raise; ``open_rps``: what the file says of
    its open members then. ``hold_ms``: the wait; ``until_ms``: when more may be tried. ``failed_at_ms``: since when.
    """

    failed_rps: int
    answered_rps: int
    cap_rps: int | None
    proven_rps: int
    open_rps: int
    failed_at_ms: int
    hold_ms: int
    until_ms: int

    def most_rps(self, open_rps: int) -> int | None:
        """The most it may be meant to get; standby that was opened since carries its part of it. None: there is no cap."""
        if self.cap_rps is None:
            return None
        return self.cap_rps * max(open_rps, self.open_rps) // max(1, self.open_rps)

    def is_over(self, now_ms: int) -> bool:
        """Whether more may be tried."""
        return now_ms >= self.until_ms

    @property
    def is_explained(self) -> bool:
        """Whether more was asked of it than the file says it carries, and it answered about as much as that, as far as known."""
        is_less = 0 < self.answered_rps * 1_000 < self.open_rps * hard_at_work_pm(self.failed_rps, self.open_rps)
        return self.failed_rps >= self.open_rps and not is_less

    def is_settling(self, now_ms: int) -> bool:
        """Whether its queues may still empty, one after the other, and its checks remember that they were full."""
        return not self.was_raised and now_ms < self.until_ms + self.hold_ms

    def is_on_trial(self, now_ms: int) -> bool:
        """Whether it has more than it was quiet with: as long as it has a cap, and for one wait once it may have all again."""
        return self.was_raised and (self.cap_rps is not None or not self.is_over(now_ms))

    @property
    def was_raised(self) -> bool:
        """Whether it was given more than it was quiet with, and has not shown yet that it carries that."""
        return self.cap_rps != self.proven_rps

    def lifted(self, now_ms: int) -> Carrying:
        """Without a cap, on trial for one more wait."""
        return replace(self, cap_rps=None, proven_rps=self.cap_rps or self.proven_rps, until_ms=now_ms + self.hold_ms)

    def settled(self, now_ms: int, has_rps: int) -> Carrying:
        """With what it has by now as proven, and as its cap: nothing more is wanted of it."""
        assert self.cap_rps is not None
        most_rps = max(self.proven_rps, min(self.cap_rps, has_rps))
        return replace(self, cap_rps=most_rps, proven_rps=most_rps, until_ms=now_ms + self.hold_ms)

    def raised(self, now_ms: int, *, open_rps: int, by_rps: int) -> Carrying:
        """A little more, after a wait in which it was quiet; all of it where the load alone had explained the failure."""
        assert self.cap_rps is not None
        if self.is_explained or self.cap_rps + by_rps >= open_rps:
            return self.lifted(now_ms)
        return replace(self, cap_rps=self.cap_rps + by_rps, proven_rps=self.cap_rps, until_ms=now_ms + CLIMB_MS)


def hard_at_work_pm(asked: int, can: int) -> int:
    """The part of what it can that a full pool answers at least: asked little more eight in ten, asked twice as much three."""
    beyond_pm = max(0, asked - can) * 1_000 // max(1, can)
    return max(ANSWERING_PM, SURE_PM - beyond_pm * (SURE_PM - ANSWERING_PM) // 1_000)


def tells_saturated(known: Carrying, asked_rps: int, answered_rps: int) -> bool | None:
    """Whether what fails at less than before is full, rather than sick; None while as much is asked.

    Full it answers as much as before, sick the same part of it: what is nearer to what is seen.
    """
    if asked_rps > known.failed_rps * TELLING_PM // 1_000:
        return None
    if_sick = asked_rps * known.answered_rps // max(1, known.failed_rps)
    if_full = min(asked_rps, known.answered_rps)
    return 2 * answered_rps >= if_sick + if_full


def failed(
    before: Carrying | None,
    *,
    asked_rps: int,
    answered_rps: int,
    cap_rps: int,
    open_rps: int,
    hold_ms: int,
    longest_ms: int,
    now_ms: int,
) -> Carrying:
    """The pool failed alive, asked so much. Within a wait it is one more step of the same failure; soon after one a relapse."""
    since_ms = now_ms
    if before is not None and not before.was_raised and not before.is_over(now_ms):
        hold_ms, since_ms = before.hold_ms, before.failed_at_ms
        asked_rps, answered_rps = before.failed_rps, before.answered_rps
        open_rps = max(open_rps, before.open_rps)  # it failed with those: a standby that closed since explains nothing
    elif before is not None and now_ms - before.until_ms < longest_ms:
        hold_ms = min(2 * before.hold_ms, longest_ms)
    return Carrying(
        failed_rps=asked_rps,
        answered_rps=answered_rps,
        cap_rps=cap_rps,
        proven_rps=cap_rps,
        open_rps=open_rps,
        failed_at_ms=since_ms,
        hold_ms=hold_ms,
        until_ms=now_ms + hold_ms,
    )
