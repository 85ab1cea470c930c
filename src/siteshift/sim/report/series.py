"""From the seconds of a record to points that a plot can hold: thinned, but no peak and no change lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from siteshift.sim.results.record import Second

MOST_POINTS = 500
"""A plot is about a thousand pixels wide: more points cannot be seen."""


def steps(series: Sequence[Second], field: Callable[[Second], float]) -> list[tuple[float, float]]:
    """Only the points at which the value changes: for lines drawn in steps."""
    found: list[tuple[float, float]] = []
    for second in series:
        value = field(second)
        if not found or found[-1][1] != value:
            found.append((second.at_ms / 1000, value))
    return found


def envelope(series: Sequence[Second], field: Callable[[Second], float]) -> list[tuple[float, float]]:
    """All points, or the least and greatest of each bucket where there are too many."""
    points = [(second.at_ms / 1000, field(second)) for second in series]
    if len(points) <= MOST_POINTS:
        return points
    size = -(-len(points) // (MOST_POINTS // 2))
    found: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        ends = {min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])}
        found += sorted(ends)
    return found


def sums(series: Sequence[Second], field: Callable[[Second], float], width_s: int) -> list[tuple[float, float]]:
    """The mean per second of each bucket: for bars."""
    found: dict[int, float] = {}
    for second in series:
        bucket = second.at_ms // (1000 * width_s) * width_s
        found[bucket] = found.get(bucket, 0.0) + field(second)
    return [(float(at_s), value / width_s) for at_s, value in sorted(found.items())]
