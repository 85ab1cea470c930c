"""Whether users are answered, told by a meter, against what checks say of the same pool.

A check asks one question of a site; its meter counts every answer that users got. So no pool whose users are answered is
called down, however its checks fail: it has lost a part (capacity, a release, a cut behind it), and what it still answers
is worth more than a refuge it overfills. And checks that all fail while users lose nothing are broken themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from siteshift.core.judge.quorum import BAD, Verdict, recast
from siteshift.core.model.codes import Hardness, Standing
from siteshift.core.model.units import WHOLE_PM, ServiceId, SiteId

PoolKey = tuple[ServiceId, SiteId]

FEWEST_REQUESTS = 7
"""Of so few nothing is concluded: seven requests without an answer come from a site that answers half in one case of 128."""
DARK_PM = 50
"""A pool that answers fewer than one in twenty is dark: those are the last of a queue, or a front that answers by itself."""
WELL_PM = 980
"""Users who get 98 of 100 answers contradict checks that fail; as `passive.CONTRADICTS_ERRORS`."""
PROVING_REQUESTS = 99
"""So many answers to the good put five errors in a hundred out of the question: Wald's sequential test (1945) of 0.5 against 5 %,
both risks 1 %, is over at ln 99 = 4.6, and each answer is worth ln(0.995 / 0.95) = 0.046."""
ERROR_COSTS_REQUESTS = 50
"""A request that is not answered takes away what so many answers brought: ln(0.05 / 0.005) = 2.3 of the same test."""
FRESH_MS = 1_500
"""A count older than this says nothing against a check that fails now: three windows of a meter that is asked twice a second.
One that is asked less often holds until the next is due, and a little more."""
AWAITED_MS = 700
"""So long after the first failed check the count of a window that began since is waited for at least, and for two windows of the
meter: one is under way when the check fails. A meter that is asked every two seconds is waited for no longer than that."""
LONGEST_AWAITED_MS = 2_000
"""So long at most: what is dead must be left in seconds, however seldom a meter is asked."""


class Served(NamedTuple):
    """What a meter counted of a pool in its last window. ``answered`` got a good answer in it."""

    at_ms: int
    window_ms: int
    asked: int
    answered: int
    to_the_good: int = 0

    def is_of_now(self, now_ms: int) -> bool:
        """Whether it says anything of now: it is fresh, and of enough requests, or the last of many."""
        is_enough = self.asked >= FEWEST_REQUESTS or self.is_proven_well
        return is_of_now(self.at_ms, self.window_ms, now_ms) and is_enough

    def began_since(self, since_ms: int) -> bool:
        """Whether its whole window lies after an instant: what began before may have been answered before."""
        return self.at_ms - self.window_ms >= since_ms

    @property
    def is_proven_well(self) -> bool:
        """Whether users are well by more than chance: at a site that errs a little a window without an error is nothing rare."""
        return self.to_the_good >= PROVING_REQUESTS

    @property
    def part_pm(self) -> int:
        """The part that was answered. A window that ends a jam answers more than it was asked."""
        return min(WHOLE_PM, self.answered * WHOLE_PM // max(1, self.asked))


def to_the_good(before: int, asked: int, answered: int) -> int:
    """How many answers a pool has to the good after a window: the sequential test of "well" against "errs a little", counted
    in answers and never below nothing. It holds twice what proves, so that one error does not end it, and three do; a window in
    which nobody asked ends it, for it is no proof of now. A request that was under way, and is answered in the next window, is
    given back; not the many that a jam held up."""
    if asked <= 0:
        return 0
    lacking = max(-1, asked - answered)
    return min(2 * PROVING_REQUESTS, max(0, before + min(asked, answered) - ERROR_COSTS_REQUESTS * lacking))


def is_of_now(at_ms: int, window_ms: int, now_ms: int) -> bool:
    """Whether a count that ended then says anything of now."""
    return now_ms - at_ms <= max(FRESH_MS, window_ms + window_ms // 2)


SeenOf = Callable[[PoolKey], Served | None]
"""What a meter counted of a pool, asked for where it matters: most pools are well."""


def heed(verdicts: dict[PoolKey, Verdict], served_of: SeenOf, now_ms: int) -> set[PoolKey]:
    """Correct what checks say of each pool that is bad by what its users are known to get.

    Returned are the pools of which the checks say that nobody answers, and whose users lose nothing: whoever looks there cannot
    see it, and so has seen nothing of its members either.
    """
    refuted: set[PoolKey] = set()
    bad = [(key, verdict) for key, verdict in verdicts.items() if verdict.view.standing in BAD]
    for key, verdict in bad:
        found = served_of(key)
        if found is None:
            continue
        standing, score_pm = _as_served(verdict, found, now_ms)
        if verdict.view.standing is Standing.DOWN and standing is not Standing.DOWN and found.part_pm >= WELL_PM:
            refuted.add(key)
        if standing is not verdict.view.standing or score_pm != verdict.view.score_pm:
            view = replace(recast(verdict.view, standing), score_pm=score_pm)
            verdicts[key] = verdict._replace(view=view, carried=verdict.carried and standing in BAD)
    return refuted


def _as_served(verdict: Verdict, found: Served, now_ms: int) -> tuple[Standing, int]:
    """The standing and score with what users got; those of the checks where that says nothing."""
    view = verdict.view
    if not found.is_of_now(now_ms):
        return view.standing, view.score_pm
    if not found.began_since(view.since_ms):
        awaited_ms = max(AWAITED_MS, min(2 * found.window_ms, LONGEST_AWAITED_MS))
        is_awaited = found.part_pm > DARK_PM and now_ms - view.since_ms < awaited_ms
        return (Standing.SUSPECT if is_awaited and view.standing is Standing.DOWN else view.standing), view.score_pm
    if found.part_pm <= DARK_PM:
        return view.standing, view.score_pm
    if view.hardness is Hardness.HARD and found.part_pm >= WELL_PM:
        return Standing.SUSPECT, view.score_pm
    if view.hardness is Hardness.GREY and found.is_proven_well:
        return Standing.SUSPECT, view.score_pm
    if view.standing is not Standing.DOWN:
        return view.standing, view.score_pm
    return Standing.DEGRADED, found.part_pm
