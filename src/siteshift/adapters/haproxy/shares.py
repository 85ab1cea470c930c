"""Site shares of a plane in basis points: as its servers would deliver them now, and as a steering would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from siteshift.adapters.haproxy.pace import Pace
from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane
from siteshift.adapters.haproxy.server_state import ServersState
from siteshift.adapters.haproxy.targets import Problem, deliverable, site_groups, usable_weights
from siteshift.adapters.haproxy.weights import integer_weights
from siteshift.core.model.steering import Steering
from siteshift.core.model.units import WHOLE_BP, MemberId, ServiceId, SiteId

Shares = dict[ServiceId, dict[SiteId, int]]


async def actual_shares_bp(plane: HaproxyPlane, states: ServersState) -> Shares:
    """What HAProxy would deliver now: weights of the servers that are usable in its own eyes."""
    found = []
    pace = Pace()
    for backend in plane.backends:
        await pace.after(len(backend.servers))
        present = states.get(backend.backend, {})
        found.append((backend, usable_weights(backend, present)))
    return shares_of_backends(found)


def expected_shares_bp(
    plane: HaproxyPlane, steering: Steering, backups: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> Shares:
    """What `actual_shares_bp` becomes under the steering when all is up; without services that have a problem.

    ``backups``: servers that are ``backup``, by backend.
    """
    found = []
    for backend in plane.backends:
        wanted = steering.of(backend.service)
        is_backup = backups.get(backend.backend, frozenset())
        fractions = deliverable(plane, backend, wanted, backups=is_backup) if wanted is not None else {}
        if isinstance(fractions, Problem) or not fractions:
            continue
        if plane.algorithm_of(backend) is Algorithm.STATIC:
            weights = dict.fromkeys(fractions, 1)
        else:
            weights = integer_weights(fractions, site_groups(backend), plane.initial_weights_of(backend))
        found.append((backend, weights))
    return shares_of_backends(found)


def shares_of_backends(found: Sequence[tuple[BackendMap, Mapping[str, int]]]) -> Shares:
    """Shares per service from the weights of each backend's servers."""
    return _by_service([(backend, shares_of_weights(backend, weights)) for backend, weights in found])


async def actual_members_bp(plane: HaproxyPlane, states: ServersState) -> dict[MemberId, int]:
    """The part of its service's traffic each member would get now; members of several backends get the mean."""
    found = []
    pace = Pace()
    for backend in plane.backends:
        await pace.after(len(backend.servers))
        found.append((backend, usable_weights(backend, states.get(backend.backend, {}))))
    return members_of_backends(found)


def members_of_backends(found: Sequence[tuple[BackendMap, Mapping[str, int]]]) -> dict[MemberId, int]:
    """Parts of the service's traffic per member, from the weights of each backend's servers."""
    parts: dict[MemberId, list[int]] = {}
    for backend, weights in found:
        whole = sum(weights.values())
        for mapped in backend.servers:
            if mapped.member is not None:
                bp = weights.get(mapped.server, 0) * WHOLE_BP // whole if whole else 0
                parts.setdefault(mapped.member, []).append(bp)
    return {member: sum(several) // len(several) for member, several in parts.items()}


def shares_of_weights(backend: BackendMap, weights: Mapping[str, float]) -> dict[SiteId, int]:
    """Site shares from server weights; what shed servers get is missing from the whole."""
    whole = sum(weights.values())
    per_site: dict[SiteId, float] = {mapped.site: 0.0 for mapped in backend.servers}
    if not whole:
        return dict.fromkeys(per_site, 0)
    for mapped in backend.servers:
        per_site[mapped.site] += weights.get(mapped.server, 0)
    return _rounded({site: weight * WHOLE_BP / whole for site, weight in per_site.items()})


def _rounded(exact: Mapping[SiteId, float]) -> dict[SiteId, int]:
    """Largest remainder: integers that keep the rounded sum."""
    shares = {site: int(value) for site, value in exact.items()}
    left = round(sum(exact.values())) - sum(shares.values())
    for site in sorted(exact, key=lambda s: shares[s] - exact[s])[:left]:
        shares[site] += 1
    return shares


def _by_service(found: list[tuple[BackendMap, dict[SiteId, int]]]) -> Shares:
    """A service with several backends (http and https) gets their mean: how its traffic divides is not known here."""
    grouped: dict[ServiceId, list[dict[SiteId, int]]] = {}
    for backend, shares in found:
        grouped.setdefault(backend.service, []).append(shares)
    merged: Shares = {}
    for service, several in grouped.items():
        if len(several) == 1:
            merged[service] = several[0]
            continue
        sites = {site for shares in several for site in shares}
        mean = {site: sum(shares.get(site, 0) for shares in several) / len(several) for site in sites}
        merged[service] = _rounded(mean)
    return merged
