"""A site that answers nothing is closed to everybody; one that people drain still serves those who belong there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, PLANE, SICK, UP, WEB, A, G, Mode, P, Playbook, three_sites
from siteshift.core.messages.commands import Enact
from siteshift.core.messages.events import ReadBackArrived
from siteshift.core.messages.requests import DrainRequest, UndrainRequest
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.steering import ReadBack, ServiceSteering
from siteshift.core.model.units import EnactorId, SiteId
from siteshift.core.state.codec import from_document, to_document


def dead_sites(book: Playbook) -> frozenset[SiteId]:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    return entry.dead_sites


def begun(**policy: object) -> Playbook:
    book = Playbook(setup=three_sites(**policy))
    book.run(5_000)
    return book


def test_a_dead_site_is_left_and_closed_in_one_generation() -> None:
    book = begun()
    before = book.state.steering.generation
    book.believe(P, DOWN)
    book.run(2_000)
    assert (book.shares()[P], dead_sites(book)) == (0, {P})
    steered = [c for c in book.recorded("decision") if int(str(c.data["generation"])) > before]
    left = next(c for c in steered for s in c.data["services"] if s["after_bp"][P] == 0)  # type: ignore[attr-defined]
    assert left.data["services"][0]["dead_sites"] == [P]  # type: ignore[index]
    assert book.violations == []


def test_a_planned_drain_closes_nothing() -> None:
    book = begun()
    book.ask(DrainRequest(site=P))
    book.run(120_000)
    assert (book.shares()[P], dead_sites(book)) == (0, frozenset())


def test_a_sick_site_is_left_and_not_closed() -> None:
    """It answers most: whom a cookie leads there is better served than torn away."""
    book = begun()
    book.believe(P, SICK)
    book.run(120_000)
    assert (book.shares()[P], dead_sites(book)) == (0, frozenset())


def test_a_drained_site_that_dies_is_closed() -> None:
    book = begun()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(3_000)
    assert dead_sites(book) == {P}
    assert book.violations == []


def test_a_closed_site_opens_with_its_first_share_and_not_before() -> None:
    book = begun(hold_down_ms=30_000)
    book.believe(P, DOWN)
    book.run(5_000)
    book.believe(P, UP)
    opened_ms = None
    for _ in range(300):
        book.run(1_000)
        assert (P in dead_sites(book)) == (book.shares()[P] == 0)
        if opened_ms is None and book.shares()[P]:
            opened_ms = book.now_ms
    assert opened_ms is not None
    assert book.violations == []


def test_when_a_drained_site_that_died_is_well_and_undrained_it_opens() -> None:
    book = begun(hold_down_ms=30_000)
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(5_000)
    book.believe(P, UP)
    book.run(60_000)
    assert dead_sites(book) == {P}, "still drained: nobody is led back before the ramp"
    book.ask(UndrainRequest(site=P))
    book.run(300_000)
    assert book.shares()[P] > 0
    assert dead_sites(book) == frozenset()


@pytest.mark.parametrize("order", [(P, G, A), (A, G, P), (G, P, A)])
def test_the_last_site_is_never_closed(order: tuple[SiteId, ...]) -> None:
    book = begun()
    for site in order:
        book.believe(site, DOWN)
        book.run(20_000)
    open_sites = {site for site, bp in book.shares().items() if bp > 0}
    assert open_sites
    assert not open_sites & dead_sites(book)
    assert book.violations == []


def test_what_is_shed_for_want_of_room_does_not_keep_a_dead_site_open() -> None:
    """Until standbys serve, a part is shed where it was. What answers it, or whether nothing does, is the plane's business."""
    book = begun()
    book.believe(P, DOWN)
    book.run(1_500)
    entry = book.state.steering.of(WEB)
    assert entry is not None
    assert (entry.shed_at, entry.dead_sites) == (P, {P})


def test_when_all_sites_die_at_once_none_is_closed() -> None:
    book = begun()
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.run(60_000)
    assert dead_sites(book) == frozenset()
    assert book.violations == []


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RECOMMEND])
def test_where_siteshift_may_not_act_nothing_is_closed(mode: Mode) -> None:
    book = begun(mode=mode)
    book.believe(P, DOWN)
    book.run(20_000)
    assert (book.shares()[P], dead_sites(book)) == (5_000, frozenset())


def test_what_is_closed_is_part_of_the_digest_and_survives_the_store() -> None:
    plain = ServiceSteering(service=WEB, shares_bp={P: 0, G: 10_000}, members_pm={}, ttl_s=5)
    closed = replace(plain, dead_sites=frozenset({P, A}))
    assert closed.line() == f"{plain.line()} dead={A},{P}"
    assert from_document(ServiceSteering, to_document(closed)) == closed
    old = {key: value for key, value in to_document(plain).items() if key != "dead_sites"}
    assert from_document(ServiceSteering, old) == plain


def test_a_site_that_a_plane_gives_a_share_to_is_not_closed_by_the_others_when_that_is_taken_over() -> None:
    """What is adopted of a plane that is ahead of us is its shares: the site we remember as dead has one there."""
    balancer = EnactorId("haproxy")
    setup = three_sites()
    book = Playbook(setup=replace(setup, planes=(*setup.planes, PlaneRef(id=balancer, services=(WEB,)))))
    book.run(5_000)
    book.believe(P, DOWN)
    book.run(30_000)
    assert dead_sites(book) == {P}
    book.believe(P, UP)
    book.run(2_000)
    before, shares = len(book.commands), {WEB: {P: 5000, G: 3000, A: 2000}}
    reading = ReadBack(enactor=PLANE, at_ms=book.now_ms, generation=41, shares_bp=shares)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
    book.run(20_000)
    written = [(c.enactor, c.steering.of(WEB)) for c in book.commands[before:] if isinstance(c, Enact)]
    assert balancer in {name for name, _ in written}
    assert [name for name, entry in written if entry and any(entry.shares_bp.get(s, 0) for s in entry.dead_sites)] == []
    assert book.shares() == shares[WEB]
