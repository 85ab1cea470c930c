"""Whatever is sent to the embedded server, it stays up, silent or polite, and in bounds."""

import asyncio
import socket

import dns.exception
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.enactor_suite import suite_topology
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.embedded_udp import DatagramServer, kernel_batches, udp_socket
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.units import EnactorId
from siteshift.errors import Permanent

from .embedded_world import WAIT_S, ask, serving, steer, values, world, zone

QUERY = dns.message.make_query("web.example.test", "A", use_edns=0).to_wire()


def idle_server() -> EmbeddedDns:
    """Not listening: asked through `respond`."""
    return EmbeddedDns(EnactorId("embedded"), world(), zone(), ManualClock(), initial=steer(1))


SERVER = idle_server()


def check_reply(sent: bytes, reply: bytes | None, limit: int) -> None:
    assert SERVER.internal_errors == 0
    if reply is None:
        return
    assert reply[:2] == sent[:2] and reply[2] & 0x80 and len(reply) <= limit
    dns.message.from_wire(reply)


@given(st.binary(max_size=600))
def test_garbage_is_answered_well_formed_or_not_at_all(data: bytes) -> None:
    check_reply(data, SERVER.respond(data), 1_232)
    check_reply(data, SERVER.respond_stream(data), 65_535)


@given(st.lists(st.tuples(st.integers(2, len(QUERY) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(QUERY)))
@settings(max_examples=400)
def test_a_query_with_some_bytes_changed_or_cut_off_is_too(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(QUERY)
    for at, value in changes:
        data[at] = value
    for mutant in (bytes(data), bytes(data[:length])):
        reply = SERVER.respond(mutant)
        if reply is not None and mutant[2] & 0x80 == 0:
            assert reply[:2] == mutant[:2] and reply[2] & 0x80
            assert len(reply) <= 1_232
    assert SERVER.internal_errors == 0


LABEL = st.binary(min_size=1, max_size=63)


@given(st.lists(LABEL, max_size=4), st.integers(0, 65_535), st.integers(0, 65_535), st.booleans())
def test_every_name_type_and_class_gets_a_reply_that_parses(labels: list[bytes], kind: int, klass: int, ours: bool) -> None:
    suffix = b"\x07example\x04test\x00" if ours else b"\x00"
    name = b"".join(bytes((len(label),)) + label for label in labels) + suffix
    data = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + kind.to_bytes(2, "big") + klass.to_bytes(2, "big")
    reply = SERVER.respond(data)
    assert reply is not None
    assert SERVER.internal_errors == 0
    header_rcode = reply[3] & 0xF
    assert header_rcode in (0, 1, 3, 4, 5)
    if len(name) <= 255:
        assert reply[12 : 12 + len(name)] == name


def test_replies_are_never_answered() -> None:
    """Two servers answering each other would never stop."""
    reply = SERVER.respond(QUERY)
    assert reply is not None
    assert SERVER.respond(reply) is None and SERVER.respond_stream(reply) is None


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (QUERY[:4] + b"\x00\x02" + QUERY[6:], dns.rcode.FORMERR),
        (QUERY[:4] + b"\x00\x00" + QUERY[6:], dns.rcode.FORMERR),
        (QUERY[:12] + b"\xc0\x0c\x00\x01\x00\x01", dns.rcode.FORMERR),
        (QUERY[:12] + b"\x7fxx", dns.rcode.FORMERR),
        (QUERY[:10] + b"\x00\x02" + QUERY[12:] + QUERY[-11:], dns.rcode.FORMERR),
        (QUERY[:-4], dns.rcode.FORMERR),
        (QUERY[:2] + b"\x7f" + QUERY[3:], dns.rcode.NOTIMP),
    ],
    ids=["two questions", "no question", "pointer in the question", "label too long", "two OPT", "cut short", "opcode 15"],
)
def test_what_cannot_be_read_gets_its_code(data: bytes, rcode: dns.rcode.Rcode) -> None:
    reply = SERVER.respond(data)
    assert reply is not None and reply[3] & 0xF == rcode


def test_a_stranger_cannot_fill_memory_with_ways_of_asking() -> None:
    server = idle_server()
    for payload in range(512, 2_512):
        query = dns.message.make_query("web.example.test", "A", use_edns=0, payload=payload).to_wire()
        reply = server.respond(query)
        assert reply is not None and reply[3] & 0xF == 0
    for number in range(2_000):
        server.respond(dns.message.make_query(f"x{number}.example.test", "A").to_wire())
    assert len(server._desk.zone._known) <= 64


def test_this_kernel_serves_in_batches() -> None:
    """Else the tests below would not test what production runs."""
    assert kernel_batches()


async def test_garbage_on_the_sockets_does_not_disturb_others() -> None:
    async with serving(initial=steer(1)) as server:
        host, port = server.addresses[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            for size in range(200):
                noise.sendto(b"\x00" * size, (host, port))
                noise.sendto(b"\xff" * size, (host, port))
            noise.sendto(b"\x55" * 9_000, (host, port))
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(b"\x00\x05\xff\xff\xff")
            await writer.drain()
            writer.close()
        assert values(await ask(server, "web.example.test"))
        assert values(await ask(server, "web.example.test", way="tcp"))
        assert server.internal_errors == 0


async def test_a_burst_is_answered_to_each_sender() -> None:
    """More than one batch of datagrams from several sockets: every reply goes where its query came from."""
    async with serving(initial=steer(1)) as server:
        loop = asyncio.get_running_loop()
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
        try:
            for number, sock in enumerate(socks):
                sock.setblocking(False)
                sock.connect(server.addresses[0])
                for i in range(40):
                    sock.send(bytes((number, i)) + QUERY[2:])
                    if i % 10 == 9:
                        sock.send(b"junk")
            for number, sock in enumerate(socks):
                got = {(await asyncio.wait_for(loop.sock_recv(sock, 4096), WAIT_S))[:2] for _ in range(40)}
                assert got == {bytes((number, i)) for i in range(40)}
        finally:
            for sock in socks:
                sock.close()


async def test_the_portable_datagram_server_answers_alike() -> None:
    sock = udp_socket("127.0.0.1", 0)
    host, port = sock.getsockname()
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(lambda: DatagramServer(SERVER._desk), sock=sock)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        client.setblocking(False)
        client.connect((host, port))
        client.send(QUERY)
        reply = dns.message.from_wire(await asyncio.wait_for(loop.sock_recv(client, 4096), WAIT_S))
        assert reply.rcode() == dns.rcode.NOERROR and reply.answer
    finally:
        client.close()
        await protocol.close()


async def test_tcp_answers_many_queries_on_one_connection_however_they_are_cut() -> None:
    async with serving(initial=steer(1)) as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        stream = b"".join(len(QUERY).to_bytes(2, "big") + bytes((0, i)) + QUERY[2:] for i in range(50))
        for at in range(0, len(stream), 37):
            writer.write(stream[at : at + 37])
            await writer.drain()
        for i in range(50):
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), WAIT_S), "big")
            reply = await asyncio.wait_for(reader.readexactly(length), WAIT_S)
            assert reply[:2] == bytes((0, i))
        writer.close()


