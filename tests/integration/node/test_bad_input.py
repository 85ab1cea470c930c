"""Whatever is thrown at its doors, the node goes on probing, answering and deciding."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import dns.message
import dns.query
import pytest

from integration.node.records import assert_record_holds
from nodes.running_node import DEADLINE_S, RunningNode, running_node

DATAGRAMS = 2_000
REQUESTS: tuple[bytes, ...] = (
    b"\x00" * 64,
    b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
    b"POST /v1/drain HTTP/1.1\r\nHost: node\r\nIdempotency-Key: 1\r\nContent-Length: 9\r\n\r\n{not json",
    b"POST /v1/drain HTTP/1.1\r\nHost: node\r\nIdempotency-Key: 2\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/drain HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx",
    b'POST /v1/freeze HTTP/1.1\r\nHost: node\r\nIdempotency-Key: 3\r\nContent-Length: 22\r\n\r\n{"reason": ["a", "b"]}',
    b"GET /v1/why/%00%ff..%2f..%2f HTTP/1.1\r\nHost: node\r\n\r\n",
    b"GET /v1/journal?since_ms=99999999999999999999999&limit=-1 HTTP/1.1\r\nHost: node\r\n\r\n",
    b"BREW /v1/status HTTP/9.9\r\n\r\n",
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("input")) as found:
        yield found


def assert_undisturbed(node: RunningNode, generation: int) -> None:
    """It answers, nothing moved, nothing crashed, and it still leaves a site that dies."""
    reply = dns.query.udp(dns.message.make_query("www.shop.test", "A"), "127.0.0.1", port=node.dns_port, timeout=DEADLINE_S)
    assert reply.answer
    status = node.status()
    assert (status["generation"], status["overrides"]) == (generation, [])
    assert {site["standing"] for site in status["sites"].values()} == {"up"}
    assert "task failed" not in node.log.read_text(errors="replace")
    assert "Traceback" not in node.log.read_text(errors="replace")
    assert_record_holds(node)


def test_garbage_at_the_dns_port(node: RunningNode) -> None:
    generation, chance = node.status()["generation"], random.Random(7)
    question = dns.message.make_query("www.shop.test", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(DATAGRAMS):
            broken = bytearray(question)
            for _ in range(chance.randrange(1, 6)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            sender.sendto(bytes(broken[: chance.randrange(len(broken) + 1)]), ("127.0.0.1", node.dns_port))
            sender.sendto(chance.randbytes(chance.randrange(600)), ("127.0.0.1", node.dns_port))
    for size in (0, 1, 2, 40, 65_535):
        with socket.create_connection(("127.0.0.1", node.dns_port), timeout=DEADLINE_S) as stream:
            stream.sendall(size.to_bytes(2, "big") + chance.randbytes(min(size, 100)))
    assert_undisturbed(node, generation)


def test_garbage_at_the_socket_of_the_api(node: RunningNode) -> None:
    generation = node.status()["generation"]
    for raw in REQUESTS:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(node.socket))
            try:
                client.sendall(raw)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(65_536)
            except OSError:
                continue  # it hung up on us before we were done
            assert not answer.startswith(b"HTTP/1.1 5"), (raw, answer)
    idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    try:
        for client in idle:
            client.connect(str(node.socket))
        assert_undisturbed(node, generation)
    finally:
        for client in idle:
            client.close()


def test_after_all_that_a_dead_site_is_left(node: RunningNode) -> None:
    for name in ("gasan-1", "gasan-2"):
        node.members.stop(name)
    node.until(lambda status: status["services"][0]["sites"]["gasan"]["desired_bp"] == 0)
