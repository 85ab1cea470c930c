"""From reports to the picture, and from the picture to the life of every service at every site."""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.beliefs.life import AWAY, Condition, Signal, advance, is_left_unexplained, may_return
from siteshift.core.beliefs.traffic import first_heard_by_ms, settled_bp
from siteshift.core.model.codes import (
    Failback,
    Hardness,
    LeftBecause,
    SiteLife,
    Standing,
)
from siteshift.core.model.override import Forced, forced_view
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import has_read, in_service, in_step, living, read_bp
from siteshift.core.state.tracks import SiteTrack

UNDO_WATCH_MS = 15_000
"""A survivor that sickens this soon after it gained is taken to sicken because it gained."""


def signal_of(
    state: ControllerState, policy: ServicePolicy, forced: Forced, service: ServiceId, site: SiteId
) -> Signal:
    """What evidence and people amount to, for one service at one site. People first, then doubt, then evidence.

    A dead site is dead even when a person drained it, so that it can be left at once.
    """
    evidence = _evidence_of(state, policy, service, site)
    if evidence is Signal.DEAD:
        return evidence
    return Signal.FORCED_OUT if site in forced.drained_sites else evidence


def _evidence_of(state: ControllerState, policy: ServicePolicy, service: ServiceId, site: SiteId) -> Signal:
    picture = state.picture
    pool = picture.pools.get((service, site))
    if picture.blind or pool is None or service in picture.global_fault:
        return Signal.NO_EVIDENCE
    if picture.overload_of(service, site) is not None:
        return Signal.OVERLOADED
    is_tail = service in state.unsettled_until_ms and pool.hardness is not Hardness.HARD
    if is_tail and pool.standing in (Standing.DOWN, Standing.DEGRADED):
        return Signal.SUSPECTED
    match pool.standing:
        case Standing.UNKNOWN:
            return Signal.NO_EVIDENCE
        case Standing.DOWN:
            return Signal.DEAD
        case Standing.DEGRADED if pool.served_pm < policy.leave_degraded_below_pm:
            return Signal.SICK
        case Standing.SUSPECT:
            return Signal.SUSPECTED
        case _:
            return Signal.WELL


def update_lives_of(draft: Draft, service: Service) -> None:
    """Advance the life of a service at each of its sites, as far as the present beliefs carry it."""
    policy = draft.setup.policy.of(service.id)
    forced = forced_view(draft.state.overrides, service.id, draft.now_ms)
    for site in service.sites:
        _update_life(draft, service, site, policy, forced)


def _update_life(draft: Draft, service: Service, site: SiteId, policy: ServicePolicy, forced: Forced) -> None:
    before = draft.state.track(service.id, site)
    signal = signal_of(draft.state, policy, forced, service.id, site)
    track = before
    for _ in range(3):
        condition = _condition_of(draft, service, site, policy, track, signal)
        after = advance(track, signal, condition, policy, draft.now_ms)
        if after == track:
            break
        track = after
    track = _ramped(draft, service, site, policy, track, signal)
    if track == before:
        return
    draft.set_track(service.id, site, track)
    if track.life is not before.life:
        draft.record(
            "life",
            {
                "service": service.id,
                "site": site,
                "from": before.life.value,
                "to": track.life.value,
                "because": track.left_because.value if track.left_because else None,
                "hold_until_ms": track.hold_until_ms,
            },
        )


def _condition_of(
    draft: Draft, service: Service, site: SiteId, policy: ServicePolicy, track: SiteTrack, signal: Signal
) -> Condition:
    """What the state says beside the signal, as far as the present life asks for it: the first that holds counts."""
    is_well = signal is Signal.WELL
    if track.life is SiteLife.RETURNING:
        return Condition.RAMPED if is_well and _is_ramped(draft, service, site, policy, track) else Condition.NONE
    if track.life not in AWAY:
        is_own_doing = signal is Signal.SICK and gained_lately(draft, service, site)
        return Condition.GAINED_LATELY if is_own_doing else Condition.NONE
    is_draining = track.life is SiteLife.DRAINING
    if is_well:
        is_found_so = track.left_because is LeftBecause.UNKNOWN
        if is_draining and not is_found_so and not draft.state.transition(service.id).moved_at_ms >= track.since_ms > 0:
            return Condition.UNMOVED
        is_held = draft.state.is_held(service.id, site) or is_left_unexplained(track)
        if not is_held and (may_return(track, policy, draft.now_ms) or _is_needed(draft, service, policy)):
            return Condition.MAY_RETURN
        is_half_left = track.left_because is LeftBecause.SICK and draft.state.steering_share(service.id, site) > 0
        if is_draining and is_half_left and draft.due(track.hold_until_ms):
            return Condition.KEPT  # whoever fails back, there is nothing to fail back
        if track.left_because is not LeftBecause.PERSON:
            draft.due(track.hold_until_ms)
    return Condition.GONE if is_draining and is_gone(draft, service, site, policy) else Condition.NONE


