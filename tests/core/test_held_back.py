"""Users are shed while a site that is well stays away by a person's word: somebody is told what lifting it would serve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, SICK, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.cli.show_status import service_notes
from siteshift.core.decide.held_back import held_back
from siteshift.core.decide.situations import situation_of
from siteshift.core.explain import status_document, why_document
from siteshift.core.messages.commands import Tell
from siteshift.core.messages.requests import (
    AckRequest,
    DrainRequest,
    FreezeRequest,
    ModeRequest,
    SharesRequest,
    SwitchOffRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import Failback, FindingCode, Mode, Severity, StandbyPhase
from siteshift.core.model.finding import Finding
from siteshift.core.model.notice import AlertSeverity, AlertState
from siteshift.core.state.carrying import Carrying


def said(book: Playbook) -> list[Finding]:
    found = book.state.transition(WEB).findings
    return [entry for entry in found if entry.code is FindingCode.ROOM_HELD_BACK]


def told(book: Playbook) -> list[str]:
    raised = [c for c in book.commands if isinstance(c, Tell) and c.state is AlertState.FIRING]
    tells = [c for c in raised if c.code == FindingCode.ROOM_HELD_BACK.value]
    assert all(c.severity is AlertSeverity.WARNING for c in tells), "somebody has to do something"
    return [c.text for c in tells]


def shed_bp(book: Playbook) -> int:
    current = book.state.steering.of(WEB)
    assert current is not None
    return current.shed_bp


def by_hand() -> Playbook:
    """Pangyo was down, is up again, and waits for a person to fail back; Gasan dies meanwhile."""
    book = Playbook(setup=three_sites(failback=Failback.MANUAL, hold_down_ms=5_000))
    book.run(10_000)
    book.believe(P, DOWN)
    book.run(30_000)
    book.believe(P, UP)
    book.run(60_000)
    assert book.shares()[P] == 0
    book.believe(G, DOWN)
    book.run(60_000)
    assert shed_bp(book) > 3_000
    return book


def test_who_fails_back_by_hand_is_told_what_a_well_site_would_serve_of_what_is_shed() -> None:
    book = by_hand()
    (found,) = said(book)
    assert found.severity is Severity.ALLOWED, "it stops nothing"
    assert "pangyo, whose failback is manual (`siteshift ack pangyo`)" in found.text
    assert found.numbers["serves_bp"] == found.numbers["shed_bp"] == shed_bp(book)
    assert len(told(book)) == 1
    book.ask(AckRequest(site=P))
    book.run(120_000)
    assert shed_bp(book) == 0 and book.shares()[P] >= 5_000
    assert said(book) == []
    assert book.violations == []


def test_whose_drain_keeps_a_well_site_away_is_named_with_what_lifts_it() -> None:
    book = Playbook()
    book.run(10_000)
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    assert book.shares()[P] == 0
    assert said(book) == []
    book.believe(G, DOWN)
    book.run(60_000)
    (found,) = said(book)
    assert f"pangyo, which {book.state.overrides[0].owner} has drained (`siteshift undrain pangyo`)" in found.text
    assert 0 < int(found.numbers["serves_bp"]) <= shed_bp(book)
    book.ask(UndrainRequest(site=P))
    book.run(120_000)
    assert said(book) == []


def test_a_site_that_is_not_well_is_not_offered() -> None:
    for seen in (DOWN, SICK):
        book = by_hand()
        book.believe(P, seen)
        book.run(10_000)
        assert said(book) == []


def test_what_is_the_breathing_of_a_measure_is_not_worth_saying() -> None:
    book = by_hand()
    assert len(said(book)) == 1
    current = book.state.steering.of(WEB)
    assert current is not None
    little = replace(current, shed_bp=199, shares_bp={**current.shares_bp, A: 10_000 - 199})
    book.state = replace(book.state, steering=replace(book.state.steering, services=(little,)))
    service = book.setup.topology.service_by_id[WEB]
    assert held_back(situation_of(book.state, book.setup, service, book.now_ms)) == ()


def test_status_says_how_to_lift_it_and_points_at_no_plan() -> None:
    """Nothing of siteshift's waits for a yes: `siteshift plan` has nothing to show."""
    book = by_hand()
    (service,) = status_document(book.state, book.setup, book.now_ms)["services"]
    text = "\n".join(line.plain for line in service_notes(service, book.now_ms))
    assert "siteshift ack pangyo" in text
    assert "siteshift plan" not in text
    lines = why_document(book.state, book.setup, P, book.now_ms)["services"][WEB]["lines"]
    assert any(line.startswith("to know: ROOM_HELD_BACK") for line in lines), lines
    assert not any(line.startswith("stopped") for line in lines), lines


