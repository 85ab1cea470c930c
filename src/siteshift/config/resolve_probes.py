"""Probe templates made out for every member and every answer address, with phases spread over the interval.

A pool's active members share the interval evenly, so that a site with ten members is seen every 100 ms; its standby
members lie half a gap beside them, and several templates of one service share the gap. Where a pool begins follows from
its name: pools do not all fire at once, and a reload changes no phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

from siteshift.config.model.probes import (
    AnchorCommon,
    AnchorEntry,
    CommandProbe,
    DnsAnchor,
    DnsProbe,
    DnsTwin,
    GrpcProbe,
    GrpcTwin,
    HttpAnchor,
    HttpProbe,
    HttpRequest,
    HttpsAnchor,
    HttpsProbe,
    HttpTwin,
    JourneyProbe,
    JourneyStep,
    MysqlProbe,
    ProbeEntry,
    ProbeRole,
    ProbeTarget,
    SendTwin,
    TcpProbe,
    TlsProbe,
    TlsSection,
    TlsTwin,
    UdpProbe,
)
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import MemberEntry, PoolEntry, ServiceEntry
from siteshift.config.resolve_policy import judge_policy, service_policy
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, TlsCheck, bare_name
from siteshift.core.model.units import MemberId, ProbeId, ServiceId, SiteId, TargetId, data_target, member_target, pool_target


def probes_of(config: ConfigFile) -> tuple[ProbeSpec, ...]:
    """Every probe of every member and VIP. Ids read ``web/pangyo/p1#health`` and ``web/pangyo#vip@192.0.2.10``.

    Reads the secrets of headers: raises `SecretUnavailable`.
    """
    judge = judge_policy(config)
    return tuple(
        spec
        for service in config.services
        for index, template in enumerate(service.probes)
        for spec in _of_template(service, template, index, judge, service_policy(config, service).data_max_lag_ms)
    )


def anchors_of(config: ConfigFile, anchors: tuple[AnchorEntry, ...], prefix: str) -> tuple[ProbeSpec, ...]:
    """Anchors as probes; their targets read ``anchor:<id>`` (outside) or ``own:<id>``, by ``prefix``."""
    judge = judge_policy(config)
    found = []
    for index, anchor in enumerate(anchors):
        interval_ms = anchor.interval_ms or judge.interval_ms
        spec = ProbeSpec(
            id=ProbeId(f"{prefix}:{anchor.id}"),
            target=TargetId(f"{prefix}:{anchor.id}"),
            kind=ProbeKind(anchor.kind),
            address=anchor.address,
            port=anchor.port,
            interval_ms=interval_ms,
            timeout_ms=_timeout(anchor, interval_ms, judge),
            phase_ms=interval_ms * index // len(anchors),
            http=_http(anchor, _host_of(anchor.address)) if isinstance(anchor, (HttpAnchor, HttpsAnchor)) else HttpCheck(),
            tls=tls_check(anchor.tls) if isinstance(anchor, HttpsAnchor) else None,
            dns_any_answer=isinstance(anchor, DnsAnchor),
            dns_name=anchor.name if isinstance(anchor, DnsAnchor) else "",
            dns_type=anchor.type if isinstance(anchor, DnsAnchor) else "A",
        )
        found.append(spec)
    return tuple(found)


def tls_check(section: TlsSection, server_name: str = "") -> TlsCheck:
    """The core's form of a TLS section; ``server_name`` stands in for an absent one. Raises `SecretUnavailable`."""
    return TlsCheck(
        server_name=section.server_name or server_name,
        verify=section.verify,
        ca_file=section.ca_file or "",
        min_days_left=section.min_days_left,
        alpn=section.alpn,
        client_certificate=section.client_certificate or "",
        client_key=str(section.client_key.path() or "") if section.client_key is not None else "",
    )


