"""How far to move at once. The size of a step comes from the headroom of those who gain."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.model.units import WHOLE_BP, SiteId, part_way

LEAST_STEP_BP = 500
"""Below this a further step costs more waiting than it saves risk (k8gb and Maelstrom ramps end in 5 % steps)."""


def next_shares(
    current_bp: Mapping[SiteId, int], target_bp: Mapping[SiteId, int], room_bp: Mapping[SiteId, int]
) -> dict[SiteId, int]:
    """One step from current to target: nobody gains more than half of its room, or `LEAST_STEP_BP`.

    ``room_bp`` is each site's headroom below its utilisation limit, in basis points of the service's demand.
    The sum goes the same part of the way (what is missing to the whole is shed); everything fits: the target itself.
    """
    sites = [*target_bp, *(site for site in current_bp if site not in target_bp)]
    part_bp = WHOLE_BP
    for site in sites:
        gain = target_bp.get(site, 0) - current_bp.get(site, 0)
        if gain > 0:
            part_bp = min(part_bp, max(LEAST_STEP_BP, room_bp.get(site, 0) // 2) * WHOLE_BP // gain)
    here = [current_bp.get(site, 0) for site in sites]
    there = [target_bp.get(site, 0) for site in sites]
    return dict(zip(sites, part_way(here, there, part_bp), strict=True))


def within_room(
    current_bp: Mapping[SiteId, int], target_bp: Mapping[SiteId, int], room_bp: Mapping[SiteId, int]
) -> dict[SiteId, int]:
    """The part of a move there is room for now: nobody gains more than its room, and what nobody takes stays where it is.

    For the relief of a site that loses requests meanwhile: it need not wait until there is room for all of it. What the
    target sheds is shed; those who give keep the rest in proportion to what they should give.
    """
    sites = [*target_bp, *(site for site in current_bp if site not in target_bp)]
    change = {site: target_bp.get(site, 0) - current_bp.get(site, 0) for site in sites}
    taken = {site: min(bp, room_bp.get(site, 0)) for site, bp in change.items() if bp > 0}
    wanted = sum(-bp for bp in change.values() if bp < 0)
    given = max(0, wanted - sum(bp for bp in change.values() if bp > 0) + sum(taken.values()))
    running = done = 0
    shares = {}
    for site in sites:
        if change[site] < 0:
            running += -change[site] * given
            part = running // wanted
            shares[site] = current_bp.get(site, 0) - (part - done)
            done = part
        else:
            shares[site] = current_bp.get(site, 0) + taken.get(site, 0)
    return shares
