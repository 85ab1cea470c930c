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
    """One bit a check, the latest lowest: whether it failed, and for each fault seen whether it failed so."""

    __slots__ = ("_by_fault", "_check", "_checks", "_detail", "_failed", "_fault", "_since_ms")

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._failed = self._checks = 0
        self._by_fault: dict[Fault, int] = {}
        self._fault, self._detail, self._check = Fault.NONE, "", ""

    def failed(self, fault: Fault, detail: str, check: str) -> None:
        """One more failure. Detail and check are the latest one's: a target with several checks takes them in turns."""
        self._fault, self._detail, self._check = fault, detail, check
        self._shift()
        self._failed |= 1
        self._by_fault[fault] = self._by_fault.get(fault, 0) | 1

    def passed(self) -> None:
        self._shift()

    def _shift(self) -> None:
        self._failed = self._failed << 1 & _MASK
        self._by_fault = {fault: bits << 1 & _MASK for fault, bits in self._by_fault.items()}
        self._checks = min(self._checks + 1, WINDOW)

    def evidence(self) -> Evidence:
        return Evidence(
            fault=self._fault,
            detail=one_line(self._detail),
            alike=self._by_fault.get(self._fault, 0).bit_count(),
            failed=self._failed.bit_count(),
            checks=self._checks,
            since_ms=self._since_ms,
            check=self._check,
        )


def one_line(text: str) -> str:
    """The text on one line that a terminal shows as it is: control and direction characters become visible, the rest is cut."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:DETAIL_CHARACTERS])
    return shown if len(text) <= DETAIL_CHARACTERS else f"{shown[:-1]}…"
