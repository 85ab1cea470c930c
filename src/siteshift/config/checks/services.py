"""Shares, capacity and fate of services: do they add up, and could a site be lost?"""

from __future__ import annotations

from siteshift.config.checks.findings import At, Findings
from siteshift.config.model.policy import ServicePolicySection
from siteshift.config.model.probes import ProbeRole
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import PoolEntry, ServiceEntry
from siteshift.config.problem import Path, ProblemCode
from siteshift.config.resolve_policy import default_policy, service_policy
from siteshift.core.model.codes import DataKind, Failback, MemberRole
from siteshift.core.model.units import WHOLE_BP, WHOLE_PM


def check_services(config: ConfigFile, findings: Findings) -> None:
    """Every service by itself, then all of them at their sites."""
    tiers = {service.id: service.tier for service in config.services}
    for index, service in enumerate(config.services):
        path: Path = ("services", index)
        _shares(service, path, findings)
        _pools(service, path, findings)
        _capacity(config, service, path, findings)
        _fate(config, service, path, findings)
        _tiers(service, path, tiers, findings)
        explicit: tuple[ServicePolicySection, ...] = (service.policy, config.policy)
        failback = next((section.failback for section in explicit if section.failback is not None), Failback.MANUAL)
        if service.data is DataKind.WRITABLE and failback is not Failback.MANUAL:
            message = f"`failback: {failback.value}` lets writable data come back without a person"
            place = (*path, "policy", "failback") if service.policy.failback else (*path, "data")
            findings.note(ProblemCode.UNATTENDED_WRITE, place, message, "use `manual`", depends=[(*path, "data")])
        _data_role(service, path, findings)
    _sites(config, findings)


def _data_role(service: ServiceEntry, path: Path, findings: Findings) -> None:
    """Law: writable traffic only where a check says that the data is promoted."""
    checks = [index for index, probe in enumerate(service.probes) if probe.role is ProbeRole.DATA]
    if service.data is DataKind.WRITABLE and not checks and len(service.pools) > 1:
        message = f"no probe of '{service.id}' has `role: data`: every move of it needs a person who knows"
        remedy = "add a probe that passes where the data is promoted"
        findings.note(ProblemCode.ROLE_UNKNOWN, (*path, "data"), message, remedy, below=[(*path, "probes")])
    if service.data is not DataKind.WRITABLE:
        for index in checks:
            message = f"'{service.id}' is not `data: writable`, so nobody asks for its role"
            place = (*path, "probes", index, "role")
            remedy = "remove `role`, or write `data: writable`"
            findings.note(ProblemCode.UNUSED, place, message, remedy, depends=[(*path, "data")])


def _shares(service: ServiceEntry, path: Path, findings: Findings) -> None:
    if not service.pools:
        if findings.given((*path, "pools")):
            message = f"the service '{service.id}' has no pool"
            findings.note(ProblemCode.OUT_OF_RANGE, (*path, "pools"), message, "add one", below=[(*path, "pools")])
        return
    total = sum(pool.nominal_percent for pool in service.pools)
    if total != WHOLE_BP:
        parts = " + ".join(f"{pool.nominal_percent / 100:g}" for pool in service.pools)
        message = f"the nominal shares make {total / 100:g} % ({parts}), not 100 %"
        depends = [(*path, "pools", index, "nominal_percent") for index in range(len(service.pools))]
        if findings.whole((*path, "pools")):
            remedy = "change them to make 100"
            findings.note(ProblemCode.SHARES_SUM, (*path, "pools"), message, remedy, depends=depends, at=At.KEY)
    if len(service.pools) == 1:
        message = f"'{service.id}' has one site only: nothing can be moved"
        if findings.whole((*path, "pools")):
            findings.note(ProblemCode.ONE_SITE, (*path, "pools"), message, "add a pool at another site", at=At.KEY)


def _pools(service: ServiceEntry, path: Path, findings: Findings) -> None:
    for index, pool in enumerate(service.pools):
        here = (*path, "pools", index)
        members = (*here, "members")
        active = [member for member in pool.members if member.role is MemberRole.ACTIVE]
        if not active and pool.nominal_percent > 0:
            message = f"'{service.id}' gets {pool.nominal_percent / 100:g} % at '{pool.site}', where no member is active"
            remedy = "add an active member, or make its nominal share 0"
            findings.note(ProblemCode.EMPTY_POOL, members, message, remedy, below=[here], at=At.KEY)
        for number, member in enumerate(pool.members):
            if member.role is MemberRole.STANDBY and member.standby_driver is None:
                place = (*members, number, "role")
                message = f"the standby '{member.name}' has no driver: siteshift cannot start it"
                driver = (*members, number, "standby_driver")
                findings.note(ProblemCode.NO_DRIVER, place, message, "set `standby_driver`", depends=[driver])
            if member.role is MemberRole.ACTIVE and member.standby_driver is not None:
                place = (*members, number, "standby_driver")
                message = f"'{member.name}' is active, but has a standby driver"
                role = (*members, number, "role")
                findings.note(ProblemCode.CONTRADICTION, place, message, "set `role: standby`", depends=[role])


