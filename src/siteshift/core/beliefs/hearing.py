"""Hearing vantages: which of their reports count, and what their instants are on our clock.

A report's age is the time since it was *received*: a vantage whose clock is an hour off, or that was started again, is
believed like any other. Only our own reports, made on our own clock, tell their age themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.model.evidence import TargetView, VantageReport
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import TargetId, VantageId
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import VantageTrack

CLOCKS_AGREE_MS = 2_000
"""Clocks that differ by less are taken for the same: that much is the way of a report, and nothing judged hangs on less."""
BOOTS_KEPT = 4
"""So many former lives of a vantage are remembered: more starts than that within the way of one report there are not."""


def absorb_report_of(draft: Draft, sent: VantageReport) -> bool:
    """A later report replaces an earlier one whole; one that is older, repeated or of a former life is ignored.

    It is news when it means something else. How bad a suspicion or a crash looks drifts all the time: that alone waits for
    the next sweep.
    """
    if not is_vantage_of(draft.setup, sent.vantage):
        return False
    before = draft.state.reports.get(sent.vantage)
    known = track = draft.state.vantage(sent.vantage)
    if before is not None and before.boot_id == sent.boot_id:
        if sent.sequence <= before.sequence:
            return False
    elif sent.boot_id in track.former_boots:
        return False
    elif before is not None:
        track = VantageTrack(former_boots=(*track.former_boots, before.boot_id)[-BOOTS_KEPT:])
    if sent.vantage == draft.setup.node:
        report = sent if sent.at_ms <= draft.now_ms else replace(sent, at_ms=draft.now_ms)
    else:
        track = _with_clock(track, sent.at_ms - draft.now_ms)
        report = _in_our_time(sent, track.clock_ahead_ms, draft.now_ms)
    draft.set(reports={**draft.state.reports, sent.vantage: report})
    if track is not known:
        draft.set(vantages={**draft.state.vantages, sent.vantage: track})
    if before is None or before.boot_id != report.boot_id:
        return True
    is_late = report.at_ms - before.at_ms > draft.setup.policy.judge.report_stale_ms
    return is_late or report.self_check != before.self_check or _differ(report.views, before.views)


def is_vantage_of(setup: Setup, name: VantageId) -> bool:
    """Whether a vantage belongs to this setup."""
    return name == setup.node or name in setup.topology.site_of_vantage


def _with_clock(track: VantageTrack, ahead_ms: int) -> VantageTrack:
    """The last measure of a clock holds until another differs from it by more than the way of a report."""
    if abs(ahead_ms - track.clock_ahead_ms) <= CLOCKS_AGREE_MS:
        return track
    return replace(track, clock_ahead_ms=0 if abs(ahead_ms) <= CLOCKS_AGREE_MS else ahead_ms)


def _in_our_time(sent: VantageReport, ahead_ms: int, now_ms: int) -> VantageReport:
    if not ahead_ms:
        return replace(sent, at_ms=now_ms)
    views = {target: _view_in_our_time(view, ahead_ms) for target, view in sent.views.items()}
    return replace(sent, at_ms=now_ms, views=views)


def _view_in_our_time(view: TargetView, ahead_ms: int) -> TargetView:
    """0 means never, on every clock."""
    since_ms = view.since_ms - ahead_ms if view.since_ms else 0
    last_pass_ms = view.last_pass_ms - ahead_ms if view.last_pass_ms else 0
    said = view.evidence
    evidence = replace(said, since_ms=said.since_ms - ahead_ms) if said is not None and said.since_ms else said
    return replace(view, since_ms=since_ms, last_pass_ms=last_pass_ms, evidence=evidence)


def _differ(views: Mapping[TargetId, TargetView], before: Mapping[TargetId, TargetView]) -> bool:
    """Whether two reports' views mean different things. Mostly they are the same objects, told apart at the cost of a glance."""
    if views is before or views == before:
        return False
    if views.keys() != before.keys():
        return True
    return any(view is not (old := before[target]) and not view.says_as(old) for target, view in views.items())
