"""Standby members started by an HTTP service: an orchestrator, a cloud's function, a small script with a web server.

``POST`` (or `method`) to the activate and retire URLs with the member as JSON; any 2xx accepts. ``GET`` of the phase
URL answers ``{"phase": "ready"}``, ``"ready"`` or just ``ready``; the words are those of `StandbyPhase`. Redirects
are not followed.

A connection that could not be made is `Retryable`, a certificate that is not trusted `Permanent`; a 4xx is
`Permanent` (408, 425 and 429 are `Retryable`), a 503 is `Retryable`; other failures after the request was sent are
`Ambiguous`, and `Retryable` when only the phase was asked.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from yarl import URL

from siteshift.adapters.http_exchange import Cause, NoAnswer, Question, exchange
from siteshift.adapters.probes.http_reply import HttpBounds
from siteshift.adapters.standby import template
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.probe import TlsCheck
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

RETRYABLE_STATUS = frozenset({408, 425, 429, 503})
"""The server says itself that it did nothing and that later may be better (RFC 9110, RFC 6585, RFC 8470)."""
BOUNDS = HttpBounds(body_bytes=4_096, framing_bytes=4_096)
"""More than any phase needs; a page of HTML is cut here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpHook:
    """Where to ask. URLs are templates; ``headers`` may carry a token (given resolved)."""

    id: DriverId
    activate_url: str
    retire_url: str
    phase_url: str
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: TlsCheck = TlsCheck()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        for url in (self.activate_url, self.retire_url, self.phase_url):
            template.check(url)


class HttpHookStandby:
    """`ports.StandbyDriver` over HTTP."""

    def __init__(self, hook: HttpHook) -> None:
        self._hook = hook
        self._system = f"standby {hook.id}"
        self._tls = _context(hook.tls) if hook.tls != TlsCheck() else None

    @property
    def id(self) -> DriverId:
        return self._hook.id

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        await self._call(self._hook.activate_url, member, "activate", deadline_ms)

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        await self._call(self._hook.retire_url, member, "retire", deadline_ms)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        body = await self._call(self._hook.phase_url, member, "phase", deadline_ms)
        try:
            return phase_of(body)
        except ValueError:
            detail = f"no phase in {body[:80]!r}"
            raise Permanent(detail, system=self._system, operation="phase", target=member.id) from None

    async def close(self) -> None:
        """Nothing is kept between calls."""

    async def _call(self, url: str, member: Member, operation: str, deadline_ms: int) -> str:
        values = template.fields(member)
        method = self._hook.method if operation != "phase" else "GET"
        body = json.dumps(values).encode() if method != "GET" else b""
        headers = {**({"Content-Type": "application/json"} if body else {}), **self._hook.headers}
        filled = template.fill(url, values, lambda value: quote(value, safe=""))
        try:
            where = URL(filled, encoded=True)
        except ValueError as error:
            raise Permanent(str(error), system=self._system, operation=operation, target=member.id) from None
        question = Question(
            url=where,
            method=method,
            headers=headers,
            body=body,
            tls=self._tls,
            server_name=self._hook.tls.server_name,
        )
        try:
            status, content = await exchange(question, deadline_ms=deadline_ms, bounds=BOUNDS)
        except NoAnswer as error:
            kind: type[AdapterError] = Ambiguous if operation != "phase" and error.was_sent else Retryable
            if error.cause in (Cause.ASKED_WRONGLY, Cause.UNTRUSTED):
                kind = Permanent
            raise kind(str(error), system=self._system, operation=operation, target=member.id) from error
        text = content.decode("utf-8", "replace")
        if status // 100 != 2:
            kind = _kind_of(operation, status)
            raise kind(f"status {status}: {text[:120]}", system=self._system, operation=operation, target=member.id)
        return text


def phase_of(body: str) -> StandbyPhase:
    """The phase in an answer: a JSON object, a JSON string or plain text. Raises `ValueError`."""
    text = body.strip()
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):  # brackets within brackets, a thousand deep, are no phase either
        parsed = text
    if isinstance(parsed, dict):
        parsed = parsed.get("phase")
    return StandbyPhase(str(parsed).lower())


def _context(tls: TlsCheck) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _kind_of(operation: str, status: int) -> type[AdapterError]:
    if status in RETRYABLE_STATUS:
        return Retryable
    if status < 500:
        return Permanent
    return Ambiguous if operation != "phase" else Retryable
