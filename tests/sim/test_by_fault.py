"""A verdict for each fault: what was saved after one fault hides nothing that was lost after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sim.test_peers import scenario
from siteshift.cli.sim_fuzz import Hunted
from siteshift.core.model.units import SiteId
from siteshift.sim.faults.acts import Heal, Note, TimedEvent
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.faults.world import CheckFails, Crash, Hang
from siteshift.sim.fuzz.fuzz import Found, Ran
from siteshift.sim.library.jobs import Job, Wants, run_job
from siteshift.sim.library.jobs import as_document as job_document
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.delivery import Delivery
from siteshift.sim.peers.nothing import AtFault, BesideNothing, beside_everybody
from siteshift.sim.peers.peers import NOTHING, PEERS, run_peer
from siteshift.sim.report.report import render
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.stretches import Start, Stretch, stretches
from siteshift.sim.run.replay import losses_by_fault, replay, stretches_of
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import Scenario, load_scenario
from siteshift.sim.score.score import OURS, LibraryScore, as_document, merged, score
from siteshift.sim.world.spec import WorldSpec
from siteshift.sim.world.world import World
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world

ONE = standard_world(nodes=1)
TWO_FAULTS = """\
id: two-faults
title: One fault that is handled well, and one that is none
source: Test
happened: Pangyo stops for half a minute; a minute later Gasan's checks fail while users are served.
lesson: Judge each by itself.
world: {nodes: 1, capacity_percent: 150}
lasts_s: 150
warm_up_s: 20
events:
  - {at_s: 0, fault: crash, site: pangyo, name: stop, until_s: 30}
  - {at_s: 90, fault: check_fails, site: gasan, rate_percent: 30, name: broken checks, until_s: 120}
pass:
  - moves: 100
