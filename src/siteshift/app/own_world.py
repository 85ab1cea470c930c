"""An installation's own configuration as a virtual world: its sites, shares, capacities, groups, planes, policy and node.

What the file cannot say is what a scenario says of any world: the habits of users and servers, how long a standby takes to start,
how demand goes. What the virtual world has otherwise is told (`Ground.notes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from siteshift.app.core_setup import metered_by, plane_ref
from siteshift.config import load_config
from siteshift.config.load import Surroundings
from siteshift.config.model.root import ConfigFile
from siteshift.config.resolve import topology_of
from siteshift.config.resolve_planes import meters_of, planes_of
from siteshift.config.resolve_policy import policy_of
from siteshift.core.model.codes import DataKind
from siteshift.core.model.setup import PlaneKind, PlaneRef, Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId, SiteId, VantageId
from siteshift.sim.scenario.scenario import Ground
from siteshift.sim.scenario.world import SORRY_ANSWERS
from siteshift.sim.world.spec import OUTSIDE, Entry, NodeSpec, PlaneSpec, WorldSpec

WRITE_MS = {PlaneKind.DNS: 20, PlaneKind.BALANCER: 5}
"""As in the standard world."""


def load_ground(path: Path) -> Ground:
    """The world and policy of a configuration, wherever it is read: secrets and files it names need not be there.

    Raises `ConfigError` with every problem.
    """
    config = load_config(path, Surroundings.IGNORED).config
    topology = topology_of(config)
    planes = planes_of(config, topology)
    here = SiteId(config.node.site)
    setup = Setup(
        topology=topology,
        policy=policy_of(config),
        node=VantageId(config.node.id),
        planes=tuple(plane_ref(plane, topology, here) for plane in planes),
        metered=metered_by(meters_of(config, planes)),
    )
    return Ground(world=_world(setup, here), policy=setup.policy, notes=tuple(_not_simulated(setup, config)))


def _not_simulated(setup: Setup, config: ConfigFile) -> Iterator[str]:
    """What the virtual world has otherwise, a sentence each."""
    kinds = sorted({probe.kind for service in config.services for probe in service.probes} - {"http"})
    if kinds:
        yield f"checks by {', '.join(kinds)} are made like checks by http, at the interval and timeout of `judging`"
    for plane in setup.planes:
        if plane.site is not None and _is_before_all(plane, setup):
            yield f"`{plane.id}` stands before all sites by itself; that it is lost with {plane.site} is not simulated"
    unsteered = [service.id for service in setup.topology.services if not setup.planes_of(service.id)]
    if unsteered:
        yield f"no data plane carries {', '.join(unsteered)}: their users stay where they are"
    if any(service.data is DataKind.WRITABLE for service in setup.topology.services):
        yield "the role of data at a site is what the scenario says (`data_role`); no check reads it"
    if config.evidence:
        yield "sources of evidence besides checks and counted traffic are not there"


def _world(setup: Setup, here: SiteId) -> WorldSpec:
    services = tuple(_service(service, setup) for service in setup.topology.services)
    return WorldSpec(
        topology=replace(setup.topology, services=services),
        nodes=(NodeSpec(id=setup.node, site=here),),
        planes=tuple(_plane(plane, setup) for plane in setup.planes),
        entry={service.id: _entry(setup, service.id) for service in services},
        unmetered=tuple(service.id for service in services if service.id not in setup.metered),
    )


def _service(service: Service, setup: Setup) -> Service:
    """Where a balancer answers what is shed, the virtual world has a page for it."""
    if service.shed_answers or not setup.answers_shed(service):
        return service
    return replace(service, shed_answers=SORRY_ANSWERS)


def _plane(plane: PlaneRef, setup: Setup) -> PlaneSpec:
    return PlaneSpec(
        id=plane.id,
        kind=plane.kind,
        place=OUTSIDE if plane.site is None or _is_before_all(plane, setup) else plane.site,
        services=plane.services,
        write_ms=WRITE_MS[plane.kind],
        answers_itself=plane.answers_itself,
    )


def _is_before_all(plane: PlaneRef, setup: Setup) -> bool:
    """Whether users come to this balancer itself, whatever site they are served in: no DNS of ours leads them to one."""
    others = [other for service in plane.services for other in setup.planes_of(service)]
    return plane.kind is PlaneKind.BALANCER and (plane.site is None or all(o.kind is not PlaneKind.DNS for o in others))


def _entry(setup: Setup, service: ServiceId) -> Entry:
    """By which way users of a service come: names, a balancer before all sites, or names and a balancer in a site."""
    planes = setup.planes_of(service)
    if any(_is_before_all(plane, setup) for plane in planes):
        return Entry.BALANCER
    return Entry.DNS_AND_BALANCER if any(plane.kind is PlaneKind.BALANCER for plane in planes) else Entry.DNS
