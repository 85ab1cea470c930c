"""One notification as data: the same facts for every way of telling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from siteshift.core.model.codes import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told. ``node`` says who tells it, ``at_ms`` is siteshift time."""

    severity: Severity
    code: str
    text: str
    node: str
    at_ms: int

    @property
    def key(self) -> str:
        """Names one attempt to tell: a gateway on the way that repeats it repeats this as well. We repeat none ourselves."""
        facts = f"{self.node}\n{self.at_ms}\n{self.severity}\n{self.code}\n{self.text}"
        return hashlib.sha256(facts.encode(errors="replace")).hexdigest()[:32]

    def fields(self) -> dict[str, str | int]:
        """The body of a webhook and the input of a command."""
        return {
            "source": "siteshift",
            "node": self.node,
            "severity": self.severity.value,
            "code": self.code,
            "text": self.text,
            "at_ms": self.at_ms,
            "key": self.key,
        }
