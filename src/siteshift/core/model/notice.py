"""What people are told: one notice, how urgent it is, where, since when, and whether it still holds.

A *condition* lasts: it is told as firing when it begins and as resolved when it ends, both under one `Notice.key`, so that a
pager opens and closes one incident. An *event* has no end of its own (`EVENTS`). The words are those of Alertmanager and
Prometheus (severity critical, warning, info; firing, resolved).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from siteshift.core.model.codes import DiagnosisCode, FindingCode, NoticeCode, Severity
from siteshift.core.model.remedy import NOTICE_REMEDIES, REMEDIES
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId


class AlertSeverity(StrEnum):
    """Who has to look: somebody now (``critical``), somebody today (``warning``), nobody (``info``)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The higher the graver."""
        return tuple(AlertSeverity).index(self)


class AlertState(StrEnum):
    """Whether it holds."""

    FIRING = "firing"
    RESOLVED = "resolved"


EVENTS = frozenset(
    code.value
    for code in (
        NoticeCode.CLOCK,
        NoticeCode.GOAL_ENDED,
        NoticeCode.OVERRIDE_EXPIRED,
        NoticeCode.OVERRIDE_LIFTED,
        NoticeCode.PLANE_LEFT,
        NoticeCode.SHARE_LEFT,
        NoticeCode.STANDBY_LEFT,
        NoticeCode.STARTED_FROM_NOTHING,
    )
)
"""What happened and is over: nothing is told of its end. All other codes are of conditions."""

OF_THE_NODE = frozenset(
    code.value
    for code in (
        NoticeCode.BLIND,
        NoticeCode.CLOCK,
        NoticeCode.RECORD_GAP,
        NoticeCode.RELOAD_REFUSED,
        NoticeCode.STARTED_FROM_NOTHING,
        FindingCode.STORE_LOST,
    )
)
"""What one node is in, whatever the others are: its name is part of the key."""

_CRITICAL = frozenset(
    code.value
    for code in (
        DiagnosisCode.SITE_DOWN,
        DiagnosisCode.SERVICE_DOWN,
        DiagnosisCode.GLOBAL_FAULT,
        DiagnosisCode.OVERLOAD,
        NoticeCode.BLIND,
        NoticeCode.PLANE_REFUSED,
        NoticeCode.PLANE_FAILED,
        NoticeCode.PLANE_FORGETS,
        NoticeCode.RECORD_GAP,
        NoticeCode.STANDBY_FAILED,
        FindingCode.HELD_AS_ADOPTED,
        FindingCode.LAST_SERVING_SITE,
        FindingCode.PLANE_FOREIGN,
        FindingCode.SHED_NEEDED,
        FindingCode.STORE_LOST,
    )
)
"""What wakes somebody: users lose answers, or the next failure would find siteshift unable to act. The same are pages in
``config/prometheus-alerts.yaml``."""

_INFO = frozenset(
    code.value
    for code in (
        FindingCode.HOLD_DOWN,
        FindingCode.MODE_OBSERVE,
        FindingCode.NOTHING_TO_DO,
        FindingCode.STANDBY_NOT_READY,
        NoticeCode.OVERRIDE_EXPIRED,
    )
)
"""What passes by itself, or is as somebody wanted it."""

_BY_VERDICT: Mapping[Severity, AlertSeverity] = MappingProxyType(
    {
        Severity.ALLOWED: AlertSeverity.INFO,
        Severity.NEEDS_APPROVAL: AlertSeverity.WARNING,
        Severity.REFUSED: AlertSeverity.WARNING,
    }
)


def severity_of(code: str, verdict: Severity = Severity.NEEDS_APPROVAL) -> AlertSeverity:
    """How urgent a code is; ``verdict`` of a gate or of who tells it decides where the code alone does not."""
    if code in _CRITICAL:
        return AlertSeverity.CRITICAL
    return AlertSeverity.INFO if code in _INFO else _BY_VERDICT[verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing people are told. ``service``, ``site``, ``member`` and ``plane`` say where; ``about`` which of several there (an
    override, a goal, a record). ``since_ms``: since when it holds, in siteshift time; 0: since it is told."""

    severity: AlertSeverity
    code: str
    text: str
    state: AlertState = AlertState.FIRING
    service: ServiceId | None = None
    site: SiteId | None = None
    member: MemberId | None = None
    plane: EnactorId | None = None
    about: str = ""
    since_ms: int = 0

    @property
    def place(self) -> dict[str, str]:
        """Where, without what does not apply."""
        named = {"service": self.service, "site": self.site, "member": self.member, "plane": self.plane}
        return {name: value for name, value in named.items() if value}

    @property
    def key(self) -> str:
        """What it is, by code and place: firing and resolved share it, and nothing else has it."""
        return key_of(self.code, **self.place, about=self.about)

    @property
    def is_event(self) -> bool:
        """Whether its end is never told."""
        return self.code in EVENTS

    @property
    def remedy(self) -> str:
        """What to do, in commands where there are any; empty when it is resolved."""
        if self.state is AlertState.RESOLVED:
            return ""
        return remedy_of(self.code).replace("SITE", self.site or "SITE").replace("PLANE", self.plane or "PLANE")

    def document(self) -> dict[str, str | int]:
        """What it says, as a JSON-compatible document; places that do not apply are left out."""
        return {
            "severity": self.severity.value,
            "state": self.state.value,
            "kind": "event" if self.is_event else "condition",
            "code": str(self.code),
            "text": self.text,
            "todo": self.remedy,
            **self.place,
            "key": self.key,
            "since_ms": self.since_ms,
        }

    def resolved(self) -> Notice:
        """The same, over. Nobody has to look any more."""
        text = f"no longer: {self.text}"
        return replace(self, state=AlertState.RESOLVED, text=text)


def key_of(code: str, *, service: str = "", site: str = "", member: str = "", plane: str = "", about: str = "") -> str:
    """The key of a notice with this code and place."""
    parts = {"service": service, "site": site, "member": member, "plane": plane, "about": about}
    return " ".join((code, *(f"{name}={value}" for name, value in parts.items() if value)))


def remedy_of(code: str) -> str:
    """What the vocabularies say to do; empty for a code that is in none of them."""
    found = NOTICE_REMEDIES.get(code)
    if found is not None:
        return found
    return next((remedy for finding, remedy in REMEDIES.items() if finding.value == code), "")
