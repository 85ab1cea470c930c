"""Scores, 0-1000: goodput, never CPU (fast errors look like spare capacity). Which of several views is the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.units import WHOLE_PM

SEVERITY: Mapping[Standing, int] = {
    Standing.UNKNOWN: 0,
    Standing.UP: 1,
    Standing.SUSPECT: 2,
    Standing.DEGRADED: 3,
    Standing.DOWN: 4,
}
"""How bad a standing is. Unknown is the weakest: any evidence says more."""


def worst(one: TargetView, other: TargetView | None) -> TargetView:
    """The view that says the worse thing; between equals the lower score."""
    if other is None:
        return one
    mine, theirs = SEVERITY[one.standing], SEVERITY[other.standing]
    if mine != theirs:
        return one if mine > theirs else other
    return one if one.score_pm <= other.score_pm else other


def member_score_pm(view: TargetView) -> int:
    """What a member still delivers: nothing when down, its goodput otherwise."""
    return 0 if view.standing is Standing.DOWN else view.score_pm


def delivered_pm(parts: Iterable[tuple[int, TargetView]]) -> int:
    """Capacity-weighted goodput of (capacity, view) pairs, dead members included: what is left of a pool."""
    whole = left = 0
    for capacity, view in parts:
        whole += capacity
        left += capacity * member_score_pm(view)
    return left // whole if whole else WHOLE_PM
