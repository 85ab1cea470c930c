"""What clients of the API may take: places, time, memory, file descriptors; and that others are served meanwhile."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from api.served import LOOPBACK, Served, api_setup, token
from siteshift.adapters.clients import UNLIMITED, ClientLimits, Descriptors, Gone, Tally
from siteshift.api import connections, looks, server
from siteshift.api.connections import CONNECTIONS
from siteshift.api.server import TLS_NAME, UNIX_NAME, ApiServer

WAIT_S = 30.0
EVERYBODY = ClientLimits(connections=UNLIMITED, per_client=UNLIMITED, waiting_s=3_600)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n"
STREAM = b"GET /v1/events HTTP/1.1\r\nHost: node\r\n\r\n"


class Door:
    """An API with limits of its own before the node, and raw clients."""

    def __init__(self, api: ApiServer, path: str) -> None:
        self.api = api
        self.path = path
        self.socks: list[socket.socket] = []

    def tally(self, name: str = UNIX_NAME) -> Tally:
        return self.api.descriptors.tally(name)

    async def connect(self) -> socket.socket:
        """Over the Unix socket."""
        sock = socket.socket(socket.AF_UNIX)
        return await self._connected(sock, self.path)

    async def connect_tcp(self) -> socket.socket:
        """To the TLS port, without TLS yet."""
        return await self._connected(socket.socket(), (LOOPBACK, self.api.tls_port))

    async def _connected(self, sock: socket.socket, address: object) -> socket.socket:
        self.socks.append(sock)
        sock.setblocking(False)
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await asyncio.get_running_loop().sock_connect(sock, address)
                    return sock
                except BlockingIOError:  # the queue of a Unix socket is full; TCP would wait in the kernel
                    await asyncio.sleep(0.005)

    async def ask(self, sock: socket.socket, request: bytes = HEALTH) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, request)
        return await asyncio.wait_for(loop.sock_recv(sock, 65_536), WAIT_S)


@asynccontextmanager
async def door(node: Served, limits: ClientLimits = CONNECTIONS, most: int = UNLIMITED) -> AsyncIterator[Door]:
    path = str(node.folder / "other.sock")
    setup = replace(api_setup(node.folder, node.authority), unix_path=path)
    api = ApiServer(
        node=node.node, setup=setup, version="0.test", journal=node.journal, descriptors=Descriptors(most=most), limits=limits
    )
    await api.start()
    found = Door(api, path)
    try:
        yield found
    finally:
        for sock in found.socks:
            sock.close()
        await api.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 (the world, not a task, makes it true)
            await asyncio.sleep(0.005)


async def ended(sock: socket.socket) -> bytes:
    """What came until the node ended the connection."""
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(WAIT_S):
        try:
            while data := await loop.sock_recv(sock, 65_536):
                got += data
        except ConnectionError:
            pass
    return got


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("limits", "kept"), [(CONNECTIONS, CONNECTIONS.per_client), (EVERYBODY, 300)])
async def test_silent_clients_take_no_more_than_their_places_and_others_are_served(
    node: Served, limits: ClientLimits, kept: int
) -> None:
    """Without the limits each keeps its place and a file descriptor of the prober's."""
    async with door(node, limits) as here:
        for _ in range(300):
            await here.connect()
        tally = here.tally()
        await until(lambda: tally.connected + tally.gone.total() == 300)
        assert tally.connected == kept
        assert b"200 OK" in await here.ask(await here.connect())


@pytest.mark.parametrize(("waiting_s", "is_ended"), [(0.2, True), (3_600.0, False)])
async def test_a_request_that_drips_is_ended_in_time(node: Served, waiting_s: float, is_ended: bool) -> None:
    """One byte at a time never lets a deadline between two bytes pass."""
    async with door(node, replace(CONNECTIONS, waiting_s=waiting_s)) as here:
        loop = asyncio.get_running_loop()
        sock, idle = await here.connect(), await here.connect()
        assert b"200 OK" in await here.ask(idle)
        try:
            for byte in b"GET /healthz HTTP/1.1\r\n" + b"X-Long: " + b"x" * 200:
                await loop.sock_sendall(sock, bytes((byte,)))
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        if is_ended:
            assert await ended(sock) == b""
            assert await ended(idle) == b""
        assert here.tally().gone[Gone.SILENT] == (2 if is_ended else 0)


