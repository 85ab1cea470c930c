"""Integer server weights that deliver wanted fractions as nearly as HAProxy's 0-256 allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

WEIGHT_MAX = 256
"""HAProxy's bound for one server."""
SEARCH_CLASSES = 20_000
"""Bound of the search, in rounded weights: backends of many different servers are exact enough near the top."""


class _Class(NamedTuple):
    """Servers that are alike: same group, same part of the whole."""

    group: int
    part: float
    servers: int


def integer_weights(fractions: Mapping[str, float], groups: Sequence[Sequence[str]] = ()) -> dict[str, int]:
    """Weights whose ratios come nearest to ``fractions``; every positive fraction gets at least 1.

    ``groups`` are the servers of one site each: the error of a site's share counts before that of a single server.
    """
    whole = sum(fractions.values())
    if whole <= 0:
        return dict.fromkeys(fractions, 0)
    group_of = {server: number for number, group in enumerate(groups) for server in group}
    kind = {s: (group_of.get(s, -1), round(part / whole, 9)) for s, part in fractions.items() if part > 0}
    count: dict[tuple[int, float], int] = {}
    for key in kind.values():
        count[key] = count.get(key, 0) + 1
    classes = tuple(sorted(_Class(group, part, number) for (group, part), number in count.items()))
    weight = dict(zip(((c.group, c.part) for c in classes), _search(classes), strict=True))
    return {server: weight[kind[server]] if server in kind else 0 for server in fractions}


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
        weights = tuple(max(1, int(scale * entry.part / top + 0.5)) for entry in classes)
        error = _errors(classes, weights)
        if error < best_error:
            best, best_error = weights, error
            if error == (0.0, 0.0):
                break
    return best


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
