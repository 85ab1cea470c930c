"""Which targets to probe fast now, within a budget of extra probes.

The first failure hastens the member and its pool. Evidence worth more than one failure hastens a few members of the siblings
too, for they must be seen to be better before anything is drained (law 4): only as many as a comparison takes, only of
siblings that answer, and only until one of them has given its reassurance. What is wrong at a sibling as well makes it a
suspect of its own.

Two accounts, both in extra probes. The *minute*: over any minute at most as many extra probes as usual ones, half of them at
once. The *hour*: over an hour at most ``extra_probe_load_pm`` of the usual ones. Weak suspicion may spend the upper two thirds
of either, strong suspicion everything; an account that was emptied is closed until a quarter is back. How fast a single
target is probed is bounded by what it carries (`pacing`).
"""

from __future__ import annotations

from collections.abc import Iterable

from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.stream import Stream
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS, JudgePolicy
from siteshift.core.model.units import WHOLE_PM, TargetId

POOL_SAMPLE = 12
"""Members probed fast in one pool: twelve at 200 ms are 60 checks a second, enough for any verdict."""
SIBLING_SAMPLE = 8
"""Members of all siblings together. A crash takes four passes for a comparison, a fault of 5 % some eighty: eight members at
200 ms make 40 checks a second."""
WEAK_RESERVE = 1 / 3
REOPENS_AT = 1 / 4
"""Of an account: else it would be spent probe by probe, and the set change with each result."""
FEW_POOLS = 8
LONGEST_GAP_MS = 200
"""Choosing looks at every pool under suspicion and its siblings. Up to eight it is done with each result; when hundreds stir
at once, in the first second of a great outage, only every so many milliseconds, or choosing would take all the time there is."""


class Account:
    """So much may be spent at once, and so much comes back each millisecond. Full at the start."""

    __slots__ = ("_cap", "_credit", "_is_open", "_refill")

    def __init__(self, *, cap: float, refill: float) -> None:
        self._cap = self._credit = cap
        self._refill = refill
        self._is_open = cap > 0.0

    def settle(self, elapsed_ms: int, spent_per_ms: float) -> None:
        """Let time pass."""
        self._credit = min(self._cap, self._credit + (self._refill - spent_per_ms) * elapsed_ms)
        self._is_open = self._credit > (0.0 if self._is_open else REOPENS_AT * self._cap)

    def may_spend(self, *, weak: bool) -> bool:
        """Whether anything may be probed fast on its account; on weak suspicion."""
        return self._is_open and (not weak or self._credit > WEAK_RESERVE * self._cap)

    def go_on_from(self, former: Account) -> None:
        """Keep what is left."""
        self._credit = min(self._cap, former._credit)
        self._is_open = self._credit > 0.0 and former._is_open


class HotSet:
    """The current set and the accounts it spends. Mutable, private to one observer."""

    __slots__ = ("_accounts", "_at_ms", "_extra_per_target", "targets", "version")

    def __init__(self, targets: int, policy: JudgePolicy) -> None:
        usual = targets / policy.interval_ms
        an_hour = usual * policy.extra_probe_load_pm / WHOLE_PM
        self._extra_per_target = 1 / policy.fast_interval_ms - 1 / policy.interval_ms
        self._accounts = (
            Account(cap=usual * MINUTE_MS / 2, refill=usual / 2),
            Account(cap=an_hour * HOUR_MS, refill=an_hour),
        )
        self._at_ms = 0
        self.targets: frozenset[TargetId] = frozenset()
        self.version = 0

    def go_on_from(self, former: HotSet) -> None:
        """Keep the set and what is left of the accounts: a reload is no new hour."""
        for account, before in zip(self._accounts, former._accounts, strict=True):
            account.go_on_from(before)
        self._at_ms = former._at_ms
        self.targets = former.targets
        self.version = former.version + 1

    def due(self, at_ms: int, active_groups: int) -> bool:
        """Whether to choose anew now, with so many active groups."""
        return active_groups <= FEW_POOLS or not 0 <= at_ms - self._at_ms < min(active_groups, LONGEST_GAP_MS)

    def update(self, at_ms: int, pools: Iterable[Pooled], lone: Iterable[Stream]) -> bool:
        """Settle the accounts since the last call and choose anew; True when the set changed."""
        self._settle(at_ms)
        chosen: set[TargetId] = set()
        if self._may_spend(weak=False):
            weak_allowed = self._may_spend(weak=True)
            for pool in pools:
                if pool.bank.calm or pool.bank.alarm >= 0 or not (weak_allowed or pool.bank.suspect):
                    continue
                chosen.update(_sample(pool, POOL_SAMPLE))
                if pool.bank.suspect and pool.wants_comparison(at_ms):
                    chosen.update(_of_siblings(pool))
            if weak_allowed:
                chosen.update(one.target for one in lone)
        if chosen == self.targets:
            return False
        self.targets = frozenset(chosen)
        self.version += 1
        return True

    def _may_spend(self, *, weak: bool) -> bool:
        return all(account.may_spend(weak=weak) for account in self._accounts)

    def _settle(self, at_ms: int) -> None:
        elapsed_ms = at_ms - self._at_ms if self._at_ms else 0
        for account in self._accounts:
            account.settle(elapsed_ms, len(self.targets) * self._extra_per_target)
        self._at_ms = at_ms


def _sample(pool: Pooled, most: int) -> set[TargetId]:
    """Evenly spread members, and always those that just failed."""
    members = pool.included
    stride = -(-len(members) // most) if members else 1
    chosen = {one.target for one in members[::stride]}
    if stride > 1:
        chosen.update(one.target for one in members if one.failing)
    return chosen


def _of_siblings(pool: Pooled) -> set[TargetId]:
    """Members to compare with, spread over the siblings that answer: no site is asked more than it must be.

    A member that fails is left out: what is wrong there is found by its own pool's suspicion.
    """
    answering = [one for one in pool.siblings if one.answering and one.bank.alarm < 0][:SIBLING_SAMPLE]
    chosen: set[TargetId] = set()
    for place, sibling in enumerate(answering):
        well = [one for one in sibling.included if not one.failing]
        part = SIBLING_SAMPLE // len(answering) + (place < SIBLING_SAMPLE % len(answering))
        stride = max(1, len(well) // part)
        chosen.update(one.target for one in well[::stride][:part])
    return chosen
