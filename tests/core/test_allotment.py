"""With a site away, survivors are planned a little below their limit, and so until it is home: no share goes to and fro."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from core.playbook import DOWN, UP, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.decide.allocate_all import _eased
from siteshift.core.decide.demand import Demand
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.steering import demand_of
from siteshift.core.model.codes import Hardness
from siteshift.core.state.carrying import Carrying


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


@pytest.mark.parametrize("is_capped", [True, False])
def test_comfort_is_no_matter_of_a_site_that_failed_under_load(is_capped: bool) -> None:
    """Each look took 5 % of what it had, as long as another was on its way back."""
    book = Playbook(setup=three_sites())
    book.run(5_000)
    known = Carrying(
        failed_rps=58, answered_rps=50, cap_rps=48, proven_rps=48, open_rps=60, failed_at_ms=0, hold_ms=30_000, until_ms=10**9
    )
    transition = book.state.transition(WEB).changed(carrying={P: known} if is_capped else {})
    state = book.state.changed(transitions={WEB: transition})
    situation = situation_of(state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    demand = demand_of(situation)
    eased = _eased(situation, demand)

    def most_rps(demand: Demand) -> int:
        return demand.candidates[0].active_rps * demand.max_utilisation_pm // 1_000

    assert most_rps(demand) - most_rps(eased) <= 1 if is_capped else most_rps(eased) < most_rps(demand) - 1


def test_a_site_may_keep_its_own_share_above_the_limit_to_the_basis_point_and_not_to_the_next_request() -> None:
    """950 of 1,000 requests/s: 5,004 bp is 95.5 % of 524 requests/s like 5,000, and no site's own share."""
    topology = three_sites().topology
    pools = (pool(WEB, P, 5_000, 524), pool(WEB, G, 3_000, 312), pool(WEB, A, 2_000, 416))
    service = replace(topology.services[0], demand_rps=1_000, pools=pools)
    book = Playbook(setup=replace(three_sites(), topology=replace(topology, services=(service,)), metered=frozenset()))
    book.run(5_000)
    book.believe(G, replace(DOWN, hardness=Hardness.SILENT))
    book.run(60_000)
    assert book.shares()[P] == 5_000
    assert book.shares()[A] >= 3_700, "the rest goes where there is room"
    assert book.violations == []
