"""A Unix-socket relay before HAProxy's stats socket that can act between a question and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def relay(path: Path, towards: Path, *, on: str, act: Callable[[], Awaitable[None] | None]) -> AsyncIterator[None]:
    """Forward every line; just before forwarding the first that contains ``on``, call ``act``."""
    acted = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal acted
        line = await reader.readline()
        if on.encode() in line and not acted:
            acted = True
            if (waited := act()) is not None:
                await waited
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(towards))
            inner_writer.write(line)
            writer.write(await inner_reader.read(-1))
            inner_writer.close()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield
    finally:
        server.close()
