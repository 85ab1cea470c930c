"""BIND down, refusing or stopped, and a record edited by hand: said, not guessed, and put right when it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from integration.node.behind_bind import OTHER_SECRET, BehindBind, node_behind_bind
from integration.node.records import assert_record_holds, override_ids, write_outcomes
from nodes.running_node import Document
from servers.dns_servers import KEY_SECRET

pytestmark = pytest.mark.servers
SITES = {"pangyo", "gasan", "anyang"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindBind]:
    with node_behind_bind(tmp_path_factory.mktemp("dns")) as found:
        yield found


@pytest.fixture
def world(shared: BehindBind) -> BehindBind:
    """Nothing forced, all sites in the zone."""
    shared.node.calm()
    assert shared.bind.sites() == SITES
    return shared


def drain_pangyo(world: BehindBind) -> Document:
    code, answer = world.node.act("drain", site="pangyo", reason="test")
    assert code == 200, answer
    return answer["override"]


def assert_drained(world: BehindBind, override: Document) -> None:
    """The drain that was asked for is there, complete and recorded; the zone leads nobody to the site."""
    status = world.node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained", deadline_s=120)
    assert override_ids(status) == [override["id"]]
    assert world.bind.sites() == {"gasan", "anyang"}
    assert world.plane["confirmed_generation"] == world.node.status()["generation"]
    assert_record_holds(world.node)


def test_bind_is_down(world: BehindBind) -> None:
    world.bind.stop()
    try:
        override = drain_pangyo(world)
        status = world.node.until(
            lambda status: status["planes"]["bind"]["standing"] == "behind"
            and status["planes"]["bind"]["unreadable_since_ms"] is not None
        )
        assert status["planes"]["bind"]["outcome"] == "failed"
        assert override_ids(status) == [override["id"]]
        assert status["services"][0]["sites"]["pangyo"]["actual_bp"] is None
        assert status["sites"]["pangyo"]["life"] != "drained"
    finally:
        world.bind.start()
    assert_drained(world, override)


def test_bind_stopped_after_the_update_was_sent(world: BehindBind) -> None:
    """Silence after sending is neither applied nor failed; what became of it is read."""
    world.bind.freeze()
    try:
        override = drain_pangyo(world)
        status = world.node.until(lambda status: status["planes"]["bind"]["outcome"] == "ambiguous")
        generation = status["generation"]
        status = world.node.until(lambda status: status["planes"]["bind"]["unreadable_since_ms"] is not None)
        assert status["planes"]["bind"]["standing"] == "unsure"
        assert status["services"][0]["sites"]["pangyo"]["actual_bp"] is None
        assert override_ids(status) == [override["id"]]
        assert write_outcomes(world.node, generation) == ["ambiguous"], "it was not sent again"
    finally:
        world.bind.thaw()
    assert_drained(world, override)


def test_a_record_edited_by_hand_is_reported_and_left_until_the_next_generation(world: BehindBind) -> None:
    generation = world.node.status()["generation"]
    world.bind.by_hand("127.0.9.9")
    status = world.node.until(lambda status: status["planes"]["bind"]["drifts"])
    drift = status["planes"]["bind"]["drifts"][0]
    assert "127.0.9.9" in drift["found"]
    assert drift["ours"]
    read_before = readings(world)
    world.node.until(lambda _: readings(world) >= read_before + 3)
    assert world.bind.addresses() == {"127.0.9.9"}, "it is reported, not crushed"
    assert world.node.status()["generation"] == generation
    drain = drain_pangyo(world)
    assert_drained(world, drain)
    world.node.until(lambda status: not status["planes"]["bind"]["drifts"])
    assert "127.0.9.9" not in world.bind.addresses()


def readings(world: BehindBind) -> int:
    """How often the zone was read: a reading that says nothing new has no row."""
    connection = world.node.connection()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r'^siteshift_events_total{kind="ReadBackArrived"} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_bind_refuses_the_key(world: BehindBind) -> None:
    """A refusal is not tried over and over; it is said with its reason, and tried again after half a minute."""
    world.bind.take_key(OTHER_SECRET)
    try:
        override = drain_pangyo(world)
        status = world.node.until(lambda status: status["planes"]["bind"]["standing"] == "refusing")
        assert "BADSIG" in status["planes"]["bind"]["detail"]
        assert override_ids(status) == [override["id"]]
        assert status["sites"]["pangyo"]["life"] != "drained"
        assert world.bind.sites() == SITES, "nothing was changed"
        actual = world.node.until(lambda status: status["planes"]["bind"]["unreadable_since_ms"] is None)
        assert actual["services"][0]["sites"]["pangyo"]["actual_bp"] > 0, "reading needs no key: it is known"
    finally:
        world.bind.take_key(KEY_SECRET)
    assert_drained(world, override)
