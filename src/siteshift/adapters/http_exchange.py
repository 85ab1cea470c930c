"""One question by HTTP and its answer, bounded in bytes on the wire, bytes unpacked and time. Redirects are answers.

For everything that is asked now and then: pages of counters, hooks of standbys, webhooks. Probes have an engine of their
own; the reply is read by the same strict reader. Each exchange has a connection of its own, which is closed afterwards:
nothing that one answer leaves behind can spoil the next.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from yarl import URL

from siteshift.adapters import wire
from siteshift.adapters.probes.http_reply import HttpBounds, NotHttp, Reply, ReplyReader, Wanted
from siteshift.adapters.probes.http_request import host_header

READ_BYTES = 8_192
"""Read and parsed at one turn of the loop: 0.1 ms, and 1 ms where it is all chunks of one byte."""
PIECE_BYTES = 65_536
"""Unpacked at one turn of the loop: 0.2 ms."""
GZIP = 16 + zlib.MAX_WBITS
DEFAULT_PORTS = {"http": 80, "https": 443}
TLS_CLOSE_S = 1.0
USER_AGENT = "siteshift"


class Cause(Enum):
    """Why there is no answer."""

    ASKED_WRONGLY = "asked_wrongly"
    """No request can be made of this URL or these headers."""
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    """The certificate is not one we trust."""
    LATE = "late"
    BROKEN = "broken"
    """What came is no HTTP reply, too much of one, or ended in the middle."""


class NoAnswer(Exception):
    """The exchange failed. ``was_sent``: the other side may have got the request, and may have done what it asks for."""

    def __init__(self, cause: Cause, text: str, *, was_sent: bool) -> None:
        super().__init__(text)
        self.cause = cause
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. ``tls`` None: the authorities of this machine are trusted; ``server_name`` empty: the URL's host."""

    url: URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    tls: ssl.SSLContext | None = None
    server_name: str = ""


@dataclass(slots=True)
class _Progress:
    was_sent: bool = False


async def exchange(
    question: Question, *, deadline_ms: int, bounds: HttpBounds, wanted: Wanted = Wanted.WHOLE
) -> tuple[int, bytes]:
    """Status and content, unpacked, no longer than ``bounds.body_bytes`` (a longer one is cut there).

    Raises `NoAnswer`, and nothing else whatever the other side does.
    """
    progress = _Progress()
    try:
        async with asyncio.timeout(deadline_ms / 1_000):
            reply = await _ask(question, bounds, wanted, progress)
            if wanted is Wanted.HEAD:
                return reply.status, b""
            return reply.status, await _content(reply, bounds.body_bytes)
    except TimeoutError:
        raise NoAnswer(Cause.LATE, f"no answer within {deadline_ms} ms", was_sent=progress.was_sent) from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(Cause.UNTRUSTED, error.verify_message, was_sent=False) from None
    except NotHttp as error:
        raise NoAnswer(Cause.BROKEN, str(error), was_sent=progress.was_sent) from None
    except OSError as error:
        cause = Cause.BROKEN if progress.was_sent else Cause.UNREACHABLE
        raise NoAnswer(cause, error.strerror or str(error) or type(error).__name__, was_sent=progress.was_sent) from None
    except UnicodeError:  # a host name that no resolver can be asked for
        raise NoAnswer(Cause.ASKED_WRONGLY, "the URL's host is no name", was_sent=False) from None


async def _ask(question: Question, bounds: HttpBounds, wanted: Wanted, progress: _Progress) -> Reply:
    url = question.url
    request = encoded(question)
    is_tls = url.scheme == "https"
    tls = (question.tls or await asyncio.to_thread(_trusting_this_machine)) if is_tls else None
    reader, writer = await asyncio.open_connection(
        url.raw_host,
        url.port,
        limit=READ_BYTES,
        ssl=tls,
        server_hostname=(question.server_name or url.raw_host) if is_tls else None,
        ssl_shutdown_timeout=TLS_CLOSE_S if is_tls else None,
    )
    try:
        progress.was_sent = True
        writer.write(request)
        reply = await _read(reader, ReplyReader(question.method, wanted, bounds))
    except BaseException:
        writer.transport.abort()
        raise
    writer.close()
    return reply


async def _read(reader: asyncio.StreamReader, replies: ReplyReader) -> Reply:
    """Feed the reader a piece at each turn of the loop. Raises `NotHttp`, OSError."""
    while data := await reader.read(READ_BYTES):
        found = replies.feed(data)
        if found is not None:
            return found
        await asyncio.sleep(0)  # what is buffered already is read without waiting: others must have their turn
    return replies.end()


async def _content(reply: Reply, most_bytes: int) -> bytes:
    """The body, unpacked a piece at each turn of the loop. Raises `NotHttp` when it cannot be.

    Not in a thread: with one core that takes the loop's time all the same, and as much at once as it likes.
    """
    codings = [value.lower() for name, value in reply.headers() if name == "content-encoding"]
    if not reply.body or codings in ([], ["identity"]):
        return reply.body
    if codings != ["gzip"]:
        raise NotHttp(f"a body packed as {', '.join(codings)[:60]}: only gzip was asked for")
    pieces, unpacked = [], 0
    try:
        for piece in _unpacked(reply.body):
            pieces.append(piece)
            unpacked += len(piece)
            if unpacked >= most_bytes:
                break
            await asyncio.sleep(0)
    except zlib.error as error:
        raise NotHttp(f"a body that does not unpack: {error}") from None
    return b"".join(pieces)[:most_bytes]


def _unpacked(body: bytes) -> Iterator[bytes]:
    """The content of a gzip body in pieces of at most `PIECE_BYTES`. Raises `zlib.error`."""
    unpack = zlib.decompressobj(GZIP)
    for at in range(0, len(body), READ_BYTES):
        left = body[at : at + READ_BYTES]
        while left and not unpack.eof:
            yield unpack.decompress(left, PIECE_BYTES)
            left = unpack.unconsumed_tail
    if not unpack.eof:
        raise zlib.error("it ends too early")


def encoded(question: Question) -> bytes:
    """The request's bytes. Raises `NoAnswer` for what cannot be asked."""
    url, default_port = question.url, DEFAULT_PORTS.get(question.url.scheme)
    if default_port is None or not url.raw_host:
        raise NoAnswer(Cause.ASKED_WRONGLY, "the URL is not one of http or https", was_sent=False)
    headers = {
        "Host": host_header(url.raw_host, url.port or default_port, default_port),
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "gzip",
        "Connection": "close",
    }
    if url.user is not None:
        credentials = f"{url.user}:{url.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
    if question.body or question.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(question.body))
    given = {name.lower() for name in question.headers}
    lines = [f"{question.method} {url.raw_path_qs or '/'} HTTP/1.1"]
    try:
        for name, value in {**{n: v for n, v in headers.items() if n.lower() not in given}, **question.headers}.items():
            lines.append(f"{wire.token(name)}: {wire.field_value(value)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + question.body
    except ValueError:
        raise NoAnswer(Cause.ASKED_WRONGLY, "a header cannot be sent", was_sent=False) from None


@functools.cache
def _trusting_this_machine() -> ssl.SSLContext:
    """Reads some 150 certificates: 20 ms, once, in a thread."""
    return ssl.create_default_context()
