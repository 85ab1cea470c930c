"""Whose reports count: by (boot, sequence), with their age by receipt, whatever the sender's clock says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, NODE, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.messages.events import ReportArrived
from siteshift.core.model.codes import Fault, Standing
from siteshift.core.model.evidence import Evidence, SelfCheck, TargetView, VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import VantageId, pool_target

PEER = VantageId("c2")
HOUR_MS = 3_600_000


def two_vantages() -> Setup:
    setup = three_sites()
    return replace(setup, topology=replace(setup.topology, vantages=((NODE, G), (PEER, A))))


def report(
    book: Playbook, sequence: int, *, boot_id: str = "one", ahead_ms: int = 0, at_pangyo: TargetView = UP
) -> VantageReport:
    views = {**book.beliefs, pool_target(WEB, P): replace(at_pangyo, since_ms=book.now_ms + ahead_ms)}
    return VantageReport(
        vantage=PEER,
        site=A,
        at_ms=book.now_ms + ahead_ms,
        sequence=sequence,
        boot_id=boot_id,
        self_check=SelfCheck(anchors_ok=2, anchors_total=2),
        views=views,
    )


def hear(book: Playbook, sent: VantageReport) -> None:
    book.feed(ReportArrived(at_ms=book.now_ms, report=sent))


def standing_told_by_peer(book: Playbook) -> Standing:
    return book.state.reports[PEER].views[pool_target(WEB, P)].standing


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, HOUR_MS])
def test_a_vantage_whose_clock_is_off_is_believed_by_receipt(ahead_ms: int) -> None:
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    hear(book, report(book, 1, ahead_ms=ahead_ms, at_pangyo=DOWN))
    kept = book.state.reports[PEER]
    assert kept.at_ms == book.now_ms
    assert kept.views[pool_target(WEB, P)].since_ms == book.now_ms, "what it says began when it began on our clock"
    book.feed(ReportArrived(at_ms=book.now_ms + 1, report=report(book, 2, ahead_ms=ahead_ms)))
    assert PEER in book.state.picture.credible


def test_how_long_a_check_has_failed_is_told_by_our_clock() -> None:
    """A vantage whose clock was an hour behind had seen every member fail for an hour."""
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    said = Evidence(fault=Fault.REFUSED, detail="", alike=9, failed=9, checks=9, since_ms=book.now_ms - HOUR_MS)
    hear(book, report(book, 1, ahead_ms=-HOUR_MS, at_pangyo=replace(DOWN, evidence=said)))
    kept = book.state.reports[PEER].views[pool_target(WEB, P)].evidence
    assert kept is not None and kept.since_ms == book.now_ms


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, HOUR_MS])
def test_a_vantage_that_falls_silent_is_stale_whatever_its_clock_says(ahead_ms: int) -> None:
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    hear(book, report(book, 1, ahead_ms=ahead_ms))
    book.run(4_000)
    assert PEER in book.state.picture.credible
    book.run(2_500)
    assert PEER not in book.state.picture.credible


def test_a_vantage_that_starts_again_is_believed_at_once() -> None:
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    hear(book, report(book, 90_000))
    hear(book, report(book, 1, boot_id="two", at_pangyo=DOWN))
    assert standing_told_by_peer(book) is Standing.DOWN


def test_what_still_comes_from_a_life_that_is_over_is_late() -> None:
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    hear(book, report(book, 90_000))
    hear(book, report(book, 1, boot_id="two", at_pangyo=DOWN))
    hear(book, report(book, 90_001))
    assert standing_told_by_peer(book) is Standing.DOWN
    hear(book, report(book, 1, boot_id="three"))
    hear(book, report(book, 2, boot_id="two", at_pangyo=DOWN))
    assert standing_told_by_peer(book) is Standing.UP


def test_a_report_that_is_repeated_or_overtaken_says_nothing() -> None:
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    hear(book, report(book, 7, at_pangyo=DOWN))
    first_ms = book.now_ms
    book.now_ms += 500
    for sequence in (7, 6):
        hear(book, report(book, sequence))
    assert standing_told_by_peer(book) is Standing.DOWN
    assert book.state.reports[PEER].at_ms == first_ms, "nor is it a sign of life"


def test_the_way_of_a_report_is_no_other_clock() -> None:
    """Sent a second ago or a moment ago: the instants in it stay as they were, so that nothing is news for it."""
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    sent = report(book, 1, at_pangyo=DOWN)
    book.now_ms += 900
    hear(book, sent)
    assert book.state.reports[PEER].views == sent.views
    assert book.state.reports[PEER].at_ms == book.now_ms
    assert PEER not in book.state.vantages


def test_our_own_report_is_as_old_as_it_is() -> None:
    """It was made on our clock: one that waited in a queue, or through a pause, is not fresh for having been taken now."""
    book = Playbook(setup=two_vantages())
    book.run(4_000)
    own = replace(report(book, 1_000_000), vantage=NODE, site=G)
    made_ms = book.now_ms
    book.now_ms += 3_000
    hear(book, own)
    assert book.state.reports[NODE].at_ms == made_ms


def test_a_vantage_that_the_setup_does_not_name_has_no_vote() -> None:
    book = Playbook(setup=three_sites())
    book.run(4_000)
    hear(book, report(book, 1))
    assert PEER not in book.state.reports


def test_a_node_that_has_just_started_pages_nobody_about_observers_that_cannot_have_reported() -> None:
    book = Playbook(setup=two_vantages())
    book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
    book.run(400)
    assert book.state.picture.blind
    book.self_check = SelfCheck(anchors_ok=2, anchors_total=2)
    hear(book, report(book, 1))
    book.run(400)
    assert book.told() == []


def test_an_observer_that_stays_away_after_a_start_is_told_of_once() -> None:
    book = Playbook(setup=two_vantages())
    book.run(10_000)
    assert book.told().count("STALE") == 1
