"""An idle night: nobody asks anything anywhere. Nothing divides by it, and what has to be done is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.explain import status_document, why_document
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, SharesRequest, UndrainRequest
from siteshift.core.model.codes import Severity, SiteLife
from siteshift.core.model.policy import HOUR_MS
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import MemberId


def idle(demand_rps: int) -> Setup:
    """A setup that expects so much, in a night in which nothing comes."""
    setup = three_sites()
    service = replace(setup.topology.services[0], demand_rps=demand_rps)
    return replace(setup, topology=replace(setup.topology, services=(service,)))


@pytest.fixture(params=[0, 1, 100])
def night(request: pytest.FixtureRequest) -> Playbook:
    book = Playbook(setup=idle(request.param), demand_rps=0)
    book.run(400_000, tick_ms=500)
    assert book.shares() == {P: 5_000, G: 3_000, A: 2_000}
    return book


def is_told(book: Playbook) -> bool:
    """Whether everything that is shown can be shown."""
    documents = [status_document(book.state, book.setup, book.now_ms)]
    documents += [why_document(book.state, book.setup, site, book.now_ms) for site in (P, G, A)]
    return all(documents)


def test_a_dead_site_is_left_and_comes_back(night: Playbook) -> None:
    night.believe(P, DOWN)
    night.run(60_000)
    assert night.shares()[P] == 0 and sum(night.shares().values()) == 10_000
    assert is_told(night)
    night.believe(P, UP)
    night.run(HOUR_MS, tick_ms=500)
    assert night.shares() == {P: 5_000, G: 3_000, A: 2_000}


def test_what_people_ask_for_is_done(night: Playbook) -> None:
    assert night.confirm(DrainRequest(site=P)).severity is Severity.ALLOWED
    night.run(120_000, tick_ms=500)
    assert night.life(P) is SiteLife.DRAINED and is_told(night)
    assert night.confirm(UndrainRequest(site=P)).severity is Severity.ALLOWED
    night.run(900_000, tick_ms=500)
    assert night.life(P) is SiteLife.SERVING
    member = MemberId("web/pangyo/m1")
    assert night.confirm(DepoolRequest(member=member)).severity is Severity.ALLOWED
    assert night.confirm(SharesRequest(service=WEB, shares_bp={P: 4_000, G: 3_500, A: 2_500})).severity is Severity.ALLOWED
    night.run(60_000)
    assert night.shares() == {P: 4_000, G: 3_500, A: 2_500}
    entry = night.state.steering.of(WEB)
    assert entry is not None and member not in entry.members_pm


def test_nobody_left_at_all_is_no_reason_to_fall(night: Playbook) -> None:
    for site in (P, G, A):
        night.believe(site, DOWN)
    night.run(60_000)
    assert sum(night.shares().values()) == 10_000 and is_told(night)
