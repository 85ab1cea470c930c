"""Readings that say nothing new are not on record, and a replay of what is there decides the same all the same."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.node.behind_haproxy import BehindHaproxy, Visitors, node_behind_haproxy
from integration.node.records import assert_record_holds, entries
from nodes import soon_quiet
from nodes.running_node import RunningNode
from siteshift.app.offline import read_record
from siteshift.core.model.codes import Mode
from siteshift.core.model.policy import Policy
from siteshift.ports import JournalEntry
from siteshift.replay.as_recorded import fold
from siteshift.replay.incident import Incident
from siteshift.replay.rows import rows_of
from siteshift.replay.what_if import WhatIf, what_if

PROGRAM = (sys.executable, str(Path(soon_quiet.__file__)))
READINGS = 30


def heard(node: RunningNode, kind: str) -> int:
    connection = node.connection()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(rf'^siteshift_events_total{{kind="{kind}"}} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def rows_while(world: BehindHaproxy, kind: str, count: int) -> int:
    """Rows written while so many events of a kind were heard."""
    before, first = heard(world.node, kind), sequence(world.node)
    world.node.until(lambda _: heard(world.node, kind) >= before + count)
    return sequence(world.node) - first


def sequence(node: RunningNode) -> int:
    return int(entries(node)[-1]["sequence"])


def quiet(world: BehindHaproxy) -> None:
    """Wait until nothing is told any more."""
    world.node.until(lambda _: rows_while(world, "TrafficMeasured", 6) == 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHaproxy]:
    with node_behind_haproxy(tmp_path_factory.mktemp("quiet"), program=PROGRAM) as world:
        yield world


@pytest.fixture(scope="module")
def lived(world: BehindHaproxy) -> tuple[int, int, list[JournalEntry]]:
    """Rows of two quiet times, one with users and one without; then a crash, a return and a drain, each after a quiet time."""
    quiet(world)
    idle = rows_while(world, "TrafficMeasured", READINGS)
    pangyo = [name for name in world.node.shape.member_names if name.startswith("pangyo")]
    with Visitors(world.lb.port):
        quiet(world)
        busy = rows_while(world, "ReadBackArrived", READINGS // 2)
        for name in pangyo:
            world.node.members.stop(name)
        world.node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
        quiet(world)
        world.node.calm()
        quiet(world)
        assert world.node.act("drain", site="gasan", reason="test")[0] == 200
        world.node.until(lambda status: status["services"][0]["sites"]["gasan"]["life"] == "drained")
        quiet(world)
    assert_record_holds(world.node)
    assert world.node.stop() == 0

    async def read() -> list[JournalEntry]:
        return [entry async for entry in read_record(world.node.database)]

    return idle, busy, asyncio.run(read())


def test_a_quiet_node_writes_nothing_down(lived: tuple[int, int, list[JournalEntry]]) -> None:
    assert lived[0] == 0


def test_users_who_come_as_ever_are_no_news(lived: tuple[int, int, list[JournalEntry]]) -> None:
    """40 requests a second, by chance a few more or less; before, each of the 60 readings and ticks meanwhile was a row.

    A busy machine has them come in bursts, which is news: so a few are granted.
    """
    assert lived[1] <= READINGS // 3


def test_what_is_counted_is_told_when_it_changes(lived: tuple[int, int, list[JournalEntry]]) -> None:
    told = [entry for entry in lived[2] if entry.kind == "traffic"]
    assert told, "users came, and nobody told"


def test_every_decision_comes_out_as_recorded(lived: tuple[int, int, list[JournalEntry]]) -> None:
    record = lived[2]
    assert any("meanwhile" in entry.data for entry in record), "nothing was left out, so nothing is shown here"
    found = fold(rows_of(record))
    assert found.mismatches == []
    assert found.decisions == sum(entry.kind == "decision" for entry in record) >= 4


def test_the_same_policy_never_parts_from_the_record(lived: tuple[int, int, list[JournalEntry]]) -> None:
    found = under(lived[2], lambda policy: policy)
    assert not found.is_apart
    assert found.differences() == []


def test_a_policy_that_only_observes_would_have_moved_nothing(lived: tuple[int, int, list[JournalEntry]]) -> None:
    found = under(lived[2], lambda policy: replace(policy, default=replace(policy.default, mode=Mode.OBSERVE)))
    first = found.differences()[0]
    assert first.other is not None and first.other.steering.shares_bp["pangyo"] == 5_000


def test_the_record_makes_a_scenario_with_its_demand(lived: tuple[int, int, list[JournalEntry]]) -> None:
    incident = Incident()
    for row in rows_of(lived[2]):
        incident.take(row)
    text = incident.text("quiet", "a test")
    assert "fault: crash" in text and "fault: surge" in text, text


def under(record: list[JournalEntry], over: Callable[[Policy], Policy]) -> WhatIf:
    return what_if(rows_of(record), over)
