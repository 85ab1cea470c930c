"""A person can always brake: whatever is under way or stands in the way, a freeze and a mode are granted."""

from __future__ import annotations

import pytest

from core.playbook import DOWN, SICK, WEB, A, G, P, Playbook, three_sites
from siteshift.core.messages.requests import DrainRequest, FreezeRequest, ModeRequest, Request, UndrainRequest
from siteshift.core.model.codes import Mode, Severity

BRAKES: tuple[Request, ...] = (
    FreezeRequest(service=WEB),
    FreezeRequest(),
    ModeRequest(service=WEB, mode=Mode.OBSERVE),
    ModeRequest(service=WEB, mode=Mode.RECOMMEND),
)


@pytest.fixture
def book() -> Playbook:
    book = Playbook(setup=three_sites())
    book.run(10_000)
    return book


@pytest.mark.parametrize("brake", BRAKES)
def test_while_a_site_comes_back(book: Playbook, brake: Request) -> None:
    book.ask(DrainRequest(site=A))
    book.run(60_000)
    book.ask(UndrainRequest(site=A))
    book.run(500)
    assert book.ask(brake).severity is Severity.ALLOWED


@pytest.mark.parametrize("brake", BRAKES)
def test_while_a_sick_site_is_being_left(book: Playbook, brake: Request) -> None:
    book.believe(P, SICK)
    book.run(1_000)
    assert book.ask(brake).severity is Severity.ALLOWED
    assert len(book.state.overrides) == 1


@pytest.mark.parametrize("brake", BRAKES)
def test_while_nothing_is_left_to_serve(book: Playbook, brake: Request) -> None:
    for site in (P, G, A):
        book.believe(site, DOWN)
        book.run(2_000)
    assert book.ask(brake).severity is Severity.ALLOWED


def test_observe_stops_the_way_back_at_once(book: Playbook) -> None:
    book.ask(DrainRequest(site=A))
    book.run(60_000)
    book.ask(UndrainRequest(site=A))
    book.run(5_000)
    book.ask(ModeRequest(service=WEB, mode=Mode.OBSERVE))
    held = book.shares()
    book.run(120_000)
    assert book.shares() == held
