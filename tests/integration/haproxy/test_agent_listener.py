"""What strangers may hold of the agent-check listener: places, time and bytes; each bound with the bad thing it prevents."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from servers.haproxy_server import GENEROUS_S, until
from siteshift.adapters.haproxy.agent_listener import AgentListen, AgentListener, ListenerLimits

HAPROXY, STRANGER = "127.0.0.1", "127.0.0.2"
FOR_EVER: float = math.inf
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def listening(**limits: float) -> AsyncIterator[AgentListener]:
    """One that answers a question with the name it got; without limits but those given."""
    none = {"connections": FOR_EVER, "per_client": FOR_EVER, "question_s": 1e9, "question_bytes": 1 << 30}
    listener = AgentListener(lambda name: f"{name}\n".encode(), ListenerLimits(**none | limits))  # type: ignore[arg-type]
    await listener.start(AgentListen(host="0.0.0.0", port=0))
    try:
        yield listener
    finally:
        listener.close()


class Clients:
    """Connections to one listener; all ended with the block."""

    def __init__(self, listener: AgentListener) -> None:
        self._listener = listener
        self._streams: list[Streams] = []

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in self._streams:
            writer.transport.abort()

    async def connect(self, address: str) -> Streams:
        streams = await asyncio.open_connection(HAPROXY, self._listener.port, local_addr=(address, 0))
        self._streams.append(streams)
        return streams

    async def ask(self, address: str, name: str) -> bytes:
        """The answer; nothing when the connection was closed without."""
        reader, writer = await self.connect(address)
        with suppress(ConnectionError):
            writer.write(f"{name}\n".encode())
            return await asyncio.wait_for(reader.read(), GENEROUS_S)
        return b""

    async def silent(self, address: str, number: int) -> None:
        """So many connections that say nothing, all of them accepted or refused when this is done."""
        for _ in range(number):
            await self.connect(address)
        await until(self._all_seen, "the listener has seen them")

    async def _all_seen(self) -> bool:
        closed = sum(reader.at_eof() or reader.exception() is not None for reader, _ in self._streams)
        return self._listener.open + closed >= len(self._streams)


@pytest.mark.parametrize("per_client", [20, FOR_EVER], ids=["bounded", "without the bound"])
async def test_one_address_cannot_hold_all_places(per_client: float) -> None:
    async with listening(connections=50, per_client=per_client) as listener, Clients(listener) as clients:
        await clients.silent(STRANGER, 60)
        answer = await clients.ask(HAPROXY, "web/p1")
        if per_client == FOR_EVER:
            assert (listener.open, answer) == (50, b""), "HAProxy is kept out"
        else:
            assert (listener.open, answer) == (20, b"web/p1\n")


@pytest.mark.parametrize("connections", [50, FOR_EVER], ids=["bounded", "without the bound"])
async def test_all_addresses_together_hold_a_bounded_number_of_places(connections: float) -> None:
    async with listening(connections=connections, per_client=30) as listener, Clients(listener) as clients:
        for host in range(2, 6):
            await clients.silent(f"127.0.0.{host}", 30)
        assert listener.open == (120 if connections == FOR_EVER else 50)


@pytest.mark.parametrize("question_s", [0.2, 1e9], ids=["bounded", "without the bound"])
async def test_who_says_nothing_is_closed_after_a_while(question_s: float) -> None:
    """The unbounded one is looked at when a bounded one, started later, has given up."""
    async with (
        listening(question_s=question_s) as listener,
        listening(question_s=0.2) as other,
        Clients(listener) as clients,
        Clients(other) as others,
    ):
        await clients.silent(STRANGER, 5)
        await others.silent(STRANGER, 5)
        await until(lambda: _holds(other, 0), "the bounded one gives up")
        if question_s < 1:
            await until(lambda: _holds(listener, 0), "all are closed")
        else:
            assert listener.open == 5


@pytest.mark.parametrize("question_s", [0.2, 1e9], ids=["bounded", "without the bound"])
async def test_a_question_that_drips_has_the_same_deadline(question_s: float) -> None:
    async with listening(question_s=question_s) as listener, Clients(listener) as clients:
        reader, writer = await clients.connect(STRANGER)
        closed_after = None
        for letters in range(100):
            if reader.at_eof() or reader.exception() is not None:  # the other end may reset what it did not read
                closed_after = letters
                break
            with suppress(ConnectionError):
                writer.write(b"w")
            await asyncio.sleep(0.02)
        assert (closed_after is None) == (question_s > 1)


@pytest.mark.parametrize("question_bytes", [512, 1 << 30], ids=["bounded", "without the bound"])
async def test_a_question_without_an_end_is_not_kept(question_bytes: int) -> None:
    sent = 0
    async with listening(question_bytes=question_bytes) as listener, Clients(listener) as clients:
        reader, writer = await clients.connect(STRANGER)
        with suppress(ConnectionError):
            while sent < 8 << 20 and not reader.at_eof():
                writer.write(b"w" * 65_536)
                await writer.drain()
                sent += 65_536
        if question_bytes == 512:
            assert await asyncio.wait_for(_rest(reader), GENEROUS_S) == b"", "closed without an answer"
            assert listener.open == 0
        else:
            assert (sent, listener.open) == (8 << 20, 1), "all of it is kept"


async def test_places_are_given_back() -> None:
    async with listening(connections=3, per_client=3) as listener, Clients(listener) as clients:
        for number in range(20):
            assert await clients.ask(HAPROXY, f"web/p{number}") == f"web/p{number}\n".encode()
        await until(lambda: _holds(listener, 0), "none is held")


async def test_closing_ends_what_is_open() -> None:
    async with listening() as listener, Clients(listener) as clients:
        await clients.silent(STRANGER, 5)
        listener.close()
        await until(lambda: _holds(listener, 0), "all are ended")


async def _holds(listener: AgentListener, number: int) -> bool:
    return listener.open == number


async def _rest(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError):
        return await reader.read()
    return b""
