"""Taking over what is found instead of remembered. Forgetting is not knowing: what was found is held, cause unknown.

A data plane that carries a newer steering than we remember says that *we* forgot: what is remembered is always written
down before a plane is. Then its shares become ours; nothing returns before a person has looked.
"""

from __future__ import annotations

from dataclasses import replace

from siteshift.core.beliefs.life import AWAY
from siteshift.core.decide.situations import first_steering
from siteshift.core.messages.commands import Record
from siteshift.core.model.codes import FindingCode, LeftBecause, MemberRole, Severity, SiteLife, StandbyPhase
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.plane_queries import highest_found
from siteshift.core.state.tracks import SiteTrack, StandbyTrack


def adopted(
    state: ControllerState, setup: Setup, steering: Steering | None, *, found: AdoptedFrom, why: str, now_ms: int
) -> ControllerState:
    """The state that holds this steering as it was found; without one (nothing was found) only the promise to hold.

    A site that is left in it counts as left, nobody knows why. Members that served no more stay out; a standby that
    served goes on serving, watched by its probes.
    """
    topology = setup.topology
    wanted = _complete(steering, state, setup) if steering is not None else state.steering
    sites = frozenset((service.id, pool.site) for service in topology.services for pool in service.pools)
    in_use = {m for entry in wanted.services for m in entry.members_pm}
    known = {entry.service for entry in wanted.services}
    members = [m for m in topology.members.values() if m.service in known]
    out = frozenset(m.id for m in members if m.role is MemberRole.ACTIVE and m.id not in in_use)
    serving = StandbyTrack(phase=StandbyPhase.PROVEN, since_ms=now_ms, detail="served when the node started")
    standbys = {m.id: serving for m in members if m.role is MemberRole.STANDBY and m.id in in_use}
    tracks = {
        (service.id, site): _track(state.track(service.id, site), service, site, entry, now_ms)
        for service in topology.services
        if (entry := wanted.of(service.id)) is not None
        for site in service.sites
    }
    return state.changed(
        steering=wanted,
        tracks={**state.tracks, **tracks},
        standbys={**standbys, **state.standbys},
        adoption=Adoption(found=found, why=why, since_ms=now_ms, sites=sites, members_out=out),
    )


def _complete(steering: Steering, state: ControllerState, setup: Setup) -> Steering:
    """The steering for exactly the services of the setup: what was not found of one is what is remembered, else nominal."""
    entries: list[ServiceSteering] = []
    for service in setup.topology.services:
        entry = steering.decided_for(service) or state.steering.decided_for(service) or _first(service, setup)
        shares = {site: entry.shares_bp.get(site, 0) for site in service.sites}
        missing = WHOLE_BP - entry.shed_bp - sum(shares.values())
        if missing and any(shares.values()):
            most = max(shares, key=lambda site: shares[site])
            shares[most] = max(0, shares[most] + missing)
        entries.append(replace(entry, shares_bp=shares))
    return replace(steering, services=tuple(entries))


def _first(service: Service, setup: Setup) -> ServiceSteering:
    return first_steering(service, setup.policy.of(service.id).ttl_normal_s)


def _track(track: SiteTrack, service: Service, site: SiteId, entry: ServiceSteering, now_ms: int) -> SiteTrack:
    """A site that has nothing although it should have a part was left; one that has something serves.

    Whether it is empty by now, what is seen and read back will tell.
    """
    pool = service.pool_at(site)
    should_have = pool is not None and pool.nominal_bp > 0
    if entry.brings_bp(site) == 0 and should_have:
        if track.life in AWAY:
            return track
        return SiteTrack(life=SiteLife.DRAINING, since_ms=now_ms, left_because=LeftBecause.UNKNOWN, left_at_ms=now_ms)
    return SiteTrack(since_ms=now_ms) if track.life is SiteLife.DRAINED else track


def adopt_planes(draft: Draft) -> bool:
    """Take over what the planes carry when it is newer than what we remember; True when it was done in this step."""
    state = draft.state
    newest = highest_found(state)
    if newest <= state.steering.generation or state.term is None or not state.is_store_usable:
        return False
    carried = _carried(draft, newest)
    if carried is None:
        return False
    why = f"the data planes carry generation {newest}, and only {state.steering.generation} is remembered"
    if state.adoption is not None:
        why = f"{state.adoption.why}; {why}"
    after = adopted(state, draft.setup, carried, found=AdoptedFrom.PLANES, why=why, now_ms=draft.now_ms)
    draft.set(steering=after.steering, tracks=after.tracks, standbys=after.standbys, adoption=after.adoption)
    draft.remembers = True
    steering = after.steering
    data = {"generation": steering.generation, "digest": steering.digest(), "services": []}
    draft.record("decision", {**data, "adopted": AdoptedFrom.PLANES.value})
    return True


def _carried(draft: Draft, newest: int) -> Steering | None:
    """The steering as the planes that are furthest deliver it; None: none of them could be read since it told.

    One that was cut off half-way tells a generation that nobody carries whole: what is decided now must pass it.
    """
    state = draft.state
    ahead = [ref for ref in draft.setup.planes if (r := state.plane(ref.id).read_back) is not None and r.generation == newest]
    told = [
        ref
        for ref in draft.setup.planes
        if (track := state.plane(ref.id)).found_generation == newest
        and track.read_back is not None
        and track.read_back.at_ms >= track.ended_ms
    ]
    shares: dict[ServiceId, dict[SiteId, int]] = {}
    for ref in (*ahead, *told):
        reading = state.plane(ref.id).read_back
        for name, found in (reading.shares_bp if reading is not None else {}).items():
            if any(found.values()):
                shares.setdefault(name, dict(found))
    if not shares:
        return None
    entries: list[ServiceSteering] = []
    for service in draft.setup.topology.services:
        if service.id not in shares:
            continue
        base, found_bp = state.steering.of(service.id) or _first(service, draft.setup), shares[service.id]
        closed = frozenset(site for site in base.dead_sites if not found_bp.get(site, 0))
        entries.append(replace(base, shares_bp=found_bp, shed_bp=0, shed_at=None, onward_bp={}, dead_sites=closed))
    generation = newest if ahead else newest + 1
    term = max(state.term or 0, state.steering.term)
    return Steering(generation=generation, term=term, decided_at_ms=draft.now_ms, services=tuple(entries))


def tell_adoption(draft: Draft) -> None:
    """Say once that steering is held as it was found: on record and to people."""
    adoption = draft.state.adoption
    if adoption is None or adoption.is_told:
        return
    draft.set(adoption=replace(adoption, is_told=True))
    draft.remembers = True
    text = (
        f"{adoption.why}. Steering is held as found ({adoption.found.value}), cause unknown: a dead site is left, nothing "
        "returns. Find out why each site is as it is, then acknowledge it: siteshift ack SITE, or siteshift ack for all"
    )
    draft.commands.append(Record(kind="adopted", data=_document(draft.state.steering, adoption)))
    draft.tell(Severity.NEEDS_APPROVAL, FindingCode.HELD_AS_ADOPTED, text)


def _document(steering: Steering, adoption: Adoption) -> dict[str, object]:
    return {
        "found": adoption.found.value,
        "why": adoption.why,
        "generation": steering.generation,
        "shares_bp": {entry.service: dict(entry.shares_bp) for entry in steering.services},
        "members_out": sorted(adoption.members_out),
    }
