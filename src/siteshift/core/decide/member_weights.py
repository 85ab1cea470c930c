"""Which members a new steering carries, without a generation for what nobody would notice.

At a site that gets nothing, before and after, a weight divides nothing. So a member that recovers there, a standby that is
proven, a score that wavers wait until the site gets a share; then all of it comes with that share, in one generation.
Taking a member out does not wait: a load balancer sends even persistent clients elsewhere once it is out.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import members_of
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Pool
from siteshift.core.model.units import WHOLE_PM, MemberId, SiteId


def members_for(situation: Situation, after: ServiceSteering) -> dict[MemberId, int]:
    """Every member of the next steering with its weight, where siteshift may act by itself."""
    wanted = members_of(situation)
    found: dict[MemberId, int] = {}
    for pool in situation.service.pools:
        here = _of(pool, wanted)
        if not (_gets(situation.current, pool.site) or _gets(after, pool.site)):
            here = {m: w for m, w in situation.current.members_pm.items() if m in here} or here
        found.update(here)
    return found


def members_kept(situation: Situation, after: ServiceSteering) -> dict[MemberId, int]:
    """Where only people change anything: the present members, but for what a person took out, and with what is let back in.

    A site that gets more gets it on the members that serve now: what it may carry was reckoned with them.
    """
    wanted = members_of(situation)
    found: dict[MemberId, int] = {}
    for pool in situation.service.pools:
        begins = _gets(after, pool.site) and not _gets(situation.current, pool.site)
        gains = after.shares_bp.get(pool.site, 0) > situation.current.shares_bp.get(pool.site, 0)
        present = {m: w for m, w in after.members_pm.items() if m not in situation.forced.depooled}
        present |= {m: WHOLE_PM for m in situation.transition.taken_out - situation.forced.depooled if m not in present}
        found.update(_of(pool, wanted if begins or gains else present))
    return found


def standbys_open(situation: Situation) -> dict[MemberId, int]:
    """The standbys that get proof traffic or serve: a person's request needs them also where siteshift does nothing else."""
    wanted = members_of(situation)
    standbys = {m.id for m in situation.service.standbys}
    return {member: pm for member, pm in wanted.items() if member in standbys}


def dead_sites_for(situation: Situation, after: ServiceSteering) -> frozenset[SiteId]:
    """The sites that nobody may be led to any more, where siteshift may act by itself: they have no share and are dead.

    One that was dead stays so until it has a share again: users whom a cookie leads there would come back before the ramp
    does. Nothing new is closed unless a site that is alive has a share (laws 1 and 4).
    """
    kept = dead_sites_kept(situation, after)
    serving = {site for site, bp in after.shares_bp.items() if bp > 0}
    if all(situation.is_dead(site) for site in serving):
        return kept
    return kept.union(site for site in situation.service.sites if situation.is_dead(site) and site not in serving)


def dead_sites_kept(situation: Situation, after: ServiceSteering) -> frozenset[SiteId]:
    """Those of now, without what has a share again."""
    return frozenset(site for site in situation.current.dead_sites if not after.shares_bp.get(site, 0))


def taken_out_now(situation: Situation) -> frozenset[MemberId]:
    """The members that serve no more only because a person took them out."""
    was_in = situation.transition.taken_out.union(situation.current.members_pm)
    return situation.forced.depooled & was_in


def _of(pool: Pool, weights: Mapping[MemberId, int]) -> dict[MemberId, int]:
    return {member.id: weights[member.id] for member in pool.members if member.id in weights}


def _gets(steering: ServiceSteering, site: SiteId) -> bool:
    """Whether a site gets anything: a share, or what is shed for want of another answer."""
    return steering.shares_bp.get(site, 0) > 0 or (steering.shed_bp > 0 and steering.shed_at == site)
