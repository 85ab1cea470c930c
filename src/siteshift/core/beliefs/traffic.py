"""Seen traffic: smoothed rates per service and site, and the demand they amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from siteshift.core.messages.events import SeenTraffic, TrafficMeasured
from siteshift.core.model.codes import Standing
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import DemandTrack, TrafficTrack

SMOOTHING_MS = 4_000
"""Time constant of the demand estimate: Poisson noise at 300 requests/s stays at 2 %, a surge is known in seconds."""
LEARNING_MS = 60_000
"""So long the configured demand is a floor: a measurement that has just begun has seen no peak yet."""
PEAK_MS = 300_000
"""The demand used is the highest of the last five minutes: a crash must not look like less demand."""
WASHED_OUT_MS = 5 * SMOOTHING_MS
"""So long after trouble the smoothed rates still hold what was tried again in it: less than a hundredth of it is left then.

The same for a site that is heard again after a silence: all that piled up while it hung is counted in its first window.
"""
FRESH_MS = 5_000
"""A measurement older than this says nothing about now."""


def absorb_traffic(draft: Draft, event: TrafficMeasured) -> bool:
    """Update rates and peaks. True when somebody may be waiting for the seen share (a drain in progress)."""
    traffic = dict(draft.state.traffic)
    for sample in event.seen:
        traffic[(sample.service, sample.site)] = _smoothed(traffic.get((sample.service, sample.site)), sample, event)
    demand = dict(draft.state.demand)
    for service in {sample.service for sample in event.seen}:
        before = demand.get(service)
        if _is_troubled(draft, service):
            if before is not None:
                demand[service] = replace(before, troubled_at_ms=event.at_ms)
        elif before is None or not before.troubled_at_ms or event.at_ms - before.troubled_at_ms > WASHED_OUT_MS:
            track = _demand_of(draft, service, traffic, event)
            if track is not None:
                demand[service] = track
    known = draft.state.demand
    changed = any(service not in known or known[service].peak_rps != track.peak_rps for service, track in demand.items())
    draft.set(traffic=traffic, demand=demand)
    return changed


def _is_troubled(draft: Draft, service: ServiceId) -> bool:
    """While a pool is down or degraded a load balancer may try requests twice: what it counts may not be demand.

    Where the trouble is the load itself, it is.
    """
    bad = (Standing.DOWN, Standing.DEGRADED)
    pools = draft.state.picture.pools
    found = draft.setup.topology.service_by_id.get(service)
    return found is not None and any(
        (pool := pools.get((service, site))) is not None
        and pool.standing in bad
        and draft.state.picture.overload_of(service, site) is None
        and draft.state.steering_share(service, site) > 0
        for site in found.sites
    )


def _demand_of(
    draft: Draft, service: ServiceId, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack], event: TrafficMeasured
) -> DemandTrack | None:
    """The demand now. Sites that nobody measures just now are unknown, not idle: then it may rise and not fall.

    What they had when they were last measured does not count either: it comes in elsewhere by now (a dead site's users).
    Nor does what they show first when they are heard again (`WASHED_OUT_MS`).
    """
    known = draft.setup.topology.service_by_id.get(service)
    window_ms = max(1, *(sample.window_ms for sample in event.seen if sample.service == service))
    fresh = [
        track
        for (owner, _), track in traffic.items()
        if owner == service
        and event.at_ms - track.at_ms < window_ms
        and not (track.since_ms and event.at_ms - track.since_ms < WASHED_OUT_MS)
    ]
    before = draft.state.demand.get(service)
    seen_mrps = sum(track.demand_mrps for track in fresh)
    is_answered_apart = known is not None and draft.setup.answers_shed(known)
    total_rps = _with_shed(draft.state, service, seen_mrps, before) if is_answered_apart else (seen_mrps + 500) // 1000
    if known is not None:
        total_rps = max(total_rps, _behind_shares(draft.state, known, traffic, event.at_ms))
    if known is None or len(fresh) >= len(known.sites):
        return _peak(before, total_rps, event.at_ms)
    if before is None or total_rps <= before.peak_rps:
        return before
    return _peak(replace(before, peak_at_ms=event.at_ms), total_rps, event.at_ms)


def _with_shed(state: ControllerState, service: ServiceId, seen_mrps: int, before: DemandTrack | None) -> int:
    """The demand in requests/s, to the nearest, with what is shed by an answer of its own: that reaches no site.

    Where it is counted (by a dead site's load balancer), or not yet shed (old caches), the sum would be too much: so
    what is reckoned on top may keep the estimate up, and never raises it. Only for services whose shed part has such an answer:
    else it comes in at a site that counts it, and the demand of a retry storm would be believed for as long as the storm that
    this very shedding feeds.
    """
    current = state.steering.of(service)
    seen_rps = (seen_mrps + 500) // 1000
    if current is None or before is None or not 0 < current.shed_bp < WHOLE_BP:
        return seen_rps
    with_shed_mrps = seen_mrps * WHOLE_BP // (WHOLE_BP - current.shed_bp)
    return max(seen_rps, min(before.peak_rps, (with_shed_mrps + 500) // 1000))


def _behind_shares(
    state: ControllerState, service: Service, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack], now_ms: int
) -> int:
    """The least demand, requests/s, that explains what comes to the serving sites while a part is shed by an answer.

    What is shed reaches nobody who counts; so demand that grows meanwhile would never be known, and each site that
    recovers would be given a share of it that it cannot carry. What comes is at most the part that present answers or those
    in caches send, and only sites that have a share count: at others it is the rest of old answers.
    """
    current, transition = state.steering.of(service.id), state.transition(service.id)
    if current is None or not service.shed_answers or not 0 < current.shed_bp < WHOLE_BP:
        return 0
    serving = [site for site, bp in current.shares_bp.items() if bp]
    tracks = [traffic.get((service.id, site)) for site in serving]
    if any(track is None or now_ms - track.at_ms > FRESH_MS for track in tracks):
        return 0
    in_caches_bp = sum(transition.cached_bp.values()) if now_ms <= transition.tail_until_ms + SMOOTHING_MS else 0
    sent_bp = max(sum(current.shares_bp.values()), in_caches_bp)
    return sum(track.demand_mrps for track in tracks if track is not None) * WHOLE_BP // (sent_bp * 1000)


def _smoothed(before: TrafficTrack | None, sample: SeenTraffic, event: TrafficMeasured) -> TrafficTrack:
    window_ms = max(1, sample.window_ms)
    now_mrps = sample.requests * 1_000_000 // window_ms
    asked_mrps = max(0, sample.requests - sample.passed_on) * 1_000_000 // window_ms
    answered = sample.requests - sample.errors if sample.answered is None else sample.answered
    part_pm = min(WHOLE_PM, window_ms * WHOLE_PM // SMOOTHING_MS)
    rate_mrps, demand_mrps, since_ms = now_mrps, asked_mrps, 0
    if before is not None and event.at_ms - before.at_ms <= FRESH_MS:
        rate_mrps = before.rate_mrps + (now_mrps - before.rate_mrps) * part_pm // WHOLE_PM
        demand_mrps = before.demand_mrps + (asked_mrps - before.demand_mrps) * part_pm // WHOLE_PM
        since_ms = before.since_ms
    elif before is not None:
        # what it had longer ago is no part of a mean: its users came in elsewhere meanwhile
        demand_mrps = asked_mrps * part_pm // WHOLE_PM
        since_ms = event.at_ms
    return TrafficTrack(
        at_ms=event.at_ms,
        rate_mrps=rate_mrps,
        last_mrps=now_mrps,
        window_ms=window_ms,
        asked_mrps=asked_mrps,
        answered_mrps=max(0, answered) * 1_000_000 // window_ms,
        demand_mrps=demand_mrps,
        since_ms=since_ms,
    )


def _peak(before: DemandTrack | None, total_rps: int, now_ms: int) -> DemandTrack:
    """Highest total of the last minutes, in steps of 2 % so that noise is not news."""
    if before is None:
        return DemandTrack(peak_rps=total_rps, peak_at_ms=now_ms, since_ms=now_ms)
    if now_ms - before.peak_at_ms > PEAK_MS:
        return replace(before, peak_rps=total_rps, peak_at_ms=now_ms)
    if total_rps >= before.peak_rps + max(1, before.peak_rps // 50):
        return replace(before, peak_rps=total_rps, peak_at_ms=now_ms)
    return before


def demand_rps(state: ControllerState, service: Service, metered: frozenset[ServiceId]) -> int:
    """What to plan for: the measured peak where traffic is metered and some was seen, else the configured demand."""
    track = state.demand.get(service.id)
    if service.id not in metered or track is None or track.peak_rps == 0:
        return service.demand_rps
    is_learning = track.peak_at_ms - track.since_ms < LEARNING_MS
    return max(track.peak_rps, service.demand_rps) if is_learning else track.peak_rps


def seen_bp(state: ControllerState, service: Service, now_ms: int) -> dict[SiteId, int] | None:
    """The parts of the traffic seen now, by site; None when nothing fresh was measured.

    A site that is not there is unknown, not zero: its page or load balancer may have died with it.
    """
    return _parts(state, service, now_ms, lambda track: track.last_mrps)


def settled_bp(state: ControllerState, service: Service, now_ms: int) -> dict[SiteId, int] | None:
    """The same over the last seconds (`SMOOTHING_MS`): one empty half second does not make a drain complete."""
    return _parts(state, service, now_ms, lambda track: track.rate_mrps)


def _parts(
    state: ControllerState, service: Service, now_ms: int, rate: Callable[[TrafficTrack], int]
) -> dict[SiteId, int] | None:
    rates = {
        site: rate(track)
        for site in service.sites
        if (track := state.traffic.get((service.id, site))) is not None and now_ms - track.at_ms <= FRESH_MS
    }
    total = sum(rates.values())
    if not rates or total == 0:
        return None
    return {site: found * WHOLE_BP // total for site, found in rates.items()}
