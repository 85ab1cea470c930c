"""What is noted of a failure under load when shares are written, and when a capped site gets a little more (`state.carrying`)."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.beliefs.load import Load
from siteshift.core.decide.occasion import CLIMB_BP
from siteshift.core.decide.situation import DRAINS_PM, RAISE_BP, Situation
from siteshift.core.model.codes import SiteLife
from siteshift.core.model.topology import Pool
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, SiteId
from siteshift.core.state.carrying import CLIMB_MS, FIRST_HOLD_MS, LONGEST_HOLD_MS, Carrying, failed

BETTER_PM = 1_300
"""A climbing site that answers 30 % more than when it failed is better: past its knee a full one answers less than it carries."""
BEYOND_HOLDS = 4
"""So many waits after it failed a site is given more than it answered then: to find the same again would cost, and while others
carry the rest, to wait costs nothing."""


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
    is_counted_sick = signal is Signal.SICK and load is not None and load.tells_answers
    if not (is_counted_sick or situation.is_overloaded(pool.site) or _is_half_left_down(situation, pool.site, share_bp)):
        return None
    cap_rps = _rps(situation, share_bp)
    if load is not None and load.tells_answers:
        cap_rps = max(cap_rps, _carried_rps(load, before, situation.now_ms))
    open_rps = situation.nameplate_rps(pool)
    is_full = load is not None and load.is_full
    asked_rps = _rps(situation, situation.current.shares_bp.get(pool.site, 0)) if load is None else load.asked_mrps // 1000
    return failed(
        before,
        asked_rps=max(asked_rps, open_rps if is_full else 0),
        answered_rps=0 if load is None else load.best_mrps // 1000,
        cap_rps=cap_rps,
        open_rps=open_rps,
        hold_ms=FIRST_HOLD_MS,
        longest_ms=LONGEST_HOLD_MS if is_full else situation.policy.hold_down_max_ms,
        now_ms=situation.now_ms,
    )


def _carried_rps(load: Load, before: Carrying | None, now_ms: int) -> int:
    """What a site that fails was seen to carry: of what it answers so much that its queue empties, and no more than what it was
    quiet with before it was given more."""
    drains_rps = load.best_mrps * DRAINS_PM // (1000 * WHOLE_PM)
    return min(drains_rps, before.proven_rps) if before is not None and before.is_on_trial(now_ms) else drains_rps


def _rps(situation: Situation, share_bp: int) -> int:
    """What a share brings; rounded up, so that a cap leaves the share that it was reckoned of."""
    return -(-share_bp * situation.demand_rps // WHOLE_BP)


def _is_half_left_down(situation: Situation, site: SiteId, share_bp: int) -> bool:
    """Whether a site is left as down as far as there is room: well again with what stays, it was only too full."""
    return share_bp > 0 and situation.is_dead(site) and situation.may_be_alive(site)


def carrying_raised(situation: Situation) -> Mapping[SiteId, Carrying]:
    """What is remembered of failures under load, with a little more for each that was quiet long enough.

    One that answers what it failed at has no cap any more; one that only has its own share again keeps what was found of it, and
    climbs no further until more is wanted of it. What failed no more for the longest hold-down is forgotten, as long as it
    holds nothing back: the night may have brought too little to try it, or its meter nothing at all.
    """
    found = dict(situation.transition.carrying)
    for pool in situation.service.pools:
        known = found.get(pool.site)
        if known is None:
            continue
        is_forgotten = situation.now_ms - known.until_ms >= situation.policy.hold_down_max_ms
        if is_forgotten and (known.cap_rps is None or _is_idle(situation, pool, known)):
            del found[pool.site]
        elif known.cap_rps is None or raise_waits_for(situation, pool, known) or situation.now_ms < raise_at_ms(situation, known):
            continue
        elif _is_home(situation, pool):
            is_refuted, has_rps = _answers_what_it_failed_at(situation, pool, known), _has_rps(situation, pool)
            found[pool.site] = known.lifted(situation.now_ms) if is_refuted else known.settled(situation.now_ms, has_rps)
        else:
            open_rps = situation.nameplate_rps(pool)
            by_rps = _by_rps(situation, known, pool.site, open_rps)
            found[pool.site] = known.raised(situation.now_ms, open_rps=open_rps, by_rps=by_rps)
    return found


def raise_waits_for(situation: Situation, pool: Pool, known: Carrying) -> str:
    """What besides time must be so before a capped site may have more; empty: nothing. What it was not given is not proven."""
    load, life = situation.loads.get(pool.site), situation.tracks[pool.site].life
    if situation.signals[pool.site] is not Signal.WELL:
        return "it is well"
    if load is not None and load.tells_answers and not load.serves_all:
        return "its users get all they ask for"
    if life in AWAY:
        return "it is on its way back"
    if _is_home(situation, pool):
        is_over = known.was_raised or _answers_what_it_failed_at(situation, pool, known)
        return "" if is_over else "more is wanted of it than its own share"
    if _has_less(situation, pool, known):
        return "it was given what it may have" if life is SiteLife.SERVING else "its way back has brought it so far"
    return ""


def _is_idle(situation: Situation, pool: Pool, known: Carrying) -> bool:
    """Whether a cap holds nothing back just now: to forget one that does gives all of it at once (it collapsed all sites)."""
    is_well = situation.signals[pool.site] is Signal.WELL
    return is_well and (_is_home(situation, pool) or _has_less(situation, pool, known))


def _has_less(situation: Situation, pool: Pool, known: Carrying) -> bool:
    """Whether it has clearly less than its cap lets it have."""
    return _has_rps(situation, pool) + _rps(situation, CLIMB_BP) <= (known.cap_rps or 0)


def _has_rps(situation: Situation, pool: Pool) -> int:
    return _rps(situation, situation.current.shares_bp.get(pool.site, 0))


def _is_home(situation: Situation, pool: Pool) -> bool:
    """Whether nothing more is wanted of it: it has all of its own share, or more, and nobody is shed for want of it."""
    is_serving = situation.tracks[pool.site].life is SiteLife.SERVING
    return is_serving and situation.current.shed_bp == 0 and situation.current.shares_bp.get(pool.site, 0) >= pool.nominal_bp


def _answers_what_it_failed_at(situation: Situation, pool: Pool, known: Carrying) -> bool:
    """Whether it carries as much as it was asked when it failed, or clearly more than it answered then."""
    load = situation.loads.get(pool.site)
    if load is None or not load.tells_answers:
        return _has_rps(situation, pool) >= known.failed_rps
    return load.serves_all and (load.steady_mrps >= known.failed_rps * DRAINS_PM or _is_better(load, known))


def _by_rps(situation: Situation, known: Carrying, site: SiteId, open_rps: int) -> int:
    """By how much the cap is raised: a little, until it answers much more than when it failed; then half of what is left. While
    users are shed each raise is twice the last one, as long as none has failed: most faults are short, and are over by then."""
    load, least_rps = situation.loads.get(site), _rps(situation, RAISE_BP)
    if situation.current.shed_bp and known.was_raised and known.hold_ms <= FIRST_HOLD_MS:
        least_rps = max(least_rps, 2 * ((known.cap_rps or 0) - known.proven_rps))
    if not known.was_raised or load is None or not load.serves_all:
        return least_rps
    return max(least_rps, (open_rps - (known.cap_rps or 0)) // 2) if _is_better(load, known) else least_rps


def _is_better(load: Load, known: Carrying) -> bool:
    """Whether it answers clearly more than when it failed, as far as that was counted."""
    least_mrps = known.answered_rps * BETTER_PM
    return known.answered_rps > 0 and load.answered_mrps > least_mrps and load.steady_mrps > least_mrps


def raise_at_ms(situation: Situation, known: Carrying) -> int:
    """When a capped site may have been quiet long enough: the wait counts anew with each move. Once it climbs, it goes on while
    all is well.

    While others carry what it cannot, it waits as a site that was left does (`hold_down_s`, twice as long with each relapse);
    while it is shed for, to try costs less than to wait.
    """
    if known.was_raised:
        again_ms = max(known.until_ms, situation.transition.moved_at_ms + CLIMB_MS)
        return max(again_ms, _beyond_ms(situation, known))
    wait_ms = known.hold_ms
    if situation.current.shed_bp:
        wait_ms = min(wait_ms, FIRST_HOLD_MS)
    elif not known.is_explained:
        wait_ms = min(wait_ms * situation.policy.hold_down_ms // FIRST_HOLD_MS, situation.policy.hold_down_max_ms)
        wait_ms = max(wait_ms, known.hold_ms)
    waited_ms = max(known.until_ms - known.hold_ms, situation.transition.moved_at_ms) + wait_ms
    return max(waited_ms, _beyond_ms(situation, known))


def _beyond_ms(situation: Situation, known: Carrying) -> int:
    """When a site may be given more than it answered when it failed; 0: the next raise is no such."""
    is_beyond = known.answered_rps * DRAINS_PM <= (known.cap_rps or 0) * WHOLE_PM
    if known.is_explained or not known.answered_rps or not is_beyond or situation.current.shed_bp:
        return 0
    return known.failed_at_ms + min(BEYOND_HOLDS * known.hold_ms, situation.policy.hold_down_max_ms)
