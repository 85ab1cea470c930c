"""The content codings of HTTP (RFC 9110 section 8.4.1) undone, at a bounded cost: a probe looks at the beginning of a body.

A body that would unpack to a gigabyte gives its first bytes and costs no more than one that would not.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

MAX_MEMBERS = 16
"""A gzip body may be several files in a row; each costs a copy of what is left, so no more are looked at."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Undecodable(Exception):
    """A content coding that is not known here, or a body that is not in it."""


def decoded(body: bytes, codings: Sequence[str], *, most_bytes: int, is_whole: bool) -> bytes:
    """At most ``most_bytes`` of the content. ``is_whole`` off: of the body only the beginning came. Raises `Undecodable`."""
    wanted = [coding for coding in codings if coding != "identity"]
    if not wanted or not body:
        return body
    if len(wanted) > 1 or wanted[0] not in ("gzip", "x-gzip", "deflate"):
        raise Undecodable(f"a body encoded as {', '.join(wanted)[:60]}: a check reads gzip and deflate")
    window = -zlib.MAX_WBITS if wanted[0] == "deflate" and not _has_zlib_header(body) else _GZIP_OR_ZLIB
    return _unpacked(body, window, most_bytes, is_whole=is_whole)


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950 section 2.2. Some servers send deflate without it."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _unpacked(body: bytes, window: int, most_bytes: int, *, is_whole: bool) -> bytes:
    content = b""
    for _ in range(MAX_MEMBERS):
        unpack = zlib.decompressobj(window)
        try:
            content += unpack.decompress(body, most_bytes - len(content))
        except zlib.error as problem:
            raise Undecodable(f"a body that does not unpack: {problem}") from None
        if len(content) >= most_bytes:
            break
        if not unpack.eof:
            if is_whole:
                raise Undecodable("a compressed body that ends too early")
            break
        body = unpack.unused_data
        if not body:
            break
    return content
