"""What the gate is asked about a move: on whose account it is, what it changes, and everything the rules look at."""

from __future__ import annotations

from siteshift.core.beliefs.life import AWAY
from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import LeftBecause, Mode, SiteLife
from siteshift.core.model.plan import Plan
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId
from siteshift.core.state.draft import Draft


def cause_of(situation: Situation, target: Target) -> Cause:
    """On whose account the shares should change."""
    current = situation.current
    losing = [s for s, bp in current.shares_bp.items() if target.shares_bp.get(s, 0) < bp]
    gaining = [s for s, bp in target.shares_bp.items() if current.shares_bp.get(s, 0) < bp]
    was_shed = current.shed_at is not None and current.shed_bp > target.shed_bp
    was_shed = was_shed and not any(site in situation.transition.relieved for site in gaining)
    was_shed = was_shed and not any(situation.tracks[site].life is SiteLife.RETURNING for site in gaining)
    if any(situation.is_dead(site) and situation.away(site) for site in losing) or was_shed:
        return Cause.DEAD
    if situation.forced.shares_bp is not None or any(site in situation.forced.drained_sites for site in losing):
        return Cause.PERSON
    if any(situation.away(site) for site in losing):
        return Cause.DEGRADED
    if any(situation.is_overloaded(site) for site in losing):
        return Cause.RELIEF
    returning = [s for s, track in situation.tracks.items() if track.life is SiteLife.RETURNING]
    if any(situation.tracks[site].left_because is LeftBecause.PERSON for site in returning):
        return Cause.RELEASE
    return Cause.FAILBACK if returning else Cause.REBALANCE


def proposal_for(situation: Situation, after: ServiceSteering, cause: Cause, end: ServiceSteering) -> Proposal:
    """What the gate is asked. An approval covers what lies between here and the end that was approved (law 13)."""
    transition = situation.transition
    approved_digest: str | None = None
    approved_by: tuple[str, ...] = ()
    if transition.approved is not None:
        is_covered = covers(transition.approved, situation, end)
        approved_digest = transition.approved.digest if is_covered else None
        approved_by = transition.approved_by if is_covered else ()
    for override in (*situation.forced.by.values(), situation.forced.shares_by):
        if override is not None and cause is Cause.PERSON:
            approved_by = tuple(dict.fromkeys((*approved_by, *override.approved_by)))
            approved_digest = approved_digest or override.plan_digest
    return Proposal(
        service=situation.service,
        before=situation.current,
        after=after,
        cause=cause,
        dead_sites=frozenset(s for s in situation.service.sites if situation.is_dead(s)),
        plan_digest=approved_digest,
        approved_digest=approved_digest,
        approved_by=approved_by,
        keeps_shed=not situation.has_shed_answer,
    )


def covers(plan: Plan, situation: Situation, end: ServiceSteering) -> bool:
    """Whether an end lies on the way to the approved one: no site beyond it, none in the other direction."""
    approved = plan.after.get(situation.service.id)
    if approved is None:
        return False
    now = situation.current.shares_bp
    for site, wanted in end.shares_bp.items():
        here, there = now.get(site, 0), approved.get(site, 0)
        if not min(here, there) <= wanted <= max(here, there):
            return False
    return True


def context_of(draft: Draft, situation: Situation, mode: Mode, after: ServiceSteering) -> GateContext:
    """Everything the rules look at."""
    state = draft.state
    return GateContext(
        topology=draft.setup.topology,
        policy=situation.policy,
        mode=mode,
        pools=situation.pools,
        now_ms=draft.now_ms,
        utilisation_pm=utilisation_of(situation, after),
        is_frozen=situation.forced.frozen,
        moved=situation.transition.moves,
        removals_ms=situation.transition.removals_ms,
        hold_until_ms={s: track.hold_until_ms for s, track in situation.tracks.items() if track.life in AWAY},
        is_leader=state.term is not None,
        store_ok=state.is_store_usable,
        switched_off=state.is_switched_off,
        blind=situation.is_blind,
        global_fault=situation.is_global_fault,
        standby_phase={member: track.phase for member, track in state.standbys.items()},
        nodes_agreeing=0,
        data_role=situation.data_role,
        held_sites=frozenset(s for s in situation.service.sites if state.is_held(situation.service.id, s)),
    )


def utilisation_of(situation: Situation, steering: ServiceSteering) -> dict[SiteId, int]:
    """Load against open capacity at each site, per mille, rounded up; a site without capacity counts as 100,000."""
    found: dict[SiteId, int] = {}
    for site, bp in steering.shares_bp.items():
        limit_bp = situation.limit_bp(site)
        if bp == 0:
            found[site] = 0
        elif limit_bp <= 0:
            found[site] = 100_000
        else:
            found[site] = -(-bp * situation.policy.max_utilisation_pm // limit_bp)
    return found
