"""What is noted of a failure under load when shares are written, and when a capped site gets a little more (`state.carrying`)."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.decide.situation import Situation
from siteshift.core.model.topology import Pool
from siteshift.core.model.units import WHOLE_BP, SiteId
from siteshift.core.state.carrying import FIRST_HOLD_MS, LONGEST_HOLD_MS, Carrying, failed


def carrying_after(situation: Situation, shares_bp: Mapping[SiteId, int]) -> Mapping[SiteId, Carrying]:
    """What is remembered of failures under load once these shares are written: of who gets less and still answers."""
    found = dict(situation.transition.carrying)
    for pool in situation.service.pools:
        if shares_bp.get(pool.site, 0) < situation.current.shares_bp.get(pool.site, 0):
            noted = _noted(situation, pool, shares_bp.get(pool.site, 0), found.get(pool.site))
            if noted is not None:
                found[pool.site] = noted
    return found


def _noted(situation: Situation, pool: Pool, share_bp: int, before: Carrying | None) -> Carrying | None:
    """What a site that gets less was found to carry; None when it is not left for its load, or nothing is known of it."""
    load, signal = situation.loads.get(pool.site), situation.signals[pool.site]
    cap_rps = -(-share_bp * situation.demand_rps // WHOLE_BP)  # rounded up: a cap leaves the share that it was reckoned of
    if signal is Signal.SICK and load is not None and load.tells_answers:
        cap_rps = max(cap_rps, load.best_mrps // 1000)
    elif not situation.is_overloaded(pool.site):
        return None
    open_rps = situation.open_rps(pool)
    is_explained = load is None or load.is_full
    return failed(
        before,
        asked_rps=open_rps if load is None else max(load.asked_mrps // 1000, open_rps if is_explained else 0),
        answered_rps=0 if load is None else load.best_mrps // 1000,
        cap_rps=cap_rps,
        open_rps=open_rps,
        hold_ms=FIRST_HOLD_MS,
        longest_ms=LONGEST_HOLD_MS if is_explained else situation.policy.hold_down_max_ms,
        now_ms=situation.now_ms,
    )


def carrying_raised(situation: Situation) -> Mapping[SiteId, Carrying]:
    """What is remembered of failures under load, with a little more for each that was quiet long enough.

    Those that may have all again, and failed no more for the longest hold-down, are forgotten.
    """
    found = dict(situation.transition.carrying)
    for pool in situation.service.pools:
        known = found.get(pool.site)
        if known is None:
            continue
        is_quiet = situation.signals[pool.site] is Signal.WELL and situation.tracks[pool.site].life not in AWAY
        if known.cap_rps is None:
            if situation.now_ms - known.until_ms >= situation.policy.hold_down_max_ms:
                del found[pool.site]
        elif is_quiet and situation.now_ms >= raise_at_ms(situation, known):
            found[pool.site] = known.raised(situation.now_ms, situation.open_rps(pool))
    return found


def raise_at_ms(situation: Situation, known: Carrying) -> int:
    """When a capped site may have been quiet long enough: the wait counts anew with each move.

    While others carry what it cannot, it waits as a site that was left does (`hold_down_s`, twice as long with each relapse);
    while it is shed for, to try costs less than to wait.
    """
    wait_ms = known.hold_ms
    if situation.current.shed_bp == 0 and not known.is_explained:
        wait_ms = min(wait_ms * situation.policy.hold_down_ms // FIRST_HOLD_MS, situation.policy.hold_down_max_ms)
    return max(known.until_ms - known.hold_ms, situation.transition.moved_at_ms) + max(wait_ms, known.hold_ms)
