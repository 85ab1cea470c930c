"""What people are told begins and ends under one key: an incident that was opened is closed, once, and never on a guess."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, PLANE, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.lifecycle.durable import remember, restore
from siteshift.core.lifecycle.instants import shifted
from siteshift.core.messages.commands import Tell
from siteshift.core.messages.events import EnactFinished, ReadBackArrived, ReadBackFailed, StoreChanged
from siteshift.core.messages.requests import DrainRequest, UndrainRequest
from siteshift.core.model.codes import DiagnosisCode, EnactOutcome, FindingCode, NoticeCode, Severity
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.mark import Origin, PlaneMark
from siteshift.core.model.notice import (
    EVENTS,
    AlertSeverity,
    AlertState,
    Notice,
    key_of,
    remedy_of,
    severity_of,
)
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.model.steering import Drift, EnactResult

FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED
ALL_CODES = sorted({code.value for vocabulary in (DiagnosisCode, FindingCode, NoticeCode) for code in vocabulary})


def calm() -> Playbook:
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000))
    book.run(60_000)
    return book


def told(book: Playbook, code: str) -> list[tuple[AlertState, str]]:
    return [(c.state, c.key) for c in book.commands if isinstance(c, Tell) and c.code == code]


def is_well_told(book: Playbook) -> bool:
    """Of every key: firing first, and never resolved without being open."""
    opened: set[str] = set()
    for command in book.commands:
        if isinstance(command, Tell) and not command.is_event:
            if command.state is RESOLVED:
                if command.key not in opened:
                    return False
                opened.discard(command.key)
            else:
                opened.add(command.key)
    return opened == set(book.state.told)


def test_a_site_that_is_well_again_is_told_so_under_the_key_it_was_raised_with() -> None:
    book = calm()
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    book.believe(P, UP)
    book.run(3 * MINUTE_MS)
    assert {key for _, key in told(book, DiagnosisCode.SITE_DOWN)} == {"SITE_DOWN site=pangyo"}
    assert [state for state, _ in told(book, DiagnosisCode.SITE_DOWN)] == [FIRING, RESOLVED]
    assert is_well_told(book) and not book.state.told


def test_two_sites_that_fail_are_two_incidents() -> None:
    book = calm()
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    book.believe(G, DOWN)
    book.run(MINUTE_MS)
    book.believe(P, UP)
    book.run(MINUTE_MS)
    assert "SITE_DOWN site=gasan" in book.state.told
    assert "SITE_DOWN site=pangyo" not in book.state.told
    assert is_well_told(book)


def test_blindness_ends_under_the_key_it_was_raised_with_and_closes_nothing_else_on_a_guess() -> None:
    """What is unknown is not over: the site that is down may still be down."""
    book = calm()
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
    book.run(MINUTE_MS)
    assert told(book, NoticeCode.BLIND) == [(FIRING, "BLIND")]
    assert "SITE_DOWN site=pangyo" in book.state.told
    assert (RESOLVED, "SITE_DOWN site=pangyo") not in told(book, DiagnosisCode.SITE_DOWN)
    book.self_check = SelfCheck(anchors_ok=2, anchors_total=2)
    book.believe(P, UP)
    book.run(3 * MINUTE_MS)
    assert told(book, NoticeCode.BLIND) == [(FIRING, "BLIND"), (RESOLVED, "BLIND")]
    assert told(book, DiagnosisCode.SITE_DOWN)[-1] == (RESOLVED, "SITE_DOWN site=pangyo")
    assert is_well_told(book)


def test_a_store_that_is_back_is_told_so() -> None:
    book = calm()
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=False, detail="full"))
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
    assert told(book, FindingCode.STORE_LOST)[:1] == [(FIRING, "STORE_LOST")]
    assert (RESOLVED, "STORE_LOST") in told(book, FindingCode.STORE_LOST)


@pytest.mark.parametrize("outcome", [EnactOutcome.FAILED, EnactOutcome.REFUSED, EnactOutcome.AMBIGUOUS])
def test_a_data_plane_that_takes_it_again_is_told_so(outcome: EnactOutcome) -> None:
    book = calm()
    book.plane_outcome = outcome
    book.ask(DrainRequest(site=P), reason="x")
    book.run(5_000)
    code = f"PLANE_{outcome.name}"
    assert (FIRING, f"{code} plane={PLANE}") in told(book, code)
    book.plane_outcome = EnactOutcome.APPLIED
    book.run(2 * MINUTE_MS)
    assert told(book, code)[-1] == (RESOLVED, f"{code} plane={PLANE}")
    assert is_well_told(book)


def test_a_data_plane_that_can_be_read_again_and_a_drift_that_is_gone_are_told_so() -> None:
    book = calm()
    reading = book.state.plane(PLANE).read_back
    assert reading is not None
    book.feed(ReadBackFailed(at_ms=book.now_ms, enactor=PLANE, detail="refused"))
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, at_ms=book.now_ms)))
    assert [state for state, _ in told(book, NoticeCode.PLANE_UNREADABLE)] == [FIRING, RESOLVED]
    drift = Drift(enactor=PLANE, what="www A", wanted="1", found="2", ours=True)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, at_ms=book.now_ms, drifts=(drift,))))
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, at_ms=book.now_ms)))
    key = f"DRIFT plane={PLANE} about=www A"
    assert told(book, NoticeCode.DRIFT) == [(FIRING, key), (RESOLVED, key)]


def test_an_override_that_ends_soon_is_over_when_it_ended() -> None:
    book = calm()
    book.ask(DrainRequest(site=P), expires_ms=book.now_ms + HOUR_MS, reason="x")
    book.run(HOUR_MS + MINUTE_MS)
    states = [state for state, _ in told(book, NoticeCode.OVERRIDE_ENDS_SOON)]
    assert states == [FIRING, RESOLVED]
    assert len({key for _, key in told(book, NoticeCode.OVERRIDE_ENDS_SOON)}) == 1
    assert is_well_told(book)


def test_what_stood_in_the_way_of_a_service_is_over_when_it_stands_there_no_more() -> None:
    book = calm()
    for site in (P, G):
        book.believe(site, DOWN)
    book.run(MINUTE_MS)
    book.believe(A, DOWN)
    book.run(MINUTE_MS)
    for site in (P, G, A):
        book.believe(site, UP)
    book.run(10 * MINUTE_MS)
    assert any(c.service == WEB and c.code in set(FindingCode) for c in book.commands if isinstance(c, Tell))
    assert is_well_told(book)
    assert not [notice for notice in book.state.told.values() if notice.service == WEB]


def test_a_restart_closes_what_was_open_and_over_and_opens_nothing_twice() -> None:
    """A pager's incident outlived the node that opened it, and nobody closed it."""
    book = calm()
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    restored = restore(remember(book.state), now_ms=book.now_ms)
    assert restored.told == book.state.told
    again = Playbook(setup=book.setup, state=restored, now_ms=book.now_ms, planes=book.planes)
    again.feed(ReadBackFailed(at_ms=again.now_ms, enactor=PLANE, detail="not yet"))
    assert told(again, DiagnosisCode.SITE_DOWN) == [], "nothing is known yet"
    again.run(5 * MINUTE_MS)
    assert told(again, DiagnosisCode.SITE_DOWN) == [(RESOLVED, "SITE_DOWN site=pangyo")]


