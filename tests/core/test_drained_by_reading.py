"""A site is drained only when what is read back says so (fault: a server set ready by hand after a drain)."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import PLANE, WEB, A, G, P, Playbook
from siteshift.core.explain import status_document
from siteshift.core.messages.events import ReadBackArrived
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import SiteLife
from siteshift.core.model.steering import Drift

HALF = {P: 5000, G: 2500, A: 2500}


def by_hand(book: Playbook) -> None:
    """Somebody makes the plane deliver half to Pangyo again, within our generation."""
    drift = Drift(enactor=PLANE, what="be_web/pangyo-s1", wanted="drain", found="ready", ours=True)
    reading = replace(book.reading(PLANE), shares_bp={WEB: HALF}, drifts=(drift,))
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))


def test_a_site_that_the_plane_still_delivers_to_is_not_drained() -> None:
    book = Playbook(is_metered=False)
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(15_000)
    assert book.shares()[P] == 0 and book.life(P) is SiteLife.DRAINING
    for _ in range(60):
        by_hand(book)
        book.run(1_000)
    assert book.life(P) is SiteLife.DRAINING
    assert "DRIFT" in book.told()
    assert book.violations == []


def test_a_hand_that_gives_a_drained_site_a_share_again_is_shown_and_not_written_over() -> None:
    """The life stays: were it draining again, a shorter TTL would be a new generation, and that would undo the hand (law 14)."""
    book = Playbook(is_metered=False)
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    assert book.life(P) is SiteLife.DRAINED
    generation = book.state.steering.generation
    by_hand(book)
    status = status_document(book.state, book.setup, book.now_ms)
    assert status["services"][0]["sites"][P]["life"] == "draining"
    for _ in range(10):
        book.run(1_000)
        by_hand(book)
    assert book.state.steering.generation == generation
    assert book.violations == []


def test_a_plane_that_cannot_read_shares_back_does_not_keep_a_site_from_being_drained() -> None:
    """Some planes carry the service and deliver nothing of it just now: that is no traffic."""
    book = Playbook(is_metered=False)
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(15_000)
    for _ in range(60):
        book.run(1_000)
        book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(PLANE), shares_bp={})))
    assert book.life(P) is SiteLife.DRAINED
