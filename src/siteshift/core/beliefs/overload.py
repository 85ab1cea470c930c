"""Overload is not a site failure: a site that sickens because of what is asked of it is kept, and relieved.

When a site dies, load balancers send its requests on to the survivors before anybody decides anything; the survivors
queue, slow down, answer 503. Leaving them for it takes down one site after the other (the cascade of every metastable
outage). What tells overload from failure is goodput: an overloaded site *answers about as much as it can*, of more than its
open capacity, or of less when it carries less than the file says (docs/adr/0020); a dead one answers nothing, however much a
load balancer tries. Where traffic is not measured, trouble that is not hard (nobody refuses connections) is presumed to be
overload for a while after another site of the service was lost or found too full, after all of them were in trouble alike,
or after the site itself was given more, or lost a member to a person's hand. The presumption is put to the proof: the site
gets half as much, and half again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from siteshift.core.beliefs.life import AWAY
from siteshift.core.beliefs.load import Load, load_of
from siteshift.core.judge.served import is_of_now
from siteshift.core.model.codes import DiagnosisCode, Hardness, LeftBecause, OverrideKind, SiteLife, Standing
from siteshift.core.model.evidence import Diagnosis, Picture, PoolPicture
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Pool, Service
from siteshift.core.model.units import WHOLE_PM, MemberId, ServiceId, SiteId
from siteshift.core.state.carrying import ANSWERING_PM, tells_saturated
from siteshift.core.state.controller_state import ControllerState

PRESUMED_MS = 20_000
"""How long after the loss of a sibling soft trouble is presumed to be overload: a standby is up and the shift settled."""
EARLIER_MS = 3_000
"""Load balancers send a dead site's requests on while its silence is still being confirmed."""
SHOWN_MS = 1_500
"""A move at a balancer is in the meter's windows after so long."""
RECOVERY_MS = 20_000
"""How long a site that was relieved may need to empty its queues and pass its probes again."""

STILL_FULL_MS = 60_000
"""So long that counts: a site that is as full as it is meant to be may be in trouble of its own."""
CLEARLY_PM = 1_100
"""Asked a tenth more than it carries a site is full, whatever its checks look like."""
SLIGHT_PM = 900
"""A site that answers nine in ten loses less than any step of relief that is worth a write."""
WAITING = frozenset({Hardness.SILENT, Hardness.SLOW})
"""How the checks of a pool look that has a queue. One that is sick errs, or is silent to all alike."""
THERE_PM = 500
"""A site that lost more than half of its capacity with its members is not overloaded but in ruins: it is left as far as others
can carry."""
SILENT_PM = 50
"""Who answers fewer than one in twenty is not there, whoever was lost before."""

_TROUBLED = (Standing.DOWN, Standing.DEGRADED)
_DOUBTED = (*_TROUBLED, Standing.SUSPECT)


class Reason(NamedTuple):
    """Why a site's trouble is its load, in words, and whether that load is measured or presumed."""

    text: str
    is_measured: bool


def with_overloads(picture: Picture, state: ControllerState, setup: Setup, now_ms: int) -> Picture:
    """The picture with an `OVERLOAD` for each service at a site whose trouble is its load.

    Suspicion is enough where the load is measured. What all sites of a service have in common may be their load: then the
    cause is known, and it is no global fault that nothing can be done about.
    """
    found: list[Diagnosis] = []
    too_much: set[ServiceId] = set()
    for service in setup.topology.services:
        reasons = _reasons(picture, state, setup, service, now_ms)
        if service.id in picture.global_fault and _explains_all(picture, state, service, reasons):
            too_much.add(service.id)
        found += [
            Diagnosis(
                code=DiagnosisCode.OVERLOAD,
                since_ms=_since_ms(state.picture, service.id, site, now_ms),
                reason=f"{service.id} at {site} is in trouble because {reason.text}; it is kept",
                site=site,
                service=service.id,
            )
            for site, reason in reasons.items()
        ]
    if not found:
        return picture
    kept = (e for e in picture.diagnoses if e.code is not DiagnosisCode.GLOBAL_FAULT or e.service not in too_much)
    return replace(picture, diagnoses=(*kept, *found), global_fault=picture.global_fault - too_much)


