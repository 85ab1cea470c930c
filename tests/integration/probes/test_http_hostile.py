"""Replies that are no HTTP, or more of it than any reply needs: one table for every way in which HTTP is probed.

The right answer is always the same: this check fails, as PROTOCOL, at once, and never a hang.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from siteshift.adapters.probes.http_reply import HttpBounds
from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec

from .peers import keeps_saying, tcp_peer
from .probing import first_result, spec

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

PATIENCE_MS = 20_000
"""A reply that hangs would take this long; "at once" is a tenth of it."""

LOOK = HttpCheck(body_match="^hello$")

WAYS: dict[str, Callable[[int], ProbeSpec]] = {
    "kept": lambda port: spec(ProbeKind.HTTP, port, keep_alive=True, timeout_ms=PATIENCE_MS),
    "body": lambda port: spec(ProbeKind.HTTP, port, http=LOOK, timeout_ms=PATIENCE_MS),
    "redirects": lambda port: spec(ProbeKind.HTTP, port, http=HttpCheck(follow_redirects=1), timeout_ms=PATIENCE_MS),
    "journey": lambda port: spec(ProbeKind.JOURNEY, port, steps=(LOOK,), keep_alive=True, timeout_ms=PATIENCE_MS),
}

BAD_BODIES = {
    "a negative chunk size": CHUNKED + b"-6\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size of one": CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n",
    "a chunk size with a plus": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk size with an underscore": CHUNKED + b"0_5\r\nhello\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk size of 17 digits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a chunk size after a space": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "a chunk size before a space": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "a chunk size in other digits": CHUNKED + "٥\r\nhello\r\n0\r\n\r\n".encode(),
    "a chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
}

BAD_HEADS = {
    "a negative status": b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status with a plus": b"HTTP/1.1 +200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a status in other digits": "HTTP/1.1 ٢٠٠ OK\r\nContent-Length: 5\r\n\r\nhello".encode(),
    "a status that does not exist": b"HTTP/1.1 999 OK\r\nContent-Length: 5\r\n\r\nhello",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "one length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths in one": HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length beside a transfer coding": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a length after a transfer coding": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a coding nobody asked for": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a coding in two headers": HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a coding that is none": HEAD + b"Transfer-Encoding: identity\r\n\r\nhello",
    "a length with an underscore": HEAD + b"Content-Length: 1_0\r\n\r\nhellohello",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "a length with a plus": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "a huge length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a length of 64 bits": HEAD + b"Content-Length: 18446744073709551615\r\n\r\nhello",
    "a length in other digits": HEAD + "Content-Length: ٥\r\n\r\nhello".encode(),
    "an empty length": HEAD + b"Content-Length: \r\n\r\nhello",
    "a space in a name": HEAD + b"Content Length: 5\r\n\r\nhello",
    "a space before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "a NUL in a header": HEAD + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "a control character in a header": HEAD + b"X: a\x01b\r\nContent-Length: 5\r\n\r\nhello",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a line that is no header": HEAD + b"hello\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", BAD_HEADS | BAD_BODIES)
async def test_what_is_not_http_is_a_protocol_error_at_once(way: str, case: str) -> None:
    async with tcp_peer(keeps_saying((BAD_HEADS | BAD_BODIES)[case])) as port:
        result = await first_result(WAYS[way](port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
    assert result.latency_us < PATIENCE_MS * 100


@pytest.mark.parametrize("case", BAD_HEADS)
async def test_a_bad_head_is_a_protocol_error_also_where_only_the_status_counts(case: str) -> None:
    """A plain check on a new connection does not wait for the body, as HAProxy's own; but a head is read whole."""
    async with tcp_peer(keeps_saying(BAD_HEADS[case])) as port:
        result = await first_result(spec(ProbeKind.HTTP, port, timeout_ms=PATIENCE_MS))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail


GOOD = {
    "a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "a length with zeros": HEAD + b"Content-Length: 0005\r\n\r\nhello",
    "chunks": CHUNKED + b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
    "a chunk with zeros": CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n",
    "extensions and trailers": CHUNKED + b"5;a=b;c\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "interim replies": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
    + HEAD
    + b"Content-Length: 5\r\n\r\nhello",
    "a head of 9 kB": HEAD + b"X-Long: " + b"x" * 9_000 + b"\r\nContent-Length: 5\r\n\r\nhello",
    "a hundred headers": HEAD + b"X: y\r\n" * 100 + b"Content-Length: 5\r\n\r\nhello",
    "a folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "bytes beyond ASCII in a header": HEAD + b"X: caf\xe9\r\nContent-Length: 5\r\n\r\nhello",
    "gzip": HEAD
    + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(gzip.compress(b"hello", mtime=0)), gzip.compress(b"hello", mtime=0)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", GOOD)
async def test_what_is_http_passes_every_way(way: str, case: str) -> None:
    async with tcp_peer(keeps_saying(GOOD[case])) as port:
        result = await first_result(WAYS[way](port))
    assert (result.outcome, result.fault) == (Outcome.PASS, Fault.NONE), result.detail


MANY = 4_000_000
"""Bytes of what never ends: as good as endless beside bounds of 64 KiB, and it fits the sockets of a test."""

ENDLESS = {
    "a header line": HEAD + b"X: " + b"x" * MANY,
    "a header name": HEAD + b"x" * MANY,
    "headers": HEAD + b"X: y\r\n" * (MANY // 6),
    "a reason phrase": b"HTTP/1.1 200 " + b"x" * MANY,
    "interim replies": b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000,
    "chunks of one byte": CHUNKED + b"1\r\nx\r\n" * (MANY // 6),
    "a chunk-size line": CHUNKED + b"5;" + b"x" * MANY,
    "zeros of a chunk size": CHUNKED + b"0" * MANY,
    "trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * (MANY // 6),
    "one trailer": CHUNKED + b"0\r\nX: " + b"y" * MANY,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ENDLESS)
async def test_a_reply_without_end_is_a_protocol_error(way: str, case: str) -> None:
    async with tcp_peer(keeps_saying(ENDLESS[case])) as port:
        result = await first_result(WAYS[way](port))
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.PROTOCOL), result.detail
    assert result.latency_us < PATIENCE_MS * 500


UNBOUNDED = HttpBounds(head_bytes=1 << 40, interims=1 << 40, framing_bytes=1 << 40)


@pytest.mark.parametrize("way", ["kept", "journey"])
@pytest.mark.parametrize("case", ENDLESS)
async def test_without_its_bounds_such_a_reply_goes_on(way: str, case: str) -> None:
    """The negative control: the same reply, and nobody who ends it but the time-out or the limit of the body."""
    one = WAYS[way](0)
    async with tcp_peer(keeps_saying(ENDLESS[case])) as port:
        one = spec(one.kind, port, keep_alive=True, http=one.http, steps=one.steps, timeout_ms=2_000)
        result = await first_result(one, limits=ProberLimits(http=UNBOUNDED))
    assert result.fault is not Fault.PROTOCOL, result.detail
