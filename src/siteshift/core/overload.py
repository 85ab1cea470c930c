"""Overload is not a site failure: a site that sickens because others failed is kept, and helped.

When a site dies, load balancers send its requests on to the survivors before anybody decides anything; the survivors
queue, slow down, answer 503. Leaving them for it takes down one site after the other (the cascade of every metastable
outage). So trouble that is not hard (nobody refuses connections) is overload while the site is asked for more than its
open capacity, or, where traffic is not measured, for a while after another site of the service was lost.
"""

from __future__ import annotations

from siteshift.core.model.codes import DiagnosisCode, Hardness, Standing
from siteshift.core.model.evidence import Diagnosis, Picture, PoolPicture
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.setup import Setup
from siteshift.core.state import ControllerState, LeftBecause
from siteshift.core.traffic import FRESH_MS

PRESUMED_MS = 20_000
"""How long after the loss of a sibling soft trouble is presumed to be overload: a standby is up and the shift settled."""

MOSTLY_PM = 700
"""A site that answers more than three in ten of the requests it is sent is overloaded, not gone."""
SERVED_MS = 1_500

_TROUBLED = (Standing.DOWN, Standing.DEGRADED)


def name_overloads(picture: Picture, state: ControllerState, setup: Setup, now_ms: int) -> tuple[Diagnosis, ...]:
    """An `OVERLOAD` for each service at a site whose trouble is its load."""
    found: list[Diagnosis] = []
    for service in setup.topology.services:
        for pool in service.pools:
            seen = picture.pools.get((service.id, pool.site))
            if seen is None or seen.standing not in _TROUBLED:
                continue
            if seen.hardness is Hardness.HARD and not _serves(state, setup, service, pool, now_ms):
                continue
            why = _why(state, setup, service, pool, seen, now_ms)
            if why:
                found.append(
                    Diagnosis(
                        code=DiagnosisCode.OVERLOAD,
                        since_ms=seen.since_ms,
                        reason=f"{service.id} at {pool.site} is in trouble because {why}; it is kept",
                        site=pool.site,
                        service=service.id,
                    )
                )
    return tuple(found)


def is_overloaded(picture: Picture, service: ServiceId, site: SiteId) -> bool:
    """Whether the picture calls this overload."""
    return any(
        entry.code is DiagnosisCode.OVERLOAD and entry.service == service and entry.site == site
        for entry in picture.diagnoses
    )


def _why(
    state: ControllerState, setup: Setup, service: Service, pool: Pool, seen: PoolPicture, now_ms: int
) -> str:
    """The reason in words; empty when it is not overload."""
    track = state.traffic.get((service.id, pool.site))
    if service.id in setup.metered and track is not None and now_ms - track.at_ms <= FRESH_MS:
        capacity_rps = _open_rps(state, service, pool)
        if track.last_mrps > capacity_rps * 1000:
            return f"it is asked {track.last_mrps // 1000} of {capacity_rps} requests/s"
    for site in service.sites:
        lost = state.track(service.id, site)
        is_recent = lost.left_because is LeftBecause.DEAD and now_ms - lost.left_at_ms <= PRESUMED_MS
        if site != pool.site and is_recent and lost.left_at_ms <= seen.since_ms:
            return f"{site} was lost just before"
    return ""


def _serves(state: ControllerState, setup: Setup, service: Service, pool: Pool, now_ms: int) -> bool:
    """Whether real requests are seen to be answered there: a full queue resets connections, a dead site answers none."""
    track = state.traffic.get((service.id, pool.site))
    if service.id not in setup.metered or track is None or now_ms - track.at_ms > SERVED_MS:
        return False
    return track.last_mrps > 0 and track.error_pm < MOSTLY_PM


def _open_rps(state: ControllerState, service: Service, pool: Pool) -> int:
    current = state.steering.of(service.id)
    return sum(m.capacity_rps for m in pool.members if current is None or m.id in current.members_pm)