def _reasons(
    picture: Picture, state: ControllerState, setup: Setup, service: Service, now_ms: int
) -> dict[SiteId, Reason]:
    """By site. One that is being left was found sick or dead before: what still comes there meets what is left of it.

    Unless all are: then those that answer serve as the last resort, and may be asked for too much as anybody else.
    """
    found: dict[SiteId, Reason] = {}
    lives = {site: state.track(service.id, site).life for site in service.sites}
    is_last_resort = all(life in AWAY for life in lives.values())
    troubled = [
        (pool, seen)
        for pool in service.pools
        if (is_last_resort or lives[pool.site] not in AWAY or _is_half_left(state, pool, now_ms))
        and (seen := _as_used(state, pool, picture.pools.get((service.id, pool.site)), now_ms)) is not None
        and seen.standing in (*_TROUBLED, Standing.SUSPECT)
    ]
    is_surge = any(_is_brimming(load_of(state, setup, service, pool, now_ms)) for pool, _ in troubled)
    for pool, seen in troubled:
        reason = _why(state, setup, service, pool, seen, is_surge=is_surge, now_ms=now_ms)
        if reason is None and service.id not in setup.metered:
            reason = _presumed(picture, state, pool, seen, now_ms)
        if reason is not None:
            found[pool.site] = reason
    return found


def _is_half_left(state: ControllerState, pool: Pool, now_ms: int) -> bool:
    """Whether a site was left as sick as far as there was room, and what still comes there is what was meant to stay."""
    track, transition = state.track(pool.service, pool.site), state.transition(pool.service)
    is_sick = track.life is SiteLife.DRAINING and track.left_because is LeftBecause.SICK
    is_shown = now_ms >= max(transition.tail_until_ms, transition.moved_at_ms + SHOWN_MS)
    return is_sick and is_shown and state.steering_share(pool.service, pool.site) > 0


def _is_brimming(load: Load | None) -> bool:
    return load is not None and load.is_full and load.answers(ANSWERING_PM)


def _explains_all(
    picture: Picture, state: ControllerState, service: Service, reasons: Mapping[SiteId, Reason]
) -> bool:
    """Whether every site in trouble that serves, or still has a share, is measured to be overloaded; or down, where one that is
    overloaded is not: its users are answered, so what is down has not the same fault.

    A node that does not lead may know old shares only.
    """
    serving = [s for s in service.sites if state.steering_share(service.id, s) > 0 or state.track(service.id, s).life not in AWAY]
    standings = {site: picture.pools[(service.id, site)].standing for site in serving}
    bad = {site for site, standing in standings.items() if standing in _TROUBLED}
    full = {site for site in bad if site in reasons and reasons[site].is_measured}
    if full == bad:
        return bool(full)
    is_one_answered = any(standings[site] is not Standing.DOWN for site in full)
    return is_one_answered and all(standings[site] is Standing.DOWN for site in bad - full)


def _since_ms(before: Picture, service: ServiceId, site: SiteId, now_ms: int) -> int:
    named = before.overload_of(service, site)
    return named.since_ms if named is not None else now_ms


def _why(
    state: ControllerState, setup: Setup, service: Service, pool: Pool, seen: PoolPicture, *, is_surge: bool, now_ms: int
) -> Reason | None:
    """Why its trouble is its load; None when it is not.

    Where a meter tells what users get, that decides (`_carries_less`). Else: the users of a sick site try again as those of a
    dead one do, and a dead one that relapses on its way back is left as sick. But a survivor that only sickens then has its last
    step undone; so that is enough for one that goes down, or when the lost one comes and goes.

    In a surge, when a sibling is measured to be overloaded, chance need not be ruled out once more: demand that fills one
    site is on its way to fill the next, and what was measured is a second old.
    """
    load = load_of(state, setup, service, pool, now_ms)
    if load is not None and not is_of_now(load.at_ms, load.window_ms, now_ms):
        load = None  # it may have died since, and its meter with it
    if load is not None and load.capacity_rps * WHOLE_PM < _configured_rps(pool) * THERE_PM:
        return None
    was_named = state.picture.overload_of(service.id, pool.site) is not None
    if seen.hardness is Hardness.HARD and (load is None or not load.answers(ANSWERING_PM)):
        return None  # refused connections are no queue, unless real requests are seen to be answered
    if load is not None and load.answers(ANSWERING_PM):
        was_named_ms = now_ms - _since_ms(state.picture, service.id, pool.site, now_ms) if was_named else STILL_FULL_MS
        is_expected = is_surge or was_named_ms < STILL_FULL_MS or _is_relieved(state, service.id, pool.site, now_ms)
        if _looks_full(seen, load) and (load.is_full or (load.is_still_full and is_expected)):
            return Reason(f"it is asked {load.asked_mrps // 1000} of {load.capacity_rps} requests/s", is_measured=True)
        may_recover = load.serves_all or not load.tells_answers
        if was_named and may_recover and _recovers(state, service.id, pool.site, now_ms):
            return Reason("it was asked for too much just before", is_measured=True)
        if load.is_proven_well and _was_relieved_just_before(state, service.id, pool.site, now_ms):
            return Reason("it was found full just before, and its users are answered", is_measured=True)
        if load.tells_answers and (why := _carries_less(state, pool, seen, load, now_ms, was_named=was_named)) is not None:
            return Reason(why, is_measured=True)
    if load is not None and load.tells_answers:
        return None
    if seen.standing is Standing.SUSPECT or (load is not None and not load.answers(SILENT_PM)):
        return None
    is_down = seen.standing is Standing.DOWN
    for site in service.sites:
        lost = state.track(service.id, site)
        is_grave = is_down or lost.flaps > 0
        is_lost = lost.left_because is LeftBecause.DEAD or (is_grave and lost.left_because is LeftBecause.SICK)
        is_recent = is_lost and now_ms - lost.left_at_ms <= PRESUMED_MS
        if site != pool.site and is_recent and lost.left_at_ms - EARLIER_MS <= seen.since_ms:
            return Reason(f"{site} was lost just before", is_measured=False)
    return None


