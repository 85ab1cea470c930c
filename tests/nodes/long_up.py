"""``siteshift`` as it is after an hour of uptime: it has numbered a report for each second of it.

    python long_up.py run --config FILE
"""

from __future__ import annotations

import time

from siteshift.cli.program import app
from siteshift.core.judge.vantage import Observer
from siteshift.runtime import node
from siteshift.runtime.equipment import Equipment

HOUR_MS = 3_600_000
_observer_for = node.observer_for
_made: list[Observer] = []


def _observer_of_an_hour_ago(equipment: Equipment) -> Observer:
    """The first one has been numbering reports for an hour; whoever makes another begins anew."""
    observer = _observer_for(equipment)
    if not _made:
        now_ms = time.time_ns() // 1_000_000
        for second in range(HOUR_MS // 1_000):
            observer.report(now_ms - HOUR_MS + 1_000 * second)
    _made.append(observer)
    return observer


if __name__ == "__main__":
    node.observer_for = _observer_of_an_hour_ago
    app()
