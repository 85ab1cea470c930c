"""What laws 2, 5 and 16 ask of conduct over time: a step soaks, a hold-down holds, a request touches what it names, and
what stands in the way of a move is told and journalled once.

Each is judged on one step, from the state before it and the state after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.commands import Record, Tell
from siteshift.core.messages.events import Asked
from siteshift.core.messages.requests import LiftRequest, PoolRequest, UndrainRequest
from siteshift.core.model.codes import Failback, LeftBecause, OverrideKind, SiteLife
from siteshift.core.model.notice import AlertState
from siteshift.core.model.override import Override
from siteshift.core.model.topology import Service
from siteshift.core.model.units import SiteId
from siteshift.core.state.tracks import SiteTrack

_AWAY = (SiteLife.DRAINING, SiteLife.DRAINED)


def steps_soak(p: Passage) -> Iterator[Violation]:
    """Law 2: a returning site goes up one step at a time, and none before the present one has soaked."""
    for service, site, was, now in _changed_tracks(p):
        if was.life is not SiteLife.RETURNING or now.life not in (SiteLife.RETURNING, SiteLife.SERVING):
            continue
        if now.life is SiteLife.RETURNING and now.ramp_step == was.ramp_step:
            continue
        soaked_ms, soak_ms = p.now_ms - was.step_since_ms, p.setup.policy.of(service.id).soak_ms
        if soaked_ms < soak_ms:
            yield Violation(law=2, text=f"{service.id}: {site} went on after {soaked_ms} of {soak_ms} ms of soak")
        if now.ramp_step > was.ramp_step + 1:
            yield Violation(law=2, text=f"{service.id}: {site} went from step {was.ramp_step} to {now.ramp_step} of its ramp")


def hold_downs_hold(p: Passage) -> Iterator[Violation]:
    """Law 16: who was left for evidence comes back by itself only when its hold-down is over and the policy lets it.

    Exempt: a person asked for it, and demand that is shed where the policy does not ask a person first.
    """
    for service, site, was, now in _changed_tracks(p):
        if was.life not in _AWAY or now.life is not SiteLife.RETURNING:
            continue
        if was.is_return_asked or now.is_return_asked or LeftBecause.PERSON in (was.left_because, now.left_because):
            continue
        failback = p.setup.policy.of(service.id).failback
        if failback is not Failback.RAMP and not (_sheds(p, service) and failback is not Failback.MANUAL):
            yield Violation(law=16, text=f"{service.id}: {site} returns by itself although failback is {failback.value}")
        elif p.now_ms < was.hold_until_ms and not _sheds(p, service):
            early_ms = was.hold_until_ms - p.now_ms
            yield Violation(law=16, text=f"{service.id}: {site} returns {early_ms} ms before its hold-down is over")


def only_what_was_named(p: Passage) -> Iterator[Violation]:
    """Law 5: undrain, pool and lift let go of what they name and of nothing else."""
    if not isinstance(p.event, Asked):
        return
    request = p.event.asking.request
    if not isinstance(request, UndrainRequest | PoolRequest | LiftRequest):
        return
    kept = {entry.id for entry in p.after.overrides}
    for override in p.before.overrides:
        is_gone = override.id not in kept and p.now_ms < override.expires_ms and not _was_never_begun(p, override)
        if is_gone and not _names(request, override):
            yield Violation(law=5, text=f"{type(request).__name__} lifted {override.id}, which it does not name")
    for service, site, was, now in _changed_tracks(p):
        if not now.is_return_asked or was.is_return_asked:
            continue
        if not (isinstance(request, UndrainRequest) and request.site == site and request.service in (None, service.id)):
            text = f"{type(request).__name__} asked {service.id} to return to {site}, which it does not name"
            yield Violation(law=5, text=text)


def _was_never_begun(p: Passage, override: Override) -> bool:
    """Whether its goal was not begun in time, and so never happens (law 13)."""
    track = p.before.goals.get(override.goal or "")
    return track is not None and not track.is_started and p.now_ms >= track.envelope.start_by_ms


def _names(request: UndrainRequest | PoolRequest | LiftRequest, override: Override) -> bool:
    match request:
        case UndrainRequest(site=site, service=service):
            is_drain = override.kind is OverrideKind.DRAIN and override.site == site
            return is_drain and service in (None, override.service)
        case PoolRequest(member=member):
            return override.kind is OverrideKind.DEPOOL and override.member == member
        case LiftRequest(override=name):
            return override.id == name


def told_once(p: Passage) -> Iterator[Violation]:
    """Law 16: what newly stands in the way of a service's move, or is to be known, has a journal entry and is told; what stood
    before is not."""
    entries = [c.data.get("service") for c in p.commands if isinstance(c, Record) and c.kind == "findings"]
    if p.before.transitions is p.after.transitions and not entries:
        return
    told = [c.code for c in p.commands if isinstance(c, Tell) and c.state is AlertState.FIRING]
    for service in p.setup.topology.services:
        was = {f.subject for f in p.before.transition(service.id).findings}
        now = {f.subject for f in p.after.transition(service.id).findings}
        if entries.count(service.id) != int(was != now):
            text = f"{service.id}: {sorted(was)} became {sorted(now)} with {entries.count(service.id)} journal entries"
            yield Violation(law=16, text=text)
        for code, _ in sorted(now - was):
            if code not in told:
                yield Violation(law=16, text=f"{service.id}: nobody is told of {code}")


def _changed_tracks(p: Passage) -> Iterator[tuple[Service, SiteId, SiteTrack, SiteTrack]]:
    if p.before.tracks is p.after.tracks:
        return
    for service in p.setup.topology.services:
        for site in service.sites:
            was, now = p.before.track(service.id, site), p.after.track(service.id, site)
            if was != now:
                yield service, site, was, now


def _sheds(p: Passage, service: Service) -> bool:
    entry = p.before.steering.of(service.id)
    return entry is not None and entry.shed_bp > 0
