"""With a site away, survivors are planned a little below their limit, and so until it is home: no share goes to and fro."""

from __future__ import annotations

from itertools import pairwise

from core.playbook import DOWN, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.decide.allocate_all import _eased
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.steering import demand_of


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


def test_comfort_is_for_who_gets_more_and_takes_from_nobody() -> None:
    """Each look took 5 % of what a site had, as long as another was on its way back."""
    book = Playbook(setup=three_sites())
    book.run(5_000)
    situation = situation_of(book.state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    demand = demand_of(situation)
    first = demand.candidates[0]
    for active_rps in (56, 58, 59, 60, 80):
        candidate = first._replace(fixed_bp=None, active_rps=active_rps, current_bp=5_300)
        kept = _eased(situation, demand._replace(candidates=(candidate,)))
        most_bp = kept.candidates[0].active_rps * kept.max_utilisation_pm * 10 // kept.demand_rps
        at_limit_bp = active_rps * demand.max_utilisation_pm * 10 // demand.demand_rps
        assert min(5_300, at_limit_bp) <= most_bp + 120 and most_bp <= at_limit_bp
