"""Following a move by what is seen in traffic, on a terminal and off it."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.command_line import Cli, on_terminal
from nodes.running_node import RunningNode
from siteshift.cli.exits import ExitCode
from siteshift.cli.waiting import AwaitedMove, Goal, look_at

Document = dict[str, Any]

LEAVING = AwaitedMove(site="pangyo", goal=Goal.LEFT, ends_bp={"shop": 0})


def status(*, seen_bp: int | None, actual_bp: int | None = 0, life: str = "draining", **service: Any) -> Document:
    """As much of a status as waiting reads."""
    row = {"seen_bp": seen_bp, "actual_bp": actual_bp, "desired_bp": 0, "life": life, "real_life": life, "delivered_by": []}
    entry = {"service": "shop", "demand_rps": 100, "in_step": True, "tail_until_ms": 0, "findings": [], "sites": {"pangyo": row}}
    return {"at_ms": 100_000, "services": [{**entry, **service}]}


def test_seen_traffic_counts_where_it_is_measured() -> None:
    look = look_at(status(seen_bp=1_200), LEAVING)
    assert (look.share_bp, look.by, look.is_over) == (1_200, "seen", False)


def test_read_back_shares_stand_in_and_are_named_so() -> None:
    look = look_at(status(seen_bp=None, actual_bp=3_000), LEAVING)
    assert (look.share_bp, look.by) == (3_000, "actual")


def test_a_share_of_nothing_is_not_the_end() -> None:
    """Planes say nothing goes there any more; answers given before still live."""
    look = look_at(status(seen_bp=0, tail_until_ms=112_000), LEAVING)
    assert not look.is_over
    assert look.note == "draining; old answers for another 12 s"
    assert look_at(status(seen_bp=0, life="drained"), LEAVING).is_over


def test_a_site_that_a_hand_gave_a_share_again_is_not_drained_and_the_drift_is_named() -> None:
    document = status(seen_bp=0, actual_bp=5_000, life="drained")
    document["services"][0]["sites"]["pangyo"]["delivered_by"] = [{"text": "lb1 still sends 50 % here: p1 is ready"}]
    look = look_at(document, LEAVING)
    assert (look.is_over, look.note) == (False, "not drained: lb1 still sends 50 % here: p1 is ready")


def test_what_stops_the_move_is_said() -> None:
    findings = [{"code": "VELOCITY", "severity": "needs_approval"}, {"code": "SAME_FATE", "severity": "allowed"}]
    assert look_at(status(seen_bp=5_000, findings=findings), LEAVING).note == "stopped: VELOCITY"


STAYS = AwaitedMove(site="pangyo", goal=Goal.LEFT, ends_bp={"shop": 1_000})
BACK = AwaitedMove(site="pangyo", goal=Goal.SERVING, ends_bp={"shop": 4_800})


def desiring(desired_bp: int, **rest: Any) -> Document:
    """The status while this share is desired at the site."""
    document = status(**rest)
    document["services"][0]["sites"]["pangyo"]["desired_bp"] = desired_bp
    return document


def test_a_part_that_stays_by_plan_ends_the_waiting() -> None:
    look = look_at(desiring(1_000, seen_bp=None, actual_bp=1_000), STAYS)
    assert (look.is_over, look.note) == (True, "draining; a part stays by plan")


def test_waiting_for_a_part_to_stay_ends_when_users_have_left_and_not_when_it_is_decided() -> None:
    document = desiring(1_000, seen_bp=3_099, actual_bp=1_000)
    look = look_at(document, STAYS)
    assert (look.is_over, look.note) == (False, "draining; users of shop still follow older answers")
    assert look_at(desiring(1_000, seen_bp=1_080, actual_bp=1_000), STAYS).is_over


def test_unmeasured_traffic_has_arrived_when_no_older_answer_lives() -> None:
    assert not look_at(desiring(1_000, seen_bp=None, actual_bp=1_000, tail_until_ms=102_000), STAYS).is_over
    assert not look_at(desiring(4_800, seen_bp=None, actual_bp=4_800, life="serving", tail_until_ms=102_000), BACK).is_over


def test_a_plan_that_ends_a_little_elsewhere_because_demand_breathed_ends_the_waiting() -> None:
    assert look_at(desiring(1_040, seen_bp=1_040), STAYS).is_over


def test_waiting_for_a_site_to_come_back_ends_when_users_have_come() -> None:
    look = look_at(desiring(4_800, seen_bp=2_700, actual_bp=4_800, life="serving"), BACK)
    assert (look.is_over, look.note) == (False, "serving; users of shop still follow older answers")
    assert look_at(desiring(4_800, seen_bp=4_750, actual_bp=4_800, life="serving"), BACK).is_over


def test_services_count_by_their_demand() -> None:
    document = status(seen_bp=1_000)
    document["services"].append({**document["services"][0], "service": "chat", "demand_rps": 300})
    awaited = AwaitedMove(site="pangyo", goal=Goal.LEFT, ends_bp={"shop": 0, "chat": 0})
    document["services"][1]["sites"] = {"pangyo": {**document["services"][0]["sites"]["pangyo"], "seen_bp": 5_000}}
    assert look_at(document, awaited).share_bp == 4_000


def test_waiting_ends_when_the_site_is_drained(cli: Cli, node: RunningNode) -> None:
    asked = ("drain", "pangyo", "-r", "test")
    node.until(lambda _: cli(*asked, "--dry-run", "--json").document["severity"] == "allowed")  # a late check may be in its way
    ended = cli(*asked, "--yes", "--wait")
    assert ended.code == ExitCode.DONE
    assert "Nobody measures this traffic" in ended.err
    assert node.site("pangyo")["real_life"] == "drained"


def test_waiting_may_be_given_up(cli: Cli, node: RunningNode) -> None:
    """A dead site does not come back however long one waits; the watching ends, the request stays."""
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    digest = cli("undrain", "pangyo", "--dry-run", "--json").document["plans"][0]["digest"]
    ended = cli("undrain", "pangyo", "--digest", digest, "--wait", "--timeout", "1s")
    assert ended.code == ExitCode.FAILED
    assert "not over after 1 s" in ended.err
    assert "The move itself goes on" in ended.err


@pytest.fixture
def surroundings(node: RunningNode) -> dict[str, str]:
    return {"SITESHIFT_SOCKET": str(node.socket)}


def test_a_person_says_no(node: RunningNode, surroundings: dict[str, str]) -> None:
    with on_terminal("drain", "pangyo", "-r", "test", environment=surroundings) as drain:
        drain.until("Go on? [y/N]")
        drain.type("n\n")
        assert drain.end() == ExitCode.FAILED
        assert "nothing was changed" in drain.text
    assert node.status()["overrides"] == []


def test_a_person_says_yes_watches_and_leaves(node: RunningNode, surroundings: dict[str, str]) -> None:
    """Ctrl-C ends the watching; the drain goes on to its end."""
    with on_terminal("drain", "pangyo", "-r", "test", "--wait", environment=surroundings) as drain:
        drain.until("Go on? [y/N]")
        drain.type("y\n")
        drain.until("pangyo is being drained")
        drain.until("actual")
        drain.interrupt()
        assert drain.end() in (ExitCode.FAILED, ExitCode.DONE)
        assert "The move itself goes on" in drain.text or "drained" in drain.text
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")


def test_a_person_confirms_by_a_yes_what_takes_nobody_else(node: RunningNode, surroundings: dict[str, str]) -> None:
    node.act("freeze", reason="test")
    with on_terminal("drain", "pangyo", "-r", "test", environment=surroundings) as drain:
        drain.until("and go on? [y/N]")
        drain.type("y\n")
        assert drain.end() == ExitCode.DONE
    made = node.status()["overrides"][-1]
    assert (made["approved_by"], len(made["digest"])) == ([], 16), "confirmed by who asked, approved by nobody"


def test_the_live_view_runs_until_ctrl_c(node: RunningNode, surroundings: dict[str, str]) -> None:
    with on_terminal("top", environment=surroundings) as top:
        top.until("what happens")
        top.until("pangyo")
        node.act("switch-off", reason="seen in top")
        top.until("SWITCHED OFF")
        top.until("seen in top")
        top.interrupt()
        assert top.end() == ExitCode.DONE
