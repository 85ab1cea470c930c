"""One DNS message to one server and the reply to it, saying exactly how far it got.

The difference matters for writes: before the message left, a failure is a failure; after it, silence is ambiguity.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LENGTH_BYTES = 2
REPLY_BYTES = 8_192
"""Some 500 addresses of one name. Taking a reply apart costs up to 12 us a byte, and nobody else has a turn meanwhile."""
FOREIGN = 8
"""Answers to other questions that a connection may bring before it is left: it was asked one."""


class Transport(StrEnum):
    """How messages travel."""

    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An authoritative server: a name for people, and where it answers."""

    name: str
    host: str
    port: int = 53

    def __str__(self) -> str:
        return f"{self.name} ({self.host} port {self.port})"


class NotSent(Exception):
    """The message certainly did not reach the server."""


class NoReply(Exception):
    """The message left; whether it was read is not known."""


async def exchange(wire: bytes, server: Server, transport: Transport, *, deadline_ms: int) -> bytes:
    """The first reply that carries the message's id. Raises `NotSent` or `NoReply`; never waits past the deadline.

    Sends once: what to do about silence is the caller's decision. ``deadline_ms`` counts from now.
    """
    way = _by_udp if transport is Transport.UDP else _by_tcp
    progress = _Progress()
    try:
        async with asyncio.timeout(deadline_ms / 1000):
            return await way(wire, server, progress)
    except TimeoutError:
        if progress.sent:
            raise NoReply(f"no reply from {server} within {deadline_ms} ms") from None
        raise NotSent(f"no connection to {server} within {deadline_ms} ms") from None
    except ConnectionRefusedError as error:
        raise NotSent(f"{server} refused the connection") from error
    except (OSError, asyncio.IncompleteReadError) as error:
        detail = f"{server}: {error or type(error).__name__}"
        raise (NoReply(detail) if progress.sent else NotSent(detail)) from error


@dataclass(slots=True)
class _Progress:
    sent: bool = False


async def _by_udp(wire: bytes, server: Server, progress: _Progress) -> bytes:
    """A connected socket: only this server's datagrams arrive, and a closed port is reported instead of waited for."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _AwaitedReply(wire[:2], reply), remote_addr=(server.host, server.port)
    )
    try:
        progress.sent = True
        transport.sendto(wire)
        return await reply
    finally:
        transport.close()


class _AwaitedReply(asyncio.DatagramProtocol):
    def __init__(self, ident: bytes, reply: asyncio.Future[bytes]) -> None:
        self._ident = ident
        self._reply = reply

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        del addr
        if data[:2] != self._ident or self._reply.done():
            return
        if len(data) > REPLY_BYTES:
            self._reply.set_exception(_too_long(len(data)))
        else:
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


async def _by_tcp(wire: bytes, server: Server, progress: _Progress) -> bytes:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        progress.sent = True
        writer.write(len(wire).to_bytes(LENGTH_BYTES, "big") + wire)
        await writer.drain()
        for _ in range(FOREIGN + 1):
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            if length > REPLY_BYTES:
                raise _too_long(length)
            reply = await reader.readexactly(length)
            if reply[:2] == wire[:2]:
                return reply
        raise NoReply(f"{server} answers other questions than ours")
    finally:
        writer.close()


def _too_long(length: int) -> NoReply:
    return NoReply(f"a reply of {length} bytes, more than any of use has ({REPLY_BYTES})")