def _capacity(config: ConfigFile, service: ServiceEntry, path: Path, findings: Findings) -> None:
    """Usable capacity counts every member, standby too, up to the allowed utilisation."""
    policy = service_policy(config, service)
    parts = [(*path, "pools"), (*path, "policy"), ("policy",)]
    place = (*path, "demand_rps")
    limit = policy.max_utilisation_pm
    for index, pool in enumerate(service.pools):
        wanted = service.demand_rps * pool.nominal_percent // WHOLE_BP
        usable = _usable(pool, limit)
        if wanted > usable and any(member.role is MemberRole.ACTIVE for member in pool.members):
            message = f"'{pool.site}' gets {wanted} rps of '{service.id}', but can carry {usable} ({_said(pool, limit)})"
            spot = (*path, "pools", index, "nominal_percent")
            findings.note(ProblemCode.POOL_SHARE_CAPACITY, spot, message, "add capacity", below=parts, depends=[place])
    total = sum(_usable(pool, limit) for pool in service.pools)
    if service.demand_rps > total:
        message = f"all sites together carry {total} rps at {limit / 10:g} % utilisation, the demand is {service.demand_rps}"
        findings.note(ProblemCode.OVER_CAPACITY, place, message, "add capacity; the rest is shed", below=parts)
    elif len(service.pools) > 1:
        largest = max(service.pools, key=lambda pool: _usable(pool, limit))
        left = total - _usable(largest, limit)
        if service.demand_rps > left:
            message = (
                f"without '{largest.site}' the other sites carry {left} rps, all standby included, at {limit / 10:g} %"
                f" utilisation; the demand is {service.demand_rps}: {service.demand_rps - left} rps would be shed"
            )
            findings.note(ProblemCode.N_MINUS_1, place, message, "add members elsewhere", below=parts)


def _usable(pool: PoolEntry, limit_pm: int) -> int:
    return sum(member.capacity_rps for member in pool.members) * limit_pm // WHOLE_PM


def _said(pool: PoolEntry, limit_pm: int) -> str:
    return f"{limit_pm / 10:g} % of {sum(member.capacity_rps for member in pool.members)}"


def _sites(config: ConfigFile, findings: Findings) -> None:
    """The same for whole sites, where they have a capacity of their own."""
    demand = sum(service.demand_rps for service in config.services)
    limit = default_policy(config).max_utilisation_pm
    capped = [site for site in config.sites if site.capacity_rps is not None]
    if not capped or len(config.sites) < 2:
        return
    usable: dict[str, int] = {}
    for site in config.sites:
        pools = sum(
            member.capacity_rps
            for service in config.services
            for pool in service.pools
            if pool.site == site.id
            for member in pool.members
        )
        usable[site.id] = (pools if site.capacity_rps is None else min(pools, site.capacity_rps)) * limit // WHOLE_PM
    largest = max(usable, key=lambda site: usable[site])
    left = sum(usable.values()) - usable[largest]
    if demand > left:
        message = f"without '{largest}' the other sites carry {left} rps for all services together; their demand is {demand}"
        below: list[Path] = [("sites",), ("services",), ("policy",)]
        findings.note(ProblemCode.N_MINUS_1, ("sites",), message, "raise capacity elsewhere", below=below, at=At.KEY)


def _fate(config: ConfigFile, service: ServiceEntry, path: Path, findings: Findings) -> None:
    sites = {pool.site for pool in service.pools}
    for group in config.shared_fate:
        if len(sites) > 1 and sites <= set(group.sites):
            message = f"all sites of '{service.id}' share the fate of '{group.id}'"
            below: list[Path] = [(*path, "pools"), ("shared_fate",)]
            findings.note(
                ProblemCode.SHARED_FATE,
                (*path, "pools"),
                message,
                "add a site outside the group",
                below=below,
                at=At.KEY,
            )


def _tiers(service: ServiceEntry, path: Path, tiers: dict[str, int], findings: Findings) -> None:
    for number, name in enumerate(service.depends_on):
        if tiers.get(name, 0) > service.tier:
            message = f"tier {service.tier} depends on '{name}' of tier {tiers[name]}, which is shed before it"
            place = (*path, "depends_on", number)
            remedy = f"give '{name}' tier {service.tier} or less"
            findings.note(ProblemCode.TIER_INVERSION, place, message, remedy, below=[("services",)])
