"""Water-filling in whole basis points: give an amount to sites in proportion to their weights, none above its limit.

What a full site cannot take rises in the others, again in proportion. Fractions are rounded by their running sum, so
every part is the exact one rounded down or up, the sum is exact, and equal input gives equal output.
"""

from __future__ import annotations

from collections.abc import Sequence


def water_fill(amount: int, weights: Sequence[int], limits: Sequence[int]) -> list[int]:
    """Parts per site, whole and within ``limits``; their sum is ``amount``, or less when the limits do not admit it.

    A site of weight 0 gets nothing here.
    """
    given = [0] * len(weights)
    still_open: Sequence[int] = range(len(weights))
    whole = sum(weights)
    while whole:
        # A site that is full at this level stays full at every higher one, so all of them may be closed in one pass.
        rest: list[int] = []
        left, left_whole = amount, 0
        for i in still_open:
            weight, limit = weights[i], limits[i]
            if amount * weight >= limit * whole:
                given[i] = limit
                left -= limit
            else:
                rest.append(i)
                left_whole += weight
        running = done = 0
        for i in rest:
            running += left * weights[i]
            part = running // (left_whole or 1) - done
            if part > limits[i]:
                break
            given[i] = part
            done += part
        else:
            break
        amount, still_open, whole = left, rest, left_whole
    return given
