"""The crowds of `make flood`, each a process of its own that goes on until it is ended.

    crowd.py dns PORT CONNECTIONS           DNS over TCP: pipelines queries as fast as they are taken, never reads
    crowd.py silent UNIX_PATH CONNECTIONS   the API: most say nothing, some drip a request, some ask for events and never read
    crowd.py tls PORT CONNECTIONS           the API's TLS port: begin a handshake and say no more

Connections that the node ends are made again at once, from many addresses of 127.0.0.0/8. Every second a line says how many
are open and how many were made so far.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import time

import dns.message
import uvloop

PER_ADDRESS = 20
"""Connections from one address: a crowd, not one client."""
DRIPPING, STREAMING = 0.15, 0.05
"""Parts of the silent ones: 300 and 100 of 2,000."""
STREAM = b"GET /v1/events HTTP/1.1\r\nHost: node\r\n\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
QUERIES = b"".join(
    len(query).to_bytes(2, "big") + query
    for query in (
        dns.message.make_query(name, kind).to_wire()
        for name, kind in (("www.shop.test", "A"), ("nothing.shop.test", "A"), ("www.shop.test", "ANY"), ("shop.test", "SOA"))
    )
)


class Crowd:
    """Counts what it does."""

    def __init__(self, kind: str, target: str) -> None:
        self.kind = kind
        self.target = target
        self.open = self.made = 0
        self.loop = asyncio.get_running_loop()

    async def connect(self, number: int) -> socket.socket:
        """Made, or OSError."""
        if self.kind == "silent":
            sock = socket.socket(socket.AF_UNIX)
            address: object = self.target
        else:
            sock = socket.socket()
            sock.bind((f"127.0.1.{1 + number // PER_ADDRESS}", 0))
            address = ("127.0.0.1", int(self.target))
        sock.setblocking(False)
        try:
            await self.loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        self.made += 1
        return sock

    async def one(self, number: int, of: int) -> None:
        """One client for ever."""
        while True:
            try:
                sock = await self.connect(number)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            self.open += 1
            try:
                await self.keep(sock, number / of)
            except OSError:
                pass
            finally:
                self.open -= 1
                sock.close()

    async def keep(self, sock: socket.socket, part: float) -> None:
        """What one connection is used for; returns when the node has ended it."""
        if self.kind == "dns":
            while True:
                await self.loop.sock_sendall(sock, QUERIES * 50)
        if self.kind == "tls":
            await self.loop.sock_sendall(sock, HELLO)
        elif part < DRIPPING:
            for byte in itertools.chain(b"GET /healthz HTTP/1.1\r\nX: ", itertools.repeat(0x78)):
                await self.loop.sock_sendall(sock, bytes((byte,)))
                await asyncio.sleep(0.5)
        elif part < DRIPPING + STREAMING:
            await self.loop.sock_sendall(sock, STREAM)
            while sock.send(b"\r\n"):  # noqa: ASYNC110 (it is sent, not waited for)
                await asyncio.sleep(1.0)
        while await self.loop.sock_recv(sock, 4_096):
            pass


async def main() -> None:
    kind, target, count = sys.argv[1:]
    crowd = Crowd(kind, target)
    tasks = [asyncio.create_task(crowd.one(number, int(count))) for number in range(int(count))]
    began = time.monotonic()
    while tasks:
        await asyncio.sleep(1.0)
        print(f"{kind} after {time.monotonic() - began:.0f} s: {crowd.open} open, {crowd.made} made", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
