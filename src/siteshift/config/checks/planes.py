"""Data planes: do they cover what is steered, and do their mappings fit?"""

from __future__ import annotations

import ipaddress

from siteshift.config.checks.dns_values import record_fault
from siteshift.config.checks.findings import At, Findings
from siteshift.config.checks.haproxy_weights import check_initial_weights, check_weights
from siteshift.config.fields import split_host_port, split_listen
from siteshift.config.model.enactors import (
    AgentCheckEnactor,
    EmbeddedDnsEnactor,
    HaproxyBackendEntry,
    HaproxyEnactor,
    HaproxyMapped,
    HaproxyMode,
    Rfc2136Enactor,
)
from siteshift.config.model.observation import WebhookNotifier
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import ServiceEntry
from siteshift.config.problem import Path, ProblemCode
from siteshift.config.resolve_planes import in_zone, zones_below
from siteshift.config.resolve_policy import service_policy
from siteshift.core.model.codes import Mode

ENACTORS: Path = ("enactors",)


def check_planes(config: ConfigFile, findings: Findings) -> None:
    """Zones and names, answers, HAProxy mappings, listeners, and the receivers of notices."""
    _coverage(config, findings)
    for index, service in enumerate(config.services):
        _answers(config, service, ("services", index), findings)
    for index, enactor in enumerate(config.enactors):
        path: Path = (*ENACTORS, index)
        match enactor:
            case EmbeddedDnsEnactor():
                _zone(config, enactor, path, findings)
            case HaproxyEnactor() | AgentCheckEnactor():
                _haproxy(config, enactor, path, findings)
    _listeners(config, findings)
    _api(config, findings)
    for index, notifier in enumerate(config.notifiers):
        if isinstance(notifier, WebhookNotifier):
            _webhook(notifier, ("notifiers", index), findings)


# DNS ---------------------------------------------------------------------------------------------------------------


def _zones(config: ConfigFile) -> dict[str, str]:
    """Zone of each DNS enactor, by its id."""
    return {enactor.id: enactor.zone for enactor in config.enactors if isinstance(enactor, (EmbeddedDnsEnactor, Rfc2136Enactor))}


def _coverage(config: ConfigFile, findings: Findings) -> None:
    """Every name of a service in some zone; every service on some plane."""
    zones = _zones(config)
    mapped = [enactor for enactor in config.enactors if isinstance(enactor, HaproxyMapped)]
    others = {entry.service for enactor in mapped for entry in enactor.backends}
    for index, service in enumerate(config.services):
        for number, name in enumerate(service.names):
            path: Path = ("services", index, "names", number)
            if zones and not any(in_zone(name, zone) for zone in zones.values()):
                listed = ", ".join(f"'{zone}'" for zone in sorted(set(zones.values())))
                message = f"'{name}' lies in no zone of an enactor ({listed})"
                remedy = "correct the name or the zone, or remove the name"
                findings.note(ProblemCode.NAME_OUTSIDE_ZONE, path, message, remedy, below=[ENACTORS])
        named = bool(zones) and bool(service.names)
        observed = service_policy(config, service).mode is Mode.OBSERVE
        if not named and service.id not in others and not observed:
            message = f"no enactor carries '{service.id}': siteshift could not move it"
            place: Path = ("services", index, "id")
            remedy = "add an enactor, or set `mode: observe` in its policy"
            findings.note(ProblemCode.NAME_NOT_STEERED, place, message, remedy, below=[ENACTORS, ("services", index)])


def _answers(config: ConfigFile, service: ServiceEntry, path: Path, findings: Findings) -> None:
    """With DNS, every site needs an address, and of every family that its siblings have."""
    if not service.names or not _zones(config):
        return
    families = {
        index: {ipaddress.ip_address(address).version for address in pool.answers} for index, pool in enumerate(service.pools)
    }
    wanted = set().union(*families.values()) if families else set()
    for index, found in families.items():
        pool: Path = (*path, "pools", index)
        place = (*pool, "answers") if findings.given((*pool, "answers")) else pool
        site = service.pools[index].site
        if not found:
            message = f"DNS has no address for '{service.id}' at '{site}'"
            findings.note(ProblemCode.NO_ANSWERS, place, message, "add `answers`", below=[(*pool, "answers"), ENACTORS])
            continue
        for family in sorted(wanted - found):
            message = f"'{site}' has no IPv{family} address: those users can never be moved there"
            below = [(*path, "pools")]
            findings.note(ProblemCode.FAMILY_GAP, place, message, f"add an IPv{family} address", below=below)
    shed = {ipaddress.ip_address(address).version for address in service.shed_answers}
    for family in sorted(wanted - shed) if shed else ():
        message = f"no IPv{family} address among the shed answers: shed users of that family stay where they are"
        place = (*path, "shed_answers")
        findings.note(ProblemCode.FAMILY_GAP, place, message, f"add an IPv{family} address", below=[(*path, "pools")])


