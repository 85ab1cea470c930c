"""What is true of a site, by which moves are judged: faults count, and the load they leave too little room for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.model.codes import MemberRole
from siteshift.core.model.steering import ServiceSteering
from siteshift.core.model.units import WHOLE_BP, SiteId
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.results.record import HEALTHY_PM, Move
from siteshift.sim.world.servers import HEALTHY, PoolFlow, Server
from siteshift.sim.world.spec import USERS, ServerSpec
from siteshift.sim.world.world import World
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world


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


def move_of(after_bp: dict[SiteId, int], *, world: World | None = None, before_bp: dict[SiteId, int] | None = None) -> Move:
    """What a witness writes down of a move from nominal shares to these."""
    world, witness = world or World(standard_world(), seed=1, start_ms=0), Witness()
    witness.bind(world)
    nominal_bp = {pool.site: pool.nominal_bp for pool in world.spec.topology.service_by_id[WEB].pools}
    entry = ServiceSteering(service=WEB, shares_bp=after_bp, members_pm={}, ttl_s=5)
    witness.moved(by="c1", entry=entry, before_bp=before_bp or nominal_bp)
    return witness.moves[0]


def shares(pangyo: int, gasan: int, anyang: int) -> dict[SiteId, int]:
    return {PANGYO: pangyo, GASAN: gasan, ANYANG: anyang}


@pytest.mark.parametrize("left_bp", [0, 100, 2_499])
def test_taking_a_healthy_site_below_half_of_its_share_is_wrong(left_bp: int) -> None:
    move = move_of(shares(left_bp, 6_000 - left_bp, 4_000))
    assert move.left == (PANGYO,)
    assert move.wrong == "pangyo is healthy and was left"


def test_taking_it_to_half_is_not_and_neither_is_what_had_less_before() -> None:
    assert move_of(shares(2_500, 4_500, 3_000)).wrong == ""
    assert move_of(shares(100, 5_900, 4_000), before_bp=shares(2_000, 5_000, 3_000)).wrong == ""


def test_the_last_of_many_small_steps_down_is_the_wrong_one() -> None:
    assert move_of(shares(2_600, 4_400, 3_000), before_bp=shares(3_500, 4_000, 2_500)).wrong == ""
    assert move_of(shares(1_800, 4_700, 3_500), before_bp=shares(2_600, 4_400, 3_000)).left == (PANGYO,)


def test_a_site_that_carries_little_of_a_surge_should_have_no_more_than_that() -> None:
    world = World(standard_world(), seed=1, start_ms=0)
    world.flow.populations[0].surge(4_000, 0, 0)
    # Pangyo carries 180 of 1,200 requests/s, 15 %: half of that is 7.5 %.
    assert move_of(shares(800, 500, 500), world=world).wrong == ""
    assert move_of(shares(700, 600, 600), world=world).left == (PANGYO,)


def test_a_site_that_keeps_what_is_shed_is_left_only_when_it_keeps_too_little() -> None:
    """Without a sorry page the users of the shed part stay: nothing else answers them."""

    def kept(shed_bp: int) -> str:
        world, witness = World(standard_world(), seed=1, start_ms=0), Witness()
        witness.bind(world)
        rest_bp = WHOLE_BP - shed_bp
        entry = ServiceSteering(
            service=WEB,
            shares_bp=shares(0, rest_bp // 2, rest_bp - rest_bp // 2),
            members_pm={},
            ttl_s=5,
            shed_bp=shed_bp,
            shed_at=PANGYO,
        )
        witness.moved(by="c1", entry=entry, before_bp=shares(5_000, 3_000, 2_000))
        return witness.moves[0].wrong

    assert kept(3_000) == ""
    assert kept(1_000) == "pangyo is healthy and was left"


def test_what_stayed_and_is_taken_away_later_was_left_then() -> None:
    world, witness = World(standard_world(), seed=1, start_ms=0), Witness()
    witness.bind(world)
    kept = ServiceSteering(service=WEB, shares_bp=shares(0, 3_500, 3_500), members_pm={}, ttl_s=5, shed_bp=3_000, shed_at=PANGYO)
    gone = ServiceSteering(service=WEB, shares_bp=shares(0, 5_000, 5_000), members_pm={}, ttl_s=5)
    witness.moved(by="c1", entry=kept, before_bp=shares(5_000, 3_000, 2_000))
    witness.moved(by="c1", entry=gone, before_bp=kept.shares_bp)
    assert [move.left for move in witness.moves] == [(), (PANGYO,)]


def short_of_capacity(capacity_pm: int, error_pm: int = 0) -> World:
    """Gasan's 120 requests/s are less by a fault, one of its four members takes requests, and nobody asks."""
    world = World(standard_world(), seed=1, start_ms=0)
    for number, server in enumerate(world.flow.pool(WEB, GASAN).servers[:4]):
        server.condition = replace(HEALTHY, capacity_pm=capacity_pm, error_pm=error_pm)
        server.weight_pm = 0 if number else 1_000
    world.flow.pool(WEB, GASAN).refresh()
    return world


def test_a_site_that_is_short_of_capacity_may_be_given_what_it_bears() -> None:
    """30 % of one member of 30 requests/s are 9 of 300, 3 %."""
    assert short_of_capacity(300).truth(WEB, GASAN).is_sick
    gone = shares(6_000, 0, 4_000)
    assert move_of(shares(5_700, 300, 4_000), world=short_of_capacity(300), before_bp=gone).wrong == ""
    assert "gasan is sick" in move_of(shares(5_600, 400, 4_000), world=short_of_capacity(300), before_bp=gone).wrong
    assert "gasan is sick" in move_of(shares(5_900, 100, 4_000), world=short_of_capacity(300, 600), before_bp=gone).wrong


def test_health_and_reach_are_two_facts() -> None:
    world = World(standard_world(), seed=1, start_ms=0)
    world.net.cut("test", str(PANGYO), USERS)
    true = world.truth(WEB, PANGYO)
    assert (true.good_pm, true.is_reached, true.is_cut_off) == (1_000, False, False)
    assert true.is_sick and not true.is_healthy
    assert move_of(shares(0, 6_000, 4_000), world=world).wrong == ""
    assert move_of(shares(6_000, 2_400, 1_600), world=world).wrong == "pangyo is sick (1000 pm, out of reach) and got more"


def test_a_site_that_only_its_users_reach_may_be_left_and_may_be_kept() -> None:
    """It serves them, and no other site can know."""
    world = World(standard_world(), seed=1, start_ms=0)
    for other in (GASAN, ANYANG):
        world.net.cut("test", str(PANGYO), str(other))
    true = world.truth(WEB, PANGYO)
    assert (true.good_pm, true.is_reached, true.is_cut_off) == (1_000, True, True)
    assert not true.is_healthy and not true.is_sick
    assert move_of(shares(0, 6_000, 4_000), world=world).wrong == ""
