"""A drill: what can be real is played for real, what cannot is refused before anything starts, both sides are measured alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nodes.command_line import run
from siteshift.app.drill import CannotDrill, is_far, lab_world, plan_real, policy_sections, shifted, simulated_side
from siteshift.cli.exits import ExitCode
from siteshift.config import check_text
from siteshift.core.model.policy import JudgePolicy, Policy, ServicePolicy
from siteshift.core.model.units import MemberId
from siteshift.lab import faults as real
from siteshift.lab.ground import Loopback
from siteshift.lab.setup import NodeOptions, config_of
from siteshift.lab.shape import LabShape, lay_out
from siteshift.sim.faults.acts import Heal, Note, TimedEvent
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.faults.world import CapCut, Crash, Errors, Flap, Hang, Latency, ProbeLie, Surge
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import load_scenario
from siteshift.sim.world.worlds import GASAN, PANGYO, WEB, standard_world

DRILLS = sorted((Path(__file__).parents[2] / "simulations" / "drills").glob("*.yaml"))
CRASH = """\
id: crash
title: A site crashes
source: Test
happened: All servers of Pangyo stop.
lesson: None.
lasts_s: 600
events:
  - {at_s: 30, fault: crash, site: pangyo, name: crash}
pass:
  - detect_s: 3