"""


@pytest.fixture
def two_faults(tmp_path: Path) -> Path:
    file = tmp_path / "two-faults.yaml"
    file.write_text(TWO_FAULTS, encoding="utf-8")
    return file


# -- what a stretch is ------------------------------------------------------------------------------------------------


def test_a_stretch_is_from_a_fault_s_start_to_the_next_one_s_or_the_end() -> None:
    starts = [Start(at_ms=20_000, label="b", sites=(GASAN,)), Start(at_ms=0, label="a", sites=(PANGYO,))]
    assert stretches(starts, 60_500) == (
        Stretch(label="a", from_ms=0, until_ms=20_000, sites=(PANGYO,)),
        Stretch(label="b", from_ms=20_000, until_ms=61_000, sites=(GASAN,)),
    )


def test_faults_that_start_in_the_same_second_are_judged_together() -> None:
    starts = [Start(at_ms=at_ms, label=name, sites=(site,)) for at_ms, name, site in ((0, "a", PANGYO), (900, "b", GASAN))]
    assert stretches(starts, 5_000) == (Stretch(label="a + b", from_ms=0, until_ms=5_000, sites=(PANGYO, GASAN)),)


def test_what_is_no_fault_begins_no_stretch_and_one_of_ours_does() -> None:
    told = scenario(
        TimedEvent(at_ms=0, act=Crash(site=PANGYO), label="stop"),
        TimedEvent(at_ms=10_000, act=Note(text="look")),
        TimedEvent(at_ms=20_000, act=Heal(label="stop")),
        TimedEvent(at_ms=30_000, act=CtlKill()),
        minutes=1,
    )
    assert [(one.label, one.from_ms, one.sites) for one in stretches_of(told)] == [
        ("stop", 0, (PANGYO,)),
        ("ctl_kill", 30_000, ()),
    ]
    assert stretches_of(scenario()) == ()


def test_every_second_after_the_first_fault_counts_for_one_fault() -> None:
    told = faults(TimedEvent(at_ms=300, act=Crash(site=PANGYO)), TimedEvent(at_ms=20_400, act=Crash(site=GASAN)))
    record = run_peer(NOTHING, replace(told, duration_ms=40_500), seed=1)
    found = [one.loss(record) for one in stretches_of(replace(told, duration_ms=40_500))]
    assert all(loss.failed > 1_000 for loss in found)
    assert sum(loss.failed for loss in found) == pytest.approx(record.loss.failed)
    assert sum(loss.late for loss in found) == pytest.approx(record.loss.late)


def test_what_was_asked_before_a_fault_and_fails_after_it_counts_for_it() -> None:
    """Users of a hanging site give up after a second: those of the last one before the other fault do so after it began."""
    hang = TimedEvent(at_ms=0, act=Hang(site=PANGYO), until_ms=20_000)
    told = faults(hang, TimedEvent(at_ms=20_000, act=CheckFails(site=GASAN)), world=replace(ONE, nodes=()))
    first, second = (one.loss(run_peer(NOTHING, told, seed=1)).failed for one in stretches_of(told))
    assert second == pytest.approx(150 * 1, rel=0.1)
    assert first == pytest.approx(150 * 19, rel=0.1)


# -- no gain hides a loss ---------------------------------------------------------------------------------------------


class Meddler:
    """A pilot that does well at the first fault, and at the second fills the smallest site."""

    def start(self, world: World, witness: Witness) -> None:
        """See `simulation.Pilot`."""
        delivery = Delivery(name="meddler", world=world, witness=witness)
        nominal = delivery.nominal(WEB)
        for at_ms, weights in (
            (0, {PANGYO: 0, GASAN: 50, ANYANG: 50}),
            (30_000, nominal),
            (90_000, {PANGYO: 0, GASAN: 0, ANYANG: 100}),
            (96_000, nominal),
        ):
            world.clock.at(at_ms, self._setting(delivery, weights))

    @staticmethod
    def _setting(delivery: Delivery, weights: dict[SiteId, int]) -> Callable[[], None]:
        return lambda: delivery.set(WEB, weights)


def test_what_was_saved_after_one_fault_does_not_hide_what_was_lost_after_another(two_faults: Path) -> None:
    told = load_scenario(two_faults)
    record = simulate(
        replace(told.world, nodes=()),
        told.policy,
        told.events,
        seed=1,
        duration_ms=told.duration_ms,
        warm_up_ms=told.warm_up_ms,
        pilots=(Meddler(),),
    )
    beside = beside_everybody(told, record)
    assert not beside.is_worse, "as a whole it saved more than it lost"
    assert [one.stretch.label for one in beside.worse_faults] == ["broken checks"]
    assert beside.faults[0].beside.more_s() < -5 < 2 < beside.faults[1].beside.more_s()


def test_a_score_says_what_everybody_lost_after_each_fault(two_faults: Path) -> None:
    found = score(load_scenario(two_faults))
    assert [one.stretch.label for one in found.by_fault] == ["stop", "broken checks"]
    stop, checks = found.by_fault
    assert {OURS, NOTHING.name, *(peer.name for peer in PEERS)} <= set(stop.lost)
    assert stop.lost[OURS].weighed() + checks.lost[OURS].weighed() == pytest.approx(found.lost[OURS].weighed())
    assert stop.site_rps == pytest.approx(150, rel=0.01)
    assert checks.site_rps == pytest.approx(300, rel=0.01), "no site is harmed: all traffic"
    (shown,) = as_document(LibraryScore(scores=(found,)))["scenarios"]
    assert [one["fault"] for one in shown["by_fault"]] == ["stop", "broken checks"]
    first = shown["by_fault"][0]
    assert first["lost"][first["best_peer"]]["by_weight"]["1/2"] == stop.lost[stop.best_peer].weighed()
    assert first["more_than_nothing_s"]["1/2"] == stop.beside.more_s() < 0


def test_several_seeds_of_a_fault_are_their_mean(two_faults: Path) -> None:
    found = score(load_scenario(two_faults))
    other = replace(found, by_fault=tuple(replace(one, lost=dict.fromkeys(one.lost, Loss())) for one in found.by_fault))
    mean = merged([found, other]).by_fault[0]
    assert mean.lost[OURS].failed == pytest.approx(found.by_fault[0].lost[OURS].failed / 2)


def test_a_report_shows_each_fault_beside_nothing_done_and_the_best_peer(two_faults: Path) -> None:
    ran = run_job(Job(file=two_faults, wants=Wants.REPORT))
    part = ran.part
    assert part is not None
    assert [one["fault"] for one in job_document(ran)["by_fault"]] == ["stop", "broken checks"]
    assert "by_fault" not in job_document(replace(ran, part=None))
    page = render([part])
    assert "Fault by fault" in page
    stop = part.beside.faults[0]
    assert stop.best_peer is not None
    assert f"{stop.best_peer[0]} {stop.best_peer[1].weighed() / stop.beside.site_rps:.1f} s" in page


# -- the fuzz ---------------------------------------------------------------------------------------------------------


def made(*more_s: float, whole_s: float = 0.0, asked_ms: int | None = None, found: Found | None = None) -> Ran:
    """A run that lost so much more than nothing done, as a whole and after faults a minute apart."""

    def beside(lost_s: float) -> BesideNothing:
        return BesideNothing(ours=Loss(failed=100 * (50 + lost_s)), nothing=Loss(failed=5_000), site_rps=100.0)

    at_faults = tuple(
        AtFault(
            stretch=Stretch(label=f"fault {number}", from_ms=60_000 * number, until_ms=60_000 * (number + 1), sites=()),
            beside=beside(lost_s),
        )
        for number, lost_s in enumerate(more_s)
    )
    whole = replace(beside(whole_s), faults=at_faults)
    return Ran(seed=1, found=found, digest="", moves=0, loss=whole.ours, beside=whole, asked_ms=asked_ms)


def test_a_run_is_worse_than_nothing_when_it_is_after_one_of_its_faults() -> None:
    assert not made(-50, 1.9, whole_s=-48).is_worse
    worse = made(-50, 2.1, whole_s=-48)
    assert worse.is_worse and worse.more_s() == pytest.approx(2.1)
    assert [one.stretch.label for one in worse.worse_faults] == ["fault 1"]


def test_what_is_worse_after_one_fault_alone_is_counted_as_such() -> None:
    hunted = Hunted.of([made(-50, 9, whole_s=-41), made(9, whole_s=9)])
    assert str(hunted.beside_nothing()).startswith(
        "2 of 2 runs that went through worse than nothing, in 1 of them after one fault and not as a whole"
    )
    assert hunted.failures(fail_worse=True) == ["2 runs lost more than nothing done"]


def test_a_fault_before_people_moved_anything_is_none_of_theirs() -> None:
    assert made(9, 0, asked_ms=60_000).is_worse_unasked
    assert not made(9, 0, asked_ms=59_000).is_worse_unasked
    assert not made(0, 9, whole_s=9, asked_ms=59_000).is_worse_unasked


def faults(*events: TimedEvent, world: WorldSpec = ONE) -> Scenario:
    return replace(scenario(*events, world=world), duration_ms=40_000)


def test_losses_by_fault_are_those_of_one_run(two_faults: Path) -> None:
    told = load_scenario(two_faults)
    _, record = replay(told)
    found = losses_by_fault(told, record)
    assert sum(one.loss.weighed() for one in found) == pytest.approx(record.loss.weighed())
