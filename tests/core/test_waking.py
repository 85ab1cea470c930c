"""What wakes the core, and what does not: news, instants that were named, silence, and a sweep for the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import NODE, PLANE, SUSPECT, A, G, Playbook, three_sites
from siteshift.core.controller import Decision, step
from siteshift.core.messages.commands import ReadMeters, ReadPlane
from siteshift.core.messages.events import Event, ReadBackArrived, ReadBackFailed, ReportArrived, Ticked
from siteshift.core.model.evidence import SelfCheck, TargetView, VantageReport
from siteshift.core.model.units import ServiceId, TargetId
from siteshift.core.state.controller_state import ControllerState

WEB_AT_ANYANG = three_sites().topology.pools[(ServiceId("web"), A)].target


@pytest.fixture
def book() -> Playbook:
    """A node that has been serving for a while, with nothing under way."""
    book = Playbook(setup=three_sites())
    book.run(20_000)
    return book


def report(book: Playbook, at_ms: int, views: dict[TargetId, TargetView] | None = None) -> ReportArrived:
    found = VantageReport(
        vantage=NODE,
        site=G,
        at_ms=at_ms,
        sequence=1_000_000 + at_ms % 1_000_000,
        self_check=SelfCheck(anchors_ok=2, anchors_total=2),
        views=book.beliefs if views is None else views,
    )
    return ReportArrived(at_ms=at_ms, report=found)


def after(book: Playbook, state: ControllerState, event: Event) -> Decision:
    return step(state, event, book.setup)


def test_a_report_that_says_the_same_is_absorbed_and_no_more(book: Playbook) -> None:
    decision = after(book, book.state, report(book, book.now_ms + 10))
    assert decision.is_idle
    assert decision.commands == ()
    assert decision.state.picture is book.state.picture


def test_a_later_pass_alone_is_no_news(book: Playbook) -> None:
    now_ms = book.now_ms + 10
    passed = {target: replace(view, last_pass_ms=now_ms) for target, view in book.beliefs.items()}
    assert after(book, book.state, report(book, now_ms, passed)).is_idle


def test_a_standing_that_changes_is_news(book: Playbook) -> None:
    views = {**book.beliefs, WEB_AT_ANYANG: SUSPECT}
    decision = after(book, book.state, report(book, book.now_ms + 10, views))
    assert not decision.is_idle
    assert decision.state.thought_at_ms == book.now_ms + 10


def test_how_bad_a_suspicion_looks_waits_for_the_sweep(book: Playbook) -> None:
    first = after(book, book.state, report(book, book.now_ms + 10, {**book.beliefs, WEB_AT_ANYANG: SUSPECT}))
    worse = {**book.beliefs, WEB_AT_ANYANG: replace(SUSPECT, score_pm=SUSPECT.score_pm - 100)}
    second = after(book, first.state, report(book, book.now_ms + 20, worse))
    assert [type(command) for command in second.commands] == [ReadMeters], "what is suspected is, and nothing is derived"
    assert second.state.thought_at_ms == first.state.thought_at_ms
    assert second.state.picture is first.state.picture
    swept = after(book, second.state, Ticked(at_ms=book.now_ms + 10 + 1_000))
    assert not swept.is_idle
    assert swept.state.picture.pools[(ServiceId("web"), A)].score_pm == SUSPECT.score_pm - 100


def test_silence_moves_on_with_every_report_and_is_noticed_when_reports_end(book: Playbook) -> None:
    stale_ms, state, now_ms = book.setup.policy.judge.report_stale_ms, book.state, book.now_ms
    for _ in range(2 * stale_ms // 500):
        now_ms += 500
        state = after(book, state, report(book, now_ms)).state
        assert not after(book, state, Ticked(at_ms=now_ms + 1)).state.picture.blind
    heard_ms = now_ms
    while not state.picture.blind:
        assert state.wake_at_ms > now_ms
        now_ms = state.wake_at_ms
        state = after(book, state, Ticked(at_ms=now_ms)).state
    assert now_ms == heard_ms + stale_ms + 1


def test_a_plane_that_is_due_is_read_without_thinking_anew(book: Playbook) -> None:
    state, read = book.state, 0
    for at_ms in range(book.now_ms, book.now_ms + 4 * book.setup.policy.read_back_every_ms, 100):
        decision = after(book, state, report(book, at_ms))
        assert decision.state.thought_at_ms == book.state.thought_at_ms
        state = decision.state
        if any(isinstance(command, ReadPlane) for command in decision.commands):
            read += 1
            reading = replace(book.reading(PLANE), at_ms=at_ms)
            state = after(book, state, ReadBackArrived(at_ms=at_ms, read_back=reading)).state
    assert read >= 3


def test_a_plane_that_can_be_read_again_is_news(book: Playbook) -> None:
    """It may be what a step waited for: nothing is in step while it cannot be read."""
    now_ms = book.now_ms
    failed = after(book, book.state, ReadBackFailed(at_ms=now_ms, enactor=PLANE, detail="refused"))
    reading = replace(book.reading(PLANE), at_ms=now_ms + 500)
    back = after(book, failed.state, ReadBackArrived(at_ms=now_ms + 500, read_back=reading))
    assert back.state.thought_at_ms == now_ms + 500
