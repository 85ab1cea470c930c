"""What a DNS server may send before it is left: a bound on messages and on bytes, whichever way they come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from siteshift.adapters.dns.exchange import FOREIGN, REPLY_BYTES, NoReply, Server, Transport, exchange

QUESTION = b"\x12\x34" + bytes(20)
REPLY = b"\x12\x34" + b"reply"
DEADLINE_MS = 20_000


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


@asynccontextmanager
async def answering(transport: Transport, messages: Sequence[bytes]) -> AsyncIterator[Server]:
    """A server that sends these messages, whatever it is asked."""
    if transport is Transport.TCP:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readexactly(2 + len(QUESTION))
                writer.write(framed(*messages))
                await writer.drain()
                await reader.read()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield Server(name="ns", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        finally:
            server.close()
        return
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def answer() -> None:
            _, client = sock.recvfrom(65_535)
            for message in messages:
                sock.sendto(message, client)

        loop.add_reader(sock.fileno(), answer)
        try:
            yield Server(name="ns", host="127.0.0.1", port=sock.getsockname()[1])
        finally:
            loop.remove_reader(sock.fileno())


@pytest.mark.parametrize("transport", Transport)
async def test_a_few_answers_to_other_questions_are_passed_over(transport: Transport) -> None:
    async with answering(transport, [b"\x43\x21other"] * FOREIGN + [REPLY]) as server:
        assert await exchange(QUESTION, server, transport, deadline_ms=DEADLINE_MS) == REPLY


@pytest.mark.parametrize("foreign", [b"", b"\x12", b"\x43\x21other"])
async def test_a_connection_that_only_brings_answers_to_other_questions_is_left(foreign: bytes) -> None:
    """Reading what is buffered already gives nobody else a turn: 32,768 empty messages held the loop for 0.3 s at a time."""
    async with answering(Transport.TCP, [foreign] * 32_768 + [REPLY]) as server:
        with pytest.raises(NoReply, match="other questions"):
            await exchange(QUESTION, server, Transport.TCP, deadline_ms=DEADLINE_MS)


@pytest.mark.parametrize("transport", Transport)
async def test_a_reply_longer_than_any_of_use_is_not_taken_apart(transport: Transport) -> None:
    """Reading one of 64 KiB that is all small records takes 0.8 s, and nobody else has a turn meanwhile."""
    async with answering(transport, [REPLY + bytes(REPLY_BYTES)]) as server:
        with pytest.raises(NoReply, match=r"a reply of \d+ bytes"):
            await exchange(QUESTION, server, transport, deadline_ms=DEADLINE_MS)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
async def test_a_server_that_says_nothing_is_left_at_the_deadline(transport: Transport) -> None:
    async with answering(transport, ()) as server, asyncio.timeout(60):
        with pytest.raises(NoReply, match=r"no reply from .* within 2000 ms"):
            await exchange(QUESTION, server, transport, deadline_ms=2_000)
