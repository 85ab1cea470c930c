"""Why steering changes, and the moves already made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why steering shall change. ``PERSON`` was asked for by hand; all others are automatic.

    ``RELEASE`` is the end of an override: what it forced goes back by itself. ``RELIEF`` takes off an overloaded site what
    it cannot carry; it leaves no site.
    """

    DEAD = "dead"
    DEGRADED = "degraded"
    RELIEF = "relief"
    PERSON = "person"
    FAILBACK = "failback"
    REBALANCE = "rebalance"
    STANDBY = "standby"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move already made: ``moved_bp`` is the sum of the shares taken away."""

    at_ms: int
    moved_bp: int
    cause: Cause
