"""Notifications as log lines: what is always there, whatever else is configured."""

from __future__ import annotations

from typing import assert_never

import structlog

from siteshift.adapters.notify.message import Message
from siteshift.core.model.notice import AlertSeverity, AlertState, Notice


class LogNotifier:
    """Writes one line at the level that fits; what is over is information. Cannot fail."""

    def __init__(self, *, node: str, cluster: str = "siteshift") -> None:
        self._node = node
        self._cluster = cluster
        self._log = structlog.get_logger("siteshift.notify").bind(node=node)

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        """Write the line; takes no time that a deadline could bound."""
        del deadline_ms
        message = Message(notice=notice, node=self._node, cluster=self._cluster, at_ms=at_ms)
        facts = {**notice.document(), "state": message.status.value, "key": message.key}
        if message.status is AlertState.RESOLVED:
            self._log.info("notification", **facts)
            return
        match notice.severity:
            case AlertSeverity.INFO:
                self._log.info("notification", **facts)
            case AlertSeverity.WARNING:
                self._log.warning("notification", **facts)
            case AlertSeverity.CRITICAL:
                self._log.error("notification", **facts)
            case _:
                assert_never(notice.severity)

    async def close(self) -> None:
        """Nothing is held."""
