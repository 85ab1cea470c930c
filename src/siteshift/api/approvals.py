"""Approvals of plans that are about to be asked for: by digest, by authenticated persons, for a short while.

Whom a request names does not count: an approver signs in himself. Fifteen minutes is the time between looking at a plan
and pressing enter; the plan's own digest guards against what changed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KEEP_MS = 15 * 60_000
LIMIT = 1_000


@dataclass(slots=True)
class Approvals:
    """Who approved which digest, until when."""

    _given: dict[str, dict[str, int]] = field(default_factory=dict)

    def give(self, digest: str, person: str, now_ms: int) -> None:
        """Note one person's approval."""
        self._forget(now_ms)
        if len(self._given) >= LIMIT:
            self._given.pop(next(iter(self._given)))
        self._given.setdefault(digest, {})[person] = now_ms + KEEP_MS

    def of(self, digest: str | None, now_ms: int) -> tuple[str, ...]:
        """The persons whose approval of this digest still holds."""
        if digest is None:
            return ()
        self._forget(now_ms)
        return tuple(self._given.get(digest, {}))

    def _forget(self, now_ms: int) -> None:
        for digest in list(self._given):
            kept = {person: until for person, until in self._given[digest].items() if until > now_ms}
            if kept:
                self._given[digest] = kept
            else:
                del self._given[digest]
