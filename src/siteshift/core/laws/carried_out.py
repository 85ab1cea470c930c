"""Law 18: what is granted is carried out, or what stands in its way is named. Never granted, then silence.

Every time the whole was derived anew, each thing that people were granted is compared with what is steered: a drain, forced
shares, a member taken out, a way back, and a goal that runs. What is not so must be on its way (a step was just made, or
waits for a data plane or a standby), or have a reason a person can read: a finding, a suspended goal, no room anywhere, no
evidence. What counts as a reason is looked up in the state by name; whether there is room is reckoned here.
"""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.beliefs.data_role import data_roles
from siteshift.core.beliefs.traffic import demand_rps
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.model.codes import LeftBecause, MemberRole, Severity, SiteLife, StandbyPhase, Standing
from siteshift.core.model.override import Forced, forced_view
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, SiteId
from siteshift.core.state.goals import GoalState
from siteshift.core.state.plane_queries import in_step, living

NEXT_LOOK_MS = 5_000
"""While something is under way the whole is derived every 2.5 s; twice that without a look is nobody looking."""
PLANE_BOUND_MS = 15_000
"""A plane that has not confirmed by then must be named: a write ends within 5 s, and is tried again after 10."""
SLACK_BP = 200
"""Room smaller than this is not held against anybody: shares of less than 2 % of a service are not worth a move."""

_AWAY = (SiteLife.DRAINING, SiteLife.DRAINED)


def law_18_carried_out(p: Passage) -> Iterator[Violation]:
    """What a person was granted is so, on its way, or blocked by something that is named."""
    has_looked = p.after.thought_at_ms == p.now_ms > p.before.thought_at_ms
    if not has_looked and p.now_ms - p.after.thought_at_ms <= NEXT_LOOK_MS:
        return
    if not _may_decide(p):
        return
    for service in p.setup.topology.services:
        entry = p.after.steering.of(service.id)
        if entry is None:
            continue
        undone = tuple(_undone(p, service, entry.within(service)))
        if undone and not _is_named(p, service) and not _is_under_way(p, service):
            for text in undone:
                yield Violation(law=18, text=f"{service.id}: {text}, and nothing says why")


def _may_decide(p: Passage) -> bool:
    """Whether anything may be decided at all; that it may not is shown of the whole node (laws 3 and 12)."""
    state = p.after
    return state.is_fresh and state.is_store_usable and state.term is not None and state.steering.generation > 0 and not p.adopts


def _is_named(p: Passage, service: Service) -> bool:
    """Whether the state says of this service what stands in the way."""
    if any(found.severity is not Severity.ALLOWED for found in p.after.transition(service.id).findings):
        return True
    if any(track.state is GoalState.SUSPENDED for track in p.after.goals_of(service.id)):
        return True
    return p.after.picture.blind or service.id in p.after.picture.global_fault


def _is_under_way(p: Passage, service: Service) -> bool:
    """Whether a step was made just now, and its effect is waited for; or a standby is on its way."""
    state, moved_at_ms = p.after, p.after.transition(service.id).moved_at_ms
    decided_at_ms = state.steering.decided_at_ms
    is_move = moved_at_ms <= decided_at_ms  # a step that changed nothing made no generation
    if is_move and p.now_ms < moved_at_ms + p.setup.policy.of(service.id).settle_ms:
        return True
    planes = living(state, p.setup.planes_of(service.id))
    if not in_step(state, planes) and p.now_ms < decided_at_ms + PLANE_BOUND_MS:
        return True
    coming = (StandbyPhase.STARTING, StandbyPhase.READY)
    return any(
        (track := state.standby(member.id)).phase in coming and p.now_ms < track.deadline_ms
        for pool in service.pools
        for member in pool.members
    )


def _undone(p: Passage, service: Service, entry: ServiceSteering) -> Iterator[str]:
    """What was granted and is not so, in words."""
    forced = forced_view(p.after.overrides, service.id, p.now_ms)
    yield from _drains(p, service, entry, forced)
    yield from _shares(p, service, entry, forced)
    yield from _depools(service, entry, forced)
    yield from _ways_back(p, service, entry, forced)
    yield from _goals(p, service)


def _drains(p: Passage, service: Service, entry: ServiceSteering, forced: Forced) -> Iterator[str]:
    for site, override in forced.by.items():
        share_bp = entry.shares_bp.get(site, 0)
        if share_bp and forced.shares_bp is None and _room_bp(p, service, entry, forced) > SLACK_BP:
            yield f"{share_bp} bp stay at {site} although {override.id} drains it and others have room"


def _shares(p: Passage, service: Service, entry: ServiceSteering, forced: Forced) -> Iterator[str]:
    if forced.shares_bp is None or forced.shares_by is None:
        return
    for site in service.sites:
        wanted_bp, share_bp = forced.shares_bp.get(site, 0), entry.shares_bp.get(site, 0)
        if share_bp != wanted_bp and p.after.track(service.id, site).life not in _AWAY:
            yield f"{site} has {share_bp} bp although {forced.shares_by.id} forces {wanted_bp}"


