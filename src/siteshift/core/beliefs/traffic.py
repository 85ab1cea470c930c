"""Seen traffic: smoothed rates per service and site, and the demand they amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from siteshift.core.judge.served import WELL_PM, Served, to_the_good
from siteshift.core.messages.events import SeenTraffic, TrafficMeasured
from siteshift.core.model.codes import Standing
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM, ServiceId, SiteId, part_way
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import DemandTrack, TrafficTrack

SMOOTHING_MS = 4_000
"""Time constant of the demand estimate: Poisson noise at 300 requests/s stays at 2 %, a surge is known in seconds."""
LEARNING_MS = 60_000
"""So long the configured demand is a floor: a measurement that has just begun has seen no peak yet."""
PEAK_MS = 300_000
"""The demand used is the highest of the last five minutes: a crash must not look like less demand."""
WASHED_OUT_MS = 5 * SMOOTHING_MS
"""So long after trouble the smoothed rates still hold what was tried again in it: less than a hundredth of it is left then."""
PILED_UP_MS = 1_000
"""What a site shows first is no rate: all that piled up while nobody answered there, or while we did not (a restart of the
embedded DNS), is counted in its first windows."""
HEARD_MS = PILED_UP_MS + SMOOTHING_MS
"""So long a site has to be heard before what comes there counts as demand."""
BEST_MS = 3_000
"""What a full site can do is the most it answered in a window of the last three seconds (the windowed maximum of BBR's delivery
rate, draft-ietf-ccwg-bbr): thrashing, and a queue that empties, make single windows low or high."""
STALL_MS = 1_500
"""A pool that answers less than it is asked for longer than this does not only stand still for a moment (a pause of 1 s, every
3 s, was seen)."""
TELLING_REQUESTS = 20
"""One request without an answer is chance among so many: a twentieth of them is one, and it may be under way."""
FRESH_MS = 5_000
"""A measurement older than this says nothing about now."""

_TROUBLED = (Standing.DOWN, Standing.DEGRADED)
_DOUBTED = (*_TROUBLED, Standing.SUSPECT)


def absorb_traffic(draft: Draft, event: TrafficMeasured) -> bool:
    """Update rates and peaks. True when demand changed, or what users get may say whether a pool in doubt is dead."""
    known = draft.state.demand
    traffic = dict(draft.state.traffic)
    windows_ms: dict[ServiceId, int] = {}
    for sample in event.seen:
        service, key = sample.service, (sample.service, sample.site)
        window_ms = max(1, sample.window_ms)
        traffic[key] = _smoothed(traffic.get(key), sample, window_ms, event.at_ms)
        windows_ms[service] = max(window_ms, windows_ms.get(service, 1))
    changed: dict[ServiceId, DemandTrack] = {}
    for service, window_ms in windows_ms.items():
        before = known.get(service)
        track = _demand_after(draft, service, traffic, window_ms, event.at_ms)
        if track is not None and track is not before:
            changed[service] = track
    draft.set(traffic=traffic)
    if changed:
        draft.set(demand={**known, **changed})
    if any(service not in known or known[service].peak_rps != track.peak_rps for service, track in changed.items()):
        return True
    is_calm = not any(standing in _DOUBTED for standing in draft.state.picture.sites.values())
    return not is_calm and any(_is_in_doubt(draft.state, sample) for sample in event.seen)


def _is_in_doubt(state: ControllerState, sample: SeenTraffic) -> bool:
    """Whether a pool that users are sent to is in trouble. Of one that was left the next sweep is soon enough."""
    pool = state.picture.pools.get((sample.service, sample.site))
    return pool is not None and pool.standing in _DOUBTED and state.steering_share(sample.service, sample.site) > 0


def _demand_after(
    draft: Draft, name: ServiceId, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack], window_ms: int, now_ms: int
) -> DemandTrack | None:
    """The demand of a service after a measurement: in trouble, and as long as that lasts in the means, it stays what it was."""
    before = draft.state.demand.get(name)
    service = draft.setup.topology.service_by_id[name]
    if _is_troubled(draft.state, service):
        return replace(before, troubled_at_ms=now_ms) if before is not None else None
    if before is not None and before.troubled_at_ms and now_ms - before.troubled_at_ms <= WASHED_OUT_MS:
        return before
    return _demand_of(draft, service, traffic, window_ms, now_ms)


def served_lately(state: ControllerState, metered: frozenset[ServiceId], key: tuple[ServiceId, SiteId]) -> Served | None:
    """What users got in the last window of a pool; None where no meter sees that."""
    track = state.traffic.get(key)
    if track is None or not track.tells_answers or key[0] not in metered:
        return None
    asked, answered = (_counted(rate, track.window_ms) for rate in (track.asked_mrps, track.answered_mrps))
    return Served(track.at_ms, track.window_ms, asked, answered, track.to_the_good)


def _counted(rate_mrps: int, window_ms: int) -> int:
    """How many were counted in a window: its rate was rounded down, and by less than one."""
    return -(-rate_mrps * window_ms // 1_000_000)


def _is_troubled(state: ControllerState, service: Service) -> bool:
    """While a pool is down or degraded a load balancer may try requests twice: what it counts may not be demand.

    Where the trouble is the load itself, it is.
    """
    picture = state.picture
    for site in service.sites:
        pool = picture.pools.get((service.id, site))
        if pool is None or pool.standing not in _TROUBLED:
            continue
        if picture.overload_of(service.id, site) is None and state.steering_share(service.id, site) > 0:
            return True
    return False


def _demand_of(
    draft: Draft,
    service: Service,
    traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack],
    window_ms: int,
    now_ms: int,
) -> DemandTrack | None:
    """The demand now. Sites that nobody measures just now are unknown, not idle: then it may rise and not fall.

    What they had when they were last measured does not count either: it comes in elsewhere by now (a dead site's users).
    Nor does what they show first when they begin to be heard, or are heard again (`HEARD_MS`).
    """
    seen_mrps = heard = 0
    for site in service.sites:
        track = traffic.get((service.id, site))
        if track is None or now_ms - track.at_ms >= window_ms:
            continue
        if now_ms - track.since_ms < HEARD_MS:
            continue
        seen_mrps += track.demand_mrps
        heard += 1
    before = draft.state.demand.get(service.id)
    is_answered_apart = draft.setup.answers_shed(service)
    total_rps = _with_shed(draft.state, service.id, seen_mrps, before) if is_answered_apart else (seen_mrps + 500) // 1000
    total_rps = max(total_rps, _behind_shares(draft.state, service, traffic, now_ms))
    served_ms = _served_ms(draft.state, service, traffic, now_ms)
    if before is not None and before.calm_rps and served_ms >= SMOOTHING_MS:
        before = _without_tries(before, total_rps, served_ms, now_ms)
    if heard < len(service.sites):
        if before is None or total_rps <= before.peak_rps:
            return before
        before = replace(before, peak_at_ms=now_ms)
    after = _peak(before, total_rps, now_ms)
    if before is not None and after.peak_rps > before.peak_rps and served_ms < SMOOTHING_MS and not after.calm_rps:
        return replace(after, calm_rps=before.peak_rps)
    return after


def _served_ms(
    state: ControllerState, service: Service, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack], now_ms: int
) -> int:
    """For how long all who ask where they are sent have been answered, since old answers of the last move are over: then nobody
    has a reason to ask twice, and what is counted is what the shares say."""
    current, transition = state.steering.of(service.id), state.transition(service.id)
    since_ms = now_ms - max(transition.moved_at_ms, transition.tail_until_ms)
    sites = [site for site in service.sites if current is None or current.shares_bp.get(site, 0)]
    tracks = [traffic.get((service.id, site)) for site in sites]
    served_ms = [t.serving_ms if t is not None and now_ms - t.at_ms <= FRESH_MS else 0 for t in tracks]
    return max(0, min(since_ms, min(served_ms, default=0)))


def _without_tries(before: DemandTrack, total_rps: int, served_ms: int, now_ms: int) -> DemandTrack:
    """The peak once users need not try again: what is counted now, and no less than before they began to. What they tried in
    between is no demand, and would be shed for as long as a peak is remembered."""
    is_over = served_ms >= WASHED_OUT_MS
    peak_rps = min(before.peak_rps, max(total_rps, before.calm_rps))
    if not is_over and before.peak_rps - peak_rps < max(1, before.peak_rps // 50):
        return before
    return replace(before, peak_rps=peak_rps, peak_at_ms=now_ms, calm_rps=0 if is_over else before.calm_rps)


def _with_shed(state: ControllerState, service: ServiceId, seen_mrps: int, before: DemandTrack | None) -> int:
    """The demand in requests/s, to the nearest, with what is shed by an answer of its own: that reaches no site.

    Where it is counted (by a dead site's load balancer), or not yet shed (old caches), the sum would be too much: so
    what is reckoned on top may keep the estimate up, and never raises it. Only for services whose shed part has such an answer:
    else it comes in at a site that counts it, and the demand of a retry storm would be believed for as long as the storm that
    this very shedding feeds.
    """
    current = state.steering.of(service)
    seen_rps = (seen_mrps + 500) // 1000
    if current is None or before is None or not 0 < current.shed_bp < WHOLE_BP:
        return seen_rps
    with_shed_mrps = seen_mrps * WHOLE_BP // (WHOLE_BP - current.shed_bp)
    return max(seen_rps, min(before.peak_rps, (with_shed_mrps + 500) // 1000))


def _behind_shares(
    state: ControllerState, service: Service, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack], now_ms: int
) -> int:
    """The least demand, requests/s, that explains what comes to the serving sites while a part is shed by an answer.

    What is shed reaches nobody who counts; so demand that grows meanwhile would never be known, and each site that
    recovers would be given a share of it that it cannot carry. What comes is at most the part that present answers or those
    in caches send, or those before the last move while they are in the means, and only sites that have a share count: at others
    it is the rest of old answers.
    """
    current, transition = state.steering.of(service.id), state.transition(service.id)
    if current is None or not service.shed_answers or not 0 < current.shed_bp < WHOLE_BP:
        return 0
    serving = [site for site, bp in current.shares_bp.items() if bp]
    tracks = [traffic.get((service.id, site)) for site in serving]
    if any(track is None or now_ms - track.at_ms > FRESH_MS for track in tracks):
        return 0
    in_caches_bp = sum(transition.cached_bp.values()) if now_ms <= transition.tail_until_ms + WASHED_OUT_MS else 0
    before_bp = sum((transition.undo_bp or {}).values()) if now_ms <= transition.moved_at_ms + WASHED_OUT_MS else 0
    sent_bp = max(sum(current.shares_bp.values()), in_caches_bp, before_bp)
    return sum(track.demand_mrps for track in tracks if track is not None) * WHOLE_BP // (sent_bp * 1000)


def _part_pm(window_ms: int, of_ms: int) -> int:
    """What one window is of a mean over so long; of a mean that has just begun, its part of what was counted so far."""
    return min(WHOLE_PM, window_ms * WHOLE_PM // of_ms)


def _smoothed(before: TrafficTrack | None, sample: SeenTraffic, window_ms: int, now_ms: int) -> TrafficTrack:
    """The rates with one more window. The mean of demand leaves out what piled up before the site was heard, and what it had
    before a silence: its users came in elsewhere meanwhile. A meter that counted nobody for seconds may have told an old page
    again and again: then it counts all of that at once."""
    now_mrps = sample.requests * 1_000_000 // window_ms
    asked_mrps = max(0, sample.requests - sample.passed_on) * 1_000_000 // window_ms
    answered = sample.requests - sample.errors if sample.answered is None else sample.answered
    answered_mrps = max(0, answered) * 1_000_000 // window_ms
    rate_mrps, demand_mrps, since_ms = now_mrps, 0, now_ms
    silent_ms = 0 if sample.requests else window_ms + (before.silent_ms if before is not None else 0)
    was_silent = before is not None and before.silent_ms > FRESH_MS and sample.requests > 0
    if before is not None and now_ms - before.at_ms <= FRESH_MS and not was_silent:
        since_ms = before.since_ms
        counted_ms = now_ms - since_ms - PILED_UP_MS
        rate_mrps = before.rate_mrps + (now_mrps - before.rate_mrps) * _part_pm(window_ms, SMOOTHING_MS) // WHOLE_PM
        if counted_ms > 0:
            part_pm = _part_pm(window_ms, min(counted_ms, SMOOTHING_MS))
            demand_mrps = before.demand_mrps + (asked_mrps - before.demand_mrps) * part_pm // WHOLE_PM
    failing_ms = serving_ms = 0
    is_going_on = before is not None and now_ms - before.at_ms <= FRESH_MS
    if answers_all(asked_mrps, answered_mrps, window_ms):
        serving_ms = window_ms + (before.serving_ms if before is not None and is_going_on else 0)
    else:
        failing_ms = window_ms + (before.failing_ms if before is not None and is_going_on else 0)
    best_mrps, best_at_ms = answered_mrps, now_ms
    if before is not None and before.best_mrps > answered_mrps and _is_best_still(before, failing_ms, now_ms):
        best_mrps, best_at_ms = before.best_mrps, before.best_at_ms
    good = before.to_the_good if before is not None and is_going_on else 0
    tells = sample.answered is not None
    return TrafficTrack(
        at_ms=now_ms,
        rate_mrps=rate_mrps,
        last_mrps=now_mrps,
        window_ms=window_ms,
        asked_mrps=asked_mrps,
        answered_mrps=answered_mrps,
        demand_mrps=demand_mrps,
        since_ms=since_ms,
        tells_answers=tells,
        best_mrps=best_mrps,
        best_at_ms=best_at_ms,
        failing_ms=failing_ms,
        serving_ms=serving_ms,
        silent_ms=silent_ms,
        to_the_good=to_the_good(good, sample.requests - sample.passed_on, answered),
    )


def answers_all(asked_mrps: int, answered_mrps: int, window_ms: int) -> bool:
    """Whether users got what they asked for in a window: nearly all of it, or all but one request that is still under way."""
    if answered_mrps * WHOLE_PM >= asked_mrps * WELL_PM:
        return True
    one = 1_000_000  # a request, as a rate x 1000 times the ms in which it was counted
    lacking, asked = (asked_mrps - answered_mrps) * window_ms, asked_mrps * window_ms
    return lacking <= one and asked >= TELLING_REQUESTS * one


def _is_best_still(before: TrafficTrack, failing_ms: int, now_ms: int) -> bool:
    """Whether the most that was answered lately still says what a site carries: not once it fails for longer than a stall, and
    answered that before."""
    is_since = failing_ms < STALL_MS or now_ms - before.best_at_ms < failing_ms
    return is_since and now_ms - before.best_at_ms <= BEST_MS


def _peak(before: DemandTrack | None, total_rps: int, now_ms: int) -> DemandTrack:
    """Highest total of the last minutes, in steps of 2 % so that noise is not news."""
    if before is None:
        return DemandTrack(peak_rps=total_rps, peak_at_ms=now_ms, since_ms=now_ms)
    if now_ms - before.peak_at_ms > PEAK_MS:
        return replace(before, peak_rps=total_rps, peak_at_ms=now_ms)
    if total_rps >= before.peak_rps + max(1, before.peak_rps // 50):
        return replace(before, peak_rps=total_rps, peak_at_ms=now_ms)
    return before


def demand_rps(state: ControllerState, service: Service, metered: frozenset[ServiceId]) -> int:
    """What to plan for: the measured peak where traffic is metered and some was seen, else the configured demand."""
    track = state.demand.get(service.id)
    if service.id not in metered or track is None or track.peak_rps == 0:
        return service.demand_rps
    is_learning = track.peak_at_ms - track.since_ms < LEARNING_MS
    return max(track.peak_rps, service.demand_rps) if is_learning else track.peak_rps


def delivered_bp(state: ControllerState, service: ServiceId, now_ms: int) -> Mapping[SiteId, int]:
    """By which parts users come now: the shares, and until the TTL is over what caches still hold of older ones, evenly less."""
    entry, transition = state.steering.of(service), state.transition(service)
    if entry is None:
        return {}
    shares_bp, cached_bp = entry.shares_bp, transition.cached_bp
    if not cached_bp or now_ms >= transition.tail_until_ms:
        return shares_bp
    span_ms = max(1, transition.tail_until_ms - transition.cached_ms)
    part_bp = max(0, now_ms - transition.cached_ms) * WHOLE_BP // span_ms
    old = [cached_bp.get(site, 0) for site in shares_bp]
    return dict(zip(shares_bp, part_way(old, list(shares_bp.values()), part_bp), strict=True))


def seen_bp(state: ControllerState, service: Service, now_ms: int) -> dict[SiteId, int] | None:
    """The parts of the traffic seen now, by site; None when nothing fresh was measured.

    A site that is not there is unknown, not zero: its page or load balancer may have died with it.
    """
    return _parts(state, service, now_ms, lambda track: track.last_mrps)


def settled_bp(state: ControllerState, service: Service, now_ms: int) -> dict[SiteId, int] | None:
    """The same over the last seconds (`SMOOTHING_MS`): one empty half second does not make a drain complete."""
    return _parts(state, service, now_ms, lambda track: track.rate_mrps)


def first_heard_by_ms(state: ControllerState) -> int:
    """Until then nobody can say of a site whose traffic is measured that none comes: we have only just begun to listen."""
    return state.started_ms + FRESH_MS


def _parts(
    state: ControllerState, service: Service, now_ms: int, rate: Callable[[TrafficTrack], int]
) -> dict[SiteId, int] | None:
    rates = {
        site: rate(track)
        for site in service.sites
        if (track := state.traffic.get((service.id, site))) is not None and now_ms - track.at_ms <= FRESH_MS
    }
    total = sum(rates.values())
    if not rates or total == 0:
        return None
    return {site: found * WHOLE_BP // total for site, found in rates.items()}
