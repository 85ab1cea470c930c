"""An observer at rest tells what it would tell if it looked."""

from __future__ import annotations

from core.judge.cases import GASAN, PANGYO, WEB, deployment
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import VantageId, pool_target
from siteshift.sim.nodes.resting import RestingObserver


def test_what_real_traffic_said_of_a_site_is_forgotten_at_rest_when_none_comes_any_more() -> None:
    """Checks passed all the while, so nothing else ever makes the view anew (found by the fuzz: a site that stayed drained)."""
    topology, target = deployment(), pool_target(WEB, PANGYO)
    observer = RestingObserver(topology, JudgePolicy(), VantageId("c1"), GASAN)
    for second in range(1, 30):
        at_ms = second * 1_000
        for member in topology.members.values():
            observer.result(member.target, Outcome.PASS, Fault.NONE, 5_000, at_ms, at_ms - 5)
        if second <= 10:
            observer.observe_counts(target, 100, 100, 20, at_ms)
        observer.tick(at_ms)
        if second == 10:
            assert observer.report(at_ms).views[target].standing is Standing.DOWN
    assert observer.at_rest
    assert observer.report_at_rest(30_000).views[target].standing is Standing.UP
