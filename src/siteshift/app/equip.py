"""Makes the adapters a configuration asks for. What did not change at a reload is kept, with its connections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.rfc2136 import Rfc2136Enactor
from siteshift.adapters.dns.rfc2136_records import Rfc2136Config, UpdateKey
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor, AgentListen
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane, PlaneMode, ServerMap
from siteshift.adapters.haproxy.traffic import HaproxyTrafficMeter
from siteshift.adapters.notify.command import CommandNotifier
from siteshift.adapters.notify.log import LogNotifier
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.app.drivers import make_driver
from siteshift.app.least import LeastSeverity
from siteshift.config import Resolved
from siteshift.config.setups import (
    AgentCheckSetup,
    CommandNotifierSetup,
    EmbeddedDnsSetup,
    HaproxySetup,
    LogNotifierSetup,
    NotifierSetup,
    PlaneSetup,
    Rfc2136Setup,
    WebhookSetup,
)
from siteshift.core.model.steering import Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import DriverId, EnactorId, ServiceId
from siteshift.core.setup import Part, PartKind, PlaneRef, Setup
from siteshift.ports import Clock, Enactor, Notifier, StandbyDriver, TrafficMeter
from siteshift.runtime.node import Equipment


@dataclass(slots=True)
class Workshop:
    """The adapters in use, by what they were made from."""

    clock: Clock
    planes: dict[EnactorId, tuple[object, Enactor]] = field(default_factory=dict)
    drivers: dict[DriverId, tuple[object, StandbyDriver]] = field(default_factory=dict)
    meters: dict[str, tuple[object, TrafficMeter]] = field(default_factory=dict)
    notifiers: dict[str, tuple[object, Notifier]] = field(default_factory=dict)

    async def equip(self, resolved: Resolved, steering: Steering | None) -> Equipment:
        """Everything for this configuration. Raises `AdapterError` when a listener cannot be had."""
        for setup in resolved.planes:
            await self._equip_plane(setup, resolved.topology, steering)
        await self._forget(resolved)
        for driver in resolved.drivers:
            if self.drivers.get(driver.id, (None,))[0] != driver:
                self.drivers[driver.id] = (driver, make_driver(driver))
        for meter in resolved.meters:
            if self.meters.get(meter.id, (None,))[0] != meter:
                self.meters[meter.id] = (meter, HaproxyTrafficMeter(haproxy_plane(meter.plane), self.clock))
        for notifier in resolved.notifiers:
            if self.notifiers.get(notifier.id, (None,))[0] != notifier:
                self.notifiers[notifier.id] = (notifier, make_notifier(notifier, self.clock, resolved.node.id))
        return Equipment(
            setup=core_setup(resolved),
            probes=resolved.probes,
            anchors=(*resolved.anchors, *resolved.own_site_anchors),
            enactors={name: plane for name, (_, plane) in self.planes.items()},
            drivers={name: driver for name, (_, driver) in self.drivers.items()},
            meters=[meter for _, meter in self.meters.values()],
            notifiers=[notifier for _, notifier in self.notifiers.values()],
        )

    async def _equip_plane(self, setup: PlaneSetup, topology: Topology, steering: Steering | None) -> None:
        made_from = (setup, topology)
        before = self.planes.get(setup.id)
        if before is not None and before[0] == made_from:
            return
        if before is not None:
            await before[1].close()
        self.planes[setup.id] = (made_from, await make_plane(setup, topology, self.clock, steering))

    async def _forget(self, resolved: Resolved) -> None:
        """Close what the configuration no longer names. Its data plane keeps its last good state."""
        for name in self.planes.keys() - {setup.id for setup in resolved.planes}:
            await self.planes.pop(name)[1].close()
        for gone in self.meters.keys() - {setup.id for setup in resolved.meters}:
            await self.meters.pop(gone)[1].close()
        for lost in self.drivers.keys() - {setup.id for setup in resolved.drivers}:
            self.drivers.pop(lost)
        for old in self.notifiers.keys() - {setup.id for setup in resolved.notifiers}:
            self.notifiers.pop(old)

    async def close(self) -> None:
        for _, plane in self.planes.values():
            await plane.close()
        for _, meter in self.meters.values():
            await meter.close()


async def make_plane(setup: PlaneSetup, topology: Topology, clock: Clock, steering: Steering | None) -> Enactor:
    """One data plane's enactor, listening where it listens. ``steering`` is what a former process enacted."""
    initial = steering if steering is not None and steering.generation > 0 else None
    match setup:
        case EmbeddedDnsSetup():
            dns = EmbeddedDns(setup.id, topology, _zone(setup), clock, initial=initial)
            await dns.start()
            return dns
        case Rfc2136Setup():
            return Rfc2136Enactor(setup.id, topology, _rfc2136(setup), clock, initial=initial)
        case HaproxySetup():
            return HaproxyEnactor(haproxy_plane(setup), clock)
        case AgentCheckSetup():
            host, port = setup.listen
            where = AgentListen(host=host, port=port, ports=dict(setup.ports), stale_after_ms=setup.stale_after_ms)
            agent = AgentCheckEnactor(haproxy_plane(setup.plane), where, clock)
            await agent.start()
            return agent
        case _:
            assert_never(setup)


