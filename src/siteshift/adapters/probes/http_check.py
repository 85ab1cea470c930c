"""What a pass is, for one HTTP exchange: a check compiled once, then asked for a verdict per reply."""

from __future__ import annotations

import re
from functools import lru_cache

from siteshift.adapters.probes.http_reply import HttpBounds, Reply
from siteshift.adapters.probes.slot import PASSED, Verdict, failed
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import HttpCheck


class CompiledCheck:
    """Statuses, header and body matches of an `HttpCheck`. Raises `re.error` for a bad expression."""

    __slots__ = ("_absent", "_headers", "_present", "looks_at_body", "looks_at_headers", "statuses")

    def __init__(self, check: HttpCheck) -> None:
        self.statuses = frozenset(code for low, high in check.statuses for code in range(low, high + 1))
        self._headers = [(name.lower(), re.compile(match)) for name, match in check.header_match]
        self._present = re.compile(check.body_match) if check.body_match else None
        self._absent = re.compile(check.body_not_match) if check.body_not_match else None
        self.looks_at_headers = bool(self._headers)
        self.looks_at_body = bool(self._present or self._absent)

    def of_status(self, status: int) -> Verdict:
        if status in self.statuses:
            return PASSED
        return failed(Fault.BAD_STATUS, f"status {status}")

    def of_headers(self, headers: list[tuple[str, str]]) -> Verdict:
        """``headers`` with names in lower case. Each match must be found in one header of its name."""
        for name, match in self._headers:
            values = [value for key, value in headers if key == name]
            if not any(match.search(value) for value in values):
                found = ", ".join(values) if values else "absent"
                return failed(Fault.BAD_CONTENT, f"header {name}: {found[:80]}, wanted {match.pattern}")
        return PASSED

    def of_body(self, body: str) -> Verdict:
        if self._present and not self._present.search(body):
            return failed(Fault.BAD_CONTENT, f"body lacks {self._present.pattern}")
        if self._absent and self._absent.search(body):
            return failed(Fault.BAD_CONTENT, f"body has {self._absent.pattern}")
        return PASSED

    def of_reply(self, reply: Reply, bounds: HttpBounds) -> Verdict:
        """Status first, then headers, then body: the first that does not hold. Raises `NotHttp` for an unreadable body."""
        verdict = self.of_status(reply.status)
        if verdict is PASSED and self.looks_at_headers:
            verdict = self.of_headers(reply.headers())
        if verdict is PASSED and self.looks_at_body:
            verdict = self.of_body(reply.text(bounds))
        return verdict


@lru_cache(maxsize=1024)
def compiled(check: HttpCheck) -> CompiledCheck:
    """The compiled form, shared by all members of a pool. Raises `re.error`."""
    return CompiledCheck(check)
