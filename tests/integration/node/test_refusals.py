"""Must-show 5 from end to end: the installed program, its exit codes and reasons, and what then happens to traffic.

The refusals one by one, in this process, are in ``tests/cli/test_exit_codes.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration.node.records import assert_record_holds, entries
from nodes.running_node import FAST, SERVICE, NodeShape, RunningNode, running_node

DONE, REFUSED, NEEDS_APPROVAL = 0, 3, 4
SHAPE = NodeShape(policy={**FAST, "ramp_percent": [10, 40, 70, 100], "soak_s": 2})


@dataclass(frozen=True, slots=True)
class Said:
    """One command of the installed program: its exit code, its JSON, its errors."""

    code: int
    document: dict[str, Any]
    errors: str


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("cli"), SHAPE) as node:
        yield node


@pytest.fixture
def node(shared: RunningNode) -> RunningNode:
    shared.calm()
    return shared


def siteshift(node: RunningNode, *words: str) -> Said:
    program = Path(sys.executable).parent / "siteshift"
    command = [str(program), "--socket", str(node.socket), "--json", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    document = json.loads(ended.stdout) if ended.stdout.strip() else {}
    return Said(ended.returncode, document, ended.stderr)


def codes(said: Said) -> set[str]:
    return {said.document.get("code", "")} | {entry["code"] for entry in said.document.get("findings", [])}


def test_each_refusal_has_its_code_and_exit_and_moves_nothing(node: RunningNode) -> None:
    assert siteshift(node, "drain", "pangyo", "-r", "test", "--yes").code == DONE
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    generation = node.status()["generation"]

    short = siteshift(node, "drain", "gasan", "-r", "test", "--yes")
    assert (short.code, "CAPACITY_SHORT" in codes(short)) == (NEEDS_APPROVAL, True), short
    stale = siteshift(node, "drain", "gasan", "-r", "test", "--digest", "0123456789abcdef")
    assert (stale.code, stale.document["code"]) == (REFUSED, "STALE_DIGEST")
    assert node.status()["generation"] == generation, "nothing of this moved anything"
    assert len(node.status()["overrides"]) == 1

    digest = short.document["plans"][0]["digest"]
    assert siteshift(node, "drain", "gasan", "-r", "test", "--digest", digest).code == DONE
    last = siteshift(node, "drain", "anyang", "-r", "test", "--yes")
    assert (last.code, "LAST_SERVING_SITE" in codes(last)) == (REFUSED, True), last
    assert_record_holds(node)


def test_a_drain_that_expires_gives_the_site_back(node: RunningNode) -> None:
    assert siteshift(node, "drain", "pangyo", "-r", "test", "--for", "3s", "--yes").code == DONE
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    node.until(lambda status: not status["overrides"])
    back = node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 5_000)
    assert back["services"][0]["sites"]["pangyo"]["life"] in ("returning", "serving")
    expired = entries(node, "override_expired")[-1]
    assert expired["data"]["kind"] == "drain"


def test_a_refused_rule_names_itself_and_an_approval_goes_through(node: RunningNode) -> None:
    assert siteshift(node, "freeze", SERVICE, "-r", "holiday").code == DONE
    frozen = siteshift(node, "drain", "pangyo", "-r", "test", "--yes")
    assert (frozen.code, "CHANGE_FREEZE" in codes(frozen)) == (NEEDS_APPROVAL, True)
    digest = frozen.document["plans"][0]["digest"]
    assert siteshift(node, "drain", "pangyo", "-r", "test", "--digest", digest).code == DONE
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)


def test_the_off_switch_stops_a_move_under_way_within_a_second(node: RunningNode) -> None:
    """A site is on its way back, step by step: no step is decided later than a second after the switch."""
    assert siteshift(node, "drain", "pangyo", "-r", "test", "--yes").code == DONE
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    assert siteshift(node, "undrain", "pangyo", "--yes").code == DONE
    node.until(lambda status: 0 < status["services"][0]["sites"]["pangyo"]["desired_bp"] < 5_000)
    assert siteshift(node, "switch", "off", "-r", "test").code == DONE
    off_ms = entries(node, "answer")[-1]["at_ms"]
    held = node.status()["services"][0]["sites"]["pangyo"]["desired_bp"]
    assert held < 5_000
    for name in ("anyang-1", "anyang-2"):
        node.members.stop(name)
    node.until(lambda status: "SWITCHED_OFF" in {entry["code"] for entry in status["services"][0]["findings"]})
    node.until(lambda status: status["sites"]["anyang"]["standing"] == "down")
    status = node.until(lambda status: status["at_ms"] > off_ms + 4_000)
    assert status["services"][0]["sites"]["anyang"]["desired_bp"] > 0, "seen, and not acted upon"
    moved = [entry for entry in entries(node, "decision") if entry["at_ms"] > off_ms + 1_000]
    assert moved == []
    assert siteshift(node, "switch", "on").code == DONE
    node.until(lambda status: status["services"][0]["sites"]["anyang"]["desired_bp"] == 0)
