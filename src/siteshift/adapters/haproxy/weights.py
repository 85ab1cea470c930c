"""Integer server weights that deliver wanted fractions as nearly as HAProxy's 0-256 allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WEIGHT_MAX = 256
"""HAProxy's bound for one server."""
SEARCH_COST = 50_000
"""Bound of the search, in rounded weights: large backends are exact enough near the top of the range."""


def integer_weights(
    fractions: Mapping[str, float], groups: Sequence[Sequence[str]] = (), weight_max: int = WEIGHT_MAX
) -> dict[str, int]:
    """Weights whose ratios come nearest to ``fractions``; every positive fraction gets at least 1.

    ``groups`` are the servers of one site each: the error of a site's share counts before that of a single server.
    ``weight_max`` bounds the largest weight.
    """
    largest = max(fractions.values(), default=0.0)
    if largest <= 0:
        return dict.fromkeys(fractions, 0)
    whole = sum(fractions.values())
    wanted = {server: fraction / whole for server, fraction in fractions.items() if fraction > 0}
    top = max(wanted.values())
    tries = max(1, min(weight_max, SEARCH_COST // len(wanted)))
    best: dict[str, int] = {}
    best_error = (2.0, 2.0)
    for scale in range(weight_max - tries + 1, weight_max + 1):
        weights = {server: max(1, int(scale * part / top + 0.5)) for server, part in wanted.items()}
        error = _errors(weights, wanted, groups)
        if error < best_error:
            best, best_error = weights, error
    return {server: best.get(server, 0) for server in fractions}


def _errors(
    weights: Mapping[str, int], wanted: Mapping[str, float], groups: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """The largest error of a group's share, then of a server's, to a tenth of a basis point.

    What is equally good is decided for the smaller weights: HAProxy's round robin then comes round sooner.
    """
    total = sum(weights.values())
    member_error = max(abs(weights[server] / total - part) for server, part in wanted.items())
    group_error = max(
        (
            abs(sum(weights.get(s, 0) for s in group) / total - sum(wanted.get(s, 0.0) for s in group))
            for group in groups
        ),
        default=0.0,
    )
    return round(group_error, 5), round(member_error, 5)
