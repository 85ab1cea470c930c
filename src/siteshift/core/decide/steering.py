"""What each site should get, and why. Overrides first, then evidence; no evidence changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from siteshift.core.beliefs.life import AWAY, Signal
from siteshift.core.decide.capacity import Candidate, Demand, ServiceAllocation
from siteshift.core.decide.situation import TO_OPEN, Situation
from siteshift.core.model.codes import Because, DataKind, Failback, SiteLife, StandbyPhase, Standing
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Member, Pool
from siteshift.core.model.units import WHOLE_BP, MemberId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a service should end up, and why each site gets what it gets."""

    shares_bp: Mapping[SiteId, int]
    shed_bp: int
    shed_at: SiteId | None
    because: Mapping[SiteId, Because]


_PROVEN = frozenset({StandbyPhase.PROVEN})


def demand_of(situation: Situation) -> Demand:
    """The allocation problem of one service."""
    return Demand(
        service=situation.service.id,
        tier=situation.service.tier,
        demand_rps=situation.demand_rps,
        max_utilisation_pm=situation.policy.max_utilisation_pm,
        candidates=tuple(_candidate(situation, pool) for pool in situation.service.pools),
    )


def _candidate(situation: Situation, pool: Pool) -> Candidate:
    """One site's part in the allocation."""
    site = pool.site
    current = situation.current.shares_bp.get(site, 0)
    away = situation.away(site)
    fixed = None if away else _fixed_bp(situation, pool, current)
    may_hold_data = situation.may_hold_data(site)
    held_rps = situation.held_rps(pool)
    room_rps = min(situation.room_rps(pool), situation.worth_filling_rps(pool))
    room_rps = room_rps if held_rps is None else min(room_rps, held_rps)
    proven_rps = min(situation.standby_rps(pool, _PROVEN), room_rps)
    return Candidate(
        site=site,
        nominal_bp=pool.nominal_bp,
        current_bp=current,
        active_rps=room_rps - proven_rps,
        standby_rps=situation.standby_rps(pool, TO_OPEN),
        open_standby_rps=proven_rps,
        may_receive=not away
        and fixed is None
        and may_hold_data
        and not (situation.is_overloaded(site) or situation.is_half_left(site) or _is_ahead(situation, site, current)),
        fixed_bp=fixed,
        away=away,
        because=None if may_hold_data or away or fixed is not None else Because.NOT_PROMOTED,
    )


def _fixed_bp(situation: Situation, pool: Pool, current_bp: int) -> int | None:
    """A share that must stay exactly: forced, without evidence, suspect, or on a step of the way back.

    One that comes back and is asked for too much is relieved like any other.
    """
    site = pool.site
    if situation.forced.shares_bp is not None:
        return situation.forced.shares_bp.get(site, 0)
    signal = situation.signals[site]
    life = situation.tracks[site].life
    if life is SiteLife.RETURNING and signal is not Signal.OVERLOADED:
        if signal is not Signal.WELL:
            return current_bp
        if situation.current.shed_bp > 0 and _may_have_all(situation, site, current_bp):
            return None
        if _is_ahead(situation, site, current_bp):
            return None
        return min(situation.returning_bp(site), situation.limit_bp(site))
    if signal is Signal.NO_EVIDENCE:
        return None if _is_left_blindly(situation) else current_bp
    if signal is Signal.SUSPECTED:
        return current_bp
    return None


def _may_have_all(situation: Situation, site: SiteId, current_bp: int) -> bool:
    """Whether a site on its way back gets what is shed at once. One that failed again soon after it had come back has to answer
    users first, on the first step of its ramp: its checks may pass whatever its users get."""
    load, track = situation.loads.get(site), situation.tracks[site]
    if track.flaps == 0 or not situation.is_metered or current_bp > situation.returning_bp(site):
        return True
    return load is not None and (not load.tells_answers or load.is_proven_since(situation.transition.moved_at_ms))


