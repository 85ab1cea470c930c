"""The request of an HTTP/1.1 probe as bytes. What comes back is read by `http_reply`."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from siteshift.core.model.probe import HttpCheck

USER_AGENT = "siteshift-probe"

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""These say how long their body is even when there is none (RFC 9110 section 8.6)."""


_SENDABLE = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
"""What stands in a request's target as it is; the rest is percent-encoded, line ends and what would begin a fragment too."""


def sendable(target: str | bytes) -> str:
    """A request's target as it can be sent: text beyond ASCII as UTF-8 (RFC 3987 section 3.1), bytes as they are."""
    return quote(target, safe=_SENDABLE)


def host_header(address: str, port: int, default_port: int) -> str:
    """The Host header of a name or a literal address."""
    host = f"[{address}]" if ":" in address else address
    return host if port == default_port else f"{host}:{port}"


@lru_cache(maxsize=1024)
def encode_request(check: HttpCheck, *, host: str, keep: str) -> bytes:
    """The bytes of a request, one object for all probes that send the same.

    ``keep`` is the Connection header; the check's own headers win over ours.
    """
    return request_bytes(check.method, check.path or "/", [("Host", check.host or host), ("Connection", keep)], check)


def request_bytes(method: str, target: str, ours: list[tuple[str, str]], check: HttpCheck) -> bytes:
    """A request with the headers and the body of ``check``, and those of ours that it does not set itself.

    Ours are one character a byte, so that a cookie goes back as it came; the check's are text, and sent as UTF-8.
    """
    given = {name.lower() for name, _ in check.headers}
    added = [*ours, ("User-Agent", USER_AGENT), ("Accept", "*/*")]
    if check.body or method in _WITH_BODY:
        added.append(("Content-Length", str(len(check.body))))
    lines = [f"{method} {sendable(target)} HTTP/1.1".encode()]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in added if name.lower() not in given]
    lines += [f"{name}: {value}".encode() for name, value in check.headers]
    return b"\r\n".join([*lines, b"", b""]) + check.body
