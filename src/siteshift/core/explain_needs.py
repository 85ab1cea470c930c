"""What a service needs at its own site and does not have there: said where the service itself still looks well."""

from __future__ import annotations

from collections.abc import Iterator

from siteshift.core.judge.quorum import BAD
from siteshift.core.model.evidence import PoolPicture
from siteshift.core.model.setup import Setup
from siteshift.core.model.topology import Service
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState


def failing_needs(
    state: ControllerState, setup: Setup, service: Service, site: SiteId
) -> Iterator[tuple[tuple[ServiceId, ...], PoolPicture]]:
    """What fails there of all that the service depends on, with the way to it: through ``checkout`` to ``login``."""
    services, seen = setup.topology.service_by_id, {service.id}
    ways: list[tuple[ServiceId, ...]] = [(needed,) for needed in service.depends_on]
    while ways:
        way = ways.pop(0)
        if way[-1] in seen:
            continue
        seen.add(way[-1])
        pool = state.picture.pools.get((way[-1], site))
        if pool is not None and pool.standing in BAD:
            yield way, pool
        ways += [(*way, further) for further in services[way[-1]].depends_on if way[-1] in services]


def needs_lines(state: ControllerState, setup: Setup, service: Service, site: SiteId, now_ms: int) -> list[str]:
    """A sentence for each."""
    lines: list[str] = []
    for (*through, needed), pool in failing_needs(state, setup, service, site):
        by = f" by {', '.join(through)}" if through else ""
        since = f" for {(now_ms - pool.since_ms) // 1_000} s" if pool.since_ms else ""
        text = f"depends on {needed}{by}, which is {pool.standing.value} here{since}: "
        text += f"users of {service.id} may fail at {site} although its own checks pass; look: siteshift why {needed}"
        lines.append(text)
    return lines


def needs_text(state: ControllerState, setup: Setup, service: Service, site: SiteId) -> str:
    """The same in a few words, for the status; empty when nothing fails there."""
    found = [f"{way[-1]} ({pool.standing.value})" for way, pool in failing_needs(state, setup, service, site)]
    return f"depends on {', '.join(found)} at {site}" if found else ""
