"""``siteshift`` in which a day lasts two seconds and the journal is looked after several times a second.

    SITESHIFT_TEST_DIE_AT=noted python short_days.py run --config FILE

``SITESHIFT_TEST_DIE_AT`` names a point of sealing at which the process ends as by kill -9, once there is something to seal.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from siteshift.adapters.store.segments import SegmentWriter
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.app import retention
from siteshift.app.retention import Retention
from siteshift.cli.program import app

POINTS = ("writing", "named", "noted", "pruned a part")
DIE_AT = os.environ.get("SITESHIFT_TEST_DIE_AT", "")


def die_at(point: str) -> None:
    if point == DIE_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def before(kind: type, name: str, point: str) -> None:
    """End the process when this is called."""
    real = getattr(kind, name)

    def called(self: Any, *given: Any, **named: Any) -> Any:
        die_at(point)
        return real(self, *given, **named)

    setattr(kind, name, called)


def after(kind: type, name: str, point: str) -> None:
    """End the process when this has returned (and did something)."""
    real = getattr(kind, name)

    async def called(self: Any, *given: Any, **named: Any) -> Any:
        found = await real(self, *given, **named)
        if given and found is None and name == "_until_written" and not given[0]:
            return found
        if name == "prune" and not found.removed:
            return found
        die_at(point)
        return found

    setattr(kind, name, called)


if __name__ == "__main__":
    retention.DAY_MS = 2_000
    retention.CHECKPOINT_ENTRIES = 10
    retention.BITE = 7
    retention.SEGMENT_BYTES = 30_000
    real_init = Retention.__init__

    def init(self: Retention, **named: Any) -> None:
        real_init(self, **named, look_every_s=0.3, first_look_s=0.3)

    Retention.__init__ = init  # type: ignore[method-assign]
    before(SegmentWriter, "finish", "writing")
    after(SqliteJournal, "seal", "named")
    after(Retention, "_until_written", "noted")
    after(SqliteJournal, "prune", "pruned a part")
    app()
