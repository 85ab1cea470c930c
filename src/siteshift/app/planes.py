"""Makes the enactors of data planes, and changes a running one in place where that avoids a gap."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.rfc2136 import Rfc2136Enactor
from siteshift.adapters.dns.rfc2136_records import Rfc2136Config, UpdateKey
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.haproxy.agent_listener import AgentListen
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane, PlaneMode, ServerMap
from siteshift.adapters.haproxy.targets import mapped_servers
from siteshift.config.resolve_planes import in_zone
from siteshift.config.setups import AgentCheckSetup, EmbeddedDnsSetup, HaproxySetup, PlaneSetup, Rfc2136Setup
from siteshift.core.model.steering import Steering
from siteshift.core.model.topology import Topology
from siteshift.errors import Permanent
from siteshift.ports import Clock, Enactor


async def make_plane(
    setup: PlaneSetup, topology: Topology, clock: Clock, steering: Steering | None, descriptors: Descriptors
) -> Enactor:
    """One data plane's enactor, listening where it listens. ``steering`` is what a former process enacted,
    ``descriptors`` what the clients of all listeners may have together.

    Raises `Permanent` when it cannot be made as configured or an address cannot be had.
    """
    initial = steering if steering is not None and steering.generation > 0 else None
    try:
        match setup:
            case EmbeddedDnsSetup():
                dns = EmbeddedDns(
                    setup.id,
                    _in_its_zone(topology, setup),
                    zone_of(setup),
                    clock,
                    initial=initial,
                    descriptors=descriptors,
                    signer=setup.signer,
                )
                await dns.start()
                return dns
            case Rfc2136Setup():
                return Rfc2136Enactor(setup.id, _in_its_zone(topology, setup), _rfc2136(setup), clock, initial=initial)
            case HaproxySetup():
                return HaproxyEnactor(haproxy_plane(setup), clock)
            case AgentCheckSetup():
                agent = AgentCheckEnactor(_agent_plane(setup), _agent_listen(setup), clock)
                await agent.start()
                return agent
            case _:
                assert_never(setup)
    except ValueError as error:
        raise Permanent(str(error), system=f"enactor {setup.id}", operation="start") from error


async def change_zone(dns: EmbeddedDns, setup: EmbeddedDnsSetup, topology: Topology) -> None:
    """Let a running DNS server serve another configuration, without a gap. Raises `Permanent`; then nothing changed."""
    try:
        await dns.reconfigure(_in_its_zone(topology, setup), zone_of(setup))
    except ValueError as error:
        raise Permanent(str(error), system=f"enactor {setup.id}", operation="reconfigure") from error


def _in_its_zone(topology: Topology, setup: EmbeddedDnsSetup | Rfc2136Setup) -> Topology:
    """The same without the names that a zone below this one holds: another enactor writes them there."""
    if not setup.below:
        return topology

    def is_ours(name: str) -> bool:
        return not any(in_zone(name, zone) for zone in setup.below)

    services = tuple(replace(service, names=tuple(filter(is_ours, service.names))) for service in topology.services)
    return replace(topology, services=services)


def zone_of(setup: EmbeddedDnsSetup) -> ZoneConfig:
    """The adapter's own form of the zone."""
    return ZoneConfig(
        origin=setup.origin,
        ns_names=setup.ns_names,
        listen=setup.listen,
        soa_mname=setup.soa_mname,
        soa_rname=setup.soa_rname,
        records=tuple(
            StaticRecord(name=entry.name, kind=entry.kind, value=entry.value, ttl_s=entry.ttl_s) for entry in setup.records
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
        signer=setup.signer,
    )


def _server(host: str, port: int) -> Server:
    return Server(name=f"{host}:{port}", host=host, port=port)


def _agent_plane(setup: AgentCheckSetup) -> HaproxyPlane:
    plane = haproxy_plane(setup.plane)
    own = dict(setup.initial_weights)
    backends = tuple(
        replace(
            backend,
            initial_weights={name: own[path] for name in mapped_servers(backend) if (path := f"{backend.backend}/{name}") in own},
        )
        for backend in plane.backends
    )
    return replace(plane, backends=backends, initial_weight=setup.initial_weight)


def _agent_listen(setup: AgentCheckSetup) -> AgentListen:
    host, port = setup.listen
    return AgentListen(host=host, port=port, ports=dict(setup.ports), stale_after_ms=setup.stale_after_ms)


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
        origin=setup.origin,
    )
