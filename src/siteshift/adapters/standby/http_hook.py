"""Standby members started by an HTTP service: an orchestrator, a cloud's function, a small script with a web server.

``POST`` (or `method`) to the activate and retire URLs with the member as JSON; any 2xx accepts. ``GET`` of the phase
URL answers ``{"phase": "ready"}``, ``"ready"`` or just ``ready``; the words are those of `StandbyPhase`. Redirects
are not followed.

A connection that could not be made is `Retryable`, a certificate that is not trusted `Permanent`; a 4xx is
`Permanent` (408, 425 and 429 are `Retryable`), a 503 is `Retryable`; other failures after the request was sent are
`Ambiguous`, and `Retryable` when only the phase was asked.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from siteshift.adapters.standby import template
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.probe import TlsCheck
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

RETRYABLE_STATUS = frozenset({408, 425, 429, 503})
"""The server says itself that it did nothing and that later may be better (RFC 9110, RFC 6585, RFC 8470)."""
BODY_BYTES = 4_096
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
        self._session: aiohttp.ClientSession | None = None

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
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, url: str, member: Member, operation: str, deadline_ms: int) -> str:
        values = template.fields(member)
        method = self._hook.method if operation != "phase" else "GET"
        sent = SimpleNamespace(headers=False)
        try:
            async with (
                asyncio.timeout(deadline_ms / 1000),
                self._open().request(
                    method,
                    URL(template.fill(url, values, lambda value: quote(value, safe="")), encoded=True),
                    json=values if method != "GET" else None,
                    headers=self._hook.headers,
                    allow_redirects=False,
                    trace_request_ctx=sent,
                    server_hostname=self._hook.tls.server_name or None,
                ) as response,
            ):
                body = (await response.content.read(BODY_BYTES)).decode("utf-8", "replace")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            words = f"no answer within {deadline_ms} ms" if isinstance(error, TimeoutError) else repr(error)
            kind: type[AdapterError] = Ambiguous if operation != "phase" and sent.headers else Retryable
            if isinstance(error, aiohttp.InvalidURL | aiohttp.ClientConnectorCertificateError):
                kind = Permanent
            raise kind(words, system=self._system, operation=operation, target=member.id) from error
        if response.status // 100 != 2:
            kind = _kind_of(operation, response.status)
            detail = f"status {response.status}: {body[:120]}"
            raise kind(detail, system=self._system, operation=operation, target=member.id)
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=_context(self._hook.tls)),
                trace_configs=[trace],
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def phase_of(body: str) -> StandbyPhase:
    """The phase in an answer: a JSON object, a JSON string or plain text. Raises `ValueError`."""
    text = body.strip()
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text
    if isinstance(parsed, dict):
        parsed = parsed.get("phase")
    return StandbyPhase(str(parsed).lower())


async def _mark_sent(_: object, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.headers = True


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
