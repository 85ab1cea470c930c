"""HAProxy restarted, gone or stopped in the middle of a drain: nothing is lost or guessed, and the drain goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.haproxy.relay import relay
from integration.node.behind_haproxy import UNMETERED, BehindHaproxy, Visitors, node_behind_haproxy
from integration.node.records import assert_record_holds, entries, override_ids, write_outcomes
from nodes.running_node import Document

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHaproxy]:
    """Without a meter, so that the visitors of one test are not the demand of the next."""
    with node_behind_haproxy(tmp_path_factory.mktemp("lb"), UNMETERED) as found:
        yield found


@pytest.fixture
def world(shared: BehindHaproxy) -> BehindHaproxy:
    """Nothing forced, all sites serving."""
    shared.node.calm()
    return shared


@pytest.fixture
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHaproxy]:
    with node_behind_haproxy(tmp_path_factory.mktemp("lb")) as found:
        yield found


def is_unknown(status: Document) -> bool:
    """Whether the node says that it does not know what HAProxy has."""
    service = status["services"][0]
    plane = status["planes"]["lb"]
    actual = [row["actual_bp"] for row in service["sites"].values()]
    is_unread = plane["unreadable_since_ms"] is not None and plane["standing"] != "writing"
    return is_unread and actual == [None] * 3 and not service["in_step"]


def assert_drained(world: BehindHaproxy, override: Document) -> None:
    """The drain that was asked for is there, complete and recorded, and nobody reaches the site."""
    world.node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    status = world.until_haproxy_is_as_desired()
    assert override_ids(status) == [override["id"]]
    assert world.weights()["pangyo-1"] == world.weights()["pangyo-2"] == 0
    with Visitors(world.lb.port) as visitors:
        assert set(visitors.since(60)) == {"gasan", "anyang"}
    assert_record_holds(world.node)


def test_haproxy_killed_and_restarted_in_mid_drain(world: BehindHaproxy) -> None:
    override = world.drain_under_way()
    world.kill_haproxy()
    held = world.node.until(is_unknown)
    assert override_ids(held) == [override["id"]]
    stays = held["services"][0]["sites"]["pangyo"]["desired_bp"]
    assert stays > 0, "no step was taken on a plane nobody could read"
    world.restart_haproxy()
    assert_drained(world, override)
    first = next(e for e in assert_record_holds(world.node) if e["data"].get("override") == override["id"])
    decided = [entry for entry in entries(world.node, "decision") if entry["sequence"] > first["sequence"]]
    assert {entry["data"]["services"][0]["cause"] for entry in decided} <= {"person", None}
    shares = [entry["data"]["services"][0]["after_bp"]["pangyo"] for entry in decided]
    assert shares == sorted(shares, reverse=True), "the drain only ever went on"


def test_what_is_seen_is_unknown_while_haproxy_is_away(metered: BehindHaproxy) -> None:
    """A meter that cannot know says nothing: seen is null, not zero, and the site is not called empty for it."""

    def seen(status: Document) -> list[int | None]:
        return [row["seen_bp"] for row in status["services"][0]["sites"].values()]

    with Visitors(metered.lb.port) as visitors:
        visitors.since(20)
        metered.node.until(lambda status: None not in seen(status) and sum(seen(status)) > 9_900)
        code, answer = metered.node.act("drain", site="pangyo", reason="test")
        assert code == 200
        metered.kill_haproxy()
        status = metered.node.until(lambda status: is_unknown(status) and seen(status) == [None] * 3)
        assert status["sites"]["pangyo"]["life"] == "draining", "nobody can say that it is empty"
        metered.restart_haproxy()
        assert_drained(metered, answer["override"])
        status = metered.node.until(lambda status: None not in seen(status))
        assert status["services"][0]["sites"]["pangyo"]["seen_bp"] == 0


def test_haproxy_restarted_after_the_drain_is_told_again(world: BehindHaproxy) -> None:
    """It comes back with the weights of its file; no decision is needed to put that right."""
    override = world.drain_under_way()
    assert_drained(world, override)
    generation = world.node.status()["generation"]
    world.restart_haproxy()
    assert world.weights()["pangyo-1"] == 100
    assert_drained(world, override)
    assert world.node.status()["generation"] == generation


def test_the_socket_of_haproxy_is_gone_in_mid_drain(world: BehindHaproxy) -> None:
    """HAProxy goes on with what it was told last; traffic is served, and the node says it cannot look."""
    override = world.drain_under_way()
    away = world.lb.socket.with_name("away.sock")
    world.lb.socket.rename(away)
    held = world.node.until(is_unknown)
    assert override_ids(held) == [override["id"]]
    generation = held["generation"]
    with Visitors(world.lb.port) as visitors:
        assert "" not in visitors.since(40), "every request was served"
    world.node.until(lambda status: status["planes"]["lb"]["detail"])
    assert world.node.status()["services"][0]["sites"]["pangyo"]["desired_bp"] > 0
    assert world.node.status()["generation"] - generation <= 1, "a member's weight or TTL at most, no further step"
    away.rename(world.lb.socket)
    assert_drained(world, override)


def test_haproxy_stopped_while_it_is_written_to(world: BehindHaproxy) -> None:
    """The changes were sent and no answer came: neither applied nor failed. It is read before anything is sent again."""
    front = world.node.folder / "relay.sock"
    stack = relay(front, world.lb.socket, on="set server", act=world.lb.freeze)
    world.background.run(stack.__aenter__())
    try:
        world.lead_to(front)
        code, answer = world.node.act("drain", site="pangyo", reason="test")
        assert code == 200
        doubt = world.node.until(lambda status: status["planes"]["lb"]["outcome"] == "ambiguous")
        assert doubt["planes"]["lb"]["standing"] == "unsure"
        assert override_ids(doubt) == [answer["override"]["id"]]
        unknown = world.node.until(is_unknown)
        assert unknown["planes"]["lb"]["standing"] == "unsure"
        assert unknown["generation"] == doubt["generation"], "nothing is decided on doubt"
        assert write_outcomes(world.node, doubt["generation"]) == ["ambiguous"], "it was not sent again"
        world.lb.thaw()
        assert_drained(world, answer["override"])
    finally:
        world.lb.thaw()
        world.background.run(stack.__aexit__(None, None, None))
