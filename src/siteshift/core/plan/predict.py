"""What is expected to happen by itself while a plan goes on: the only forecast there is.

Data planes that answer confirm what they are sent; standbys that were started become ready and pass their checks; what users
send follows the shares as old answers run out. Everything else stays as it is known now: what is up stays up, what is
down stays down, demand stays, a data plane that cannot be read or refuses goes on doing so.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from siteshift.core.beliefs.traffic import FRESH_MS, delivered_bp
from siteshift.core.decide.allocate_all import run_to_end
from siteshift.core.model.codes import EnactOutcome, MemberRole, StandbyPhase, Standing
from siteshift.core.model.evidence import Picture, TargetView
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.plane_queries import living
from siteshift.core.state.tracks import PlaneStanding, PlaneTrack, StandbyTrack, TrafficTrack

FEW = 20
"""Services whose traffic is predicted in one piece of work: some ten microseconds each."""
EXPECTED_WRITE_MS = 100
"""How long a data plane takes to confirm: a DNS update or a HAProxy command takes milliseconds, reading back as long again."""
EXPECTED_STANDBY_MS = 10_000
"""How long a standby takes from the order to ready: a process that starts and warms up; its deadline is far later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the forecast takes for granted.

    ``silent``: data planes that will confirm nothing, and why. ``total_mrps``: the traffic seen, per service that is metered
    and measured now; ``measured``: at which sites.
    """

    setup: Setup
    services: tuple[Service, ...]
    silent: Mapping[EnactorId, str]
    total_mrps: Mapping[ServiceId, int]
    measured: Mapping[ServiceId, tuple[SiteId, ...]]


def forecast_of(state: ControllerState, setup: Setup, services: tuple[Service, ...], now_ms: int) -> Forecast:
    """The forecast for these services, from what is known now."""
    planes = living(state, setup.planes)
    silent = {plane.id: why for plane in planes if (why := why_silent(state.plane(plane.id))) is not None}
    measured = {
        service.id: tuple(
            site
            for site in service.sites
            if (track := state.traffic.get((service.id, site))) is not None and now_ms - track.at_ms <= FRESH_MS
        )
        for service in services
        if service.id in setup.metered
    }
    total = {service: sum(state.traffic[(service, site)].rate_mrps for site in sites) for service, sites in measured.items()}
    return Forecast(setup=setup, services=services, silent=silent, total_mrps=total, measured=measured)


def why_silent(track: PlaneTrack) -> str | None:
    """Why a data plane will not confirm what it is sent, as far as is known; None when it should."""
    if track.unread_since_ms is not None:
        return f"it cannot be read: {track.detail}" if track.detail else "it cannot be read"
    if track.foreign is not None:
        return f"another controller holds it ({track.foreign}; take it over with `siteshift ack --plane PLANE`)"
    if track.standing is PlaneStanding.REFUSING:
        return f"it refuses what it is sent: {track.detail}" if track.detail else "it refuses what it is sent"
    if track.outcome is EnactOutcome.FAILED and track.attempts > 0:
        return f"it could not be written: {track.detail}" if track.detail else "it could not be written"
    return None


def predicting(forecast: Forecast, state: ControllerState, now_ms: int) -> Generator[None, None, ControllerState]:
    """The state as it should be by then, if nothing happens but what is expected. Yields after every few services."""
    standbys, picture = _standbys(forecast, state, now_ms)
    yield
    traffic = dict(state.traffic)
    for number, (service, sites) in enumerate(forecast.measured.items()):
        traffic.update(_seen(forecast, state, service, sites, now_ms))
        if number % FEW == FEW - 1:
            yield
    return state.changed(planes=_planes(forecast, state, now_ms), standbys=standbys, picture=picture, traffic=traffic)


def predict(forecast: Forecast, state: ControllerState, now_ms: int) -> ControllerState:
    """The same at once."""
    return run_to_end(predicting(forecast, state, now_ms))


def next_expected_ms(forecast: Forecast, state: ControllerState, now_ms: int) -> int:
    """When something is expected to happen next."""
    at_ms = [
        track.since_ms + EXPECTED_STANDBY_MS
        for service in forecast.services
        for _, track in _standbys_of(service, state)
        if track.phase is StandbyPhase.STARTING
    ]
    if any(not _is_confirmed(state, plane.id) for plane in forecast.setup.planes if plane.id not in forecast.silent):
        at_ms.append(state.steering.decided_at_ms + EXPECTED_WRITE_MS)
    return min((entry for entry in at_ms if entry > now_ms), default=NEVER_MS)


def _is_confirmed(state: ControllerState, plane: EnactorId) -> bool:
    track = state.plane(plane)
    return track.standing is PlaneStanding.IN_STEP and track.confirmed_generation == state.steering.generation


def _planes(forecast: Forecast, state: ControllerState, now_ms: int) -> Mapping[EnactorId, PlaneTrack]:
    if now_ms < state.steering.decided_at_ms + EXPECTED_WRITE_MS:
        return state.planes
    found = dict(state.planes)
    for plane in forecast.setup.planes:
        if plane.id not in forecast.silent and not _is_confirmed(state, plane.id):
            found[plane.id] = replace(
                state.plane(plane.id),
                standing=PlaneStanding.IN_STEP,
                confirmed_generation=state.steering.generation,
                unread_since_ms=None,
            )
    return found


def _standbys_of(service: Service, state: ControllerState) -> list[tuple[MemberId, StandbyTrack]]:
    return [
        (member.id, state.standbys[member.id])
        for pool in service.pools
        for member in pool.members
        if member.role is MemberRole.STANDBY and member.id in state.standbys
    ]


def _standbys(forecast: Forecast, state: ControllerState, now_ms: int) -> tuple[Mapping[MemberId, StandbyTrack], Picture]:
    """Those that were started become ready in time, and their checks pass."""
    found, pools = dict(state.standbys), dict(state.picture.pools)
    for service in forecast.services:
        for member, track in _standbys_of(service, state):
            if track.phase is StandbyPhase.STARTING and now_ms >= track.since_ms + EXPECTED_STANDBY_MS:
                found[member] = track = replace(track, phase=StandbyPhase.READY, since_ms=now_ms, proof_since_ms=0)
            elif track.phase is StandbyPhase.STARTING:
                found[member] = replace(track, next_ask_ms=track.since_ms + EXPECTED_STANDBY_MS)
            site = forecast.setup.topology.members[member].site
            seen = pools.get((service.id, site))
            if track.phase is StandbyPhase.READY and seen is not None:
                up = TargetView(standing=Standing.UP, score_pm=1_000, since_ms=track.since_ms)
                if seen.members.get(member) != up:
                    pools[(service.id, site)] = replace(seen, members={**seen.members, member: up})
    return found, state.picture if pools == state.picture.pools else replace(state.picture, pools=pools)


def _seen(
    forecast: Forecast, state: ControllerState, service: ServiceId, sites: tuple[SiteId, ...], now_ms: int
) -> dict[tuple[ServiceId, SiteId], TrafficTrack]:
    """What is seen follows the shares; while old answers live, what caches still send goes by the old ones."""
    found: dict[tuple[ServiceId, SiteId], TrafficTrack] = {}
    parts_bp = delivered_bp(state, service, now_ms)
    for site in sites:
        rate_mrps = forecast.total_mrps[service] * parts_bp.get(site, 0) // WHOLE_BP
        found[(service, site)] = state.traffic[(service, site)]._replace(
            at_ms=now_ms,
            rate_mrps=rate_mrps,
            last_mrps=rate_mrps,
            asked_mrps=rate_mrps,
            answered_mrps=rate_mrps,
            demand_mrps=rate_mrps,
        )
    return found
