"""HTTP/1.1 as a probe needs it: one request encoded once, one reply read from bytes. No I/O.

`read_reply` is called with everything received so far: replies to probes are small and nearly always come whole, so
one pass over the bytes is cheaper than an incremental parser (`benchmarks/bench_probe.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from siteshift.core.model.probe import HttpCheck

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024
"""Matches look at the first 256 KiB; a longer body is not read and its connection not kept."""

USER_AGENT = "siteshift-probe"


class Peer(Enum):
    """Whether the other side may still send."""

    OPEN = "open"
    CLOSED = "closed"


_OPEN, _CLOSED = Peer
"""Names of the module: an enum's member costs ten times as much to look up in Python 3.11."""


class NotHttp(Exception):
    """The peer spoke, but not HTTP/1.x."""


@dataclass(slots=True)
class Reply:
    """One reply. ``head`` is the raw status line and headers; ``reusable``: the connection may carry another."""

    status: int
    head: bytes
    body: bytes
    reusable: bool

    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case, values stripped, in order."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


def host_header(address: str, port: int, default_port: int) -> str:
    """The Host header of a literal address."""
    host = f"[{address}]" if ":" in address else address
    return host if port == default_port else f"{host}:{port}"


@lru_cache(maxsize=1024)
def encode_request(check: HttpCheck, *, host: str, keep: str) -> bytes:
    """The bytes of a request, one object for all probes that send the same.

    ``keep`` is the Connection header; the check's own headers win over ours.
    """
    given = {name.lower() for name, _ in check.headers}
    lines = [f"{check.method} {check.path or '/'} HTTP/1.1"]
    ours = [("Host", check.host or host), ("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Connection", keep)]
    if check.body or check.method in ("POST", "PUT", "PATCH"):
        ours.append(("Content-Length", str(len(check.body))))
    lines += [f"{name}: {value}" for name, value in ours if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in check.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + check.body


def read_reply(data: bytes, *, method: str, peer: Peer) -> Reply | None:
    """The reply at the start of ``data``, or None while it is incomplete.

    Raises `NotHttp`; also for a reply cut off by the close.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if not b"HTTP/1.".startswith(data[:7]) and not data.startswith(b"HTTP/1."):
            raise NotHttp(f"not an HTTP reply: {data[:40]!r}")
        if peer is _CLOSED or len(data) > MAX_HEAD_BYTES:
            raise NotHttp("the head of the reply is not complete")
        return None
    if not data.startswith(b"HTTP/1."):
        raise NotHttp(f"not an HTTP reply: {data[:40]!r}")
    try:
        status = int(data[9:12])
    except ValueError:
        raise NotHttp(f"no status in {data[:40]!r}") from None
    if 100 <= status < 200 and status != 101:
        return read_reply(data[end + 4 :], method=method, peer=peer)
    head = data[:end]
    return _with_body(data, end + 4, head, head.lower(), status, method, peer)


def _with_body(data: bytes, start: int, head: bytes, lower: bytes, status: int, method: str, peer: Peer) -> Reply | None:
    reusable = data[7:8] == b"1" and b"\r\nconnection: close" not in lower and peer is _OPEN
    if method == "HEAD" or status in (204, 304, 101):
        return Reply(status, head, b"", reusable and status != 101)
    if b"\r\ntransfer-encoding:" in lower:
        return _chunked(data, start, head, status, reusable, peer)
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = lower.find(b"\r\n", at + 17)
        try:
            length = int(lower[at + 17 : stop if stop >= 0 else None])
        except ValueError:
            raise NotHttp("a Content-Length that is no number") from None
        have = len(data) - start
        if have >= length:
            return Reply(status, head, data[start : start + length], reusable and have == length)
        if have >= MAX_BODY_BYTES:
            return Reply(status, head, data[start:], reusable=False)
        if peer is _CLOSED:
            raise NotHttp(f"closed after {have} of {length} bytes")
        return None
    if peer is _CLOSED or len(data) - start >= MAX_BODY_BYTES:
        return Reply(status, head, data[start:], reusable=False)
    return None


def _chunked(data: bytes, at: int, head: bytes, status: int, reusable: bool, peer: Peer) -> Reply | None:
    """RFC 9112 section 7.1; trailers are skipped."""
    parts: list[bytes] = []
    total = 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            break
        try:
            size = int(data[at:line_end].split(b";", 1)[0], 16)
        except ValueError:
            raise NotHttp("a chunk without a size") from None
        if size == 0:
            last = data.find(b"\r\n\r\n", line_end)
            if last < 0:
                break
            return Reply(status, head, b"".join(parts), reusable and last + 4 == len(data))
        at = line_end + 2
        parts.append(data[at : at + size])
        total += len(parts[-1])
        at += size + 2
        if total >= MAX_BODY_BYTES:
            return Reply(status, head, b"".join(parts), reusable=False)
    if peer is _CLOSED:
        raise NotHttp("closed in the middle of a chunked body")
    return None
