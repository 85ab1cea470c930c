"""The in-memory `ports.Notifier`. ``failure`` set to an error makes every call raise it."""

from __future__ import annotations

from siteshift.adapters.notify.message import Message
from siteshift.core.model.codes import Severity
from siteshift.errors import AdapterError
from siteshift.ports import Clock


class MemoryNotifier:
    """Keeps what was told in ``sent``."""

    def __init__(self, *, clock: Clock, node: str = "node") -> None:
        self.sent: list[Message] = []
        self.failure: AdapterError | None = None
        self._clock = clock
        self._node = node

    async def notify(self, *, severity: Severity, code: str, text: str, deadline_ms: int) -> None:
        del deadline_ms
        if self.failure is not None:
            raise self.failure
        at_ms = self._clock.now_ms()
        self.sent.append(Message(severity=severity, code=code, text=text, node=self._node, at_ms=at_ms))

    async def close(self) -> None:
        """Nothing is held."""
