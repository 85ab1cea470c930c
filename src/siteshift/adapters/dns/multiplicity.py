"""Shares on servers without weights: how many of each site's addresses to publish.

Resolvers and clients spread over the addresses of an RRset evenly, so a site's share follows its part of the addresses.
An RRset cannot hold an address twice: a site can weigh at most as much as it has addresses. What comes nearest is
published, and what it amounts to is read back as the *actual* share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from siteshift.adapters.dns.targets import AnswerShare
from siteshift.core.model.units import WHOLE_BP

ADDRESSES_MAX = 16
"""16 IPv6 addresses make 448 bytes: the answer to any name fits into 1,232 bytes, and resolvers spread over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Addresses of one RRset, and how far their mix lies from what was wanted (sum of all differences)."""

    addresses: tuple[str, ...]
    error_bp: int


def publish(shares: tuple[AnswerShare, ...], addresses_max: int = ADDRESSES_MAX) -> Published:
    """The addresses to publish: never empty unless ``shares`` is.

    For every total up to the limit addresses are dealt out one by one to the site that gains most by it; that is
    optimal for a fixed total, because a site's error is convex in its number of addresses. The best total wins, the
    larger among equals (more addresses survive more). A site steered to zero is not in ``shares``: never published.
    """
    total_bp = sum(share.share_bp for share in shares)
    if total_bp == 0:
        return Published(addresses=(), error_bp=0)
    wanted = [share.share_bp * WHOLE_BP // total_bp for share in shares]
    room = [len(share.addresses) for share in shares]
    error_bp, counts = _best(tuple(wanted), tuple(room), addresses_max)
    addresses = [address for share, count in zip(shares, counts, strict=True) for address in share.addresses[:count]]
    return Published(addresses=tuple(dict.fromkeys(addresses)), error_bp=error_bp)


@lru_cache(maxsize=4_096)
def _best(wanted: tuple[int, ...], room: tuple[int, ...], addresses_max: int) -> tuple[int, tuple[int, ...]]:
    """The best counts of all totals, with their error. Many services share few patterns of shares."""
    best: tuple[int, tuple[int, ...]] | None = None
    for total in range(1, min(addresses_max, sum(room)) + 1):
        counts = _deal(wanted, room, total)
        error = sum(abs(count * WHOLE_BP // total - want) for count, want in zip(counts, wanted, strict=True))
        if best is None or error <= best[0]:
            best = (error, tuple(counts))
    assert best is not None
    return best


def _deal(wanted: tuple[int, ...], room: tuple[int, ...], total: int) -> list[int]:
    """``total`` addresses over the sites, each at most its ``room``; ties go to the larger share, then to the first."""
    counts = [0] * len(wanted)
    for _ in range(total):
        open_sites = [i for i in range(len(wanted)) if counts[i] < room[i]]
        chosen = max(open_sites, key=lambda i: (_gain(wanted[i], counts[i], total), wanted[i], -i))
        counts[chosen] += 1
    return counts


def _gain(want_bp: int, count: int, total: int) -> int:
    """How much nearer one address more brings a site to its share, scaled by ``total`` to stay whole."""
    want = want_bp * total
    return abs(count * WHOLE_BP - want) - abs((count + 1) * WHOLE_BP - want)
