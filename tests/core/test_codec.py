"""Core values as documents and back: what a journal keeps of the state, the replay reads again."""

from __future__ import annotations

import json

import pytest

from core.playbook import WEB, P, Playbook
from siteshift.core.lifecycle.durable import recorded
from siteshift.core.state.codec import from_document, to_document
from siteshift.core.state.tracks import TrafficTrack


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def test_the_whole_state_reads_back_as_it_was_written(book: Playbook) -> None:
    """With what was measured too: named tuples are written by name as dataclasses are."""
    assert book.state.traffic
    assert recorded(json.loads(json.dumps(to_document(book.state)))) == book.state


def test_a_named_tuple_takes_its_defaults_for_what_an_older_record_lacks_and_nothing_it_does_not_know() -> None:
    document = {"type": "TrafficTrack", "at_ms": 1, "rate_mrps": 2, "last_mrps": 3, "unheard_of": 4}
    assert from_document(TrafficTrack, document) == TrafficTrack(at_ms=1, rate_mrps=2, last_mrps=3)


def test_a_named_tuple_without_what_it_needs_is_named(book: Playbook) -> None:
    document = to_document(book.state.traffic[(WEB, P)])
    del document["rate_mrps"]
    with pytest.raises(ValueError, match=r"^\$: rate_mrps is missing$"):
        from_document(TrafficTrack, document)
