"""With a site away, survivors are planned a little below their limit, and so until it is home: no share goes to and fro."""

from __future__ import annotations

from itertools import pairwise

from core.playbook import DOWN, UP, A, G, P, Playbook, three_sites


def test_leaving_and_coming_back_is_one_turn_for_every_survivor() -> None:
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000))
    book.run(5_000)
    book.believe(G, DOWN)
    book.run(60_000)
    book.believe(G, UP)
    book.run(120_000)
    assert book.shares() == {P: 5_000, G: 3_000, A: 2_000}
    for site in (P, A):
        shares = [shares[site] for _, shares, _ in book.history]
        steps = [after - before for before, after in pairwise(shares) if abs(after - before) >= 100]
        turns = sum((one < 0) != (other < 0) for one, other in pairwise(steps))
        assert turns <= 1, shares
    assert book.violations == []
