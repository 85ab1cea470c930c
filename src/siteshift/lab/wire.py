"""The lab servers' side of HTTP/1.1: one asyncio Protocol over httptools, answering late by timer.

One class serves a member's own address and a site's front; they differ in who picks the member.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from siteshift.lab.member import Answer, Member, Request

READ_BUFFER = 4_096
"""Bytes read at once. Stock asyncio reads 256 KiB, which is most of its cost."""

REASONS = {200: "OK", 404: "Not Found", 403: "Forbidden", 500: "Internal Server Error", 503: "Service Unavailable"}
ROUTES = {b"/healthz": Request.HEALTH, b"/work": Request.WORK, b"/login": Request.LOGIN, b"/fetch": Request.FETCH}
TOKEN = "lab-token"
"""What `/login` hands out and `/fetch` wants as ``?token=`` (a journey: log in, then fetch)."""

PickMember = Callable[[], Member | None]


class ServerConnection(asyncio.Protocol):
    """One accepted connection. Requests on it are answered in order, one at a time."""

    def __init__(self, pick: PickMember, connections: set[ServerConnection]) -> None:
        self._pick = pick
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._url = b""
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BUFFER
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self._connections.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop the connection as a dying process does."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        self._waiting.append((self._url, bool(self._parser.should_keep_alive())))
        if self._timer is None:
            self._serve_next()

    def _serve_next(self) -> None:
        url, keep = self._waiting[0]
        path, _, query = url.partition(b"?")
        request = ROUTES.get(path)
        member = self._pick()
        if member is None:
            self._reply(503, "no member", "", keep)
            return
        if request is None:
            self._reply(404, "no such page", member.spec.name, keep)
            return
        answer = member.admit(request, self._loop.time())
        if request is Request.FETCH and answer.status == 200 and query != b"token=" + TOKEN.encode():
            answer = Answer(403, answer.delay_s)
        text = f"token={TOKEN}" if request is Request.LOGIN else "ok"
        if answer.delay_s < 0.001:
            self._reply(answer.status, text, member.spec.name, keep, site=member.spec.site)
            return
        self._timer = self._loop.call_later(
            answer.delay_s, self._reply, answer.status, text, member.spec.name, keep, member.spec.site
        )

    def _reply(self, status: int, text: str, member: str, keep: bool, site: str = "") -> None:
        self._timer = None
        self._waiting.popleft()
        if self._transport is None:
            return
        body = text if status == 200 else REASONS[status]
        connection = "keep-alive" if keep else "close"
        self._transport.write(
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\nX-Site: {site}\r\n"
            f"X-Member: {member}\r\nConnection: {connection}\r\n\r\n{body}".encode()
        )
        if not keep:
            self._transport.close()
        elif self._waiting:
            self._serve_next()
