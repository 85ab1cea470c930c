"""Water-filling in whole basis points: give an amount to sites in proportion to their weights, none above its limit.

What a full site cannot take rises in the others, again in proportion. The remainder of the division goes to the
largest fractions (Hamilton's method), ties to the earlier site, so that equal input gives equal output.
"""

from __future__ import annotations

from collections.abc import Sequence


def water_fill(amount: int, weights: Sequence[int], limits: Sequence[int]) -> list[int]:
    """Parts per site, whole and within ``limits``; their sum is ``amount``, or less when the limits do not admit it.

    A site of weight 0 gets nothing here.
    """
    given = [0] * len(weights)
    open_sites = [i for i, weight in enumerate(weights) if weight > 0 and limits[i] > 0]
    while open_sites:
        whole = 0
        for i in open_sites:
            whole += weights[i]
        # A site that is full at this level stays full at every higher one, so all of them may be closed in one pass.
        full = [i for i in open_sites if amount * weights[i] >= limits[i] * whole]
        if not full:
            _divide(amount, whole, open_sites, weights, given)
            break
        for i in full:
            given[i] = limits[i]
            amount -= limits[i]
        open_sites = [i for i in open_sites if not given[i]]
    return given


def _divide(amount: int, whole: int, sites: Sequence[int], weights: Sequence[int], given: list[int]) -> None:
    """Proportional division where no limit binds: each part is strictly below its limit, so one more still fits."""
    rests: list[tuple[int, int]] = []
    left = amount
    for i in sites:
        part, rest = divmod(amount * weights[i], whole)
        given[i] = part
        left -= part
        rests.append((-rest, i))
    if left:
        rests.sort()
        for _, i in rests[:left]:
            given[i] += 1


def part_way(before: Sequence[int], after: Sequence[int], part_bp: int) -> list[int]:
    """``before`` moved ``part_bp`` of the way to ``after`` (10,000 is all of it), whole numbers, sum kept in step.

    The sum is the like part of the way between the two sums, rounded towards ``before``.
    """
    moved = [b * (10_000 - part_bp) + a * part_bp for b, a in zip(before, after, strict=True)]
    parts = [value // 10_000 for value in moved]
    total_before, total_after = sum(before), sum(after)
    span = (total_after - total_before) * part_bp
    total = total_before + (span // 10_000 if span >= 0 else -(-span // 10_000))
    left = total - sum(parts)
    order = sorted(range(len(parts)), key=lambda i: (-(moved[i] % 10_000), i))
    for i in order[:left]:
        parts[i] += 1
    return parts