def _looks_full(seen: PoolPicture, load: Load) -> bool:
    """Whether what fails looks like a queue: its checks wait, or it is asked clearly more than it carries; and it works hard.

    Little more asked, answered with a few errors at once, is a site that errs and happens to be busy.
    """
    if load.tells_answers and seen.hardness not in WAITING and load.asked_mrps < load.capacity_rps * CLEARLY_PM:
        return False
    return load.is_worked_hard


def _carries_less(
    state: ControllerState, pool: Pool, seen: PoolPicture, load: Load, now_ms: int, *, was_named: bool
) -> str | None:
    """Why it may be full below what the file says it carries; None when it is sick, or nothing says which.

    One load cannot tell full from sick. What can is a second load: what it failed at before, and what it answers of less. And
    one that was just given more, or has more than it failed at before, is more likely full than sick.
    """
    if load.serves_all:
        return None
    transition = state.transition(pool.service)
    known = transition.carrying.get(pool.site)
    asked_rps, answered_rps = load.asked_mrps // 1000, load.answered_mrps // 1000
    is_on_trial = known is not None and known.is_on_trial(now_ms)
    if known is not None and not is_on_trial and not known.is_over(now_ms):
        if now_ms < max(transition.tail_until_ms, transition.moved_at_ms + SHOWN_MS):
            return "it was found full, and what it was given since is not seen yet" if was_named else None
        is_full = tells_saturated(known, asked_rps, answered_rps)
        if is_full:
            return f"of {asked_rps} requests/s it answers as many as of {known.failed_rps}"
        if is_full is not None:
            return None
    if seen.standing is Standing.SUSPECT:
        return None
    is_near = transition.cap_of(pool.site) is not None and known is not None and asked_rps * 10 >= known.failed_rps * 9
    was_given = _gained(state, pool.service, pool.site, seen.since_ms, now_ms)
    waits = seen.hardness in WAITING
    if not waits:
        has_more = was_given and state.steering_share(pool.service, pool.site) > pool.nominal_bp
        is_as_good = known is not None and is_on_trial and answered_rps * 10 >= known.proven_rps * 9
        is_slight = answered_rps * WHOLE_PM >= asked_rps * SLIGHT_PM  # to take a tenth off it would cost more than they do
        if is_slight or not (has_more or is_as_good):
            return None  # full it would answer what it was proven to carry, or have been given more than its own share
    if known is not None and (is_on_trial or is_near):
        return f"it failed at {known.failed_rps} requests/s before"
    troubled = sum(view.standing in _DOUBTED for view in seen.members.values())
    if waits and 2 * troubled > len(seen.members):
        return f"its checks wait, and of {asked_rps} requests/s it answers {answered_rps}"
    is_on_its_way_back = state.track(pool.service, pool.site).life is SiteLife.RETURNING
    if is_on_its_way_back or was_given:
        return "it was given more just before"
    return None


def _presumed(picture: Picture, state: ControllerState, pool: Pool, seen: PoolPicture, now_ms: int) -> Reason | None:
    """Why it may be the load where nobody counts requests; for a while, in which it gets less and less and should recover."""
    service, site = pool.service, pool.site
    if seen.hardness is Hardness.HARD or seen.standing is Standing.SUSPECT:
        return None
    named = state.picture.overload_of(service, site)
    if named is not None and now_ms - named.since_ms <= PRESUMED_MS:
        return Reason("it was taken for overloaded just before", is_measured=False)
    if seen.standing is not Standing.DOWN:
        return None
    if _gained(state, service, site, seen.since_ms, now_ms):
        return Reason("it was given more just before", is_measured=False)
    if _was_cut(state, pool, seen.since_ms, now_ms):
        return Reason("a person took out one of its members just before", is_measured=False)
    if service in state.alike_until_ms and service not in picture.global_fault:
        return Reason("all sites were in trouble alike just before", is_measured=False)
    if (sibling := _full_sibling(state, pool, seen.since_ms, now_ms)) is not None:
        return Reason(f"{sibling} is asked for too much, and its users try again elsewhere", is_measured=False)
    return None


