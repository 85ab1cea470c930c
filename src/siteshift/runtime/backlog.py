"""The journal rows that wait to be written, bounded.

While the disk takes nothing, the node goes on seeing and answering, and all of that belongs on record. Beyond the limit
what is heard is no longer kept row by row but counted in one entry ``gap``: how many rows of each kind, from when until
when. The oldest rows stay, for they tell how it began. What was *done* is never counted away (law 16): it cannot come
in numbers, because nothing is moved while the store is lost (law 12). After a gap the whole state is written down, so
that a replay can begin again there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from siteshift.ports import JournalRow

GAP = "gap"
STATE = "state"
ACTS = frozenset(
    {
        *("adopted", "clock", "decision", "override_expired", "reload", "setup", "standby", "started", STATE, "store"),
        *("store_set_aside", "term", "goal", "approval", "envelope_left"),
    }
)
"""What siteshift did or became. Also kept: an answer that granted something."""


@dataclass(slots=True, kw_only=True)
class Gap:
    """Rows that were counted instead of kept."""

    from_ms: int
    until_ms: int
    kinds: Counter[str]

    def count(self, at_ms: int, kind: str) -> None:
        self.until_ms = at_ms
        self.kinds[kind] += 1

    def and_before(self, earlier: Gap) -> Gap:
        """Both as one; ``earlier`` was opened first."""
        return Gap(from_ms=earlier.from_ms, until_ms=self.until_ms, kinds=earlier.kinds + self.kinds)

    def data(self) -> dict[str, object]:
        """The journal entry."""
        kinds = dict(sorted(self.kinds.items()))
        return {"from_ms": self.from_ms, "until_ms": self.until_ms, "rows": self.kinds.total(), "kinds": kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What one commit was given: the first ``kept`` rows that wait, and the gap with the state after it, if any."""

    rows: tuple[JournalRow, ...]
    kept: int
    gap: Gap | None


@dataclass(slots=True, kw_only=True)
class Backlog:
    """Rows in order. ``limit`` may change while rows wait."""

    limit: int
    summarised: int = 0
    """Rows counted into gaps since the start."""
    _rows: list[JournalRow] = field(default_factory=list)
    _gap: Gap | None = None
    _sealed: Sealed | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def has_gap(self) -> bool:
        return self._gap is not None or (self._sealed is not None and self._sealed.gap is not None)

    def keep(self, row: JournalRow) -> None:
        """Take a row while the store works: however many come at once, they are gone with the next commit."""
        self._rows.append(row)

    def keep_or_count(self, row: JournalRow) -> None:
        """Take a row while the store is lost. Once rows were counted, later ones are too, until the gap is on record."""
        at_ms, kind, data = row
        if _is_act(kind, data) or (not self.has_gap and len(self._rows) < self.limit):
            self._rows.append(row)
            return
        if self._gap is None:
            self._gap = Gap(from_ms=at_ms, until_ms=at_ms, kinds=Counter())
        self._gap.count(at_ms, kind)
        self.summarised += 1

    def seal(self, now_ms: int, state: Mapping[str, object]) -> tuple[JournalRow, ...]:
        """Everything that waits, for one commit. Its end is told by `written` or `not_written` before the next one.

        ``state`` is the whole state as it was after the last row came; written down behind a gap.
        """
        assert self._sealed is None, "a commit is open"
        rows = list(self._rows)
        gap, self._gap = self._gap, None
        if gap is not None:
            rows += [(now_ms, GAP, gap.data()), (now_ms, STATE, {"state": state})]
        self._sealed = Sealed(rows=tuple(rows), kept=len(self._rows), gap=gap)
        return self._sealed.rows

    @property
    def sealed_rows(self) -> int | None:
        """How many rows the open commit has; None when none is open."""
        return len(self._sealed.rows) if self._sealed is not None else None

    def written(self) -> None:
        """The open commit is on the disk."""
        assert self._sealed is not None, "no commit is open"
        del self._rows[: self._sealed.kept]
        self._sealed = None

    def not_written(self) -> None:
        """The open commit certainly did not happen: everything waits again, as one gap."""
        assert self._sealed is not None, "no commit is open"
        gap, self._sealed = self._sealed.gap, None
        if gap is not None:
            self._gap = self._gap.and_before(gap) if self._gap is not None else gap


def _is_act(kind: str, data: Mapping[str, object]) -> bool:
    return kind in ACTS or (kind == "answer" and data.get("severity") == "allowed")
