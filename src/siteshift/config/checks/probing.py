"""Probes and anchors: can they work, can they fail, do they cost too much?"""

from __future__ import annotations

import re

from siteshift.config.checks.dns_values import record_fault
from siteshift.config.checks.findings import At, Findings
from siteshift.config.model.probes import (
    CommandProbe,
    DnsProbe,
    GrpcProbe,
    HttpProbe,
    HttpRequest,
    HttpsAnchor,
    HttpsProbe,
    JourneyProbe,
    MysqlProbe,
    ProbeEntry,
    ProbeTarget,
    TcpAnchor,
    TcpProbe,
    TlsProbe,
    TlsSection,
    UdpProbe,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import ServiceEntry
from siteshift.config.problem import Path, ProblemCode
from siteshift.config.resolve_policy import judge_policy
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import ProbeKind

CPU_US: dict[ProbeKind, int] = {
    ProbeKind.HTTP: 150,
    ProbeKind.HTTPS: 2_000,
    ProbeKind.JOURNEY: 600,
    ProbeKind.TCP: 80,
    ProbeKind.TLS: 2_000,
    ProbeKind.UDP: 20,
    ProbeKind.DNS: 20,
    ProbeKind.GRPC: 500,
    ProbeKind.MYSQL: 600,
    ProbeKind.COMMAND: 5_000,
}
"""Processor time of one run by new connection, measured (journeys: each step). A coarse estimate for a warning."""
CPU_US_KEPT = 60
"""The same over a kept connection."""
CPU_LIMIT_US = 700_000
"""Of each second of the one core that probes; beyond it probes start late."""

MAX_DATAGRAM_BYTES = 65_507
"""The most that UDP over IPv4 carries."""
MAX_EXPECT_BYTES = 64 * 1024
"""As far as an answer is looked through (`ProberLimits.expect_bytes`)."""
READABLE_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "identity"})
"""Of what a body may be packed in, what a check reads."""

MYSQL_PORT = 3306
_OF_MAIL = "mail servers log resets as lost connections, and some block who makes them"
_POLITE = 'write `expect: "220 "` and `goodbye: "QUIT\\r\\n"`'
PUNISHING: dict[int, tuple[str, str]] = {
    MYSQL_PORT: (
        "MariaDB and MySQL count each reset as a failed handshake and refuse the node's address after `max_connect_errors`",
        "use `kind: mysql` with a `user`",
    ),
    22: (
        "OpenSSH 9.8 and newer refuses addresses that connect and do not log in",
        "name the nodes in its `PerSourcePenaltyExemptList`, or look at another port",
    ),
    25: (_OF_MAIL, _POLITE),
    587: (_OF_MAIL, _POLITE),
}
"""Ports whose usual protocols hold it against a client that connects and resets; how, and the way."""
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def check_probing(config: ConfigFile, findings: Findings) -> None:
    """Every template, every anchor, and all of them together."""
    judge = judge_policy(config)
    for index, service in enumerate(config.services):
        path: Path = ("services", index)
        if not service.probes:
            message = f"'{service.id}' has no probes: siteshift would never know how it is"
            place = (*path, "probes") if findings.given((*path, "probes")) else (*path, "id")
            findings.note(ProblemCode.NO_PROBES, place, message, "add `probes:`", below=[(*path, "probes")])
        for number, template in enumerate(service.probes):
            _template(service, template, (*path, "probes", number), judge, findings)
    _anchors(config, judge, findings)
    _load(config, findings)


def _template(service: ServiceEntry, template: ProbeEntry, path: Path, judge: JudgePolicy, findings: Findings) -> None:
    _timeout(template.interval_ms, template.timeout_ms, path, judge, findings)
    if template.target is ProbeTarget.VIPS:
        if template.port is None:
            message = "a probe of VIPs needs a `port`"
            findings.note(ProblemCode.MISSING_KEY, path, message, "add it, for example `port: 443`", depends=[(*path, "port")])
        pools: Path = (*path[:2], "pools")
        if not any(pool.answers for pool in service.pools):
            message = f"'{service.id}' has no `answers` at any site, so there is no VIP to probe"
            findings.note(ProblemCode.CONTRADICTION, (*path, "target"), message, "add `answers` to its pools", below=[pools])
    requests = template.steps if isinstance(template, JourneyProbe) else (template,)
    for number, request in enumerate(requests):
        if isinstance(request, HttpRequest):
            _codings(request, (*path, "steps", number) if isinstance(template, JourneyProbe) else path, findings)
    match template:
        case TcpProbe() | UdpProbe():
            _payload(template, path, findings)
            if isinstance(template, TcpProbe):
                _manners(service, template, path, findings)
        case HttpsProbe() | JourneyProbe() | TlsProbe():
            _certificate(template.tls, path, findings)
        case GrpcProbe(tls=TlsSection() as section):
            _certificate(section, path, findings)
        case DnsProbe():
            for number, value in enumerate(template.expect):
                if wrong := record_fault(template.type, value):
                    remedy = "write it as in a zone file"
                    findings.note(ProblemCode.MALFORMED, (*path, "expect", number), wrong, remedy, depends=[(*path, "type")])
    if isinstance(template, JourneyProbe):
        _variables(template, path, findings)
    if isinstance(template, CommandProbe):
        if not template.argv[0].startswith("/"):
            message = f"`{template.argv[0]}` is not an absolute path"
            findings.note(ProblemCode.MALFORMED, (*path, "argv", 0), message, "a program is named by its full path")
        return
    _twin(template, path, findings)


