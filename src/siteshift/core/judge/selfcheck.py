"""What a vantage knows of itself: its anchors and its twins.

Anchors are outside addresses that fail only when the vantage's own line does. A twin is a check that cannot pass; when it
passes, its original cannot fail.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from siteshift.core.model.codes import Outcome
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.units import TargetId


class OwnState:
    """Anchors and broken checks as last seen. Mutable, private to one observer."""

    __slots__ = ("_anchors", "_stale_ms", "broken", "last_anchor_pass_ms")

    def __init__(self, anchors: Iterable[str], stale_ms: int) -> None:
        self._anchors: dict[str, tuple[Outcome, int]] = dict.fromkeys(anchors, (Outcome.LOST, 0))
        self._stale_ms = stale_ms
        self.last_anchor_pass_ms = 0
        self.broken: set[TargetId] = set()

    def refit(self, anchors: Iterable[str], targets: Container[TargetId], stale_ms: int, at_ms: int) -> None:
        """Other anchors and targets from now on.

        Whether our own line works is a fact about us and not about an address: an anchor that is new begins with the best that
        was known, and that grows stale like any answer. Without anchors so far nothing spoke against the line.
        """
        best = max(self._anchors.values(), key=lambda seen: (seen[0] is Outcome.PASS, seen[1]), default=(Outcome.PASS, at_ms))
        self._anchors = {name: self._anchors.get(name, best) for name in anchors}
        self._stale_ms = stale_ms
        self.broken = {target for target in self.broken if target in targets}

    @property
    def has_anchors(self) -> bool:
        return bool(self._anchors)

    def anchor(self, name: str, outcome: Outcome, at_ms: int, started_ms: int) -> bool:
        """One anchor check; True when the number of good anchors changed."""
        if outcome is Outcome.LOST:
            return False
        before = self._anchors.get(name, (Outcome.LOST, 0))[0]
        self._anchors[name] = (outcome, at_ms)
        if outcome is Outcome.PASS:
            self.last_anchor_pass_ms = max(self.last_anchor_pass_ms, started_ms)
        return before is not outcome

    def twin(self, target: TargetId, outcome: Outcome) -> bool:
        """One must-fail check; True when the set of broken checks changed."""
        if outcome is Outcome.PASS and target not in self.broken:
            self.broken.add(target)
            return True
        if outcome is Outcome.FAIL and target in self.broken:
            self.broken.discard(target)
            return True
        return False

    def check(self, at_ms: int) -> SelfCheck:
        """The self-check as of now: an anchor is good when its last answer is, and is fresh."""
        fresh = sum(1 for outcome, seen in self._anchors.values() if outcome is Outcome.PASS and at_ms - seen <= self._stale_ms)
        return SelfCheck(
            anchors_ok=fresh,
            anchors_total=len(self._anchors),
            broken_checks=tuple(sorted(self.broken)),
        )
