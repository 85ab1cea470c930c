"""How a peer's verdicts reach users: shares on its data plane, and the drains that people ask it for by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from siteshift.core.messages.requests import DrainRequest, SharesRequest, UndrainRequest
from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, EnactorId, MemberId, ServiceId, SiteId
from siteshift.sim.faults.acts import Ask, Heal, TimedEvent
from siteshift.sim.faults.control import GcRace, PlaneEdit, PlaneForget, PlaneTrouble, StandbyBad
from siteshift.sim.faults.world import (
    CapCut,
    CheckFails,
    Crash,
    DepDown,
    DepSlow,
    Errors,
    Facility,
    Flap,
    Hang,
    Latency,
    Loss,
    Partition,
    ProbeLie,
    ResolverPin,
    Surge,
)
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.world.planes import INITIAL_TTL_S
from siteshift.sim.world.spec import Entry, PlaneSpec, WorldSpec
from siteshift.sim.world.world import World

OF_THE_WORLD = (
    Crash,
    Hang,
    Latency,
    Errors,
    ProbeLie,
    CheckFails,
    CapCut,
    Flap,
    Facility,
    Loss,
    Partition,
    DepDown,
    DepSlow,
    ResolverPin,
    Surge,
    StandbyBad,
)
"""Faults that befall whoever steers."""
OF_THE_PLANES = (PlaneTrouble, PlaneEdit, PlaneForget, GcRace)


def events_without_us(events: Sequence[TimedEvent], kinds: tuple[type, ...] = OF_THE_WORLD) -> list[TimedEvent]:
    """The events of a scenario as they befall another controller: what harms only our own parts is left out."""
    kept = [event for event in events if isinstance(event.act, kinds)]
    labels = {event.label for event in kept if event.label}
    heals = [event for event in events if isinstance(event.act, Heal) and event.act.label in labels]
    return sorted([*kept, *heals], key=lambda event: event.at_ms)


def behind_balancer(spec: WorldSpec) -> WorldSpec:
    """The same world behind one layer of load balancers that never fails, without our nodes."""
    plane = PlaneSpec(id=EnactorId("lb"), kind=PlaneKind.BALANCER, answers_itself=False, redispatches=True)
    return replace(spec, nodes=(), planes=(plane,), entry=dict.fromkeys(_services(spec), Entry.BALANCER))


def behind_dns(spec: WorldSpec) -> WorldSpec:
    """The same world behind DNS that never fails, with a balancer in each site for its own servers, without our nodes."""
    planes = (PlaneSpec(id=EnactorId("dns")), *_local_balancers(spec))
    return replace(spec, nodes=(), planes=planes, entry=dict.fromkeys(_services(spec), Entry.DNS))


def by_hand(spec: WorldSpec) -> WorldSpec:
    """The same world without our nodes, with a balancer in each site if it has none."""
    has_balancer = any(plane.kind is PlaneKind.BALANCER for plane in spec.planes)
    return replace(spec, nodes=(), planes=spec.planes if has_balancer else (*spec.planes, *_local_balancers(spec)))


def _local_balancers(spec: WorldSpec) -> tuple[PlaneSpec, ...]:
    return tuple(
        PlaneSpec(id=EnactorId(f"lb-{site}"), kind=PlaneKind.BALANCER, place=site, answers_itself=False)
        for site in spec.topology.site_ids
    )


def _services(spec: WorldSpec) -> list[ServiceId]:
    return [service.id for service in spec.topology.services]


@dataclass(slots=True, kw_only=True)
class Delivery:
    """What a peer delivers. Tells every change of shares to the witness as a move of ``name``."""

    name: str
    world: World
    witness: Witness
    ttl_s: int = INITIAL_TTL_S
    forced: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    """Weights that a person set instead of the nominal ones."""
    _delivered: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)

    def nominal(self, service: ServiceId) -> dict[SiteId, int]:
        """The weights in the peer's configuration, or what a person made of them."""
        pools = self.world.spec.topology.service_by_id[service].pools
        return self.forced.get(service) or {pool.site: pool.nominal_bp for pool in pools}

    def set(self, service: ServiceId, weights: Mapping[SiteId, int], members_pm: Mapping[MemberId, int] | None = None) -> None:
        """Deliver shares in proportion to weights; all 0: nothing is answered. ``members_pm`` None: members stay as they are."""
        total = sum(weights.values())
        shares = {site: weight * WHOLE_BP // total for site, weight in weights.items()} if total else dict.fromkeys(weights, 0)
        if total:
            largest = max(shares, key=lambda site: shares[site])
            shares[largest] += WHOLE_BP - sum(shares.values())
        self.world.change_plane(lambda: self._write(service, shares, members_pm))
        before = self._delivered.get(service) or self._first(service)
        self._delivered[service] = shares
        if before != shares:
            entry = ServiceSteering(service=service, shares_bp=shares, members_pm=members_pm or {}, ttl_s=self.ttl_s)
            forced = tuple(self.forced.get(service, {}))
            self.witness.moved(by=self.name, entry=entry, before_bp=before, forced=forced)

    def _first(self, service: ServiceId) -> dict[SiteId, int]:
        return {pool.site: pool.nominal_bp for pool in self.world.spec.topology.service_by_id[service].pools}

    def set_members(self, service: ServiceId, site: SiteId, members_pm: Mapping[MemberId, int]) -> None:
        """Let the balancer in a site give its members these parts."""
        self.world.change_plane(lambda: self._write_members(service, site, members_pm))

    def _write_members(self, service: ServiceId, site: SiteId, members_pm: Mapping[MemberId, int]) -> None:
        for plane in self.world.planes.values():
            if service in plane.shares_bp and plane.spec.kind is PlaneKind.BALANCER and plane.spec.place == site:
                plane.members_pm[service] = members_pm
                plane.changes += 1

    def _write(self, service: ServiceId, shares: Mapping[SiteId, int], members_pm: Mapping[MemberId, int] | None) -> None:
        for plane in self.world.planes.values():
            if service in plane.shares_bp:
                plane.shares_bp[service] = {site: bp for site, bp in shares.items() if bp > 0}
                if members_pm is not None:
                    plane.members_pm[service] = members_pm
                plane.ttl_s[service] = self.ttl_s
                plane.changes += 1


def persons_weights(event: TimedEvent, delivery: Delivery) -> list[ServiceId]:
    """Do by hand what a person asks for in the scenario; the services whose weights changed."""
    if not isinstance(event.act, Ask):
        return []
    request = event.act.request
    topology = delivery.world.spec.topology
    match request:
        case SharesRequest(service=service, shares_bp=shares_bp):
            delivery.forced[service] = dict(shares_bp)
            return [service]
        case DrainRequest(site=site, service=service) | UndrainRequest(site=site, service=service):
            touched = [entry for entry in topology.services if service in (None, entry.id) and site in entry.sites]
            for entry in touched:
                weights = dict(delivery.nominal(entry.id))
                pool = entry.pool_at(site)
                weights[site] = 0 if isinstance(request, DrainRequest) or pool is None else pool.nominal_bp
                delivery.forced[entry.id] = weights
            return [entry.id for entry in touched]
        case _:
            return []
