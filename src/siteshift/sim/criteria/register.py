"""All criteria in one place, and those that hold in every scenario unless it sets its own limit."""

from __future__ import annotations

from siteshift.sim.criteria.conduct import ExtraProbes
from siteshift.sim.criteria.criterion import CRITERIA, Criterion
from siteshift.sim.criteria.moves import LawsBroken, WrongMoves
from siteshift.sim.criteria.outcome import NeverEmpty

__all__ = ["CRITERIA", "EVERYWHERE"]

EVERYWHERE: tuple[Criterion, ...] = (
    WrongMoves(at_most=0),
    LawsBroken(at_most=0),
    NeverEmpty(at_most=0),
    ExtraProbes(at_most_pm=100),
)
"""No wrong move, no law broken, never an empty answer, at most ten per cent more probes."""