def _is_left_blindly(situation: Situation) -> bool:
    """Whether a person has a site left that still has a share, while nobody sees anything: then the others are where its
    traffic goes. The gate asks for somebody who can see (`BLIND`); without an approval nothing moves (law 3)."""
    return situation.is_blind and any(situation.current.shares_bp.get(site, 0) for site in situation.forced.drained_sites)


def _is_ahead(situation: Situation, site: SiteId, current_bp: int) -> bool:
    """Whether a site on its way back has more than its step gives: it was needed. It may keep that, as long as nobody whose
    share it is wants it back."""
    is_back = situation.tracks[site].life is SiteLife.RETURNING and situation.forced.shares_bp is None
    return is_back and situation.current.shed_bp == 0 and current_bp > situation.returning_bp(site)


def target_of(situation: Situation, allocation: ServiceAllocation) -> Target:
    """The end state an allocation means for a service: where the part nobody can carry stays (law 7).

    At a site that is alive and being left it stays, as far as it is there now or was before the moves of this row, and is served:
    who took it may carry less than was thought. So it does at one that only checks call down, and no meter. The rest is shed
    openly. Where nothing answers that, one that is alive keeps as much as it carries, and the rest is with a dead one.
    Writable traffic that no other site may take stays even at a dead one, unless an address answers what is shed: it may be
    only us who cannot see the site, and a share of nothing would not help anybody (outage `gh-43s`).
    With no site being left it stays with those who have it, and is then spread by capacity, unless something answers it. And
    where nothing answers it, it goes on being sent to the site that is left, to a dead one first: that must not become more
    than it has now, whatever demand is believed to be.
    """
    shares = {site: allocation.shares_bp.get(site, 0) for site in situation.service.sites}
    shed = allocation.shed_bp
    because = dict(allocation.because)
    for site in shares:
        if shed and situation.away(site) and _is_better_left(situation, site):
            stays = min(shed, max(_may_keep_bp(situation, site), _carries_of_the_rest_bp(situation, site)))
            shares[site] += stays
            shed -= stays
            if stays:
                because[site] = Because.CAPACITY_LIMIT
    dead = [site for site in shares if situation.away(site)]
    stays_at = _where_shed_stays(situation, shares, shed)
    if shed and not dead and not situation.has_shed_answer and stays_at is None:
        if _is_in_trouble(situation):
            shed -= _left_with_givers(situation, shares, shed)
        if shed:
            _spread(shares, shed, {site: max(1, situation.limit_bp(site)) for site in shares})
        shed = 0
    elif shed and not situation.has_shed_answer:
        shed -= _kept_by_survivors(situation, shares, shed)
    dead.sort(key=lambda site: (not situation.is_dead(site), _share(situation, site) <= 0))
    shed_at = dead[0] if dead else stays_at
    if shed and shed_at is None:
        shed_at = max(shares, key=lambda site: shares[site])
        because[shed_at] = Because.SHED
    because = {site: _because(situation, site, because.get(site, Because.NOMINAL)) for site in shares}
    return Target(shares_bp=shares, shed_bp=shed, shed_at=shed_at if shed else None, because=because)


def _may_keep_bp(situation: Situation, site: SiteId) -> int:
    """What a site that is being left may keep of what fits nowhere else: what it had lately. One that answers all of less was
    full, and keeps no more than it was found to carry; nor does one of which that is not seen yet. It was cut as full and given
    all of it again as sick, every two seconds."""
    pool, had_bp, load = situation.service.pool_at(site), situation.had_lately_bp(site), situation.loads.get(site)
    if pool is None or not situation.is_capped(site):
        return had_bp
    if not situation.was_cut_in_this_row(site) and (load is None or not load.serves_all):
        return had_bp
    return min(had_bp, max(situation.current.shares_bp.get(site, 0), situation.held_bp(pool)))


def _carries_of_the_rest_bp(situation: Situation, site: SiteId) -> int:
    """What a site that is being left and is not dead carries of what nothing answers: it is lost at a dead one, and all of it at
    one that is alive would be more than that carries, for as long as it gets it. Who has nothing gets nothing."""
    is_there = _share(situation, site) > 0 and not situation.is_dead(site)
    if situation.has_shed_answer or not is_there or site in situation.forced.drained_sites:
        return 0
    pool = situation.service.pool_at(site)
    return min(situation.limit_bp(site), situation.held_bp(pool)) if pool is not None else 0


