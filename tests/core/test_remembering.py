"""What cannot be remembered is not granted, and what a plane told of its generation is not forgotten."""

from __future__ import annotations

import pytest

from core.playbook import PLANE, WEB, P, Playbook, three_sites
from siteshift.core.messages.events import EnactFinished, StoreChanged
from siteshift.core.messages.requests import FreezeRequest, LiftRequest, ModeRequest, Request, SwitchOffRequest, UndrainRequest
from siteshift.core.model.codes import EnactOutcome, FindingCode, Mode, Severity
from siteshift.core.model.steering import EnactResult
from siteshift.core.state.plane_queries import highest_found


@pytest.fixture
def book() -> Playbook:
    book = Playbook(setup=three_sites())
    book.run(10_000)
    return book


@pytest.mark.parametrize(
    "request_", [FreezeRequest(), ModeRequest(service=WEB, mode=Mode.OBSERVE), UndrainRequest(site=P), LiftRequest(override="o1")]
)
def test_without_the_store_nothing_is_granted_that_must_be_remembered(book: Playbook, request_: Request) -> None:
    book.ask(FreezeRequest(service=WEB))
    held = book.state.overrides
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=False))
    answer = book.ask(request_)
    assert answer.severity is Severity.REFUSED
    assert FindingCode.STORE_LOST in {entry.code for entry in answer.findings}
    assert book.state.overrides == held


def test_the_off_switch_works_without_the_store(book: Playbook) -> None:
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=False))
    assert book.ask(SwitchOffRequest()).severity is Severity.ALLOWED
    assert book.state.is_switched_off


def test_a_refusal_that_names_a_newer_generation_is_numbered_past_once_the_plane_was_read(book: Playbook) -> None:
    """A write cut off half-way leaves such a number, and nobody carries it whole. We have forgotten it: what is read is held."""
    ours = book.state.steering.generation
    stale = EnactResult(
        enactor=PLANE, generation=ours, outcome=EnactOutcome.STALE, at_ms=book.now_ms, found_generation=ours + 7
    )
    book.feed(EnactFinished(at_ms=book.now_ms, result=stale))
    assert highest_found(book.state) >= ours + 7
    assert book.state.steering.generation == ours
    book.run(1_000)
    assert book.state.steering.generation == ours + 8
    assert book.state.adoption is not None
