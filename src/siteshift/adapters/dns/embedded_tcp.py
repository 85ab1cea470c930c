"""Serving DNS over TCP (RFC 7766): length-prefixed messages, several per connection, bounded in every direction."""

from __future__ import annotations

import asyncio

from siteshift.adapters.dns.embedded_zone import Desk

CONNECTIONS_MAX = 512
IDLE_S = 10.0
"""RFC 7766 §6.2.3 leaves it to the server; a few seconds serve any resolver."""


class TcpServer:
    """The connections of one listening address."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=256)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None


class _Connection(asyncio.Protocol):
    """One client. Replies come in the order of the queries; reading stops while the client does not read."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._idle: asyncio.TimerHandle | None = None
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio promises a base class
        if len(self._server.connections) >= CONNECTIONS_MAX:
            transport.close()
            return
        self._server.connections.add(self)
        self._rearm()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.connections.discard(self)
        if self._idle is not None:
            self._idle.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._answer()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._answer()
        if self._writable and self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self) -> None:
        """Answer the complete messages at hand; what is left is at most one incomplete one unless writing pauses."""
        transport, buffer = self._transport, self._buffer
        if transport is None or transport.is_closing():
            return
        at = 0
        while self._writable and len(buffer) - at >= 2:
            end = at + 2 + int.from_bytes(buffer[at : at + 2], "big")
            if len(buffer) < end:
                break
            self._rearm()
            reply = self._server.desk.zone.respond_stream(bytes(buffer[at + 2 : end]))
            at = end
            if reply is None:
                transport.close()
                return
            transport.write(len(reply).to_bytes(2, "big") + reply)
        del buffer[:at]

    def _rearm(self) -> None:
        """Only a complete query keeps a connection: dripping bytes does not."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.abort)
