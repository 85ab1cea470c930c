"""From all vantages' reports to one picture with named faults. Pure; called on every report and tick.

The order matters and is the order of law 4: who may speak, what they agree on, whether it is everywhere, and only then
what is wrong where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from siteshift.core.judge.everywhere import Everywhere, hold_or_global
from siteshift.core.judge.naming import Findings, name_members, name_paths, name_pools, name_sites, name_vantages
from siteshift.core.judge.quorum import BAD, NOBODY_KNOWS, Jury, Verdict, agreed_view, combine, recast, seat_jury
from siteshift.core.judge.served import SeenOf, heed
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import Picture, PoolPicture, TargetView, VantageReport
from siteshift.core.model.policy import Policy
from siteshift.core.model.topology import Pool, Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId, site_target

PoolKey = tuple[ServiceId, SiteId]


def diagnose(
    topology: Topology,
    policy: Policy,
    reports: Mapping[VantageId, VantageReport],
    now_ms: int,
    previous: Picture | None = None,
    served_of: SeenOf | None = None,
) -> Picture:
    """The combined belief. ``previous`` only keeps ``since_ms`` and the end of a global fault steady; ``served_of`` tells what
    meters counted of a pool lately."""
    jury = seat_jury(topology, policy.judge, reports, now_ms)
    findings = Findings(now_ms, previous)
    name_vantages(findings, topology, jury, reports)
    if not jury.credible:
        return _blind(topology, jury, findings)
    verdicts: dict[PoolKey, Verdict] = {}
    members: dict[PoolKey, dict[MemberId, TargetView]] = {}
    doubted: set[PoolKey] = set()
    here = {site: _judge_site(topology, jury, site, now_ms, verdicts, members, doubted) for site in topology.site_ids}
    wholes = {site: combine(site_target(site), jury.outside(site), now_ms) for site in topology.site_ids if here[site]}
    if len(wholes) == 1 or not all(whole.carried for whole in wholes.values()):
        for site, whole in wholes.items():
            _adopt_from_site(whole, here[site], verdicts, doubted)
    if served_of is not None:
        for key in heed(verdicts, served_of, now_ms):
            members[key] = {name: _in_doubt(view) for name, view in members[key].items()}
    everywhere = {
        service.id: hold_or_global(service, verdicts, members, policy.judge, now_ms, previous) for service in topology.services
    }
    pools = {
        key: _pool_picture(key, verdict.view, members[key], everywhere[key[0]], now_ms, previous)
        for key, verdict in verdicts.items()
    }
    global_fault = frozenset(service for service, found in everywhere.items() if found.is_global)
    sites = {site: _site_standing(site, pools, global_fault) for site in topology.site_ids}
    name_members(findings, topology, pools)
    name_paths(findings, verdicts)
    name_pools(findings, topology, pools, sites, verdicts, everywhere)
    name_sites(findings, topology, pools, sites, verdicts)
    return Picture(
        pools=pools,
        sites=sites,
        diagnoses=findings.all(),
        credible=tuple(report.vantage for report in jury.credible),
        isolated=tuple(report.vantage for report in jury.isolated),
        blind=False,
        global_fault=global_fault,
    )


def _blind(topology: Topology, jury: Jury, findings: Findings) -> Picture:
    """Nobody can be believed: everything is unknown, and unknown changes nothing."""
    pools = {
        key: PoolPicture(
            standing=Standing.UNKNOWN,
            score_pm=NOBODY_KNOWS.score_pm,
            hardness=NOBODY_KNOWS.hardness,
            since_ms=0,
            members={member.id: NOBODY_KNOWS for member in pool.members},
        )
        for key, pool in topology.pools.items()
    }
    return Picture(
        pools=pools,
        sites=dict.fromkeys(topology.site_ids, Standing.UNKNOWN),
        diagnoses=findings.all(),
        isolated=tuple(report.vantage for report in jury.isolated),
        blind=True,
    )


def _judge_site(
    topology: Topology,
    jury: Jury,
    site: SiteId,
    now_ms: int,
    verdicts: dict[PoolKey, Verdict],
    members: dict[PoolKey, dict[MemberId, TargetView]],
    doubted: set[PoolKey],
) -> list[PoolKey]:
    """Fill in the verdicts on a site's pools and members, and whose check real traffic contradicts; the keys of its pools."""
    voters = jury.outside(site)
    here: list[PoolKey] = []
    for service in topology.services:
        pool = service.pool_at(site)
        if pool is None:
            continue
        key = (service.id, site)
        members[key] = {member.id: agreed_view(member.target, voters, now_ms) for member in pool.members}
        if any(report.views[pool.target].is_contradicted for report in voters if pool.target in report.views):
            members[key] = {name: _in_doubt(view) for name, view in members[key].items()}
            doubted.add(key)
        verdict = combine(pool.target, voters, now_ms)
        if verdict.view is NOBODY_KNOWS and not any(pool.target in report.views for report in voters):
            verdict = _from_members(pool, members[key], voters)
        verdicts[key] = verdict
        here.append(key)
    return here


