"""Tells people, through every notifier; one that fails costs the others nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from siteshift.core.messages.commands import Tell
from siteshift.core.model.codes import Severity
from siteshift.runtime.equipment import Addressee, Equipment
from siteshift.runtime.metrics import Done

NOTIFY_DEADLINE_MS = 5_000
_GRAVITY = (Severity.ALLOWED, Severity.NEEDS_APPROVAL, Severity.REFUSED)


@dataclass(slots=True, kw_only=True)
class Notices:
    """What waits to be told, bounded: beyond the limit the oldest of the least severe gives way, for the newest says most."""

    equipment: Equipment
    on_error: Callable[[str, BaseException], None]
    on_told: Callable[[str, Done], None]
    """The notifier's id, and whether it delivered."""
    dropped: int = 0
    _tells: deque[Tell] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, tell: Tell) -> None:
        self._tells.append(tell)
        while len(self._tells) > self.equipment.limits.notify_queue:
            self._tells.remove(min(self._tells, key=lambda waiting: _GRAVITY.index(waiting.severity)))
            self.dropped += 1
        self._news.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._tells:
                tell = self._tells.popleft()
                for addressee in self.equipment.notifiers:
                    if _GRAVITY.index(tell.severity) >= _GRAVITY.index(addressee.least):
                        await self._notify(addressee, tell)

    async def _notify(self, addressee: Addressee, tell: Tell) -> None:
        try:
            await addressee.notifier.notify(
                severity=tell.severity, code=tell.code, text=tell.text, deadline_ms=NOTIFY_DEADLINE_MS
            )
        except Exception as error:
            self.on_told(addressee.id, Done.FAILED)
            self.on_error("notifier", error)
        else:
            self.on_told(addressee.id, Done.OK)
