"""Which names exist in a zone, and which of them are steered: what follows from the configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dns.name

from siteshift.adapters.dns.embedded_query import Kind
from siteshift.adapters.dns.embedded_records import FixedNodes, fixed_nodes, wire_of
from siteshift.adapters.dns.embedded_slots import VARIANTS_MAX
from siteshift.adapters.dns.fence import FENCE_LABEL
from siteshift.adapters.dns.zone import ZoneConfig
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A zone as configured. ``names`` are the wire names of each service carried here; ``fixed`` every name there is."""

    config: ZoneConfig
    origin: bytes
    services: Mapping[ServiceId, Service]
    names: Mapping[ServiceId, tuple[bytes, ...]]
    fixed: FixedNodes


def layout_of(topology: Topology, config: ZoneConfig) -> Layout:
    """Raises ValueError when the zone cannot be served as configured."""
    names = service_names(topology, config)
    services = {service.id: service for service in topology.services if service.id in names}
    for service in services.values():
        if len(service.pools) >= VARIANTS_MAX:
            raise ValueError(f"{service.id} has {len(service.pools)} sites; a table holds {VARIANTS_MAX - 1}")
    return Layout(
        config=config,
        origin=wire_of(config.origin_name),
        services=services,
        names=names,
        fixed=skeleton(config, names),
    )


def service_names(topology: Topology, zone: ZoneConfig) -> dict[ServiceId, tuple[bytes, ...]]:
    """The names of each service that lie in the zone; services without any are not carried here."""
    found: dict[ServiceId, tuple[bytes, ...]] = {}
    for service in topology.services:
        names = [dns.name.from_text(name) for name in service.names]
        wires = tuple(wire_of(name) for name in names if zone.holds(name))
        if wires and any(pool.answers for pool in service.pools):
            found[service.id] = wires
    return found


def skeleton(zone: ZoneConfig, names: Mapping[ServiceId, tuple[bytes, ...]]) -> FixedNodes:
    """All names that exist, with their fixed records. Raises ValueError when one is both fixed and steered."""
    nodes = fixed_nodes(zone)
    origin = wire_of(zone.origin_name)
    owners: dict[bytes, ServiceId] = {}
    for service, wires in names.items():
        for name in wires:
            taken = owners.setdefault(name, service)
            if taken != service or {Kind.A, Kind.AAAA, Kind.CNAME} & nodes.get(name, {}).keys():
                text = dns.name.from_wire(name, 0)[0].to_text()
                raise ValueError(f"{text} of {service} is steered twice or has a fixed address or alias too")
    for name in [origin, fence_name(origin), *nodes, *owners]:
        at = 0
        while name[at:] != origin:
            nodes.setdefault(name[at:], {})
            at += 1 + name[at]
    nodes.setdefault(origin, {})
    return nodes


def fence_name(origin: bytes) -> bytes:
    """Where the zone says which steering it carries."""
    return bytes((len(FENCE_LABEL),)) + FENCE_LABEL.encode() + origin
