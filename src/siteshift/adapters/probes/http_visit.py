"""HTTP exchanges of a visit: connections to one address, the replies read by the same reader as everybody's.

Streams of the event loop carry them, for the rare checks of several steps (ADR 1).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import NamedTuple

from siteshift.adapters.probes.address import SocketAddress, parse_address
from siteshift.adapters.probes.certificate import TlsClient
from siteshift.adapters.probes.http_reply import HttpBounds, Reply, ReplyReader
from siteshift.adapters.probes.proxy_header import proxy_header
from siteshift.core.model.probe import ProbeSpec, ProxyProtocol

READ_BYTES = 16 * 1024
"""Read and parsed before the loop gets its turn."""


class NoAnswer(Exception):
    """The connection was closed before the first byte of an answer."""


class Door(NamedTuple):
    """One way into the target. ``server_name``: what the certificate must cover; empty: no TLS."""

    port: int
    server_name: str


class Connection:
    """One open connection; ``certificate`` is the peer's, where there is TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        spoken = writer.get_extra_info("ssl_object")
        self.certificate: bytes | None = spoken.getpeercert(binary_form=True) if spoken is not None else None

    async def exchange(self, request: bytes, method: str, bounds: HttpBounds) -> Reply:
        """Raises OSError, `NotHttp`, or `NoAnswer` when nothing came back at all."""
        self._writer.write(request)
        reply_reader = ReplyReader(method, bounds=bounds)
        heard = False
        try:
            while data := await self._reader.read(READ_BYTES):
                heard = True
                reply = reply_reader.feed(data)
                if reply is not None:
                    return reply
                await asyncio.sleep(0)  # a read of what is there already does not wait
        except ConnectionError as problem:
            if heard:
                raise
            raise NoAnswer(str(problem)) from problem
        if not heard:
            raise NoAnswer("closed without an answer")
        return reply_reader.end()

    def close(self) -> None:
        self._writer.transport.abort()


class Connections:
    """Opens connections to one target, and keeps one a door where its probe keeps connections.

    ``certificates`` are those met since it was emptied.
    """

    def __init__(self, spec: ProbeSpec, client: TlsClient, bounds: HttpBounds) -> None:
        """Raises ValueError for an address that is none."""
        self._address = parse_address(spec.address, spec.port)
        self._proxy_protocol = spec.proxy_protocol
        self._client = client
        self._bounds = bounds
        self._keep_alive = spec.keep_alive
        self._kept: dict[Door, Connection] = {}
        self.certificates: set[bytes] = set()

    async def exchange(self, door: Door, request: bytes, method: str) -> Reply:
        """Send a request and read its reply. A kept connection that the server gave up meanwhile is no failure.

        Raises OSError (ssl.SSLError too), `NotHttp`, `NoAnswer`.
        """
        if kept := self._kept.pop(door, None):
            try:
                return await self._on(kept, door, request, method)
            except NoAnswer:
                pass
        return await self._on(await self._open(door), door, request, method)

    async def _on(self, connection: Connection, door: Door, request: bytes, method: str) -> Reply:
        if connection.certificate:
            self.certificates.add(connection.certificate)
        stays = False
        try:
            reply = await connection.exchange(request, method, self._bounds)
            stays = self._keep_alive and reply.reusable
        finally:
            if stays:
                self._kept[door] = connection
            else:
                connection.close()
        return reply

    async def _open(self, door: Door) -> Connection:
        context = self._client.context() if door.server_name else None
        reader, writer = await open_stream(self._address, door.port, self._proxy_protocol, context, door.server_name)
        return Connection(reader, writer)

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].close()


async def open_stream(
    address: SocketAddress, port: int, version: ProxyProtocol | None, context: ssl.SSLContext | None = None, name: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, say the PROXY header, shake hands where there is a context. Raises OSError (ssl.SSLError too)."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        await loop.sock_connect(sock, address.at_port(port))
        if version is not None:
            await loop.sock_sendall(sock, proxy_header(version, sock))
        return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name if context else None)
    except BaseException:
        sock.close()
        raise
