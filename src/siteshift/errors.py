"""Errors. A refusal is a value with a code (`Finding`); an exception is somebody's fault and says whose."""

from __future__ import annotations


class SiteshiftError(Exception):
    """Base of everything siteshift raises."""


class AdapterError(SiteshiftError):
    """An outside system did not do what was asked.

    ``system`` names it ("haproxy pangyo-lb1"), ``operation`` what was tried, ``target`` on what.
    """

    def __init__(self, detail: str, *, system: str, operation: str, target: str = "") -> None:
        self.detail = detail
        self.system = system
        self.operation = operation
        self.target = target
        where = f" {target}" if target else ""
        super().__init__(f"{system}: {operation}{where}: {detail}")


class Retryable(AdapterError):
    """Certainly did not happen; may be tried again."""


class Permanent(AdapterError):
    """Certainly did not happen; trying again will not help."""


class Ambiguous(AdapterError):
    """May have happened. Read before retrying (law 10)."""


class StaleWrite(SiteshiftError):
    """A write carried an older generation than what is there."""

    def __init__(self, *, wanted: int, found: int) -> None:
        self.wanted = wanted
        self.found = found
        super().__init__(f"the write expected generation {wanted}, found {found}")


class NotLeader(SiteshiftError):
    """This node does not hold the current term."""


class JournalBroken(SiteshiftError):
    """The hash chain does not hold from ``sequence`` on."""

    def __init__(self, sequence: int, detail: str) -> None:
        self.sequence = sequence
        super().__init__(f"journal entry {sequence}: {detail}")
