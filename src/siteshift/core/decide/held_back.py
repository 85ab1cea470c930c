"""What a person could lift while users are shed: room at sites that are well and stay away by somebody's word."""

from __future__ import annotations

from siteshift.core.beliefs.life import AWAY
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.decide.situation import TO_OPEN, Situation
from siteshift.core.model.codes import Failback, FindingCode, Mode, Severity, Standing
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.topology import Pool
from siteshift.core.model.units import SiteId


def held_back(situation: Situation, *, is_switched_off: bool = False) -> tuple[Finding, ...]:
    """One finding for a service that sheds: which sites could serve how much of that, and what has to be said for it.

    It stops nothing, and nothing is lifted by itself: the person who had a site drained may know what no check sees. But they
    have to hear of it.
    """
    shed_bp = situation.current.shed_bp
    room_bp = {pool.site: _room_bp(situation, pool) for pool in situation.service.pools}
    found = {site: _way_back(situation, site, is_switched_off) for site, bp in room_bp.items() if bp > 0}
    ways = {site: how for site, how in found.items() if how is not None}
    serves_bp = min(shed_bp, sum(room_bp[site] for site in ways))
    if serves_bp < DEADBAND_BP:
        return ()
    text = (
        f"{situation.service.id}: {shed_bp / 100:.1f} % of the demand is shed; up to {serves_bp / 100:.1f} % could be served by "
        f"{'; '.join(f'{site}, {how}' for site, how in ways.items())}"
    )
    numbers: dict[str, int | str] = {"shed_bp": shed_bp, "serves_bp": serves_bp, "sites": ",".join(ways)}
    return (finding(FindingCode.ROOM_HELD_BACK, Severity.ALLOWED, text, **numbers),)


def _room_bp(situation: Situation, pool: Pool) -> int:
    """How much more a site carries, as far as is known: within the limit, with the standby that would be opened, and no more
    than it was found to carry."""
    limit_bp = situation.within_limit_bp(situation.open_rps(pool) + situation.standby_rps(pool, TO_OPEN))
    return min(limit_bp, situation.held_bp(pool)) - situation.current.shares_bp.get(pool.site, 0)


def _way_back(situation: Situation, site: SiteId, is_switched_off: bool) -> str | None:
    """Why a site that is well stays away, and what brings it back; None where no word of a person keeps it."""
    pool = situation.pools.get(site)
    if pool is None or pool.standing is not Standing.UP or not situation.may_hold_data(site):
        return None
    made = situation.forced.by.get(site)
    if site in situation.forced.drained_sites and made is not None:
        return f"which {made.owner} has drained (`siteshift undrain {site}`)"
    shares = situation.forced.shares_by
    if shares is not None and not situation.is_capped(site):
        return f"whose share {shares.owner} has set (`siteshift override lift {shares.id}`)"
    track = situation.tracks[site]
    is_by_hand = situation.policy.failback is Failback.MANUAL and track.life in AWAY and situation.now_ms >= track.hold_until_ms
    if is_by_hand:
        return f"whose failback is manual (`siteshift ack {site}`)"
    if is_switched_off:
        return "but automatic action is switched off (`siteshift switch on`)"
    if situation.mode is not Mode.AUTO:
        name = situation.service.id
        return f"but {name} is in mode {situation.mode.value} (`siteshift plan`, or `siteshift override mode {name} auto`)"
    return None
