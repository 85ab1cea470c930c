"""The real core in the virtual world: a dead site is left and comes back, the blind do nothing, leaders fall and follow."""

from __future__ import annotations

import pytest

from siteshift.core.messages.events import Event, TrafficMeasured
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.policy import Policy, ServicePolicy
from siteshift.core.model.units import EnactorId
from siteshift.sim.faults.acts import Act, Ask, TimedEvent
from siteshift.sim.faults.control import (
    ClockStep,
    CtlKill,
    CtlPause,
    GcRace,
    PlaneEdit,
    PlaneForget,
    PlaneTrouble,
    ProberBlind,
    Sees,
    StandbyBad,
    StoreDown,
)
from siteshift.sim.faults.world import Crash, Facility, Hang, Hazard, Partition, Surge
from siteshift.sim.nodes.node import Node
from siteshift.sim.results.record import Line, Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.planes import Trouble
from siteshift.sim.world.spec import Entry, WorldSpec
from siteshift.sim.world.standbys import Spoiled
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world

QUICK = Policy(default=ServicePolicy(hold_down_ms=20_000, soak_ms=2_000, ttl_normal_s=10))
ONE = standard_world(nodes=1, cold_start_ms=1_500)
THREE = standard_world(nodes=3, cold_start_ms=1_500)
DNS = EnactorId("dns")


def play(spec: WorldSpec, *acts: tuple[int, Act, int | None], duration_ms: int = 60_000, policy: Policy = QUICK) -> Record:
    events = [TimedEvent(at_ms=at_ms, act=act, until_ms=until_ms) for at_ms, act, until_ms in acts]
    return simulate(spec, policy, events, duration_ms=duration_ms, warm_up_ms=20_000)


def told(record: Record, kind: str, *, since_ms: int = 0) -> list[Line]:
    return [line for line in record.transcript if line.kind == kind and line.at_ms >= since_ms]


def moves_away(record: Record) -> list[int]:
    return [m.at_ms for m in record.moves if any(m.after_bp[s] < bp for s, bp in m.before_bp.items()) and m.at_ms >= 0]


@pytest.mark.parametrize("entry", list(Entry))
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_crashed_site_is_left_and_comes_back_with_no_law_broken(nodes: int, entry: Entry) -> None:
    spec = standard_world(nodes=nodes, entry=entry, cold_start_ms=1_500)
    record = play(spec, (0, Crash(site=PANGYO), 40_000), duration_ms=240_000)
    milestones = record.milestones[0]
    assert record.violations == ()
    assert record.wrong_moves == ()
    assert milestones.detect_ms is not None and milestones.detect_ms < 1_000
    assert milestones.t95_ms is not None
    assert record.seconds[-3].site == PANGYO
    assert record.seconds[-3].seen_bp == pytest.approx(5_000, abs=150)
    assert record.peak_utilisation_pm[GASAN] < 1_000


def test_a_hang_takes_its_second_to_be_believed() -> None:
    found = play(ONE, (0, Hang(site=PANGYO), None)).milestones[0]
    assert found.detect_ms is not None
    assert 1_000 <= found.detect_ms < 3_000


