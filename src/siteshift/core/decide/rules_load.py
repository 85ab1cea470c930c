"""Rules about how much is moved, and whether those who get it can carry it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.decide.severities import PASS, weigh
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import FindingCode, MemberRole, StandbyPhase
from siteshift.core.model.finding import Finding
from siteshift.core.model.policy import HOUR_MS
from siteshift.core.model.units import WHOLE_PM, SiteId

_DRAINS = frozenset({Cause.DEAD, Cause.DEGRADED, Cause.REBALANCE})
"""Automatic moves that take a site out; on the way back, what survivors give up is no drain."""


_PACED = frozenset({Cause.DEGRADED, Cause.REBALANCE})
"""Moves the velocity limit is for."""


def capacity_short(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 7: nobody is pushed above the utilisation limit. One that is above it and gains nothing is only told; and what is
    its own in calm it may have back, as long as it carries that: the limit is for what is added."""
    most_pm = context.policy.max_utilisation_pm
    for site, used_pm in context.utilisation_pm.items():
        if used_pm <= most_pm or proposal.after.shares_bp.get(site, 0) == 0 or _is_its_own(proposal, site, used_pm):
            continue
        yield weigh(
            proposal,
            FindingCode.CAPACITY_SHORT,
            f"{proposal.service.id} at {site} would be used {used_pm / 10:.1f} % of capacity, "
            f"the limit is {most_pm / 10:g} %",
            instead=None if _pushes(proposal, site) else PASS,
            site=site,
            utilisation_pm=used_pm,
            max_utilisation_pm=most_pm,
        )


def _is_its_own(proposal: Proposal, site: SiteId, used_pm: int) -> bool:
    """Whether a site is given back, by siteshift itself, no more than its own share, and carries that. A person is asked."""
    pool = proposal.service.pool_at(site)
    is_within = pool is not None and proposal.after.shares_bp.get(site, 0) <= pool.nominal_bp
    return is_within and proposal.cause is not Cause.PERSON and proposal.change_bp(site) > 0 and used_pm <= WHOLE_PM


def _pushes(proposal: Proposal, site: SiteId) -> bool:
    """Whether this proposal makes it tighter there: more share, or members a person takes out."""
    if proposal.change_bp(site) > 0:
        return True
    pool = proposal.service.pool_at(site)
    if pool is None or proposal.cause is not Cause.PERSON:
        return False
    after, before = proposal.after.members_pm, proposal.before.members_pm
    return any(after.get(member.id, 0) < before.get(member.id, 0) for member in pool.members)


def shed_needed(proposal: Proposal, _: GateContext) -> Iterator[Finding]:
    """More demand than before finds no room. To leave or relieve a sick site that is law 7 at work; otherwise it is a price."""
    if proposal.shed_grows_bp <= 0:
        return
    yield weigh(
        proposal,
        FindingCode.SHED_NEEDED,
        f"{proposal.after.shed_bp / 100:g} % of {proposal.service.id} (tier {proposal.service.tier}) would be shed, "
        f"{proposal.before.shed_bp / 100:g} % are now",
        instead=PASS if proposal.cause in (Cause.DEAD, Cause.DEGRADED, Cause.RELIEF) else None,
        shed_bp=proposal.after.shed_bp,
        shed_before_bp=proposal.before.shed_bp,
    )


def standby_not_ready(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 2: no weight for a standby member that is not ready."""
    ready = (StandbyPhase.READY, StandbyPhase.PROVEN)
    for pool in proposal.service.pools:
        for member in pool.members:
            if member.role is not MemberRole.STANDBY:
                continue
            before_pm = proposal.before.members_pm.get(member.id, 0)
            phase = context.standby_phase.get(member.id, StandbyPhase.COLD)
            if proposal.after.members_pm.get(member.id, 0) > before_pm and phase not in ready:
                yield weigh(
                    proposal,
                    FindingCode.STANDBY_NOT_READY,
                    f"{member.id} would get traffic and is {phase.value}",
                    member=member.id,
                    phase=phase.value,
                )


def velocity(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 16: so much of a service's share in so much time without a person.

    What leaves a dead site does not count, nor does what an overloaded one cannot carry anyway, nor the way back: it is
    paced by its own ramp, and must not use up what a site that sickens on the way needs to be left again.
    """
    policy = context.policy
    since_ms = context.now_ms - policy.velocity_window_ms
    before_bp = sum(move.moved_bp for move in paced_since(context.moved, since_ms))
    now_bp = sum(-proposal.change_bp(site) for site in proposal.losing if site not in proposal.dead_sites)
    if now_bp and before_bp + now_bp > policy.velocity_bp:
        yield weigh(
            proposal,
            FindingCode.VELOCITY,
            f"{now_bp / 100:g} % now and {before_bp / 100:g} % before, within "
            f"{policy.velocity_window_ms // 60_000} min; without a person {policy.velocity_bp / 100:g} % may move",
            instead=PASS if proposal.cause in (Cause.FAILBACK, Cause.RELEASE, Cause.RELIEF) else None,
            moved_bp=now_bp,
            moved_before_bp=before_bp,
            velocity_bp=policy.velocity_bp,
            window_ms=policy.velocity_window_ms,
        )


def paced_since(moves: Iterable[Move], since_ms: int) -> tuple[Move, ...]:
    """The moves after an instant that the velocity limit counts."""
    return tuple(move for move in moves if move.at_ms > since_ms and move.cause in _PACED)


def removals_per_hour(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 16: a node that keeps removing sites is more likely wrong than unlucky."""
    if proposal.cause not in _DRAINS or not proposal.removed:
        return
    recent = sum(1 for at_ms in context.removals_ms if at_ms > context.now_ms - HOUR_MS)
    most = context.policy.removals_per_hour
    if recent + len(proposal.removed) > most:
        yield weigh(
            proposal,
            FindingCode.REMOVALS_PER_HOUR,
            f"{recent} automatic removals in the last hour, {most} may be",
            removals=recent,
            most=most,
        )


def share_needs_person(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """The largest share that may be drained from a site while nobody watches."""
    if proposal.cause not in _DRAINS:
        return
    most_bp = context.policy.max_unattended_bp
    for site in proposal.losing:
        drained_bp = -proposal.change_bp(site)
        if drained_bp > most_bp:
            yield weigh(
                proposal,
                FindingCode.SHARE_NEEDS_PERSON,
                f"{drained_bp / 100:g} % would leave {site}; without a person {most_bp / 100:g} % may",
                site=site,
                drained_bp=drained_bp,
                max_unattended_bp=most_bp,
            )
