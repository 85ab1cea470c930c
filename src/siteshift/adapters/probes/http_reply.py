"""One HTTP/1.x reply, read as its bytes come. No I/O.

llhttp (by httptools) reads the grammar: RFC 9112 to the letter, except that a folded header is unfolded, as section 5.2
asks of a client. What it leaves open is refused here: transfer codings that nobody asked for, statuses and versions that
do not exist, control characters in a header. A reply that two readers could understand in two ways is no reply.

Whatever a peer sends, `HttpBounds` ends it: each byte is looked at once, and there is a last one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import httptools

from siteshift.adapters import wire
from siteshift.adapters.probes.http_content import Undecodable, decoded
from siteshift.adapters.probes.http_text import text_of

NO_BODY = frozenset({101, 204, 304})
"""Statuses whose replies end with their head (RFC 9110 section 6.4.1; after 101 another protocol follows)."""

MAX_LENGTH_DIGITS = 18
"""No body has an exabyte."""

_CONTROLS = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TOKEN = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_BESIDE_A_FIELD = len(": \r\n")
_UNTIL_CLOSE, _CHUNKED = -1, -2
"""In place of a length: the body ends with the connection, or says itself where it ends."""


class NotHttp(Exception):
    """The peer spoke, but not HTTP/1.x, or more of it than any reply needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBounds:
    """How much a reply may bring.

    ``head_bytes``     status line and headers, those of interim replies included; most servers send at most 8 KiB.
    ``interims``       replies before the reply (100, 102, 103): a proxy's and a server's, and some room.
    ``framing_bytes``  what is in the body but not of it: chunk sizes, their extensions, trailers. 11,000 chunks.
    ``body_bytes``     matches look at the first 256 KiB, on the wire and decoded; a longer body is not read to its end,
                       and its connection not kept.
    """

    head_bytes: int = 64 * 1024
    interims: int = 16
    framing_bytes: int = 64 * 1024
    body_bytes: int = 256 * 1024


BOUNDS = HttpBounds()


class Wanted(Enum):
    """How much of a reply is waited for. The head: nobody looks at the body, and the connection is closed anyway."""

    HEAD = "head"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply, as it came. ``is_whole``: all of the body did. ``reusable``: the connection may carry another."""

    status: int
    fields: Sequence[tuple[bytes, bytes]]
    body: bytes
    is_whole: bool
    reusable: bool

    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case, values stripped, in order: as UTF-8, or as Latin-1 (RFC 9110 section 5.5) where they are not."""
        return [(name.decode("latin-1").lower(), _text(value.strip(b" \t"))) for name, value in self.fields]

    def raw(self, wanted: bytes) -> list[bytes]:
        """The values of the headers of a name in lower case, byte by byte as they came."""
        return [value.strip(b" \t") for name, value in self.fields if len(name) == len(wanted) and name.lower() == wanted]

    def text(self, bounds: HttpBounds = BOUNDS) -> str:
        """The beginning of the body as text, unpacked. Raises `NotHttp` when it cannot be."""
        content_type = next(iter(self.raw(b"content-type")), b"").decode("latin-1")
        body = self.content(bounds)
        is_whole = self.is_whole and len(body) < bounds.body_bytes
        return text_of(body, content_type, is_whole=is_whole)

    def content(self, bounds: HttpBounds = BOUNDS) -> bytes:
        """The beginning of the body, unpacked. Raises `NotHttp` when it cannot be."""
        codings = _words(self.fields, b"content-encoding")
        try:
            return decoded(self.body, codings, most_bytes=bounds.body_bytes, is_whole=self.is_whole)
        except Undecodable as problem:
            raise NotHttp(str(problem)) from None


