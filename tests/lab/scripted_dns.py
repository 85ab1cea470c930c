"""An authoritative server whose answers the test decides: the outside system that the clients ask."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast


class ScriptedDns(asyncio.DatagramProtocol):
    """Answers every question with ``addresses`` (in turn, one each) and ``ttl_s``; silent while ``mute``."""

    def __init__(self, addresses: list[str], ttl_s: int) -> None:
        self.addresses = addresses
        self.ttl_s = ttl_s
        self.mute = False
        self.questions = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.questions += 1
        if self.mute or self._transport is None:
            return
        header = data[:2] + struct.pack("!HHHHH", 0x8400, 1, 1 if self.addresses else 0, 0, 0)
        answer = b""
        if self.addresses:
            address = self.addresses[self.questions % len(self.addresses)]
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, self.ttl_s, 4) + bytes(map(int, address.split(".")))
        self._transport.sendto(header + data[12:] + answer, addr)


@asynccontextmanager
async def scripted_dns(at: tuple[str, int], addresses: list[str], ttl_s: int) -> AsyncIterator[ScriptedDns]:
    """A server at that address for the length of the block."""
    server = ScriptedDns(addresses, ttl_s)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=at)
    try:
        yield server
    finally:
        transport.close()
