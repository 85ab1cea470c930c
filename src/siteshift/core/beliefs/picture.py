"""From reports to the picture: the diagnosis, with overload told from failure, and what people are told of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from siteshift.core.beliefs.overload import full_lately, with_overloads
from siteshift.core.beliefs.traffic import served_lately
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.model.codes import DiagnosisCode, MemberRole, NoticeCode, Severity, StandbyPhase, Standing
from siteshift.core.model.evidence import Diagnosis, Picture
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import MemberId, ServiceId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft

UNSETTLED_MS = 10_000
"""So long after a global fault soft trouble at one site is taken for the tail of it; a refused connection is not."""


OVERLOAD_AGAIN_MS = 1_000
"""What is called overload is looked at again this often: the load may go and the trouble stay."""


AWAITED_AGAIN_MS = 200
"""What its meter may speak for is looked at again this often: the first count since its checks fail decides."""


OBSERVE_INTERVALS = 3
"""A fresh node watches this many probe intervals before its first act (outage `descheduled`: a paced first act)."""


def refresh_picture(draft: Draft) -> None:
    """Diagnose anew and say what changed. Fresh is: seen long enough, and not blind."""
    state, setup = draft.state, draft.setup
    judge = setup.policy.judge
    served_of = partial(served_lately, state, setup.metered)
    picture = diagnose(setup.topology, setup.policy, state.reports, draft.now_ms, previous=state.picture, served_of=served_of)
    picture = _without_closed_standbys(picture, state, setup)
    watched_ms = state.started_ms + OBSERVE_INTERVALS * judge.interval_ms
    if not draft.due(watched_ms):
        picture = _without_observers(picture)
    if (full_at_ms := full_lately(state, setup, draft.now_ms)) != state.full_at_ms:
        draft.set(full_at_ms=full_at_ms)
        state = draft.state
    picture = with_overloads(picture, state, setup, draft.now_ms)
    if any(entry.code is DiagnosisCode.OVERLOAD for entry in picture.diagnoses):
        draft.due(draft.now_ms + OVERLOAD_AGAIN_MS)
    if any(pool.standing is Standing.SUSPECT and served_of(key) is not None for key, pool in picture.pools.items()):
        draft.due(draft.now_ms + AWAITED_AGAIN_MS)
    _note_unsettled(draft, picture)
    if picture != state.picture:
        _say_what_changed(draft, state.picture, picture)
        draft.set(picture=picture)
    if not state.is_fresh and not picture.blind and draft.due(watched_ms):
        draft.set(is_fresh=True)
        draft.record("fresh", {"after_ms": draft.now_ms - state.started_ms})


def _note_unsettled(draft: Draft, picture: Picture) -> None:
    """A fault everywhere, or blindness, ends site by site: for a while the laggards look sick alone and are not."""
    is_blind = picture.blind and draft.state.is_fresh
    unsettled = dict(draft.state.unsettled_until_ms)
    alike = dict(draft.state.alike_until_ms)
    for service in draft.setup.topology.services:
        is_alike = service.id in picture.global_fault
        _note_until(draft, alike, service.id, is_so=is_alike)
        _note_until(draft, unsettled, service.id, is_so=is_alike or is_blind)
    if (unsettled, alike) != (draft.state.unsettled_until_ms, draft.state.alike_until_ms):
        draft.set(unsettled_until_ms=unsettled, alike_until_ms=alike)


def _note_until(draft: Draft, until_ms: dict[ServiceId, int], service: ServiceId, *, is_so: bool) -> None:
    """What is so counts for `UNSETTLED_MS` longer than it is."""
    if is_so:
        until_ms[service] = draft.now_ms + UNSETTLED_MS
    elif service in until_ms and draft.due(until_ms[service]):
        del until_ms[service]


def _without_closed_standbys(picture: Picture, state: ControllerState, setup: Setup) -> Picture:
    """A standby that is not open answers nothing, and nothing is wrong with that; nor with what it was before."""
    kept = tuple(e for e in picture.diagnoses if e.member is None or not _is_closed(e.member, e.since_ms, state, setup))
    return picture if len(kept) == len(picture.diagnoses) else replace(picture, diagnoses=kept)


def _without_observers(picture: Picture) -> Picture:
    """Just started, nobody can have reported yet: that is no fault of an observer. It counts as blind all the same."""
    kept = tuple(e for e in picture.diagnoses if e.code not in (DiagnosisCode.OBSERVER_ISOLATED, DiagnosisCode.STALE))
    return picture if len(kept) == len(picture.diagnoses) else replace(picture, diagnoses=kept)


def _is_closed(name: MemberId, down_since_ms: int, state: ControllerState, setup: Setup) -> bool:
    """Whether a standby is closed, or was when it was last seen down: its first probes as an open one are under way."""
    member = setup.topology.members.get(name)
    if member is None or member.role is not MemberRole.STANDBY:
        return False
    track = state.standby(name)
    if track.phase is StandbyPhase.READY:
        return down_since_ms < track.since_ms
    return track.phase is not StandbyPhase.PROVEN


def _say_what_changed(draft: Draft, before: Picture, after: Picture) -> None:
    old = {_name(entry): entry for entry in before.diagnoses}
    new = {_name(entry): entry for entry in after.diagnoses}
    if old.keys() == new.keys() and before.blind == after.blind and before.global_fault == after.global_fault:
        return
    draft.record(
        "belief",
        {
            "diagnoses": [describe(entry) for entry in after.diagnoses],
            "blind": after.blind,
            "credible": list(after.credible),
            "isolated": list(after.isolated),
            "global_fault": sorted(after.global_fault),
        },
    )
    for name in sorted(new.keys() - old.keys()):
        entry = new[name]
        draft.tell(
            Severity.NEEDS_APPROVAL,
            entry.code.value,
            entry.reason,
            service=entry.service,
            site=entry.site,
            member=entry.member,
            since_ms=entry.since_ms,
        )
    if after.blind and not before.blind and draft.state.is_fresh:
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.BLIND, "no credible vantage: nothing will be changed")


def _name(entry: Diagnosis) -> tuple[str, str, str, str]:
    return (entry.code.value, entry.site or "", entry.service or "", entry.member or "")


def describe(entry: Diagnosis) -> dict[str, object]:
    """A diagnosis as a JSON-compatible document."""
    return {
        "code": entry.code.value,
        "site": entry.site,
        "service": entry.service,
        "member": entry.member,
        "since_ms": entry.since_ms,
        "reason": entry.reason,
        "accusers": list(entry.accusers),
    }
