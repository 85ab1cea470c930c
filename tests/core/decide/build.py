"""Small worlds for the deciders' tests: three sites on two campuses, one service, one standby."""

from __future__ import annotations

from collections.abc import Mapping

from siteshift.core.decide.gate import Cause, GateContext, Proposal
from siteshift.core.model.codes import DataKind, Hardness, MemberRole, Mode, Standing
from siteshift.core.model.evidence import PoolPicture
from siteshift.core.model.policy import ServicePolicy
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.topology import Member, Pool, Service, SharedFateGroup, Site, Topology
from siteshift.core.model.units import GroupId, MemberId, ServiceId, SiteId

PANGYO, GASAN, ANYANG = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")
WEB = ServiceId("web")
NOW_MS = 10_000_000
SPARE = MemberId("web/gasan/spare")


def member(site: SiteId, name: str, role: MemberRole = MemberRole.ACTIVE) -> Member:
    return Member(
        id=MemberId(f"web/{site}/{name}"),
        service=WEB,
        site=site,
        name=name,
        address="127.0.0.1",
        port=80,
        capacity_rps=500,
        role=role,
    )


def pool(site: SiteId, nominal_bp: int, *members: Member) -> Pool:
    return Pool(service=WEB, site=site, nominal_bp=nominal_bp, members=members)


def service(data: DataKind = DataKind.STATELESS) -> Service:
    return Service(
        id=WEB,
        names=("web.example",),
        tier=1,
        demand_rps=1_000,
        data=data,
        pools=(
            pool(PANGYO, 5_000, member(PANGYO, "a"), member(PANGYO, "b")),
            pool(GASAN, 3_000, member(GASAN, "a"), member(GASAN, "spare", MemberRole.STANDBY)),
            pool(ANYANG, 2_000, member(ANYANG, "a")),
        ),
    )


def topology(web: Service) -> Topology:
    return Topology(
        sites=(Site(id=PANGYO), Site(id=GASAN), Site(id=ANYANG)),
        services=(web,),
        groups=(SharedFateGroup(id=GroupId("south"), sites=(PANGYO, ANYANG)),),
    )


def shares(pangyo: int, gasan: int, anyang: int) -> dict[SiteId, int]:
    return {PANGYO: pangyo, GASAN: gasan, ANYANG: anyang}


ACTIVE = {MemberId(f"web/{site}/{name}"): 1_000 for site, name in ((PANGYO, "a"), (GASAN, "a"), (ANYANG, "a"))}


def steering(
    shares_bp: Mapping[SiteId, int],
    *,
    shed_bp: int = 0,
    members_pm: Mapping[MemberId, int] = ACTIVE,
    ttl_s: int = 30,
) -> ServiceSteering:
    return ServiceSteering(service=WEB, shares_bp=shares_bp, members_pm=members_pm, ttl_s=ttl_s, shed_bp=shed_bp)


def picture(standing: Standing, score_pm: int = 1_000) -> PoolPicture:
    return PoolPicture(standing=standing, score_pm=score_pm, hardness=Hardness.NONE, since_ms=0, members={})


def pictures(pangyo: Standing, gasan: Standing, anyang: Standing) -> dict[SiteId, PoolPicture]:
    return {PANGYO: picture(pangyo), GASAN: picture(gasan), ANYANG: picture(anyang)}


UP = Standing.UP
ALL_UP = pictures(UP, UP, UP)
NORMAL = shares(5_000, 3_000, 2_000)
"""Everything as nominal."""
LEFT = shares(0, 6_000, 4_000)
"""Pangyo left."""


def proposal(**changes: object) -> Proposal:
    """Leaving Pangyo by evidence of degradation, unless told otherwise."""
    fields: dict[str, object] = {
        "service": service(),
        "before": steering(NORMAL),
        "after": steering(LEFT),
        "cause": Cause.DEGRADED,
    }
    return Proposal(**{**fields, **changes})  # type: ignore[arg-type]


def context(**changes: object) -> GateContext:
    """Nothing stands in the way, unless told otherwise; the refuge may share its fate with what is left."""
    fields: dict[str, object] = {
        "topology": topology(service()),
        "policy": ServicePolicy(refuge_same_fate=True),
        "mode": Mode.AUTO,
        "pools": ALL_UP,
        "now_ms": NOW_MS,
    }
    return GateContext(**{**fields, **changes})  # type: ignore[arg-type]
