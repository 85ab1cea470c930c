"""Why shares should change: on whose account, whether what is left to change is worth a step, and what cannot be done."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.beliefs.life import AWAY
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.steering import Target
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, LeftBecause, Severity, SiteLife
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.units import SiteId

DEADBAND_BP = 200
"""A rebalance smaller than this is not worth a write; measured demand breathes by a few per cent."""
CLIMB_BP = 100
"""What a capped site may have more is worth a write from here: it climbs by 1.8 % of the traffic (`situation.RAISE_BP`)."""


def cause_of(situation: Situation, target: Target) -> Cause:
    """On whose account the shares should change."""
    current = situation.current
    losing = [s for s, bp in current.shares_bp.items() if target.shares_bp.get(s, 0) < bp]
    gaining = [s for s, bp in target.shares_bp.items() if current.shares_bp.get(s, 0) < bp]
    was_shed = current.shed_at is not None and current.shed_bp > target.shed_bp
    was_shed = was_shed and not any(situation.is_capped(site) for site in gaining)
    was_shed = was_shed and not any(situation.tracks[site].life is SiteLife.RETURNING for site in gaining)
    if any(situation.is_dead(site) and situation.away(site) for site in losing) or was_shed:
        return Cause.DEAD
    if situation.forced.shares_bp is not None or any(site in situation.forced.drained_sites for site in losing):
        return Cause.PERSON
    if any(situation.away(site) for site in losing):
        return Cause.DEGRADED
    if any(_is_relief(situation, target, site) for site in losing):
        return Cause.RELIEF
    if any(situation.is_short_of_taken_out(site) for site in losing):
        return Cause.PERSON
    returning = [s for s, track in situation.tracks.items() if track.life is SiteLife.RETURNING]
    if any(situation.tracks[site].left_because is LeftBecause.PERSON for site in returning):
        return Cause.RELEASE
    return Cause.FAILBACK if returning else Cause.REBALANCE


def is_worth_it(situation: Situation, target: Target, cause: Cause) -> bool:
    """Whether what is left to change is worth a step."""
    current = situation.current
    if situation.is_blind and cause is not Cause.PERSON:
        return False
    sites = set(current.shares_bp) | set(target.shares_bp)
    change = max(abs(target.shares_bp.get(s, 0) - current.shares_bp.get(s, 0)) for s in sites)
    change = max(change, abs(target.shed_bp - current.shed_bp))
    forced = situation.forced
    only_follows = cause is Cause.PERSON and forced.shares_bp is None and not forced.drained_sites  # a member taken out
    if cause is Cause.REBALANCE and _is_climb(situation, target):
        return True
    if cause is Cause.REBALANCE and target.shed_bp == current.shed_bp and _fits_as_it_is(situation, target):
        return False
    if cause is Cause.REBALANCE or only_follows:
        return change >= DEADBAND_BP
    if cause is Cause.RELIEF:
        return any(_is_relief(situation, target, site) for site in current.shares_bp)
    return change > 0


def _is_climb(situation: Situation, target: Target) -> bool:
    """Whether a capped site gets what it was raised by: small steps are the point of it."""
    shares = situation.current.shares_bp
    return any(situation.is_capped(s) and bp - shares.get(s, 0) >= CLIMB_BP for s, bp in target.shares_bp.items())


def _fits_as_it_is(situation: Situation, target: Target) -> bool:
    """Whether only others than a site that is away or full would change, and they carry what they have: then proportions wait."""
    shares = situation.current.shares_bp
    troubled = [
        site
        for site, track in situation.tracks.items()
        if track.life in AWAY or situation.is_overloaded(site) or situation.is_capped(site)
    ]
    theirs_bp = sum(abs(target.shares_bp.get(site, 0) - shares.get(site, 0)) for site in troubled)
    if not troubled or theirs_bp >= DEADBAND_BP:
        return False
    return all(shares.get(site, 0) <= situation.limit_bp(site) for site in shares if site not in troubled)


def _is_relief(situation: Situation, target: Target, site: SiteId) -> bool:
    """Whether the target takes something worth a write off an overloaded site. A move that takes less has another cause: else a
    site on its way back would wait for as long as somebody else is a little too full."""
    bp = situation.current.shares_bp.get(site, 0)
    return situation.is_overloaded(site) and bp - target.shares_bp.get(site, 0) >= max(1, min(DEADBAND_BP, bp // 10))


def cannot_be_sent(situation: Situation, shares_bp: Mapping[SiteId, int]) -> tuple[Finding, ...]:
    """What of these shares would go where nobody is sent now: to a site that is down, or away by somebody's drain."""
    current_bp = situation.current.shares_bp
    lacking = [s for s in situation.service.sites if situation.away(s) and shares_bp.get(s, 0) > current_bp.get(s, 0)]
    if not lacking:
        return ()
    lives = ", ".join(f"{s} ({'down' if situation.is_dead(s) else situation.tracks[s].life.value})" for s in lacking)
    text = f"{situation.service.id}: forced shares give more to {lives} than may be sent there now"
    return (finding(FindingCode.TARGET_UNHEALTHY, Severity.REFUSED, text, sites=",".join(lacking)),)
