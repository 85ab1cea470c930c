"""What must be true of a node's record after anything: the chain holds, nothing is missing, nothing went back."""

from __future__ import annotations

from nodes.running_node import Document, RunningNode

ONE_NODE = 17
"""The law that a single node with a DNS server of its own cannot keep: what leaves its site lives in its site."""


def entries(node: RunningNode, *kinds: str) -> list[Document]:
    """Every entry of the journal, or those of some kinds, in order."""
    found: list[Document] = []
    choice = "".join(f"&kind={kind}" for kind in kinds)
    after = 0
    while True:
        page = node.ask("GET", f"/v1/journal?after={after}{choice}")[1]
        found += page["entries"]
        if not page["entries"]:
            return found
        after = page["after"]


def assert_record_holds(node: RunningNode) -> list[Document]:
    """The chain verifies, sequences have no hole, and generations only grow; all entries."""
    verdict = node.ask("GET", "/v1/journal/verify")[1]
    assert verdict["holds"], verdict
    found = entries(node)
    sequences = [entry["sequence"] for entry in found]
    assert sequences == list(range(1, len(sequences) + 1)), "the record has a hole"
    generations = [entry["data"]["generation"] for entry in found if entry["kind"] == "decision"]
    assert generations == sorted(set(generations)), "a generation was decided twice, or went back"
    broken = [entry["data"] for entry in found if entry["kind"] == "violation"]
    violations = [entry for entry in broken if entry["law"] != ONE_NODE]
    assert not violations, f"laws were broken: {violations}"
    return found


def override_ids(status: Document) -> list[str]:
    return [entry["id"] for entry in status["overrides"]]


def write_outcomes(node: RunningNode, generation: int) -> list[str]:
    """How every write of one generation ended, in order, as the core was told."""
    heard = [entry["data"]["event"] for entry in entries(node, "input")]
    results = [event["result"] for event in heard if "result" in event]
    return [result["outcome"] for result in results if result["generation"] == generation]