def test_a_calm_world_s_long_windows_end_when_it_stirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node asks twice a second; that it looks more seldom in calm saves work and may not be seen in what it decides."""
    windows: list[tuple[int, int, int]] = []
    offer = Node.offer

    def note(node: Node, event: Event) -> None:
        if isinstance(event, TrafficMeasured):
            mine = next(seen for seen in event.seen if seen.site == PANGYO)
            windows.append((node._world.clock.now_ms, mine.window_ms, mine.requests))
        offer(node, event)

    monkeypatch.setattr(Node, "offer", note)
    play(standard_world(nodes=1), (90_875, Surge(factor_pm=2_000), 99_000), duration_ms=93_000)
    assert {window_ms for at_ms, window_ms, _ in windows if 80_000 < at_ms <= 90_875} == {2_000}
    in_trouble = [(window_ms, requests) for at_ms, window_ms, requests in windows if at_ms > 90_875]
    assert [window_ms for window_ms, _ in in_trouble] == [500] * len(in_trouble)
    assert in_trouble[0][1] < in_trouble[1][1] == pytest.approx(150, abs=2)


@pytest.mark.parametrize("sees", [Sees.FAIL, Sees.FAIL_ONLY_TARGETS, Sees.NONE])
def test_observers_that_see_nothing_right_drain_nothing(sees: Sees) -> None:
    record = play(THREE, (0, ProberBlind(sees=sees), None))
    assert moves_away(record) == []
    assert record.loss.unanswered == 0
    assert record.violations == ()


def test_one_blind_node_of_three_changes_nothing() -> None:
    record = play(THREE, (0, ProberBlind(nodes=("c1",)), 30_000))
    assert moves_away(record) == []


def test_another_node_leads_soon_after_the_leader_died() -> None:
    record = play(THREE, (0, CtlKill(), None))
    terms = told(record, "term")
    assert len(terms) == 1
    assert terms[0].at_ms < 3_000


def test_the_leader_s_death_in_the_middle_of_a_fault_delays_but_does_not_stop_the_drain() -> None:
    record = play(THREE, (0, CtlKill(), None), (100, Crash(site=PANGYO), None))
    found = record.milestones[-1]
    assert found.decide_ms is not None and found.decide_ms < 15_000
    assert record.violations == ()
    assert record.wrong_moves == ()


def test_a_leader_that_slept_leads_no_more_and_its_old_writes_are_refused() -> None:
    record = play(THREE, (0, CtlPause(), 20_000), (1_000, Crash(site=GASAN), None), duration_ms=60_000)
    lost = [line for line in told(record, "term") if "no more" in line.text]
    assert [line.at_ms >= 20_000 for line in lost] == [True]
    generations = [int(line.text.split()[1]) for line in told(record, "plane") if line.text.endswith("applied")]
    assert generations == sorted(generations)
    assert record.violations == ()


def test_without_the_store_nothing_is_decided_and_with_it_again_the_dead_site_is_left() -> None:
    record = play(THREE, (0, StoreDown(), 20_000), (5_000, Crash(site=PANGYO), None))
    assert all(at_ms >= 20_000 for at_ms in moves_away(record))
    assert moves_away(record)
    assert record.violations == ()


def test_a_node_in_a_cut_off_site_loses_the_lead_and_traffic_is_led_on() -> None:
    record = play(THREE, (0, Partition(sides=(("pangyo",), ("gasan", "anyang"))), 43_000), duration_ms=120_000)
    leaders = [line.node for line in told(record, "term") if "leads with" in line.text]
    assert leaders and leaders[0] in ("c2", "c3")
    assert record.violations == ()
    assert record.loss.unanswered < 300


def test_a_lost_building_takes_its_node_along() -> None:
    record = play(THREE, (0, Facility(site=PANGYO, hazard=Hazard.POWER, lead_ms=5_000), None))
    assert any(line.node == "c1" and line.text == "dies" for line in told(record, "note"))
    assert record.facts[0].text == "facility: power at pangyo"
    assert record.milestones[0].decide_ms is not None and record.milestones[0].decide_ms < 20_000
    assert record.violations == ()


@pytest.mark.parametrize("how", [t for t in Trouble if t not in (Trouble.NONE, Trouble.DEAD)])
def test_a_plane_that_misbehaves_for_a_while_ends_in_step(how: Trouble) -> None:
    trouble = PlaneTrouble(plane=DNS, how=how, add_ms=4_000)
    record = play(ONE, (0, trouble, 15_000), (1_000, Crash(site=PANGYO), None), duration_ms=90_000)
    assert record.violations == ()
    assert record.seconds[-3].actual_bp == record.seconds[-3].desired_bp == 0


@pytest.mark.parametrize("act", [PlaneForget(plane=DNS), GcRace(plane=DNS)])
def test_a_plane_that_lost_its_plan_gets_it_again(act: PlaneForget | GcRace) -> None:
    record = play(ONE, (0, Crash(site=PANGYO), None), (20_000, act, None))
    assert [line for line in told(record, "plane", since_ms=20_000) if line.text.endswith("applied")]
    assert record.seconds[-3].actual_bp == 0
    assert record.violations == ()


def test_an_edit_by_hand_is_reported_and_left_alone() -> None:
    record = play(ONE, (0, PlaneEdit(plane=DNS, service=WEB, shares_bp={PANGYO: 6_000, GASAN: 3_000, ANYANG: 1_000}), None))
    assert any("DRIFT" in line.text for line in told(record, "tell"))
    assert record.seconds[-1].actual_bp == 1_000


@pytest.mark.parametrize("how", [Spoiled.NEVER_STARTS, Spoiled.FAILS, Spoiled.BROKEN])
def test_standbys_that_disappoint_get_no_traffic(how: Spoiled) -> None:
    """Behind a balancer: a site's own front would send every member that listens its part."""
    spec = standard_world(nodes=1, entry=Entry.BALANCER, cold_start_ms=1_500)
    record = play(spec, (-1_000, StandbyBad(site=GASAN, how=how), None), (0, Crash(site=PANGYO), None), duration_ms=90_000)
    assert record.violations == ()
    error = sum(amount for cause, amount in record.lost.items() if cause.value == "error")
    assert error < 50


def test_a_restarted_node_follows_its_wall_clock_and_breaks_nothing() -> None:
    record = play(
        THREE, (0, ClockStep(node="c2", by_ms=-1_000), None), (1_000, CtlKill(nodes=("c2",)), 5_000), duration_ms=40_000
    )
    assert moves_away(record) == []
    assert record.violations == ()


def test_a_person_s_drain_is_answered_and_carried_out() -> None:
    record = play(ONE, (0, Ask(request=DrainRequest(site=ANYANG)), None), duration_ms=120_000)
    assert any("allowed" in line.text for line in told(record, "answer"))
    assert record.seconds[-1].desired_bp == 0
    assert record.wrong_moves == ()
    assert record.violations == ()
