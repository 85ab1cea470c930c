"""Seen traffic: smoothed rates per service and site, and the demand they amount to."""

from __future__ import annotations

from siteshift.core.draft import Draft
from siteshift.core.events import SeenTraffic, TrafficMeasured
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, ServiceId, SiteId
from siteshift.core.state import ControllerState, DemandTrack, TrafficTrack

SMOOTHING_MS = 10_000
"""Time constant of the demand estimate: long enough that Poisson noise at 300 requests/s stays under 2 %."""
PEAK_MS = 300_000
"""The demand used is the highest of the last five minutes: a crash must not look like less demand."""
FRESH_MS = 5_000
"""A measurement older than this says nothing about now."""


def absorb_traffic(draft: Draft, event: TrafficMeasured) -> bool:
    """Update rates and peaks. True when somebody may be waiting for the seen share (a drain in progress)."""
    traffic = dict(draft.state.traffic)
    for sample in event.seen:
        traffic[(sample.service, sample.site)] = _smoothed(traffic.get((sample.service, sample.site)), sample, event)
    demand = dict(draft.state.demand)
    for service in {sample.service for sample in event.seen}:
        total_rps = sum(t.rate_mrps for (owner, _), t in traffic.items() if owner == service) // 1000
        demand[service] = _peak(demand.get(service), total_rps, event.at_ms)
    changed = any(_differs(draft.state.demand.get(s), track) for s, track in demand.items())
    draft.set(traffic=traffic, demand=demand)
    return changed


def _smoothed(before: TrafficTrack | None, sample: SeenTraffic, event: TrafficMeasured) -> TrafficTrack:
    window_ms = max(1, sample.window_ms)
    now_mrps = sample.requests * 1_000_000 // window_ms
    errors_pm = sample.errors * WHOLE_PM // max(1, sample.requests)
    if before is None:
        return TrafficTrack(at_ms=event.at_ms, rate_mrps=now_mrps, last_mrps=now_mrps, error_pm=errors_pm)
    part_pm = min(WHOLE_PM, window_ms * WHOLE_PM // SMOOTHING_MS)
    rate = before.rate_mrps + (now_mrps - before.rate_mrps) * part_pm // WHOLE_PM
    return TrafficTrack(at_ms=event.at_ms, rate_mrps=rate, last_mrps=now_mrps, error_pm=errors_pm)


def _peak(before: DemandTrack | None, total_rps: int, now_ms: int) -> DemandTrack:
    """Highest total of the last minutes, in steps of 2 % so that noise is not news."""
    if before is None or total_rps > before.peak_rps or now_ms - before.peak_at_ms > PEAK_MS:
        step = max(1, (before.peak_rps if before else total_rps) // 50)
        if before is not None and now_ms - before.peak_at_ms <= PEAK_MS and total_rps < before.peak_rps + step:
            return before
        return DemandTrack(peak_rps=total_rps, peak_at_ms=now_ms)
    return before


def _differs(before: DemandTrack | None, after: DemandTrack) -> bool:
    return before is None or before.peak_rps != after.peak_rps


def demand_rps(state: ControllerState, service: Service, metered: frozenset[ServiceId]) -> int:
    """What to plan for: the measured peak where traffic is metered and some was seen, else the configured demand."""
    track = state.demand.get(service.id)
    if service.id in metered and track is not None and track.peak_rps > 0:
        return track.peak_rps
    return service.demand_rps


def seen_bp(state: ControllerState, service: Service, now_ms: int) -> dict[SiteId, int] | None:
    """The measured shares of a service now; None when nothing fresh was measured: unknown, not zero."""
    rates = {
        site: track.last_mrps
        for site in service.sites
        if (track := state.traffic.get((service.id, site))) is not None and now_ms - track.at_ms <= FRESH_MS
    }
    total = sum(rates.values())
    if not rates or total == 0:
        return None
    return {site: rate * WHOLE_BP // total for site, rate in rates.items()}
