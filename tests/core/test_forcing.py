"""What a person asks for while something stands in the way: that is said first, and what is granted is done."""

from __future__ import annotations

import pytest

from core.playbook import DOWN, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import StoreChanged, TermChanged
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, SharesRequest, SwitchOffRequest
from siteshift.core.model.codes import FindingCode, Mode, Severity
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.units import MemberId


def blinded(book: Playbook) -> None:
    book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
    book.run(5_000)


def switched_off(book: Playbook) -> None:
    book.ask(SwitchOffRequest())


def without_store(book: Playbook) -> None:
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=False, detail="disk full"))


def without_term(book: Playbook) -> None:
    book.feed(TermChanged(at_ms=book.now_ms, term=None))


def failing_everywhere(book: Playbook) -> None:
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.run(5_000)


def calm(mode: Mode = Mode.AUTO) -> Playbook:
    book = Playbook(setup=three_sites(mode=mode))
    book.run(60_000)
    return book


def first(answer: Answer) -> tuple[FindingCode, Severity]:
    return answer.findings[0].code, answer.findings[0].severity


@pytest.mark.parametrize(
    ("obstacle", "code", "severity"),
    [
        (blinded, FindingCode.BLIND, Severity.NEEDS_APPROVAL),
        (failing_everywhere, FindingCode.GLOBAL_FAULT, Severity.NEEDS_APPROVAL),
        (without_store, FindingCode.STORE_LOST, Severity.REFUSED),
        (without_term, FindingCode.NOT_LEADER, Severity.REFUSED),
        (switched_off, FindingCode.SWITCHED_OFF, Severity.ALLOWED),
    ],
)
def test_what_stands_in_the_way_of_a_drain_is_said_first(obstacle: object, code: FindingCode, severity: Severity) -> None:
    book = calm()
    assert callable(obstacle)
    obstacle(book)
    answer = book.ask(DrainRequest(site=P))
    assert first(answer) == (code, severity)
    assert (answer.override is not None) is (severity is Severity.ALLOWED)


def test_a_drain_in_mode_observe_is_refused_with_that_reason() -> None:
    answer = calm(Mode.OBSERVE).ask(DrainRequest(site=P))
    assert first(answer) == (FindingCode.MODE_OBSERVE, Severity.REFUSED)


def test_a_drain_while_blind_says_which_rank_may_force_it() -> None:
    book = calm()
    blinded(book)
    remedy = book.ask(DrainRequest(site=P)).findings[0].remedy
    assert "An operator alone cannot force it" in remedy and "role approver" in remedy


def test_a_drain_while_blind_that_an_approver_forces_is_carried_out_as_far_as_it_was_said() -> None:
    book = calm()
    blinded(book)
    plan = book.ask(DrainRequest(site=P)).plans[0]
    waiting = digest_of(book.confirm(DrainRequest(site=P)))
    assert book.approve(waiting, "lee").severity is Severity.ALLOWED
    book.run(60_000)
    now = book.state.steering.of(WEB)
    assert now is not None and now.shares_bp == plan.after[WEB]
    assert now.shares_bp[P] < 5_000
    assert book.violations == []


def test_while_blind_nothing_moves_by_itself_also_where_a_site_was_drained_before() -> None:
    book = calm()
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    before = book.state.steering.of(WEB)
    blinded(book)
    book.demand_rps = 60
    book.run(120_000)
    after = book.state.steering.of(WEB)
    assert before is not None and after is not None
    assert after.shares_bp == before.shares_bp


@pytest.mark.parametrize("standby_ms", [1_000, 10_000], ids=["ready while it moves", "ready when all room is used"])
def test_a_drain_while_automatic_acting_is_off_opens_the_standbys_it_needs_and_is_carried_out(standby_ms: int) -> None:
    book = calm()
    book.standby_ms = standby_ms
    switched_off(book)
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    now = book.state.steering.of(WEB)
    assert now is not None and now.shares_bp[P] == 0
    assert book.violations == []


def test_while_automatic_acting_is_off_no_standby_opens_for_what_nobody_asked_for() -> None:
    book = calm()
    switched_off(book)
    book.believe(P, DOWN)
    book.run(60_000)
    assert all(track.phase.value == "cold" for track in book.state.standbys.values())


def test_shares_forced_upon_a_dead_site_are_refused_with_its_name_and_move_nothing() -> None:
    """Found by the fuzz: they were granted, nothing moved, and nothing said why."""
    book = calm()
    book.demand_rps = 40
    book.run(400_000)
    for site in (P, A):
        book.believe(site, DOWN)
        book.run(60_000)
    assert book.shares() == {P: 0, G: 10_000, A: 0}
    answer = book.ask(SharesRequest(service=WEB, shares_bp={P: 0, G: 6_000, A: 4_000}))
    assert (answer.severity, first(answer)) == (Severity.REFUSED, (FindingCode.TARGET_UNHEALTHY, Severity.REFUSED))
    assert answer.findings[0].text == "web: forced shares give more to anyang (down) than may be sent there now"
    book.run(30_000)
    assert book.shares() == {P: 0, G: 10_000, A: 0}
    assert book.violations == []


def test_shares_forced_upon_a_drained_site_are_refused_until_it_is_let_back() -> None:
    book = calm()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    answer = book.ask(SharesRequest(service=WEB, shares_bp={P: 4_000, G: 3_500, A: 2_500}))
    assert first(answer) == (FindingCode.TARGET_UNHEALTHY, Severity.REFUSED)
    assert "pangyo (drained)" in answer.findings[0].text


def test_a_site_that_died_under_forced_shares_is_named_and_keeps_nobody_from_another_request() -> None:
    book = calm()
    book.demand_rps = 40
    book.run(400_000)
    assert book.confirm(SharesRequest(service=WEB, shares_bp={P: 4_000, G: 3_500, A: 2_500})).severity is Severity.ALLOWED
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(60_000)
    standing, held_back = book.state.transition(WEB).findings
    assert (standing.code, standing.numbers["sites"]) == (FindingCode.TARGET_UNHEALTHY, "pangyo")
    assert held_back.code is FindingCode.ROOM_HELD_BACK
    for request in (DrainRequest(site=A), DepoolRequest(member=MemberId("web/gasan/m1"))):
        looked = book.look(request)
        assert looked.severity is Severity.NEEDS_APPROVAL
        assert FindingCode.TARGET_UNHEALTHY not in {entry.code for entry in looked.findings}
    assert book.look(SharesRequest(service=WEB, shares_bp={P: 0, G: 5_000, A: 5_000})).severity is Severity.ALLOWED
    assert book.violations == []
