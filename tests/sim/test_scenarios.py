"""Scenario files: strict reading, criteria, verdicts, reports, and the same transcript for the same seed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siteshift.cli.program import app
from siteshift.config.model.policy import JUDGE_FIELDS, SERVICE_POLICY_FIELDS
from siteshift.core.model.codes import DiagnosisCode
from siteshift.sim.criteria.criterion import CRITERIA, Evidence
from siteshift.sim.criteria.moves import Shed
from siteshift.sim.criteria.outcome import LossSeconds, LostSeconds, PeakUtilisation
from siteshift.sim.criteria.register import EVERYWHERE
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.report.report import part_of, render
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import Injury, Move, Record
from siteshift.sim.run.replay import Outcome, evidence_of, replay
from siteshift.sim.scenario.document import ScenarioError
from siteshift.sim.scenario.policy import JUDGING_KEYS, SERVICE_KEYS
from siteshift.sim.scenario.reference import criterion_table, fault_table
from siteshift.sim.scenario.scenario import Scenario, load_scenario, load_scenarios
from siteshift.sim.world.worlds import GASAN, PANGYO

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "simulations"
OUTAGES = {
    "pangyo-fire", "bad-file", "scope-leak", "open-incident", "login-path", "six-minute-lag", "martial-law", "nirs-battery",
    "kt-exit", "gh-43s", "fb-blind", "stale-enactor", "descheduled", "pdx-whole-site", "bad-refuge", "cfg-bomb", "sink-site",
    "resolver-tail", "tool-dies-midway", "clock-back",
}  # fmt: skip
CASES = {
    "capacity-70", "capacity-70-no-room", "survivors-saturate", "retry-storm", "surge-everywhere", "cold-caches",
    "drain-under-way", "drain-done", "checks-one", "checks-one-unmetered", "checks-spreading", "checks-spreading-unmetered",
    "checks-everywhere", "checks-everywhere-unmetered", "bad-release-everywhere",
}  # fmt: skip
"""What is hard about load: partial losses, faults on top of one another, and checks that alone are broken."""

SMALL = """\
id: small
title: A server pool stops
source: Routine
happened: Gasan's servers stop.
lesson: Leave it.
world: {nodes: 1, cold_start_s: 1.5, entry: dns}
lasts_s: 40
warm_up_s: 15
events:
  - {at_s: 5, fault: crash, site: gasan, name: stop}
pass:
  - detect_s: %d
  - extra_probes_percent: 100
later:
  - {what: somebody is told by post, needs: stamps}
"""


def scenario_file(folder: Path, text: str, name: str = "small") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Outcome, Record]:
    scenario = load_scenario(scenario_file(tmp_path_factory.mktemp("small"), SMALL % 3))
    return scenario, *replay(scenario)


def test_the_library_is_readable_and_has_every_outage() -> None:
    found = load_scenarios(sorted(LIBRARY.glob("*.yaml")))
    assert {entry.id for entry in found} >= OUTAGES | CASES
    for entry in found:
        assert entry.source and entry.happened and entry.lesson, entry.id
        assert {criterion.NAME for criterion in EVERYWHERE} <= {criterion.NAME for criterion in entry.criteria}, entry.id


def test_the_guide_says_what_the_code_takes() -> None:
    guide = (LIBRARY / "README.md").read_text(encoding="utf-8")
    assert fault_table() in guide
    assert criterion_table() in guide


def test_policy_keys_are_those_of_the_configuration() -> None:
    assert {name: key.field for name, key in SERVICE_KEYS.items()} == SERVICE_POLICY_FIELDS
    assert {name: key.field for name, key in JUDGING_KEYS.items()} == JUDGE_FIELDS


BROKEN = """\
id: other
title: Wrong in many ways
source: Routine
happened: x
lasts_s: 60
speed: fast
world: {nodes: 9, sorry_page: [shop]}
policy:
  max_utilisation_percent: lots
  hold_down: 5
