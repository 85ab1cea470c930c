"""A node ended as by a power cut, at any moment: nothing it promised is lost, and it looks before it touches anything."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from integration.node.behind_haproxy import UNMETERED, BehindHaproxy, node_behind_haproxy
from integration.node.records import assert_record_holds, entries, override_ids
from nodes.running_node import Document

pytestmark = pytest.mark.servers
KILLS = 10
LATEST_S = 2.0
"""A drain takes about four seconds here, a crash is left within two: the kills fall before, into and after the moves."""
SHAPE = replace(UNMETERED, policy={**UNMETERED.policy, "hold_down_s": 120})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHaproxy]:
    with node_behind_haproxy(tmp_path_factory.mktemp("kill"), SHAPE) as found:
        yield found


@dataclass(slots=True)
class Story:
    """What was done to the node, and what it promised by answering."""

    world: BehindHaproxy
    promised: list[str] = field(default_factory=list)

    def drain(self) -> None:
        code, answer = self.world.node.act("drain", site="pangyo", reason="test")
        assert code == 200, answer
        self.promised.append(answer["override"]["id"])

    def undrain(self) -> None:
        assert self.world.node.act("undrain", site="pangyo")[0] == 200
        self.promised.clear()

    def undrain_or_drain(self) -> None:
        """Turn round what may still be under way."""
        return self.undrain() if self.promised else self.drain()

    def crash(self) -> None:
        for number in (1, 2):
            self.world.node.members.stop(f"gasan-{number}")

    def heal(self) -> None:
        for number in (1, 2):
            self.world.node.members.start(f"gasan-{number}")
        self.world.node.until(lambda status: status["sites"]["gasan"]["standing"] == "up")
        self.world.node.act("ack", site="gasan")

    def acts(self) -> tuple[Callable[[], None], ...]:
        return (self.drain, self.undrain, self.crash, self.heal, self.undrain_or_drain, self.crash, self.heal, self.undrain)


def settled(world: BehindHaproxy) -> dict[str, int]:
    """What HAProxy has once it has carried out what it was sent before the kill."""
    before = world.weights()
    while (now := world.weights()) != before:
        before = now
    return now


def assert_nothing_went_back(before: Document, after: Document, promised: list[str]) -> None:
    assert override_ids(after) == promised
    assert after["generation"] >= before["generation"]
    for site, row in before["services"][0]["sites"].items():
        now = after["services"][0]["sites"][site]
        assert now["hold_until_ms"] >= row["hold_until_ms"], "a hold-down was forgotten"


def assert_it_looks_first(world: BehindHaproxy, left: dict[str, int]) -> Document:
    """Until the node has fresh evidence, HAProxy stays exactly as it was; the first status of the node."""
    first: list[Document] = []

    def is_fresh(_: Document) -> bool:
        weights = world.weights()
        status = world.node.status()
        first.append(status)
        if not status["fresh"]:
            assert weights == left, "HAProxy was written to before anything was seen"
        return bool(status["fresh"])

    world.node.until(is_fresh)
    assert not first[0]["fresh"], "the node was asked too late to tell"
    return first[0]


def decided_before_each_start(world: BehindHaproxy) -> list[int]:
    """The generation of the last decision on record when each process began."""
    last, found = 0, []
    for entry in entries(world.node, "started", "decision"):
        if entry["kind"] == "started":
            found.append(last)
        else:
            last = entry["data"]["generation"]
    return found


def test_killed_at_random_moments_it_keeps_its_word_and_looks_before_it_acts(world: BehindHaproxy) -> None:
    story, chance, pause = Story(world), random.Random(20221015), threading.Event()
    acts = story.acts()
    for number in range(KILLS):
        acts[number % len(acts)]()
        pause.wait(chance.uniform(0, LATEST_S))  # the moment of the kill is what is random here
        before = world.node.status()
        world.node.kill()
        left = settled(world)
        world.node.launch()
        restored = assert_it_looks_first(world, left)
        assert_nothing_went_back(before, restored, story.promised)
        assert_record_holds(world.node)

    story.heal()
    if not story.promised:
        story.drain()
    world.node.until(lambda status: status["services"][0]["sites"]["gasan"]["desired_bp"] > 0)
    world.node.until(lambda status: status["services"][0]["sites"]["pangyo"]["life"] == "drained")
    status = world.until_haproxy_is_as_desired()
    assert override_ids(status) == story.promised
    assert world.weights()["pangyo-1"] == 0
    assert len(entries(world.node, "started")) == KILLS + 1
    restored = [entry["data"]["state"]["steering"]["generation"] for entry in entries(world.node, "started")]
    assert restored == sorted(restored)
    assert restored == decided_before_each_start(world), "state and record differed after a death"
    assert_record_holds(world.node)


def test_an_answer_is_a_promise(world: BehindHaproxy) -> None:
    """Killed in the instant in which it says yes, the node still knows what it said."""
    code, answer = world.node.act("freeze", service="shop", reason="promise")
    world.node.kill()
    assert code == 200, answer
    world.node.launch()
    status = world.node.until(lambda status: "overrides" in status)
    assert answer["override"]["id"] in override_ids(status)