def _in_doubt(view: TargetView) -> TargetView:
    """A member as checks see it that real traffic contradicts: they say the same of all members, so none is taken out for it."""
    return recast(view, Standing.SUSPECT) if view.standing in BAD else view


def _from_members(pool: Pool, views: Mapping[MemberId, TargetView], voters: tuple[VantageReport, ...]) -> Verdict:
    """A pool nobody reports on as such stands as its active members do: down without any, degraded without most."""
    active = [views[member.id] for member in pool.actives]
    known = [view for view in active if view.standing is not Standing.UNKNOWN]
    down = [view for view in known if view.standing is Standing.DOWN]
    if not known:
        return Verdict(view=NOBODY_KNOWS, accusers=(), carried=False)
    if 2 * len(down) <= len(active):
        not_up = down or [view for view in known if view.standing is not Standing.UP]
        view = recast(known[0], Standing.SUSPECT) if len(not_up) > 1 else TargetView(standing=Standing.UP, score_pm=1_000)
        return Verdict(view=view, accusers=(), carried=False)
    left = [view.score_pm for view in known if view.standing is not Standing.DOWN]
    view = TargetView(
        standing=Standing.DEGRADED if left else Standing.DOWN,
        score_pm=sum(left) // len(left) if left else 0,
        hardness=down[0].hardness,
        since_ms=max(view.since_ms for view in down),
        reason=f"{len(down)} of {len(active)} members down",
    )
    return Verdict(view=view, accusers=tuple(report.vantage for report in voters), carried=True)


def _adopt_from_site(
    whole: Verdict, here: list[PoolKey], verdicts: dict[PoolKey, Verdict], doubted: set[PoolKey]
) -> None:
    """What the site's stream finds before any single pool's does belongs to the pools under suspicion.

    Only when no pool is bad by itself: otherwise that pool's fault is what the site's stream saw. And not while the streams
    of all sites say so: suspicion reaches the pools one after the other, and the first would be left alone (law 4). Nor for a
    pool whose check real traffic contradicts: the site's stream is made of the same checks.
    """
    if not whole.carried or any(verdicts[key].carried for key in here):
        return
    suspects = [key for key in here if verdicts[key].view.standing is Standing.SUSPECT and key not in doubted]
    if len(suspects) < min(2, len(here)):
        return
    for key in suspects:
        own = verdicts[key].view
        view = replace(whole.view, score_pm=min(own.score_pm, whole.view.score_pm), last_pass_ms=own.last_pass_ms)
        verdicts[key] = Verdict(view=view, accusers=whole.accusers, carried=True)


def _pool_picture(
    key: PoolKey,
    view: TargetView,
    members: Mapping[MemberId, TargetView],
    everywhere: Everywhere,
    now_ms: int,
    previous: Picture | None,
) -> PoolPicture:
    standing = Standing.SUSPECT if everywhere.held and view.standing in BAD else view.standing
    before = previous.pools.get(key) if previous is not None else None
    since = before.since_ms if before is not None and before.standing is standing else (view.since_ms or now_ms)
    return PoolPicture(standing=standing, score_pm=view.score_pm, hardness=view.hardness, since_ms=since, members=members)


def _site_standing(site: SiteId, pools: Mapping[PoolKey, PoolPicture], global_fault: frozenset[ServiceId]) -> Standing:
    """A site is down when most of its services are, degraded when most are bad; global faults say nothing about it."""
    here = [
        picture.standing
        for (service, where), picture in pools.items()
        if where == site and service not in global_fault and picture.standing is not Standing.UNKNOWN
    ]
    if not here:
        known = any(where == site and picture.standing is not Standing.UNKNOWN for (_, where), picture in pools.items())
        return Standing.UP if known else Standing.UNKNOWN
    down = sum(1 for standing in here if standing is Standing.DOWN)
    bad = sum(1 for standing in here if standing in BAD)
    if 2 * down > len(here):
        return Standing.DOWN
    if 2 * bad > len(here):
        return Standing.DEGRADED
    return Standing.SUSPECT if bad or Standing.SUSPECT in here else Standing.UP
