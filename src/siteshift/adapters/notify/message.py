"""One notification as data: the same facts for every way of telling.

The shape is that of Alertmanager's webhook, version 4 (prometheus.io/docs/alerting/latest/configuration, `webhook_config`), with
one alert, so that whatever takes Alertmanager's webhook takes ours; our own facts stand beside it under their own names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from siteshift.core.model.notice import OF_THE_NODE, AlertSeverity, AlertState, Notice

NEVER = "0001-01-01T00:00:00Z"
"""What Alertmanager sends for an end that is not known yet: the zero time of Go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told. ``node`` says who tells it, ``at_ms`` is siteshift time of the telling."""

    notice: Notice
    node: str
    cluster: str = "siteshift"
    at_ms: int

    @property
    def key(self) -> str:
        """Names what it is about: firing and resolved share it, nothing else in the cluster has it."""
        own = f"@{self.node}" if self.notice.code in OF_THE_NODE else ""
        return f"{self.cluster}{own} {self.notice.key}"

    @property
    def delivery(self) -> str:
        """Names this telling: every attempt at it says the same, and another telling of the same says another."""
        facts = f"{self.node}\n{self.at_ms}\n{self.notice.state}\n{self.key}\n{self.notice.text}"
        return hashlib.sha256(facts.encode(errors="replace")).hexdigest()[:32]

    @property
    def status(self) -> AlertState:
        """Firing or resolved. An event that nobody has to look at is resolved at once: it leaves nothing open at a pager."""
        is_over = self.notice.is_event and self.notice.severity is AlertSeverity.INFO
        return AlertState.RESOLVED if is_over else self.notice.state

    def fields(self) -> dict[str, Any]:
        """The body of a webhook and the input of a command."""
        notice, status = self.notice, self.status.value
        labels = {
            "alertname": str(notice.code),
            "severity": notice.severity.value,
            "cluster": self.cluster,
            "node": self.node,
            **notice.place,
        }
        annotations = {"summary": notice.text, "description": notice.remedy}
        alert = {
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": _rfc3339(notice.since_ms or self.at_ms),
            "endsAt": _rfc3339(self.at_ms) if self.status is AlertState.RESOLVED else NEVER,
            "generatorURL": "",
            "fingerprint": hashlib.sha256(self.key.encode(errors="replace")).hexdigest()[:16],
        }
        return {
            "version": "4",
            "groupKey": self.key,
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "siteshift",
            "groupLabels": {"alertname": str(notice.code)},
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": "",
            "alerts": [alert],
            "source": "siteshift",
            **notice.document(),
            "state": status,
            "key": self.key,
            "since_ms": notice.since_ms or self.at_ms,
            "cluster": self.cluster,
            "node": self.node,
            "at_ms": self.at_ms,
            "delivery": self.delivery,
        }


def _rfc3339(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
