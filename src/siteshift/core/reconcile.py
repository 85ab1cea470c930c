"""Reconciling: look at the complete state and derive what should change.

The order is the flow of the design: overrides, picture, lives, standbys, target shares, next step, gate, steering,
planes. Every part is derived anew each time; what is not yet possible is simply not done, and is tried at the next
event or at the instant noted in ``wake_at_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.beliefs.life import Signal
from siteshift.core.beliefs.lives import update_lives
from siteshift.core.beliefs.picture import refresh_picture
from siteshift.core.decide.allocate_all import allot
from siteshift.core.decide.demand import Allocation, StandbyUse
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situations_of
from siteshift.core.enact.planes import reconcile_planes
from siteshift.core.enact.standby import reconcile_standbys
from siteshift.core.lifecycle.adopt import adopt_planes, awaits_readings, tell_adoption
from siteshift.core.model.codes import Mode, SiteLife, StandbyPhase, Standing
from siteshift.core.model.override import forced_view
from siteshift.core.model.units import ServiceId
from siteshift.core.operate.expiry import expire_overrides
from siteshift.core.plan.transition import NextSteering, next_steering
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import has_foreign, highest_found, to_pass

TROUBLED_SWEEP_MS, UNDER_WAY_SWEEP_MS, CALM_SWEEP_MS = 1_000, 2_500, 60_000
"""The whole is derived again at least this often: while something is believed to be wrong, while something is under way (a
drain, a way back, a standby, an override), and while nothing is. What waits for an instant names it (`Draft.due`); a sweep
finds what waits for measurements, which arrive too often to be news each."""
WARM_AFTER_MS = 300
"""Suspicion younger than this starts nothing: most single failures are gone by then (DESIGN §4, `confirm_for`)."""


def reconcile(draft: Draft) -> None:
    """Derive everything that follows from the state but what the planes need, and write it into the draft."""
    if has_adopted := adopt_planes(draft):
        draft.due(draft.now_ms + 1)  # what is decided upon it is a step of its own
    tell_adoption(draft)
    expire_overrides(draft)
    refresh_picture(draft)
    update_lives(draft)
    situations = situations_of(draft)
    modes = {service: situation.mode for service, situation in situations.items()}
    if draft.state.is_fresh and not has_adopted:
        before = draft.state
        _reconcile_standbys(draft, situations, modes)
        if draft.state is not before:
            situations = situations_of(draft)
        now = allot(situations, draft.setup, standby=StandbyUse.NONE)
        _steer(draft, situations, now, modes)
    draft.due(draft.now_ms + _sweep_ms(draft.state))


def _sweep_ms(state: ControllerState) -> int:
    """How soon to derive the whole again, whatever happens."""
    picture = state.picture
    if picture.blind or picture.diagnoses or any(pool.standing is not Standing.UP for pool in picture.pools.values()):
        return TROUBLED_SWEEP_MS
    is_under_way = (
        state.overrides
        or not state.is_fresh
        or any(track.life is not SiteLife.SERVING for track in state.tracks.values())
        or any(track.phase is not StandbyPhase.COLD for track in state.standbys.values())
    )
    return UNDER_WAY_SWEEP_MS if is_under_way else CALM_SWEEP_MS


def tend_planes(draft: Draft) -> None:
    """Bring the data planes into step with the steering as it is, and read those that are due."""
    modes = {
        service.id: forced_view(draft.state.overrides, service.id, draft.now_ms).mode or draft.setup.policy.of(service.id).mode
        for service in draft.setup.topology.services
    }
    reconcile_planes(draft, modes, may_write_ms=0 if _may_write(draft) else NEVER_MS)


def _may_write(draft: Draft) -> bool:
    state = draft.state
    return state.is_fresh and state.is_store_usable and state.term is not None


def _reconcile_standbys(draft: Draft, situations: Mapping[ServiceId, Situation], modes: dict[ServiceId, Mode]) -> None:
    """Open what the target needs, and what it would need if the suspicion turned out true (DESIGN §4)."""
    if draft.state.picture.blind or not _may_write(draft):
        return
    imagined = {service: _if_suspects_fell(draft, situation) for service, situation in situations.items()}
    planned = allot(imagined, draft.setup, standby=StandbyUse.ALLOWED)
    for service in imagined:
        allocation = planned.of(service)
        if has_foreign(draft.state, draft.setup.planes_of(service)):
            continue  # a standby could not be given its traffic, and would be tried without end
        forced = situations[service].forced
        if draft.state.is_switched_off and not (forced.drained_sites or forced.shares_bp):
            continue  # the off switch stops what siteshift does by itself; what a person asked for needs its standbys
        is_approved = situations[service].transition.approved is not None and modes[service] is Mode.RECOMMEND
        if allocation is None or not (modes[service] is Mode.AUTO or is_approved):
            continue
        reconcile_standbys(draft, situations[service], allocation.standby_needed_rps)


def _if_suspects_fell(draft: Draft, situation: Situation) -> Situation:
    """The situation as it would be if every site suspected for a while were lost. One that is only overloaded is none."""
    if not situation.policy.warm_on_suspicion or situation.is_blind:
        return situation
    lost = {
        site
        for site, track in situation.tracks.items()
        if track.life is SiteLife.SUSPECT
        and situation.signals[site] is not Signal.OVERLOADED
        and draft.due(track.since_ms + WARM_AFTER_MS)
    }
    if not lost or len(lost) == len(situation.tracks):
        return situation
    tracks = {s: replace(t, life=SiteLife.DRAINING) if s in lost else t for s, t in situation.tracks.items()}
    signals = {s: Signal.DEAD if s in lost else signal for s, signal in situation.signals.items()}
    return replace(situation, tracks=tracks, signals=signals)


def _steer(
    draft: Draft, situations: Mapping[ServiceId, Situation], now: Allocation, modes: dict[ServiceId, Mode]
) -> None:
    """Ask every service for its next step; what the gates let through becomes one new generation."""
    next_steerings: list[NextSteering] = []
    for service, situation in situations.items():
        allocation = now.of(service)
        if allocation is not None:
            next_steerings.append(next_steering(draft, situation, allocation, modes[service]))
    if not _may_write(draft) or awaits_readings(draft):
        return
    entries = tuple(entry.steering for entry in next_steerings)
    steering = draft.state.steering
    if highest_found(draft.state) > steering.generation:
        return  # a plane that is ahead tells of what we forgot: it is read, and taken over, first
    foreign_generation = to_pass(draft.state)
    if entries == steering.services and foreign_generation < steering.generation:
        return
    generation = max(steering.generation, foreign_generation) + 1
    new = replace(
        steering,
        generation=generation,
        term=draft.state.term or steering.term,
        decided_at_ms=draft.now_ms,
        services=entries,
    )
    draft.set(steering=new)
    draft.remembers = True
    draft.record(
        "decision",
        {
            "generation": generation,
            "digest": new.digest(),
            "services": [entry.document for entry in next_steerings if entry.document],
        },
    )