def _where_shed_stays(situation: Situation, shares: Mapping[SiteId, int], shed_bp: int) -> SiteId | None:
    """The site that keeps what is shed now, if no more comes to it so than now: who serves cannot take it, and it is there."""
    site = situation.current.shed_at
    if not shed_bp or site is None or situation.has_shed_answer:
        return None
    return site if shares.get(site, 0) + shed_bp <= _share(situation, site) else None


def _is_in_trouble(situation: Situation) -> bool:
    """Whether a site is on its way back, full, or was: then what does not fit waits where it is. Else it is people who move,
    and are told what their move does to whom."""
    return any(
        track.life is SiteLife.RETURNING or situation.is_overloaded(site) or situation.is_capped(site)
        for site, track in situation.tracks.items()
    )


def _left_with_givers(situation: Situation, shares: dict[SiteId, int], shed_bp: int) -> int:
    """Leave with those who give what those who take have no room for; how much."""
    gives = {site: bp for site in shares if (bp := _share(situation, site) - shares[site]) > 0}
    part_bp = min(shed_bp, sum(gives.values()))
    if part_bp > 0:
        _spread(shares, part_bp, gives)
    return part_bp


def _kept_by_survivors(situation: Situation, shares: dict[SiteId, int], shed_bp: int) -> int:
    """Give back to survivors what would go from them to a site that is left; how much. None of them gets more than it has."""
    left = {site: max(0, _share(situation, site) - shares[site]) for site in shares if situation.away(site)}
    gives_up = {s: situation.current.shares_bp.get(s, 0) - bp for s, bp in shares.items() if s not in left}
    gives_up = {site: bp for site, bp in gives_up.items() if bp > 0}
    too_much_bp = min(shed_bp - sum(left.values()), sum(gives_up.values()))
    if too_much_bp <= 0:
        return 0
    _spread(shares, too_much_bp, gives_up)
    return too_much_bp


def _because(situation: Situation, site: SiteId, reckoned: Because) -> Because:
    """What a person would name first: people's orders, then where the site is in its life, then what was reckoned."""
    if situation.forced.shares_bp is not None:
        return Because.OVERRIDDEN
    if reckoned is Because.SHED or reckoned is Because.CAPACITY_LIMIT:
        return reckoned
    if site in situation.forced.drained_sites:
        return Because.DRAINED_BY_PERSON
    track, signal = situation.tracks[site], situation.signals[site]
    if track.life is SiteLife.RETURNING and signal is Signal.WELL:
        return Because.RETURNING
    if track.life not in AWAY:
        return reckoned if situation.may_hold_data(site) else Because.NOT_PROMOTED
    if not situation.away(site):
        return Because.HELD_DOWN if situation.serving_sites() else Because.LAST_SITE
    if signal is Signal.WELL:
        return Because.HELD_DOWN if situation.policy.failback is Failback.RAMP else Because.STAYS_AWAY
    return reckoned


def _is_better_left(situation: Situation, site: SiteId) -> bool:
    """Whether what fits nowhere else is better left at a site than shed: it may be answered there, and no person wants it out; or
    it needs the data there, and nothing answers in its place."""
    is_bound = situation.service.data is DataKind.WRITABLE and not situation.service.shed_answers
    is_wanted_out = site in situation.forced.drained_sites
    return is_bound or not situation.is_dead(site) or (situation.may_be_alive(site) and not is_wanted_out)


def _share(situation: Situation, site: SiteId) -> int:
    current = situation.current
    return current.shares_bp.get(site, 0) + (current.shed_bp if current.shed_at == site else 0)


def _spread(shares: dict[SiteId, int], amount_bp: int, keys: Mapping[SiteId, int]) -> None:
    """Add an amount to the sites of ``keys`` in their proportion; the first takes what rounding leaves."""
    total = sum(keys.values())
    left = amount_bp
    for site, key in keys.items():
        part = amount_bp * key // total
        shares[site] += part
        left -= part
    shares[next(iter(keys))] += left


