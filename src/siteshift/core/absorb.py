"""Absorbing: one event updates beliefs and nothing else. Says whether anything changed that a decision could hang on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from siteshift.core.beliefs.traffic import absorb_traffic
from siteshift.core.enact.planes import absorb_failed_reading, absorb_reading, absorb_result
from siteshift.core.enact.standby import absorb_report
from siteshift.core.messages.events import (
    Asked,
    EnactFinished,
    Event,
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
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.units import TargetId
from siteshift.core.operate.answer import answer
from siteshift.core.state.draft import Draft


def absorb(draft: Draft, event: Event) -> bool:
    """Fold one event into the draft; False when nothing changed that matters now."""
    match event:
        case Ticked():
            return False
        case ReportArrived():
            return _absorb_vantage(draft, event)
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
            return answer(draft, event.asking)
        case StoreChanged():
            return _absorb_store(draft, event)
        case TermChanged():
            return _absorb_term(draft, event)
        case Reloaded():
            draft.set(setup_digest=event.digest)
            draft.remembers = True
            return True
        case _:
            assert_never(event)


def _absorb_vantage(draft: Draft, event: ReportArrived) -> bool:
    """A later report replaces an earlier one whole; an older or repeated one is ignored.

    It is news when it means something else. How bad a suspicion or a crash looks drifts all the time: that alone waits for
    the next sweep.
    """
    report = event.report
    before = draft.state.reports.get(report.vantage)
    if before is not None and (report.sequence, report.at_ms) <= (before.sequence, before.at_ms):
        return False
    draft.set(reports={**draft.state.reports, report.vantage: report})
    if before is None:
        return True
    is_late = report.at_ms - before.at_ms > draft.setup.policy.judge.report_stale_ms
    return is_late or report.self_check != before.self_check or _differ(report.views, before.views)


def _differ(views: Mapping[TargetId, TargetView], before: Mapping[TargetId, TargetView]) -> bool:
    """Whether two reports' views mean different things. Mostly they are the same objects, told apart at the cost of a glance."""
    if views is before or views == before:
        return False
    if views.keys() != before.keys():
        return True
    return any(view is not (old := before[target]) and not view.says_as(old) for target, view in views.items())


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
