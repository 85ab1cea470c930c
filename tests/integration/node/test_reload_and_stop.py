"""SIGHUP takes a new file whole or not at all; SIGTERM ends the node and leaves the data planes as they are."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import dns.message
import dns.query
import pytest
import yaml

from integration.node.behind_haproxy import UNMETERED, BehindHaproxy, node_behind_haproxy
from integration.node.records import assert_record_holds, entries, override_ids
from nodes import long_up as long_up_program
from nodes.running_node import ANCHORS, DEADLINE_S, Document, RunningNode, running_node


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("reload")) as node:
        yield node


@pytest.fixture
def node(shared: RunningNode) -> Iterator[RunningNode]:
    """Nothing forced; the file is put back, and read again, afterwards."""
    shared.calm()
    text = shared.config.read_text()
    setup = shared.status()["setup"]
    yield shared
    shared.config.write_text(text)
    hang_up(shared)
    shared.until(lambda status: status["setup"] == setup)


def document_of(node: RunningNode) -> Document:
    found: Document = yaml.safe_load(node.config.read_text())
    return found


def write(node: RunningNode, document: Document) -> None:
    node.config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def hang_up(node: RunningNode) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)


def has_open(node: RunningNode, database: Path) -> bool:
    """Whether the node's process has the database open: SQLite maps the index of its write-ahead log."""
    assert node.process is not None
    assert node.process.poll() is None, node.log_tail()
    maps = Path(f"/proc/{node.process.pid}/maps").read_text(encoding="utf-8")
    return f"{database}-shm" in maps


def reload_refused(node: RunningNode) -> Document:
    """Ask for a reload that must be refused; what was told."""
    before = len(entries(node, "reload_refused"))
    hang_up(node)
    node.until(lambda _: len(entries(node, "reload_refused")) > before)
    return entries(node, "reload_refused")[-1]["data"]


def addresses(node: RunningNode, name: str) -> set[str]:
    reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=node.dns_port, timeout=DEADLINE_S)
    return {item.address for rrset in reply.answer for item in rrset}


def test_a_good_file_is_taken_and_what_people_forced_stays(node: RunningNode) -> None:
    override = node.act("drain", site="pangyo", reason="test")[1]["override"]
    node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    before = node.status()
    document = document_of(node)
    document["policy"]["max_utilisation_percent"] = 80
    write(node, document)
    hang_up(node)
    after = node.until(lambda status: status["setup"] != before["setup"])
    assert after["services"][0]["max_utilisation_pm"] == 800
    assert override_ids(after) == [override["id"]]
    assert after["services"][0]["sites"]["pangyo"]["desired_bp"] == 0
    assert after["generation"] >= before["generation"]
    (told,) = [entry["data"] for entry in entries(node, "reload") if entry["data"]["digest"] == after["setup"]]
    assert any("max_utilisation" in change for change in told["changes"])
    assert_record_holds(node)


def test_a_broken_file_is_told_with_every_problem_and_changes_nothing(node: RunningNode) -> None:
    document = {**document_of(node), "notifiers": [{"id": "log", "kind": "log"}]}
    write(node, document)
    count = len(entries(node, "reload"))
    hang_up(node)
    node.until(lambda _: len(entries(node, "reload")) > count)
    before = node.status()
    document["policy"]["velocity_percent"] = "plenty"
    document["sites"].append({"id": "pangyo"})
    document["services"][0]["pools"][0]["site"] = "mars"
    document["nonsense"] = 1
    write(node, document)
    told = reload_refused(node)["problems"]
    assert node.status()["reload_refused"]["problems"] == told
    assert "RELOAD_REFUSED" in node.log_tail()
    problems = "\n".join(told)
    for part in ("velocity_percent", "pangyo", "mars", "nonsense"):
        assert part in problems, problems
    after = node.status()
    assert (after["setup"], after["generation"]) == (before["setup"], before["generation"])
    assert addresses(node, "www.shop.test")
    for name in ("anyang-1", "anyang-2"):
        node.members.stop(name)
    node.until(lambda status: status["services"][0]["sites"]["anyang"]["desired_bp"] == 0)


def test_a_listener_that_cannot_be_had_changes_nothing(node: RunningNode) -> None:
    """The file is right and the world is not: the DNS server goes on answering where it did."""
    before = node.status()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        document = document_of(node)
        document["policy"]["max_utilisation_percent"] = 70
        document["enactors"][0]["listen"] = [f"127.0.0.1:{taken.getsockname()[1]}"]
        write(node, document)
        problems = reload_refused(node)["problems"]
    assert any(str(taken_port(document)) in problem for problem in problems), problems
    assert node.status()["setup"] == before["setup"]
    assert addresses(node, "www.shop.test")


def taken_port(document: Document) -> int:
    return int(document["enactors"][0]["listen"][0].rpartition(":")[2])


def test_what_needs_a_restart_is_refused_by_name(node: RunningNode) -> None:
    document = document_of(node)
    document["node"]["state_dir"] += "-elsewhere"
    write(node, document)
    assert "restart" in "\n".join(reload_refused(node)["problems"])