def phase_ms(pool: str, interval_ms: int, place: tuple[int, int], template: tuple[int, int], role: MemberRole) -> int:
    """When within the interval a probe starts. ``place`` and ``template`` are (index, how many)."""
    index, members = place
    number, templates = template
    gap = interval_ms / members
    beside = gap / 2 if role is MemberRole.STANDBY else 0.0
    begin = crc32(pool.encode()) % interval_ms
    return int(begin + index * gap + beside + number * gap / templates / 2) % interval_ms


def _of_template(
    service: ServiceEntry, template: ProbeEntry, index: int, judge: JudgePolicy, max_lag_ms: int
) -> Iterator[ProbeSpec]:
    share = (index, len(service.probes))
    interval_ms = template.interval_ms or judge.interval_ms
    is_data = template.role is ProbeRole.DATA
    for pool in service.pools:
        key = f"{service.id}/{pool.site}"
        data = data_target(ServiceId(service.id), SiteId(pool.site))
        if template.target is ProbeTarget.VIPS:
            target = data if is_data else pool_target(ServiceId(service.id), SiteId(pool.site))
            for number, address in enumerate(pool.answers):
                phase = phase_ms(key, interval_ms, (number, len(pool.answers)), share, MemberRole.STANDBY)
                yield _spec(service, pool, template, judge, f"{key}#{template.id}@{address}", target, address, phase, max_lag_ms)
            continue
        for role in (MemberRole.ACTIVE,) if is_data else MemberRole:
            members = [member for member in pool.members if member.role is role]
            for number, member in enumerate(members):
                member_id = MemberId(f"{key}/{member.name}")
                phase = phase_ms(key, interval_ms, (number, len(members)), share, role)
                probe_id = f"{member_id}#{template.id}"
                target = data if is_data else member_target(member_id)
                yield _spec(service, pool, template, judge, probe_id, target, member, phase, max_lag_ms)


def _spec(
    service: ServiceEntry,
    pool: PoolEntry,
    template: ProbeEntry,
    judge: JudgePolicy,
    probe_id: str,
    target: TargetId,
    where: MemberEntry | str,
    phase: int,
    max_lag_ms: int,
) -> ProbeSpec:
    address, port = (where, 0) if isinstance(where, str) else (where.address, where.port)
    port = template.port or port
    interval_ms = template.interval_ms or judge.interval_ms
    host = service.names[0] if service.names else _host_of(address)
    send, expect = _payload(template)
    timeout_ms = _timeout(template, interval_ms, judge)
    slow_ms = timeout_ms if template.role is ProbeRole.DATA else service.slo.latency_ms or 0
    return ProbeSpec(
        id=ProbeId(probe_id),
        target=target,
        kind=ProbeKind(template.kind),
        address=address,
        port=port,
        interval_ms=interval_ms,
        timeout_ms=timeout_ms,
        phase_ms=phase,
        keep_alive=template.keep_alive if isinstance(template, (HttpProbe, HttpsProbe)) else False,
        http=_http(template, host) if isinstance(template, (HttpProbe, HttpsProbe)) else HttpCheck(),
        steps=tuple(_http(step, host) for step in template.steps) if isinstance(template, JourneyProbe) else (),
        tls=_tls(template, host),
        proxy_protocol=None if isinstance(template, (UdpProbe, DnsProbe, CommandProbe)) else template.proxy_protocol,
        send=send,
        expect=expect,
        goodbye=_goodbye(template),
        dns_name=template.name if isinstance(template, DnsProbe) else "",
        dns_type=template.type if isinstance(template, DnsProbe) else "A",
        dns_expect=template.expect if isinstance(template, DnsProbe) else (),
        grpc_service=template.service if isinstance(template, GrpcProbe) else "",
        grpc_authority=template.authority or "" if isinstance(template, GrpcProbe) else "",
        mysql_user=template.user if isinstance(template, MysqlProbe) else "",
        command=_command(template, service, pool, where, port, max_lag_ms) if isinstance(template, CommandProbe) else (),
        twin=_twin(template, host),
        slo_latency_ms=template.slo_latency_ms or slow_ms,
        stopwatch_ms=template.stopwatch_ms or 0,
    )


