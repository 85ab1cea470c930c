"""Targets that behave and misbehave: small servers on loopback, closed at the end of the block."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from aiohttp import web

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_peer(
    answer: Answer, *, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A TCP server; its port."""
    open_writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)

    server = await asyncio.start_server(serve, address, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()


async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept, read, say nothing: a hung process."""
    while await reader.read(4096):
        pass


def says(data: bytes) -> Answer:
    """Answer each request with ``data``, then close."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


def keeps_saying(data: bytes) -> Answer:
    """Answer each request with ``data`` and stay."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(data)
            await writer.drain()

    return answer


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request, then reset."""
    await reader.read(4096)
    writer.transport.abort()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request, then close without a word."""
    await reader.read(4096)
    writer.close()


@contextlib.asynccontextmanager
async def web_peer(*routes: web.RouteDef, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An aiohttp server; its port."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, address, 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class UdpPeer(asyncio.DatagramProtocol):
    """Answers each datagram with ``reply(data)``; None: no answer."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self._reply = reply
        self.sources: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sources.append(addr)
        answer = self._reply(data)
        if answer is not None:
            self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def udp_peer(
    reply: Callable[[bytes], bytes | None], *, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[int, UdpPeer]]:
    """A UDP server; its port, and itself."""
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(lambda: UdpPeer(reply), local_addr=(address, port))
    try:
        yield transport.get_extra_info("sockname")[1], peer
    finally:
        transport.close()


@contextlib.contextmanager
def closed_port(kind: socket.SocketKind = socket.SOCK_STREAM, family: int = socket.AF_INET) -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        port = taken.getsockname()[1]
        yield port
