"""Mute checks: no result comes back, neither good nor bad nor that there is none. No evidence is said, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.model.policy import Policy
from siteshift.sim.faults.acts import Act, TimedEvent
from siteshift.sim.faults.control import ChecksMute
from siteshift.sim.faults.world import Crash
from siteshift.sim.results.record import Record
from siteshift.sim.run.replay import replay
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import scenario_of
from siteshift.sim.world.worlds import GASAN, PANGYO, WEB, standard_world

STALE_S = Policy().judge.report_stale_ms / 1_000
SCENARIO = """\
id: mute
title: The prober says nothing
source: Test
happened: Every check's result is lost on its way back.
lesson: No evidence is no fault.
lasts_s: 60
warm_up_s: 20
events:
  - {at_s: 0, fault: checks_mute, name: mute, until_s: 30}
pass:
  - blind: 10
  - told: {within_s: 10, code: BLIND}
  - moves: 0
"""


def play(*acts: tuple[int, Act, int | None], nodes: int = 1, is_metered: bool = True, duration_ms: int = 60_000) -> Record:
    spec = standard_world(nodes=nodes)
    spec = spec if is_metered else replace(spec, unmetered=(WEB,))
    events = [TimedEvent(at_ms=at_ms, act=act, until_ms=until_ms) for at_ms, act, until_ms in acts]
    return simulate(spec, Policy(), events, duration_ms=duration_ms, warm_up_ms=20_000)


def beliefs(record: Record, node: str) -> list[tuple[float, str]]:
    return [(line.at_ms / 1_000, line.text) for line in record.transcript if line.kind == "belief" and line.node == node]


@pytest.mark.parametrize("is_metered", [True, False])
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_mute_prober_makes_its_node_say_that_it_is_blind_and_move_nothing(nodes: int, is_metered: bool) -> None:
    record = play((0, ChecksMute(), 30_000), nodes=nodes, is_metered=is_metered)
    leader = "c3" if nodes == 1 else "c1"
    blind = [at_s for at_s, text in beliefs(record, leader) if text == "blind" and at_s > 0]
    assert blind and STALE_S <= blind[0] <= STALE_S + 1
    assert any(line.kind == "tell" and " BLIND: " in line.text for line in record.transcript)
    assert beliefs(record, leader)[-1][1] == "pangyo=up gasan=up anyang=up"
    assert not [move for move in record.moves if move.before_bp]
    assert record.violations == () and record.loss.weighed() == 0


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_site_whose_checks_are_mute_is_unknown_and_not_down(nodes: int) -> None:
    record = play((0, ChecksMute(site=PANGYO), 30_000), nodes=nodes)
    said = [text for at_s, text in beliefs(record, "c3") if 0 < at_s < 30]
    assert said == ["pangyo=unknown gasan=up anyang=up"]
    assert beliefs(record, "c3")[-1][1] == "pangyo=up gasan=up anyang=up"
    assert not [move for move in record.moves if move.before_bp]


def test_of_three_nodes_one_with_mute_checks_is_outvoted() -> None:
    record = play((0, ChecksMute(nodes=("c1",), site=PANGYO), None), (20_000, Crash(site=PANGYO), None), nodes=3)
    decided = record.milestones[0].decide_ms
    assert decided is not None and decided < 5_000
    assert record.wrong_moves == ()


def test_what_happens_while_checks_are_mute_is_known_when_they_speak_again() -> None:
    record = play((0, ChecksMute(), 40_000), (20_000, Crash(site=PANGYO), None), duration_ms=60_000)
    moves = [move.at_ms for move in record.moves if move.before_bp]
    assert moves and 40_000 < moves[0] < 42_000
    assert record.wrong_moves == ()


def test_a_mute_check_is_made_all_the_same() -> None:
    mute, spoken = play((0, ChecksMute(), None)), play()
    assert mute.probes == pytest.approx(spoken.probes, rel=0.02)


def test_mute_checks_of_two_sites_heal_one_by_one() -> None:
    record = play((0, ChecksMute(site=PANGYO), 20_000), (0, ChecksMute(site=GASAN), 40_000))
    said = [text for at_s, text in beliefs(record, "c3") if at_s > 0]
    assert said[-2:] == ["pangyo=up gasan=unknown anyang=up", "pangyo=up gasan=up anyang=up"]


def test_a_scenario_file_says_checks_mute() -> None:
    outcome, _ = replay(scenario_of(SCENARIO, "mute.yaml"))
    assert not outcome.missed
