"""Who answers the next query: a table with one slot per basis point, walked by the golden ratio.

With 10,000 slots the configured shares are exact, there is nothing to round. Each answer owns one run of slots and the
walk steps by 6,181 (coprime to 10,000, next to 10,000/φ), so every 10,000 queries meet every slot once and any short
stretch of queries is already spread like the whole: a Kronecker sequence (the ratio's continued fraction has no term
above 3, which is what makes its discrepancy small). Every n-th query is such a sequence too, so a resolver that comes
at a regular beat does not always meet the same site, as it would with round robin.
"""

from __future__ import annotations

from siteshift.adapters.dns.targets import apportion
from siteshift.core.model.units import WHOLE_BP

SLOTS = WHOLE_BP
STEP = 6_181
VARIANTS_MAX = 256
"""A slot is one byte."""


class Walk:
    """The walk through one name's table. ``counts`` are the answers given, per variant. Mutable: it is the hot path."""

    __slots__ = ("at", "counts", "table")

    def __init__(self, table: bytes, variants: int, at: int) -> None:
        self.table = table
        self.counts = [0] * variants
        self.at = at % SLOTS

    def step(self) -> int:
        """The variant that answers now."""
        self.at = (self.at + STEP) % SLOTS
        variant = self.table[self.at]
        self.counts[variant] += 1
        return variant


def slot_table(shares: tuple[int, ...], rotations: tuple[int, ...]) -> bytes:
    """The table of an RRset: slot → variant.

    Site i gets ``shares[i]`` parts of the slots and has ``rotations[i]`` variants (its addresses in another order),
    numbered on through the sites. Needs at least one positive share and at most `VARIANTS_MAX` variants.
    """
    pieces: list[bytes] = []
    first = 0
    for slots, turns in zip(apportion(shares, SLOTS), rotations, strict=True):
        turn = bytes(range(first, first + turns))
        pieces.append((turn * (slots // turns + 1))[:slots])
        first += turns
    return b"".join(pieces)


FIXED = bytes(SLOTS)
"""The table of something that has only one answer."""
