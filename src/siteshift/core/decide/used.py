"""How far a steering uses what there is to carry it."""

from __future__ import annotations

from siteshift.core.decide.situation import Situation
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId


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
