"""Content codings undone: what is read, what is refused, and what a body that unpacks without end may cost."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from siteshift.adapters.probes.http_content import Undecodable, decoded

TEXT = b"all is well " * 300
MOST = 256 * 1024


def raw_deflate(data: bytes) -> bytes:
    pack = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return pack.compress(data) + pack.flush()


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        ([], TEXT),
        (["identity"], TEXT),
        (["gzip"], gzip.compress(TEXT, mtime=0)),
        (["x-gzip"], gzip.compress(TEXT, mtime=0)),
        (["identity", "gzip"], gzip.compress(TEXT, mtime=0)),
        (["gzip"], gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
        (["deflate"], zlib.compress(TEXT)),
        (["deflate"], raw_deflate(TEXT)),
    ],
)
def test_a_body_is_unpacked(codings: list[str], body: bytes) -> None:
    assert decoded(body, codings, most_bytes=MOST, is_whole=True) == TEXT


@pytest.mark.parametrize(
    ("codings", "body", "words"),
    [
        (["br"], b"\x0b\x02\x80", "encoded as br"),
        (["gzip", "gzip"], gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "encoded as gzip, gzip"),
        (["gzip"], TEXT, "does not unpack"),
        (["gzip"], gzip.compress(TEXT, mtime=0)[:-9], "ends too early"),
        (["deflate"], b"\xff\xff\xff", "does not unpack"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_said_to_be(codings: list[str], body: bytes, words: str) -> None:
    with pytest.raises(Undecodable, match=words):
        decoded(body, codings, most_bytes=MOST, is_whole=True)


def test_of_a_body_that_came_in_part_the_part_is_unpacked() -> None:
    packed = raw_deflate(TEXT)
    assert TEXT.startswith(decoded(packed[: len(packed) // 2], ["deflate"], most_bytes=MOST, is_whole=False))


def bomb() -> bytes:
    """200 MB of zeros in 200 KB."""
    pack = zlib.compressobj(9, wbits=31)
    return b"".join(pack.compress(bytes(1_000_000)) for _ in range(200)) + pack.flush()


@pytest.mark.parametrize(("most_bytes", "is_held"), [(MOST, True), (100_000_000, False)])
def test_a_bomb_costs_no_more_memory_than_the_bound(most_bytes: int, is_held: bool) -> None:
    """The second case is the negative control: without the bound the memory goes."""
    packed = bomb()
    assert len(packed) < MOST
    tracemalloc.start()
    try:
        content = decoded(packed, ["gzip"], most_bytes=most_bytes, is_whole=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(content) == most_bytes
    assert (peak_bytes < 8 * MOST) is is_held


def test_many_small_members_are_looked_at_only_so_far() -> None:
    assert len(decoded(gzip.compress(b"x", mtime=0) * 10_000, ["gzip"], most_bytes=MOST, is_whole=True)) == 16