async def test_a_closed_server_lets_go_of_its_port() -> None:
    async with serving() as server:
        host, port = server.addresses[0]
    again = EmbeddedDns(EnactorId("embedded"), world(), zone((host, port)), ManualClock())
    await again.start()
    await again.close()


async def test_a_taken_port_is_said_plainly_and_nothing_stays_bound() -> None:
    async with serving() as server:
        host, port = server.addresses[0]
        other = EmbeddedDns(EnactorId("other"), world(), zone((host, 0), (host, port)), ManualClock())
        with pytest.raises(Permanent, match="listen"):
            await other.start()
        assert other.addresses == ()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (StaticRecord(name="web", kind="A", value="192.0.2.9"), "steered twice or has a fixed address"),
        (StaticRecord(name="web", kind="CNAME", value="elsewhere.test."), "steered twice or has a fixed address"),
        (StaticRecord(name="x.other.test.", kind="A", value="192.0.2.9"), "outside"),
        (StaticRecord(name="x", kind="A", value="nonsense"), "nonsense"),
        (StaticRecord(name="x", kind="NOPE", value="1"), "NOPE"),
    ],
)
def test_a_zone_that_cannot_be_served_is_refused_at_once(record: StaticRecord, words: str) -> None:
    config = ZoneConfig(origin="example.test", ns_names=("ns1",), listen=(), records=(record,))
    with pytest.raises(ValueError, match=words):
        EmbeddedDns(EnactorId("embedded"), suite_topology(), config, ManualClock())
