"""The in-memory `ports.Journal`, chained like the real one. ``failure`` set to an error makes appends raise it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from siteshift.adapters.store.chain import Head, WrittenEntry, canonical, follow, link, meet
from siteshift.errors import AdapterError, Permanent
from siteshift.ports import JournalEntry


class MemoryJournal:
    """Keeps entries as they would be stored; ``written`` may be tampered with by tests, ``verify`` notices."""

    def __init__(self) -> None:
        self.written: list[WrittenEntry] = []
        self.failure: AdapterError | None = None
        self._head = Head()
        self._is_open = True

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """Everything appended, in order."""
        return tuple(entry.read() for entry in self.written)

    async def append(self, entries: Sequence[tuple[int, str, Mapping[str, object]]]) -> Sequence[JournalEntry]:
        self._usable("append")
        if self.failure is not None:
            raise self.failure
        texts = [(at_ms, kind, canonical(data)) for at_ms, kind, data in entries]
        added: list[WrittenEntry] = []
        for at_ms, kind, data in texts:
            entry = link(self._head, at_ms=at_ms, kind=kind, data=data)
            self._head = entry.head
            added.append(entry)
        self.written += added
        return [entry.read() for entry in added]

    async def read(self, *, since_ms: int = 0, until_ms: int | None = None) -> AsyncIterator[JournalEntry]:
        """Entries in order with ``since_ms <= at_ms <= until_ms``."""
        self._usable("read")
        for entry in tuple(self.written):
            if since_ms <= entry.at_ms and (until_ms is None or entry.at_ms <= until_ms):
                yield entry.read()

    async def newest(self, kind: str, *, until_ms: int) -> AsyncIterator[JournalEntry]:
        self._usable("newest")
        found = (entry for entry in self.written if entry.kind == kind and entry.at_ms <= until_ms)
        for entry in sorted(found, key=lambda entry: (entry.at_ms, entry.sequence), reverse=True):
            yield entry.read()

    async def verify(self) -> int:
        self._usable("verify")
        reached = Head()
        for entry in self.written:
            reached = follow(reached, entry)
        meet(reached, self._head)
        return len(self.written)

    async def close(self) -> None:
        self._is_open = False

    def _usable(self, operation: str) -> None:
        if not self._is_open:
            raise Permanent("is closed", system="memory journal", operation=operation)
