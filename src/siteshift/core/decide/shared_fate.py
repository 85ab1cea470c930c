"""Shared fate as preference: what took one site may take its mate, so its traffic goes elsewhere first.

A mate stands in one shared-fate group with a site that fails (campus, substation, supplier). It is asked for what fits nowhere
else, and no sooner: at once where a site is dead, and with a person's leave (`SAME_FATE`) where one is only sick.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.demand import Demand
from siteshift.core.decide.situation import Situation
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import SiteId

SPENT_BP = 100
"""The others are full when not more than this of the service would still go to them: a smaller change is no move."""


def mates_of(situation: Situation, topology: Topology) -> frozenset[SiteId]:
    """The sites that share the fate of one that fails, and do not fail themselves."""
    if situation.policy.refuge_same_fate or not topology.groups:
        return frozenset()
    failing = {s for s, signal in situation.signals.items() if signal in (Signal.DEAD, Signal.SICK) and situation.away(s)}
    return frozenset(
        site
        for site in situation.service.sites
        if site not in failing and any(topology.share_fate(site, other) for other in failing)
    )


def without_mates(demand: Demand, mates: frozenset[SiteId]) -> Demand:
    """The demand in which mates get no more than they have."""
    candidates = tuple(one._replace(may_receive=one.may_receive and one.site not in mates) for one in demand.candidates)
    return demand._replace(candidates=candidates)


def is_spent(situation: Situation, shares_bp: Mapping[SiteId, int], mates: frozenset[SiteId]) -> bool:
    """Whether mates are to be asked: a site is dead, or the others already have what they can take."""
    if any(situation.is_dead(site) and situation.away(site) for site in situation.service.sites):
        return True
    others = (site for site in situation.service.sites if site not in mates and not situation.away(site))
    return all(shares_bp.get(site, 0) - situation.current.shares_bp.get(site, 0) <= SPENT_BP for site in others)


def for_the_rest(demand: Demand, mates: frozenset[SiteId], shares_bp: Mapping[SiteId, int]) -> Demand:
    """The demand in which mates may take what is left over once the others have these shares."""
    candidates = tuple(
        one if one.site in mates or one.away or one.fixed_bp is not None else one._replace(fixed_bp=shares_bp.get(one.site, 0))
        for one in demand.candidates
    )
    return demand._replace(candidates=candidates)
