"""What a crowd at the TCP port can take: a few answers a turn, its share of the places, and nothing without reading."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import dns.message
import pytest

from siteshift.adapters.accept import Pace
from siteshift.adapters.clients import UNLIMITED, ClientLimits, Descriptors, Gone, Tally
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.embedded_tcp import DEFAULT_BUDGET, QUERY_BYTES, TcpBudget, TcpServer
from siteshift.adapters.dns.embedded_udp import LOOK_EVERY, BatchServer, udp_socket
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.units import EnactorId

from .embedded_world import WAIT_S, steer, world, zone

DESK = EmbeddedDns(EnactorId("embedded"), world(), zone(), ManualClock(), initial=steer(1))._desk
QUERY = dns.message.make_query("web.example.test", "A", use_edns=0).to_wire()
LARGE = dns.message.make_query("many.example.test", "A", use_edns=0).to_wire()
FRAMED, LARGE_FRAMED = (len(query).to_bytes(2, "big") + query for query in (QUERY, LARGE))
ENDLESS = TcpBudget(slice_us=10**9, slice_answers=10**9, visit_answers=10**9, pause_s=0.0)
EVERYBODY = ClientLimits(connections=UNLIMITED, per_client=UNLIMITED, waiting_s=3_600)


class Crowd:
    """A server, what it counted, and the clients of a test."""

    def __init__(self, server: TcpServer, tally: Tally, port: int) -> None:
        self.server = server
        self.tally = tally
        self.port = port
        self.socks: list[socket.socket] = []

    async def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """A client at this address, which the server knows already."""
        sock = socket.socket()
        self.socks.append(sock)
        sock.setblocking(False)
        sock.bind((host, 0))
        before = self.tally.connected + sum(self.tally.gone.values())
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        await until(lambda: self.tally.connected + sum(self.tally.gone.values()) > before)
        return sock

    async def ask(self, sock: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, FRAMED)
        return await asyncio.wait_for(loop.sock_recv(sock, 65_536), WAIT_S)


@asynccontextmanager
async def crowd(
    *,
    limits: ClientLimits = EVERYBODY,
    budget: TcpBudget = DEFAULT_BUDGET,
    most: int = UNLIMITED,
) -> AsyncIterator[Crowd]:
    tally = Tally()
    pace = Pace(burst=1_000, window_s=0.0)
    server = TcpServer(DESK, Descriptors(most=most), tally, limits=limits, budget=budget, pace=pace)
    found = Crowd(server, tally, server.start("127.0.0.1", 0))
    try:
        yield found
    finally:
        for sock in found.socks:
            sock.close()
        server.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 (the world, not a task, makes it true)
            await asyncio.sleep(0.001)


async def most_a_turn(count: Callable[[], int], *, whole: int) -> int:
    """The most answers between two turns of the loop while ``whole`` of them are given."""
    most, before, end = 0, count(), count() + whole
    async with asyncio.timeout(WAIT_S):
        while before < end:
            await asyncio.sleep(0)
            most, before = max(most, count() - before), count()
    return most


@pytest.mark.parametrize(("budget", "is_bounded"), [(DEFAULT_BUDGET, True), (ENDLESS, False)])
async def test_pipelined_queries_get_a_few_answers_at_each_turn_of_the_loop(budget: TcpBudget, is_bounded: bool) -> None:
    """Without the budget one connection has a hundred answers at one turn, and a hundred connections ten thousand."""
    async with crowd(budget=budget) as here:
        for sock in [await here.connect() for _ in range(20)]:
            sock.send(FRAMED * 500)
        most = await most_a_turn(lambda: here.server.answered, whole=1_000)
    assert (most <= DEFAULT_BUDGET.slice_answers) is is_bounded, most


async def test_who_asks_one_question_does_not_wait_for_those_who_ask_thousands() -> None:
    async with crowd() as here:
        one = await here.connect("127.0.0.2")
        for sock in [await here.connect() for _ in range(20)]:
            sock.send(FRAMED * 500)
        await until(lambda: here.server.answered > 100)
        before = here.server.answered
        reply = await here.ask(one)
        assert dns.message.from_wire(reply[2:]).answer
        assert here.server.answered - before < 500


async def test_a_client_that_does_not_read_gets_no_more_answers_and_is_ended() -> None:
    async with crowd(limits=ClientLimits(connections=10, per_client=10, waiting_s=1.0)) as here:
        sock = await here.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.send(LARGE_FRAMED * 2_000)
        await until(lambda: here.tally.gone[Gone.SILENT] == 1)
        assert 0 < here.server.answered < 2_000
        assert len(here.server.clients) == 0


async def test_a_client_that_reads_gets_all_its_answers_however_many() -> None:
    """The control of the one above: the same questions."""
    async with crowd() as here:
        sock = await here.connect()
        sock.send(LARGE_FRAMED * 500)
        loop = asyncio.get_running_loop()
        inbox = bytearray()
        found = 0
        async with asyncio.timeout(WAIT_S):
            while found < 500:
                inbox += await loop.sock_recv(sock, 65_536)
                while len(inbox) >= 2 and len(inbox) >= (end := 2 + int.from_bytes(inbox[:2], "big")):
                    del inbox[:end]
                    found += 1


async def test_silent_clients_are_ended_in_time() -> None:
    async with crowd(limits=ClientLimits(connections=10, per_client=10, waiting_s=0.2)) as here:
        loop = asyncio.get_running_loop()
        silent, half = await here.connect(), await here.connect()
        half.send(FRAMED[:5])
        for sock in (silent, half):
            assert await asyncio.wait_for(loop.sock_recv(sock, 1), WAIT_S) == b""
        assert here.tally.gone[Gone.SILENT] == 2


@pytest.mark.parametrize(("per_client", "kept"), [(3, 3), (UNLIMITED, 8)])
async def test_a_client_has_its_share_of_the_places_and_its_own_oldest_gives_way(per_client: int, kept: int) -> None:
    async with crowd(limits=ClientLimits(connections=100, per_client=per_client, waiting_s=3_600)) as here:
        for _ in range(8):
            newest = await here.connect()
        assert len(here.server.clients) == kept
        assert here.tally.gone[Gone.CROWDED_OUT] == 8 - kept
        assert await here.ask(newest)
        assert await here.ask(await here.connect("127.0.0.2"))


@pytest.mark.parametrize(("connections", "most"), [(4, UNLIMITED), (UNLIMITED, 4)])
async def test_a_full_server_ends_the_longest_silent_one_for_who_comes_next(connections: int, most: int) -> None:
    """Full by its own limit, or because the file descriptors that are left are the prober's."""
    async with crowd(limits=ClientLimits(connections=connections, per_client=100, waiting_s=3_600), most=most) as here:
        for host in range(1, 21):
            await here.connect(f"127.0.0.{host}")
        assert len(here.server.clients) == 4
        assert await here.ask(await here.connect("127.0.0.99"))
        assert here.tally.gone == {Gone.CROWDED_OUT: 17}