class ReplyReader:
    """Reads one reply to a request of ``method``: `feed` it what comes, or tell it the `end`.

    The methods ``on_...`` are llhttp's to call.
    """

    __slots__ = (
        "_body_bytes",
        "_bounds",
        "_ends_with_head",
        "_fed_bytes",
        "_fields",
        "_framing_from",
        "_has_more",
        "_head_bytes",
        "_interims",
        "_is_cut",
        "_is_done",
        "_length",
        "_parser",
        "_parts",
        "_status",
    )

    def __init__(self, method: str, wanted: Wanted = Wanted.WHOLE, bounds: HttpBounds = BOUNDS) -> None:
        self._bounds = bounds
        self._ends_with_head = wanted is Wanted.HEAD or method == "HEAD"
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._status = self._interims = 0
        self._length = _UNTIL_CLOSE
        self._fed_bytes = self._head_bytes = self._body_bytes = self._framing_from = 0
        self._is_done = self._is_cut = self._has_more = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_headers=True)  # folded ones; the rest it allows is refused below

    def feed(self, data: bytes) -> Reply | None:
        """Read on; the reply once it is there. Raises `NotHttp`. Of no use after either."""
        self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if not self._is_done:
                self._hold_bounds()
                return None
        except httptools.HttpParserUpgrade:
            self._has_more = True
        except httptools.HttpParserCallbackError as problem:
            raise problem.__context__ or problem from None
        except httptools.HttpParserError as problem:
            if not self._is_done:
                quoted = "" if self._status else f": {data[:40]!r}"
                raise NotHttp(f"not an HTTP reply: {problem}{quoted}") from None
            self._has_more = True  # what comes after the reply is no part of it
        if self._ends_with_head and not data.endswith(b"\r\n\r\n"):
            self._has_more = True
        return self._reply()

    def end(self) -> Reply:
        """The peer closed: the reply, if that is its end. Raises `NotHttp` when it was cut off."""
        if not self._status:
            raise NotHttp("closed before the head of the reply was complete")
        if self._length == _CHUNKED:
            raise NotHttp("closed in the middle of a chunked body")
        if self._length != _UNTIL_CLOSE:
            raise NotHttp(f"closed after {self._body_bytes} of {self._length} bytes")
        self._has_more = True  # not kept
        return self._reply()

    def _reply(self) -> Reply:
        keeps = self._parser.get_http_version() == "1.1" and "close" not in _words(self._fields, b"connection")
        del self._parser  # it holds us, and we it: no work for the garbage collector
        return Reply(
            status=self._status,
            fields=self._fields,
            body=b"".join(self._parts)[: self._bounds.body_bytes],
            is_whole=not self._is_cut,
            reusable=keeps and self._status != 101 and not self._is_cut and not self._has_more,
        )

    def _hold_bounds(self) -> None:
        bounds = self._bounds
        if not self._status:
            if self._fed_bytes > bounds.head_bytes:
                raise NotHttp(f"the head of the reply has no end after {bounds.head_bytes} bytes")
        elif not self._framing_from:
            self._framing_from = self._fed_bytes - self._body_bytes
        elif self._fed_bytes - self._body_bytes - self._framing_from > bounds.framing_bytes:
            raise NotHttp(f"more than {bounds.framing_bytes} bytes of chunk sizes and trailers")

    # ---- called by the parser

    def on_message_begin(self) -> None:
        if self._is_done:
            self._has_more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # what follows are trailers, or another reply
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._status:
            return
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        self._head_bytes += sum([len(name) + len(value) + _BESIDE_A_FIELD for name, value in self._fields])
        if self._head_bytes > self._bounds.head_bytes:  # counted, so that it does not hang on how the bytes were cut
            raise NotHttp(f"the head of the reply has more than {self._bounds.head_bytes} bytes")
        if version not in ("1.1", "1.0") or not 100 <= status <= 599:
            raise NotHttp(f"HTTP/{version} with status {status} is no HTTP/1 reply")
        if _CONTROLS.search(b"".join([value for _, value in self._fields])):
            raise NotHttp("control characters in a header")
        if _NO_TOKEN.search(b"".join([name for name, _ in self._fields])):
            raise NotHttp("the name of a header is no token")
        if status < 200 and status != 101:
            self._interims += 1
            self._fields = []
            if self._interims > self._bounds.interims:
                raise NotHttp(f"more than {self._bounds.interims} interim replies")
            return
        self._length = _length_of(self._fields)
        self._status = status
        self._is_done = self._ends_with_head or status in NO_BODY

    def on_body(self, data: bytes) -> None:
        if self._is_done:
            return
        self._parts.append(data)
        self._body_bytes += len(data)
        if self._body_bytes >= self._bounds.body_bytes:
            self._is_done = self._is_cut = True

    def on_message_complete(self) -> None:
        if self._status:
            self._is_done = True


def _length_of(fields: Sequence[tuple[bytes, bytes]]) -> int:
    """The length of the body. llhttp let through at most one Content-Length, and none beside a transfer coding."""
    for name, value in fields:
        if len(name) == 14 and name.lower() == b"content-length":
            try:
                return wire.decimal(value.strip(b" \t"), digits=MAX_LENGTH_DIGITS)
            except wire.BadWire as problem:
                raise NotHttp(f"Content-Length: {problem}") from None
    codings = [value.strip(b" \t").lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise NotHttp(f"Transfer-Encoding: {b', '.join(codings)[:60].decode('latin-1')}, and nothing but chunked was asked for")
    return _CHUNKED if codings else _UNTIL_CLOSE


def _words(fields: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    """The comma-separated words of every field of a name, in lower case."""
    values = [value for name, value in fields if len(name) == len(wanted) and name.lower() == wanted]
    return [word for value in values for part in value.decode("latin-1").split(",") if (word := part.strip(" \t").lower())]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
