"""What the composition root builds adapters from: one frozen dataclass for each outside thing that is configured.

Field names follow the adapters' own dataclasses. Secrets are references; `SecretRef.resolve` reads them when
the adapter is built. DNS names are absolute, with the final dot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from siteshift.config.model.enactors import HaproxyAlgorithm, HaproxyMode, TsigAlgorithm
from siteshift.config.model.node import LogFormat, LogLevel, Role
from siteshift.config.secret import SecretRef
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.mark import Origin
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.units import DriverId, EnactorId, MemberId, ServiceId, SiteId, VantageId

HostPortPair = tuple[str, int]


# Data planes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRecordSetup:
    """One record that is never steered; ``name`` as in `ZoneConfig`: relative, ``@``, or absolute with a final dot."""

    name: str
    kind: str
    value: str
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDnsSetup:
    """The embedded DNS server. ``services`` are those with a name in the zone; ``signer`` signs the steering; ``below`` are the
    zones of other enactors inside this one, whose names are theirs."""

    id: EnactorId
    origin: str
    ns_names: tuple[str, ...]
    listen: tuple[HostPortPair, ...]
    soa_mname: str
    soa_rname: str
    records: tuple[StaticRecordSetup, ...]
    ns_ttl_s: int
    negative_ttl_s: int
    services: tuple[ServiceId, ...]
    signer: Origin
    below: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rfc2136Setup:
    """A zone on a server that takes updates. ``tsig_secret`` is base64 text; ``verify_servers`` is never empty; ``signer`` signs
    the steering; ``below`` as for the embedded one."""

    id: EnactorId
    zone: str
    primary: HostPortPair
    verify_servers: tuple[HostPortPair, ...]
    tsig_name: str
    tsig_algorithm: TsigAlgorithm
    tsig_secret: SecretRef
    transport: str
    addresses_max: int
    services: tuple[ServiceId, ...]
    signer: Origin
    below: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSetup:
    """One ``server`` line. ``member`` None: a tunnel to another site."""

    server: str
    site: SiteId
    member: MemberId | None
    role: MemberRole
    capacity_rps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSetup:
    """One ``backend`` section and the service it carries."""

    service: ServiceId
    backend: str
    servers: tuple[ServerSetup, ...]
    algorithm: HaproxyAlgorithm
    shed_servers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxySetup:
    """One HAProxy. ``address`` is ``unix:/path`` or ``host:port``; empty when it asks us (agent check). ``origin`` signs."""

    id: EnactorId
    origin: Origin
    address: str
    backends: tuple[BackendSetup, ...]
    beside: SiteId | None
    mode: HaproxyMode
    algorithm: HaproxyAlgorithm
    shutdown_sessions_after_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCheckSetup:
    """The responder HAProxy's ``agent-check`` asks. ``ports`` are those of single servers (``backend/server``), as are
    ``initial_weights``.
    """

    id: EnactorId
    plane: HaproxySetup
    listen: HostPortPair
    ports: tuple[tuple[str, int], ...]
    initial_weight: int
    initial_weights: tuple[tuple[str, int], ...]
    stale_after_ms: int


PlaneSetup = EmbeddedDnsSetup | Rfc2136Setup | HaproxySetup | AgentCheckSetup


# Standby drivers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyServer:
    """Where one standby member is found in HAProxy."""

    member: MemberId
    backend: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyServerDriverSetup:
    """Standby members that wait behind HAProxies; every one of ``addresses`` has them."""

    id: DriverId
    addresses: tuple[str, ...]
    servers: tuple[StandbyServer, ...]
    timeout_ms: int
    site: SiteId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpHookSetup:
    """URLs hold ``{member}``, ``{service}``, ``{site}``, ``{name}``, ``{address}`` and ``{port}`` as written."""

    id: DriverId
    activate_url: str
    retire_url: str
    phase_url: str
    headers: tuple[tuple[str, str], ...]
    token: SecretRef | None
    timeout_ms: int
    site: SiteId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHookSetup:
    """Arguments hold the same placeholders as `HttpHookSetup`."""

    id: DriverId
    activate: tuple[str, ...]
    retire: tuple[str, ...]
    phase: tuple[str, ...]
    timeout_ms: int
    site: SiteId | None


DriverSetup = HaproxyServerDriverSetup | HttpHookSetup | CommandHookSetup


# Seeing ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyMeterSetup:
    """A traffic meter on the HAProxy of an enactor."""

    id: str
    plane: HaproxySetup
    every_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapePageSetup:
    """One page of counters and the site it counts for."""

    site: SiteId
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeMeterSetup:
    """A traffic meter on pages of counters. ``labels`` choose the series that count; empty names: not counted."""

    id: str
    service: ServiceId
    pages: tuple[ScrapePageSetup, ...]
    counter: str
    error_counter: str
    seconds_counter: str
    labels: tuple[tuple[str, str], ...]
    token: SecretRef | None
    every_ms: int
    timeout_ms: int


MeterSetup = HaproxyMeterSetup | ScrapeMeterSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyStatSetup:
    """Passive evidence from ``show stat`` of the HAProxy of an enactor."""

    id: str
    plane: HaproxySetup
    every_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSetup:
    """Passive evidence from instant queries, one for each site, of one number each: ``error_ratio`` or ``latency_s``."""

    id: str
    url: str
    service: ServiceId
    queries: tuple[tuple[SiteId, str], ...]
    measures: str
    degraded_above_pm: int
    every_ms: int
    timeout_ms: int
    token: SecretRef | None


EvidenceSetup = HaproxyStatSetup | PrometheusSetup


# Telling -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSetup:
    """JSON by POST to ``url``, or to the URL that ``url_secret`` holds: exactly one of them is set."""

    id: str
    least: AlertSeverity
    url: str
    url_secret: SecretRef | None
    token: SecretRef | None
    site: SiteId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandNotifierSetup:
    """A program that gets the notice as JSON on standard input."""

    id: str
    least: AlertSeverity
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNotifierSetup:
    """The node's log."""

    id: str
    least: AlertSeverity


