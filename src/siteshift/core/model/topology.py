"""What there is: sites, services, pools, members and what fails together. Immutable; made by `siteshift.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from siteshift.core.model.codes import DataKind, MemberRole
from siteshift.core.model.units import (
    DriverId,
    GroupId,
    MemberId,
    ServiceId,
    SiteId,
    TargetId,
    VantageId,
    data_target,
    member_target,
    pool_target,
    site_target,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One IDC: the failure domain that can be drained.

    ``capacity_rps`` is what the site carries for all services together (uplink, power); None: its pools are the limit.
    """

    id: SiteId
    label: str = ""
    capacity_rps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server of a pool."""

    id: MemberId
    service: ServiceId
    site: SiteId
    name: str
    address: str
    port: int
    capacity_rps: int
    role: MemberRole = MemberRole.ACTIVE
    standby_driver: DriverId | None = None

    @property
    def target(self) -> TargetId:
        return member_target(self.id)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A service's servers at one site.

    ``nominal_bp`` is the share the site gets when all is well; ``answers`` are the addresses (IPv4 or IPv6) users are
    given for this site by DNS.
    """

    service: ServiceId
    site: SiteId
    nominal_bp: int
    answers: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def target(self) -> TargetId:
        return pool_target(self.service, self.site)

    @cached_property
    def actives(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.role is MemberRole.ACTIVE)

    @cached_property
    def standbys(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.role is MemberRole.STANDBY)

    def capacity_rps(self, role: MemberRole) -> int:
        return sum(member.capacity_rps for member in self.members if member.role is role)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What users reach by name. ``tier`` 1 is the most critical; ``demand_rps`` is used until traffic is measured."""

    id: ServiceId
    names: tuple[str, ...]
    tier: int
    demand_rps: int
    pools: tuple[Pool, ...]
    slo_latency_ms: int = 500
    """An answer slower than this is late; 0: no latency is promised, and none is."""
    depends_on: tuple[ServiceId, ...] = ()
    data: DataKind = DataKind.STATELESS
    shed_answers: tuple[str, ...] = ()

    def pool_at(self, site: SiteId) -> Pool | None:
        return self._pool_by_site.get(site)

    @cached_property
    def _pool_by_site(self) -> dict[SiteId, Pool]:
        return {pool.site: pool for pool in reversed(self.pools)}

    @cached_property
    def sites(self) -> tuple[SiteId, ...]:
        return tuple(pool.site for pool in self.pools)

    @cached_property
    def standbys(self) -> tuple[Member, ...]:
        return tuple(member for pool in self.pools for member in pool.standbys)

    @cached_property
    def member_ids(self) -> frozenset[MemberId]:
        return frozenset(member.id for pool in self.pools for member in pool.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFateGroup:
    """Sites or members that fail together: a campus, a substation, a peering point, a supplier."""

    id: GroupId
    sites: tuple[SiteId, ...] = ()
    members: tuple[MemberId, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Everything there is. Order is the order of the file and decides ties."""

    sites: tuple[Site, ...]
    services: tuple[Service, ...]
    vantages: tuple[tuple[VantageId, SiteId], ...] = ()
    groups: tuple[SharedFateGroup, ...] = field(default=())

    @cached_property
    def service_by_id(self) -> dict[ServiceId, Service]:
        return {service.id: service for service in self.services}

    @cached_property
    def site_ids(self) -> tuple[SiteId, ...]:
        return tuple(site.id for site in self.sites)

    @cached_property
    def members(self) -> dict[MemberId, Member]:
        return {m.id: m for service in self.services for pool in service.pools for m in pool.members}

    @cached_property
    def pools(self) -> dict[tuple[ServiceId, SiteId], Pool]:
        return {(pool.service, pool.site): pool for service in self.services for pool in service.pools}

    @cached_property
    def pool_targets(self) -> dict[SiteId, tuple[TargetId, ...]]:
        """Targets of the pools at each site."""
        return {site: tuple(pool.target for (_, at), pool in self.pools.items() if at == site) for site in self.site_ids}

    @cached_property
    def site_of_vantage(self) -> dict[VantageId, SiteId]:
        return dict(self.vantages)

    @cached_property
    def targets(self) -> dict[TargetId, tuple[ServiceId | None, SiteId, MemberId | None]]:
        """Every target a vantage may report on, with the service, site and member it is about."""
        found: dict[TargetId, tuple[ServiceId | None, SiteId, MemberId | None]] = {}
        for site in self.site_ids:
            found[site_target(site)] = (None, site, None)
        for (service, site), pool in self.pools.items():
            found[pool.target] = (service, site, None)
            for member in pool.members:
                found[member.target] = (service, site, member.id)
        for owner in self.services:
            if owner.data is DataKind.WRITABLE:
                found.update({data_target(owner.id, site): (owner.id, site, None) for site in owner.sites})
        return found

    def share_fate(self, one: SiteId, other: SiteId) -> bool:
        """Whether two sites stand in one shared-fate group."""
        return any(one in group.sites and other in group.sites for group in self.groups)
