"""A notifier that passes on only what is grave enough for whom it tells."""

from __future__ import annotations

from typing import Protocol

from siteshift.core.model.codes import Severity
from siteshift.ports import Notifier

_ORDER = (Severity.ALLOWED, Severity.NEEDS_APPROVAL, Severity.REFUSED)


class ClosableNotifier(Notifier, Protocol):
    """Our notifiers keep connections."""

    async def close(self) -> None: ...


class LeastSeverity:
    """Wraps a notifier; what is below ``least`` is not told."""

    def __init__(self, least: Severity, notifier: ClosableNotifier) -> None:
        self._least = _ORDER.index(least)
        self._notifier = notifier

    async def notify(self, *, severity: Severity, code: str, text: str, deadline_ms: int) -> None:
        if _ORDER.index(severity) >= self._least:
            await self._notifier.notify(severity=severity, code=code, text=text, deadline_ms=deadline_ms)

    async def close(self) -> None:
        await self._notifier.close()
