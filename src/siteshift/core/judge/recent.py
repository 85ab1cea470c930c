"""The last checks of one target that is not well, as a person wants to hear of them: how many of how many, and what they said.

Nothing decides by it. It exists only while something is wrong, so that a target in health pays nothing for it.
"""

from __future__ import annotations

from siteshift.core.model.codes import Fault
from siteshift.core.model.evidence import Evidence

WINDOW = 60
"""So many checks: a minute at the usual interval, twelve seconds at the fast one."""
_MASK = (1 << WINDOW) - 1
DETAIL_CHARACTERS = 120
"""As much of the wire's own words as a line of a terminal holds."""


class Recent:
    """One bit a check, the latest lowest: whether it failed, and whether it failed as the latest failure did."""

    __slots__ = ("_alike", "_check", "_checks", "_detail", "_failed", "_fault", "_since_ms")

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._failed = self._alike = self._checks = 0
        self._fault, self._detail, self._check = Fault.NONE, "", ""

    def failed(self, fault: Fault, detail: str, check: str) -> None:
        """One more failure; what differs from the last one starts a new count of its kind."""
        if fault is not self._fault or detail != self._detail or check != self._check:
            self._fault, self._detail, self._check = fault, detail, check
            self._alike = 0
        self._failed = (self._failed << 1 | 1) & _MASK
        self._alike = (self._alike << 1 | 1) & _MASK
        self._checks = min(self._checks + 1, WINDOW)

    def passed(self) -> None:
        self._failed = self._failed << 1 & _MASK
        self._alike = self._alike << 1 & _MASK
        self._checks = min(self._checks + 1, WINDOW)

    def evidence(self) -> Evidence:
        return Evidence(
            fault=self._fault,
            detail=one_line(self._detail),
            alike=self._alike.bit_count(),
            failed=self._failed.bit_count(),
            checks=self._checks,
            since_ms=self._since_ms,
            check=self._check,
        )


def one_line(text: str) -> str:
    """The text on one line that a terminal shows as it is: control and direction characters become visible, the rest is cut."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:DETAIL_CHARACTERS])
    return shown if len(text) <= DETAIL_CHARACTERS else f"{shown[:-1]}…"
