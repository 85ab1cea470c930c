"""File descriptors: the prober's and the planes' are set aside first, the clients of all listeners share the rest.

A prober without descriptors reports `lost` everywhere, and the node is blind. So the process takes as high a limit as it
needs and may have (the soft limit is raised towards the hard one), and where that is not enough it is clients who go short.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

import structlog

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded_tcp import CONNECTIONS as DNS_CONNECTIONS
from siteshift.adapters.haproxy.agent_listener import ListenerLimits
from siteshift.api.connections import CONNECTIONS as API_CONNECTIONS
from siteshift.config import Resolved
from siteshift.config.setups import AgentCheckSetup, EmbeddedDnsSetup
from siteshift.core.model.probe import ProbeKind

log = structlog.get_logger("siteshift.descriptors")

OWN = 64
"""Log, store (with its journal files), the event loop, listening sockets, watchdog, resolving names; some 30 in use."""
PER_PROBE = 2
"""The check and its must-fail twin, each with one connection at most."""
PER_TUNNEL_PROBE = 8
"""A local listener, both ends of a connection to it and the connection to the target; check and twin."""
PER_COMMAND_PROBE = 8
"""A child's pipes, and those that tell whether it could be started; check and twin."""
PER_NEIGHBOUR = 8
"""A data plane, driver, meter or notifier: connections that are asked in parallel."""
AGENT_CLIENTS = ListenerLimits().connections
"""HAProxy's agent checks steer: theirs are set aside like those of the planes."""
LEAST_FOR_CLIENTS = 8
"""Even where nothing is left: a person must be able to ask what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How many file descriptors a configuration wants."""

    own: int
    clients: int


def need_of(resolved: Resolved) -> Need:
    """What is wanted when everything is in use at the same time."""
    probes = (*resolved.probes, *resolved.anchors, *resolved.own_site_anchors)
    commands = sum(spec.kind is ProbeKind.COMMAND for spec in probes)
    tunnels = sum(spec.kind is ProbeKind.GRPC and (spec.speaks_tls or spec.proxy_protocol is not None) for spec in probes)
    neighbours = sum(
        len(setups) for setups in (resolved.planes, resolved.drivers, resolved.meters, resolved.evidence, resolved.notifiers)
    )
    own = OWN + PER_PROBE * (len(probes) - commands - tunnels) + PER_COMMAND_PROBE * commands + PER_TUNNEL_PROBE * tunnels
    own += PER_NEIGHBOUR * neighbours
    clients = API_CONNECTIONS.connections * (1 if resolved.api.tls is None else 2)
    for plane in resolved.planes:
        match plane:
            case EmbeddedDnsSetup():
                clients += DNS_CONNECTIONS.connections * len(plane.listen)
            case AgentCheckSetup():
                own += AGENT_CLIENTS
            case _:
                pass
    return Need(own=own, clients=clients)


def share_out(need: Need, descriptors: Descriptors) -> None:
    """Raise the limit of this process as far as needed and allowed; clients get what is left (also after a reload)."""
    limit = _raised_to(need.own + need.clients)
    descriptors.most = max(LEAST_FOR_CLIENTS, min(need.clients, limit - need.own))
    if descriptors.most < need.clients:
        log.warning(
            "file descriptors are short: clients of API and DNS get fewer, probes all they need",
            limit=limit,
            probes_and_planes=need.own,
            clients=descriptors.most,
            clients_wanted=need.clients,
            remedy=f"set LimitNOFILE={need.own + need.clients} or more in the unit",
        )


def _raised_to(wanted: int) -> int:
    """The soft limit, raised where it is below what is wanted. Programs that we start inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(soft, allowed)
