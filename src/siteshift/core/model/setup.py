"""What the core is told once and again at every reload: topology, policy, and where our own parts stand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from siteshift.core.model.mark import Origin
from siteshift.core.model.policy import Policy
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId, VantageId


class PlaneKind(StrEnum):
    """How a data plane steers: by answers that resolvers keep for their TTL, or request by request."""

    DNS = "dns"
    BALANCER = "balancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRef:
    """A data plane as the core knows it: which services it carries and beside which site it stands (None: outside).

    ``answers_itself``: the plane has no state but ours (the embedded DNS), so it is always told everything.
    ``sheds``: services of which it can answer the shed part by itself (a load balancer's servers that say "come back later").
    ``mapping``: a digest of what the configuration makes of it: names and addresses of services, servers of members. Empty:
    not known.
    """

    id: EnactorId
    services: tuple[ServiceId, ...]
    site: SiteId | None = None
    answers_itself: bool = False
    sheds: frozenset[ServiceId] = frozenset()
    kind: PlaneKind = PlaneKind.DNS
    mapping: str = ""


class PartKind(StrEnum):
    """What a failover needs besides the data planes themselves (law 17)."""

    NODE = "node"
    STORE = "store"
    DNS = "dns"
    NOTIFIER = "notifier"
    STANDBY_DRIVER = "standby_driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of our own parts and the site it would be lost with (None: outside every site)."""

    kind: PartKind
    id: str
    site: SiteId | None = None


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything `step` needs to know that is not state. ``digest`` names the configuration it came from.

    ``cluster`` tells installations apart on a data plane that two of them write to (empty: nothing is signed).
    """

    topology: Topology
    policy: Policy
    node: VantageId
    planes: tuple[PlaneRef, ...] = ()
    metered: frozenset[ServiceId] = frozenset()
    parts: tuple[Part, ...] = ()
    digest: str = ""
    cluster: str = ""
    approvers: frozenset[str] | None = None
    """Canonical names of those who may approve; None: whoever lets people in sees to it (tests, simulation)."""

    @cached_property
    def origin(self) -> Origin | None:
        """Who signs what this node decides."""
        return Origin(cluster=self.cluster, node=self.node) if self.cluster else None

    @cached_property
    def plane_ids(self) -> frozenset[EnactorId]:
        return frozenset(plane.id for plane in self.planes)

    def planes_of(self, service: ServiceId) -> tuple[PlaneRef, ...]:
        return self._planes_by_service.get(service, ())

    @cached_property
    def _planes_by_service(self) -> dict[ServiceId, tuple[PlaneRef, ...]]:
        found: dict[ServiceId, tuple[PlaneRef, ...]] = {}
        for plane in self.planes:
            for service in dict.fromkeys(plane.services):
                found[service] = (*found.get(service, ()), plane)
        return found

    @cached_property
    def steered_by_dns(self) -> frozenset[ServiceId]:
        """Services whose old answers live on in caches: a DNS plane carries them, or nobody says who does."""
        carried = {service for plane in self.planes for service in plane.services}
        by_dns = {service for plane in self.planes if plane.kind is PlaneKind.DNS for service in plane.services}
        return frozenset(s.id for s in self.topology.services if s.id in by_dns or s.id not in carried)

    def answers_shed(self, service: Service) -> bool:
        """Whether what is shed of a service has an answer of its own, by DNS or by a data plane; else it stays at some site."""
        return bool(service.shed_answers) or service.id in self._shed_by_planes

    @cached_property
    def _shed_by_planes(self) -> frozenset[ServiceId]:
        return frozenset(service for plane in self.planes for service in plane.sheds)

    def without_shed_answer(self, service: ServiceId) -> tuple[PlaneRef, ...]:
        """The planes that have no answer for what is shed of a service: there it stays where it was (law 7: openly)."""
        if self.topology.service_by_id[service].shed_answers:
            return ()
        return tuple(plane for plane in self.planes_of(service) if service not in plane.sheds)
