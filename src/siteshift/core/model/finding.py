"""What the gate and the plan have to say: findings with a stable code, the numbers, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.model.remedy import REMEDIES

_COUNTED = {2: "two", 3: "three"}
RANK = {Severity.ALLOWED: 0, Severity.NEEDS_APPROVAL: 1, Severity.REFUSED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. ``numbers`` carries the figures the text speaks of, so that a script need not parse it.

    An ``ALLOWED`` finding is worth saying and stops nothing. When a person can lift the finding, ``numbers`` has
    ``approvals_needed``: how many persons other than who asked. With 0 it is enough that who asked confirms it.
    """

    code: FindingCode
    severity: Severity
    text: str
    remedy: str
    numbers: Mapping[str, int | str]

    @property
    def subject(self) -> tuple[str, str]:
        """What makes it another finding than one before, so that people are told again: its code; of room that is held back also
        where it is."""
        is_about_sites = self.code is FindingCode.ROOM_HELD_BACK
        return self.code.value, str(self.numbers.get("sites", "")) if is_about_sites else ""

    @property
    def approvals_needed(self) -> int | None:
        """How many persons other than who asked lift it; None: nobody has to, or nobody can."""
        needed = self.numbers.get("approvals_needed")
        return None if needed is None else int(needed)


def finding(code: FindingCode, severity: Severity, text: str, **numbers: int | str) -> Finding:
    """A finding with the remedy its code stands for, and whom it takes where a person can lift it."""
    remedy = REMEDIES[code]
    if (needed := int(numbers.get("approvals_needed", 0))) > 0:
        others = "another person" if needed == 1 else f"{_COUNTED.get(needed, needed)} other persons"
        remedy = f"{remedy} {others.capitalize()} must approve it, by its digest; who asked does not count."
    return Finding(code=code, severity=severity, text=text, remedy=remedy, numbers=numbers)


def verdict(findings: Iterable[Finding]) -> Severity:
    """The worst severity found; nothing found is ``ALLOWED``."""
    return max((entry.severity for entry in findings), key=RANK.__getitem__, default=Severity.ALLOWED)
