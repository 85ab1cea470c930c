"""The sweep from end to end: a world and its twin run, judged, shown, and run again by its id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.cli import sim_sweep
from siteshift.cli.exits import ExitCode
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.results.loss import Loss
from siteshift.sim.run import replay as replaying
from siteshift.sim.run.pool import run_each
from siteshift.sim.sweep import sweep as sweeping
from siteshift.sim.sweep.factors import combination_of
from siteshift.sim.sweep.sweep import Sweep, Swept, run_combination

CRASH = "crash-pangyo-load60-standby-page-dns-metered-once-1node"


def swept(id: str = CRASH, *, more: float = 0.0, findings: dict[str, str] | None = None, marked: str = "") -> Swept:
    beside = BesideNothing(ours=Loss(failed=more), nothing=Loss(), site_rps=1.0)
    return Swept(
        combination=combination_of(id),
        findings=findings or {},
        marked={marked: "much"} if marked else {},
        beside=beside,
        turns=1,
        moves=2,
        digest="",
        cpu_s=1.0,
    )


def test_a_clean_fault_shows_nothing_and_costs_less_than_nothing_done() -> None:
    found = run_combination(combination_of(CRASH))
    assert found.findings == {} and found.marked == {}
    assert found.more_s < -60 and found.turns == 1


def test_a_world_is_the_same_each_time() -> None:
    one = combination_of(CRASH)
    assert run_combination(one).digest == run_combination(one).digest


def test_a_core_that_crashes_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(replaying, "simulate", crash)
    found = run_combination(combination_of(CRASH))
    assert found.findings == {"crash": "ZeroDivisionError: by nothing"}
    assert found.as_document()["findings"] == found.findings


def test_the_worst_come_first_and_sound_worlds_not_at_all() -> None:
    ran = (
        swept(findings={"turns": "many"}, more=-5),
        swept(),
        swept(findings={"worse": "much"}, more=9),
        swept(findings={"turns": "many", "wrong": "one"}, more=-5),
    )
    assert [(one.more_s, len(one.findings)) for one in Sweep(ran=ran).worst_first] == [(9, 1), (-5, 2), (-5, 1)]


def test_worlds_are_counted_by_fault_and_by_rule() -> None:
    hang = CRASH.replace("crash", "hang")
    ran = (swept(findings={"turns": "many", "worse": "much"}), swept(), swept(hang, findings={"turns": "many"}))
    document = Sweep(ran=ran).as_document()
    assert document["by_fault"]["crash"] == {"worlds": 2, "any": 1, "turns": 1, "worse": 1}
    assert document["by_fault"]["hang"] == {"worlds": 1, "any": 1, "turns": 1}
    assert (document["by_rule"]["turns"], document["by_rule"]["worse"], document["by_rule"]["wrong"]) == (2, 1, 0)
    assert (document["worlds"], document["with_findings"]) == (3, 2)


@pytest.mark.parametrize(
    ("worlds", "marked", "is_too_many"), [(50, "worse", False), (49, "worse", True), (49, "wrong", False)]
)
def test_two_in_a_hundred_worlds_may_lose_more_because_nobody_could_know(worlds: int, marked: str, is_too_many: bool) -> None:
    ran = (swept(marked=marked), *(swept() for _ in range(worlds - 1)))
    assert Sweep(ran=ran).has_too_many_marked is is_too_many


def test_a_single_world_is_run_again_with_a_report(tmp_path: Path) -> None:
    report = tmp_path / "one.html"
    ended = run("sim", "sweep", "--only", CRASH, "--report", str(report))
    assert ended.code == ExitCode.DONE, ended.err
    assert CRASH in ended.out and "0 of 1 worlds" in ended.out
    page = report.read_text(encoding="utf-8")
    assert CRASH in page and "never: loses more than nothing done" in page


def test_a_world_with_findings_ends_with_exit_6_and_says_them_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sweeping.RULES, "turns", lambda _: "share turns: pangyo 9 times")  # type: ignore[arg-type]
    ended = run("sim", "sweep", "--only", CRASH, "--json")
    assert ended.code == ExitCode.MISSED
    found = ended.document
    assert found["findings"][0]["id"] == CRASH
    assert found["findings"][0]["findings"] == {"turns": "share turns: pangyo 9 times"}
    assert set(found["findings"][0]["more_s"]) == {"0", "1/2", "1"}
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--only", "crash-pangyo"), "is no"),
        (("--sample", "20"), "at least 50"),
        (("--report", "out.html"), "single worlds"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: tuple[str, ...], says: str) -> None:
    ended = run("sim", "sweep", *arguments)
    assert ended.code == ExitCode.USAGE
    assert says in ended.err


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_where_time_is_up_before_the_first_world_nothing_was_shown(form: tuple[str, ...]) -> None:
    """It ended with 0 and "0 of 0 worlds show what none may": a success of nothing."""
    ended = run("sim", "sweep", "--within", "0", "--jobs", "1", *form)
    assert ended.code == ExitCode.USAGE
    assert "no world was run" in ended.out + ended.err and "worlds show" not in ended.out


def test_when_time_is_up_no_further_world_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(100))
    monkeypatch.setattr(sim_sweep, "monotonic", lambda: next(seconds))
    ended = run("sim", "sweep", "--only", CRASH, "--only", CRASH.replace("crash", "hang"), "--within", "1.5", "--jobs", "1")
    assert "time was up before the other 1" in ended.out, ended.out + ended.err


def test_runs_come_in_the_order_given_and_only_what_was_begun() -> None:
    heard: list[int] = []
    assert run_each(abs, [-3, -2, -1], jobs=2, tell=heard.append) == [3, 2, 1]
    assert sorted(heard) == [1, 2, 3]
    assert run_each(abs, [-3, -2], jobs=2, tell=heard.append, goes_on=lambda: False) == []