async def test_a_query_longer_than_any_ends_its_connection() -> None:
    async with crowd() as here:
        sock = await here.connect()
        sock.send((QUERY_BYTES + 1).to_bytes(2, "big") + b"x")
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), WAIT_S) == b""
        assert len(here.server.clients) == 0


async def test_a_client_that_ends_its_half_is_answered_and_forgotten() -> None:
    async with crowd() as here:
        sock = await here.connect()
        sock.send(FRAMED * 3)
        sock.shutdown(socket.SHUT_WR)
        loop = asyncio.get_running_loop()
        got = b""
        while data := await asyncio.wait_for(loop.sock_recv(sock, 65_536), WAIT_S):
            got += data
        assert got.count(b"\x03web\x07example\x04test") == 3
        await until(lambda: here.tally.connected == 0)


async def test_connections_are_accepted_at_a_pace_and_none_is_lost() -> None:
    tally = Tally()
    server = TcpServer(DESK, Descriptors(), tally, limits=EVERYBODY, pace=Pace(burst=4, window_s=0.02))
    port = server.start("127.0.0.1", 0)
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        assert await most_a_turn(lambda: tally.connected, whole=40) <= 4
    finally:
        for sock in socks:
            sock.close()
        server.close()


@pytest.mark.parametrize(("slice_us", "is_bounded"), [(0, True), (10**9, False)])
async def test_a_batch_of_datagrams_is_answered_in_slices(slice_us: int, is_bounded: bool) -> None:
    sock = udp_socket("127.0.0.1", 0)
    server = BatchServer(sock, DESK, slice_us=slice_us)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.connect(sock.getsockname())
        client.setblocking(False)
        try:
            for number in range(128):
                client.send(bytes((0, number)) + QUERY[2:])
            most = await most_a_turn(lambda: server.answered, whole=128)
            got = {client.recv(4_096)[1] for _ in range(128)}
        finally:
            await server.close()
    assert got == set(range(128))
    assert (most <= 2 * LOOK_EVERY) is is_bounded, most  # the end of one batch and the beginning of the next
