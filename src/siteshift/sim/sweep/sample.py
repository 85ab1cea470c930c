"""Which worlds are run: all of them, or a sample in which every fault meets every value of every factor.

The same numbers give the same sample. The order is such that each beginning of it is spread over the faults, too, so that a sweep
cut short by time has still looked everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, zip_longest

from siteshift.sim.sweep.factors import FACTORS, FAULTS, Combination, Strike, places_of, single_combinations

PAIRS = 600
PAIR_PART = 0.2
"""So much of a sample are pairs: of all worlds they are a twelfth, and they are where rules meet."""
_MOST_VALUES = max(len(choices) for choices in (*FACTORS.values(), places_of("crash")))
LEAST = 50
"""The smallest sample: `_MOST_VALUES` worlds of each fault, and ten pairs."""


def pairs() -> list[Combination]:
    """The 600 sampled pairs: two faults, `factors.APART_S` apart, in a world drawn for them."""
    lots = random.Random("sweep/pairs")
    found: dict[str, Combination] = {}
    while len(found) < PAIRS:
        one, other = (_strike(lots) for _ in range(2))
        values = tuple(lots.choice(choices) for choices in FACTORS.values())
        made = Combination(strikes=(one, other), values=values)
        if one.kind != other.kind or not set(one.sites()) & set(other.sites()):
            found.setdefault(made.id, made)
    return list(found.values())


def _strike(lots: random.Random) -> Strike:
    kind = lots.choice(list(FAULTS))
    return Strike(kind=kind, place=lots.choice(places_of(kind)))


def everything() -> list[Combination]:
    """All worlds, in an order spread over the faults."""
    kinds: dict[str, list[Combination]] = {}
    for one in single_combinations():
        kinds.setdefault(one.fault, []).append(one)
    for kind, ones in kinds.items():
        random.Random(f"sweep/{kind}").shuffle(ones)
    return list(_in_turn([*kinds.values(), pairs()]))


def sample(size: int) -> list[Combination]:
    """So many worlds, at least `LEAST`; with every pair of a fault and a value of a factor. Raises ValueError for fewer.

    Each factor of each fault is a column of its own in which every value comes equally often, in an order drawn.
    """
    if size < LEAST:
        raise ValueError(f"a sample has at least {LEAST} worlds, or a fault would not meet every value")
    whole = everything()
    if size >= len(whole):
        return whole
    paired = min(PAIRS, int(size * PAIR_PART))
    counts = _spread(size - paired)
    chosen = [_of_kind(kind, count) for kind, count in counts.items()]
    return list(_in_turn([*chosen, pairs()[:paired]]))


def _spread(size: int) -> dict[str, int]:
    """How many worlds of each fault; no more than there are."""
    counts = dict.fromkeys(FAULTS, 0)
    most = {kind: len(places_of(kind)) for kind in FAULTS}
    for choices in FACTORS.values():
        most = {kind: count * len(choices) for kind, count in most.items()}
    left = size
    while left and any(counts[kind] < most[kind] for kind in FAULTS):
        for kind in FAULTS:
            if left and counts[kind] < most[kind]:
                counts[kind] += 1
                left -= 1
    return counts


def _of_kind(kind: str, count: int) -> list[Combination]:
    """So many different worlds of a fault, by balanced columns; what comes twice is drawn anew from what is left."""
    lots = random.Random(f"sweep/{kind}/{count}")
    columns = [_column(lots, choices, count) for choices in (places_of(kind), *FACTORS.values())]
    found: dict[str, Combination] = {}
    for place, *values in zip(*columns, strict=True):
        made = Combination(strikes=(Strike(kind=kind, place=place),), values=tuple(values))
        found.setdefault(made.id, made)
    if len(found) < count:
        others = [one for one in single_combinations() if one.fault == kind and one.id not in found]
        found |= {one.id: one for one in lots.sample(others, count - len(found))}
    return list(found.values())


def _column(lots: random.Random, choices: tuple[str, ...], count: int) -> list[str]:
    """Each value in every round of so many; the rounds are shuffled."""
    column: list[str] = []
    while len(column) < count:
        column += lots.sample(choices, len(choices))
    return column[:count]


def _in_turn(lists: list[list[Combination]]) -> Iterator[Combination]:
    """One of each list, and again; a longer list ends alone."""
    return (one for one in chain.from_iterable(zip_longest(*lists)) if one is not None)
