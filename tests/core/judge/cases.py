"""A small deployment and short ways to say what vantages saw."""

from __future__ import annotations

from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Hardness, MemberRole, Outcome, Standing
from siteshift.core.model.evidence import Picture, SelfCheck, TargetView, VantageReport
from siteshift.core.model.policy import JudgePolicy, Policy
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import MemberId, ServiceId, SiteId, TargetId, VantageId, member_target, pool_target

PANGYO, GASAN, ANYANG = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
SITES = (PANGYO, GASAN, ANYANG)
WEB, CHAT, LOGIN = ServiceId("web"), ServiceId("chat"), ServiceId("login")
POLICY = Policy()
NOW_MS = 1_000_000
ANCHORED = SelfCheck(anchors_ok=2, anchors_total=2)
CUT_OFF = SelfCheck(anchors_ok=0, anchors_total=2)
NO_ANCHORS = SelfCheck(anchors_ok=0, anchors_total=0)


def deployment(
    *, services: tuple[ServiceId, ...] = (WEB,), sites: tuple[SiteId, ...] = SITES, members: int = 4, standby: int = 0
) -> Topology:
    """Services with a pool of equal members at every site. ``chat`` depends on ``login``."""
    made = []
    for service in services:
        pools = []
        for site in sites:
            crew = tuple(
                Member(
                    id=MemberId(f"{service}/{site}/m{i}"),
                    service=service,
                    site=site,
                    name=f"m{i}",
                    address="127.0.0.1",
                    port=8_000 + i,
                    capacity_rps=100,
                    role=MemberRole.ACTIVE if i < members else MemberRole.STANDBY,
                )
                for i in range(members + standby)
            )
            pools.append(Pool(service=service, site=site, nominal_bp=10_000 // len(sites), members=crew))
        needs = (LOGIN,) if service == CHAT else ()
        made.append(
            Service(id=service, names=(f"{service}.example",), tier=1, demand_rps=300, pools=tuple(pools), depends_on=needs)
        )
    return Topology(sites=tuple(Site(id=site) for site in sites), services=tuple(made))


def view(
    standing: Standing, score_pm: int | None = None, hardness: Hardness = Hardness.HARD, since_ms: int = NOW_MS - 500
) -> TargetView:
    """A view with the score one would expect of its standing."""
    usual = {Standing.DOWN: 0, Standing.DEGRADED: 700, Standing.SUSPECT: 900}
    score = usual.get(standing, 1_000) if score_pm is None else score_pm
    return TargetView(standing=standing, score_pm=score, hardness=hardness, since_ms=since_ms)


def report(
    topology: Topology,
    name: str,
    site: SiteId | None,
    said: dict[TargetId, TargetView] | None = None,
    *,
    self_check: SelfCheck = ANCHORED,
    at_ms: int = NOW_MS,
) -> VantageReport:
    """A report that says up for everything not mentioned."""
    views = {target: view(Standing.UP, hardness=Hardness.NONE) for target in topology.targets}
    views.update(said or {})
    return VantageReport(vantage=VantageId(name), site=site, at_ms=at_ms, sequence=1, self_check=self_check, views=views)


def pool_and_members(topology: Topology, service: ServiceId, site: SiteId, what: TargetView) -> dict[TargetId, TargetView]:
    """The same view for a pool and all its members."""
    said = {pool_target(service, site): what}
    said.update({member.target: what for member in topology.pools[(service, site)].members})
    return said


def codes(picture: Picture) -> set[str]:
    """The names of all diagnoses."""
    return {str(one.code) for one in picture.diagnoses}


class Drive:
    """Gives an observer a regular stream of results, member by member, in virtual time."""

    def __init__(self, topology: Topology, *, anchors: tuple[str, ...] = (), site: SiteId | None = None) -> None:
        self.topology = topology
        self.observer = Observer(topology, JudgePolicy(), VantageId("v1"), site, anchors=anchors)
        self.at_ms = NOW_MS
        self.pending: list[tuple[int, TargetId, int, tuple[Outcome, Fault, int]]] = []
        self.faults: dict[TargetId, tuple[Outcome, Fault, int]] = {}
        self.members = [
            (NOW_MS + (i * 250) % 1_000, member.target)
            for pool in topology.pools.values()
            for i, member in enumerate(pool.members)
        ]

    def fail(self, site: SiteId, fault: Fault = Fault.REFUSED, *, only: int | None = None) -> None:
        """From now on the members of a site fail (all, or the first ``only``)."""
        for pool in self.topology.pools.values():
            if pool.site == site:
                for member in pool.members[:only]:
                    self.faults[member.target] = (Outcome.FAIL, fault, 800 if fault is Fault.TIMEOUT else 1)

    def slow(self, site: SiteId, latency_ms: int) -> None:
        """From now on a site's members answer late."""
        for pool in self.topology.pools.values():
            if pool.site == site:
                for member in pool.members:
                    self.faults[member.target] = (Outcome.PASS, Fault.NONE, latency_ms)

    def heal(self) -> None:
        """Everything answers again."""
        self.faults.clear()

    def run(self, ms: int) -> None:
        """Let ``ms`` pass: every member at its phase each second, hot ones every 200 ms, ticks every 50 ms."""
        end = self.at_ms + ms
        while self.at_ms < end:
            self.at_ms += 50
            hot = self.observer.hot_targets()
            for phase, target in self.members:
                every = 200 if target in hot else 1_000
                if (self.at_ms - phase) % every == 0:
                    answer = self.faults.get(target, (Outcome.PASS, Fault.NONE, 10))
                    self.pending.append((self.at_ms + answer[2], target, self.at_ms, answer))
            ready = [one for one in self.pending if one[0] <= self.at_ms]
            self.pending = [one for one in self.pending if one[0] > self.at_ms]
            for at, target, started, (outcome, fault, latency) in ready:
                self.observer.result(target, outcome, fault, latency * 1_000, max(at, self.at_ms), started)
            self.observer.tick(self.at_ms)

    def pool(self, site: SiteId, service: ServiceId = WEB) -> TargetView:
        """What the report says of a pool now."""
        return self.observer.report(self.at_ms).views[pool_target(service, site)]

    def member(self, site: SiteId, index: int, service: ServiceId = WEB) -> TargetView:
        """What the report says of a member now."""
        target = member_target(MemberId(f"{service}/{site}/m{index}"))
        return self.observer.report(self.at_ms).views[target]