def _full_sibling(state: ControllerState, pool: Pool, since_ms: int, now_ms: int) -> SiteId | None:
    """Another site that was found to be asked for too much just before trouble began here."""
    for named in state.picture.diagnoses:
        is_sibling = named.code is DiagnosisCode.OVERLOAD and named.service == pool.service and named.site != pool.site
        if is_sibling and named.since_ms - EARLIER_MS <= since_ms and now_ms - named.since_ms <= PRESUMED_MS:
            return named.site
    return None


def _is_relieved(state: ControllerState, service: ServiceId, site: SiteId, now_ms: int) -> bool:
    """Whether it still settles after a relief: it may look well for a second and be as full in the next."""
    cap = state.transition(service).cap_of(site)
    return cap is not None and not cap.is_over(now_ms)


def _was_relieved_just_before(state: ControllerState, service: ServiceId, site: SiteId, now_ms: int) -> bool:
    """Whether it has a cap, and was given less so lately that checks may still wait in its queues, or remember that they did."""
    transition, cap = state.transition(service), state.transition(service).cap_of(site)
    if cap is None:
        return False
    return cap.is_settling(now_ms) or now_ms - transition.moved_at_ms <= RECOVERY_MS


def _as_used(state: ControllerState, pool: Pool, seen: PoolPicture | None, now_ms: int) -> PoolPicture | None:
    """The pool as its users see it: what stands for it is down when all are that a person left in."""
    taken_ms = _taken_out_ms(state, pool, now_ms)
    if seen is None or not taken_ms or seen.standing in _TROUBLED:
        return seen
    current = state.steering.of(pool.service)
    in_use = current.members_pm.keys() - taken_ms.keys() if current is not None else set()
    views = [view for member, view in seen.members.items() if member in in_use]
    if not views or any(view.standing is not Standing.DOWN for view in views):
        return seen
    hardness = Hardness.HARD if any(view.hardness is Hardness.HARD for view in views) else Hardness.SILENT
    return replace(seen, standing=Standing.DOWN, hardness=hardness, since_ms=max(view.since_ms for view in views))


def _was_cut(state: ControllerState, pool: Pool, since_ms: int, now_ms: int) -> bool:
    """Whether trouble began soon after a person took a member out: caches bring the share that was meant for all of them."""
    taken_ms = _taken_out_ms(state, pool, now_ms).values()
    return any(created_ms <= since_ms and now_ms - created_ms <= PRESUMED_MS for created_ms in taken_ms)


def _taken_out_ms(state: ControllerState, pool: Pool, now_ms: int) -> dict[MemberId, int]:
    """When a person took which of the pool's members out; without those that may serve again."""
    if not state.overrides:
        return {}
    members = {member.id for member in pool.members}
    return {
        entry.member: entry.created_ms
        for entry in state.overrides
        if entry.kind is OverrideKind.DEPOOL and entry.member in members and entry.expires_ms > now_ms
    }


def _gained(state: ControllerState, service: ServiceId, site: SiteId, since_ms: int, now_ms: int) -> bool:
    """Whether trouble began soon after a move gave the site more. On its way back a site is not yet known to be well."""
    transition = state.transition(service)
    if not transition.cached_bp or state.track(service, site).life is SiteLife.RETURNING:
        return False
    is_soon = transition.cached_ms <= since_ms and now_ms - transition.moved_at_ms <= PRESUMED_MS
    return is_soon and state.steering_share(service, site) > transition.cached_bp.get(site, 0)


def _recovers(state: ControllerState, service: ServiceId, site: SiteId, now_ms: int) -> bool:
    """Whether it was called overloaded, was full, or was given less so lately that its queues may still be full."""
    since_ms = _since_ms(state.picture, service, site, now_ms)
    full_ms = state.full_at_ms.get((service, site), 0)
    return now_ms - max(since_ms, full_ms, state.transition(service).moved_at_ms) <= RECOVERY_MS


def _configured_rps(pool: Pool) -> int:
    return sum(member.capacity_rps for member in pool.actives)


def full_lately(state: ControllerState, setup: Setup, now_ms: int) -> Mapping[tuple[ServiceId, SiteId], int]:
    """When each site that is called overloaded was last seen to be full. Caches may fill it long after it was relieved, and a
    member that comes back does not empty the queue of the one that was there."""
    found: dict[tuple[ServiceId, SiteId], int] = {}
    for named in state.picture.diagnoses:
        if named.code is not DiagnosisCode.OVERLOAD or named.service is None or named.site is None:
            continue
        key = (named.service, named.site)
        load = load_of(state, setup, setup.topology.service_by_id[named.service], setup.topology.pools[key], now_ms)
        if load is not None and load.is_still_full:
            found[key] = load.at_ms
        elif key in state.full_at_ms:
            found[key] = state.full_at_ms[key]
    return found
