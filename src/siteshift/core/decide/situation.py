"""One service as the deciders see it: evidence, people, traffic and what is written now, in one immutable view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from siteshift.core.beliefs.life import AWAY, Signal, is_left_unexplained
from siteshift.core.beliefs.load import WEIGHT_STEP_PM, Load
from siteshift.core.beliefs.overload import RECOVERY_MS, SHOWN_MS
from siteshift.core.model.codes import Hardness, LeftBecause, MemberRole, Mode, SiteLife, StandbyPhase, Standing
from siteshift.core.model.evidence import PoolPicture
from siteshift.core.model.override import Forced
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Member, Pool, Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, MemberId, SiteId
from siteshift.core.state.carrying import SURE_PM
from siteshift.core.state.goals import GoalTrack
from siteshift.core.state.tracks import ServiceTransition, SiteTrack, StandbyTrack

WEIGHT_SLACK_PM = 100
"""A shrunk weight follows its member's score only when they are this far apart."""
ROW_MS = 15_000
"""So long after a move a survivor's trouble is taken to come of it (`lives.UNDO_WATCH_MS`)."""
UNSURE_PM = 1_100
"""A site surely carries `SURE_PM` of what the file says, and this at most."""
DRAINS_PM = 950
"""Given this part of the most it answered, a full pool also empties its queue: one of 0.8 s in 16 s."""
HALVING_MS = 5_000
"""As long as the short TTL: before that nobody sees what the last step of a relief brought."""
RAISE_BP = 180
"""A site in doubt is given 1.8 % of the service's traffic more at a time: what is too much by that fills queues, and no more; one
that takes it back has not turned by what anybody notices (2 %, `sim.criteria.moves`)."""
TO_OPEN = frozenset({StandbyPhase.COLD, StandbyPhase.STARTING, StandbyPhase.READY, StandbyPhase.RETIRING})
"""Standby that may be counted on though it does not serve yet. One that failed is none."""
LEAST_RELIEVED_DIVISOR = 16
"""Presumed overload is never relieved below this part of the nominal share: then it is not the load."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that bears on one service now. Not slotted: what its pools carry is reckoned once and asked ten times a step."""

    service: Service
    policy: ServicePolicy
    signals: Mapping[SiteId, Signal]
    tracks: Mapping[SiteId, SiteTrack]
    pools: Mapping[SiteId, PoolPicture]
    forced: Forced
    current: ServiceSteering
    transition: ServiceTransition
    standbys: Mapping[MemberId, StandbyTrack]
    demand_rps: int
    is_blind: bool
    is_global_fault: bool
    now_ms: int
    data_role: Mapping[SiteId, bool | None] = field(default_factory=dict)
    """Of a writable service: see `core.beliefs.data_role`. Empty for others."""
    excess_rps: Mapping[SiteId, int] = field(default_factory=dict)
    """How much more than its share a site is seen to be asked for (`core.beliefs.load`)."""
    is_metered: bool = True
    """Whether anybody counts the service's requests; else overload is presumed, and put to the proof."""
    answering: frozenset[SiteId] = frozenset()
    """Sites whose real requests are measured to be answered just now (`core.beliefs.load`)."""
    loads: Mapping[SiteId, Load] = field(default_factory=dict)
    """What is asked of the sites and answered there, where that is measured."""
    goals: tuple[GoalTrack, ...] = ()
    """What people want of it, and what was approved as proposed: every step is held against them (law 13)."""
    evidence: Mapping[SiteId, Signal] = field(default_factory=dict)
    """What the evidence alone says of each site, whoever drained it. Only while there are goals."""
    has_dns: bool = True
    """Whether old answers live on in caches after a move: DNS steers it (law 9)."""
    has_shed_answer: bool = False
    """Whether what is shed gets an answer of its own, by DNS or by a data plane; else it stays with some site."""

    def may_hold_data(self, site: SiteId) -> bool:
        """Whether more writable traffic may be meant for a site. Where one site that may serve is known to be promoted,
        only such sites; where none is, all of them: then the gate says what is missing."""
        if self.data_role.get(site) is True or not self.data_role:
            return True
        return not any(role for other, role in self.data_role.items() if not self.away(other))

    @property
    def mode(self) -> Mode:
        """The mode a person forced, else the policy's (law 6)."""
        return self.forced.mode or self.policy.mode

    def away(self, site: SiteId) -> bool:
        """Whether traffic should leave this site, or stay away from it.

        When every site should be left, those that still answer and that nobody forced out (or may have, before all was
        forgotten) are the last resort: a sick site, or one still held down, is better than a dead one (law 1).
        """
        if self.tracks[site].life not in AWAY:
            return False
        if self._someone_serves:
            return not self.is_half_left(site)
        is_out = is_left_unexplained(self.tracks[site])
        return is_out or self.signals[site] in (Signal.DEAD, Signal.FORCED_OUT, Signal.NO_EVIDENCE)

    @property
    def _someone_serves(self) -> bool:
        return any(track.life not in AWAY for track in self.tracks.values())

    def is_half_left(self, site: SiteId) -> bool:
        """Whether a site that was being left as sick is well again before it was left, or only full. It keeps what it has, and
        gets no more until its hold-down is over: to go on leaving would cost its users a move, and spare them nothing."""
        track = self.tracks[site]
        is_ebbing = track.life is SiteLife.DRAINING and track.left_because is LeftBecause.SICK and self._someone_serves
        is_there = self.signals[site] in (Signal.WELL, Signal.OVERLOADED) or self._is_ebbing_down(site)
        return is_ebbing and is_there and self.current.shares_bp.get(site, 0) > 0

    def was_cut_in_this_row(self, site: SiteId) -> bool:
        """Whether a site that failed under load was given less while what it has now is not all there is yet: what still comes
        says nothing of that."""
        cap = self.transition.cap_of(site)
        shown_ms = max(self.transition.tail_until_ms, self.transition.moved_at_ms + SHOWN_MS)
        return cap is not None and not cap.was_raised and self.now_ms < shown_ms

    def _is_ebbing_down(self, site: SiteId) -> bool:
        """Whether a site that failed under load may only still be too full by old answers: it has no more than it was found to
        carry, its users are answered, and what it was given is not all there is yet."""
        load, cap = self.loads.get(site), self.transition.cap_of(site)
        if load is None or cap is None or cap.cap_rps is None or self.now_ms >= self.transition.tail_until_ms:
            return False
        is_within = self.current.shares_bp.get(site, 0) * self.demand_rps <= cap.cap_rps * WHOLE_BP
        return self.signals[site] is Signal.SICK and is_within and load.serves_all

    def is_dead(self, site: SiteId) -> bool:
        return self.signals[site] is Signal.DEAD

    def may_be_alive(self, site: SiteId) -> bool:
        """Whether a site that checks call down may answer its users nevertheless: nobody counts what they get, and it does not
        refuse connections. It may only be the checks that are broken, or too slow for their timeout."""
        load, seen = self.loads.get(site), self.pools.get(site)
        is_counted = self.is_metered and (load is None or load.tells_answers)
        return not is_counted and seen is not None and seen.hardness is not Hardness.HARD

    def is_known(self, site: SiteId) -> bool:
        """Whether anything may change there on evidence: not while blind, in a fault of all sites, or without evidence."""
        return not (self.is_blind or self.is_global_fault or self.signals[site] is Signal.NO_EVIDENCE)

    def is_overloaded(self, site: SiteId) -> bool:
        """Whether a site that serves is in trouble by what is asked of it: it may give and may not receive."""
        return self.signals[site] is Signal.OVERLOADED and not self.away(site)

    def is_usable(self, member: Member) -> bool:
        """Whether a member may get traffic at all, as far as anybody knows. Unknown is not down (law 3)."""
        return member.id in self._usable

    @cached_property
    def _usable(self) -> frozenset[MemberId]:
        return frozenset(m.id for pool in self.service.pools for m in pool.members if self._may_get_traffic(m))

    def _may_get_traffic(self, member: Member) -> bool:
        if member.id in self.forced.depooled:
            return False
        if self.standing_of(member) is not Standing.DOWN:
            return True
        is_partial = member.site in self.answering and (
            self.signals[member.site] in (Signal.SICK, Signal.SUSPECTED) or self._is_vouched_for(member.site)
        )
        is_full = self.is_overloaded(member.site) or self._may_only_be_full(member)
        return ((is_partial or is_full) and self._is_swamped(member)) or self._answers_alone(member)

    def _may_only_be_full(self, member: Member) -> bool:
        """Whether a member that is down where nobody counts may only answer too late, and would make the others fail if it were
        taken out: it refuses no connection, and its pool has more than all its members carry; or none of it is well, and those
        that are not down could not carry what it has. One that is well beside it, in a pool with room, shows that it is not the
        load; and where a person has left in nobody but those that are down, the pool as a whole says nothing."""
        place, seen = self.service.pool_at(member.site), self.pools.get(member.site)
        if place is None or seen is None or not self.may_be_alive(member.site):
            return False
        if seen.members[member.id].hardness is Hardness.HARD:
            return False
        left = [m for m in place.members if m.id in self.current.members_pm and self.standing_of(m) is not Standing.DOWN]
        if not left and any(m.id in self.forced.depooled for m in place.actives):
            return False
        is_one_well = any(self.standing_of(m) is Standing.UP for m in left)
        able = place.actives if is_one_well else left
        return self._carrying_rps(self.current.shares_bp.get(member.site, 0)) > sum(m.capacity_rps for m in able)

    def _is_vouched_for(self, site: SiteId) -> bool:
        """Whether all active members of a pool fail their checks and it is not held to be down: its meter speaks for them
        (`judge.served`). Taken out they would leave what they answer to a few standbys."""
        place, seen = self.service.pool_at(site), self.pools.get(site)
        if place is None or seen is None or seen.standing not in (Standing.SUSPECT, Standing.DEGRADED):
            return False
        return all(self.standing_of(m) is Standing.DOWN for m in place.actives if m.id not in self.forced.depooled)

    def _answers_alone(self, member: Member) -> bool:
        """Whether a member that is down must be who answers, for nobody else could: all in use at its site are down, and real
        requests are answered there.

        So a member stands whose queue was full, when its site is not called overloaded any more and its own stream lags.
        """
        place, seen = self.service.pool_at(member.site), self.pools.get(member.site)
        if place is None or seen is None or member.site not in self.answering or member.id not in self.current.members_pm:
            return False
        if seen.members[member.id].hardness is Hardness.HARD:
            return False
        return self._is_down_in_use(place)

    def _is_down_in_use(self, pool: Pool) -> bool:
        """Whether all that serves for a pool is down; what a person took out does not speak for it."""
        in_use = [m for m in pool.members if m.id in self.current.members_pm and m.id not in self.forced.depooled]
        return all(self.standing_of(m) is Standing.DOWN for m in in_use)

    def _is_swamped(self, member: Member) -> bool:
        """Whether a member that is down is so by its full queue: most members are in trouble like it, and it still serves.

        One that was taken out stays out: what an overloaded site can carry must not hang on whether it is called so. Nor do
        those speak for it that a person took out: they are idle, and well.
        """
        place, seen = self.service.pool_at(member.site), self.pools.get(member.site)
        if place is None or seen is None or member.id not in self.current.members_pm:
            return False
        others = [m for m in place.actives if m.id not in self.forced.depooled]
        views = [view for m in others if (view := seen.members.get(m.id)) is not None]
        if seen.members[member.id].hardness is Hardness.HARD and any(view.hardness is not Hardness.HARD for view in views):
            return False
        troubled = sum(view.standing is not Standing.UP for view in views)
        return 2 * troubled >= len(views) or self._may_be_full_again(member.site)

    def _may_be_full_again(self, site: SiteId) -> bool:
        """Whether a capped site is asked more than it was quiet with, as far as is known, or was until just before.

        Then its queues fill, and empty, one after the other. Asked no more than that for longer, a member that is down alone
        is down."""
        cap, load = self.transition.cap_of(site), self.loads.get(site)
        if cap is None:
            return False
        is_just_relieved = self.now_ms - self.transition.moved_at_ms <= RECOVERY_MS
        return is_just_relieved or cap.is_settling(self.now_ms) or load is None or load.asked_mrps > cap.proven_rps * WHOLE_PM

    def standing_of(self, member: Member) -> Standing:
        pool = self.pools.get(member.site)
        view = pool.members.get(member.id) if pool else None
        return view.standing if view else Standing.UNKNOWN

    def weight_pm(self, member: Member) -> int:
        """A member's relative weight by goodput; shrinks with a degraded score, never by CPU (DESIGN §4).

        A weight that was shrunk stays until the score is `WEIGHT_SLACK_PM` off: a score wavers, and every change is a write.
        In a pool that is as full as the policy allows the others have no room for what one is spared.
        """
        pool = self.pools.get(member.site)
        view = pool.members.get(member.id) if pool else None
        if view is None or view.standing is not Standing.DEGRADED:
            return WHOLE_PM
        if self.is_overloaded(member.site) or member.site in self._full_sites:
            return WHOLE_PM
        present_pm = self.current.members_pm.get(member.id, WHOLE_PM)
        if present_pm < WHOLE_PM and abs(view.score_pm - present_pm) < WEIGHT_SLACK_PM:
            return present_pm
        return max(WEIGHT_STEP_PM, view.score_pm // WEIGHT_STEP_PM * WEIGHT_STEP_PM)

    @cached_property
    def _full_sites(self) -> frozenset[SiteId]:
        """The sites that have what their members in use carry within the utilisation limit, or more."""
        return frozenset(
            pool.site
            for pool in self.service.pools
            if self.current.shares_bp.get(pool.site, 0) * self.demand_rps * WHOLE_PM
            >= self._in_use_rps(pool) * self.policy.max_utilisation_pm * WHOLE_BP
        )

    def _in_use_rps(self, pool: Pool) -> int:
        return sum(m.capacity_rps for m in pool.members if m.id in self.current.members_pm)

    def active_rps(self, pool: Pool) -> int:
        """Capacity of the active members that may serve, scaled by their goodput."""
        return self._active_rps[pool.site]

    @cached_property
    def _active_rps(self) -> dict[SiteId, int]:
        return {pool.site: self._reckoned_rps(pool) for pool in self.service.pools}

    def _reckoned_rps(self, pool: Pool) -> int:
        active = [m for m in pool.actives if self.is_usable(m)]
        return sum([member.capacity_rps * self.weight_pm(member) // WHOLE_PM for member in active])

    def room_rps(self, pool: Pool) -> int:
        """What the open members can be *meant* to carry, proven standby and all: where a site is overloaded, less by what comes
        beyond its share.

        At least half: what comes may be the tail of our own last move.
        """
        open_rps = self.open_rps(pool)
        if not self.is_overloaded(pool.site):
            return open_rps
        known = self.transition.carrying.get(pool.site)
        on_trial = known if known is not None and known.is_on_trial(self.now_ms) else None
        if on_trial is None and self.is_put_to_the_proof(pool) and self.now_ms >= self.halving_ms:
            return min(open_rps, self._carrying_rps(self._halved_bp(pool)))
        carries_rps = open_rps
        load = self.loads.get(pool.site)
        if load is not None and load.is_full and not load.carries_less:
            carries_rps = open_rps * DRAINS_PM // self.policy.max_utilisation_pm
        elif load is not None and load.tells_answers:
            best_bp = load.best_mrps * DRAINS_PM // WHOLE_PM * WHOLE_BP // (1000 * max(1, self.demand_rps))
            carries_rps = min(open_rps, self._carrying_rps(min(WHOLE_BP, best_bp)))
        if on_trial is not None and (load is None or not load.is_full or load.carries_less):
            proven_bp = on_trial.proven_rps * WHOLE_BP // max(1, self.demand_rps)
            carries_rps = min(carries_rps, self._carrying_rps(min(WHOLE_BP, proven_bp)))
        if load is not None and load.serves_all:
            return max(carries_rps // 2, min(open_rps, self._carrying_rps(self.current.shares_bp.get(pool.site, 0))))
        if self.was_cut_in_this_row(pool.site) and not self._answers_less_than_its_cap(pool.site):
            return min(open_rps, self._carrying_rps(self.held_bp(pool)))
        return max(carries_rps - self.excess_rps.get(pool.site, 0), carries_rps // 2)

    def _answers_less_than_its_cap(self, site: SiteId) -> bool:
        """Whether a site was left with clearly more than it answers, for want of room elsewhere: it gives as soon as there is."""
        load, cap = self.loads.get(site), self.transition.cap_of(site)
        if load is None or cap is None or cap.cap_rps is None or not load.tells_answers:
            return False
        return load.best_mrps < cap.cap_rps * SURE_PM

    def had_lately_bp(self, site: SiteId) -> int:
        """The share it has, or had before the present row of moves, while old answers or the last moments hold that."""
        current_bp = self.current.shares_bp.get(site, 0)
        is_row = self.is_metered and self.now_ms <= max(self.transition.tail_until_ms, self.transition.moved_at_ms + ROW_MS)
        return max(current_bp, self.transition.cached_bp.get(site, 0)) if is_row else current_bp

    @cached_property
    def most_lost_pm(self) -> int:
        """The part of requests that the worst site which is being left loses: all of them at a dead one."""
        worst_pm = 0
        for site in self.service.sites:
            if not self.away(site) or self.current.shares_bp.get(site, 0) <= 0:
                continue
            seen = self.pools.get(site)
            if self.signals[site] is not Signal.SICK or seen is None:
                return WHOLE_PM
            worst_pm = max(worst_pm, WHOLE_PM - seen.served_pm)
        return worst_pm or WHOLE_PM

    def worth_filling_rps(self, pool: Pool) -> int:
        """The open capacity that may be planned with when a sick site's traffic looks for room, as the limit takes it.

        What the file says a site carries is not known to be so beyond what it carried: each per cent more is more likely to
        find it full, and then costs more than the errors it was to spare (the newsvendor's rule: fill until the chance of
        being full is what a request loses where it is). A site keeps what it has.
        """
        open_rps = self.open_rps(pool)
        fill_pm = SURE_PM + (UNSURE_PM - SURE_PM) * self.most_lost_pm // WHOLE_PM
        if fill_pm >= self.policy.max_utilisation_pm or self.demand_rps <= 0:
            return open_rps
        filled_rps = open_rps * fill_pm // self.policy.max_utilisation_pm
        return min(open_rps, max(filled_rps, self._carrying_rps(self.current.shares_bp.get(pool.site, 0))))

    def is_put_to_the_proof(self, pool: Pool) -> bool:
        """Whether a site is down and only presumed to be overloaded: it gets half as much, and half again, until it is well.

        An overloaded one recovers so, wherever its load comes from; a dead one is nearly left when the presumption ends.
        """
        if self.is_metered or self.demand_rps <= 0 or not self.is_overloaded(pool.site):
            return False
        seen = self.pools.get(pool.site)
        return seen is not None and (seen.standing is Standing.DOWN or self._is_down_in_use(pool))

    @property
    def halving_ms(self) -> int:
        """When the last move has shown what it brought."""
        return self.transition.moved_at_ms + HALVING_MS

    def _halved_bp(self, pool: Pool) -> int:
        """Half of its share, as far as others have room for it: nothing is shed for a proof."""
        current_bp = self.current.shares_bp.get(pool.site, 0)
        room_bp = sum(self._headroom_bp(other) for other in self.service.pools if other.site != pool.site)
        least_bp = max(current_bp // 2, pool.nominal_bp // LEAST_RELIEVED_DIVISOR)
        return max(least_bp, current_bp - max(0, room_bp - self.current.shed_bp))

    def _headroom_bp(self, pool: Pool) -> int:
        """How much more a well site may get."""
        if self.signals[pool.site] is not Signal.WELL or self.tracks[pool.site].life in (*AWAY, SiteLife.RETURNING):
            return 0
        most_bp = min(self.limit_bp(pool.site), self.held_bp(pool))
        return max(0, most_bp - self.current.shares_bp.get(pool.site, 0))

    def _carrying_rps(self, share_bp: int) -> int:
        """The capacity that carries a share within the utilisation limit."""
        return -(-share_bp * self.demand_rps * WHOLE_PM // (WHOLE_BP * self.policy.max_utilisation_pm))

    def held_bp(self, pool: Pool) -> int:
        """The most that a site may have after it failed under load; the whole where nothing caps it."""
        known = self.transition.carrying.get(pool.site)
        most_rps = known.most_rps(self.nameplate_rps(pool)) if known is not None else None
        if most_rps is None or self.demand_rps <= 0:
            return WHOLE_BP
        return min(WHOLE_BP, most_rps * WHOLE_BP // self.demand_rps)

    def is_capped(self, site: SiteId) -> bool:
        """Whether a site failed under load, and may not have all again yet."""
        return self.transition.cap_of(site) is not None

    @property
    def is_climbing(self) -> bool:
        """Whether a capped site is being given more and more: how that goes must be seen soon."""
        return any(known.cap_rps is not None and known.was_raised for known in self.transition.carrying.values())

    def held_rps(self, pool: Pool) -> int | None:
        """The capacity that carries what a capped site may have; None where nothing caps it."""
        held_bp = self.held_bp(pool)
        return self._carrying_rps(held_bp) if held_bp < WHOLE_BP else None

    def standby_rps(self, pool: Pool, phases: frozenset[StandbyPhase]) -> int:
        """Capacity of the standby members whose phase is one of ``phases``; a proven one that is down has none."""
        found_rps = 0
        for member in self.standby_members(pool):
            phase = self.phase(member)
            if phase in phases and (phase is not StandbyPhase.PROVEN or self.is_usable(member)):
                found_rps += member.capacity_rps
        return found_rps

    def open_rps(self, pool: Pool) -> int:
        """What may serve now: the active members and the proven standby."""
        return self._open_rps[pool.site]

    @cached_property
    def _open_rps(self) -> dict[SiteId, int]:
        proven = frozenset({StandbyPhase.PROVEN})
        return {pool.site: self.active_rps(pool) + self.standby_rps(pool, proven) for pool in self.service.pools}

    def nameplate_rps(self, pool: Pool) -> int:
        """What the file says of the members that people left in and the proven standby, however well they do."""
        actives_rps = sum(m.capacity_rps for m in pool.actives if m.id not in self.forced.depooled)
        return actives_rps + self.standby_rps(pool, frozenset({StandbyPhase.PROVEN}))

    def standby_members(self, pool: Pool) -> tuple[Member, ...]:
        depooled = self.forced.depooled
        return tuple(m for m in pool.standbys if m.id not in depooled) if depooled else pool.standbys

    def phase(self, member: Member) -> StandbyPhase:
        track = self.standbys.get(member.id)
        return track.phase if track else StandbyPhase.COLD

    def is_open(self, member: Member) -> bool:
        """Whether a member is one that traffic may be given to, whatever its checks say: active, or a standby that is ready."""
        return member.role is MemberRole.ACTIVE or self.phase(member) in (StandbyPhase.READY, StandbyPhase.PROVEN)

    def limit_bp(self, site: SiteId) -> int:
        """The largest share the site's open capacity carries within the utilisation limit."""
        pool = self.service.pool_at(site)
        return WHOLE_BP if pool is None else self.within_limit_bp(self.open_rps(pool))

    def within_limit_bp(self, capacity_rps: int) -> int:
        """The largest share that so much capacity carries within the utilisation limit."""
        if self.demand_rps <= 0:
            return WHOLE_BP
        return capacity_rps * self.policy.max_utilisation_pm * WHOLE_BP // (WHOLE_PM * self.demand_rps)

    def fits(self, site: SiteId, share_bp: int) -> bool:
        """Whether a share is within what a site's members in use carry when they are well, or its nominal one (law 7)."""
        pool = self.service.pool_at(site)
        if pool is None or share_bp <= pool.nominal_bp:
            return True
        return share_bp * self.demand_rps * WHOLE_PM <= self._in_use_rps(pool) * self.policy.max_utilisation_pm * WHOLE_BP

    def is_short_of_taken_out(self, site: SiteId) -> bool:
        """Whether a site gets more than its members carry without those that a person took out: then it gives for their sake."""
        pool = self.service.pool_at(site)
        if pool is None or not self.forced.depooled:
            return False
        left_rps = sum(m.capacity_rps for m in pool.actives if m.id not in self.forced.depooled)
        if left_rps == sum(m.capacity_rps for m in pool.actives):
            return False
        share_bp = self.current.shares_bp.get(site, 0)
        return share_bp * self.demand_rps * WHOLE_PM > left_rps * self.policy.max_utilisation_pm * WHOLE_BP

    def returning_bp(self, site: SiteId) -> int:
        """The share a returning site has on its present step of the ramp; less while it is relieved. While users are shed
        at least enough to prove soon that it is well."""
        pool = self.service.pool_at(site)
        nominal = pool.nominal_bp if pool else 0
        step = min(self.tracks[site].ramp_step, len(self.policy.ramp_bp) - 1)
        step_bp = max(1, nominal * self.policy.ramp_bp[step] // WHOLE_BP)
        if self.current.shed_bp:
            step_bp = max(step_bp, min(RAISE_BP, nominal // 4))
        return min(step_bp, self.held_bp(pool)) if pool else step_bp

    def serving_sites(self) -> tuple[SiteId, ...]:
        return tuple(
            site
            for site in self.service.sites
            if self.tracks[site].life in (SiteLife.SERVING, SiteLife.SUSPECT, SiteLife.RETURNING)
        )