def _zone(config: ConfigFile, enactor: EmbeddedDnsEnactor, path: Path, findings: Findings) -> None:
    steered = {name for service in config.services for name in service.names}
    fixed: set[str] = set()
    for index, record in enumerate(enactor.records):
        name = _absolute(record.name, enactor.zone)
        place = (*path, "records", index, "name")
        zone = (*path, "zone")
        if not in_zone(name, enactor.zone):
            message = f"'{name}' lies outside the zone '{enactor.zone}'"
            findings.note(ProblemCode.NAME_OUTSIDE_ZONE, place, message, "remove it", depends=[zone])
        if name in steered:
            message = f"'{name}' is a steered name: its records come from the service"
            findings.note(ProblemCode.DUPLICATE_NAME, place, message, "remove the record", below=[("services",)])
        if record.type in ("A", "AAAA"):
            fixed.add(name)
        if wrong := record_fault(record.type, record.value):
            value = (*path, "records", index, "value")
            remedy = "write it as in a zone file (RFC 1035 §5)"
            findings.note(ProblemCode.MALFORMED, value, wrong, remedy, depends=[(*path, "records", index, "type")])
    delegated = {_absolute(record.name, enactor.zone) for record in enactor.records if record.type == "NS"}
    for child in zones_below(enactor.zone, config):
        if child not in delegated:
            message = f"'{child}' is a zone of its own below this one, and no record here leads to its servers"
            remedy = f"add `{{name: {child}., type: NS, value: ...}}` to `records`, for each of its name servers"
            findings.note(ProblemCode.ZONE_NOT_DELEGATED, (*path, "zone"), message, remedy, below=[ENACTORS])
    for index, name in enumerate(enactor.nameservers):
        if in_zone(name, enactor.zone) and name not in fixed | steered:
            message = f"the name server '{name}' lies in the zone, but has no address there"
            remedy = f"add it to `records`: `{{name: {name}., type: A, value: ...}}`"
            below = [(*path, "records"), (*path, "zone"), ("services",)]
            findings.note(ProblemCode.NO_GLUE, (*path, "nameservers", index), message, remedy, below=below)


def _absolute(name: str, zone: str) -> str:
    if name == "@":
        return zone
    return name.rstrip(".").lower() if name.endswith(".") else f"{name.lower()}.{zone}"


# HAProxy -----------------------------------------------------------------------------------------------------------


def _haproxy(config: ConfigFile, enactor: HaproxyMapped, path: Path, findings: Findings) -> None:
    _beside(enactor.mode, enactor.beside, path, findings)
    if isinstance(enactor, HaproxyEnactor) and not _is_local(enactor.address):
        message = "the runtime API has no passwords: whoever reaches this address rules the load balancer"
        remedy = "use a Unix socket or a loopback address, or fence it off by firewall"
        findings.note(ProblemCode.OPEN_SOCKET, (*path, "address"), message, remedy)
    if isinstance(enactor, AgentCheckEnactor):
        check_initial_weights(enactor, path, findings)
    services = {service.id: service for service in config.services}
    seen: dict[str, int] = {}
    for index, entry in enumerate(enactor.backends):
        here = (*path, "backends", index)
        if entry.backend in seen and not findings.tainted((*here, "backend")):
            message = f"the backend '{entry.backend}' is mapped already, in line {seen[entry.backend]}"
            findings.note(ProblemCode.BACKEND_MAPPING, (*here, "backend"), message, "map each backend once")
        seen.setdefault(entry.backend, findings.line((*here, "backend")))
        if entry.service in services:
            _mapping(enactor, entry, services[entry.service], here, findings)
            check_weights(enactor, entry, services[entry.service], here, findings)


def _beside(mode: HaproxyMode, beside: str | None, path: Path, findings: Findings) -> None:
    if mode is HaproxyMode.LOCAL and beside is None:
        message = "a `local` HAProxy needs the site it stands in"
        findings.note(ProblemCode.CONTRADICTION, (*path, "mode"), message, "add `beside:`", depends=[(*path, "beside")])