def members_of(situation: Situation) -> dict[MemberId, int]:
    """The weight of every member that may serve. A pool never loses its last one: better a doubtful server than none, and
    sooner one in doubt than one that a person took out.

    Without evidence (blind, or a fault everywhere) the present weights stay, but for what a person forced; and unless blind,
    a standby that was found to have failed goes (law 2): its driver says so, not a check.
    """
    weights: dict[MemberId, int] = {}
    for pool in situation.service.pools:
        weights.update(_pool_members(situation, pool))
    return weights


def _pool_members(situation: Situation, pool: Pool) -> dict[MemberId, int]:
    if not situation.is_known(pool.site):
        kept = {
            m.id: situation.current.members_pm[m.id]
            for m in pool.members
            if m.id in situation.current.members_pm
            and m.id not in situation.forced.depooled
            and (situation.is_blind or situation.is_open(m))
        }
        if kept:
            return kept
    found = {m.id: situation.weight_pm(m) for m in pool.actives if situation.is_usable(m)}
    for member in situation.standby_members(pool):
        phase = situation.phase(member)
        if phase is StandbyPhase.PROVEN and situation.is_usable(member):
            found[member.id] = situation.weight_pm(member)
        elif phase is StandbyPhase.READY and _may_be_tried(situation, member):
            found[member.id] = max(1, situation.policy.proof_bp // 10)  # real requests, bounded harm (outage `bad-refuge`)
    if found:
        return found
    active = [m.id for m in pool.actives]
    return dict.fromkeys([m for m in active if m not in situation.forced.depooled] or active, 1000)


def _may_be_tried(situation: Situation, member: Member) -> bool:
    """Whether a standby that is ready gets proof traffic: begun when it is seen up, ended when it is seen down."""
    standing = situation.standing_of(member)
    is_tried = member.id in situation.current.members_pm
    return standing is Standing.UP or (is_tried and standing is not Standing.DOWN)


def ttl_of(situation: Situation) -> int:
    """The TTL to publish now: short while anything is suspect or in transition (DESIGN §8). Without DNS it means nothing."""
    if not situation.has_dns:
        return situation.current.ttl_s
    is_restless = situation.now_ms < situation.transition.restless_until_ms or situation.is_climbing
    return situation.policy.ttl_suspect_s if is_restless else situation.policy.ttl_normal_s


def nominal(situation_service_sites: Mapping[SiteId, int]) -> dict[SiteId, int]:
    """Nominal shares, made to sum to the whole."""
    total = sum(situation_service_sites.values()) or 1
    shares = {site: bp * WHOLE_BP // total for site, bp in situation_service_sites.items()}
    if shares:
        first = next(iter(shares))
        shares[first] += WHOLE_BP - sum(shares.values())
    return shares


def with_shares(current: ServiceSteering, target: Target, shares_bp: Mapping[SiteId, int]) -> ServiceSteering:
    """The steering with these shares; what they do not sum to is shed where the target says."""
    shed = WHOLE_BP - sum(shares_bp.values())
    shed_at = (target.shed_at or current.shed_at) if shed else None
    return replace(current, shares_bp=dict(shares_bp), shed_bp=shed, shed_at=shed_at)


def sent_on(steering: ServiceSteering, cached_bp: Mapping[SiteId, int]) -> ServiceSteering:
    """The steering with where the traffic that still reaches a drained site goes: to those who gained, by their gain.

    As long as caches hold answers given by ``cached_bp``, a survivor's old users are still with it. Were the rest sent on
    by the new shares, a survivor that gains little would get old users and new share together (`tunnel-overshoot`).
    By gain each gets its new share at every moment, however far the caches have run out.
    """
    shares = steering.shares_bp
    was_left = any(bp and not shares.get(site, 0) for site, bp in cached_bp.items())
    gains = {site: max(0, bp - cached_bp.get(site, 0)) for site, bp in shares.items() if bp > 0}
    return replace(steering, onward_bp=gains if was_left else {})
