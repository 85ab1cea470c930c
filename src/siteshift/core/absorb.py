"""Absorbing: one event updates beliefs and nothing else. Says whether anything changed that a decision could hang on."""

from __future__ import annotations

from typing import assert_never

from siteshift.core.beliefs.doubt import ask_meters
from siteshift.core.beliefs.hearing import absorb_report_of
from siteshift.core.beliefs.traffic import absorb_traffic
from siteshift.core.enact.planes import absorb_failed_reading, absorb_reading, absorb_result
from siteshift.core.enact.standby import absorb_report
from siteshift.core.lifecycle.reload import about_what_is_there, absorb_reload
from siteshift.core.messages.events import (
    Asked,
    EnactFinished,
    Event,
    PlanFolded,
    ReadBackArrived,
    ReadBackFailed,
    Reloaded,
    ReportArrived,
    StandbyReported,
    StoreChanged,
    TermChanged,
    Ticked,
    TrafficMeasured,
)
from siteshift.core.model.codes import FindingCode, Severity
from siteshift.core.operate.answer import answer
from siteshift.core.plan.following import absorb_plan, expect_granted
from siteshift.core.state.draft import Draft


def absorb(draft: Draft, event: Event) -> bool:
    """Fold one event into the draft; False when nothing changed that matters now."""
    about = about_what_is_there(event, draft.setup)
    if about is None:
        return False
    event = about
    match event:
        case Ticked():
            return False
        case ReportArrived():
            ask_meters(draft, event.report)
            return absorb_report_of(draft, event.report)
        case TrafficMeasured():
            return absorb_traffic(draft, event)
        case EnactFinished():
            return absorb_result(draft, event.result)
        case ReadBackArrived():
            return absorb_reading(draft, event.read_back)
        case ReadBackFailed():
            return absorb_failed_reading(draft, event.enactor, event.detail)
        case StandbyReported():
            return absorb_report(draft, event)
        case Asked():
            draft.foreseen = event.foreseen
            is_news = answer(draft, event.asking)
            if is_news:
                expect_granted(draft)
            return is_news
        case PlanFolded():
            absorb_plan(draft, event)
            return False
        case StoreChanged():
            return _absorb_store(draft, event)
        case TermChanged():
            return _absorb_term(draft, event)
        case Reloaded():
            return absorb_reload(draft, event)
        case _:
            assert_never(event)


def _absorb_store(draft: Draft, event: StoreChanged) -> bool:
    if event.is_usable == draft.state.is_store_usable:
        return False
    draft.set(is_store_usable=event.is_usable)
    draft.record("store", {"usable": event.is_usable, "detail": event.detail})
    if not event.is_usable:
        draft.tell(Severity.REFUSED, FindingCode.STORE_LOST, f"the store is lost, steering holds still: {event.detail}")
    return True


def _absorb_term(draft: Draft, event: TermChanged) -> bool:
    if event.term == draft.state.term:
        return False
    draft.set(term=event.term)
    draft.record("term", {"term": event.term})
    return True
