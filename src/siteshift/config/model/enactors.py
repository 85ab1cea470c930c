"""Data planes: what brings the desired steering to where traffic is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from siteshift.config.fields import (
    DnsName,
    Endpoint,
    HostPort,
    Identifier,
    ListenAddress,
    Port,
    SecondsMs,
    Secret,
    Strict,
    Text,
)

BY_PATTERN = "by pattern"
LISTED = "listed"
"""Tags of the two forms of `servers`."""

ServerWeight = Annotated[int, Field(ge=1, le=256)]
Ttl = Annotated[int, Field(ge=0, le=86_400)]


class EnactorCommon(Strict):
    """What all enactors have."""

    id: Identifier = Field(examples=["dns"])


class StaticRecordEntry(Strict):
    """One record that is never steered: a name server's address, an MX, a delegation."""

    name: Text = Field(examples=["ns1"])
    """Relative to the zone (`@` is the zone itself), or absolute with a final dot."""
    type: Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"] = Field(examples=["A"])
    value: Text = Field(examples=["192.0.2.53"])
    """In presentation form (RFC 1035 §5)."""
    ttl_s: Ttl = 300


class SoaSection(Strict):
    """The zone's start of authority."""

    primary: DnsName | None = None
    """Default: the first of `nameservers`."""
    contact: DnsName | None = None
    """A mailbox, with `.` for `@`. Default: `hostmaster.<zone>`."""
    negative_ttl_s: Annotated[int, Field(ge=0, le=10_800)] = 30
    """How long "no such name" may be remembered."""


class EmbeddedDnsEnactor(EnactorCommon):
    """An authoritative DNS server inside the node. It answers for every service that has a name in the zone."""

    kind: Literal["embedded_dns"]
    zone: DnsName = Field(examples=["gslb.example.com"])
    listen: Annotated[tuple[ListenAddress, ...], Field(min_length=1)] = Field(examples=[["192.0.2.53:53"]])
    """Addresses for UDP and TCP."""
    nameservers: Annotated[tuple[DnsName, ...], Field(min_length=1)] = Field(examples=[["ns1.gslb.example.com"]])
    nameserver_ttl_s: Ttl = 3_600
    soa: SoaSection = SoaSection()
    records: tuple[StaticRecordEntry, ...] = ()


class TsigAlgorithm(StrEnum):
    """Algorithms of RFC 8945 that are still worth using."""

    SHA256 = "hmac-sha256"
    SHA384 = "hmac-sha384"
    SHA512 = "hmac-sha512"


class TsigSection(Strict):
    """The key that signs updates."""

    name: DnsName = Field(examples=["siteshift-key"])
    algorithm: TsigAlgorithm = TsigAlgorithm.SHA256
    secret: Secret = Field(examples=["file:/etc/siteshift/tsig.key"])
    """The key in base64, as BIND's `secret` has it."""


class Rfc2136Enactor(EnactorCommon):
    """A zone on a DNS server that takes dynamic updates: BIND, Knot, PowerDNS."""

    kind: Literal["rfc2136"]
    zone: DnsName = Field(examples=["example.com"])
    primary: HostPort = Field(examples=["192.0.2.53:53"])
    """The server that takes updates."""
    verify_servers: tuple[HostPort, ...] = ()
    """Every authoritative server that users may be answered by; asked after each update. Default: the primary."""
    tsig: TsigSection = Field(examples=[{"name": "siteshift-key", "secret": "file:/etc/siteshift/tsig.key"}])
    addresses_max: Annotated[int, Field(ge=1, le=64)] = 16
    """How many addresses of a family a name may have to approximate shares; 16 fit into one datagram."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How updates travel; `udp` turns to TCP by itself for large ones."""


class HaproxyMode(StrEnum):
    """`global`: one backend holds the members of all sites. `local`: it serves one site and tunnels the residual."""

    GLOBAL = "global"
    LOCAL = "local"


class HaproxyAlgorithm(StrEnum):
    """Whether the balancing algorithm takes weights at run time; `static-rr` and maps (`source`, `uri`) do not."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class HaproxyServerEntry(Strict):
    """One `server` line. Give `member` or `site`."""

    server: Text = Field(examples=["p1"])
    """Its name in the backend."""
    member: str | None = None
    """The member it stands for, as `site/name`."""
    site: str | None = None
    """The site whose VIP it leads to: a tunnel."""


def _servers_form(value: object) -> str:
    return BY_PATTERN if isinstance(value, str) else LISTED


ServersField = Annotated[
    Annotated[Literal["auto"], Tag(BY_PATTERN)] | Annotated[tuple[HaproxyServerEntry, ...], Tag(LISTED)],
    Discriminator(_servers_form),
]


class HaproxyBackendEntry(Strict):
    """One `backend` section and the service it carries."""

    service: str = Field(examples=["web"])
    backend: Text = Field(examples=["be_web"])
    servers: ServersField = "auto"
    """`auto` (the default): named by `server_pattern`, for members of all sites (`global`) or its own (`local`)."""
    server_pattern: Text = "{site}-{name}"
    """With `auto`: how member servers are called; `{site}`, `{name}` and `{service}` are filled in."""
    tunnel_pattern: str = ""
    """With `auto` and `local`: how the servers that lead to other sites are called, `to-{site}`. Empty: none."""
    algorithm: HaproxyAlgorithm | None = None
    """Default: that of the enactor."""
    shed_servers: tuple[Text, ...] = ()
    """Servers that answer "come back later"; they get what nobody can carry."""


class HaproxyMapped(EnactorCommon):
    """Which HAProxy servers stand for which members and sites."""

    mode: HaproxyMode = HaproxyMode.GLOBAL
    beside: str | None = None
    """The site it stands in; required with `local`."""
    algorithm: HaproxyAlgorithm = HaproxyAlgorithm.DYNAMIC
    backends: Annotated[tuple[HaproxyBackendEntry, ...], Field(min_length=1)] = Field(
        examples=[[{"service": "web", "backend": "be_web"}]]
    )


class HaproxyEnactor(HaproxyMapped):
    """One HAProxy, by its runtime API."""

    kind: Literal["haproxy"]
    address: Endpoint = Field(examples=["unix:/run/haproxy/admin.sock"])
    """Its `stats socket`, level `admin`: `unix:/path` or `address:port`."""
    shutdown_sessions_after_s: SecondsMs | None = None
    """Close connections still held by a member this long after it was drained; absent: they end by themselves."""


class AgentCheckEnactor(HaproxyMapped):
    """Answers one HAProxy's `agent-check`, for installations that prefer to be asked."""

    kind: Literal["agent_check"]
    listen: ListenAddress = Field(examples=["127.0.0.1:8009"])
    """HAProxy says with `agent-send "backend/server\\n"` which server it asks about."""
    ports: dict[str, Port] = Field(default={})
    """`backend/server` → a port of its own, for servers that are asked about without `agent-send`."""
    initial_weight: ServerWeight = 1
    """The `weight` of the servers in haproxy.cfg, of which an agent can only say per cents; without `weight` it is 1."""
    initial_weights: dict[str, ServerWeight] = Field(default={})
    """`backend/server` → its `weight` in haproxy.cfg, where that is another."""
    stale_after_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 10_000
    """A server not asked about for this long is unknown; ten times `agent-inter`."""


EnactorEntry = Annotated[EmbeddedDnsEnactor | Rfc2136Enactor | HaproxyEnactor | AgentCheckEnactor, Field(discriminator="kind")]
