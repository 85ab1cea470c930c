"""A data plane that is configured to make something else of the same steering is written again, by reload and by restart."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from integration.node.behind_bind import SITES, answers_of, node_behind_bind
from integration.node.behind_haproxy import UNMETERED, node_behind_haproxy
from integration.node.records import assert_record_holds, entries
from nodes.running_node import Document, RunningNode

pytestmark = pytest.mark.servers
MOVED = {site: [f"127.1.{SITES.index(site) + 1}.{number}" for number in range(1, 7)] for site in SITES}
"""Addresses that users of a site are given from now on."""


def reload(node: RunningNode) -> None:
    assert node.process is not None
    before = node.status()["setup"]
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda status: status["setup"] != before)


def restart(node: RunningNode) -> None:
    node.stop()
    node.start()


def rewrite(node: RunningNode, change: Callable[[Document], object]) -> None:
    document = yaml.safe_load(node.config.read_text())
    change(document)
    node.config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize("take", [reload, restart])
def test_bind_gives_out_the_addresses_that_the_file_has_now(tmp_path: Path, take: Callable[[RunningNode], None]) -> None:
    with node_behind_bind(tmp_path) as world:
        world.node.until(lambda status: status["services"][0]["in_step"])
        assert world.bind.addresses() & set(answers_of("gasan"))

        def move(document: Document) -> None:
            for pool in document["services"][0]["pools"]:
                pool["answers"] = MOVED[pool["site"]]

        rewrite(world.node, move)
        take(world.node)
        new = {address for answers in MOVED.values() for address in answers}
        world.node.until(lambda _: world.bind.addresses() <= new)
        decided = entries(world.node, "decision")[-1]["data"]
        assert decided["mapped_anew"] == ["bind"]
        generation = world.node.status()["generation"]
        reload_unchanged(world.node)
        assert world.node.status()["generation"] == generation, "and not once more without a reason"
        assert_record_holds(world.node)


def reload_unchanged(node: RunningNode) -> None:
    assert node.process is not None
    before = len(entries(node, "reload"))
    node.process.send_signal(signal.SIGHUP)
    node.until(lambda _: len(entries(node, "reload")) > before)


@pytest.mark.parametrize("take", [reload, restart])
def test_haproxy_gets_the_weights_of_the_capacities_that_the_file_has_now(
    tmp_path: Path, take: Callable[[RunningNode], None]
) -> None:
    with node_behind_haproxy(tmp_path, UNMETERED) as world:
        world.until_haproxy_is_as_desired()
        before = world.weights()
        assert before["gasan-1"] == before["gasan-2"]

        def strengthen(document: Document) -> None:
            for pool in document["services"][0]["pools"]:
                for member in pool["members"]:
                    if member["name"] == "gasan-1":
                        member["capacity_rps"] *= 3

        rewrite(world.node, strengthen)
        take(world.node)
        world.node.until(lambda _: world.weights()["gasan-1"] > 2 * world.weights()["gasan-2"] > 0)
        world.until_haproxy_is_as_desired()
        assert_record_holds(world.node)
