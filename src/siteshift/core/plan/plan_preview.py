"""Looking ahead: the whole plan a state leads to, drawn without changing anything.

The same lives, allocation and gate as the real thing run on a scratch copy; `siteshift plan`, `--dry-run` and every
answer to an operator are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.beliefs.lives import update_lives
from siteshift.core.decide.allocate_all import allot
from siteshift.core.decide.demand import StandbyUse
from siteshift.core.decide.gate import examine
from siteshift.core.decide.gate_input import cause_of, context_of, proposal_for
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situations_of
from siteshift.core.decide.steering import Target, target_of, with_shares
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, MemberRole, Severity, StandbyPhase
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Member
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.plan.draw import PlanInputs, ServiceChange
from siteshift.core.plan.plan import Plan, draw_plan
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft

_BY_WEIGHT = (
    Cause.DEAD,
    Cause.PERSON,
    Cause.DEGRADED,
    Cause.RELIEF,
    Cause.RELEASE,
    Cause.FAILBACK,
    Cause.REBALANCE,
)


def plan_ahead(
    state: ControllerState,
    setup: Setup,
    now_ms: int,
    *,
    approved_by: tuple[str, ...] = (),
    only: ServiceId | None = None,
) -> Plan | None:
    """The plan from here to the end of what the state asks for; None when nothing would change.

    Returning sites are planned to the end of their ramp. ``approved_by`` are persons who approve this very plan.
    ``only`` leaves out what other services are about: nobody's request is refused for another's trouble.
    """
    draft = Draft(state=state, setup=setup, now_ms=now_ms)
    update_lives(draft)
    _finish_ramps(draft)
    situations = situations_of(draft)
    standby = StandbyUse.NONE if state.picture.blind else StandbyUse.ALLOWED  # nobody could see a standby become ready
    planned = allot(situations, draft.setup, standby=standby)
    changes: list[ServiceChange] = []
    causes: list[Cause] = []
    findings: list[Finding] = []
    for service, situation in situations.items():
        allocation = planned.of(service)
        if allocation is None or only not in (None, service):
            continue
        target = target_of(situation, allocation)
        change = _change_of(draft, situation, target, allocation.open_standby_rps)
        if _is_stuck(situation, target):
            said = _gate_says(draft, situation, target, Cause.PERSON, change, approved_by)
            findings += (entry for entry in said if entry.severity is not Severity.ALLOWED)
        elif change.is_move or change.open_standby:
            cause = cause_of(situation, target)
            changes.append(change)
            causes.append(cause)
            findings += _gate_says(draft, situation, target, cause, change, approved_by)
        findings += short_of_room(situation, target)
    if not changes and not findings:
        return None
    worst = min(causes, key=_BY_WEIGHT.index, default=Cause.REBALANCE)
    return draw_plan(PlanInputs(cause=worst, changes=tuple(changes), findings=tuple(findings)))


def _is_stuck(situation: Situation, target: Target) -> bool:
    """Whether a person would have a site left, and none of its traffic can go anywhere: what stops it is said first."""
    current_bp = situation.current.shares_bp
    stays = any(current_bp.get(site, 0) for site in situation.forced.drained_sites)
    return stays and dict(target.shares_bp) == dict(current_bp)


def _finish_ramps(draft: Draft) -> None:
    """A returning site, or one a person lets return, is planned with its whole nominal share."""
    for (service, site), track in draft.state.tracks.items():
        last = len(draft.setup.policy.of(service).ramp_bp) - 1
        if track.ramp_step < last:
            draft.set_track(service, site, replace(track, ramp_step=last))


def _change_of(draft: Draft, situation: Situation, target: Target, opens_rps: Mapping[SiteId, int]) -> ServiceChange:
    now = {pool.site: _capacity(situation, pool.site) for pool in situation.service.pools}
    opened = _members_to_open(situation, opens_rps)
    then = dict(now)
    for member in opened:
        then[member.site] += member.capacity_rps
    return ServiceChange(
        service=situation.service.id,
        policy=situation.policy,
        before=situation.current,
        after_bp=target.shares_bp,
        demand_rps=situation.demand_rps,
        capacity_now_rps=now,
        capacity_rps=then,
        shed_bp=target.shed_bp,
        open_standby=opened,
        dead_sites=frozenset(site for site in situation.service.sites if situation.is_dead(site)),
        old_ttl_left_ms=max(0, situation.transition.old_ttl_until_ms - draft.now_ms),
    )


def _capacity(situation: Situation, site: SiteId) -> int:
    pool = situation.service.pool_at(site)
    if pool is None:
        return 0
    return situation.active_rps(pool) + situation.standby_rps(pool, frozenset({StandbyPhase.PROVEN}))


def _members_to_open(situation: Situation, opens_rps: Mapping[SiteId, int]) -> tuple[Member, ...]:
    """The standby members an allocation means, in the order of the file."""
    found: list[Member] = []
    for pool in situation.service.pools:
        missing_rps = opens_rps.get(pool.site, 0)
        for member in pool.members:
            is_closed = member.role is MemberRole.STANDBY and situation.phase(member) is not StandbyPhase.PROVEN
            if missing_rps > 0 and is_closed:
                found.append(member)
                missing_rps -= member.capacity_rps
    return tuple(found)


def short_of_room(situation: Situation, target: Target) -> list[Finding]:
    """What a drain leaves undone: the last site, or demand the survivors cannot carry (laws 1 and 7)."""
    service = situation.service.id
    away = [site for site in situation.service.sites if situation.away(site)]
    if away and len(away) == len(situation.service.sites):
        text = f"{service}: {', '.join(away)} would be all of its sites; the last serving site is never removed"
        return [finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED, text, sites=",".join(away))]
    stays_bp = sum(target.shares_bp.get(site, 0) for site in away)
    if stays_bp and situation.forced.drained_sites:
        moved_bp = sum(situation.current.shares_bp.get(site, 0) for site in away) - stays_bp
        text = (
            f"{service}: the survivors can take {moved_bp / 100:.1f} % of the demand within their limit, "
            f"{stays_bp / 100:.1f} % would stay at {', '.join(away)}"
        )
        numbers = {"moved_bp": moved_bp, "stays_bp": stays_bp, "approvers_needed": 1}
        return [finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, text, **numbers)]
    if target.shed_bp:
        text = f"{service}: {target.shed_bp / 100:.1f} % of the demand finds no room and would be shed"
        if target.shed_at is not None and not situation.has_shed_answer:
            text += f"; nothing answers it (`shed_answers`), so it would go on being sent to {target.shed_at}"
        numbers = {"shed_bp": target.shed_bp, "approvers_needed": 1}
        return [finding(FindingCode.SHED_NEEDED, Severity.NEEDS_APPROVAL, text, **numbers)]
    return []


def _gate_says(
    draft: Draft,
    situation: Situation,
    target: Target,
    cause: Cause,
    change: ServiceChange,
    approved_by: tuple[str, ...],
) -> list[Finding]:
    """What the gate says to the end of the plan, with the standby of the plan taken as ready."""
    end = with_shares(situation.current, target, target.shares_bp)
    proposal = replace(proposal_for(situation, end, cause, end), approved_by=approved_by)
    context = context_of(draft, situation, situation.mode, end)
    used = {
        site: -(-bp * situation.demand_rps // (10 * max(1, change.capacity_at(site)))) if bp else 0
        for site, bp in end.shares_bp.items()
    }
    found = examine(proposal, replace(context, utilisation_pm=used))
    return [entry for entry in found if entry.code is not FindingCode.NOTHING_TO_DO]
