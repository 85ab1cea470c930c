"""What a page's counter gained between two readings, series by series: one that restarts, vanishes or comes is no traffic.

Counters of one page are many: a series for each worker process, pod, code or path. Their sum says nothing when the set of them
changes: where a worker of two is gone the sum fell, and what the other ever counted is not what came since. So each series is
held against itself, as Prometheus' own ``rate()`` does (https://prometheus.io/docs/prometheus/latest/querying/functions/#rate):

=====================================  ================================================================================
a series that                          gains
=====================================  ================================================================================
goes on                                the difference
became smaller: it was reset           what it shows since then, if that can have come in this window
was not there, or comes back           what it shows (beyond what it showed last), if that can have come in this window
is not there any more                  nothing
=====================================  ================================================================================

``rate()`` takes the first value of a series as its beginning whatever it is. Here it counts where it is small, for a library
makes the series of an error when the first error comes, and that error is what we look for. A large one has counted elsewhere
before (a label was renamed, a page of another process answers): it only opens its window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from siteshift.adapters.scrape.exposition import Series

SMALL = 100
"""So many requests (or seconds) count as of this window in any case: a page that has just begun to be read has no pace yet."""
PACES = 3
"""What comes anew may be so many times what the page gained in the busiest of its last windows of this length."""
PACE_KEPT = 0.98
"""The part of a page's pace that is remembered from reading to reading: half of it is forgotten after 34 of them."""
GONE_MOST = 10_000
"""So many series that are gone are remembered; of more the oldest are forgotten."""

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Gains:
    """One counter of one page. `take` each reading; mutable, private to one meter."""

    _values: dict[Labels, float] = field(default_factory=dict)
    _gone: dict[Labels, float] = field(default_factory=dict)
    _pace: float = 0.0
    """Gain per ms."""
    _is_open: bool = False

    def take(self, series: Iterable[Series], window_ms: int) -> float | None:
        """The gain since the last reading, ``window_ms`` ago. None: unknown, for nothing that counted before goes on.

        The first reading opens the window and gains nothing. Series with the same labels are added up.
        """
        now: dict[Labels, float] = {}
        for entry in series:
            labels = tuple(sorted(entry.labels.items()))
            now[labels] = now.get(labels, 0.0) + entry.value
        before, self._values = self._values, now
        is_first, self._is_open = not self._is_open, True
        gain = 0.0 if is_first else self._gain(before, now, max(1, window_ms))
        for labels in now:
            self._gone.pop(labels, None)
        self._gone |= {labels: value for labels, value in before.items() if labels not in now}
        while len(self._gone) > GONE_MOST:
            del self._gone[next(iter(self._gone))]
        return gain

    def _gain(self, before: dict[Labels, float], now: dict[Labels, float], window_ms: int) -> float | None:
        most = max(SMALL, PACES * self._pace * window_ms)
        gain, told = 0.0, not before and not now
        for labels, value in now.items():
            known = before.get(labels)
            if known is not None and value >= known:
                gain, told = gain + value - known, True
                continue
            last = self._gone.get(labels, 0.0) if known is None else 0.0
            anew = value - last if value >= last else value
            if anew <= most:
                gain, told = gain + anew, True
        if not told:
            return None
        self._pace = max(gain / window_ms, self._pace * PACE_KEPT)
        return gain