"""


def at(at_ms: int, act: object, until_ms: int | None = None, label: str = "") -> TimedEvent:
    return TimedEvent(at_ms=at_ms, act=act, until_ms=until_ms, label=label)  # type: ignore[arg-type]


def test_faults_and_their_returns_become_real_ones_in_order() -> None:
    events = [
        at(0, Hang(site=GASAN), until_ms=5_000),
        at(1_000, Errors(site=PANGYO, rate_pm=300), label="errors"),
        at(2_000, Heal(label="errors")),
        at(3_000, Surge(factor_pm=1_500), until_ms=4_000),
        at(3_500, CtlKill(), until_ms=4_500),
        at(6_000, Crash(site=PANGYO)),
        at(90_000, Latency(site=PANGYO, add_ms=900)),
        at(100, Note(text="nothing happens")),
    ]
    found = plan_real(events, 60_000)
    assert [one.at_ms for one in found] == [0, 1_000, 2_000, 3_000, 3_500, 4_000, 4_500, 5_000, 6_000]
    assert found[0].fault == real.Hang(site="gasan")
    assert (found[2].fault, found[2].is_undone) == (real.Errors(site="pangyo", rate_pm=300), True)
    assert [found[3].load_pm, found[5].load_pm] == [1_500, 1_000]
    assert (found[4].kills_node, found[6].starts_node) == (True, True)


def test_members_crash_and_flap_by_name() -> None:
    member = MemberId("web/pangyo/p2")
    events = [at(0, Crash(site=PANGYO, members=(member,))), at(1, Flap(site=PANGYO, members=(member,)))]
    found = [one.fault for one in plan_real(events, 1_000)]
    assert found[0] == real.MemberCrash(site="pangyo", member="p2")
    assert isinstance(found[1], real.MemberFlap)


@pytest.mark.parametrize(
    "act", [CapCut(site=PANGYO, factor_pm=500), Crash(site=PANGYO, fraction=0.5), ProbeLie(site=PANGYO, rate_pm=500)]
)
def test_what_cannot_be_real_is_refused(act: object) -> None:
    with pytest.raises(CannotDrill, match="for real"):
        plan_real([at(0, act)], 1_000)


def test_time_begins_with_the_first_fault(tmp_path: Path) -> None:
    file = tmp_path / "crash.yaml"
    file.write_text(CRASH, encoding="utf-8")
    assert [event.at_ms for event in shifted(load_scenario(file))] == [0]


def test_a_changed_policy_reaches_the_node_in_the_files_own_units(tmp_path: Path) -> None:
    policy = Policy(
        judge=replace(JudgePolicy(), confirm_hard_ms=700, extra_probe_load_pm=200),
        default=replace(ServicePolicy(), hold_down_ms=45_000, ramp_bp=(1_000, 10_000), max_utilisation_pm=800, velocity_bp=2_500),
    )
    service, judging = policy_sections(policy)
    assert service == {
        "hold_down_s": 45.0,
        "ramp_percent": [10.0, 100.0],
        "max_utilisation_percent": 80.0,
        "velocity_percent": 25.0,
    }
    assert judging == {"confirm_hard_ms": 700, "extra_probe_load_percent": 20.0}
    spec = lay_out(LabShape(), Loopback(), tmp_path)
    text = yaml.safe_dump(config_of(spec, NodeOptions(policy=dict(service), judging=dict(judging))))
    assert not [str(problem) for problem in check_text(text) if problem.severity.value == "error"]


def test_the_simulated_side_is_measured_as_the_lab_measures() -> None:
    world = lab_world(standard_world(), 300)
    record = simulate(world, Policy(), [at(0, Crash(site=PANGYO), label="crash")], duration_ms=60_000)
    seen = simulated_side(record, PANGYO, 300)
    assert seen.detect_ms is not None and seen.detect_ms < 2_000
    assert seen.t95_ms is not None and seen.t95_ms <= 40_000
    assert seen.lost == pytest.approx(seen.lost_s * 150, rel=0.01)


def test_answers_after_the_objective_are_counted_beside_what_is_lost() -> None:
    world = lab_world(standard_world(), 300)
    record = simulate(world, Policy(), [at(0, Latency(site=PANGYO, add_ms=900), label="slow")], duration_ms=30_000)
    seen = simulated_side(record, PANGYO, 300)
    assert seen.late > 100
    assert seen.late > 10 * seen.lost


def test_few_users_leave_resolvers_and_connections_idle() -> None:
    users = lab_world(standard_world(), 300).clients_of(WEB)
    assert users.resolver_idle_ms == pytest.approx(1_000 / 150 * 1_000, abs=1)
    assert users.connection_ms == pytest.approx(2_000 / 150 * 1_000, abs=1)


def test_a_node_that_was_killed_takes_as_long_to_start_as_the_real_one() -> None:
    events = [at(0, Crash(site=PANGYO), label="crash"), at(0, CtlKill(), until_ms=5_000)]
    worlds = [lab_world(standard_world(), 300, node_start_ms=start_ms) for start_ms in (0, 4_000)]
    quick, slow = (simulated_side(simulate(world, Policy(), events, duration_ms=30_000), PANGYO, 300) for world in worlds)
    assert quick.detect_ms is not None and slow.detect_ms is not None
    assert slow.detect_ms - quick.detect_ms == pytest.approx(4_000, abs=1_000)


@pytest.mark.parametrize("file", DRILLS, ids=lambda file: file.stem)
def test_every_drill_of_the_library_can_be_real(file: Path) -> None:
    assert plan_real(shifted(load_scenario(file)), 75_000)


def test_far_is_more_than_thirty_per_cent_of_something_that_matters() -> None:
    assert not is_far(1_000, 1_290, 500)
    assert is_far(1_000, 1_600, 500)
    assert not is_far(10, 400, 500)
    assert is_far(None, 400, 500)
    assert not is_far(None, None, 500)


def test_a_crash_is_drilled_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "crash.yaml"
    file.write_text(CRASH, encoding="utf-8")
    found = run("drill", "--lab", str(file), "--for", "10", "--load", "100", "--json")
    assert found.code == ExitCode.DONE, found.out + found.err
    document = found.document
    assert document["site"] == "pangyo"
    assert document["simulated"]["detect_ms"] is not None
    assert document["real"]["decide_ms"] is not None
    assert document["real"]["lost"] > 0


def test_a_scenario_that_cannot_be_real_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "crash.yaml"
    file.write_text(
        CRASH.replace("fault: crash", "fault: cap_cut").replace("name: crash", "factor_percent: 50"), encoding="utf-8"
    )
    found = run("drill", "--lab", str(file))
    assert found.code == ExitCode.USAGE
    assert "for real" in found.err
