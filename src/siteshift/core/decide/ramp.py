"""How far to move at once. The size of a step comes from the headroom of those who gain."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.model.units import WHOLE_BP, SiteId

LEAST_STEP_BP = 500
"""Below this a further step costs more waiting than it saves risk (k8gb and Maelstrom ramps end in 5 % steps)."""


def next_shares(
    current_bp: Mapping[SiteId, int], target_bp: Mapping[SiteId, int], room_bp: Mapping[SiteId, int]
) -> dict[SiteId, int]:
    """One step from current to target: nobody gains more than half of its room, or `LEAST_STEP_BP`.

    ``room_bp`` is each site's headroom below its utilisation limit, in basis points of the service's demand.
    Sums are kept; the step equals the target when everything fits.
    """
    sites = [*target_bp, *(site for site in current_bp if site not in target_bp)]
    delta = {site: target_bp.get(site, 0) - current_bp.get(site, 0) for site in sites}
    part = 1.0
    for site, gain in delta.items():
        if gain > 0:
            part = min(part, max(LEAST_STEP_BP, room_bp.get(site, 0) // 2) / gain)
    if part >= 1.0:
        return {site: target_bp.get(site, 0) for site in sites}
    moved = {site: round(change * part) for site, change in delta.items()}
    largest = max(sites, key=lambda site: abs(delta[site]))
    moved[largest] += sum(delta.values()) - sum(moved.values()) if sum(delta.values()) == 0 else 0
    return {site: max(0, min(WHOLE_BP, current_bp.get(site, 0) + moved[site])) for site in sites}