def test_a_freeze_keeps_nobody_shed() -> None:
    """It let the drain of a dead site pass, and then held what that had shed for as long as the freeze: hours after the heal."""
    book = Playbook(setup=three_sites(hold_down_ms=5_000))
    book.run(10_000)
    book.ask(FreezeRequest())
    book.believe(P, DOWN)
    book.run(10_000)
    book.believe(G, DOWN)
    book.run(30_000)
    assert shed_bp(book) > 3_000
    book.believe(G, UP)
    book.run(120_000)
    assert shed_bp(book) == 0
    before = book.shares()
    book.believe(P, UP)
    book.run(300_000)
    assert book.shares() == before, "to go home is a change"
    assert book.violations == []


def test_shares_set_by_hand_that_keep_users_shed_are_named_with_what_lifts_them() -> None:
    book = Playbook()
    book.run(10_000)
    book.ask(SharesRequest(service=WEB, shares_bp={P: 3_000, G: 3_500, A: 3_500}))
    book.run(60_000)
    assert said(book) == []
    book.believe(A, DOWN)
    book.run(60_000)
    (found,) = said(book)
    made = book.state.overrides[0]
    assert f"pangyo, whose share {made.owner} has set (`siteshift override lift {made.id}`)" in found.text
    assert 0 < int(found.numbers["serves_bp"]) <= shed_bp(book)
    assert len(told(book)) == 1


def test_it_is_told_once_however_often_shares_move_meanwhile() -> None:
    """Each move cleared it, and each look after that was news: 23 notices in five minutes."""
    book = by_hand()
    for demand_rps in (130, 100, 130, 160, 120, 180):
        book.demand_rps = demand_rps
        book.run(40_000)
    assert shed_bp(book) > 0
    assert len(told(book)) == 1
    assert book.violations == []


def test_a_site_that_was_found_to_carry_little_is_not_offered_for_more() -> None:
    book = by_hand()
    known = Carrying(
        failed_rps=20, answered_rps=10, cap_rps=10, proven_rps=10, open_rps=60, failed_at_ms=1, hold_ms=30_000, until_ms=10**12
    )
    transition = book.state.transition(WEB).changed(carrying={P: known})
    book.state = book.state.changed(transitions={WEB: transition})
    situation = situation_of(book.state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    (found,) = held_back(situation)
    assert found.numbers["serves_bp"] == 1_000, "10 of 100 requests/s"
    nothing = replace(known, cap_rps=0, proven_rps=0)
    assert held_back(replace(situation, transition=transition.changed(carrying={P: nothing}))) == ()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ModeRequest(service=WEB, mode=Mode.OBSERVE), "gasan, but web is in mode observe (`siteshift plan`, or"),
        (SwitchOffRequest(), "gasan, but automatic action is switched off (`siteshift switch on`)"),
    ],
)
def test_who_is_not_allowed_to_move_says_what_a_move_would_serve(request_: ModeRequest | SwitchOffRequest, words: str) -> None:
    """A third of all users was shed beside a well site for hours, and all that was said was "web is only observed"."""
    book = Playbook(setup=three_sites(hold_down_ms=5_000))
    book.run(10_000)
    book.believe(P, DOWN)
    book.believe(G, DOWN)
    book.run(30_000)
    assert shed_bp(book) > 3_000
    book.ask(request_)
    book.believe(G, UP)
    book.run(60_000)
    assert shed_bp(book) > 3_000
    (found,) = said(book)
    assert words in found.text
    assert int(found.numbers["serves_bp"]) > 2_000
    assert len(told(book)) == 1


def test_what_a_site_would_serve_is_reckoned_with_the_standby_that_would_be_opened_for_it() -> None:
    """34 % were promised of a site that took 49 %: its standbys had closed while it was drained."""
    book = Playbook()
    book.run(10_000)
    book.ask(DrainRequest(site=A))
    book.run(120_000)
    book.believe(P, DOWN)
    book.run(60_000)
    (found,) = said(book)
    pool = book.setup.topology.pools[(WEB, A)]
    whole_rps = sum(m.capacity_rps for m in pool.members) * book.setup.policy.of(WEB).max_utilisation_pm // 1_000
    assert found.numbers["serves_bp"] == min(shed_bp(book), whole_rps * 100)
    assert sum(m.capacity_rps for m in pool.actives) * 100 < int(found.numbers["serves_bp"])


def test_standby_that_failed_to_open_serves_nobody_who_is_shed() -> None:
    book = Playbook()
    book.run(10_000)
    book.ask(DrainRequest(site=A))
    book.run(120_000)
    book.believe(P, DOWN)
    book.run(60_000)
    situation = situation_of(book.state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    pool = book.setup.topology.pools[(WEB, A)]
    failed = {m.id: replace(book.state.standby(m.id), phase=StandbyPhase.FAILED) for m in pool.standbys}
    (found,) = held_back(replace(situation, standbys={**situation.standbys, **failed}))
    assert found.numbers["serves_bp"] == sum(m.capacity_rps for m in pool.actives) * 90
