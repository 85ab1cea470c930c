"""A real node whose store is damaged, deleted or taken away: nothing that people did is undone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.running_node import Document, NodeShape, RunningNode, running_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with running_node(tmp_path, NodeShape(members_per_site=1, member_rps=400)) as node:
        yield node


def drain(node: RunningNode) -> None:
    assert node.act("drain", site="pangyo", reason="fire alarm")[0] == 200
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["actual_bp"] == 0)


def is_held(status: Document) -> bool:
    row = status["services"][0]["sites"]["pangyo"]
    return bool(status["fresh"] and status["adoption"] and row["life"] == "held" and row["desired_bp"] == row["actual_bp"] == 0)


def damage(node: RunningNode) -> None:
    with node.database.open("r+b") as out:
        out.write(b"\0" * 4096)


def delete(node: RunningNode) -> None:
    for file in node.database.parent.glob("siteshift.db*"):
        if not file.name.endswith((".steering", ".lock")):
            file.unlink()


@pytest.mark.parametrize("lose", [damage, delete])
def test_a_drain_is_held_when_the_store_is_lost_however_often_the_node_is_started(
    node: RunningNode, lose: Callable[[RunningNode], None]
) -> None:
    drain(node)
    node.stop()
    lose(node)
    for _ in range(2):
        node.start()
        node.until(is_held)
        node.stop()
    node.start()
    assert node.act("ack", reason="looked at it")[0] == 200
    node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 5_000)
    assert node.status()["adoption"] is None


def test_a_node_whose_store_second_copy_and_lock_are_gone_says_that_it_starts_from_nothing(node: RunningNode) -> None:
    """Nothing can be read back from DNS in its own process: who drained has to know that nobody remembers it."""
    drain(node)
    node.stop()
    for file in node.database.parent.glob("siteshift.db*"):
        file.unlink()
    node.config.write_text(f"{node.config.read_text()}\nnotifiers: [{{id: log, kind: log}}]\n")
    node.start()
    node.until(lambda status: status["fresh"] and status["services"][0]["sites"]["pangyo"]["desired_bp"] == 5_000)
    assert "STARTED_FROM_NOTHING" in node.log_tail()
    kinds = [entry["kind"] for entry in node.ask("GET", "/v1/journal?kind=started_from_nothing")[1]["entries"]]
    assert kinds == ["started_from_nothing"]
    node.stop()
    node.start()
    assert len(node.ask("GET", "/v1/journal?kind=started_from_nothing")[1]["entries"]) == 1, "said once"


def test_a_database_deleted_while_the_node_runs_is_told_at_once_and_nothing_is_granted(node: RunningNode) -> None:
    drain(node)
    delete(node)
    node.until(lambda status: not status["store_usable"])
    assert "was deleted while it is open" in node.log_tail()
    status, answer = node.act("undrain", site="pangyo", reason="all clear")
    assert status != 200 and "STORE_LOST" in str(answer)
    assert node.ask("GET", "/readyz")[0] == 503
    node.stop()
    node.start()
    node.until(is_held)


def test_a_backup_put_back_does_not_undo_what_came_after_it(node: RunningNode, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with sqlite3.connect(node.database) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    drain(node)
    node.stop()
    delete(node)
    node.database.write_bytes(backup.read_bytes())
    node.start()
    found = node.until(is_held)
    assert "it is older" in found["adoption"]["why"]