def _mapping(enactor: HaproxyMapped, entry: HaproxyBackendEntry, service: ServiceEntry, path: Path, findings: Findings) -> None:
    below: list[Path] = [("services",), path]
    local = enactor.mode is HaproxyMode.LOCAL
    if entry.servers == "auto":
        if "{name}" not in entry.server_pattern:
            place = (*path, "server_pattern")
            message = "without `{name}` all members of a site would be one server"
            findings.note(ProblemCode.BACKEND_MAPPING, place, message, "write it like `{site}-{name}`")
        if not local and "{site}" not in entry.server_pattern and _same_names(service):
            place = (*path, "server_pattern") if findings.given((*path, "server_pattern")) else path
            message = "without `{site}` members of two sites would be one server"
            findings.note(ProblemCode.BACKEND_MAPPING, place, message, "write it like `{site}-{name}`", below=below)
        if local and entry.tunnel_pattern and "{site}" not in entry.tunnel_pattern:
            message = "without `{site}` all other sites would be one server"
            findings.note(ProblemCode.BACKEND_MAPPING, (*path, "tunnel_pattern"), message, "write it like `to-{site}`")
        return
    mapped: set[str] = set()
    servers: dict[str, int] = {}
    for index, server in enumerate(entry.servers):
        here = (*path, "servers", index)
        if (server.member is None) == (server.site is None):
            message = "a server stands for a `member` or leads to a `site`: give one of them"
            findings.note(ProblemCode.CONTRADICTION, here, message, below=[here])
        if server.server in servers:
            message = f"the server '{server.server}' is mapped already, in line {servers[server.server]}"
            place = (*here, "server")
            findings.note(ProblemCode.BACKEND_MAPPING, place, message, "map each server once", depends=[place])
        servers.setdefault(server.server, findings.line((*here, "server")))
        if server.member is not None:
            mapped.add(server.member.removeprefix(f"{service.id}/"))
    wanted = {
        f"{pool.site}/{member.name}"
        for pool in service.pools
        for member in pool.members
        if not local or pool.site == enactor.beside
    }
    if missing := sorted(wanted - mapped):
        message = f"no server stands for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        remedy = "map every member, or its share cannot be kept"
        findings.note(ProblemCode.BACKEND_MAPPING, (*path, "servers"), message, remedy, below=below, at=At.KEY)


def _same_names(service: ServiceEntry) -> bool:
    names = [member.name for pool in service.pools for member in pool.members]
    return len(set(names)) < len(names)


# Listeners and receivers -------------------------------------------------------------------------------------------


def _listeners(config: ConfigFile, findings: Findings) -> None:
    """An address and port for one only; a wildcard claims every address of its family."""
    found: list[tuple[str, int, Path]] = []
    if config.api.tls is not None:
        found.append((*split_listen(config.api.tls.listen), ("api", "tls", "listen")))
    for index, enactor in enumerate(config.enactors):
        path: Path = (*ENACTORS, index, "listen")
        if isinstance(enactor, EmbeddedDnsEnactor):
            for number, listen in enumerate(enactor.listen):
                found.append((*split_listen(listen), (*path, number)))
        if isinstance(enactor, AgentCheckEnactor):
            found.append((*split_listen(enactor.listen), path))
    for later, (host, port, path) in enumerate(found):
        for other, other_port, first in found[:later]:
            if port == other_port != 0 and _overlap(host, other):
                message = f"port {port} of {host} is taken already, in line {findings.line(first)}"
                findings.note(ProblemCode.LISTEN_CLASH, path, message, "choose another", depends=[first])
                break


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    wild = first.is_unspecified or second.is_unspecified
    return first == second or (wild and first.version == second.version)


def _is_local(endpoint: str) -> bool:
    if endpoint.startswith("unix:"):
        return True
    host, _ = split_host_port(endpoint)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api(config: ConfigFile, findings: Findings) -> None:
    for index, grant in enumerate(config.api.unix.grants):
        here: Path = ("api", "unix", "grants", index)
        if (grant.user is None) == (grant.group is None):
            findings.note(ProblemCode.CONTRADICTION, here, "give `user` or `group`, and only one", below=[here])
    tls = config.api.tls
    if tls is not None and not config.api.tokens:
        message = "nobody could use the TLS listener: a client certificate, too, has the role of the token owner it names"
        below: list[Path] = [("api",)]
        remedy = "add `tokens`"
        findings.note(ProblemCode.CONTRADICTION, ("api", "tls"), message, remedy, below=below, at=At.KEY)


def _webhook(notifier: WebhookNotifier, path: Path, findings: Findings) -> None:
    if (notifier.url is None) == (notifier.url_secret is None):
        message = "give `url` or `url_secret`, and only one"
        findings.note(ProblemCode.CONTRADICTION, path, message, depends=[(*path, "url"), (*path, "url_secret")])
    if notifier.site is not None:
        message = f"the notifier '{notifier.id}' lives in '{notifier.site}': when that site is lost, nobody is told"
        remedy = "use a receiver outside all sites, or a second one elsewhere"
        findings.note(ProblemCode.NOTIFIER_INSIDE, (*path, "site"), message, remedy)
