"""Which targets to probe fast now, within a budget of extra probes.

The first failure hastens the member and its pool; evidence worth more than one failure hastens the siblings too, for they
must be seen to be better before anything is drained. Credit accrues with ``extra_probe_load_pm`` of the normal load and is
kept for an hour: "at most 10 % more probes" holds over any hour, and everything may be probed fast for 90 s at once. Weak
suspicion may spend the upper two thirds, strong suspicion everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from siteshift.core.judge.pooled import Pooled
from siteshift.core.judge.stream import Stream
from siteshift.core.model.policy import HOUR_MS, JudgePolicy
from siteshift.core.model.units import WHOLE_PM, TargetId

POOL_SAMPLE, SIBLING_SAMPLE = 12, 8
"""Members probed fast in one pool: twelve at 200 ms are 60 checks a second, enough for any verdict."""
WEAK_RESERVE = 1 / 3
FEW_POOLS = 8
LONGEST_GAP_MS = 200
"""Choosing looks at every pool under suspicion and its siblings. Up to eight it is done with each result; when hundreds stir
at once, in the first second of a great outage, only every so many milliseconds, or choosing would take all the time there is."""


class HotSet:
    """The current set and the credit it spends. Mutable, private to one observer."""

    __slots__ = ("_at_ms", "_base_rate", "_cap", "_credit", "_extra_per_target", "targets", "version")

    def __init__(self, targets: int, policy: JudgePolicy) -> None:
        self._base_rate = targets / policy.interval_ms
        self._extra_per_target = 1 / policy.fast_interval_ms - 1 / policy.interval_ms
        self._base_rate *= policy.extra_probe_load_pm / WHOLE_PM
        self._cap = self._base_rate * HOUR_MS
        self._credit = self._cap
        self._at_ms = 0
        self.targets: frozenset[TargetId] = frozenset()
        self.version = 0

    def go_on_from(self, former: HotSet) -> None:
        """Keep the set and what is left of the credit: a reload is no new hour."""
        self._credit = min(self._cap, former._credit)
        self._at_ms = former._at_ms
        self.targets = former.targets
        self.version = former.version + 1

    def due(self, at_ms: int, active_groups: int) -> bool:
        """Whether to choose anew now, with so many active groups."""
        return active_groups <= FEW_POOLS or not 0 <= at_ms - self._at_ms < min(active_groups, LONGEST_GAP_MS)

    def update(self, at_ms: int, pools: Iterable[Pooled], lone: Iterable[Stream]) -> bool:
        """Settle the account since the last call and choose anew; True when the set changed."""
        self._settle(at_ms)
        chosen: set[TargetId] = set()
        if self._credit > 0.0:
            weak_allowed = self._credit > WEAK_RESERVE * self._cap
            for pool in pools:
                if pool.bank.calm or pool.bank.alarm >= 0 or not (weak_allowed or pool.bank.suspect):
                    continue
                chosen.update(_sample(pool, POOL_SAMPLE))
                if pool.bank.suspect:
                    for sibling in pool.siblings:
                        chosen.update(_sample(sibling, SIBLING_SAMPLE))
            if weak_allowed:
                chosen.update(one.target for one in lone)
        if chosen == self.targets:
            return False
        self.targets = frozenset(chosen)
        self.version += 1
        return True

    def _settle(self, at_ms: int) -> None:
        elapsed = at_ms - self._at_ms if self._at_ms else 0
        spent = len(self.targets) * self._extra_per_target
        self._credit = min(self._cap, self._credit + (self._base_rate - spent) * elapsed)
        self._at_ms = at_ms


def _sample(pool: Pooled, most: int) -> set[TargetId]:
    """Evenly spread members, and always those that just failed."""
    members = pool.included
    stride = -(-len(members) // most) if members else 1
    chosen = {one.target for one in members[::stride]}
    if stride > 1:
        chosen.update(one.target for one in members if one.failing)
    return chosen
