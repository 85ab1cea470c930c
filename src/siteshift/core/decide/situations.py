"""Makes the per-service views the deciders work on, out of the state and the setup."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from siteshift.core.beliefs.data_role import data_roles
from siteshift.core.beliefs.lives import signal_of
from siteshift.core.beliefs.load import answering_sites, excess_rps, loads_of
from siteshift.core.beliefs.traffic import demand_rps
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import nominal
from siteshift.core.model.override import Forced, forced_view
from siteshift.core.model.setup import PlaneKind, Setup
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, GoalTrack


def situations_sliced(
    draft: Draft, services: tuple[Service, ...]
) -> Generator[None, None, dict[ServiceId, Situation]]:
    """One view per service, most critical tier first, then in the order of the file; yields after each."""
    setup, by_dns = draft.setup, draft.setup.steered_by_dns
    found: dict[ServiceId, Situation] = {}
    for one in sorted(services, key=lambda service: service.tier):
        found[one.id] = _situation_of(draft.state, setup, one, draft.now_ms, has_dns=one.id in by_dns)
        yield
    return found


def situation_of(state: ControllerState, setup: Setup, service: Service, now_ms: int) -> Situation:
    """The complete view of one service."""
    kinds = {plane.kind for plane in setup.planes_of(service.id)}
    return _situation_of(state, setup, service, now_ms, has_dns=not kinds or PlaneKind.DNS in kinds)


def _situation_of(
    state: ControllerState, setup: Setup, service: Service, now_ms: int, *, has_dns: bool
) -> Situation:
    goals = state.goals_of(service.id) if state.goals else ()
    forced = _unless_suspended(forced_view(state.overrides, service.id, now_ms), state, goals)
    if state.adoption is not None and state.adoption.members_out:
        forced = replace(forced, depooled=forced.depooled | state.adoption.members_out)
    policy = setup.policy.of(service.id)
    pools = {site: pool for site in service.sites if (pool := state.picture.pools.get((service.id, site))) is not None}
    demand = demand_rps(state, service, setup.metered)
    loads = loads_of(state, setup, service, now_ms)
    return Situation(
        service=service,
        policy=policy,
        signals={site: signal_of(state, policy, forced, service.id, site) for site in service.sites},
        tracks={site: state.track(service.id, site) for site in service.sites},
        pools=pools,
        forced=forced,
        current=state.steering.decided_for(service) or first_steering(service, policy.ttl_normal_s),
        transition=state.transition(service.id),
        standbys=state.standbys,
        demand_rps=demand,
        excess_rps=excess_rps(state, service, loads, demand, now_ms),
        is_metered=service.id in setup.metered,
        answering=answering_sites(loads, now_ms),
        loads=loads,
        is_blind=state.picture.blind,
        is_global_fault=service.id in state.picture.global_fault,
        now_ms=now_ms,
        goals=goals,
        evidence={site: signal_of(state, policy, Forced(), service.id, site) for site in service.sites} if goals else {},
        data_role=data_roles(state, service),
        has_dns=has_dns,
        has_shed_answer=setup.answers_shed(service),
    )


def _unless_suspended(forced: Forced, state: ControllerState, goals: tuple[GoalTrack, ...]) -> Forced:
    """What is forced, without shares whose goal is suspended: a site that dies then is left for where there is room. Likewise a
    member that was not out yet stays in. Drains stay: who should be away does not become a refuge."""
    suspended = {track.override for track in goals if track.state is GoalState.SUSPENDED}
    if not suspended:
        return forced
    if forced.shares_by is not None and forced.shares_by.id in suspended:
        forced = replace(forced, shares_bp=None, shares_by=None)
    kept_in = {o.member for o in state.overrides if o.id in suspended and o.member is not None}
    kept_in = {m for m in kept_in if any(m in entry.members_pm for entry in state.steering.services)}
    return replace(forced, depooled=forced.depooled - kept_in) if kept_in else forced


def first_steering(service: Service, ttl_s: int) -> ServiceSteering:
    """What a service gets before anything is known of it: nominal shares over its active members."""
    return ServiceSteering(
        service=service.id,
        shares_bp=nominal({pool.site: pool.nominal_bp for pool in service.pools}),
        members_pm={m.id: 1000 for pool in service.pools for m in pool.actives},
        ttl_s=ttl_s,
    )