events:
  - {at_s: 0, fault: crash, site: busan}
  - {at_s: 1, fault: meteor, site: gasan}
  - {at_s: 99, fault: hang, site: gasan}
  - {at_s: 2, fault: latency, site: gasan}
  - {at_s: 3, heal: nothing}
  - {at_s: 4, ask: drain, site: gasan, node: c9}
  - {at_s: 5, fault: partition, sides: [[pangyo], [moon]]}
pass:
  - quickly: true
  - t95_s: {at_most_s: 1, after: meteor}
  - share: 5
later:
  - soon
"""


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(tmp_path, BROKEN, "broken"))
    found = {(problem.line, problem.id) for problem in caught.value.problems}
    assert found == {
        (1, "SIM-101"), (1, "SIM-205"), (6, "SIM-102"), (7, "SIM-104"), (7, "SIM-203"), (9, "SIM-103"), (10, "SIM-102"),
        (12, "SIM-203"), (13, "SIM-201"), (14, "SIM-301"), (15, "SIM-101"), (16, "SIM-302"), (17, "SIM-203"), (18, "SIM-203"),
        (20, "SIM-202"), (21, "SIM-203"), (22, "SIM-101"), (24, "SIM-103"),
    }  # fmt: skip
    unknown = next(problem for problem in caught.value.problems if problem.id == "SIM-202")
    assert "t95_s" in unknown.remedy and "quickly" in unknown.message
    assert str(unknown).startswith(f"{tmp_path}/broken.yaml:20:")


def test_a_code_that_nobody_is_ever_told_is_refused_with_those_that_are(tmp_path: Path) -> None:
    """`SITE_DWON` was played, and missed."""
    text = (SMALL % 3).replace("pass:\n", "pass:\n  - told: {within_s: 10, code: SITE_DWON}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.id == "SIM-104" and "SITE_DWON" in problem.message and "SITE_DOWN" in problem.remedy


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("a: [1", "SIM-002"),
        ("- 1", "SIM-003"),
        ("id: x\nid: y\n", "SIM-004"),
        ("a: &b {c: 1}\nd: *b\n", "SIM-002"),
        ("a: " + "[" * 40 + "]" * 40, "SIM-005"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str, id: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(tmp_path, text))
    assert caught.value.problems[0].id == id


def test_two_files_may_not_share_an_id(tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    paths = [scenario_file(tmp_path, SMALL % 3), scenario_file(tmp_path / "twin", SMALL % 3)]
    with pytest.raises(ScenarioError, match="SIM-204"):
        load_scenarios(paths)


@pytest.mark.parametrize(
    ("criterion", "says"),
    [
        ("share: {site: gasan, at_s: 1}", "no limit between 0 and 100 %"),
        ("share: {site: gasan, at_s: 1, at_most_percent: 100}", "no limit between 0 and 100 %"),
        ("shed: {at_most_percent: 100}", "no limit between 0 and 100 %"),
        ("lost_percent: 100", "everything is lost"),
        ("overload_percent: 100", "everything is lost"),
        ("sites_removed: 3", "as many sites as there are (3)"),
        ("empty_answers: 1000", "an empty answer all the time"),
        ("shed_lowest_first: true", "there is only one"),
        ("first_move_after_s: -60", "from the first instant on"),
        ("loss_s: {at_most_s: 100000}", "say less than "),
        ("lost_s: 100000", "say less than "),
        ("moves: {at_most: 100000}", "say less than "),
        ("moves: {at_most: 100000, from_s: 10, until_s: 12}", "say less than 20"),
        ("drains: 100000", "say less than "),
        ("reversals: 100000", "say less than "),
        ("wrong_moves: 100000", "say less than "),
        ("detect_s: 400", "say at most "),
        ("decide_s: 1000000", "say at most "),
        ("t50_s: 5000", "say at most "),
        ("t95_s: 5000", "say at most "),
        ("told: {within_s: 5000, code: SITE_DOWN}", "say at most "),
        ("diagnosis: {within_s: 5000, code: SITE_DOWN}", "say at most "),
        ("blind: 5000", "say at most "),
        ("new_leader_s: 5000", "say at most "),
        ("standby_open_s: 5000", "say at most "),
        ("utilisation_percent: 10000", "say less than "),
    ],
)
def test_a_criterion_that_no_run_could_miss_is_refused(tmp_path: Path, criterion: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(tmp_path, (SMALL % 3).replace("later:", f"  - {criterion}\nlater:")))
    (problem,) = caught.value.problems
    assert (problem.id, says in problem.message) == ("SIM-304", True), problem


def test_every_criterion_can_be_judged_on_any_record(small: tuple[Scenario, Outcome, Record]) -> None:
    scenario, _, record = small
    values = {"at_most_ms": 1, "at_most": 0, "at_most_pm": 0, "at_most_percent": 0.0, "within_ms": 1, "at_ms": 1}
    values |= {"site": "gasan", "code": DiagnosisCode.SITE_DOWN, "after": "stop", "is_demanded": True}
    for made in CRITERIA.values():
        needed = {name: value for name, value in values.items() if name in made.__annotations__}
        judged = made(**needed).judge(evidence_of(scenario, record))
        assert judged.name == made.NAME and judged.demand and judged.found


def test_a_wrong_move_and_a_broken_limit_are_missed(small: tuple[Scenario, Outcome, Record]) -> None:
    scenario, _, record = small
    move = Move(
        at_ms=1_000, by="c3", service=record.moves[0].service, before_bp={}, after_bp={}, shed_bp=0, truth={},
        generation=9, wrong="gasan is healthy and was left",
    )  # fmt: skip
    evidence: Evidence = evidence_of(scenario, replace(record, moves=(*record.moves, move)))
    missed = [entry.NAME for entry in EVERYWHERE if not entry.judge(evidence).is_met]
    assert "wrong_moves" in missed


def test_what_is_shed_is_judged_from_an_instant_on_and_counts_as_long_as_it_lasts(
    small: tuple[Scenario, Outcome, Record],
) -> None:
    scenario, _, record = small
    first = next(move for move in record.moves if move.before_bp)
    moves = tuple(replace(first, at_ms=at_ms, shed_bp=shed_bp) for at_ms, shed_bp in ((0, 2_800), (15_000, 1_000), (30_000, 0)))
    evidence = evidence_of(scenario, replace(record, moves=moves))
    found = {from_ms: Shed(from_ms=from_ms).judge(evidence).found for from_ms in (-1, 10_000, 20_000, 40_000)}
    assert found == {-1: "28 %", 10_000: "28 %", 20_000: "10 %", 40_000: "0 %"}


def test_the_load_of_sites_is_judged_from_an_instant_on_where_no_fault_harms_them(
    small: tuple[Scenario, Outcome, Record],
) -> None:
    scenario, _, record = small
    first = record.seconds[0]
    hot = ((0, PANGYO, 1_500), (10_000, PANGYO, 900), (10_000, GASAN, 3_000), (30_000, GASAN, 950))
    seconds = tuple(first._replace(at_ms=at_ms, site=site, utilisation_pm=pm) for at_ms, site, pm in hot)
    harm = Injury(label="crash", kind="crash", text="", at_ms=5_000, sites=(GASAN,), healed_ms=20_000)
    evidence = evidence_of(scenario, replace(record, seconds=seconds, injuries=(harm,)))
    found = {from_ms: PeakUtilisation(at_most_pm=950, from_ms=from_ms).judge(evidence) for from_ms in (-1, 5_000, 20_000)}
    assert {at: (judged.found, judged.is_met) for at, judged in found.items()} == {
        -1: ("150 % at pangyo", False),
        5_000: ("95 % at gasan", True),
        20_000: ("95 % at gasan", True),
    }


def beside_itself(record: Record) -> BesideNothing:
    return BesideNothing(ours=record.loss, nothing=record.loss, site_rps=100.0)


def test_what_is_late_is_half_a_loss_and_none_of_what_was_lost(small: tuple[Scenario, Outcome, Record]) -> None:
    scenario, _, record = small
    late = replace(record.milestones[0], loss=Loss(failed=90.0, late=180.0), site_rps=90.0)
    evidence = evidence_of(scenario, replace(record, milestones=(late,)))
    assert [LossSeconds(at_most_ms=most_ms).judge(evidence).is_met for most_ms in (2_000, 1_999)] == [True, False]
    assert LostSeconds(at_most_ms=1_000).judge(evidence).is_met


def test_what_is_not_judged_yet_is_listed_and_never_counts_as_met(small: tuple[Scenario, Outcome, Record]) -> None:
    scenario, outcome, record = small
    page = render([part_of(scenario, record, outcome, beside_itself(record))])
    assert "somebody is told by post" in page and "not yet judged: needs stamps" in page
    assert len(outcome.judged) == len(scenario.criteria)


def test_a_report_is_one_file_that_needs_nothing_else(small: tuple[Scenario, Outcome, Record]) -> None:
    scenario, outcome, record = small
    page = render([part_of(scenario, record, outcome, beside_itself(record))])
    assert page.count("<svg") >= 4
    assert not re.search(r"(src|href)=[\"'](?!#)", page) and "<script" not in page
    assert "decides: web" in page and "gasan=down" in page


def test_a_report_shows_what_people_asked_for_and_the_first_move_after_it(tmp_path: Path) -> None:
    fault, asked = "fault: crash, site: gasan, name: stop", "ask: drain, site: gasan, person: kim, reason: work, name: drain"
    drained = load_scenario(scenario_file(tmp_path, (SMALL % 3).replace(fault, asked)))
    outcome, record = replay(drained)
    page = part_of(drained, record, outcome, beside_itself(record))
    assert ">kim: drain gasan<" in page.body
    assert ">first move<" in page.body


def run_cli(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["sim", *arguments])
    return ended.exit_code, ended.output


def test_exit_codes(tmp_path: Path) -> None:
    good = scenario_file(tmp_path, SMALL % 3)
    code, text = run_cli("run", str(good))
    assert code == 0 and "later" in text and "MISSED" not in text
    code, text = run_cli("run", str(scenario_file(tmp_path, SMALL % 0)))
    assert code == 6 and "MISSED detected within 0 s" in text
    code, text = run_cli("run", str(scenario_file(tmp_path, BROKEN, "broken")))
    assert code == 2 and "broken.yaml:13:" in text


def test_json_policy_transcript_and_report(tmp_path: Path) -> None:
    file = scenario_file(tmp_path, SMALL % 3)
    policy = tmp_path / "slow.yaml"
    policy.write_text("policy: {mode: observe}\n", encoding="utf-8")
    transcript, report = tmp_path / "t.txt", tmp_path / "out" / "r.html"
    outputs = ["--json", "--transcript", str(transcript), "--report", str(report)]
    code, text = run_cli("run", str(file), "--policy", str(policy), "--seed", "7", *outputs)
    assert code == 0
    (document,) = json.loads(text)["scenarios"]
    assert document["seed"] == 7 and document["verdict"] == "met" and document["figures"]["decide_ms"] is None
    assert "world fault crash" in transcript.read_text(encoding="utf-8")
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_same_seed_gives_the_same_transcript_byte_for_byte(tmp_path: Path) -> None:
    file = scenario_file(tmp_path, SMALL.replace("nodes: 1", "nodes: 3") % 3)
    written = []
    for hash_seed in ("1", "2"):
        path = tmp_path / f"{hash_seed}.txt"
        command = [sys.executable, "-m", "siteshift", "sim", "run", str(file), "--transcript", str(path)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode in (0, 6), ended.stderr
        written.append(path.read_bytes())
    assert written[0] == written[1] and len(written[0]) > 2_000
