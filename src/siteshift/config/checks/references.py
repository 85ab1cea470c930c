"""Every name that is used must exist, and what exists should be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siteshift.config.checks.findings import Findings, Names
from siteshift.config.model.enactors import HaproxyBackendEntry, HaproxyEnactor, HaproxyMapped
from siteshift.config.model.observation import (
    HaproxyMeter,
    HaproxyStatEvidence,
    PrometheusEvidence,
    ScrapeMeter,
    WebhookNotifier,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import ServiceEntry
from siteshift.config.problem import Path, ProblemCode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    sites: Names
    services: Names
    drivers: Names
    planes: Names
    members: Names


def check_references(config: ConfigFile, findings: Findings) -> None:
    """References, circles, and things nobody refers to."""
    known = _known(config, findings)
    known.sites.check(config.node.site, ("node", "site"))
    for index, group in enumerate(config.shared_fate):
        for number, site in enumerate(group.sites):
            known.sites.check(site, ("shared_fate", index, "sites", number))
        for number, member in enumerate(group.members):
            known.members.check(member, ("shared_fate", index, "members", number))
    for index, service in enumerate(config.services):
        _service(service, ("services", index), known)
    _planes(config, findings, known)
    for index, driver in enumerate(config.standby_drivers):
        if driver.site is not None:
            known.sites.check(driver.site, ("standby_drivers", index, "site"))
    _seeing(config, known)
    _cycles(config, findings)
    _unused(config, findings)


def _known(config: ConfigFile, findings: Findings) -> _Known:
    members = [
        f"{service.id}/{pool.site}/{member.name}"
        for service in config.services
        for pool in service.pools
        for member in pool.members
    ]
    planes = [enactor.id for enactor in config.enactors if isinstance(enactor, HaproxyEnactor)]
    known = _Known(
        sites=findings.names("site", ProblemCode.NO_SUCH_SITE, ("sites",), (s.id for s in config.sites)),
        services=findings.names("service", ProblemCode.NO_SUCH_SERVICE, ("services",), (s.id for s in config.services)),
        drivers=findings.names(
            "standby driver",
            ProblemCode.NO_SUCH_DRIVER,
            ("standby_drivers",),
            (driver.id for driver in config.standby_drivers),
        ),
        planes=findings.names(
            "enactor of kind haproxy", ProblemCode.NO_SUCH_ENACTOR, ("enactors",), (e.id for e in config.enactors)
        ),
        members=findings.names("member", ProblemCode.NO_SUCH_MEMBER, ("services",), (s.id for s in config.services)),
    )
    known.planes.known.difference_update({enactor.id for enactor in config.enactors} - set(planes))
    known.members.known.clear()
    known.members.known.update(members)
    if findings.holds_taint(("services",)):
        known.members.give_up()
    return known


def _service(service: ServiceEntry, path: Path, known: _Known) -> None:
    for number, name in enumerate(service.depends_on):
        known.services.check(name, (*path, "depends_on", number))
    for index, pool in enumerate(service.pools):
        known.sites.check(pool.site, (*path, "pools", index, "site"))
        for number, member in enumerate(pool.members):
            if member.standby_driver is not None:
                place = (*path, "pools", index, "members", number, "standby_driver")
                known.drivers.check(member.standby_driver, place)


def _planes(config: ConfigFile, findings: Findings, known: _Known) -> None:
    services = {service.id: service for service in config.services}
    for index, enactor in enumerate(config.enactors):
        path: Path = ("enactors", index)
        if isinstance(enactor, HaproxyMapped):
            if enactor.beside is not None:
                known.sites.check(enactor.beside, (*path, "beside"))
            for number, entry in enumerate(enactor.backends):
                here = (*path, "backends", number)
                known.services.check(entry.service, (*here, "service"))
                if entry.service in services:
                    _servers(entry, here, services[entry.service], findings, known)


def _servers(entry: HaproxyBackendEntry, path: Path, service: ServiceEntry, findings: Findings, known: _Known) -> None:
    if entry.servers == "auto":
        return
    members = findings.names(
        f"member of {service.id}",
        ProblemCode.NO_SUCH_MEMBER,
        ("services",),
        (f"{pool.site}/{member.name}" for pool in service.pools for member in pool.members),
    )
    if findings.holds_taint(("services",)):
        members.give_up()
    for number, server in enumerate(entry.servers):
        here = (*path, "servers", number)
        if server.member is not None:
            members.check(server.member.removeprefix(f"{service.id}/"), (*here, "member"))
        if server.site is not None:
            known.sites.check(server.site, (*here, "site"))


def _seeing(config: ConfigFile, known: _Known) -> None:
    for index, meter in enumerate(config.traffic):
        match meter:
            case HaproxyMeter():
                known.planes.check(meter.enactor, ("traffic", index, "enactor"))
            case ScrapeMeter():
                known.services.check(meter.service, ("traffic", index, "service"))
                for number, page in enumerate(meter.pages):
                    known.sites.check(page.site, ("traffic", index, "pages", number, "site"))
    for index, entry in enumerate(config.evidence):
        match entry:
            case HaproxyStatEvidence():
                known.planes.check(entry.enactor, ("evidence", index, "enactor"))
            case PrometheusEvidence():
                known.services.check(entry.service, ("evidence", index, "service"))
                for number, site in enumerate(entry.sites):
                    known.sites.check(site, ("evidence", index, "sites", number))
    for index, notifier in enumerate(config.notifiers):
        if isinstance(notifier, WebhookNotifier) and notifier.site is not None:
            known.sites.check(notifier.site, ("notifiers", index, "site"))


def _cycles(config: ConfigFile, findings: Findings) -> None:
    """Each circle once, at the first of its services in the file."""
    needs = {service.id: service.depends_on for service in config.services}
    told: set[frozenset[str]] = set()
    for index, service in enumerate(config.services):
        circle = _circle(service.id, needs)
        if circle and frozenset(circle) not in told:
            told.add(frozenset(circle))
            said = " → ".join((*circle, circle[0]))
            path = ("services", index, "depends_on")
            findings.note(ProblemCode.DEPENDENCY_CYCLE, path, f"depends on itself: {said}", "break the circle")


def _circle(start: str, needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The way from a service back to itself, empty when there is none."""
    trail, seen = [(start, iter(needs.get(start, ())))], {start}
    while trail:
        for name in trail[-1][1]:
            if name == start:
                return [service for service, _ in trail]
            if name not in seen:
                seen.add(name)
                trail.append((name, iter(needs.get(name, ()))))
                break
        else:
            trail.pop()
    return []


def _unused(config: ConfigFile, findings: Findings) -> None:
    """Not said while a reference leads nowhere: it may have meant what looks unused."""
    pools = [pool for service in config.services for pool in service.pools]
    drivers = {member.standby_driver for pool in pools for member in pool.members} - {None}
    sites = {pool.site for pool in pools}
    below: list[Path] = [("services",)]
    if drivers <= {driver.id for driver in config.standby_drivers}:
        for index, driver in enumerate(config.standby_drivers):
            if driver.id not in drivers:
                message = f"no member uses the driver '{driver.id}'"
                remedy = "name it as `standby_driver` of a member, or remove it"
                findings.note(ProblemCode.UNUSED, ("standby_drivers", index, "id"), message, remedy, below=below)
    if sites <= {site.id for site in config.sites}:
        for index, site in enumerate(config.sites):
            if site.id not in sites:
                message = f"no service has a pool at '{site.id}'"
                remedy = "give a service a pool there, or remove the site"
                findings.note(ProblemCode.UNUSED, ("sites", index, "id"), message, remedy, below=below)