def _is_needed(draft: Draft, service: Service, policy: ServicePolicy) -> bool:
    """Whether demand is shed: then no hold-down keeps a well site idle. Where a person fails back, a person is asked."""
    current = draft.state.steering.of(service.id)
    return current is not None and current.shed_bp > 0 and policy.failback is not Failback.MANUAL


def gained_lately(draft: Draft, service: Service, site: SiteId) -> bool:
    """Whether a site got more in the last move, so that its sickness may be our own doing: undo before judging it."""
    transition = draft.state.transition(service.id)
    current = draft.state.steering.of(service.id)
    if transition.undo_bp is None or current is None or draft.now_ms > transition.moved_at_ms + UNDO_WATCH_MS:
        return False
    return current.shares_bp.get(site, 0) > transition.undo_bp.get(site, 0)


def is_delivered_to(state: ControllerState, setup: Setup, service: ServiceId, site: SiteId) -> bool:
    """Whether a plane was read, since it confirmed the present generation, to deliver a share to a site that has none."""
    current = state.steering.of(service)
    if current is None or current.brings_bp(site):
        return False
    planes = tuple(plane for plane in in_service(state, setup.planes_of(service)) if has_read(state, plane))
    return read_bp(state, planes, service, site) > 0


def is_gone(draft: Draft, service: Service, site: SiteId, policy: ServicePolicy) -> bool:
    """A drain is complete when the planes were read to deliver nothing there, when *seen* traffic says so (law 8), and the old
    TTL has run out (law 9). What a person set by hand within our generation counts like everything else that is read.

    Without a fresh measurement at this site (what measures it may have died with it) the planes' read-back and the TTL
    must do; `explain` says that seen is unknown. Who has just begun to listen waits for the first one.
    """
    state = draft.state
    current = state.steering.of(service.id)
    if current is None or current.shares_bp.get(site, 0) or current.shed_at == site:
        return False
    planes = in_service(state, draft.setup.planes_of(service.id))
    if not in_step(state, planes) or is_delivered_to(state, draft.setup, service.id, site):
        return False
    if not draft.due(state.transition(service.id).tail_until_ms):
        return False
    if service.id not in draft.setup.metered:
        return True
    seen = settled_bp(state, service, draft.now_ms)
    if seen is None or site not in seen:
        return draft.due(first_heard_by_ms(state))
    draft.due(draft.now_ms + 1_000)
    return seen[site] <= policy.residual_done_bp


def _is_ramped(draft: Draft, service: Service, site: SiteId, policy: ServicePolicy, track: SiteTrack) -> bool:
    is_last = track.ramp_step >= len(policy.ramp_bp) - 1
    return is_last and _has_soaked(draft, service, site, policy, track)


def _has_soaked(draft: Draft, service: Service, site: SiteId, policy: ServicePolicy, track: SiteTrack) -> bool:
    """Whether the present step was carried out everywhere and then held for the soak time."""
    current = draft.state.steering.of(service.id)
    pool = service.pool_at(site)
    if current is None or pool is None:
        return False
    if not in_step(draft.state, living(draft.state, draft.setup.planes_of(service.id))):
        return False
    wanted = max(1, pool.nominal_bp * policy.ramp_bp[track.ramp_step] // WHOLE_BP)
    moved_at_ms = max(track.step_since_ms, draft.state.transition(service.id).moved_at_ms)
    if current.shares_bp.get(site, 0) < wanted * 9 // 10:
        return False
    return draft.due(moved_at_ms + policy.soak_ms)


def _ramped(
    draft: Draft, service: Service, site: SiteId, policy: ServicePolicy, track: SiteTrack, signal: Signal
) -> SiteTrack:
    """One step up the ramp once the present one has soaked; a suspicion pauses it."""
    if track.life is not SiteLife.RETURNING or signal is not Signal.WELL:
        return track
    if track.ramp_step >= len(policy.ramp_bp) - 1 or not _has_soaked(draft, service, site, policy, track):
        return track
    return replace(track, ramp_step=track.ramp_step + 1, step_since_ms=draft.now_ms)
