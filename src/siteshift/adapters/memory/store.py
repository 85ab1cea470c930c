"""The in-memory `ports.Store`. ``failure`` set to an error makes every call raise it: a lost store, a full disk."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.adapters.store.sqlite import GENERATION_KEY, stored_generation
from siteshift.errors import AdapterError, Permanent, StaleWrite


class MemoryStore:
    """Remembers as long as the process lives; ``contents`` may be handed to the next one to play a restart."""

    def __init__(self, contents: Mapping[str, bytes] | None = None) -> None:
        self.contents: dict[str, bytes] = dict(contents or {})
        self.failure: AdapterError | None = None
        self._is_open = True

    async def load(self) -> Mapping[str, bytes]:
        self._usable("load")
        return dict(self.contents)

    async def save(self, changes: Mapping[str, bytes | None], *, expect_generation: int | None = None) -> None:
        self._usable("save")
        found = stored_generation(self.contents.get(GENERATION_KEY))
        if expect_generation is not None and found != expect_generation:
            raise StaleWrite(wanted=expect_generation, found=found)
        for key, value in changes.items():
            if value is None:
                self.contents.pop(key, None)
            else:
                self.contents[key] = bytes(value)

    async def close(self) -> None:
        self._is_open = False

    def _usable(self, operation: str) -> None:
        if not self._is_open:
            raise Permanent("is closed", system="memory store", operation=operation)
        if self.failure is not None:
            raise self.failure
