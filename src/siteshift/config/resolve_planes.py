"""Enactors, standby drivers, meters, evidence and notifiers in the form the composition root builds adapters from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from siteshift.config.fields import split_host_port, split_listen
from siteshift.config.model.enactors import (
    AgentCheckEnactor,
    EmbeddedDnsEnactor,
    HaproxyBackendEntry,
    HaproxyEnactor,
    HaproxyMapped,
    HaproxyMode,
    Rfc2136Enactor,
)
from siteshift.config.model.observation import (
    CommandNotifier,
    HaproxyMeter,
    HaproxyStatEvidence,
    LogNotifier,
    PrometheusEvidence,
    ScrapeMeter,
    WebhookNotifier,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.standby import CommandHookDriver, HaproxyServerDriver, HttpHookDriver
from siteshift.config.model.topology import ServiceEntry
from siteshift.config.resolve_probes import filled
from siteshift.config.setups import (
    AgentCheckSetup,
    BackendSetup,
    CommandHookSetup,
    CommandNotifierSetup,
    DriverSetup,
    EmbeddedDnsSetup,
    EvidenceSetup,
    HaproxyMeterSetup,
    HaproxyServerDriverSetup,
    HaproxySetup,
    HaproxyStatSetup,
    HttpHookSetup,
    LogNotifierSetup,
    MeterSetup,
    NotifierSetup,
    PlaneSetup,
    PrometheusSetup,
    Rfc2136Setup,
    ScrapeMeterSetup,
    ScrapePageSetup,
    ServerSetup,
    StandbyServer,
    StaticRecordSetup,
    WebhookSetup,
)
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.mark import Origin
from siteshift.core.model.topology import Member, Service, Topology
from siteshift.core.model.units import DriverId, EnactorId, MemberId, ServiceId, SiteId


def planes_of(config: ConfigFile, topology: Topology) -> tuple[PlaneSetup, ...]:
    """Every data plane, in the order of the file."""
    return tuple(_plane(enactor, config, topology) for enactor in config.enactors)


def in_zone(name: str, zone: str) -> bool:
    """Whether a name lies in a zone; both without the final dot."""
    return name == zone or name.endswith(f".{zone}")


def _plane(
    enactor: EmbeddedDnsEnactor | Rfc2136Enactor | HaproxyEnactor | AgentCheckEnactor,
    config: ConfigFile,
    topology: Topology,
) -> PlaneSetup:
    match enactor:
        case EmbeddedDnsEnactor():
            return _embedded_dns(enactor, config)
        case Rfc2136Enactor():
            return Rfc2136Setup(
                id=EnactorId(enactor.id),
                zone=f"{enactor.zone}.",
                primary=split_host_port(enactor.primary),
                verify_servers=tuple(map(split_host_port, enactor.verify_servers or (enactor.primary,))),
                tsig_name=f"{enactor.tsig.name}.",
                tsig_algorithm=enactor.tsig.algorithm,
                tsig_secret=enactor.tsig.secret,
                addresses_max=enactor.addresses_max,
                transport=enactor.transport,
                services=_services_in(enactor.zone, config),
                signer=_signer(config),
                below=zones_below(enactor.zone, config),
            )
        case HaproxyEnactor():
            return replace(
                _mapped(enactor, config, topology),
                address=enactor.address,
                shutdown_sessions_after_ms=enactor.shutdown_sessions_after_s,
            )
        case AgentCheckEnactor():
            return AgentCheckSetup(
                id=EnactorId(enactor.id),
                plane=_mapped(enactor, config, topology),
                listen=split_listen(enactor.listen),
                ports=tuple(enactor.ports.items()),
                initial_weight=enactor.initial_weight,
                initial_weights=tuple(enactor.initial_weights.items()),
                stale_after_ms=enactor.stale_after_ms,
            )


def zones_below(zone: str, config: ConfigFile) -> tuple[str, ...]:
    """The zones of other enactors that lie inside this one. DNS answers a name from the deepest zone that holds it."""
    zones = {enactor.zone for enactor in config.enactors if isinstance(enactor, EmbeddedDnsEnactor | Rfc2136Enactor)}
    return tuple(sorted(other for other in zones if other != zone and in_zone(other, zone)))


def _services_in(zone: str, config: ConfigFile) -> tuple[ServiceId, ...]:
    below = zones_below(zone, config)

    def is_ours(name: str) -> bool:
        return in_zone(name, zone) and not any(in_zone(name, other) for other in below)

    return tuple(ServiceId(service.id) for service in config.services if any(map(is_ours, service.names)))


def _embedded_dns(enactor: EmbeddedDnsEnactor, config: ConfigFile) -> EmbeddedDnsSetup:
    return EmbeddedDnsSetup(
        id=EnactorId(enactor.id),
        origin=f"{enactor.zone}.",
        ns_names=tuple(f"{name}." for name in enactor.nameservers),
        listen=tuple(map(split_listen, enactor.listen)),
        soa_mname=f"{enactor.soa.primary or enactor.nameservers[0]}.",
        soa_rname=f"{enactor.soa.contact or f'hostmaster.{enactor.zone}'}.",
        records=tuple(
            StaticRecordSetup(name=record.name, kind=record.type, value=record.value, ttl_s=record.ttl_s)
            for record in enactor.records
        ),
        ns_ttl_s=enactor.nameserver_ttl_s,
        negative_ttl_s=enactor.soa.negative_ttl_s,
        services=_services_in(enactor.zone, config),
        signer=_signer(config),
        below=zones_below(enactor.zone, config),
    )


# HAProxy -----------------------------------------------------------------------------------------------------------


def _signer(config: ConfigFile) -> Origin:
    """Who signs what this node writes to a data plane."""
    return Origin(cluster=config.node.cluster, node=config.node.id)


def _mapped(enactor: HaproxyMapped, config: ConfigFile, topology: Topology) -> HaproxySetup:
    """One HAProxy with its mapping made out, as it is when it asks us."""
    return HaproxySetup(
        id=EnactorId(enactor.id),
        origin=_signer(config),
        address="",
        backends=tuple(
            BackendSetup(
                service=ServiceId(entry.service),
                backend=entry.backend,
                servers=tuple(_servers(enactor, entry, topology.service_by_id[ServiceId(entry.service)])),
                algorithm=entry.algorithm or enactor.algorithm,
                shed_servers=entry.shed_servers,
            )
            for entry in enactor.backends
        ),
        beside=SiteId(enactor.beside) if enactor.beside else None,
        mode=enactor.mode,
        algorithm=enactor.algorithm,
        shutdown_sessions_after_ms=None,
    )


def _servers(enactor: HaproxyMapped, entry: HaproxyBackendEntry, service: Service) -> Iterator[ServerSetup]:
    if entry.servers != "auto":
        for listed in entry.servers:
            if listed.member is not None:
                yield _member_server(listed.server, _member(service, listed.member))
            elif listed.site is not None:
                yield _tunnel(listed.server, SiteId(listed.site))
        return
    for pool in service.pools:
        values = {"site": str(pool.site), "service": str(service.id)}
        if enactor.mode is HaproxyMode.GLOBAL or pool.site == enactor.beside:
            for member in pool.members:
                yield _member_server(filled(entry.server_pattern, {**values, "name": member.name}), member)
        elif entry.tunnel_pattern:
            yield _tunnel(filled(entry.tunnel_pattern, values), pool.site)


def _member(service: Service, path: str) -> Member:
    """The member written as ``site/name``, or with the service before it."""
    short = path.removeprefix(f"{service.id}/")
    return next(m for pool in service.pools for m in pool.members if m.id == MemberId(f"{service.id}/{short}"))


def _member_server(server: str, member: Member) -> ServerSetup:
    return ServerSetup(server=server, site=member.site, member=member.id, role=member.role, capacity_rps=member.capacity_rps)


def _tunnel(server: str, site: SiteId) -> ServerSetup:
    return ServerSetup(server=server, site=site, member=None, role=MemberRole.ACTIVE, capacity_rps=1)


# Drivers, meters, evidence, notifiers -----------------------------------------------------------------------------


def drivers_of(config: ConfigFile, topology: Topology) -> tuple[DriverSetup, ...]:
    """Every standby driver, in the order of the file."""
    found: list[DriverSetup] = []
    for driver in config.standby_drivers:
        match driver:
            case HaproxyServerDriver():
                mine = [member for member in topology.members.values() if member.standby_driver == driver.id]
                setup = HaproxyServerDriverSetup(
                    id=DriverId(driver.id),
                    addresses=driver.addresses,
                    servers=tuple(_standby_server(driver, member) for member in mine),
                    timeout_ms=driver.timeout_ms,
                    site=SiteId(driver.site) if driver.site else None,
                )
                found.append(setup)
            case HttpHookDriver():
                hook = HttpHookSetup(
                    id=DriverId(driver.id),
                    activate_url=driver.activate_url,
                    retire_url=driver.retire_url,
                    phase_url=driver.phase_url,
                    headers=tuple(driver.headers.items()),
                    token=driver.token,
                    timeout_ms=driver.timeout_ms,
                    site=SiteId(driver.site) if driver.site else None,
                )
                found.append(hook)
            case CommandHookDriver():
                command = CommandHookSetup(
                    id=DriverId(driver.id),
                    activate=driver.activate,
                    retire=driver.retire,
                    phase=driver.phase,
                    timeout_ms=driver.timeout_ms,
                    site=SiteId(driver.site) if driver.site else None,
                )
                found.append(command)
    return tuple(found)


def _standby_server(driver: HaproxyServerDriver, member: Member) -> StandbyServer:
    values = {"site": str(member.site), "service": str(member.service), "name": member.name}
    return StandbyServer(
        member=member.id,
        backend=filled(driver.backend, values),
        server=filled(driver.server_pattern, values),
    )


def meters_of(config: ConfigFile, planes: tuple[PlaneSetup, ...]) -> tuple[MeterSetup, ...]:
    """Traffic meters with the HAProxy each one asks."""
    lbs = {plane.id: plane for plane in planes if isinstance(plane, HaproxySetup)}
    found: list[MeterSetup] = []
    for meter in config.traffic:
        match meter:
            case HaproxyMeter():
                plane = lbs[EnactorId(meter.enactor)]
                found.append(
                    HaproxyMeterSetup(id=meter.id, plane=plane, every_ms=meter.every_s, timeout_ms=meter.timeout_ms)
                )
            case ScrapeMeter():
                found.append(_scrape(meter))
    return tuple(found)


def _scrape(meter: ScrapeMeter) -> ScrapeMeterSetup:
    return ScrapeMeterSetup(
        id=meter.id,
        service=ServiceId(meter.service),
        pages=tuple(ScrapePageSetup(site=SiteId(page.site), url=page.url) for page in meter.pages),
        counter=meter.counter,
        error_counter=meter.error_counter or "",
        seconds_counter=meter.seconds_counter or "",
        labels=tuple(meter.labels.items()),
        token=meter.token,
        every_ms=meter.every_s,
        timeout_ms=meter.timeout_ms,
    )


def evidence_of(config: ConfigFile, planes: tuple[PlaneSetup, ...]) -> tuple[EvidenceSetup, ...]:
    """Sources of passive evidence."""
    lbs = {plane.id: plane for plane in planes if isinstance(plane, HaproxySetup)}
    services = {service.id: service for service in config.services}
    found: list[EvidenceSetup] = []
    for entry in config.evidence:
        match entry:
            case HaproxyStatEvidence():
                plane = lbs[EnactorId(entry.enactor)]
                found.append(
                    HaproxyStatSetup(id=entry.id, plane=plane, every_ms=entry.every_s, timeout_ms=entry.timeout_ms)
                )
            case PrometheusEvidence():
                found.append(_prometheus(entry, services[entry.service]))
    return tuple(found)


def _prometheus(entry: PrometheusEvidence, service: ServiceEntry) -> PrometheusSetup:
    own = entry.degraded_above_percent
    sites = [SiteId(site) for site in entry.sites or (pool.site for pool in service.pools)]
    return PrometheusSetup(
        id=entry.id,
        url=entry.url,
        service=ServiceId(entry.service),
        queries=tuple((site, filled(entry.query, {"site": site})) for site in sites),
        measures=entry.measures,
        degraded_above_pm=service.slo.error_percent if own is None else own,
        every_ms=entry.every_s,
        timeout_ms=entry.timeout_ms,
        token=entry.token,
    )


def notifiers_of(config: ConfigFile) -> tuple[NotifierSetup, ...]:
    """Who is told."""
    found: list[NotifierSetup] = []
    for entry in config.notifiers:
        match entry:
            case WebhookNotifier():
                webhook = WebhookSetup(
                    id=entry.id,
                    least=entry.least,
                    url=entry.url or "",
                    url_secret=entry.url_secret,
                    token=entry.token,
                    site=SiteId(entry.site) if entry.site else None,
                )
                found.append(webhook)
            case CommandNotifier():
                command = CommandNotifierSetup(id=entry.id, least=entry.least, argv=entry.argv)
                found.append(command)
            case LogNotifier():
                found.append(LogNotifierSetup(id=entry.id, least=entry.least))
    return tuple(found)