def _timeout(interval: int | None, timeout: int | None, path: Path, judge: JudgePolicy, findings: Findings) -> None:
    """Its own timeout against its interval; without one it follows the interval (and the general one is told once)."""
    interval_ms = interval or judge.interval_ms
    if timeout is not None and timeout >= interval_ms:
        message = f"the timeout ({timeout} ms) must be shorter than the interval ({interval_ms} ms)"
        depends = [(*path, "interval_ms"), ("judging", "interval_ms")]
        remedy = f"write `timeout_ms: {interval_ms * 8 // 10}`"
        findings.note(ProblemCode.TIMEOUT_LONG, (*path, "timeout_ms"), message, remedy, depends=depends)


def _payload(template: TcpProbe | UdpProbe, path: Path, findings: Findings) -> None:
    for plain, coded in (("send", "send_hex"), ("expect", "expect_hex"), ("goodbye", "goodbye_hex")):
        if getattr(template, plain, "") and getattr(template, coded, ""):
            message = f"`{plain}` and `{coded}` are both given"
            findings.note(ProblemCode.CONTRADICTION, (*path, coded), message, "keep one")
    expected = len(bytes.fromhex(template.expect_hex) or template.expect.encode())
    most = MAX_DATAGRAM_BYTES if isinstance(template, UdpProbe) else MAX_EXPECT_BYTES
    if expected > most:
        message = f"`expect` has {expected} bytes, and an answer is looked through for {most}: it could never pass"
        key = "expect" if template.expect else "expect_hex"
        findings.note(ProblemCode.OUT_OF_RANGE, (*path, key), message, "expect something shorter")
    sent = len(bytes.fromhex(template.send_hex) or template.send.encode())
    if isinstance(template, UdpProbe) and sent > MAX_DATAGRAM_BYTES:
        message = f"`send` has {sent} bytes, and a datagram carries at most {MAX_DATAGRAM_BYTES}"
        findings.note(ProblemCode.OUT_OF_RANGE, (*path, "send" if template.send else "send_hex"), message, "send less")
    if isinstance(template, UdpProbe) and not (template.send or template.send_hex):
        message = "a UDP probe must send something: nothing else can be answered"
        findings.note(ProblemCode.MISSING_KEY, path, message, "add `send`", depends=[(*path, "send"), (*path, "send_hex")])


def _manners(service: ServiceEntry, template: TcpProbe, path: Path, findings: Findings) -> None:
    """Whether the server will hold it against us that we connect and reset, and whether a goodbye can be said."""
    if (template.goodbye or template.goodbye_hex) and not (template.expect or template.expect_hex):
        key = "goodbye" if template.goodbye else "goodbye_hex"
        message = "a `goodbye` is said after an answer, and none is expected"
        findings.note(ProblemCode.CONTRADICTION, (*path, key), message, "add `expect`", depends=[(*path, "expect")])
    ports = {template.port} if template.port else {member.port for pool in service.pools for member in pool.members}
    for port in sorted(ports & PUNISHING.keys()):
        if port != MYSQL_PORT and (template.goodbye or template.goodbye_hex):
            continue
        how, way = PUNISHING[port]
        place = (*path, "port") if template.port else (*path, "kind")
        findings.note(ProblemCode.RESET_PUNISHED, place, f"port {port}: {how}", way)


def _codings(request: HttpRequest, path: Path, findings: Findings) -> None:
    """Who looks at a body must not ask for it in a coding that no check reads."""
    if not (request.body_match or request.body_not_match or getattr(request, "extract", None)):
        return
    for name, value in request.headers.items():
        words = (part.partition(";")[0].strip().lower() for part in value.split(","))
        if name.lower() == "accept-encoding" and (strange := [word for word in words if word not in READABLE_CODINGS]):
            message = f"the body may come as `{strange[0]}`, which a check cannot read"
            findings.note(ProblemCode.CONTRADICTION, (*path, "headers", name), message, "write `gzip, deflate`, or leave it out")


def _certificate(section: TlsSection, path: Path, findings: Findings) -> None:
    if section.client_key is not None and section.client_certificate is None:
        message = "a `client_key` needs a `client_certificate`"
        place: Path = (*path, "tls", "client_key")
        depends: list[Path] = [(*path, "tls", "client_certificate")]
        findings.note(ProblemCode.CONTRADICTION, place, message, "add it, or remove the key", depends=depends)
    if not section.verify:
        message = "any certificate passes"
        findings.note(ProblemCode.INSECURE_CHECK, (*path, "tls", "verify"), message, "name your authority in `ca_file`")


