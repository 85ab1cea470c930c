"""Approvals on a real node, with two people: taken back midway, and a node ended between approval and first step."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.node.records import assert_record_holds, entries
from nodes.running_node import FAST, SERVICE, Document, NodeShape, RunningNode, running_node

PEOPLE = {"kim": "operator", "lee": "approver"}
SETTLE_S = 3
"""Steps are this far apart: there is time to do something between two of them."""
CROWDED = {"service": SERVICE, "shares_bp": {"pangyo": 9_600, "gasan": 200, "anyang": 200}, "reason": "test"}
"""192 rps to a site that carries 200: beyond the limit of 90 %, so it takes another person."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder: Path = tmp_path_factory.mktemp("approvals")
    tokens = []
    for person, role in PEOPLE.items():
        (folder / person).write_text(token(person), encoding="utf-8")
        (folder / person).chmod(0o600)
        tokens.append({"owner": person, "role": role, "secret": f"file:{folder / person}"})
    api = {"unix": {"path": str(folder / "api.sock")}, "tokens": tokens}
    shape = NodeShape(policy={**FAST, "settle_s": SETTLE_S}, sections={"api": api})
    with running_node(folder, shape) as node:
        yield node


@pytest.fixture
def node(shared: RunningNode) -> RunningNode:
    shared.calm()
    return shared


def token(person: str) -> str:
    return f"token-of-{person}-0123456789"


def asked(node: RunningNode, person: str, act: str, body: dict[str, Any]) -> tuple[int, Document]:
    """One act by the owner of a token."""
    connection = node.connection()
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Authorization": f"Bearer {token(person)}"}
    try:
        connection.request("POST", f"/v1/{act}", json.dumps(body).encode(), headers)
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def crowded_by_two(node: RunningNode) -> str:
    """kim asks and confirms, lee approves; the digest."""
    _, looked = asked(node, "kim", "shares", {**CROWDED, "dry_run": True})
    digest = str(looked["offer"]["digest"])
    kept, waiting = asked(node, "kim", "shares", {**CROWDED, "digest": digest})
    assert (kept, waiting["code"]) == (409, "CAPACITY_SHORT"), waiting
    granted, answer = asked(node, "lee", "approve", {"digest": digest})
    assert granted == 200, answer
    return digest


def goal(node: RunningNode, digest: str) -> Document:
    """The goal under this digest."""
    found = [entry for entry in node.ask("GET", "/v1/approvals")[1]["goals"] if entry["digest"] == digest]
    assert len(found) == 1, found
    return dict(found[0])


def approved_and_not_begun(node: RunningNode) -> str:
    """Approved while the step before is still watched. On a busy machine that may take more than one attempt."""
    for attempt in range(10):
        node.calm()
        share_bp = 4_800 - attempt
        shares = {"pangyo": share_bp, "gasan": 3_100, "anyang": 2_100 + attempt}
        assert asked(node, "kim", "shares", {"service": SERVICE, "shares_bp": shares, "reason": "a step before"})[0] == 200
        node.until(lambda status, bp=share_bp: pangyo(status) == bp)  # type: ignore[misc]
        digest = crowded_by_two(node)
        if not goal(node, digest)["is_started"]:
            return digest
    raise AssertionError("every first step was made before anybody could look")


def pangyo(status: Document) -> int:
    return int(status["services"][0]["sites"]["pangyo"]["desired_bp"])


def test_an_approval_that_is_taken_back_midway_leaves_everything_where_it_is(node: RunningNode) -> None:
    digest = crowded_by_two(node)
    node.until(lambda status: pangyo(status) > 5_000)
    code, answer = asked(node, "lee", "revoke", {"digest": digest})
    assert code == 200, answer
    held = pangyo(node.status())
    assert 5_000 < held < 9_600
    revoked_ms = node.status()["at_ms"]
    status = node.until(lambda status: status["at_ms"] > revoked_ms + 3_000 * SETTLE_S)
    assert pangyo(status) == held, "nothing moves, and nothing is reversed"
    assert "ENVELOPE_LEFT" in {entry["code"] for entry in status["services"][0]["findings"]}
    found = goal(node, digest)
    assert (found["state"], found["left"]["field"], found["approvals"][0]["state"]) == ("suspended", "approvals", "revoked")
    fresh = found["fresh"]["digest"]
    assert asked(node, "kim", "shares", {**CROWDED, "digest": fresh})[0] == 409
    assert asked(node, "lee", "approve", {"digest": fresh})[0] == 200
    node.until(lambda status: pangyo(status) == 9_600)
    assert [entry["data"]["state"] for entry in entries(node, "approval")][-3:] == ["given", "revoked", "given"]
    assert_record_holds(node)


def test_a_node_ended_between_approval_and_first_step_goes_on_as_approved(node: RunningNode) -> None:
    digest = approved_and_not_begun(node)
    node.kill()
    node.start()
    found = goal(node, digest)
    assert [entry["person"] for entry in found["approvals"]] == ["lee"]
    node.until(lambda status: pangyo(status) == 9_600)
    node.until(lambda _: goal(node, digest)["state"] == "reached")
    assert goal(node, digest)["approvals"][0]["state"] == "used"
    assert_record_holds(node)