def test_what_was_told_moves_with_the_clock() -> None:
    book = calm()
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    since_ms = book.state.told["SITE_DOWN site=pangyo"].since_ms
    assert shifted(book.state, 5_000).told["SITE_DOWN site=pangyo"].since_ms == since_ms + 5_000


def test_a_drain_and_its_way_back_leave_nothing_open() -> None:
    book = calm()
    book.ask(DrainRequest(site=P), reason="x")
    book.run(3 * MINUTE_MS)
    book.ask(UndrainRequest(site=P))
    book.run(10 * MINUTE_MS)
    assert not book.state.told
    assert is_well_told(book)


@pytest.mark.parametrize("code", ALL_CODES)
def test_every_code_says_how_urgent_it_is_and_what_to_do(code: str) -> None:
    assert severity_of(code) in AlertSeverity
    assert remedy_of(code) or (code in EVENTS and severity_of(code, Severity.ALLOWED) is AlertSeverity.INFO), code


def test_what_an_alert_rule_pages_for_is_critical_here_too() -> None:
    pages = ("SITE_DOWN", "SERVICE_DOWN", "GLOBAL_FAULT", "SHED_NEEDED", "PLANE_FAILED", "STANDBY_FAILED", "BLIND", "STORE_LOST")
    for code in (*pages, "RECORD_GAP", "HELD_AS_ADOPTED"):
        assert severity_of(code) is AlertSeverity.CRITICAL
    for code in ("MEMBER_DOWN", "DRIFT", "PLANE_UNREADABLE", "CHECK_BROKEN", "RELOAD_REFUSED", "CLOCK"):
        assert severity_of(code) is AlertSeverity.WARNING


def test_a_notice_names_the_site_in_the_command_it_gives() -> None:
    notice = Notice(severity=AlertSeverity.CRITICAL, code="SITE_DOWN", text="x", site=P)
    assert "`siteshift why pangyo`" in notice.remedy
    assert notice.key == key_of("SITE_DOWN", site="pangyo")


def test_another_controller_that_left_a_plane_is_over_once_the_plane_was_read() -> None:
    book = Playbook(setup=replace(three_sites(), cluster="ours"))
    book.run(60_000)
    reading = book.state.plane(PLANE).read_back
    assert reading is not None
    mark = PlaneMark(generation=7, term=1, origin=Origin(cluster="other", node="n"))
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, at_ms=book.now_ms, mark=mark)))
    key = f"PLANE_FOREIGN plane={PLANE}"
    assert (FIRING, key) in told(book, FindingCode.PLANE_FOREIGN)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, at_ms=book.now_ms)))
    applied = EnactResult(enactor=PLANE, generation=1, outcome=EnactOutcome.APPLIED, at_ms=book.now_ms)
    book.feed(EnactFinished(at_ms=book.now_ms, result=applied))
    assert (RESOLVED, key) in told(book, FindingCode.PLANE_FOREIGN)
