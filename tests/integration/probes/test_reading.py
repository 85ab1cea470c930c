"""Reading HTTP replies from bytes, errors from errnos, lateness from a histogram: tables and properties."""

from __future__ import annotations

import contextlib
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http_reply import BOUNDS, NotHttp, Reply, ReplyReader
from siteshift.adapters.probes.lateness import Lateness
from siteshift.core.model.codes import Fault, Outcome


def read(raw: bytes, *, method: str = "GET", piece_bytes: int = 16_384) -> Reply | None:
    """The reply in ``raw``, fed in pieces as the carriers do; None while it is not complete."""
    reader = ReplyReader(method)
    for at in range(0, len(raw), piece_bytes):
        reply = reader.feed(raw[at : at + piece_bytes])
        if reply is not None:
            return reply
    return None


def whole(raw: bytes, *, method: str = "GET") -> Reply:
    reply = read(raw, method=method)
    assert reply is not None
    return reply


@given(st.integers(200, 599), st.binary(max_size=500), st.booleans(), st.integers(1, 40), st.data())
def test_a_reply_is_the_same_however_it_is_framed_and_cut(
    status: int, body: bytes, chunked: bool, piece_bytes: int, data: st.DataObject
) -> None:
    if status in (204, 304):
        body = b""
    if chunked and status not in (204, 304):
        pieces = [body[at : at + 97] for at in range(0, len(body), 97)]
        framed = b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: t\r\n\r\n"
        raw = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (status, framed)
    else:
        raw = b"HTTP/1.1 %d X\r\nContent-LENGTH:  %d\r\n\r\n%s" % (status, len(body), body)
    for reply in (whole(raw), read(raw, piece_bytes=piece_bytes)):
        assert reply is not None
        assert (reply.status, reply.body, reply.is_whole, reply.reusable) == (status, body, True, True)
    cut = data.draw(st.integers(0, len(raw) - 1))
    if status not in (204, 304):
        assert read(raw[:cut], piece_bytes=piece_bytes) is None


@given(st.binary(max_size=200))
def test_noise_never_raises_anything_else(data: bytes) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n"):
        reader = ReplyReader("GET")
        with contextlib.suppress(NotHttp):
            if reader.feed(prefix + data) is None:
                reader.end()


def test_a_reply_without_length_ends_with_the_connection() -> None:
    reader = ReplyReader("GET")
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhello") is None
    reply = reader.end()
    assert (reply.body, reply.is_whole, reply.reusable) == (b"hello", True, False)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 200", "before the head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "after 4 of 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "in the middle of a chunked body"),
    ],
)
def test_a_reply_that_is_cut_off_is_said_to_be(raw: bytes, words: str) -> None:
    reader = ReplyReader("GET")
    assert reader.feed(raw) is None
    with pytest.raises(NotHttp, match=words):
        reader.end()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nblob",
    ],
)
def test_connections_that_cannot_carry_another_are_not_reused(raw: bytes) -> None:
    assert not whole(raw).reusable


def test_interim_replies_are_passed_over() -> None:
    reply = whole(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n")
    assert (reply.status, reply.headers()) == (204, [])


def test_a_head_reply_has_no_body() -> None:
    assert whole(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", method="HEAD").reusable
    assert not whole(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nall the same", method="HEAD").reusable


def test_of_a_long_body_the_beginning_is_enough() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    reply = whole(head + b"x" * BOUNDS.body_bytes)
    assert len(reply.body) == BOUNDS.body_bytes
    assert (reply.is_whole, reply.reusable) == (False, False)


def test_a_folded_header_is_unfolded() -> None:
    reply = whole(b"HTTP/1.1 200 OK\r\nX-Role: primary,\r\n  writable\r\nContent-Length: 0\r\n\r\n")
    assert ("x-role", "primary,  writable") in reply.headers() or ("x-role", "primary, writable") in reply.headers()


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