async def test_a_body_that_does_not_come_is_told_so_in_time(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_WITHIN_S", 0.2)
    async with door(node) as here:
        head = b"POST /v1/drain HTTP/1.1\r\nHost: node\r\nContent-Length: 50\r\nIdempotency-Key: k\r\n\r\n"
        answer = await here.ask(await here.connect(), head + b'{"site"')
        assert b" 408 " in answer.splitlines()[0]
        assert b"not complete within" in answer


@pytest.mark.parametrize(("within_s", "is_ended"), [(0.2, True), (3_600.0, False)])
async def test_an_event_stream_that_is_never_read_is_ended(
    node: Served, monkeypatch: pytest.MonkeyPatch, within_s: float, is_ended: bool
) -> None:
    monkeypatch.setattr(connections, "READ_WITHIN_S", within_s)
    async with door(node) as here:
        sock = await here.connect()
        assert b"200 OK" in await here.ask(sock, STREAM)
        broadcast = node.node.broadcast
        for _ in range(400):
            broadcast.send("noise", {"text": "x" * 1_000})
            await asyncio.sleep(0.002)
        if is_ended:
            await until(lambda: here.tally().gone[Gone.SILENT] == 1)
            await until(lambda: not broadcast._subscribers)
        assert len(broadcast._subscribers) == (0 if is_ended else 1)


async def test_a_stream_on_which_nothing_happens_is_kept_alive(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LOOK_S", 0.05)
    monkeypatch.setattr(looks, "KEEP_ALIVE_S", 0.1)
    async with door(node) as here:
        sock, got = await here.connect(), b""
        assert b"200 OK" in await here.ask(sock, STREAM)
        async with asyncio.timeout(WAIT_S):
            while b": still here" not in got:
                got += await asyncio.get_running_loop().sock_recv(sock, 65_536)


async def test_one_person_does_not_take_the_streams_of_all(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "STREAMS_PER_PERSON", 3)
    async with door(node) as here:
        streams = [await here.connect() for _ in range(4)]
        answers = [await here.ask(sock, STREAM) for sock in streams]
        assert [answer.split()[1] for answer in answers] == [b"200", b"200", b"200", b"503"]
        assert json.loads(answers[3].partition(b"\r\n\r\n")[2])["code"] == "TOO_MANY_STREAMS"
        other = f"GET /v1/events HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {token('vera')}\r\n\r\n".encode()
        assert b"200 OK" in await here.ask(await here.connect(), other)
        streams[0].close()
        await until(lambda: len(node.node.broadcast._subscribers) == 3)
        assert b"200 OK" in await here.ask(await here.connect(), STREAM)


@pytest.mark.parametrize(("within_s", "is_ended"), [(0.2, True), (3_600.0, False)])
async def test_a_handshake_that_does_not_end_is_ended(
    node: Served, monkeypatch: pytest.MonkeyPatch, within_s: float, is_ended: bool
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_WITHIN_S", within_s)
    async with door(node, EVERYBODY) as here:  # else it would be ended as silent
        sock = await here.connect_tcp()
        sock.send(b"\x16\x03\x01\x02\x00\x01")
        tally = here.tally(TLS_NAME)
        await until(lambda: tally.connected == 1)
        if is_ended:
            await until(lambda: tally.connected == 0)
            await ended(sock)
        answer = await node.over_tls("/healthz", context=node.trusting())
        assert answer.status == 200
        assert tally.connected == (0 if is_ended else 1)


@pytest.mark.parametrize(("every_s", "is_paced"), [(0.5, True), (0.0, False)])
async def test_those_who_all_say_hello_at_once_are_taken_one_after_the_other(
    node: Served, monkeypatch: pytest.MonkeyPatch, every_s: float, is_paced: bool
) -> None:
    """A handshake is the dearest thing a stranger can ask for."""
    monkeypatch.setattr(connections, "HANDSHAKE_EVERY_S", every_s)
    taken: list[float] = []

    class Watching(connections.Listener):
        async def _open(self, watched: connections.Watched, sock: socket.socket, in_s: float) -> None:
            taken.append(in_s)
            await super()._open(watched, sock, in_s)

    monkeypatch.setattr(server, "Listener", Watching)
    async with door(node) as here:
        for _ in range(10):
            (await here.connect_tcp()).send(b"\x16\x03\x01\x02\x00\x01")
        await until(lambda: len(taken) == 10)
        assert (sum(wait_s > 0 for wait_s in taken) >= 5) is is_paced


async def test_who_is_crowded_out_in_the_middle_of_a_handshake_leaves_nothing_behind(node: Served) -> None:
    async with door(node, replace(CONNECTIONS, per_client=2)) as here:
        await here.connect_tcp()
        tally = here.tally(TLS_NAME)
        await until(lambda: tally.connected == 1)
        before = descriptors()
        for count in range(1, 8):
            (await here.connect_tcp()).send(b"\x16\x03\x01\x02\x00\x01")
            await until(lambda count=count: tally.connected + tally.gone.total() == count + 1)
        assert tally.gone == {Gone.CROWDED_OUT: 6}
        await until(lambda: descriptors() <= before + 7 + 1)


async def test_tls_still_serves_when_its_port_is_crowded(node: Served) -> None:
    async with door(node, replace(CONNECTIONS, connections=5)) as here:
        for _ in range(20):
            await here.connect_tcp()
        context = node.trusting()
        reader, writer = await asyncio.open_connection(LOOPBACK, here.api.tls_port, ssl=context)
        writer.write(HEALTH)
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), WAIT_S)
        writer.close()


@pytest.mark.parametrize(("most", "served"), [(0, 0), (3, 3), (UNLIMITED, 5)])
async def test_the_descriptors_that_are_left_are_the_prober_s(node: Served, most: int, served: int) -> None:
    """Streams are being served, so none gives way; who comes next is refused, not the prober."""
    async with door(node, most=most) as here:
        taken = 0
        for _ in range(5):
            with suppress(ConnectionError):
                taken += b"200 OK" in await here.ask(await here.connect(), STREAM)
        assert taken == served
        assert here.tally().gone[Gone.DESCRIPTORS] == 5 - served


async def test_a_thousand_requests_at_once_on_one_connection_do_not_hold_up_another(node: Served) -> None:
    async with door(node) as here:
        many, one = await here.connect(), await here.connect()
        await asyncio.get_running_loop().sock_sendall(many, HEALTH * 1_000)
        assert b"200 OK" in await here.ask(one)


async def test_an_api_that_stops_ends_every_connection(node: Served) -> None:
    async with door(node) as here:
        silent, stream, raw = await here.connect(), await here.connect(), await here.connect_tcp()
        assert b"200 OK" in await here.ask(stream, STREAM)
        await until(lambda: here.tally(TLS_NAME).connected == 1)
        await asyncio.wait_for(here.api.close(), WAIT_S)
        for sock in (silent, stream, raw):
            await ended(sock)
        assert here.tally().connected == here.tally(TLS_NAME).connected == 0