NotifierSetup = WebhookSetup | CommandNotifierSetup | LogNotifierSetup


# The node ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSetup:
    """This node."""

    id: VantageId
    site: SiteId
    state_dir: str
    cluster: str

    @property
    def origin(self) -> Origin:
        """Who signs what this node writes."""
        return Origin(cluster=self.cluster, node=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixGrantSetup:
    """A role by peer credentials: exactly one of ``user`` and ``group`` is not empty (a name or a number)."""

    user: str
    group: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsListenerSetup:
    """The API over TLS. ``client_ca_file`` empty: no client certificates."""

    listen: HostPortPair
    certificate_file: str
    key: SecretRef
    client_ca_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSetup:
    """One bearer token and whose it is. ``unix_user``: the same person's Unix user; empty: the one of the owner's name."""

    owner: str
    role: Role
    secret: SecretRef
    unix_user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSetup:
    """How the API is reached. ``unix_mode`` are the permission bits of the socket."""

    unix_path: str
    unix_mode: int
    unix_grants: tuple[UnixGrantSetup, ...]
    tls: TlsListenerSetup | None
    tokens: tuple[TokenSetup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStoreSetup:
    """The store: one file."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSetup:
    """How long the record is kept (see the configuration reference). None: for ever, without bound."""

    folder: str
    keep_days: int
    keep_mb: int
    sealed_days: int | None
    sealed_mb: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSetup:
    """What is logged and how."""

    level: LogLevel
    format: LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSetup:
    """Bounds of queues, calls and bodies (see the configuration reference)."""

    event_queue: int
    notify_queue: int
    journal_rows: int
    api_subscribers: int
    api_body_bytes: int
    enact_timeout_ms: int
