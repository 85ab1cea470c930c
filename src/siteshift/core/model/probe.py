"""What to ask, of whom and how: probe specifications as data. `siteshift.adapters.probes` carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from siteshift.core.model.units import ProbeId, TargetId


class ProbeKind(StrEnum):
    """The shapes of a check."""

    HTTP = "http"
    HTTPS = "https"
    JOURNEY = "journey"
    TCP = "tcp"
    TLS = "tls"
    UDP = "udp"
    DNS = "dns"
    GRPC = "grpc"
    MYSQL = "mysql"
    COMMAND = "command"


class ProxyProtocol(StrEnum):
    """The header that is sent first on a connection (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """One HTTP exchange and what a pass is. ``statuses`` are inclusive ranges; empty matches mean: do not look."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    statuses: tuple[tuple[int, int], ...] = ((200, 299),)
    header_match: tuple[tuple[str, str], ...] = ()
    body_match: str = ""
    body_not_match: str = ""
    follow_redirects: int = 0
    extract: tuple[tuple[str, str], ...] = ()
    """Journeys only: (variable, regular expression over the body); used in later steps as ``{variable}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsCheck:
    """What a certificate must satisfy. ``min_days_left`` 0: only validity now. ``verify`` off: any certificate.

    ``server_name`` empty: the bare name of the Host that is asked. ``client_certificate`` is shown to who asks for one, with the
    key in ``client_key`` or, where that is empty, in the same file.
    """

    server_name: str = ""
    verify: bool = True
    ca_file: str = ""
    min_days_left: int = 0
    alpn: tuple[str, ...] = ()
    client_certificate: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """One check of one target, repeated. ``phase_ms`` spreads the members of a pool evenly over the interval.

    ``twin`` is the must-fail form (a path or host that cannot pass); it is run now and then and a pass of it means
    that the check cannot fail: `CHECK_BROKEN`.
    """

    id: ProbeId
    target: TargetId
    kind: ProbeKind
    address: str
    port: int
    interval_ms: int = 1_000
    timeout_ms: int = 800
    phase_ms: int = 0
    keep_alive: bool = False
    http: HttpCheck = field(default_factory=HttpCheck)
    steps: tuple[HttpCheck, ...] = ()
    tls: TlsCheck | None = None
    """None: plain text, where the kind does not say that TLS is spoken."""
    proxy_protocol: ProxyProtocol | None = None
    send: bytes = b""
    expect: bytes = b""
    goodbye: bytes = b""
    """TCP: sent after a pass, before the connection is closed in peace."""
    dns_name: str = ""
    dns_type: str = "A"
    dns_expect: tuple[str, ...] = ()
    dns_any_answer: bool = False
    """Whatever is answered passes, refusals too: an anchor proves the way to it, not itself."""
    grpc_service: str = ""
    grpc_authority: str = ""
    mysql_user: str = ""
    command: tuple[str, ...] = ()
    twin: HttpCheck | None = None
    slo_latency_ms: int = 500
    """A pass that took longer is slow; 0: no latency is promised, and none is too long."""
    stopwatch_ms: int = 0
    """A run still pending after this long gets an early fail (`Stage.EARLY`) before its timeout; 0: no stopwatch."""

    @property
    def speaks_tls(self) -> bool:
        return self.tls is not None or self.kind in (ProbeKind.HTTPS, ProbeKind.TLS)

    @property
    def requests(self) -> int:
        """How many requests one run makes of the target."""
        return max(1, len(self.steps))


def bare_name(host: str) -> str:
    """The name that a handshake is made with, of a Host: no port, no brackets, no dot at the end (RFC 6066 section 3).

    An address stays one: it is what the certificate must cover, and no server name is sent for it.
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if is_address(host):
        return host
    return host.partition(":")[0].rstrip(".")


def is_address(host: str) -> bool:
    """Whether it is a literal address, without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
