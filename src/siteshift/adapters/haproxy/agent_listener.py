"""Where HAProxy's agent checks come in: one question, one line of answer, and bounds on everything a stranger can hold.

HAProxy opens a connection for every question and sends it at once, so an honest one is over within a millisecond. What is
beyond a bound is closed without an answer: HAProxy takes that for an agent it cannot reach and keeps what it was told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentListen:
    """Where the responder listens. ``ports`` gives servers (``backend/server``) a port of their own, beside ``port``.

    ``port`` 0 takes a free one. ``stale_after_ms``: ten times HAProxy's default ``agent-inter`` of 2 s would be
    patient; the default suits an ``agent-inter`` of 1 s.
    """

    host: str
    port: int
    ports: Mapping[str, int] = field(default_factory=dict)
    stale_after_ms: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """What clients may hold. 10,000 servers asking once a second have some ten connections open at any moment.

    ``connections`` are those of all clients together; ``per_client`` is half of it, so that one address alone cannot keep
    HAProxy out. ``question_s``: how long a connection may take to say which server it asks for. ``question_bytes``: the
    longest name, twice over.
    """

    connections: int = 512
    per_client: int = 256
    question_s: float = 2.0
    question_bytes: int = 512


class AgentListener:
    """Answers each question with what ``answer`` says for the server's name."""

    def __init__(self, answer: Callable[[str], bytes], limits: ListenerLimits) -> None:
        self._answer = answer
        self._limits = limits
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._by_client: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def open(self) -> int:
        """Connections that are held now."""
        return len(self._writers)

    async def start(self, listen: AgentListen) -> None:
        """Listen. Raises `OSError` when an address cannot be had; then nothing listens."""
        places: list[tuple[_Serve, int]] = [(self._named, listen.port)]
        places += [(self._only(name), port) for name, port in listen.ports.items()]
        try:
            for serve, port in places:
                server = await asyncio.start_server(serve, listen.host, port, limit=self._limits.question_bytes)
                self._servers.append(server)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening, and end what is open."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def _named(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(writer, lambda: self._question(reader))

    def _only(self, name: str) -> _Serve:
        async def known() -> str:
            return name

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(writer, known)

        return serve

    async def _question(self, reader: asyncio.StreamReader) -> str:
        """The name asked for. Raises `TimeoutError`, and `ValueError` when it is too long."""
        async with asyncio.timeout(self._limits.question_s):
            return (await reader.readline()).decode("utf-8", "replace").strip()

    async def _serve(self, writer: asyncio.StreamWriter, question: Callable[[], Coroutine[None, None, str]]) -> None:
        client = str((writer.get_extra_info("peername") or ("",))[0])
        if len(self._writers) >= self._limits.connections or self._by_client[client] >= self._limits.per_client:
            writer.transport.abort()
            return
        self._writers.add(writer)
        self._by_client[client] += 1
        try:
            with suppress(TimeoutError, OSError, ValueError):
                writer.write(self._answer(await question()))
                await writer.drain()
        finally:
            writer.close()
            self._writers.discard(writer)
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