def test_a_service_is_added_probed_and_answered_for_without_a_gap(node: RunningNode) -> None:
    before = node.status()
    document = document_of(node)
    blog = deepcopy(document["services"][0])
    blog |= {"id": "blog", "names": ["blog.shop.test"], "tier": 2, "demand_rps": 50}
    document["services"].append(blog)
    write(node, document)
    hang_up(node)

    def is_served(status: Document) -> bool:
        assert addresses(node, "www.shop.test"), "the name that was there is answered at every instant"
        found = [entry for entry in status["services"] if entry["service"] == "blog"]
        return bool(found) and found[0]["in_step"] and {row["standing"] for row in found[0]["sites"].values()} == {"up"}

    after = node.until(is_served)
    assert after["generation"] > before["generation"]
    assert addresses(node, "blog.shop.test")
    shop = next(entry for entry in after["services"] if entry["service"] == "shop")
    assert [row["desired_bp"] for row in shop["sites"].values()] == [5000, 3000, 2000]
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)
    node.until(lambda status: [e["sites"]["pangyo"]["desired_bp"] for e in status["services"]] == [0, 0])
    assert_record_holds(node)


@pytest.fixture(scope="module")
def long_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that has been up for an hour."""
    with running_node(tmp_path_factory.mktemp("long"), program=(sys.executable, long_up_program.__file__)) as node:
        yield node


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_site_that_dies_right_after_a_reload_is_left(long_up: RunningNode, is_changed: bool) -> None:
    """After an hour of uptime, the file changed or not. The node is ready all the while, for it is never blind."""
    node = long_up
    node.calm()
    if is_changed:
        document = document_of(node)
        document["policy"]["max_utilisation_percent"] = 85
        write(node, document)
    before = len(entries(node, "reload"))
    hang_up(node)
    node.until(lambda _: len(entries(node, "reload")) > before)
    assert node.ask("GET", "/readyz") == (
        200,
        {"ready": True, "fresh": True, "blind": False, "store_usable": True, "because": []},
    )
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)
    after = node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    assert after["services"][0]["sites"]["gasan"]["desired_bp"] > 3000
    assert_record_holds(node)


def test_a_node_that_reaches_no_anchor_is_not_ready_and_says_why(long_up: RunningNode) -> None:
    node = long_up
    node.calm()
    for name in ANCHORS:
        node.members.stop(name)
    node.until(lambda _: node.ask("GET", "/readyz")[0] == 503)
    document = node.ask("GET", "/readyz")[1]
    assert document["blind"] and not document["ready"]
    assert document["because"] == ["blind: it reaches no anchor, so its own line may be cut"]
    hang_up(node)
    assert node.ask("GET", "/readyz")[0] == 503
    for name in ANCHORS:
        node.members.start(name)
    node.until(lambda _: node.ask("GET", "/readyz")[0] == 200)


def test_a_start_under_another_file_is_a_reload_that_tells_what_it_lets_go_of(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        override = node.act("drain", site="gasan", reason="test")[1]["override"]
        node.until(lambda status: status["sites"]["gasan"]["life"] == "drained")
        assert node.stop() == 0
        document = document_of(node)
        document["sites"] = [site for site in document["sites"] if site["id"] != "gasan"]
        pools = document["services"][0]["pools"]
        document["services"][0]["pools"] = [pool | {"nominal_percent": 50} for pool in pools if pool["site"] != "gasan"]
        write(node, document)
        node.launch()
        status = node.until(lambda status: status["services"][0]["in_step"])
        assert override_ids(status) == []
        (lifted,) = entries(node, "override_lifted")
        assert (lifted["data"]["id"], lifted["data"]["why"]) == (override["id"], "gasan is gone")
        assert set(status["services"][0]["sites"]) == {"pangyo", "anyang"}
        assert_record_holds(node)


@pytest.mark.servers
def test_a_reload_that_is_asked_for_during_the_start_waits_until_the_node_is_ready(tmp_path: Path) -> None:
    """The file may have changed after it was read; and a service manager takes death by SIGHUP for a clean end."""
    with running_node(tmp_path) as node:
        node.stop()
        node.launch()
        while not has_open(node, node.database):
            pass
        hang_up(node)
        document = document_of(node)
        document["policy"]["max_utilisation_percent"] = 80
        write(node, document)
        hang_up(node)
        node.until(lambda status: status["fresh"] and status["services"][0]["max_utilisation_pm"] == 800)


def test_a_polite_stop_leaves_the_data_plane_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    with node_behind_haproxy(tmp_path_factory.mktemp("stop"), UNMETERED) as world:
        assert_stops_in_mid_drain(world)


def assert_stops_in_mid_drain(world: BehindHaproxy) -> None:
    override = world.drain_under_way()
    assert world.node.stop() == 0
    left = world.weights()
    assert 0 < left["pangyo-1"] < 256
    assert not world.node.socket.exists()
    world.node.launch()
    first = world.node.until(lambda status: status["planes"]["lb"]["confirmed_generation"] is not None)
    assert override_ids(first) == [override["id"]]
    world.node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    world.until_haproxy_is_as_desired()
    stops = entries(world.node, "started")
    assert len(stops) == 2
    assert_record_holds(world.node)
