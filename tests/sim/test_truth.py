"""What is true of a site, by which moves are judged: faults count, and the load they leave too little room for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import SiteId
from siteshift.sim.servers import HEALTHY, PoolFlow, Server
from siteshift.sim.spec import ServerSpec
from siteshift.sim.witness import HEALTHY_PM, Witness
from siteshift.sim.world import World
from siteshift.sim.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world


def pool_asked(rps: int, *, capacity_pm: int) -> PoolFlow:
    """Pangyo's 180 requests/s in four members, asked for so much, with so much of its capacity left by a fault."""
    pool = standard_world().topology.pools[(WEB, PANGYO)]
    spec = ServerSpec()
    servers = [Server(m, spec, is_open=m.role is MemberRole.ACTIVE) for m in pool.members]
    for server in servers:
        server.condition = replace(HEALTHY, capacity_pm=capacity_pm) if capacity_pm < 1_000 else HEALTHY
        server.rate_rps = rps / len(servers)
    flow = PoolFlow(pool=pool, servers=servers, spec=spec, slo_ms=300)
    flow.refresh()
    return flow


@pytest.mark.parametrize(
    ("asked_rps", "capacity_pm", "truth_pm"),
    [
        (150, 1_000, 1_000),
        (400, 1_000, 1_000),  # too much is asked of a site that nothing is wrong with: overload is not its fault
        (150, 900, 1_000),
        (150, 500, 600),
        (60, 500, 1_000),
        (0, 500, 1_000),
    ],
)
def test_a_site_that_lost_capacity_is_as_good_as_what_it_serves_of_what_it_is_asked(
    asked_rps: int, capacity_pm: int, truth_pm: int
) -> None:
    flow = pool_asked(asked_rps, capacity_pm=capacity_pm)
    assert flow.truth_pm() == truth_pm
    assert (flow.truth_pm() >= HEALTHY_PM) is (truth_pm == 1_000)


def moved(steering: ServiceSteering, *, lent: tuple[SiteId, ...] = ()) -> str:
    """What a witness of the healthy world says of a move from nominal shares to these."""
    world, witness = World(standard_world(), seed=1, start_ms=0), Witness()
    witness.bind(world)
    before_bp = {pool.site: pool.nominal_bp for pool in world.spec.topology.service_by_id[WEB].pools}
    witness.moved(by="c1", entry=steering, before_bp=before_bp, lent=lent)
    return witness.moves[0].wrong


def test_a_site_that_keeps_what_is_shed_is_not_left() -> None:
    """Its users stay: nothing else answers them."""
    left = ServiceSteering(service=WEB, shares_bp={PANGYO: 0, GASAN: 6_000, ANYANG: 4_000}, members_pm={}, ttl_s=5)
    kept = replace(left, shares_bp={PANGYO: 0, GASAN: 3_000, ANYANG: 2_000}, shed_bp=5_000, shed_at=PANGYO)
    assert moved(left) == "pangyo is healthy and was left"
    assert moved(kept) == ""


def test_a_drained_site_that_helped_out_is_not_left_when_the_others_are_back() -> None:
    """It was left before, rightly or not; what is told of is that move."""
    left = ServiceSteering(service=WEB, shares_bp={PANGYO: 0, GASAN: 6_000, ANYANG: 4_000}, members_pm={}, ttl_s=5)
    assert moved(left, lent=(PANGYO,)) == ""
    assert moved(left, lent=(GASAN,)) == "pangyo is healthy and was left"
