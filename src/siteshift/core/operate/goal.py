"""What a request means as a goal: the same words, the same goal, whoever repeats it and whenever."""

from __future__ import annotations

from collections.abc import Iterable

from siteshift.core.messages.requests import (
    DepoolRequest,
    DrainRequest,
    LiftRequest,
    OperatorRequest,
    PoolRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import Goal, Verb
from siteshift.core.model.digest import digest_of
from siteshift.core.model.override import Override
from siteshift.core.model.plan import Plan
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.core.state.codec import to_matter

SITESHIFT = "siteshift"
"""Owner of what siteshift proposes by itself."""


def goal_of(asking: OperatorRequest, setup: Setup, overrides: Iterable[Override]) -> Goal:
    """The goal of a request that moves traffic. Raises `ValueError` for one that does not."""
    topology, request = setup.topology, asking.request
    match request:
        case DrainRequest(site=site, service=service):
            return _goal(asking, setup, Verb.DRAIN, _services(setup, service, site), sites=(site,))
        case UndrainRequest(site=site, service=service):
            return _goal(asking, setup, Verb.UNDRAIN, _services(setup, service, site), sites=(site,))
        case DepoolRequest(member=member):
            return _goal(asking, setup, Verb.DEPOOL, (topology.members[member].service,), members=(member,))
        case PoolRequest(member=member):
            return _goal(asking, setup, Verb.POOL, (topology.members[member].service,), members=(member,))
        case SharesRequest(service=service, shares_bp=shares):
            sites = topology.service_by_id[service].sites
            return _goal(asking, setup, Verb.SHARES, (service,), sites=sites, shares_bp=dict(shares))
        case LiftRequest(override=name):
            made = next((entry for entry in overrides if entry.id == name), None)
            return _lifting(asking, setup, name, made)
        case _:
            raise ValueError(f"{type(request).__name__} moves no traffic")


def _lifting(asking: OperatorRequest, setup: Setup, name: str, made: Override | None) -> Goal:
    if made is None:
        return _goal(asking, setup, Verb.LIFT, (), override=name)
    services = _services(setup, made.service, made.site)
    if made.site is not None:
        sites: tuple[SiteId, ...] = (made.site,)
    elif made.shares_bp is not None:
        sites = tuple(dict.fromkeys(s for service in services for s in setup.topology.service_by_id[service].sites))
    else:
        sites = ()
    return _goal(asking, setup, Verb.LIFT, services, sites=sites, override=name)


def proposal_of(plan: Plan, setup: Setup) -> Goal:
    """The goal of what siteshift would do by itself and a person decides about."""
    losing = {
        site
        for service, shares in plan.before.items()
        for site, bp in shares.items()
        if plan.after[service].get(site, 0) < bp
    }
    services = tuple(sorted(plan.services))
    topology, policy = setup_digests(setup, services)
    return Goal(
        verb=Verb.PROPOSED,
        services=services,
        sites=tuple(sorted(losing)),
        cause=plan.cause.value,
        owner=SITESHIFT,
        topology=topology,
        policy=policy,
    )


def _services(setup: Setup, service: ServiceId | None, site: SiteId | None) -> tuple[ServiceId, ...]:
    """The services a request names; with none named, all that the site serves."""
    if service is not None:
        return (service,)
    return tuple(s.id for s in setup.topology.services if site is None or s.pool_at(site) is not None)


def _goal(
    asking: OperatorRequest,
    setup: Setup,
    verb: Verb,
    services: tuple[ServiceId, ...],
    *,
    sites: tuple[SiteId, ...] = (),
    members: tuple[MemberId, ...] = (),
    shares_bp: dict[SiteId, int] | None = None,
    override: str = "",
) -> Goal:
    topology, policy = setup_digests(setup, services)
    return Goal(
        verb=verb,
        services=services,
        sites=sites,
        members=members,
        shares_bp=shares_bp or {},
        override=override,
        owner=asking.person,
        ticket=asking.ticket,
        life_ms=asking.life_ms,
        expires_ms=asking.expires_ms if asking.life_ms is None else None,
        topology=topology,
        policy=policy,
    )


def setup_digests(setup: Setup, services: Iterable[ServiceId]) -> tuple[str, str]:
    """Digests of what the configuration says of these services: topology, then policy; the same in every version that
    does the same by it (`model.digest`)."""
    topology, policy = setup.topology, setup.policy
    named = [topology.service_by_id[name] for name in sorted(services) if name in topology.service_by_id]
    sites = {site for service in named for site in service.sites}
    matter = [
        [to_matter(service) for service in named],
        [to_matter(site) for site in topology.sites if site.id in sites],
        [to_matter(group) for group in topology.groups if sites & set(group.sites)],
    ]
    return digest_of(matter), digest_of([to_matter(policy.of(service.id)) for service in named])
