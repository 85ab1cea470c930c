"""What lab to build, and where everything of it goes: from a shape and a ground to addresses and a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from siteshift.lab import bind
from siteshift.lab.addresses import PORTS
from siteshift.lab.balancer import WARM_DRIVER, Balancer, Place
from siteshift.lab.ground import DnsListener, Ground
from siteshift.lab.setup import NodeOptions, embedded_dns
from siteshift.lab.spec import (
    FRONTS_FOR_MULTIPLICITY,
    THREE_SITES,
    ClientSpec,
    FrontBy,
    LabSpec,
    NoiseSpec,
    SiteShape,
    build_sites,
)

BALANCER_HOST = "0.10"
ANCHOR_HOSTS = ("250.1", "250.2", "251.1")


class NamesBy(StrEnum):
    """Who answers for the service's name: the node's embedded server, or BIND, which the node updates."""

    NODE = "node"
    BIND = "bind"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabShape:
    """What to build. ``folder`` None: a temporary one, removed at the end. ``balancer`` None: users reach site fronts."""

    sites: tuple[SiteShape, ...] = THREE_SITES
    clients: ClientSpec = field(default_factory=ClientSpec)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    node: NodeOptions = field(default_factory=NodeOptions)
    balancer: Balancer | None = None
    names_by: NamesBy = NamesBy.NODE
    start_ms: int = 1_500
    queue_ms: int = 800
    seed: int = 1
    folder: Path | None = None


def lay_out(shape: LabShape, ground: Ground, folder: Path) -> LabSpec:
    """Give everything an address on that ground."""
    prefix = ground.prefix
    anchors = tuple(f"{prefix}.{host}" for host in ANCHOR_HOSTS)
    balancer = f"{prefix}.{BALANCER_HOST}"
    dns, dns_port = ground.dns_at(listener=DnsListener(shape.names_by.value))
    fronts = FRONTS_FOR_MULTIPLICITY if shape.names_by is NamesBy.BIND else 1
    build = partial(build_sites, shape.sites, prefix=prefix, load_rps=shape.clients.load_rps, fronts=fronts)
    inside = [address for site in build(port=0) for address in site.addresses]
    port = ground.port([balancer, *anchors, *inside], PORTS)
    at_edge = shape.balancer is not None and shape.balancer.place is Place.EDGE
    in_sites = shape.balancer is not None and not at_edge
    return LabSpec(
        sites=build(port=port),
        folder=str(folder),
        port=port,
        dns=dns,
        dns_port=dns_port,
        anchors=anchors,
        balancer=balancer if at_edge else "",
        front_by=FrontBy.HAPROXY if in_sites else FrontBy.SITE,
        clients=replace(shape.clients, seed=shape.seed, direct=(balancer,) if at_edge else shape.clients.direct),
        noise=shape.noise,
        start_ms=shape.start_ms,
        queue_ms=shape.queue_ms,
        seed=shape.seed,
    )


def node_options(spec: LabSpec, shape: LabShape) -> NodeOptions:
    """The node's options with the data planes of this form of the lab."""
    options, balancer = shape.node, shape.balancer
    sections: dict[str, object] = {}
    enactors = [bind.enactor(spec) if shape.names_by is NamesBy.BIND else embedded_dns(spec)]
    if balancer is not None:
        enactors = ([] if spec.balancer else enactors) + balancer.enactors(spec)
        sections = {"traffic": balancer.meters(spec), "evidence": balancer.evidence(spec)}
        if drivers := balancer.standby_drivers(spec):
            sections["standby_drivers"] = drivers
            options = replace(options, standby_driver=WARM_DRIVER)
    sections = {"enactors": enactors, **sections, **options.sections}
    return replace(options, sections=sections)
