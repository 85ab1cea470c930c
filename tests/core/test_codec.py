"""Core values as documents and back: what a journal keeps of the state, the replay reads again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from core.playbook import WEB, P, Playbook
from siteshift.core.lifecycle.durable import recorded
from siteshift.core.model.codes import SiteLife
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.codec import from_document, to_document
from siteshift.core.state.tracks import SiteTrack, TrafficTrack


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


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        (SiteLife, "gone", "$: 'gone' is no SiteLife"),
        (SiteLife, ["serving"], "$: ['serving'] is no SiteLife"),
        (SiteTrack, {"life": "gone"}, "$.life: 'gone' is no SiteLife"),
        (Mapping[SiteLife, int], {"gone": 1}, "$.gone: 'gone' is no SiteLife"),
        (Mapping[tuple[ServiceId, SiteId], int], {"web": 1}, "$: expected a key of 2 names, found 'web'"),
        (tuple[str, int], ["one"], "$: expected 2 values, found 1"),
        (tuple[str, int], ["one", 2, 3], "$: expected 2 values, found 3"),
        (float, True, "$: expected float, found bool"),
    ],
)
def test_whatever_has_the_wrong_shape_is_named_by_its_path(kind: Any, document: object, said: str) -> None:
    """A pair of one value was one value, and what no enumeration has was told without its place."""
    with pytest.raises(ValueError) as found:
        from_document(kind, document)
    assert str(found.value) == said