def _variables(template: JourneyProbe, path: Path, findings: Findings) -> None:
    known: set[str] = set()
    for number, step in enumerate(template.steps):
        here = (*path, "steps", number)
        for key, text in (("path", step.path), ("body", step.body)):
            for name in dict.fromkeys(_VARIABLE.findall(text)):
                if name not in known and (key == "path" or known):
                    message = f"no step before this one extracts `{name}`"
                    below = [(*path, "steps")]
                    findings.note(ProblemCode.VARIABLE, (*here, key), message, "add it to `extract`", below=below)
        known |= set(step.extract)


def _twin(template: ProbeEntry, path: Path, findings: Findings) -> None:
    if isinstance(template, (CommandProbe, MysqlProbe)):
        return
    if template.twin is None:
        if not isinstance(template, (TcpProbe, UdpProbe)) or template.expect or template.expect_hex:
            message = f"the check '{template.id}' has no must-fail twin: nobody would notice that it cannot fail"
            remedy = "add `twin:` with a path that cannot pass" if "http" in template.kind else "add `twin:`"
            place = (*path, "id")
            findings.note(ProblemCode.NO_TWIN, place, message, remedy, depends=[(*path, "twin")])
        return
    asked = template.steps[0] if isinstance(template, JourneyProbe) else template
    if isinstance(template, TlsProbe):
        same = template.twin.server_name == template.tls.server_name
    else:
        said = {key: value for key, value in template.twin.model_dump().items() if value is not None}
        same = all(getattr(asked, key, None) == value for key, value in said.items())
    if same:
        message = "the twin asks the same as the check, so both pass"
        findings.note(ProblemCode.TWIN_SAME, (*path, "twin"), message, "change what is asked", below=[path], at=At.KEY)


def _anchors(config: ConfigFile, judge: JudgePolicy, findings: Findings) -> None:
    ours = {
        address: service.id
        for service in config.services
        for pool in service.pools
        for address in (*pool.answers, *(member.address for member in pool.members))
    }
    for listing, anchors in (("outside", config.anchors.outside), ("own_site", config.anchors.own_site)):
        for index, anchor in enumerate(anchors):
            path: Path = ("anchors", listing, index)
            _timeout(anchor.interval_ms, anchor.timeout_ms, path, judge, findings)
            if isinstance(anchor, HttpsAnchor):
                _certificate(anchor.tls, path, findings)
            if isinstance(anchor, TcpAnchor) and anchor.port in PUNISHING:
                message = f"port {anchor.port}: {PUNISHING[anchor.port][0]}; refused, the node would take itself for blind"
                findings.note(ProblemCode.RESET_PUNISHED, (*path, "port"), message, "choose another port")
            if listing == "outside" and anchor.address in ours:
                message = f"{anchor.address} belongs to our service '{ours[anchor.address]}': it fails with our site"
                remedy = "choose an address that has nothing to do with us"
                findings.note(ProblemCode.ANCHOR_INSIDE, (*path, "address"), message, remedy)
    outside = config.anchors.outside
    count = len({anchor.address for anchor in outside})
    if count < 2:
        message = f"{count or 'no'} outside anchor{'' if count == 1 else 's'}: the node cannot tell blindness"
        if count < len(outside):
            message = f"all outside anchors have the address {outside[0].address}: the node cannot tell blindness"
        place: Path = ("anchors", "outside") if findings.given(("anchors",)) else ("anchors",)
        remedy = "add two addresses outside all sites, with different operators"
        findings.note(ProblemCode.FEW_ANCHORS, place, message, remedy, below=[("anchors",)], at=At.KEY)


def _load(config: ConfigFile, findings: Findings) -> None:
    judge = judge_policy(config)
    used_us = count = 0
    for service in config.services:
        vips = sum(len(pool.answers) for pool in service.pools)
        members = sum(len(pool.members) for pool in service.pools)
        for template in service.probes:
            targets = vips if template.target is ProbeTarget.VIPS else members
            count += targets
            used_us += targets * _cost_us(template) * 1_000 // (template.interval_ms or judge.interval_ms)
    if used_us > CPU_LIMIT_US:
        message = f"{count} probes need about {used_us / 10_000:.0f} % of a core; beyond 70 % they start late"
        remedy = "set `keep_alive: true`, or a longer interval"
        below: list[Path] = [("services",), ("judging",)]
        findings.note(ProblemCode.PROBE_LOAD, ("services",), message, remedy, below=below, at=At.KEY)


def _cost_us(template: ProbeEntry) -> int:
    if isinstance(template, (HttpProbe, HttpsProbe)) and template.keep_alive:
        return CPU_US_KEPT
    steps = len(template.steps) if isinstance(template, JourneyProbe) else 1
    return CPU_US[ProbeKind(template.kind)] * steps
