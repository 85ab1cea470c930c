"""The in-memory `ports.Ledger` over the memory store and journal.

``failure`` set to an error makes calls raise it: a full disk. ``lost_answer`` set to one makes commits happen and raise
it all the same: the caller cannot know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siteshift.adapters.memory.journal import MemoryJournal
from siteshift.adapters.memory.store import MemoryStore
from siteshift.errors import AdapterError, Permanent
from siteshift.ports import JournalRow


class MemoryLedger:
    """Both twins as one; they stay readable beside it."""

    def __init__(self, store: MemoryStore | None = None, journal: MemoryJournal | None = None) -> None:
        self.store = store or MemoryStore()
        self.journal = journal or MemoryJournal()
        self.failure: AdapterError | None = None
        self.lost_answer: AdapterError | None = None
        self._is_open = True

    async def reached(self) -> int:
        self._usable("reached")
        return len(self.journal.written)

    async def commit(self, changes: Mapping[str, bytes | None], rows: Sequence[JournalRow]) -> int:
        self._usable("commit")
        before = dict(self.store.contents)
        await self.store.save(changes)
        try:
            await self.journal.append(rows)
        except AdapterError:
            self.store.contents = before
            raise
        if self.lost_answer is not None:
            raise self.lost_answer
        return len(self.journal.written)

    async def close(self) -> None:
        self._is_open = False

    def _usable(self, operation: str) -> None:
        if not self._is_open:
            raise Permanent("is closed", system="memory ledger", operation=operation)
        if self.failure is not None:
            raise self.failure
