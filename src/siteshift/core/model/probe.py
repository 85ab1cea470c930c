"""What to ask, of whom and how: probe specifications as data. `siteshift.adapters.probes` carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

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
    COMMAND = "command"


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
    """What a certificate must satisfy. ``min_days_left`` 0: only validity now. ``verify`` off: any certificate."""

    server_name: str = ""
    verify: bool = True
    ca_file: str = ""
    min_days_left: int = 0
    alpn: tuple[str, ...] = ()


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
    tls: TlsCheck = field(default_factory=TlsCheck)
    send: bytes = b""
    expect: bytes = b""
    dns_name: str = ""
    dns_type: str = "A"
    dns_expect: tuple[str, ...] = ()
    grpc_service: str = ""
    command: tuple[str, ...] = ()
    twin: HttpCheck | None = None
    slo_latency_ms: int = 500
    """A pass that took longer is slow; 0: no latency is promised, and none is too long."""
    stopwatch_ms: int = 0
    """A run still pending after this long gets an early fail (`Stage.EARLY`) before its timeout; 0: no stopwatch."""

    @property
    def requests(self) -> int:
        """How many requests one run makes of the target."""
        return max(1, len(self.steps))
