"""The configuration as the core knows it: who carries what, what is metered, and where the parts of us stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import assert_never

from siteshift.api.identity import approvers_of
from siteshift.app.sensors import covered_by
from siteshift.config import Resolved
from siteshift.config.setups import (
    AgentCheckSetup,
    EmbeddedDnsSetup,
    HaproxySetup,
    MeterSetup,
    NotifierSetup,
    PlaneSetup,
    Rfc2136Setup,
    WebhookSetup,
)
from siteshift.core.model.setup import Part, PartKind, PlaneKind, PlaneRef, Setup
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import ServiceId, SiteId


def core_setup(resolved: Resolved) -> Setup:
    """The setup as the core knows it."""
    return Setup(
        topology=resolved.topology,
        policy=resolved.policy,
        node=resolved.node.id,
        planes=tuple(plane_ref(plane, resolved.topology, resolved.node.site) for plane in resolved.planes),
        metered=metered_by(resolved.meters),
        parts=_parts(resolved),
        digest=resolved.digest,
        cluster=resolved.node.cluster,
        approvers=approvers_of(resolved.api),
    )


def metered_by(meters: Iterable[MeterSetup]) -> frozenset[ServiceId]:
    """The services whose traffic is measured somewhere."""
    return frozenset(service for meter in meters for service, _ in covered_by(meter))


def plane_ref(setup: PlaneSetup, topology: Topology, here: SiteId) -> PlaneRef:
    """A data plane as the core knows it; what the node itself answers stands ``here``."""
    mapping = _mapping(setup, topology)
    match setup:
        case EmbeddedDnsSetup():
            return PlaneRef(id=setup.id, services=setup.services, site=here, answers_itself=True, mapping=mapping)
        case Rfc2136Setup():
            return PlaneRef(id=setup.id, services=setup.services, mapping=mapping)
        case HaproxySetup():
            return PlaneRef(
                id=setup.id,
                services=_carried(setup),
                site=setup.beside,
                sheds=_shed(setup),
                kind=PlaneKind.BALANCER,
                mapping=mapping,
            )
        case AgentCheckSetup():
            carried = _carried(setup.plane)
            site, sheds = setup.plane.beside, _shed(setup.plane)
            return PlaneRef(
                id=setup.id,
                services=carried,
                site=site,
                answers_itself=True,
                sheds=sheds,
                kind=PlaneKind.BALANCER,
                mapping=mapping,
            )
        case _:
            assert_never(setup)


def _mapping(setup: PlaneSetup, topology: Topology) -> str:
    """A digest of the plane's section and, where it answers with names and addresses, of those. Secrets are references here."""
    matter = [repr(setup)]
    if isinstance(setup, EmbeddedDnsSetup | Rfc2136Setup):
        matter += [repr(setup.below)] if setup.below else []
        for service in (s for s in topology.services if s.id in setup.services):
            matter += [repr(service.names), *(repr((pool.site, pool.answers)) for pool in service.pools)]
    return hashlib.sha256("\n".join(matter).encode()).hexdigest()[:16]


def _carried(setup: HaproxySetup) -> tuple[ServiceId, ...]:
    return tuple(dict.fromkeys(backend.service for backend in setup.backends))


def _shed(setup: HaproxySetup) -> frozenset[ServiceId]:
    """Services of which this HAProxy answers the shed part by servers of their own."""
    return frozenset(backend.service for backend in setup.backends if backend.shed_servers)


def _parts(resolved: Resolved) -> tuple[Part, ...]:
    site = resolved.node.site
    drivers = (Part(kind=PartKind.STANDBY_DRIVER, id=entry.id, site=entry.site) for entry in resolved.drivers)
    return (
        Part(kind=PartKind.NODE, id=resolved.node.id, site=site),
        Part(kind=PartKind.STORE, id=resolved.store.path, site=site),
        *drivers,
        *(Part(kind=PartKind.NOTIFIER, id=entry.id, site=_stands_in(entry, site)) for entry in resolved.notifiers),
    )


def _stands_in(notifier: NotifierSetup, here: SiteId) -> SiteId | None:
    """A log and a command are as lost as the node; a receiver elsewhere is where the configuration says."""
    return notifier.site if isinstance(notifier, WebhookSetup) else here
