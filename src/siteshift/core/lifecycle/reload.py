"""Reload: the state pruned to another setup, in one place, and people told what was let go of.

What is gone from the file is gone from every field: beliefs and hold-downs silently, what people forced and what is under way
on record. A data plane that is no longer named keeps what it has; a standby that runs is not switched off behind the users it
may have, it is named. The steering is not touched here: it is fitted to the setup where it is decided by
(`Steering.decided_for`) and decided anew with the next generation, when store and term allow it (law 12). Until then
`Steering.of` may name what is gone: that is what the data planes were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from siteshift.core.beliefs.hearing import is_vantage_of
from siteshift.core.messages.events import (
    EnactFinished,
    Event,
    ReadBackArrived,
    ReadBackFailed,
    Reloaded,
    ReportArrived,
    StandbyReported,
    TrafficMeasured,
)
from siteshift.core.model.codes import MemberRole, NoticeCode, Severity, StandbyPhase
from siteshift.core.model.evidence import Diagnosis, Picture
from siteshift.core.model.override import Override
from siteshift.core.model.setup import PlaneKind, Setup
from siteshift.core.model.steering import ReadBack
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId
from siteshift.core.state.adoption import Adoption, acknowledged
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.goals import GoalState, narrowed
from siteshift.core.state.tracks import ServiceTransition

Key = TypeVar("Key")
Value = TypeVar("Value")

RUNNING = frozenset({StandbyPhase.STARTING, StandbyPhase.READY, StandbyPhase.PROVEN, StandbyPhase.RETIRING})


def absorb_reload(draft: Draft, event: Reloaded) -> bool:
    """Take the setup that the draft has by now. Everything is derived anew under it in the same step."""
    _let_go_of_overrides(draft)
    _end_goals(draft)
    _name_running_standbys(draft)
    _name_planes_left(draft)
    _name_shares_left(draft)
    draft.set(**pruned(draft.state, draft.setup, draft.now_ms), setup_digest=event.digest)
    draft.remembers = True
    return True


def about_what_is_there(event: Event, setup: Setup) -> Event | None:
    """The event without what the setup does not name; None when nothing is left.

    Writes, readings, calls and measurements that were under way at a reload end after it.
    """
    match event:
        case ReportArrived():
            return event  # who is heard is known where it is heard (`beliefs.hearing`)
        case EnactFinished(result=result):
            return event if result.enactor in setup.plane_ids else None
        case ReadBackArrived(read_back=reading):
            return event if reading.enactor in setup.plane_ids else None
        case ReadBackFailed(enactor=enactor):
            return event if enactor in setup.plane_ids else None
        case StandbyReported(member=member):
            return event if member in setup.topology.members else None
        case TrafficMeasured(seen=seen):
            pools = setup.topology.pools
            if all((sample.service, sample.site) in pools for sample in seen):
                return event  # nearly always
            known = tuple(sample for sample in seen if (sample.service, sample.site) in pools)
            return replace(event, seen=known) if known else None
        case _:
            return event


# -- what people are told ---------------------------------------------------------------------------------------------


def _let_go_of_overrides(draft: Draft) -> None:
    kept: list[Override] = []
    for override in draft.state.overrides:
        missing = _missing(override, draft.setup)
        if not missing:
            kept.append(override)
            continue
        data = {"id": override.id, "kind": override.kind.value, "owner": override.owner, "why": f"{missing} is gone"}
        draft.record("override_lifted", data)
        text = f"override {override.id} of {override.owner} is lifted: {missing} is no longer in the configuration"
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.OVERRIDE_LIFTED, text, about=override.id)
    if len(kept) != len(draft.state.overrides):
        draft.set(overrides=tuple(kept))


def _end_goals(draft: Draft) -> None:
    """A goal of which nothing is left is over, and the journal keeps it. One that lost a part of what it names is kept: its
    configuration is another now, so nothing of it moves before somebody has looked (`operate.goals`, law 13)."""
    for track in draft.state.goals.values():
        if narrowed(track.goal, draft.setup.topology) is not None:
            continue
        because = "the configuration no longer has what it names"
        draft.record("goal", {"goal": track.goal.digest, "digest": track.digest, "state": "ended", "because": because})
        if track.state is not GoalState.ENDED:
            text = f"{track.goal.verb.value} of {track.goal.owner} ({track.digest}) is over: {because}"
            draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.GOAL_ENDED, text, about=track.digest)


def _missing(override: Override, setup: Setup) -> str:
    """What an override is about that is not in the setup; empty when all of it is."""
    topology = setup.topology
    if override.service is not None and override.service not in topology.service_by_id:
        return override.service
    # A site without servers is still that site: who works on it may have taken them out of the file, and puts them back.
    sites = topology.site_ids if override.service is None else topology.service_by_id[override.service].sites
    named = (*(() if override.site is None else (override.site,)), *(override.shares_bp or {}))
    for site in named:
        if site not in sites:
            return site if override.service is None else f"{override.service} at {site}"
    if override.member is not None and override.member not in topology.members:
        return override.member
    if override.plane is not None and override.plane not in setup.plane_ids:
        return override.plane
    return ""


def _name_running_standbys(draft: Draft) -> None:
    for name, track in sorted(draft.state.standbys.items()):
        if track.phase not in RUNNING or _is_standby(draft.setup, name):
            continue
        draft.record("standby_left", {"member": name, "phase": track.phase.value})
        what = "is an active member now" if name in draft.setup.topology.members else "is no longer in the configuration"
        text = f"{name} {what} and was {track.phase.value}: it is left as it is; retire it by hand if it shall not run"
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.STANDBY_LEFT, text, member=name)


def _name_planes_left(draft: Draft) -> None:
    for name, track in sorted(draft.state.planes.items()):
        if name in draft.setup.plane_ids:
            continue
        draft.record("plane_left", {"enactor": name, "generation": track.confirmed_generation})
        has = f"generation {track.confirmed_generation}" if track.confirmed_generation is not None else "what it has"
        text = f"{name} is no longer in the configuration: it keeps {has} and is not written any more"
        draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.PLANE_LEFT, text, plane=name)


def _name_shares_left(draft: Draft) -> None:
    """A pool that is gone from the file is not steered any more: a balancer still sends its servers what it was last told to."""
    pools = draft.setup.topology.pools

    def is_left_alone(service: ServiceId) -> bool:
        """A zone gives out the addresses of the pools there are; a balancer of a service knows only servers by name."""
        planes = draft.setup.planes_of(service)
        return not planes or any(plane.kind is PlaneKind.BALANCER for plane in planes)

    for entry in draft.state.steering.services:
        for site, share_bp in entry.shares_bp.items():
            if not share_bp or (entry.service, site) in pools or not is_left_alone(entry.service):
                continue
            draft.record("share_left", {"service": entry.service, "site": site, "share_bp": share_bp})
            text = (
                f"{entry.service} at {site} is no longer in the configuration and had {share_bp / 100:g} % of the traffic: load "
                "balancers that carry its servers go on sending them as much, and nobody steers it. Take the servers out there, "
                "or put it back and drain it first"
            )
            draft.tell(Severity.NEEDS_APPROVAL, NoticeCode.SHARE_LEFT, text, service=entry.service, site=site)


# -- every field ------------------------------------------------------------------------------------------------------


def pruned(state: ControllerState, setup: Setup, now_ms: int) -> dict[str, object]:
    """Every field that speaks of sites, services, members, planes or vantages, without those that are gone."""
    topology = setup.topology
    services, pools, targets = topology.service_by_id, topology.pools, topology.targets
    return {
        "reports": {
            name: replace(report, views={t: view for t, view in report.views.items() if t in targets})
            for name, report in state.reports.items()
            if is_vantage_of(setup, name)
        },
        "vantages": {name: track for name, track in state.vantages.items() if is_vantage_of(setup, name)},
        "picture": _pruned_picture(state.picture, setup),
        "unsettled_until_ms": _among(state.unsettled_until_ms, services),
        "alike_until_ms": _among(state.alike_until_ms, services),
        "tracks": _among(state.tracks, pools),
        "transitions": {
            name: _pruned_transition(transition, services[name])
            for name, transition in state.transitions.items()
            if name in services
        },
        "standbys": {name: track for name, track in state.standbys.items() if _is_standby(setup, name)},
        "planes": {
            name: replace(track, read_back=_pruned_reading(track.read_back, setup), next_read_ms=now_ms)
            for name, track in state.planes.items()
            if name in setup.plane_ids
        },
        "traffic": _among(state.traffic, pools),
        "demand": _among(state.demand, services),
        "full_at_ms": _among(state.full_at_ms, pools),
        "adoption": _pruned_adoption(state.adoption, setup),
        "expected": _among(state.expected, services),
        "goals": {key: track for key, track in state.goals.items() if narrowed(track.goal, topology) is not None},
    }


def _pruned_adoption(adoption: Adoption | None, setup: Setup) -> Adoption | None:
    """What is held as found, of what is still there."""
    if adoption is None:
        return None
    return acknowledged(adoption, adoption.sites - setup.topology.pools.keys(), setup.topology)


def _among(found: Mapping[Key, Value], known: Iterable[Key]) -> dict[Key, Value]:
    names = frozenset(known)
    return {key: value for key, value in found.items() if key in names}


def _is_standby(setup: Setup, name: str) -> bool:
    member = next((found for key, found in setup.topology.members.items() if key == name), None)
    return member is not None and member.role is MemberRole.STANDBY


def _pruned_picture(picture: Picture, setup: Setup) -> Picture:
    topology = setup.topology
    return replace(
        picture,
        pools={
            key: replace(pool, members=_among(pool.members, topology.members))
            for key, pool in picture.pools.items()
            if key in topology.pools
        },
        sites=_among(picture.sites, topology.site_ids),
        diagnoses=tuple(entry for entry in picture.diagnoses if _is_about_what_is_there(entry, setup)),
        credible=tuple(name for name in picture.credible if is_vantage_of(setup, name)),
        isolated=tuple(name for name in picture.isolated if is_vantage_of(setup, name)),
        global_fault=picture.global_fault & topology.service_by_id.keys(),
    )


def _is_about_what_is_there(entry: Diagnosis, setup: Setup) -> bool:
    topology = setup.topology
    return (
        (entry.site is None or entry.site in topology.site_ids)
        and (entry.service is None or entry.service in topology.service_by_id)
        and (entry.site is None or entry.service is None or (entry.service, entry.site) in topology.pools)
        and (entry.member is None or entry.member in topology.members)
        and all(is_vantage_of(setup, name) for name in entry.accusers)
    )


def _pruned_transition(transition: ServiceTransition, service: Service) -> ServiceTransition:
    """A movement that speaks of a site that is gone is over."""
    sites = frozenset(service.sites)
    undo_bp = transition.undo_bp
    return replace(
        transition,
        cached_bp=_among(transition.cached_bp, sites),
        undo_bp=undo_bp if undo_bp is None or undo_bp.keys() <= sites else None,
        carrying=_among(transition.carrying, sites),
        taken_out=transition.taken_out & service.member_ids,
    )


def _pruned_reading(reading: ReadBack | None, setup: Setup) -> ReadBack | None:
    if reading is None:
        return None
    services = setup.topology.service_by_id
    shares_bp = {name: _among(part, services[name].sites) for name, part in reading.shares_bp.items() if name in services}
    members_bp = _among(reading.members_bp, setup.topology.members)
    drifts = tuple(drift for drift in reading.drifts if drift.enactor in setup.plane_ids)
    obstacles = tuple(
        found
        for found in reading.obstacles
        if found.service in services and (found.closes is None or found.closes in services[found.service].sites)
    )
    return replace(reading, shares_bp=shares_bp, members_bp=members_bp, drifts=drifts, obstacles=obstacles)
