"""A small HTTP service that starts and stops standby members, for the tests of the HTTP hook."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class HookServer:
    """``phase`` is what it says of the member; ``status`` and ``hang`` make it misbehave."""

    port: int = 0
    phase: str = "cold"
    answer: str = '{{"phase": "{phase}"}}'
    status: int = 200
    hang: bool = False
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[object] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                headers = await _headers(reader)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.seen.append((method, path, headers.get("authorization", "")))
                if body:
                    self.bodies.append(json.loads(body))
                if self.hang:
                    await self.released.wait()
                text = self._act(method, path)
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _act(self, method: str, path: str) -> str:
        if method == "GET":
            return self.answer.format(phase=self.phase)
        if self.status // 100 == 2:
            starts = path.startswith("/activate") and self.phase == "cold"
            self.phase = "starting" if starts else self.phase if path.startswith("/activate") else "cold"
        return "done"


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


@asynccontextmanager
async def hook_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[HookServer]:
    """Running on a free port of 127.0.0.1."""
    hook = HookServer()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0, ssl=tls)
    hook.port = server.sockets[0].getsockname()[1]
    try:
        yield hook
    finally:
        hook.released.set()
        server.close()
