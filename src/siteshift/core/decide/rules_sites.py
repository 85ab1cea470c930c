"""Rules about the sites a move leaves and enters. Each yields what it found; the gate runs all of them."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.decide.proposal import GateContext, Proposal
from siteshift.core.decide.severities import ASK, PASS, REFUSE, weigh
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import DataKind, FindingCode, Severity, Standing
from siteshift.core.model.evidence import PoolPicture
from siteshift.core.model.finding import Finding
from siteshift.core.model.units import SiteId

ANSWERS_MOST_PM = 500
"""A site that answers less is no refuge for who is shed: what it has is about to be called dead, or full."""


def _serving(shares: dict[SiteId, int], context: GateContext, proposal: Proposal) -> list[SiteId]:
    """Sites with a share that are not down. Unknown is not down (law 3)."""
    return [
        site
        for site, share_bp in shares.items()
        if share_bp > 0 and context.standing(site) is not Standing.DOWN and site not in proposal.dead_sites
    ]


def last_serving_site(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 1: no move leaves a service without a serving site, or with no answer at all. Nobody can force it."""
    after = dict(proposal.after.shares_bp)
    serving_before = _serving(dict(proposal.before.shares_bp), context, proposal)
    service = proposal.service.id
    if not any(after.values()):
        yield weigh(proposal, FindingCode.LAST_SERVING_SITE, f"{service} would be answered by no site at all")
    elif serving_before and not _serving(after, context, proposal):
        named = ", ".join(serving_before)
        yield weigh(proposal, FindingCode.LAST_SERVING_SITE, f"{named} is the last that serves {service}", sites=named)


def min_serving_sites(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Fewer serving sites than the policy asks for; a move that does not make them fewer is not to blame."""
    before = len(_serving(dict(proposal.before.shares_bp), context, proposal))
    after = len(_serving(dict(proposal.after.shares_bp), context, proposal))
    least = context.policy.min_serving_sites
    if after < least and after < before:
        yield weigh(
            proposal,
            FindingCode.MIN_SERVING_SITES,
            f"{proposal.service.id} would be served by {after} sites, the policy asks for {least}",
            serving_after=after,
            least=least,
        )


def target_unhealthy(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """More traffic for a site that is not up. Never for one that is down, not even to leave a dead one.

    One that keeps what is shed may get a share instead of it: that is less than it has, and may be why it is not up.
    """
    for site in proposal.gaining:
        standing = context.standing(site)
        if standing in (Standing.UP, Standing.UNKNOWN) or not proposal.brings_more(site):
            continue
        pool = context.pools[site]
        yield weigh(
            proposal,
            FindingCode.TARGET_UNHEALTHY,
            f"{site} would get {proposal.change_bp(site) / 100:g} % more and is {standing.value}",
            instead=_weight_of_unwell(proposal, site, pool),
            site=site,
            standing=standing.value,
            score_pm=pool.score_pm,
        )


def _weight_of_unwell(proposal: Proposal, site: SiteId, seen: PoolPicture) -> Severity | None:
    """Down is down. What a survivor cannot carry may go back to a site that answers and had it just before; and what is shed is
    better served by a site that answers most than by nobody."""
    standing = seen.standing
    if standing is Standing.DOWN and proposal.cause is not Cause.PERSON:
        return REFUSE
    is_given_back = proposal.cause is Cause.RELIEF and proposal.after.shares_bp.get(site, 0) <= proposal.had_bp.get(site, 0)
    is_better_served = proposal.serves_more and seen.served_pm >= ANSWERS_MOST_PM
    return PASS if (is_given_back or is_better_served) and standing is Standing.DEGRADED else None


def no_fresh_evidence(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Law 3: no evidence, no change. A person may leave a site nobody knows about, and must be sure to enter it."""
    for site in (*proposal.gaining, *proposal.losing):
        if context.standing(site) is not Standing.UNKNOWN or site in proposal.dead_sites:
            continue
        leaves = proposal.cause is Cause.PERSON and site in proposal.losing
        yield weigh(
            proposal,
            FindingCode.NO_FRESH_EVIDENCE,
            f"nothing fresh is known about {proposal.service.id} at {site}",
            instead=PASS if leaves else None,
            site=site,
        )


def same_fate(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """The refuge from a fault may fail by the same cause: same campus, substation, supplier. Only who fails counts, not who
    gives a little to make room: who is down or degraded, or is left altogether."""
    if context.policy.refuge_same_fate or proposal.cause not in (Cause.DEAD, Cause.DEGRADED):
        return
    for refuge in proposal.gaining:
        for left in proposal.losing:
            is_failing = left in proposal.removed or context.standing(left) in (Standing.DOWN, Standing.DEGRADED)
            if is_failing and context.topology.share_fate(left, refuge):
                yield weigh(
                    proposal,
                    FindingCode.SAME_FATE,
                    f"{refuge} stands in one shared-fate group with {left}",
                    refuge=refuge,
                    failed=left,
                )


def data_role(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """Writable traffic only where a check says the role is promoted. A person may answer for an unknown role."""
    if proposal.service.data is not DataKind.WRITABLE:
        return
    for site in proposal.gaining:
        role = context.data_role.get(site)
        if role is True:
            continue
        unknown = role is None
        yield weigh(
            proposal,
            FindingCode.DATA_ROLE,
            f"the data of {proposal.service.id} at {site} is "
            + ("not known to be promoted" if unknown else "not promoted, or lags too far"),
            instead=ASK if unknown and proposal.cause is Cause.PERSON else None,
            site=site,
            role="unknown" if unknown else "no",
        )


def hold_down(proposal: Proposal, context: GateContext) -> Iterator[Finding]:
    """A site that was left for a fault waits before it gets traffic again; not while users are shed whom it could serve, unless
    it is held as it was found."""
    for site in proposal.gaining:
        left_ms = context.hold_until_ms.get(site, 0) - context.now_ms
        if left_ms > 0:
            yield weigh(
                proposal,
                FindingCode.HOLD_DOWN,
                f"{site} is held down for another {-(-left_ms // 1_000)} s",
                instead=PASS if proposal.serves_more and site not in context.held_sites else None,
                site=site,
                left_ms=left_ms,
            )
