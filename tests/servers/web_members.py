"""Small HTTP servers that stand for members: each answers with its name, and can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

GENEROUS_S = 20


@dataclass(slots=True)
class WebMember:
    """One member. ``healthy`` is what its health page says; ``gate`` holds requests for /slow until it is set."""

    name: str
    port: int = 0
    status: int = 200
    healthy: bool = True
    served: int = 0
    health_checks: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                status, body = await self._reply(line.split()[1].decode())
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _reply(self, path: str) -> tuple[int, bytes]:
        if path == "/health":
            self.health_checks += 1
            return (200 if self.healthy else 503), b""
        self.served += 1
        if path == "/slow":
            self.arrived.set()
            await self.gate.wait()
        return self.status, self.name.encode()


@asynccontextmanager
async def web_members(names: Sequence[str]) -> AsyncIterator[dict[str, WebMember]]:
    """Members on free ports of 127.0.0.1."""
    members = {name: WebMember(name=name) for name in names}
    servers = []
    try:
        for member in members.values():
            server = await asyncio.start_server(member.answer, "127.0.0.1", 0)
            member.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        yield members
    finally:
        for member in members.values():
            member.gate.set()
        for server in servers:
            server.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got; status 0: the connection ended without an answer."""

    status: int
    body: str


async def get(port: int, path: str = "/") -> Reply:
    """One request on a connection of its own."""
    async with asyncio.timeout(GENEROUS_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            raw = await reader.read(-1)
        except ConnectionError:
            return Reply(0, "")
        finally:
            writer.close()
    if not raw:
        return Reply(0, "")
    head, _, body = raw.decode().partition("\r\n\r\n")
    return Reply(int(head.split()[1]), body)


async def tally(port: int, requests: int) -> dict[str, int]:
    """How often each member served."""
    counts: dict[str, int] = {}
    for _ in range(requests):
        reply = await get(port)
        counts[reply.body] = counts.get(reply.body, 0) + 1
    return counts


@asynccontextmanager
async def load(port: int, clients: int = 4) -> AsyncIterator[Counter[int]]:
    """Clients that ask one request after another until the block is left; the replies by status."""
    replies: Counter[int] = Counter()

    async def client() -> None:
        while not over.is_set():
            replies[(await get(port)).status] += 1

    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
        try:
            yield replies
        finally:
            over.set()
