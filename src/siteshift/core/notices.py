"""The end of what people were told: a condition that holds no more is told as resolved, by the key it was raised with.

What was raised is durable (`ControllerState.told`), so that a restart neither forgets an incident that is open at a pager nor
opens it twice. Whether it still holds is derived from the whole state each time, never from a transition.
"""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.messages.commands import Tell
from siteshift.core.model.codes import DiagnosisCode, FindingCode, NoticeCode, StandbyPhase
from siteshift.core.model.notice import Notice, key_of
from siteshift.core.model.setup import Setup
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState
from siteshift.core.state.plane_queries import taken_out_by
from siteshift.core.state.tracks import PlaneStanding

FORGETS_AFTER = 2
"""Writes in a row that ended well and were not read back before a plane is said to forget."""
_BY_EVIDENCE = frozenset(code.value for code in DiagnosisCode)


def tell_ends(draft: Draft) -> None:
    """Tell as resolved what holds no more. What hangs on evidence is left open while there is none: unknown is not over."""
    told = draft.state.told
    if not told:
        return
    standing = set(standing_keys(draft.state, draft.setup))
    over = {key: notice for key, notice in told.items() if key not in standing and _is_known(draft.state, draft.setup, notice)}
    if not over:
        return
    draft.set(told={key: notice for key, notice in told.items() if key not in over})
    draft.remembers = True
    for key in sorted(over):
        ended = over[key].resolved()
        draft.commands.append(Tell(**{name: getattr(ended, name) for name in Notice.__dataclass_fields__}))


def _is_known(state: ControllerState, setup: Setup, notice: Notice) -> bool:
    """Whether its end can be told: of a diagnosis and of what stood in a service's way by who sees, of a plane when read."""
    if notice.plane is not None:
        track = state.plane(notice.plane)
        is_tried = track.standing is not PlaneStanding.UNREAD or track.unread_since_ms is not None
        return is_tried or notice.plane not in setup.plane_ids
    if notice.code in _BY_EVIDENCE or notice.service is not None:
        return state.is_fresh and not state.picture.blind
    return True


def standing_keys(state: ControllerState, setup: Setup) -> Iterator[str]:
    """The keys of all that holds now."""
    for entry in state.picture.diagnoses:
        yield key_of(entry.code.value, service=entry.service or "", site=entry.site or "", member=entry.member or "")
    if state.picture.blind:
        yield key_of(NoticeCode.BLIND)
    if not state.is_store_usable:
        yield key_of(FindingCode.STORE_LOST)
    if state.adoption is not None:
        yield key_of(FindingCode.HELD_AS_ADOPTED)
    for service in setup.topology.services:
        for found in state.transition(service.id).findings:
            code, about = found.subject
            yield key_of(code, service=service.id, about=about)
    yield from _of_planes(state, setup)
    for member, track in state.standbys.items():
        if track.phase is StandbyPhase.FAILED:
            yield key_of(NoticeCode.STANDBY_FAILED, member=member)
    for override in state.overrides:
        if override.end_told_ms:
            yield key_of(NoticeCode.OVERRIDE_ENDS_SOON, about=override.id)
    for goal in state.goals.values():
        if goal.state is GoalState.SUSPENDED or (goal.state is GoalState.REACHED and goal.left is not None):
            yield key_of(NoticeCode.ENVELOPE_LEFT, about=goal.goal.digest)


def _of_planes(state: ControllerState, setup: Setup) -> Iterator[str]:
    for plane in setup.planes:
        track = state.plane(plane.id)
        for obstacle in track.read_back.obstacles if track.read_back is not None else ():
            yield key_of(FindingCode.PLANE_OBSTACLE, plane=plane.id, about=obstacle.what)
        is_in_service = taken_out_by(state, plane.id) is None  # of one that is out nobody has to look at how it fails
        if is_in_service and track.outcome is not None and track.standing is not PlaneStanding.IN_STEP:
            yield key_of(f"PLANE_{track.outcome.name}", plane=plane.id)
        if is_in_service and track.unread_since_ms is not None:
            yield key_of(NoticeCode.PLANE_UNREADABLE, plane=plane.id)
        if track.foreign is not None:
            yield key_of(FindingCode.PLANE_FOREIGN, plane=plane.id)
        if track.unconfirmed >= FORGETS_AFTER:
            yield key_of(NoticeCode.PLANE_FORGETS, plane=plane.id)
        for drift in track.read_back.drifts if track.read_back is not None else ():
            yield key_of(NoticeCode.DRIFT, plane=plane.id, about=drift.what)
