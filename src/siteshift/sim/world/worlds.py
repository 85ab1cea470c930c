"""The usual worlds. The standard one is that of the outage library: pangyo 50/60, gasan 30/40, anyang 20/40, standby 40.

Shares are per cent of demand, capacities per cent of the demand's peak. One node per site, etcd with a member per site.
"""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.policy import Policy
from siteshift.core.model.setup import PlaneKind, PlaneRef, Setup
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import DriverId, EnactorId, MemberId, ServiceId, SiteId, VantageId
from siteshift.sim.world.spec import OUTSIDE, Entry, LoadSpec, NodeSpec, PlaneSpec, StandbySpec, StoreSpec, WorldSpec

PANGYO, GASAN, ANYANG = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
SITES = (PANGYO, GASAN, ANYANG)
_SHAPES = ((PANGYO, 5_000, 60, 0), (GASAN, 3_000, 40, 20), (ANYANG, 2_000, 40, 20))
"""Site, nominal share in bp, active and standby capacity in per cent of demand."""
ACTIVE_MEMBERS, STANDBY_MEMBERS = 4, 2
WEB = ServiceId("web")


def standard_world(
    *,
    services: tuple[str, ...] = ("web",),
    demand_rps: int = 300,
    nodes: int = 3,
    members: int = ACTIVE_MEMBERS,
    standbys: int = STANDBY_MEMBERS,
    capacity_pct: int = 100,
    load_pct: int = 0,
    entry: Entry = Entry.DNS,
    cold_start_ms: int = 15_000,
    curve_pm: tuple[int, ...] = (1_000,),
) -> WorldSpec:
    """The standard world. Services get tiers 1, 2, … in order; ``nodes`` 1 to 3 stand at pangyo, gasan, anyang (1: anyang).

    ``standbys`` members share the standby capacity of a site (0: there is none); every capacity is ``capacity_pct`` of the
    usual one. With ``load_pct`` active capacities follow the nominal shares: every site is so full in calm.
    """
    places = SITES[:nodes] if nodes > 1 else (ANYANG,)
    names = tuple(f"c{SITES.index(site) + 1}" for site in places)
    vantages = tuple((VantageId(name), site) for name, site in zip(names, places, strict=True))
    base_rps = demand_rps * capacity_pct // 100
    active_rps = {
        site: demand_rps * nominal_bp // (100 * load_pct) if load_pct else base_rps * active_pct // 100
        for site, nominal_bp, active_pct, _ in _SHAPES
    }
    pools = {name: _pools(ServiceId(name), base_rps, active_rps, members, standbys) for name in services}
    made = tuple(_service(ServiceId(name), tier, demand_rps, pools[name]) for tier, name in enumerate(services, start=1))
    topology = Topology(sites=tuple(Site(id=site) for site in SITES), services=made, vantages=vantages)
    return WorldSpec(
        topology=topology,
        nodes=tuple(NodeSpec(id=name, site=site) for name, site in vantages),
        planes=_planes(entry),
        loads={s.id: LoadSpec(peak_rps=demand_rps, curve_pm=curve_pm) for s in made},
        entry={s.id: entry for s in made},
        standby=StandbySpec(cold_start_ms=cold_start_ms),
        store=StoreSpec(sites=SITES) if nodes > 1 else None,
    )


def small_world(*, nodes: int = 1) -> WorldSpec:
    """One service, one node unless asked for more: quick to run in tests."""
    return standard_world(nodes=nodes, cold_start_ms=1_500)


def setup_of(spec: WorldSpec, policy: Policy, node: VantageId) -> Setup:
    """What a node's core is told of this world."""
    services = tuple(service.id for service in spec.topology.services)
    planes = tuple(
        PlaneRef(
            id=plane.id,
            services=plane.services or services,
            site=None if plane.place == OUTSIDE else SiteId(plane.place),
            answers_itself=plane.answers_itself,
            kind=plane.kind,
        )
        for plane in spec.planes
    )
    return Setup(
        topology=spec.topology,
        policy=policy,
        node=node,
        planes=planes,
        metered=frozenset(s for s in services if s not in spec.unmetered),
        digest="simulated",
    )


def _planes(entry: Entry) -> tuple[PlaneSpec, ...]:
    dns = PlaneSpec(id=EnactorId("dns"))
    balancers = tuple(
        PlaneSpec(id=EnactorId(f"lb-{site}"), kind=PlaneKind.BALANCER, place=site, write_ms=5, read_ms=5, answers_itself=False)
        for site in SITES
    )
    match entry:
        case Entry.DNS:
            return (dns,)
        case Entry.BALANCER:
            return (PlaneSpec(id=EnactorId("lb"), kind=PlaneKind.BALANCER, write_ms=5, read_ms=5, answers_itself=False),)
        case Entry.DNS_AND_BALANCER:
            return (dns, *balancers)


def _service(service: ServiceId, tier: int, demand_rps: int, pools: tuple[Pool, ...]) -> Service:
    return Service(id=service, names=(f"{service}.example.test",), tier=tier, demand_rps=demand_rps, pools=pools)


def _pools(
    service: ServiceId, base_rps: int, active_rps: Mapping[SiteId, int], members: int, standbys: int
) -> tuple[Pool, ...]:
    return tuple(_pool(service, number, base_rps, active_rps, members, standbys) for number in range(len(_SHAPES)))


def _pool(
    service: ServiceId, number: int, base_rps: int, active_rps: Mapping[SiteId, int], members: int, standbys: int
) -> Pool:
    """One pool. ``base_rps``: what standby capacity is per cent of; ``active_rps``: what its active members carry together."""
    site, nominal_bp, _, standby_pct = _SHAPES[number]
    made = [
        _member(service, site, f"{site[0]}{n}", f"127.{number + 1}.0.{10 + n}", active_rps[site] // members)
        for n in range(1, members + 1)
    ]
    if standby_pct and standbys:
        each_rps = base_rps * standby_pct // (100 * standbys)
        made += [
            _member(service, site, f"{site[0]}s{n}", f"127.{number + 1}.0.{100 + n}", each_rps, MemberRole.STANDBY)
            for n in range(1, standbys + 1)
        ]
    return Pool(service=service, site=site, nominal_bp=nominal_bp, answers=(f"127.{number + 1}.0.1",), members=tuple(made))


def _member(
    service: ServiceId, site: SiteId, name: str, address: str, capacity_rps: int, role: MemberRole = MemberRole.ACTIVE
) -> Member:
    return Member(
        id=MemberId(f"{service}/{site}/{name}"),
        service=service,
        site=site,
        name=name,
        address=address,
        port=80,
        capacity_rps=max(1, capacity_rps),
        role=role,
        standby_driver=DriverId("starter") if role is MemberRole.STANDBY else None,
    )
