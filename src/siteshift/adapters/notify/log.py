"""Notifications as log lines: what is always there, whatever else is configured."""

from __future__ import annotations

import structlog

from siteshift.core.model.codes import Severity


class LogNotifier:
    """Writes one line at the level that fits. Cannot fail."""

    def __init__(self, *, node: str) -> None:
        self._log = structlog.get_logger("siteshift.notify").bind(node=node)

    async def notify(self, *, severity: Severity, code: str, text: str, deadline_ms: int) -> None:
        """Write the line; takes no time that a deadline could bound."""
        del deadline_ms
        match severity:
            case Severity.ALLOWED:
                self._log.info("notification", code=code, severity=severity.value, text=text)
            case Severity.NEEDS_APPROVAL:
                self._log.warning("notification", code=code, severity=severity.value, text=text)
            case Severity.REFUSED:
                self._log.error("notification", code=code, severity=severity.value, text=text)

    async def close(self) -> None:
        """Nothing is held."""
