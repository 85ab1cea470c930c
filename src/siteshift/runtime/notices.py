"""Tells people, through every notifier: side by side, in order for one. One that fails or hangs costs the others nothing."""

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
    """What waits to be told, by notifier and bounded: beyond the limit the oldest of the least severe gives way, for the newest
    says most. What gives way counts as failed. What waits for a notifier that a reload takes away is not told."""

    equipment: Equipment
    on_error: Callable[[str, BaseException], None]
    on_told: Callable[[str, Done], None]
    """The notifier's id, and whether it delivered."""
    _waiting: dict[str, deque[Tell]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, tell: Tell) -> None:
        """Let every notifier that wants such grave notices have it. Never blocks."""
        for addressee in self.equipment.notifiers:
            if _GRAVITY.index(tell.severity) >= _GRAVITY.index(addressee.least):
                self._put(addressee.id, tell)
        self._news.set()

    def _put(self, name: str, tell: Tell) -> None:
        tells = self._waiting.setdefault(name, deque())
        tells.append(tell)
        while len(tells) > self.equipment.limits.notify_queue:
            tells.remove(min(tells, key=lambda waiting: _GRAVITY.index(waiting.severity)))
            self.on_told(name, Done.FAILED)

    async def run(self) -> None:
        """Tell until cancelled."""
        busy: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                addressees = {addressee.id: addressee for addressee in self.equipment.notifiers}
                self._waiting = {name: tells for name, tells in self._waiting.items() if name in addressees and tells}
                for name in self._waiting:
                    if name not in busy or busy[name].done():
                        busy[name] = group.create_task(self._tell_next(addressees[name]), name=f"notifier {name}")
                await self._news.wait()
                self._news.clear()

    async def _tell_next(self, addressee: Addressee) -> None:
        await self._notify(addressee, self._waiting[addressee.id].popleft())
        self._news.set()

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