def _timeout(entry: ProbeEntry | AnchorCommon, interval_ms: int, judge: JudgePolicy) -> int:
    """Its own, or the general one, which shrinks in proportion for a probe with a shorter interval."""
    return entry.timeout_ms or min(judge.timeout_ms, judge.timeout_ms * interval_ms // judge.interval_ms)


def _http(request: HttpRequest, host: str) -> HttpCheck:
    return HttpCheck(
        method=request.method,
        path=request.path,
        host=request.host or host,
        headers=(*request.headers.items(), *((name, ref.resolve()) for name, ref in request.secret_headers.items())),
        body=request.body.encode(),
        statuses=request.statuses,
        header_match=tuple(request.header_match.items()),
        body_match=request.body_match,
        body_not_match=request.body_not_match,
        follow_redirects=request.follow_redirects,
        extract=tuple(request.extract.items()) if isinstance(request, JourneyStep) else (),
    )


def _tls(template: ProbeEntry, host: str) -> TlsCheck | None:
    """None where none is spoken. Where there is a Host, the server's name is left to it; elsewhere it is the service's."""
    match template:
        case HttpsProbe():
            return tls_check(template.tls)
        case JourneyProbe() if template.scheme == "https":
            return tls_check(template.tls)
        case TlsProbe():
            return tls_check(template.tls, bare_name(host))
        case GrpcProbe(tls=TlsSection() as section):
            return tls_check(section, bare_name(template.authority or host))
    return None


def _host_of(address: str) -> str:
    """A literal address as a Host."""
    return f"[{address}]" if ":" in address else address


def _goodbye(template: ProbeEntry) -> bytes:
    return bytes.fromhex(template.goodbye_hex) or template.goodbye.encode() if isinstance(template, TcpProbe) else b""


def _payload(entry: ProbeEntry | SendTwin) -> tuple[bytes, bytes]:
    """What is sent and expected; the hexadecimal form wins (the checks refuse both)."""
    if not isinstance(entry, (TcpProbe, UdpProbe, SendTwin)):
        return b"", b""
    send = bytes.fromhex(entry.send_hex) or entry.send.encode()
    if isinstance(entry, SendTwin):
        return send, b""
    return send, bytes.fromhex(entry.expect_hex) or entry.expect.encode()


def _twin(template: ProbeEntry, host: str) -> HttpCheck | None:
    """The twin in the form the prober reads for each kind (`adapters.probes.twin`)."""
    if isinstance(template, (CommandProbe, MysqlProbe)) or template.twin is None:
        return None
    match template.twin:
        case HttpTwin() as twin:
            request = template.steps[0] if isinstance(template, JourneyProbe) else template
            assert isinstance(request, HttpRequest)
            changes = {key: value for key, value in twin.model_dump().items() if value is not None}
            return _http(request.model_copy(update=changes), host)
        case SendTwin() as twin:
            return HttpCheck(body=_payload(twin)[0])
        case TlsTwin() as twin:
            return HttpCheck(host=twin.server_name)
        case DnsTwin() as twin:
            return HttpCheck(host=twin.name)
        case GrpcTwin() as twin:
            return HttpCheck(path=twin.service)


def _command(
    template: CommandProbe,
    service: ServiceEntry,
    pool: PoolEntry,
    where: MemberEntry | str,
    port: int,
    max_lag_ms: int,
) -> tuple[str, ...]:
    values = {
        "address": where if isinstance(where, str) else where.address,
        "port": str(port),
        "site": pool.site,
        "service": service.id,
        "max_lag_ms": str(max_lag_ms),
        "member": f"{service.id}/{pool.site}" if isinstance(where, str) else f"{service.id}/{pool.site}/{where.name}",
    }
    return tuple(filled(argument, values) for argument in template.argv)


def filled(text: str, values: dict[str, str]) -> str:
    """``{name}`` replaced by its value, and nothing else: other braces stay as they are."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
