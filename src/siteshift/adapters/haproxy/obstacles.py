"""What keeps a HAProxy from following whatever we write to it, with the remedy: found when it is read, told before a move.

HAProxy takes commands that change nothing and says nothing: ``state ready`` for a server that is in maint with the one it
tracks, a weight under ``balance first``, a share for a ``backup``. So it is looked up, not tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from siteshift.adapters.haproxy.pace import Pace
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane
from siteshift.adapters.haproxy.server_state import ServersState, ServerState
from siteshift.adapters.haproxy.targets import Reason, mapped_servers, why_out
from siteshift.adapters.haproxy.traits import Traits
from siteshift.core.model.steering import Obstacle
from siteshift.core.model.units import SiteId

NAMED = 5
"""Servers that are named for one reason; of more, the number is told."""
STATIC_REMEDY = "set `algorithm: static` for the backend, or give it a dynamic one such as `balance roundrobin`"
"""``source``, ``uri``, ``hdr`` and their like are static unless ``hash-type consistent`` stands beside them: HAProxy tells which
only when a weight is set."""
STATIC_REFUSAL = "static LB algorithm"
"""Words of HAProxy's answer to a weight that its algorithm cannot take (the same from 1.4 to 3.x)."""


async def obstacles(plane: HaproxyPlane, states: ServersState, traits: Traits) -> tuple[Obstacle, ...]:
    """Everything that stands in the way of this plane, the servers of one reason together."""
    found: list[Obstacle] = []
    pace = Pace()
    for backend in plane.backends:
        found += _of_backend(plane, backend, states.get(backend.backend, {}), traits)
        await pace.after(len(backend.servers))
    return tuple(found)


def _of_backend(
    plane: HaproxyPlane, backend: BackendMap, present: Mapping[str, ServerState], traits: Traits
) -> Iterator[Obstacle]:
    name, algorithm = backend.backend, plane.algorithm_of(backend)
    if algorithm is Algorithm.DYNAMIC and (reason := _of_algorithm(traits.algorithms.get(name, ""))) is not None:
        yield Obstacle(what=name, text=reason[0], remedy=reason[1], service=backend.service)
    reasons = {
        server: reason
        for server in mapped_servers(backend)
        if server in present and (reason := why_out(present[server], algorithm)) is not None
    }
    if not reasons:
        return
    site_of = {mapped.server: mapped.site for mapped in backend.servers}
    alike: dict[tuple[Reason, SiteId | None], list[str]] = {}
    for server, reason in reasons.items():
        alike.setdefault((reason, site_of.get(server)), []).append(server)
    for ((text, remedy), site), servers in alike.items():
        of_site = [server for server, other in site_of.items() if other == site and server in present]
        closes = site if all(server in reasons for server in of_site) else None
        named = ", ".join(servers[:NAMED]) + (f" and {len(servers) - NAMED} more" if len(servers) > NAMED else "")
        yield Obstacle(what=f"{name}/{named}", text=text, remedy=remedy, service=backend.service, closes=closes)


def _of_algorithm(algorithm: str) -> Reason | None:
    match algorithm:
        case "static-rr":
            return f"`balance {algorithm}` takes no weights at run time", STATIC_REMEDY
        case "first":
            return f"`balance {algorithm}` fills one server after the other, whatever they weigh", "use `balance roundrobin`"
        case _:
            return None
