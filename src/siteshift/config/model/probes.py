"""Probe templates of services, and anchors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from siteshift.config.fields import (
    AbsolutePath,
    AlpnName,
    Argument,
    Authority,
    DnsName,
    HeaderName,
    HeaderValue,
    Hex,
    HttpHost,
    Identifier,
    IpAddress,
    MysqlUser,
    PlainHeaderName,
    Port,
    ProbeMs,
    Regex,
    RequestPath,
    Secret,
    ServerName,
    StatusRange,
    StepHost,
    Strict,
    VariableName,
)
from siteshift.core.model.probe import ProxyProtocol

ANSWER_TYPES = Literal["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "SRV", "PTR"]
Method = Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"]


class ProbeTarget(StrEnum):
    """Whom a template is made for: every member, or every answer address (VIP) of every pool."""

    MEMBERS = "members"
    VIPS = "vips"


class ProbeRole(StrEnum):
    """What a template tells: whether the members are well (`health`), or whether a writable service's data is promoted
    at the site, with its lag in bounds (`data`; all of its checks must pass)."""

    HEALTH = "health"
    DATA = "data"


class HttpRequest(Strict):
    """One exchange and what a pass is."""

    method: Method = "GET"
    path: RequestPath = "/"
    """What is beyond ASCII is sent as percent-encoded UTF-8."""
    host: HttpHost = ""
    """The Host header; default: the service's first name, else the address."""
    headers: dict[PlainHeaderName, HeaderValue] = Field(default={})
    """Sent as UTF-8."""
    secret_headers: dict[HeaderName, Secret] = Field(default={})
    """Headers whose values are secrets (`Authorization`)."""
    body: str = ""
    statuses: tuple[StatusRange, ...] = Field(default=((200, 299),), json_schema_extra={"default": ["200-299"]})
    """What passes: `200` or `200-299`."""
    header_match: dict[HeaderName, Regex] = Field(default={})
    """Headers the answer must have, with a regular expression each."""
    body_match: Regex = ""
    """A regular expression the body must match somewhere: its first 256 KiB, unpacked (gzip, deflate) and as text, by the
    charset that Content-Type, a byte-order mark or a `<meta>` names, else UTF-8."""
    body_not_match: Regex = ""
    """A regular expression the body must not match anywhere."""
    follow_redirects: Annotated[int, Field(ge=0, le=10)] = 0
    """How many redirects are followed; 0: a redirect is judged as it is."""


class JourneyStep(HttpRequest):
    """One step of a journey. `{variable}` in path, host, headers and body stands for what an earlier step extracted."""

    host: StepHost = ""
    """The Host header; default: the service's first name, else the address."""
    extract: dict[VariableName, Regex] = Field(default={})
    """Variable → regular expression over the body; its first group (or the whole match) is the value."""


class HttpTwin(Strict):
    """The must-fail form of a check: what differs from it. A pass means that the check cannot fail."""

    method: Method | None = None
    path: RequestPath | None = None
    host: HttpHost | None = None
    headers: dict[PlainHeaderName, HeaderValue] | None = None
    body: str | None = None


class SendTwin(Strict):
    """The must-fail form: something else is sent, and the expected answer must not come back."""

    send: str = ""
    send_hex: Hex = ""


class TlsTwin(Strict):
    """The must-fail form: a name the certificate must not cover."""

    server_name: DnsName = Field(examples=["must-fail.invalid"])


class DnsTwin(Strict):
    """The must-fail form: a name that must not be answered as expected."""

    name: DnsName = Field(examples=["must-fail.invalid"])


class GrpcTwin(Strict):
    """The must-fail form: a service the server cannot have."""

    service: str = Field(examples=["must.Fail"])


class TlsSection(Strict):
    """What a certificate must satisfy."""

    server_name: ServerName = ""
    """SNI, and the name the certificate must have; default: the Host without its port, of each step and redirect its own."""
    verify: bool = True
    """Whether the chain and the name are checked."""
    ca_file: AbsolutePath | None = None
    """Trust these instead of the system's authorities."""
    min_days_left: Annotated[int, Field(ge=0, le=3_650)] = 0
    alpn: tuple[AlpnName, ...] = ()
    client_certificate: AbsolutePath | None = None
    """A PEM file with our certificate (and its chain), for servers that ask for one. Read again when it changes; while it is
    not valid the check says nothing."""
    client_key: Secret | None = None
    """Its key, `file:` or `credential:`; default: in the same file. Without a password."""


class ProbeCommon(Strict):
    """What all templates of a service have."""

    id: Identifier = Field(examples=["health"])
    """Unique in its service."""
    target: ProbeTarget = ProbeTarget.MEMBERS
    role: ProbeRole = ProbeRole.HEALTH
    """`data` for a service with `data: writable`: where it fails, no more traffic is moved to; it is no fault."""
    port: Port | None = None
    """Default: the member's port. Required for VIPs."""
    interval_ms: ProbeMs | None = None
    """Default: `judging.interval_ms`."""
    timeout_ms: ProbeMs | None = None
    """Default: `judging.timeout_ms`."""
    slo_latency_ms: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """Default: the service's `slo.latency_ms`; without it no pass is slow."""
    stopwatch_ms: ProbeMs | None = None
    """A run still pending after this long counts as an early failure, before its timeout; absent: no stopwatch."""


class HttpProbe(ProbeCommon, HttpRequest):
    """One HTTP exchange."""

    kind: Literal["http"]
    keep_alive: bool = False
    """Keep the connection: six times cheaper, but says less about accepting new ones."""
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: HttpTwin | None = None


