"""What is normal for a stream: learned failure and slowness rates, never learned from a fault.

A Beta prior makes a new stream careful (0.5 %) and lets it converge in minutes; old counts are halved, so that a change of
habits is learned in about a day. Callers commit counts only from times that ended without a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable

PRIOR_FAILS, PRIOR_SAMPLES = 2.0, 400.0
FLOOR, CEILING = 0.0010, 0.02
"""Below 0.1 % one would trust luck; a stream that fails more often than 2 % is not normal but faulty."""
MEMORY_SAMPLES = 50_000


class Baseline:
    """Committed counts of one member. Mutable, private to its stream."""

    __slots__ = ("fails", "samples", "slows")

    def __init__(self) -> None:
        self.samples = 0.0
        self.fails = 0.0
        self.slows = 0.0

    def commit(self, samples: int, fails: int, slows: int) -> None:
        """Add counts seen in health; halve everything when the memory is full."""
        self.samples += samples
        self.fails += fails
        self.slows += slows
        if self.samples > MEMORY_SAMPLES:
            self.samples *= 0.5
            self.fails *= 0.5
            self.slows *= 0.5


def learned_rates(baselines: Iterable[Baseline]) -> tuple[int, int]:
    """Failure and slowness rate of a group of streams, per 10,000, within floor and ceiling."""
    samples, fails, slows = PRIOR_SAMPLES, PRIOR_FAILS, PRIOR_FAILS
    for one in baselines:
        samples += one.samples
        fails += one.fails
        slows += one.slows
    return _per_ten_thousand(fails / samples), _per_ten_thousand(slows / samples)


def _per_ten_thousand(rate: float) -> int:
    return round(10_000 * min(CEILING, max(FLOOR, rate)))
