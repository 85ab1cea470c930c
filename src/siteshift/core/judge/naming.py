"""Giving faults their names: the diagnoses of a picture, each with its place, its reason and its accusers."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.judge.everywhere import Everywhere
from siteshift.core.judge.quorum import BAD, Jury, Verdict
from siteshift.core.model.codes import DiagnosisCode, Standing
from siteshift.core.model.evidence import Diagnosis, Picture, PoolPicture, VantageReport
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId, site_target

PoolKey = tuple[ServiceId, SiteId]
Identity = tuple[DiagnosisCode, SiteId | None, ServiceId | None, MemberId | None]


class Findings:
    """Collects diagnoses; one that was there before keeps its ``since_ms``."""

    __slots__ = ("_before", "_found", "_now_ms")

    def __init__(self, now_ms: int, previous: Picture | None) -> None:
        self._now_ms = now_ms
        self._before: dict[Identity, int] = {}
        for one in previous.diagnoses if previous is not None else ():
            self._before[(one.code, one.site, one.service, one.member)] = one.since_ms
        self._found: list[Diagnosis] = []

    def add(
        self,
        code: DiagnosisCode,
        reason: str,
        *,
        since_ms: int = 0,
        site: SiteId | None = None,
        service: ServiceId | None = None,
        member: MemberId | None = None,
        accusers: tuple[VantageId, ...] = (),
    ) -> None:
        """Name one fault."""
        since = self._before.get((code, site, service, member), since_ms or self._now_ms)
        self._found.append(
            Diagnosis(code=code, since_ms=since, reason=reason, site=site, service=service, member=member, accusers=accusers)
        )

    def all(self) -> tuple[Diagnosis, ...]:
        """In the order found: observers, members, paths, services, sites."""
        return tuple(self._found)


def name_vantages(findings: Findings, topology: Topology, jury: Jury, reports: Mapping[VantageId, VantageReport]) -> None:
    """OBSERVER_ISOLATED, STALE and CHECK_BROKEN."""
    for report in jury.isolated:
        check = report.self_check
        told = f"{check.anchors_ok} of {check.anchors_total} anchors" if check.anchors_total else "no anchor to ask"
        reason = f"{report.vantage} sees everything failing or is cut off ({told})"
        findings.add(DiagnosisCode.OBSERVER_ISOLATED, reason, site=report.site, accusers=(report.vantage,))
    for name in jury.stale:
        known = reports.get(name)
        reason = f"{name} does not report any more" if known is not None else f"{name} never reported"
        since_ms = known.at_ms if known is not None else 0
        findings.add(DiagnosisCode.STALE, reason, site=topology.site_of_vantage.get(name), accusers=(name,), since_ms=since_ms)
    broken: dict[str, list[VantageId]] = {}
    for report in jury.credible:
        for target in report.self_check.broken_checks:
            broken.setdefault(target, []).append(report.vantage)
        for target, view in report.views.items():
            if view.is_contradicted:
                broken.setdefault(target, []).append(report.vantage)
    for checked, accusers in broken.items():
        service, site, member = _place(topology, checked)
        reason = f"the check of {checked} is contradicted by its must-fail twin or by real traffic"
        findings.add(DiagnosisCode.CHECK_BROKEN, reason, site=site, service=service, member=member, accusers=tuple(accusers))


def _place(topology: Topology, target: str) -> tuple[ServiceId | None, SiteId | None, MemberId | None]:
    for known, place in topology.targets.items():
        if known == target:
            return place
    return None, None, None


def name_members(findings: Findings, topology: Topology, pools: Mapping[PoolKey, PoolPicture]) -> None:
    """MEMBER_DOWN, where the pool still stands."""
    for (service, site), pool in pools.items():
        if pool.standing is Standing.DOWN:
            continue
        for member, view in pool.members.items():
            if view.standing is Standing.DOWN:
                findings.add(
                    DiagnosisCode.MEMBER_DOWN,
                    view.reason or "the member fails alone",
                    since_ms=view.since_ms,
                    site=site,
                    service=service,
                    member=topology.members[member].id,
                )


def name_paths(findings: Findings, verdicts: Mapping[PoolKey, Verdict]) -> None:
    """PATH_DOWN: some vantages accuse, most do not."""
    for (service, site), verdict in verdicts.items():
        if verdict.accusers and not verdict.carried:
            reason = f"only {', '.join(verdict.accusers)} cannot reach it"
            findings.add(DiagnosisCode.PATH_DOWN, reason, site=site, service=service, accusers=verdict.accusers)


def name_pools(
    findings: Findings,
    topology: Topology,
    pools: Mapping[PoolKey, PoolPicture],
    sites: Mapping[SiteId, Standing],
    verdicts: Mapping[PoolKey, Verdict],
    everywhere: Mapping[ServiceId, Everywhere],
) -> None:
    """GLOBAL_FAULT and OVERLOAD per service; SERVICE_DOWN, SERVICE_DEGRADED or DEPENDENCY_DOWN per pool."""
    for service in topology.services:
        found = everywhere[service.id]
        if found.is_global:
            findings.add(DiagnosisCode.GLOBAL_FAULT, "all its sites fail alike: no site is better", service=service.id)
            if found.slow:
                findings.add(DiagnosisCode.OVERLOAD, "slow at all sites at once", service=service.id)
            continue
        for site in service.sites:
            pool = pools[(service.id, site)]
            if pool.standing not in BAD:
                continue
            accusers = verdicts[(service.id, site)].accusers
            blamed = _failing_dependency(service, site, pools)
            if blamed is not None:
                code, reason = DiagnosisCode.DEPENDENCY_DOWN, f"it depends on {blamed}, which fails there too"
            elif sites[site] is pool.standing:
                continue
            else:
                down = pool.standing is Standing.DOWN
                code = DiagnosisCode.SERVICE_DOWN if down else DiagnosisCode.SERVICE_DEGRADED
                reason = verdicts[(service.id, site)].view.reason or f"goodput {pool.score_pm / 10:g} %"
            findings.add(code, reason, since_ms=pool.since_ms, site=site, service=service.id, accusers=accusers)


def _failing_dependency(service: Service, site: SiteId, pools: Mapping[PoolKey, PoolPicture]) -> ServiceId | None:
    for needed in service.depends_on:
        pool = pools.get((needed, site))
        if pool is not None and pool.standing in BAD:
            return needed
    return None


def name_sites(
    findings: Findings,
    topology: Topology,
    pools: Mapping[PoolKey, PoolPicture],
    sites: Mapping[SiteId, Standing],
    verdicts: Mapping[PoolKey, Verdict],
) -> None:
    """SITE_DOWN and SITE_DEGRADED."""
    for site in topology.site_ids:
        standing = sites[site]
        if standing not in BAD:
            continue
        bad = [(key, pool) for key, pool in pools.items() if key[1] == site and pool.standing in BAD]
        code = DiagnosisCode.SITE_DOWN if standing is Standing.DOWN else DiagnosisCode.SITE_DEGRADED
        total = sum(1 for key in pools if key[1] == site)
        accusers = sorted({vantage for key, _ in bad for vantage in verdicts[key].accusers})
        findings.add(
            code,
            f"{len(bad)} of {total} services at {site_target(site)} are {standing} or worse",
            since_ms=max(pool.since_ms for _, pool in bad),
            site=site,
            accusers=tuple(accusers),
        )