def _zone(setup: EmbeddedDnsSetup) -> ZoneConfig:
    return ZoneConfig(
        origin=setup.origin,
        ns_names=setup.ns_names,
        listen=setup.listen,
        soa_mname=setup.soa_mname,
        soa_rname=setup.soa_rname,
        records=tuple(
            StaticRecord(name=entry.name, kind=entry.kind, value=entry.value, ttl_s=entry.ttl_s)
            for entry in setup.records
        ),
        ns_ttl_s=setup.ns_ttl_s,
        negative_ttl_s=setup.negative_ttl_s,
    )


def _rfc2136(setup: Rfc2136Setup) -> Rfc2136Config:
    key = UpdateKey(name=setup.tsig_name, secret=setup.tsig_secret.resolve(), algorithm=setup.tsig_algorithm.value)
    return Rfc2136Config(
        zone=setup.zone,
        primary=_server(*setup.primary),
        servers=tuple(_server(*where) for where in setup.verify_servers),
        key=key,
        transport=Transport(setup.transport),
        addresses_max=setup.addresses_max,
    )


def _server(host: str, port: int) -> Server:
    return Server(name=f"{host}:{port}", host=host, port=port)


def haproxy_plane(setup: HaproxySetup) -> HaproxyPlane:
    """The adapter's own form of an HAProxy."""
    return HaproxyPlane(
        id=setup.id,
        address=setup.address,
        backends=tuple(
            BackendMap(
                service=backend.service,
                backend=backend.backend,
                servers=tuple(
                    ServerMap(
                        server=server.server,
                        site=server.site,
                        member=server.member,
                        role=server.role,
                        capacity_rps=server.capacity_rps,
                    )
                    for server in backend.servers
                ),
                algorithm=Algorithm(backend.algorithm.value),
                shed_servers=backend.shed_servers,
            )
            for backend in setup.backends
        ),
        beside=setup.beside,
        mode=PlaneMode(setup.mode.value),
        algorithm=Algorithm(setup.algorithm.value),
        shutdown_sessions_after_ms=setup.shutdown_sessions_after_ms,
    )


def make_notifier(setup: NotifierSetup, clock: Clock, node: str) -> Notifier:
    """One notifier, deaf to what is less than it was asked for."""
    match setup:
        case WebhookSetup():
            url = setup.url_secret.resolve() if setup.url_secret else setup.url
            headers = {"Authorization": f"Bearer {setup.token.resolve()}"} if setup.token else None
            return LeastSeverity(setup.least, WebhookNotifier(url, clock=clock, node=node, headers=headers))
        case CommandNotifierSetup():
            environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
            return LeastSeverity(
                setup.least, CommandNotifier(setup.argv, clock=clock, node=node, environment=environment)
            )
        case LogNotifierSetup():
            return LeastSeverity(setup.least, LogNotifier(node=node))
        case _:
            assert_never(setup)


def core_setup(resolved: Resolved) -> Setup:
    """The setup as the core knows it."""
    return Setup(
        topology=resolved.topology,
        policy=resolved.policy,
        node=resolved.node.id,
        planes=tuple(_plane_ref(plane, resolved) for plane in resolved.planes),
        metered=metered_services(resolved),
        parts=_parts(resolved),
        digest=resolved.digest,
    )


def _plane_ref(setup: PlaneSetup, resolved: Resolved) -> PlaneRef:
    match setup:
        case EmbeddedDnsSetup():
            return PlaneRef(id=setup.id, services=setup.services, site=resolved.node.site, answers_itself=True)
        case Rfc2136Setup():
            return PlaneRef(id=setup.id, services=setup.services)
        case HaproxySetup():
            return PlaneRef(id=setup.id, services=_carried(setup), site=setup.beside)
        case AgentCheckSetup():
            carried = _carried(setup.plane)
            return PlaneRef(id=setup.id, services=carried, site=setup.plane.beside, answers_itself=True)
        case _:
            assert_never(setup)


def _carried(setup: HaproxySetup) -> tuple[ServiceId, ...]:
    return tuple(dict.fromkeys(backend.service for backend in setup.backends))


def metered_services(resolved: Resolved) -> frozenset[ServiceId]:
    """Services whose traffic somebody measures."""
    return frozenset(backend.service for meter in resolved.meters for backend in meter.plane.backends)


def _parts(resolved: Resolved) -> tuple[Part, ...]:
    site = resolved.node.site
    return (
        Part(kind=PartKind.NODE, id=resolved.node.id, site=site),
        Part(kind=PartKind.STORE, id=resolved.store.path, site=site),
    )


def secrets_of(resolved: Resolved) -> Mapping[str, str]:
    """Every secret in plain text, for the log's redaction. Never printed."""
    found = {f"token {token.owner}": token.secret.resolve() for token in resolved.api.tokens}
    for plane in resolved.planes:
        if isinstance(plane, Rfc2136Setup):
            found[f"tsig {plane.id}"] = plane.tsig_secret.resolve()
    return found
