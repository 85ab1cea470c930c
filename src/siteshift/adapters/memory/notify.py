"""The in-memory `ports.Notifier`. ``failure`` set to an error makes every call raise it."""

from __future__ import annotations

from siteshift.adapters.notify.message import Message
from siteshift.core.model.notice import Notice
from siteshift.errors import AdapterError


class MemoryNotifier:
    """Keeps what was told in ``sent``, and how often it was asked in ``asked``."""

    def __init__(self, *, node: str = "node") -> None:
        self.sent: list[Message] = []
        self.asked = 0
        self.failure: AdapterError | None = None
        self._node = node

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        del deadline_ms
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        self.sent.append(Message(notice=notice, node=self._node, at_ms=at_ms))

    async def close(self) -> None:
        """Nothing is held."""
