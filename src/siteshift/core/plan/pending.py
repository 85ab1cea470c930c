"""What a service that is where it should be still waits for: standby, old answers, a soak, quiet."""

from __future__ import annotations

from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.situation import Situation
from siteshift.core.model.codes import SiteLife, StandbyPhase
from siteshift.core.model.plan import Wait, WaitCode
from siteshift.core.model.units import SiteId
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import in_step, living


def what_is_pending(draft: Draft, situation: Situation) -> Wait:
    """The first thing that is waited for, the nearest to traffic first; ``NOTHING_LEFT`` when there is none."""
    service = situation.service.id
    moving = [site for site, track in situation.tracks.items() if track.life in (SiteLife.DRAINING, SiteLife.RETURNING)]
    found = what_is_coming(draft, situation)
    if found is None and moving:
        found = _moving(draft, situation, moving)
    if found is None and draft.now_ms < situation.transition.restless_until_ms:
        found = (WaitCode.CALM, situation.transition.restless_until_ms)
    code, until_ms = found or (WaitCode.NOTHING_LEFT, None)
    return Wait(service=service, code=code, until_ms=until_ms)


def what_is_coming(draft: Draft, situation: Situation) -> tuple[WaitCode, int | None] | None:
    """The standby on its way into service, and until when at the latest; None when there is none."""
    tracks = [draft.state.standby(member.id) for member in situation.service.standbys]
    for track in tracks:
        if track.phase is StandbyPhase.STARTING:
            return WaitCode.STANDBY_READY, track.deadline_ms
    for track in tracks:
        if track.phase is StandbyPhase.READY:
            proven_ms = track.proof_since_ms + situation.policy.proof_ms if track.proof_since_ms else track.deadline_ms
            return WaitCode.STANDBY_PROOF, proven_ms
    return None


def _moving(draft: Draft, situation: Situation, moving: list[SiteId]) -> tuple[WaitCode, int | None] | None:
    state, transition, now_ms = draft.state, situation.transition, draft.now_ms
    if not in_step(state, living(state, draft.setup.planes_of(situation.service.id))):
        return WaitCode.PLANES, None
    for site in moving:
        track = situation.tracks[site]
        if track.life is SiteLife.RETURNING and situation.signals[site] is Signal.WELL:
            return WaitCode.SOAK, max(track.step_since_ms, transition.moved_at_ms) + situation.policy.soak_ms
        if track.life is SiteLife.DRAINING and situation.current.shares_bp.get(site, 0):
            return WaitCode.ROOM, None
        if track.life is SiteLife.DRAINING:
            return (WaitCode.TTL, transition.tail_until_ms) if now_ms < transition.tail_until_ms else (WaitCode.RESIDUAL, None)
    return None
