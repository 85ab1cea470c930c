"""A disk that is full under the journal: the node holds still, says so, goes on seeing and answering, and acts later."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import pytest

from integration.node.records import assert_record_holds, entries, override_ids
from nodes.running_node import DEADLINE_S, Document, NodeShape, RunningNode, running_node
from siteshift.app.offline import read_record
from siteshift.replay.as_recorded import AsRecorded, fold
from siteshift.replay.rows import rows_of

SIZE_MIB = 4
BALLAST_BYTES = 64 * 1024


@dataclass(slots=True)
class TightDisk:
    """A node whose state lies on a file system of a few megabytes."""

    node: RunningNode
    directory: Path

    @property
    def _ballast(self) -> Path:
        return self.directory / "ballast"

    def fill(self) -> None:
        """Take every byte there is."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (BALLAST_BYTES, 4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TightDisk]:
    with tight_disk(tmp_path_factory.mktemp("disk"), NodeShape()) as found:
        yield found


@pytest.fixture
def terse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TightDisk]:
    """A node that lets only ten rows wait."""
    with tight_disk(tmp_path_factory.mktemp("terse"), NodeShape(sections={"limits": {"journal_rows": 10}})) as found:
        yield found


@contextmanager
def tight_disk(folder: Path, shape: NodeShape) -> Iterator[TightDisk]:
    state = folder / "state"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", state], capture_output=True, text=True, check=False
    )
    assert mounted.returncode == 0, f"mounting needs root: {mounted.stderr}"
    try:
        with running_node(folder, shape) as node:
            yield TightDisk(node=node, directory=state)
    finally:
        subprocess.run(["umount", "--lazy", state], check=True)


def addresses(node: RunningNode) -> set[str]:
    """What the node's DNS server says."""
    query = dns.message.make_query("www.shop.test", "A")
    reply = dns.query.udp(query, "127.0.0.1", port=node.dns_port, timeout=DEADLINE_S)
    return {item.address for rrset in reply.answer for item in rrset}


def codes(status: Document) -> set[str]:
    return {entry["code"] for entry in status["services"][0]["findings"]}


def test_a_full_disk_holds_the_steering_still_until_there_is_room(tight: TightDisk) -> None:
    node = tight.node
    kept = node.act("freeze", reason="kept before the disk was full", service="shop")[1]["override"]
    node.act("lift", override=kept["id"])
    kept = node.act("depool", member="shop/anyang/anyang-2", reason="kept before the disk was full")[1]["override"]
    before = node.until(lambda status: status["services"][0]["in_step"])
    tight.fill()
    for name in ("pangyo-1", "pangyo-2"):
        node.members.stop(name)

    node.until(lambda status: not status["store_usable"])
    assert node.ask("GET", "/readyz")[0] == 503
    status = node.until(lambda status: "STORE_LOST" in codes(status))
    assert status["sites"]["pangyo"]["standing"] == "down", "it goes on probing and judging"
    assert status["generation"] == before["generation"]
    assert status["services"][0]["sites"]["pangyo"]["desired_bp"] == 5_000
    assert status["sites"]["pangyo"]["life"] == "held"
    assert override_ids(status) == [kept["id"]]
    assert node.ask("GET", "/healthz")[0] == 200
    assert addresses(node), "DNS is answered as before"
    seen = {address for _ in range(40) for address in addresses(node)}
    assert "127.0.1.1" in seen, "the last good steering stays"
    assert any("STORE_LOST" in line for line in node.ask("GET", "/v1/why/pangyo")[1]["services"]["shop"]["lines"])

    code, answer = node.act("drain", site="gasan", reason="cannot be remembered")
    assert code != 200, answer

    tight.make_room()
    status = node.until(lambda status: status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0)
    assert status["store_usable"]
    assert override_ids(status) == [kept["id"]]
    node.until(lambda status: "STORE_LOST" not in codes(status))
    assert node.ask("GET", "/readyz")[0] == 200
    record = assert_record_holds(node)
    told = [entry for entry in record if entry["kind"] == "store"]
    assert [entry["data"]["usable"] for entry in told] == [False, True]
    between = [entry for entry in record if told[0]["sequence"] < entry["sequence"] < told[1]["sequence"]]
    assert any(entry["kind"] == "belief" for entry in between), "what was seen meanwhile is on record too"
    assert not [entry for entry in between if entry["kind"] == "decision"]


def test_what_was_remembered_before_the_disk_filled_survives_a_power_cut(tight: TightDisk) -> None:
    node = tight.node
    override = node.act("drain", site="pangyo", reason="test")[1]["override"]
    drained = node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
    tight.fill()
    node.until(lambda status: not status["store_usable"])
    node.kill()
    tight.make_room()
    node.start()
    status = node.status()
    assert override_ids(status) == [override["id"]]
    assert status["generation"] >= drained["generation"]
    assert status["services"][0]["sites"]["pangyo"]["desired_bp"] == 0
    assert_record_holds(node)
    assert [entry["kind"] for entry in entries(node, "started")] == ["started"] * 2


def folded(database: Path) -> AsRecorded:
    """The record, decided again."""

    async def read() -> AsRecorded:
        return fold(rows_of([entry async for entry in read_record(database)]))

    return asyncio.run(read())


def test_what_is_heard_in_a_long_loss_is_counted_and_the_record_goes_on_behind_the_gap(terse: TightDisk) -> None:
    node = terse.node
    terse.fill()
    for name in ("gasan-1", "gasan-2"):
        node.members.stop(name)
    before = node.until(lambda status: not status["store_usable"])
    assert not before["record"]["has_gap"]
    for _ in range(20):
        node.members.stop("pangyo-1")
        node.until(lambda status: status["sites"]["pangyo"]["standing"] != "up")
        node.members.start("pangyo-1")
        status = node.until(lambda status: status["sites"]["pangyo"]["standing"] == "up")
        if status["record"]["has_gap"]:
            break
    assert status["record"]["has_gap"]
    assert status["record"]["waiting_rows"] < 40, "what waits is bounded"
    assert status["generation"] == before["generation"], "nothing is moved that could not be put on record"
    assert "only counted until the store takes rows again" in node.log.read_text(), "it is said"

    terse.make_room()
    status = node.until(lambda status: status["store_usable"] and not status["record"]["has_gap"])
    node.until(lambda status: status["services"][0]["sites"]["gasan"]["desired_bp"] == 0)
    record = assert_record_holds(node)
    gap = next(number for number, entry in enumerate(record) if entry["kind"] == "gap")
    assert record[gap]["data"]["rows"] == status["record"]["summarised_rows"]
    assert record[gap + 1]["kind"] == "state"
    proof = folded(node.database)
    assert (proof.starts, proof.gaps) == (1, 1)
    assert proof.decisions > 1
    assert not proof.mismatches, "the record can be replayed on both sides of the gap"