class HttpsProbe(ProbeCommon, HttpRequest):
    """One HTTPS exchange."""

    kind: Literal["https"]
    keep_alive: bool = False
    """Keep the connection; a new TLS handshake costs some 2 ms of processor time."""
    tls: TlsSection = TlsSection()
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: HttpTwin | None = None


class JourneyProbe(ProbeCommon):
    """Several exchanges in order, with cookies: log in, then fetch."""

    kind: Literal["journey"]
    scheme: Literal["http", "https"] = "http"
    steps: Annotated[tuple[JourneyStep, ...], Field(min_length=1, max_length=20)] = Field(examples=[[{"path": "/"}]])
    tls: TlsSection = TlsSection()
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: HttpTwin | None = None
    """Differs from the first step, and is asked alone."""


class TcpProbe(ProbeCommon):
    """Connect; optionally send, and expect something in the answer."""

    kind: Literal["tcp"]
    send: str = ""
    send_hex: Hex = ""
    expect: str = ""
    """What the answer must contain."""
    expect_hex: Hex = ""
    goodbye: str = ""
    """Sent after a pass, before the connection is closed in peace instead of reset: `"QUIT\\r\\n"`. Needs an `expect`."""
    goodbye_hex: Hex = ""
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: SendTwin | None = None


class TlsProbe(ProbeCommon):
    """A TLS handshake and the certificate."""

    kind: Literal["tls"]
    tls: TlsSection = TlsSection()
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: TlsTwin | None = None


class UdpProbe(ProbeCommon):
    """One datagram, and an answer."""

    kind: Literal["udp"]
    send: str = ""
    send_hex: Hex = ""
    expect: str = ""
    """What the answer must contain."""
    expect_hex: Hex = ""
    twin: SendTwin | None = None


class DnsProbe(ProbeCommon):
    """One DNS question."""

    kind: Literal["dns"]
    name: DnsName = Field(examples=["www.example.com"])
    type: ANSWER_TYPES = "A"
    expect: tuple[str, ...] = ()
    """No other value may be in the answer; empty: any answer passes."""
    twin: DnsTwin | None = None


class GrpcProbe(ProbeCommon):
    """The standard gRPC health check."""

    kind: Literal["grpc"]
    service: str = ""
    """The service asked about; empty: the server as a whole."""
    authority: Authority | None = None
    """The `:authority` of the call, by which proxies choose; default: the server's name with TLS, else address and port."""
    tls: TlsSection | None = None
    """Speak TLS, and what the certificate must satisfy; without it plain text is spoken."""
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""
    twin: GrpcTwin | None = None


class MysqlProbe(ProbeCommon):
    """MariaDB or MySQL: a login, and a goodbye. A connection that is reset instead counts as an error of our address, and after
    a hundred the server refuses it."""

    kind: Literal["mysql"]
    user: MysqlUser = Field(examples=["siteshift"])
    """An account without a password and without rights: `CREATE USER 'siteshift'@'192.0.2.%';` for the addresses of the nodes."""
    proxy_protocol: ProxyProtocol | None = None
    """Send a PROXY header first: `v1` with both ends of our connection, `v2` as LOCAL."""


class CommandProbe(ProbeCommon):
    """A program; it passes when it ends with 0."""

    kind: Literal["command"]
    argv: Annotated[tuple[Argument, ...], Field(min_length=1)] = Field(examples=[["/usr/bin/true"]])
    """Program (absolute path) and arguments; `{address}`, `{port}`, `{member}`, `{site}`, `{service}` are filled in,
    and `{max_lag_ms}` from `policy.data_max_lag_ms`."""


ProbeEntry = Annotated[
    HttpProbe | HttpsProbe | JourneyProbe | TcpProbe | TlsProbe | UdpProbe | DnsProbe | GrpcProbe | MysqlProbe | CommandProbe,
    Field(discriminator="kind"),
]


class AnchorCommon(Strict):
    """What all anchors have."""

    id: Identifier = Field(examples=["resolver-a"])
    address: IpAddress = Field(examples=["192.0.2.53"])
    """An address, not a name: an anchor must not depend on DNS."""
    port: Port = Field(examples=[443])
    interval_ms: ProbeMs | None = None
    timeout_ms: ProbeMs | None = None


class TcpAnchor(AnchorCommon):
    """Connect, no more."""

    kind: Literal["tcp"]


class HttpAnchor(AnchorCommon, HttpRequest):
    """One HTTP exchange."""

    kind: Literal["http"]


class HttpsAnchor(AnchorCommon, HttpRequest):
    """One HTTPS exchange."""

    kind: Literal["https"]
    tls: TlsSection = TlsSection()


class DnsAnchor(AnchorCommon):
    """One DNS question. Whatever is answered proves the way, a refusal or a truncated answer too."""

    kind: Literal["dns"]
    name: DnsName = Field(examples=["example.com"])
    type: ANSWER_TYPES = "A"


AnchorEntry = Annotated[TcpAnchor | HttpAnchor | HttpsAnchor | DnsAnchor, Field(discriminator="kind")]


class AnchorsSection(Strict):
    """What the node looks at to know whether it can see at all."""

    outside: tuple[AnchorEntry, ...] = ()
    """Two or more addresses outside all our sites. Without them the node cannot tell that it is blind."""
    own_site: tuple[AnchorEntry, ...] = ()
    """Addresses of the node's own site: its gateway, its switch."""
