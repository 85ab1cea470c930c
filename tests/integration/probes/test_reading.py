"""Reading HTTP replies from bytes, errors from errnos, lateness from a histogram: tables and properties."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http1 import MAX_BODY_BYTES, NotHttp, Peer, Reply, read_reply
from siteshift.adapters.probes.lateness import Lateness
from siteshift.core.model.codes import Fault, Outcome


def whole(data: bytes, *, method: str = "GET", peer: Peer = Peer.OPEN) -> Reply:
    reply = read_reply(data, method=method, peer=peer)
    assert reply is not None
    return reply


@given(st.integers(200, 599), st.binary(max_size=500), st.booleans(), st.data())
def test_a_reply_is_the_same_however_it_is_framed_and_cut(status: int, body: bytes, chunked: bool, data: st.DataObject) -> None:
    if status in (204, 304):
        body = b""
    if chunked and status not in (204, 304):
        pieces = [body[at : at + 97] for at in range(0, len(body), 97)]
        framed = b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: t\r\n\r\n"
        raw = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (status, framed)
    else:
        raw = b"HTTP/1.1 %d X\r\nContent-LENGTH:  %d\r\n\r\n%s" % (status, len(body), body)
    reply = whole(raw)
    assert (reply.status, reply.body, reply.reusable) == (status, body, True)
    cut = data.draw(st.integers(0, len(raw) - 1))
    if status not in (204, 304):
        assert read_reply(raw[:cut], method="GET", peer=Peer.OPEN) is None


@given(st.binary(max_size=200), st.sampled_from(list(Peer)))
def test_noise_never_raises_anything_else(data: bytes, peer: Peer) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 "):
        try:
            read_reply(prefix + data, method="GET", peer=peer)
        except NotHttp:
            continue


def test_a_reply_without_length_ends_with_the_connection() -> None:
    raw = b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert read_reply(raw, method="GET", peer=Peer.OPEN) is None
    reply = whole(raw, peer=Peer.CLOSED)
    assert (reply.body, reply.reusable) == (b"hello", False)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
    ],
)
def test_connections_that_cannot_carry_another_are_not_reused(raw: bytes) -> None:
    assert not whole(raw).reusable


def test_interim_replies_are_passed_over() -> None:
    assert whole(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n").status == 204


def test_a_head_reply_has_no_body() -> None:
    assert whole(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", method="HEAD").reusable


def test_of_a_long_body_the_beginning_is_enough() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    reply = whole(head + b"x" * MAX_BODY_BYTES)
    assert len(reply.body) == MAX_BODY_BYTES
    assert not reply.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_what_is_not_http_is_said_to_be(raw: bytes) -> None:
    with pytest.raises(NotHttp):
        read_reply(raw, method="GET", peer=Peer.OPEN)


@pytest.mark.parametrize(
    ("number", "reported", "outcome", "fault"),
    [
        (errno.ECONNREFUSED, Reported.LATER, Outcome.FAIL, Fault.REFUSED),
        (errno.ECONNREFUSED, Reported.AT_ONCE, Outcome.FAIL, Fault.REFUSED),
        (errno.ECONNRESET, Reported.LATER, Outcome.FAIL, Fault.RESET),
        (errno.EPIPE, Reported.LATER, Outcome.FAIL, Fault.RESET),
        (errno.ETIMEDOUT, Reported.LATER, Outcome.FAIL, Fault.TIMEOUT),
        (errno.EHOSTUNREACH, Reported.LATER, Outcome.FAIL, Fault.UNREACHABLE),
        (errno.ENETUNREACH, Reported.LATER, Outcome.FAIL, Fault.UNREACHABLE),
        (errno.EHOSTUNREACH, Reported.AT_ONCE, Outcome.LOST, Fault.LOCAL),
        (errno.ENETUNREACH, Reported.AT_ONCE, Outcome.LOST, Fault.LOCAL),
        (errno.ENETDOWN, Reported.LATER, Outcome.LOST, Fault.LOCAL),
        (errno.EMFILE, Reported.AT_ONCE, Outcome.LOST, Fault.LOCAL),
        (errno.EADDRNOTAVAIL, Reported.AT_ONCE, Outcome.LOST, Fault.LOCAL),
        (errno.EACCES, Reported.AT_ONCE, Outcome.LOST, Fault.LOCAL),
        (errno.EXDEV, Reported.LATER, Outcome.LOST, Fault.LOCAL),
        (None, Reported.LATER, Outcome.LOST, Fault.LOCAL),
    ],
)
def test_what_an_errno_says(number: int | None, reported: Reported, outcome: Outcome, fault: Fault) -> None:
    assert verdict_of(number, reported)[:2] == (outcome, fault)


def test_quantiles_of_lateness() -> None:
    lateness = Lateness()
    assert lateness.quantile_us(990) == 0
    for late_us in range(0, 100_000, 100):
        lateness.add(late_us)
    lateness.add(5_000_000)
    assert lateness.quantile_us(500) == 50_100
    assert lateness.quantile_us(990) == 99_100
    assert lateness.quantile_us(1_000) == 1_000_000
    assert lateness.worst_us == 5_000_000
    lateness.clear()
    assert lateness.count == lateness.worst_us == 0
