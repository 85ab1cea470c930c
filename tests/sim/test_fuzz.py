"""The fuzz: sound runs of the core as it is, every deliberate bug found, findings shrunk, everything the same each time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.cli.exits import ExitCode
from siteshift.cli.sim_fuzz import Hunted
from siteshift.core.model.approval import Verb
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.goals import GoalTrack
from siteshift.sim.fuzz.fuzz import Found, Ran, Watcher, run_case, run_seed
from siteshift.sim.fuzz.mutants import MUTANTS, planted
from siteshift.sim.fuzz.shrink import shrunk
from siteshift.sim.fuzz.swarm import BINDING, draw_case
from siteshift.sim.fuzz.troubles import KINDS
from siteshift.sim.nodes.node import Node
from siteshift.sim.nodes.witness import Witness
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import Second
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import scenario_of
from siteshift.sim.world.world import World

SAFETY = Path(__file__).parents[2] / "docs" / "SAFETY.md"
MINUTES = 12
SOUND_SEEDS = range(1, 31)
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+?) \| (\d+) \| (.+?) \|$", re.MULTILINE)
ROWS = [(name, says, int(seed), check) for name, says, seed, check in ROW.findall(SAFETY.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("seed", SOUND_SEEDS)
def test_nothing_is_wrong_in_a_random_world(seed: int) -> None:
    assert run_seed(seed, MINUTES, None).found is None


@pytest.mark.parametrize(("name", "seed", "check"), [(name, seed, check) for name, _, seed, check in ROWS])
def test_a_deliberate_bug_is_found(name: str, seed: int, check: str) -> None:
    found = run_seed(seed, MINUTES, name).found
    assert found is not None and found.check == check, found


def test_the_table_of_deliberate_bugs_is_true() -> None:
    assert len(ROWS) >= 10
    assert {name: says for name, says, _, _ in ROWS}.items() <= {m.name: m.says for m in MUTANTS.values()}.items()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_gone_afterwards(name: str) -> None:
    places = []
    for original, _ in MUTANTS[name].patches:
        home = sys.modules[original.__module__]
        *owner, attribute = original.__qualname__.split(".")
        places.append((getattr(home, owner[0]) if owner else home, attribute, original))
    with planted(MUTANTS[name]):
        assert all(getattr(place, attribute) is not original for place, attribute, original in places)
    assert all(getattr(place, attribute) is original for place, attribute, original in places)


def test_a_finding_is_shrunk_to_a_scenario_that_shows_it_again(tmp_path: Path) -> None:
    case = draw_case(44, minutes=MINUTES)
    with planted(MUTANTS["crush-drift"]):
        found = run_case(case).found
    assert isinstance(found, Found)
    small = shrunk(case, found, bug="crush-drift")
    assert len(small.events) == 1 < len(case.events)
    assert scenario_of(small.text(), f"{small.name}.yaml").events
    with planted(MUTANTS["crush-drift"]):
        again = run_case(small).found
    assert again is not None and again.check == found.check
    assert run_case(small).found is None


def test_in_a_third_of_the_worlds_what_people_ask_for_is_confirmed_and_approved_by_another() -> None:
    cases = [draw_case(seed, minutes=MINUTES) for seed in range(90)]
    asked = [[event for event in case.events if event.get("ask") in BINDING] for case in cases]
    confirmed = [[event.get("confirms") is True and event["approved_by"] == ["lee"] for event in events] for events in asked]
    assert all(len(set(row)) <= 1 for row in confirmed), "all of a world, or none"
    assert 20 <= sum(any(row) for row in confirmed) <= 40


def test_who_confirms_is_bound_to_what_they_saw_and_who_does_not_is_not() -> None:
    text = draw_case(1, minutes=MINUTES).text()
    head = text[: text.index("events:")]
    for confirms in (True, False):
        said = {"at_s": 5, "ask": "shares", "service": "web", "shares_percent": {"pangyo": 45, "gasan": 32, "anyang": 23}}
        said |= {"confirms": True, "approved_by": ["lee"]} if confirms else {}
        scenario = scenario_of(f"{head}events:\n  - {json.dumps(said)}\npass: []\n", "fuzz-1.yaml")
        watch = Goals()
        simulate(scenario.world, scenario.policy, scenario.events, duration_ms=10_000, pilots=(watch,))
        assert [(track.goal.verb, track.goal.owner) for track in watch.goals()] == [(Verb.SHARES, "operator")] * confirms


class Goals:
    """A pilot that steers nothing: it keeps the world, to be asked for its goals."""

    def start(self, world: World, witness: Witness) -> None:
        del witness
        self.world = world

    def goals(self) -> list[GoalTrack]:
        leaders = [node for node in self.world.nodes if isinstance(node, Node) and node.id == self.world.leader()]
        return [track for node in leaders for track in node.state.goals.values()]


def test_every_drawn_case_is_a_valid_scenario() -> None:
    said = ""
    for seed in range(60):
        case = draw_case(seed, minutes=MINUTES)
        assert case.scenario().events
        said += str(case.values["happened"])
    assert all(kind in said for kind in KINDS)


def test_a_seed_gives_the_same_run_whatever_python_hashes() -> None:
    code = f"from siteshift.sim.fuzz.fuzz import run_seed; print(run_seed(1, {MINUTES}, 'same-number'))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1


@pytest.mark.parametrize(("utilisation_pm", "slow", "is_full"), [(1_000, 0.0, True), (990, 120.0, True), (990, 0.0, False)])
def test_a_site_is_full_while_it_answers_late_what_waits(utilisation_pm: int, slow: float, is_full: bool) -> None:
    watch = Watcher(draw_case(1, minutes=1))
    for at_ms in (1_000, 2_000):
        watch._note_full(
            Second(
                service=ServiceId("web"),
                site=SiteId("pangyo"),
                at_ms=at_ms,
                offered=118.0,
                served=120.0,
                lost=0.0,
                late=0.0,
                slow=slow,
                backlog=71.0,
                utilisation_pm=utilisation_pm,
                desired_bp=2_500,
                actual_bp=2_500,
                seen_bp=2_800,
                latency_ms=600,
            )
        )
    assert watch._full_since_ms == ({("web", "pangyo"): 1_000} if is_full else {})


def ran(seed: int, lost: float, *, nothing: float = 100.0, found: Found | None = None, by_request: bool = False) -> Ran:
    beside = BesideNothing(ours=Loss(failed=lost), nothing=Loss(failed=nothing), site_rps=100.0)
    asked_ms = 0 if by_request else None
    return Ran(seed=seed, found=found, digest="", moves=0, loss=beside.ours, beside=beside, asked_ms=asked_ms)


def test_a_run_that_went_through_its_time_is_held_beside_nothing_done() -> None:
    sound = run_seed(9, MINUTES, None)
    assert sound.beside is not None and sound.loss == sound.beside.ours
    assert sound.beside.ours.weighed() > 0 and sound.beside.nothing.weighed() > 0


def test_a_run_that_was_stopped_is_held_beside_nothing() -> None:
    name, _, seed, _ = next(row for row in ROWS if row[0] == "over-limit")
    stopped = run_seed(seed, MINUTES, name)
    assert stopped.found is not None
    assert stopped.beside is None and not stopped.is_worse


def test_runs_worse_than_nothing_are_counted_worst_first_and_fail_only_when_asked_to() -> None:
    hunted = Hunted.of([ran(1, 200), ran(2, 400), ran(3, 900), ran(4, 2_000, by_request=True)])
    assert [one.seed for one in hunted.worse] == [4, 3, 2]
    said = "3 of 4 runs that went through worse than nothing, in 1 of them people moved traffic"
    said += "; the worst, seed 3, by 8.0 s of the site's traffic"
    assert str(hunted.beside_nothing()) == said
    assert hunted.failures(fail_worse=False) == []
    assert hunted.failures(fail_worse=True) == ["2 runs lost more than nothing done"]


def test_what_people_asked_for_is_listed_and_fails_nothing() -> None:
    hunted = Hunted.of([ran(1, 2_000, by_request=True), ran(2, 0)])
    assert [one.seed for one in hunted.worse] == [1]
    assert hunted.failures(fail_worse=True) == []


def test_the_fuzz_from_the_command_line_says_how_many_were_worse_than_nothing() -> None:
    shown = run("sim", "fuzz", "--runs", "1", "--seed", "3", "--minutes", "5", "--fail-worse")
    assert shown.code == ExitCode.DONE, shown.err
    assert "0 of 1 runs that went through worse than nothing" in shown.out
