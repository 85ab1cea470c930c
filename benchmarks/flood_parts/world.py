"""What surrounds the node in `make flood`: members that answer, members that turn hostile, a relay before a real HAProxy.

    world.py HAPROXY_SOCKET RELAY_SOCKET HEALTHY HOSTILE

Serves HEALTHY and HOSTILE members on free ports of loopback and prints them as a line of JSON. Lines on standard input
change it: ``hostile`` lets the hostile members, the page of counters and the relay send without end, ``calm`` ends that.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvloop

HOST = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PAGE = b"# TYPE requests_total counter\nrequests_total %d\n"
STAT_HEAD = b"# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,"
SHARES_RPS = {"pangyo": 50, "gasan": 30, "anyang": 20}
MEGABYTES = 600
DRIP_S = 0.05


def endless(first: bytes, more: bytes) -> Iterator[bytes]:
    yield first
    yield from itertools.repeat(more)


def bomb() -> bytes:
    """A page of `MEGABYTES`, packed to a thousandth."""
    packed = gzip.compress(b"#" * 2**20, 1)
    body = packed * MEGABYTES
    return OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


ATTACKS = (
    ("endless chunks of one byte", lambda: endless(CHUNKED, b"1\r\nx\r\n" * 5_000), 0.0),
    ("an endless chunk size", lambda: endless(CHUNKED, b"0" * 30_000), 0.0),
    ("endless interim replies", lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000), 0.0),
    ("an endless head", lambda: endless(OK, b"X-More: " + b"x" * 4_000 + b"\r\n"), 0.0),
    ("an endless body", lambda: endless(OK + b"\r\n", b"x" * 60_000), 0.0),
    ("a drip", lambda: endless(OK + b"Content-Length: 100000\r\n\r\n", b"x"), DRIP_S),
)
"""What, its pieces, and the pause between two of them."""


@dataclass(slots=True)
class World:
    """All servers. ``hostile`` is set while they are."""

    haproxy: str
    relay: str
    hostile: asyncio.Event = field(default_factory=asyncio.Event)
    began_s: float = field(default_factory=time.monotonic)
    _sending: set[asyncio.Task[object]] = field(default_factory=set)
    _bomb: bytes = field(default_factory=bomb)

    async def member(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A healthy one: it answers at once, and knows one page."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status = b"200 OK" if head.startswith(b"GET /healthz") else b"404 Not Found"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def strange(self, number: int) -> object:
        """One that is healthy, until it is not."""
        _, pieces, pause_s = ATTACKS[number % len(ATTACKS)]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not self.hostile.is_set():
                await self.member(reader, writer)
                return
            await self._send(writer, pieces(), pause_s)

        return serve

    async def page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A site's page of counters: its share of a hundred requests a second, or 600 MB of nothing."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            site = head.split()[1].decode().strip("/")
            body = PAGE % ((time.monotonic() - self.began_s) * SHARES_RPS[site])
            plain = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
            writer.write(self._bomb if self.hostile.is_set() else plain)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HAProxy's runtime API, or an answer without end to every question."""
        if self.hostile.is_set():
            await self._send(writer, endless(STAT_HEAD + b"\n", b"web,x,0,0,0,0,,0,0,0,\n" * 2_000), 0.0)
            return
        try:
            behind_reader, behind_writer = await asyncio.open_unix_connection(self.haproxy)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))

    async def _send(self, writer: asyncio.StreamWriter, pieces: Iterator[bytes], pause_s: float) -> None:
        """Send as long as the other side takes it and the hostility lasts."""
        try:
            for piece in pieces:
                if not self.hostile.is_set():
                    break
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def obey(self) -> None:
        """Do as standard input says, until it ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line.strip() == b"hostile":
                self.hostile.set()
            else:
                self.hostile.clear()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    haproxy, relay, healthy, hostile = sys.argv[1:]
    world = World(haproxy, relay)

    async def listen(serve: object) -> int:
        server = await asyncio.start_server(serve, HOST, 0, backlog=1_024)  # type: ignore[arg-type]
        return int(server.sockets[0].getsockname()[1])

    ports = {
        "healthy": [await listen(world.member) for _ in range(int(healthy))],
        "hostile": [await listen(world.strange(number)) for number in range(int(hostile))],
        "page": await listen(world.page),
    }
    await asyncio.start_unix_server(world.relayed, relay)
    print(json.dumps(ports), flush=True)
    await world.obey()


if __name__ == "__main__":
    uvloop.run(main())
