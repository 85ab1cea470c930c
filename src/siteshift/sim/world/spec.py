"""What a virtual world is made of, as frozen data. Scenario files are read into this; `worlds` builds the usual ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId, VantageId

OUTSIDE = "outside"
"""The place of what stands in no site: hosted DNS, a third party's notifier."""
USERS = "users"
ANCHORS = "anchors"


class Entry(StrEnum):
    """How users of a service find a site."""

    DNS = "dns"
    """Resolvers with caches ask the DNS planes; a drained site is left as caches run out."""
    BALANCER = "balancer"
    """One layer of load balancers in front of all sites: weights count at once."""
    DNS_AND_BALANCER = "dns_and_balancer"
    """DNS chooses a site; its balancer sends on what the steering no longer wants there (residual tunnelled)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """Demand of one service over time.

    ``curve_pm`` are points over one ``period_ms``, joined by straight lines, in per mille of ``peak_rps``; a single
    point is a constant. ``at_ms`` 0 of the scenario is ``start_ms`` into the period.
    """

    peak_rps: int
    curve_pm: tuple[int, ...] = (1_000,)
    period_ms: int = 86_400_000
    start_ms: int = 0


# fmt: off
DAILY_CURVE_PM = (
    450, 350, 300, 280, 280, 320, 450, 650, 850, 920, 940, 960,
    980, 950, 930, 920, 930, 950, 970, 1_000, 980, 900, 750, 580,
)
# fmt: on
"""A day by the hour, midnight first: a messenger's weekday, by the peaks the facts file tells of (commuting and evening)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec:
    """The users of one service, and the resolvers between.

    ``stretch_pm`` of resolvers keep answers at least ``stretch_ms`` (8.7 %: PAM 2023). ``pin_pm`` keep their first answer
    for ``pin_ms``. Somebody asks a resolver ``resolver_idle_ms`` after its answer ran out, on the mean. ``reuse_pm`` of
    requests go over a connection opened before, living ``connection_ms`` on the mean, reset when its server dies and given
    up when a request on it gets no answer. A user waits ``deadline_ms`` for an answer; each try gives up after ``try_ms`` and
    is tried again ``retry_after_ms`` later, at most ``retries`` times, while retries stay under ``retry_budget_pm`` of first
    tries (None: no budget, so overload can feed itself).
    """

    stretch_pm: int = 87
    stretch_ms: int = 60_000
    pin_pm: int = 0
    pin_ms: int = 3_600_000
    resolver_idle_ms: int = 0
    reuse_pm: int = 500
    connection_ms: int = 15_000
    deadline_ms: int = 1_000
    try_ms: int = 1_000
    retries: int = 0
    retry_after_ms: int = 100
    retry_budget_pm: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """What every member is like.

    Work beyond capacity waits; more than ``queue_ms`` of it is turned away (503). Past the knee servers serve less, not
    more: with load ``x`` times the capacity, x > ``knee_pm``/1000, capacity shrinks by 1 / (1 + ``thrash_pm``/1000 · (x - knee)).
    A site's front sends a refused connection to another member, as balancers do.
    """

    latency_ms: int = 10
    queue_ms: int = 800
    knee_pm: int = 1_000
    thrash_pm: int = 300
    background_error_pm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbySpec:
    """How standby members start. ``cold_start_ms`` 15 s; the lab's take 1.5 s."""

    cold_start_ms: int = 15_000
    answer_ms: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSpec:
    """One data plane. ``place``: the site it is lost with, or `OUTSIDE`. ``services`` empty: all.

    ``redispatches``: this balancer before all sites sends a refused connection to another site.
    """

    id: EnactorId
    kind: PlaneKind = PlaneKind.DNS
    place: str = OUTSIDE
    services: tuple[ServiceId, ...] = ()
    write_ms: int = 20
    read_ms: int = 10
    answers_itself: bool = True
    redispatches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One controller node: where it stands, when its wall clock says something else than ours, how long its process takes
    from being started again to its first probe."""

    id: VantageId
    site: SiteId
    wall_offset_ms: int = 0
    starts_in_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """The model of etcd: members at these sites, a lease for the leader's key, and how long calls take."""

    sites: tuple[SiteId, ...]
    lease_ms: int = 2_000
    keepalive_ms: int = 500
    write_ms: int = 2
    election_ms: int = 500
    deadline_ms: int = 1_000
    """How long a node waits for a call: half a lease, so that another one is in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSpec:
    """What disturbs probes of healthy members: independent failures, per million checks."""

    failures_ppm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSpec:
    """A whole world. With one node and no ``store`` the node holds term 1 for ever; with several a store is needed.

    ``delays_ms`` overrides the delay of single links (both ways); others take ``far_ms``, within a place ``near_ms``.
    ``anchors`` is the number of outside addresses each node checks itself against.
    """

    topology: Topology
    nodes: tuple[NodeSpec, ...]
    planes: tuple[PlaneSpec, ...]
    loads: dict[ServiceId, LoadSpec] = field(default_factory=dict)
    clients: dict[ServiceId, ClientSpec] = field(default_factory=dict)
    entry: dict[ServiceId, Entry] = field(default_factory=dict)
    server: ServerSpec = field(default_factory=ServerSpec)
    standby: StandbySpec = field(default_factory=StandbySpec)
    store: StoreSpec | None = None
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    delays_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    near_ms: int = 1
    far_ms: int = 3
    anchors: int = 2
    meter_every_ms: int = 500
    unmetered: tuple[ServiceId, ...] = ()
    """Services whose traffic nobody measures: their configured demand has to do."""

    def load_of(self, service: ServiceId) -> LoadSpec:
        """The service's load; by default its configured demand, all the time."""
        found = self.loads.get(service)
        return found or LoadSpec(peak_rps=self.topology.service_by_id[service].demand_rps)

    def clients_of(self, service: ServiceId) -> ClientSpec:
        return self.clients.get(service, ClientSpec())

    def entry_of(self, service: ServiceId) -> Entry:
        return self.entry.get(service, Entry.DNS)
