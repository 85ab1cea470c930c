"""Writable data: traffic goes only where a check says that the data is promoted; siteshift never promotes by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, SUSPECT, UNKNOWN, UP, A, G, P, Playbook, three_sites
from siteshift.core.judge.vantage import Observer
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import DataKind, Fault, FindingCode, Outcome, Severity, Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import SiteId, VantageId, data_target

WEB_DATA = {site: data_target(three_sites().topology.services[0].id, site) for site in (P, G, A)}


def writable(**policy: object) -> Setup:
    """The three sites with a writable service, all of it served at pangyo."""
    setup = three_sites(**policy)
    service = setup.topology.services[0]
    pools = tuple(replace(pool, nominal_bp=10_000 if pool.site == P else 0) for pool in service.pools)
    service = replace(service, data=DataKind.WRITABLE, pools=pools, demand_rps=30)
    return replace(setup, topology=replace(setup.topology, services=(service,)))


def playing(roles: dict[SiteId, TargetView], **policy: object) -> Playbook:
    book = Playbook(setup=writable(**policy), demand_rps=30)
    for site, view in roles.items():
        book.beliefs[WEB_DATA[site]] = view
    book.run(6_000)
    return book


def codes(book: Playbook) -> set[FindingCode]:
    return {entry.code for entry in book.state.transition(book.setup.topology.services[0].id).findings}


def test_a_stateless_service_has_no_data_role() -> None:
    assert not WEB_DATA.keys() & {P} - {P}
    assert not set(three_sites().topology.targets) & set(WEB_DATA.values())
    assert set(writable().topology.targets) >= set(WEB_DATA.values())


def test_a_dead_site_is_left_to_where_the_data_is_promoted_and_nowhere_else() -> None:
    book = playing({P: UP, G: UP, A: DOWN})
    book.believe(P, DOWN)
    book.beliefs[WEB_DATA[P]] = DOWN
    book.run(5_000)
    assert book.shares() == {P: 0, G: 10_000, A: 0}
    assert book.violations == []


def test_nothing_moves_while_no_refuge_is_promoted_and_it_does_when_one_is() -> None:
    book = playing({P: UP, G: DOWN, A: DOWN})
    book.believe(P, DOWN)
    book.run(5_000)
    assert book.shares()[P] == 10_000
    assert FindingCode.DATA_ROLE in codes(book)
    book.beliefs[WEB_DATA[A]] = UP  # somebody promoted the replica
    book.run(5_000)
    assert book.shares() == {P: 0, G: 0, A: 10_000}
    assert book.violations == []


def test_a_share_that_no_other_site_may_take_is_not_shed_to_nobody() -> None:
    """Suspected sites may take nothing either; the dead one may be dead for us only (outage `gh-43s`)."""
    book = playing({P: UP, G: DOWN, A: DOWN})
    book.believe(P, DOWN)
    book.believe(G, SUSPECT)
    book.believe(A, SUSPECT)
    book.run(5_000)
    assert book.shares()[P] == 10_000
    assert book.violations == []


@pytest.mark.parametrize("doubt", [UNKNOWN, SUSPECT], ids=["unknown", "suspect"])
def test_what_is_not_known_is_not_promoted(doubt: TargetView) -> None:
    book = playing({P: UP, G: doubt, A: doubt})
    book.believe(P, DOWN)
    book.run(5_000)
    assert book.shares()[P] == 10_000
    assert FindingCode.DATA_ROLE in codes(book)


def test_a_person_may_answer_for_a_role_that_is_not_known_but_not_for_one_that_is_wrong() -> None:
    unknown = playing({P: UP, G: UNKNOWN, A: UNKNOWN}).ask(DrainRequest(site=P))
    assert unknown.severity is Severity.NEEDS_APPROVAL
    wrong = playing({P: UP, G: DOWN, A: DOWN}).ask(DrainRequest(site=P))
    assert wrong.severity is Severity.REFUSED
    assert FindingCode.DATA_ROLE in {entry.code for entry in wrong.findings}


def test_a_person_drains_to_the_promoted_site() -> None:
    book = playing({P: UP, G: UP, A: DOWN})
    answer = book.ask(DrainRequest(site=P))
    assert answer.severity is Severity.ALLOWED
    book.run(90_000)
    assert book.shares() == {P: 0, G: 10_000, A: 0}
    assert book.violations == []


def test_a_blind_node_knows_no_role() -> None:
    book = playing({P: UP, G: UP, A: UP})
    book.self_check = replace(book.self_check, anchors_ok=0)
    book.believe(P, DOWN)
    book.run(5_000)
    assert book.shares()[P] == 10_000


def test_the_observer_keeps_the_role_apart_from_health() -> None:
    """A replica that is not promoted is well: its failing role check suspects, hastens and accuses nobody."""
    setup = writable()
    observer = Observer(setup.topology, JudgePolicy(), VantageId("c1"), G, anchors=())
    at_ms = 1_000_000
    for _ in range(20):
        at_ms += 1_000
        for pool in setup.topology.services[0].pools:
            is_promoted = pool.site == P
            outcome, fault = (Outcome.PASS, Fault.NONE) if is_promoted else (Outcome.FAIL, Fault.BAD_STATUS)
            observer.result(WEB_DATA[pool.site], outcome, fault, 1_000, at_ms, at_ms - 1)
            for member in pool.members:
                observer.result(member.target, Outcome.PASS, Fault.NONE, 1_000, at_ms, at_ms - 1)
        observer.tick(at_ms)
    views = observer.report(at_ms).views
    assert {site: views[target].standing for site, target in WEB_DATA.items()} == {
        P: Standing.UP,
        G: Standing.DOWN,
        A: Standing.DOWN,
    }
    health = {view.standing for target, view in views.items() if not target.startswith("data:")}
    assert health == {Standing.UP}
    assert observer.hot_targets() == frozenset()
