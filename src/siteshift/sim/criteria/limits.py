"""Which demands no run could miss: a scenario that makes one shows nothing by meeting it."""

from __future__ import annotations

from siteshift.core.model.units import WHOLE_BP
from siteshift.sim.criteria.conduct import ExtraProbes
from siteshift.sim.criteria.criterion import Criterion
from siteshift.sim.criteria.moves import FirstMove, Shed, ShedLowestFirst, SitesHit
from siteshift.sim.criteria.outcome import LostAtSite, LostPart, LostToOverload, NeverEmpty, Share
from siteshift.sim.world.spec import WorldSpec

WHOLE_PERCENT = 100


def cannot_fail(criterion: Criterion, world: WorldSpec, *, lasts_ms: int, warm_up_ms: int) -> str:
    """Why the world as it is leaves no way to miss this demand, as the end of a sentence; empty: it can be missed."""
    services, sites = world.topology.services, world.topology.sites
    match criterion:
        case Share(at_most_bp=most, at_least_bp=least) if _is_any_part(least, most):
            return "has no limit between 0 and 100 %"
        case Shed(at_most_bp=most, at_least_bp=least) if _is_any_part(least, most):
            return "has no limit between 0 and 100 %"
        case LostPart(at_most_percent=most) | LostAtSite(at_most_percent=most) | LostToOverload(at_most_percent=most) if (
            most >= WHOLE_PERCENT
        ):
            return "allows that everything is lost"
        case SitesHit(at_most=most) if most >= len(sites):
            return f"allows as many sites as there are ({len(sites)})"
        case NeverEmpty(at_most=most) if most * 1_000 >= lasts_ms + warm_up_ms:
            return "allows an empty answer all the time"
        case FirstMove(at_ms=at_ms) if at_ms <= -warm_up_ms:
            return "allows a move from the first instant on"
        case ShedLowestFirst() if len({service.tier for service in services}) < 2:
            return "compares tiers, and there is only one"
        case ExtraProbes() if not world.nodes:
            return "counts the probes of nodes, and there are none"
        case _:
            return ""


def _is_any_part(least_bp: int | None, most_bp: int | None) -> bool:
    return (least_bp or 0) <= 0 and (WHOLE_BP if most_bp is None else most_bp) >= WHOLE_BP
