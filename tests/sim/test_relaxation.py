"""Nobody loses less than the bound, whoever steers; and where the best steering is plain to see, the bound is near it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.test_peers import fault, scenario
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.faults.world import Crash, Errors, Surge
from siteshift.sim.results.loss import Loss
from siteshift.sim.scenario.scenario import load_scenario
from siteshift.sim.score.relaxation import is_beaten, least_loss
from siteshift.sim.score.score import score
from siteshift.sim.world.spec import Entry
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, standard_world

SHORT = ("tunnel-overshoot", "standby-warm", "gh-43s", "sink-site")
"""`sim score` holds everybody to the bound in every scenario; these are the quick ones."""
DUST = 1.5


@pytest.mark.parametrize("name", SHORT)
def test_nobody_loses_less_than_the_bound(name: str) -> None:
    assert score(load_scenario(Path(__file__).parents[2] / "simulations" / f"{name}.yaml")).beaten_by == ()


def test_a_bound_is_beaten_at_any_weight_of_a_late_answer() -> None:
    bound = Loss(failed=1_000, late=100)
    assert not is_beaten(bound, Loss(failed=1_000, late=100))
    assert is_beaten(bound, Loss(failed=990, late=200))  # fewer failed
    assert is_beaten(bound, Loss(failed=1_000, late=50))  # fewer late


def test_a_site_that_dies_while_others_have_room_costs_only_the_stretchers() -> None:
    one = scenario(fault(Crash(site=PANGYO)), world=standard_world(nodes=1, capacity_pct=200))
    bound = least_loss(one, seed=1)
    # 8.7 % of resolvers hold Pangyo for 30 s on the mean; half of the requests look up anew; Pangyo has half of 300 requests/s.
    assert bound.weighed() == pytest.approx(0.087 * 30 * 0.5 * 150, rel=0.05)


def test_behind_a_balancer_it_costs_nothing() -> None:
    world = standard_world(nodes=1, capacity_pct=200, entry=Entry.BALANCER)
    assert least_loss(scenario(fault(Crash(site=PANGYO)), world=world), seed=1).weighed() == pytest.approx(0, abs=DUST)


def test_demand_beyond_what_all_servers_carry_is_lost_by_everybody() -> None:
    world = standard_world(nodes=1, standbys=0, entry=Entry.BALANCER)
    one = scenario(fault(Surge(service=None, factor_pm=2_000, ramp_ms=0)), world=world)
    # 600 requests/s, and 420 that all three sites can answer.
    assert least_loss(one, seed=1).weighed(0) == pytest.approx(180 * 300, rel=0.02)


def test_errors_at_every_site_are_lost_by_everybody() -> None:
    world = standard_world(nodes=1, entry=Entry.BALANCER)
    errors = [TimedEvent(at_ms=0, act=Errors(site=site, rate_pm=200), label=str(site)) for site in (PANGYO, GASAN, ANYANG)]
    assert least_loss(scenario(*errors, world=world), seed=1).weighed() == pytest.approx(0.2 * 300 * 300, rel=0.02)


def test_errors_at_one_site_cost_nothing() -> None:
    world = standard_world(nodes=1, entry=Entry.BALANCER)
    assert least_loss(scenario(fault(Errors(site=PANGYO, rate_pm=200)), world=world), seed=1).weighed() == pytest.approx(
        0, abs=DUST
    )
