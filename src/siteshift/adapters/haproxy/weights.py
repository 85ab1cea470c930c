"""Integer server weights that deliver wanted fractions as nearly as HAProxy's 0-256 allows.

By its runtime API a server can have each of them. By agent check it can only be told per cents of its *initial* weight, the
one of the configuration file: HAProxy takes ``initial * per_cent // 100``, at most 256 (server.c, the same for every version).
An initial weight of 1 has every weight in per cents of a hundred each; one of 256 has only every second or third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

WEIGHT_MAX = 256
"""HAProxy's bound for one server."""
SEARCH_CLASSES = 20_000
"""Bound of the search, in rounded weights: backends of many different servers are exact enough near the top."""


class _Class(NamedTuple):
    """Servers that are alike: same group, same part of the whole, same initial weight (0: any weight can be set)."""

    group: int
    part: float
    initial: int
    servers: int


def integer_weights(
    fractions: Mapping[str, float], groups: Sequence[Sequence[str]] = (), initial: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Weights whose ratios come nearest to ``fractions``; every positive fraction gets at least 1.

    ``groups`` are the servers of one site each: the error of a site's share counts before that of a single server.
    ``initial``: the initial weights of servers that can only be told per cents of them.
    """
    initial = initial or {}
    whole = sum(fractions.values())
    if whole <= 0:
        return dict.fromkeys(fractions, 0)
    group_of = {server: number for number, group in enumerate(groups) for server in group}
    kind = {
        server: (group_of.get(server, -1), round(part / whole, 9), initial.get(server, 0))
        for server, part in fractions.items()
        if part > 0
    }
    count: dict[tuple[int, float, int], int] = {}
    for key in kind.values():
        count[key] = count.get(key, 0) + 1
    classes = tuple(sorted(_Class(*key, number) for key, number in count.items()))
    weight = dict(zip(((c.group, c.part, c.initial) for c in classes), _search(classes), strict=True))
    return {server: weight[kind[server]] if server in kind else 0 for server in fractions}


def as_heavy_as(weights: Mapping[str, int], total: int, initial: Mapping[str, int] | None = None) -> dict[str, int]:
    """The same ratios, times the least number that makes the sum ``total`` or more, as far as there are such weights.

    For backends with servers of somebody else: what those get depends on the sum, and must not grow because ours is small.
    ``initial`` as for `integer_weights`.
    """
    initial = initial or {}
    heaviest, whole = max(weights.values(), default=0), sum(weights.values())
    if not heaviest:
        return dict(weights)
    times = max(1, min(WEIGHT_MAX // heaviest, -(-total // whole)))
    kinds = {(weight, initial.get(server, 0)) for server, weight in weights.items() if weight}
    while times > 1 and any(nearest_weight(weight * times, first) != weight * times for weight, first in kinds):
        times -= 1
    return {server: weight * times for server, weight in weights.items()}


@lru_cache(maxsize=1024)
def _search(classes: tuple[_Class, ...]) -> tuple[int, ...]:
    """One weight per class. Every scale of the largest weight is tried, the smallest first.

    What is equally good is decided for the smaller weights: HAProxy's round robin then comes round sooner.
    """
    top = max(entry.part for entry in classes)
    tries = max(1, min(WEIGHT_MAX, SEARCH_CLASSES // len(classes)))
    best: tuple[int, ...] = ()
    best_error = (2.0, 2.0)
    for scale in range(WEIGHT_MAX - tries + 1, WEIGHT_MAX + 1):
        weights = tuple(nearest_weight(max(1, int(scale * entry.part / top + 0.5)), entry.initial) for entry in classes)
        error = _errors(classes, weights)
        if error < best_error:
            best, best_error = weights, error
            if error == (0.0, 0.0):
                break
    return best


@lru_cache(maxsize=1 << 16)
def nearest_weight(weight: int, initial: int) -> int:
    """The weight nearest to this one that a server of this initial weight can have; never 0. ``initial`` 0: each of them."""
    if not initial:
        return weight
    per_cent = per_cent_of(weight, initial)
    above, below = min(initial * per_cent // 100, WEIGHT_MAX), initial * (per_cent - 1) // 100
    return below if below > 0 and weight - below < above - weight else above


def per_cent_of(weight: int, initial: int) -> int:
    """The per cents of its initial weight that give a server this weight, or the next one it can have."""
    return -(-100 * weight // initial)


def _errors(classes: Sequence[_Class], weights: Sequence[int]) -> tuple[float, float]:
    """The largest error of a group's share, then of a server's, to a tenth of a basis point."""
    total = sum(weight * entry.servers for entry, weight in zip(classes, weights, strict=True))
    per_group: dict[int, float] = {}
    member_error = 0.0
    for entry, weight in zip(classes, weights, strict=True):
        off = weight / total - entry.part
        member_error = max(member_error, abs(off))
        if entry.group >= 0:
            per_group[entry.group] = per_group.get(entry.group, 0.0) + off * entry.servers
    group_error = max(map(abs, per_group.values()), default=0.0)
    return round(group_error, 5), round(member_error, 5)
