"""Forgetting is not knowing: what is found and not remembered is held, cause unknown, until a person has looked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import DOWN, PLANE, START_MS, WEB, A, G, P, Playbook, three_sites
from siteshift.core.explain import status_document, why_document
from siteshift.core.lifecycle.durable import FORMAT, remember
from siteshift.core.lifecycle.start import Past, start
from siteshift.core.messages.events import ReadBackArrived
from siteshift.core.messages.requests import AckRequest, DepoolRequest, DrainRequest, PoolRequest, SharesRequest, UndrainRequest
from siteshift.core.model.codes import LeftBecause, Severity, SiteLife, StandbyPhase
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.steering import ReadBack, Steering
from siteshift.core.model.units import EnactorId, MemberId
from siteshift.core.state.adoption import AdoptedFrom

BALANCER = EnactorId("haproxy")
MEMBER = MemberId("web/gasan/m1")


def forgetful(before: Playbook, past: Past) -> Playbook:
    """A node that starts again beside the same data planes; what is remembered of the embedded DNS is what it was given."""
    state = start(past, before.setup, now_ms=before.now_ms)
    given = state.steering if state.steering.generation else None
    planes = {name: given if name == PLANE else steering for name, steering in before.planes.items()}
    return Playbook(setup=before.setup, state=state, now_ms=before.now_ms, planes=planes, beliefs=dict(before.beliefs))


def drained(setup_planes: tuple[PlaneRef, ...] = ()) -> Playbook:
    setup = three_sites()
    if setup_planes:
        setup = replace(setup, planes=setup_planes)
    book = Playbook(setup=setup)
    book.run(5_000)
    assert book.ask(DrainRequest(site=P)).severity is Severity.ALLOWED
    book.run(60_000)
    assert book.life(P) is SiteLife.DRAINED
    return book


def both_planes() -> tuple[PlaneRef, ...]:
    return (PlaneRef(id=PLANE, services=(WEB,), answers_itself=True), PlaneRef(id=BALANCER, services=(WEB,)))


def copy_of(book: Playbook) -> Steering:
    return book.state.steering


LOST = "the store was damaged"


class TestTheStoreIsLost:
    def test_a_persons_drain_is_held_from_the_second_copy(self) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        assert book.shares() == before.shares()
        book.run(120_000)
        assert book.shares()[P] == 0
        assert book.life(P) is SiteLife.DRAINED
        assert book.state.track(WEB, P).left_because is LeftBecause.UNKNOWN
        assert book.violations == []

    def test_without_a_copy_what_the_planes_carry_is_held(self) -> None:
        before = drained(both_planes())
        book = forgetful(before, Past(lost=LOST))
        assert book.state.steering.generation == 0
        book.run(120_000)
        assert book.state.steering.generation >= before.state.steering.generation
        assert all(shares[P] == 0 for _, shares, _ in book.history)
        embedded = book.planes[PLANE]
        assert embedded is not None and embedded.of(WEB).shares_bp[P] == 0  # type: ignore[union-attr]
        assert book.violations == []

    def test_an_empty_store_beside_planes_that_carry_a_generation_is_no_new_installation(self) -> None:
        before = drained(both_planes())
        book = forgetful(before, Past())
        book.run(120_000)
        assert book.shares()[P] == 0
        assert book.state.adoption is not None

    def test_when_nothing_tells_what_was_nothing_returns_all_the_same(self) -> None:
        book = forgetful(Playbook(), Past(lost=LOST))
        book.run(10_000)
        assert book.shares() == {P: 5000, G: 3000, A: 2000}
        assert book.state.adoption is not None and book.state.adoption.found is AdoptedFrom.NOWHERE
        book.believe(P, DOWN)
        book.run(20_000)
        assert book.shares()[P] == 0
        book.believe(P, Playbook().beliefs[next(iter(Playbook().beliefs))])
        book.run(900_000, tick_ms=500)
        assert book.shares()[P] == 0

    def test_a_new_installation_starts_as_ever(self) -> None:
        book = forgetful(Playbook(), Past())
        book.run(10_000)
        assert book.shares() == {P: 5000, G: 3000, A: 2000}
        assert book.state.adoption is None
        assert "HELD_AS_ADOPTED" not in book.told()

    def test_a_dead_site_is_left_and_does_not_return_before_a_person_has_looked(self) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(10_000)
        book.believe(G, DOWN)
        book.run(20_000)
        assert book.shares()[G] == 0
        assert book.shares()[P] == 0
        book.believe(G, book.beliefs[book.setup.topology.pools[(WEB, A)].target])
        book.run(1_200_000, tick_ms=500)
        assert book.shares()[G] == 0
        assert book.ask(AckRequest()).severity is Severity.ALLOWED
        book.run(1_200_000, tick_ms=500)
        assert book.shares()[G] > 0 and book.shares()[P] > 0
        assert book.state.adoption is None
        assert book.violations == []

    def test_traffic_is_not_returned_to_what_was_found_out_even_when_all_else_is_dead(self) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(10_000)
        for site in (G, A):
            book.believe(site, DOWN)
        book.run(30_000)
        assert book.shares()[P] == 0

    def test_shares_that_a_person_forced_are_not_balanced_away(self) -> None:
        before = Playbook()
        before.run(5_000)
        forced = {P: 3000, G: 3500, A: 3500}
        assert before.ask(SharesRequest(service=WEB, shares_bp=forced)).severity is Severity.ALLOWED
        before.run(60_000)
        assert before.shares() == forced
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(300_000, tick_ms=500)
        assert book.shares() == forced

    def test_a_member_that_was_out_stays_out_until_a_person_has_looked(self) -> None:
        before = Playbook()
        before.run(5_000)
        assert before.ask(DepoolRequest(member=MEMBER)).severity is Severity.ALLOWED
        before.run(10_000)
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(60_000)
        assert MEMBER not in book.state.steering.of(WEB).members_pm  # type: ignore[union-attr]
        assert book.ask(PoolRequest(member=MEMBER)).severity is Severity.ALLOWED
        book.run(10_000)
        assert MEMBER in book.state.steering.of(WEB).members_pm  # type: ignore[union-attr]

    def test_a_standby_that_served_goes_on_serving(self) -> None:
        before = Playbook()
        before.run(5_000)
        before.believe(P, DOWN)
        before.run(30_000)
        assert before.state.standby(MemberId("web/gasan/s1")).phase is StandbyPhase.PROVEN
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(10_000)
        assert book.state.standby(MemberId("web/gasan/s1")).phase is StandbyPhase.PROVEN
        assert MemberId("web/gasan/s1") in book.state.steering.of(WEB).members_pm  # type: ignore[union-attr]

    def test_it_is_told_once_and_shown_as_long_as_it_holds(self) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(30_000)
        assert book.told().count("HELD_AS_ADOPTED") == 1
        assert len(book.recorded("adopted")) == 1
        status = status_document(book.state, book.setup, book.now_ms)
        assert status["adoption"]["why"] == LOST
        assert "siteshift ack" in status["adoption"]["remedy"]
        service = status["services"][0]
        assert service["sites"][P]["life"] == "held"
        assert "HELD_AS_ADOPTED" in {entry["code"] for entry in service["findings"]}
        lines = why_document(book.state, book.setup, P, book.now_ms)["services"][WEB]["lines"]
        assert any("HELD_AS_ADOPTED" in line for line in lines)

    @pytest.mark.parametrize("request_", [AckRequest(site=P), UndrainRequest(site=P)])
    def test_one_site_can_be_acknowledged_by_itself(self, request_: AckRequest | UndrainRequest) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(10_000)
        assert book.ask(request_).severity is Severity.ALLOWED
        assert book.state.adoption is not None and not book.state.is_held(WEB, P) and book.state.is_held(WEB, G)
        book.run(300_000, tick_ms=500)
        assert book.shares()[P] > 0
        assert book.violations == []

    def test_the_hold_outlives_another_restart(self) -> None:
        before = drained()
        book = forgetful(before, Past(copy=copy_of(before), lost=LOST))
        book.run(10_000)
        again = forgetful(book, Past(document=remember(book.state), copy=copy_of(book)))
        again.run(60_000)
        assert again.state.adoption is not None
        assert again.shares()[P] == 0
        assert "HELD_AS_ADOPTED" not in again.told()


class TestTheStoreIsOld:
    def test_a_backup_older_than_the_second_copy_does_not_undo_what_came_after(self) -> None:
        before = Playbook()
        before.run(5_000)
        backup = remember(before.state)
        before.ask(DrainRequest(site=P))
        before.run(60_000)
        book = forgetful(before, Past(document=backup, copy=copy_of(before)))
        book.run(120_000)
        assert book.shares()[P] == 0
        assert book.state.adoption is not None and "it is older" in book.state.adoption.why

    def test_a_backup_older_than_the_planes_does_not_undo_what_came_after(self) -> None:
        before = Playbook(setup=replace(three_sites(), planes=both_planes()))
        before.run(5_000)
        backup = remember(before.state)
        before.ask(DrainRequest(site=P))
        before.run(60_000)
        book = forgetful(before, Past(document=backup))
        book.run(120_000)
        assert book.shares()[P] == 0
        assert book.state.adoption is not None and book.state.adoption.found is AdoptedFrom.PLANES
        assert book.violations == []

    def test_a_journal_newer_than_the_state_holds_what_is_remembered(self) -> None:
        before = Playbook()
        before.run(5_000)
        document = remember(before.state)
        generation = before.state.steering.generation
        book = forgetful(before, Past(document=document, recorded_generation=generation + 3))
        assert book.state.adoption is not None and "the journal" in book.state.adoption.why

    def test_a_copy_older_than_the_store_is_of_no_account(self) -> None:
        before = Playbook()
        before.run(5_000)
        old = copy_of(before)
        before.ask(DrainRequest(site=P))
        before.run(60_000)
        book = forgetful(before, Past(document=remember(before.state), copy=old))
        assert book.state.adoption is None
        assert book.state.steering == before.state.steering

    def test_a_plane_that_is_ahead_of_us_is_taken_over_and_not_written_over(self) -> None:
        book = Playbook()
        book.run(1_000)
        shares = {WEB: {P: 0, G: 6000, A: 4000}}
        reading = ReadBack(enactor=PLANE, at_ms=book.now_ms, generation=41, shares_bp=shares)
        book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
        assert book.state.steering.generation == 41
        book.run(60_000)
        assert book.shares() == shares[WEB]
        assert book.violations == []


class TestFormats:
    def test_a_newer_format_is_refused_with_the_remedy(self) -> None:
        document = {**remember(Playbook().state), "format": FORMAT + 1}
        with pytest.raises(ValueError, match="newer siteshift"):
            start(Past(document=document), three_sites(), now_ms=START_MS)