def _depools(service: Service, entry: ServiceSteering, forced: Forced) -> Iterator[str]:
    """A pool never loses its last member: where people took out all of them, they stay."""
    for pool in service.pools:
        active = {m.id for m in pool.members if m.role is MemberRole.ACTIVE}
        if active <= forced.depooled:
            continue
        for member in pool.members:
            if member.id in forced.depooled and member.id in entry.members_pm:
                yield f"{member.id} serves although it was taken out"


def _ways_back(p: Passage, service: Service, entry: ServiceSteering, forced: Forced) -> Iterator[str]:
    """A well site that a person let back starts to return, and gets what its step of the ramp gives."""
    for pool in service.pools:
        site, track = pool.site, p.after.track(service.id, pool.site)
        is_asked = track.is_return_asked or track.left_because is LeftBecause.PERSON
        if not is_asked or site in forced.drained_sites or not _is_well(p, service, site):
            continue
        if track.life in _AWAY and not p.after.is_held(service.id, site):
            yield f"{site} is {track.life.value} although it is well and was let back"
        elif track.life is SiteLife.RETURNING and forced.shares_bp is None and entry.shed_bp == 0:
            ramp_bp = p.setup.policy.of(service.id).ramp_bp
            step_bp = pool.nominal_bp * ramp_bp[min(track.ramp_step, len(ramp_bp) - 1)] // WHOLE_BP
            share_bp = entry.shares_bp.get(site, 0)
            if 10 * share_bp < 9 * step_bp and _limit_bp(p, service, pool, entry) > step_bp + SLACK_BP:
                yield f"{site} returns with {share_bp} bp although its step gives {step_bp}"


def _goals(p: Passage, service: Service) -> Iterator[str]:
    """A goal that runs is about something that moves: a site that is left or comes back, or a plane that is not there yet."""
    lives = {p.after.track(service.id, site).life for site in service.sites}
    if lives & {SiteLife.DRAINING, SiteLife.RETURNING}:
        return
    if not in_step(p.after, living(p.after, p.setup.planes_of(service.id))):
        return
    for track in p.after.goals_of(service.id):
        if track.state is GoalState.RUNNING and service.id not in track.at_target:
            yield f"{track.goal.verb.value} of {track.goal.owner} ({track.digest}) runs, and nothing moves"


# -- room -------------------------------------------------------------------------------------------------------------


def _room_bp(p: Passage, service: Service, entry: ServiceSteering, forced: Forced) -> int:
    """How much more the sites that may surely take more of a service carry within their limits."""
    roles = data_roles(p.after, service)
    return sum(
        max(0, _limit_bp(p, service, pool, entry) - entry.shares_bp.get(pool.site, 0))
        for pool in service.pools
        if pool.site not in forced.drained_sites
        and p.after.track(service.id, pool.site).life is SiteLife.SERVING
        and not p.after.is_held(service.id, pool.site)
        and _is_well(p, service, pool.site)
        and (not roles or roles[pool.site])
    )


def _is_well(p: Passage, service: Service, site: SiteId) -> bool:
    return p.standing(service, site) is Standing.UP and not p.is_overloaded(service, site)


def _limit_bp(p: Passage, service: Service, pool: Pool, entry: ServiceSteering) -> int:
    """The share that the members in use carry within the limits of pool and site; one that failed under load may get no more."""
    if p.after.transition(service.id).cap_of(pool.site) is not None:
        return 0
    demand = max(1, demand_rps(p.after, service, p.setup.metered))
    picture = p.after.picture.pools.get((service.id, pool.site))
    in_use_rps = 0
    for member in pool.members:
        seen = picture.members.get(member.id) if picture is not None else None
        if seen is not None and seen.standing is Standing.UP:
            in_use_rps += member.capacity_rps * entry.members_pm.get(member.id, 0) // WHOLE_PM
    limit_rps = in_use_rps * p.setup.policy.of(service.id).max_utilisation_pm // WHOLE_PM
    capacity_rps = next((s.capacity_rps for s in p.setup.topology.sites if s.id == pool.site), None)
    if capacity_rps is not None:
        limit_rps = min(limit_rps, _left_of_site_rps(p, service, pool.site, capacity_rps))
    return min(WHOLE_BP, limit_rps * WHOLE_BP // demand)


def _left_of_site_rps(p: Passage, service: Service, site: SiteId, capacity_rps: int) -> int:
    """What a site with a capacity of its own has left for a service beside the others."""
    others = sum(
        p.after.steering_share(other.id, site) * demand_rps(p.after, other, p.setup.metered) // WHOLE_BP
        for other in p.setup.topology.services
        if other.id != service.id
    )
    return capacity_rps * 9 // 10 - others
