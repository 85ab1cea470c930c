"""Two policies over the same scenarios: the same policy is the same to the byte, a slower one shows where it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.cli.exits import ExitCode
from siteshift.sim.library.compare import compare_file
from siteshift.sim.peers.peers import PEERS

SCENARIO = """\
id: small
title: A site crashes
source: Test
happened: All servers of Gasan stop.
lesson: None.
lasts_s: 60
warm_up_s: 30
events:
  - {at_s: 0, fault: crash, site: gasan, name: crash}
pass:
  - detect_s: 3
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "small.yaml": SCENARIO,
        "usual.yaml": "policy: {}\n",
        "slow.yaml": "policy: {judging: {confirm_hard_ms: 5000}}\n",
        "bad.yaml": "policy: {hold_dwon_s: 1}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name.removesuffix(".yaml"): tmp_path / name for name in texts}


def test_a_policy_beside_itself_is_the_same_to_the_byte(files: dict[str, Path]) -> None:
    found = compare_file(files["small"], files["usual"], files["usual"])
    assert found.is_same
    assert found.differs_in == ()
    assert found.lost_more == 0


def test_a_slower_policy_loses_more_and_misses_a_criterion(files: dict[str, Path]) -> None:
    found = compare_file(files["small"], files["usual"], files["slow"])
    assert found.lost_more > 0
    assert {"detect_ms", "loss", "missed"} <= set(found.differs_in)
    assert "detect_s" in found.other.missed
    assert "detect_s" not in found.one.missed


def test_from_the_command_line(files: dict[str, Path]) -> None:
    words = ("sim", "compare", str(files["usual"]), str(files["slow"]), str(files["small"]))
    shown = run(*words)
    assert shown.code == ExitCode.DONE, shown.err
    assert "1 of 1 scenarios differ" in shown.out
    document = run(*words, "--json").document
    assert document["lost_more"] > 0
    assert document["scenarios"][0]["id"] == "small"


def test_a_bad_policy_file_runs_nothing(files: dict[str, Path]) -> None:
    found = run("sim", "compare", str(files["usual"]), str(files["bad"]), str(files["small"]))
    assert found.code == ExitCode.USAGE
    assert "hold_dwon_s" in found.err


def test_the_score_from_the_command_line(files: dict[str, Path]) -> None:
    document = run("sim", "score", str(files["small"]), "--json").document
    (entry,) = document["scenarios"]
    assert 0 <= entry["regret_s"] < 5
    assert set(entry["lost"]) == {"siteshift", "informed", "nothing-done", *(peer.name for peer in PEERS)}
    assert entry["lost"]["nothing-done"]["by_weight"].keys() == {"0", "1/2", "1"}
    shown = run("sim", "score", str(files["small"]))
    assert "of the best peer's" in shown.out
    assert "siteshift / nothing done" in shown.out
    assert "0 scenarios worse than nothing" in shown.out
