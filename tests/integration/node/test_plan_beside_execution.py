"""On real data planes: the steps a dry run shows are the steps the journal has afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.node.behind_bind import node_behind_bind
from integration.node.behind_haproxy import node_behind_haproxy
from integration.node.records import assert_record_holds, entries
from nodes.running_node import SERVICE, Document, NodeShape, RunningNode, running_node

pytestmark = pytest.mark.servers

WHY = {"reason": "plan beside execution"}
ACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("shares", {"service": SERVICE, "shares_bp": {"pangyo": 4000, "gasan": 3000, "anyang": 3000}}),
    ("depool", {"member": f"{SERVICE}/pangyo/pangyo-1"}),
    ("drain", {"site": "pangyo"}),
    ("undrain", {"site": "pangyo"}),
)
TOLD = ("move", "pool", "depool")
"""Steps that are compared; when a TTL is restored hangs on seconds, and is no matter of a plan."""


@contextmanager
def behind(plane: str, folder: Path) -> Iterator[RunningNode]:
    """A node behind one kind of real data plane."""
    match plane:
        case "BIND":
            with node_behind_bind(folder) as bind:
                yield bind.node
        case "HAProxy":
            with node_behind_haproxy(folder) as haproxy:
                yield haproxy.node
        case _:
            with running_node(folder, NodeShape(policy={"settle_s": 1})) as node:
                yield node


def planned(node: RunningNode, act: str, body: Document) -> list[Document]:
    code, answer = node.act(act, dry_run=True, **body)
    assert code == 200 and answer["plans"], answer
    steps = [step for step in answer["plans"][0]["steps"] if step["kind"] in TOLD]
    return [{"step": step["kind"], "after_bp": step["after_bp"], "members": step["weights_pm"]} for step in steps]


def done(node: RunningNode, since: int) -> list[Document]:
    parts = [part for entry in entries(node, "decision")[since:] for part in entry["data"]["services"]]
    return [{key: part[key] for key in ("step", "after_bp", "members")} for part in parts if part.get("step") in TOLD]


@pytest.mark.parametrize("plane", ["BIND", "HAProxy", "embedded DNS"])
def test_what_a_dry_run_shows_is_what_the_journal_has_afterwards(plane: str, tmp_path: Path) -> None:
    with behind(plane, tmp_path) as node:
        for act, arguments in ACTS:
            if act != "undrain":
                node.calm()
            body = {**arguments, **WHY}
            since = len(entries(node, "decision"))
            wanted = planned(node, act, body)
            code, answer = node.act(act, **body)
            assert code == 200, answer
            try:
                node.until(lambda _, since=since, wanted=wanted: len(done(node, since)) >= len(wanted) > 0, deadline_s=120)
            finally:
                assert done(node, since) == wanted, act
            end = {"drain": "drained", "undrain": "serving"}.get(act)
            if end is not None:
                node.until(lambda status, end=end: status["sites"]["pangyo"]["life"] == end, deadline_s=120)
                assert done(node, since) == wanted, f"{act}: something followed that was not planned"
        assert not entries(node, "plan_changed")
        assert_record_holds(node)
