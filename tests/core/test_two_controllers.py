"""Two controllers on one data plane: the other is named, nothing is written, nobody's generations climb; a person decides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from core.playbook import PLANE, WEB, G, P, Playbook, three_sites
from siteshift.core.explain import status_document, why_document
from siteshift.core.messages.commands import Enact
from siteshift.core.messages.events import EnactFinished, ReadBackArrived
from siteshift.core.messages.requests import AckRequest, DrainRequest
from siteshift.core.model.codes import EnactOutcome, FindingCode, Severity
from siteshift.core.model.mark import MarkClaim, Origin, PlaneMark, claim_of
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.units import EnactorId, VantageId
from siteshift.core.state.tracks import PlaneStanding

OTHER = Origin(cluster="other", node="c9")
THEIRS = PlaneMark(generation=70, term=1, origin=OTHER)


@dataclass
class Shared(Playbook):
    """A playbook whose plane carries marks, as the real ones do. ``carried`` is shared by all who write to it."""

    carried: dict[EnactorId, tuple[PlaneMark, Steering | None]] = field(default_factory=dict)

    def own(self, steering: Steering) -> PlaneMark:
        return PlaneMark(generation=steering.generation, term=steering.term, origin=self.setup.origin)

    def _carry_out(self, command: object) -> None:
        if not isinstance(command, Enact):
            super()._carry_out(command)  # type: ignore[arg-type]
            return
        found = self.carried.get(command.enactor)
        own = self.own(command.steering)
        claim = claim_of(found[0] if found else None, own, taken_over=command.steering.taken_over)
        outcome = {
            MarkClaim.FREE: EnactOutcome.APPLIED,
            MarkClaim.NEWER: EnactOutcome.STALE,
            MarkClaim.FOREIGN: EnactOutcome.REFUSED,
        }[claim]
        if claim is MarkClaim.FREE:
            self.carried[command.enactor] = (own, command.steering)
            self.planes[command.enactor] = command.steering
        result = EnactResult(
            enactor=command.enactor,
            generation=command.steering.generation,
            outcome=outcome,
            at_ms=self.now_ms,
            found_generation=found[0].generation if found and claim is MarkClaim.NEWER else None,
            found_mark=found[0] if found and claim is MarkClaim.FOREIGN else None,
        )
        self._soon(20, EnactFinished(at_ms=self.now_ms, result=result))

    def reading(self, enactor: EnactorId) -> ReadBack:
        mark, steering = self.carried.get(enactor, (None, None))
        is_ours = mark is None or mark.origin in (None, self.setup.origin)
        shares = {e.service: dict(e.shares_bp) for e in steering.services} if steering else {WEB: {P: 10_000}} if mark else {}
        return ReadBack(
            enactor=enactor,
            at_ms=self.now_ms,
            generation=mark.generation if mark is not None and is_ours else None,
            shares_bp=shares,
            mark=mark,
        )


def signed(cluster: str = "shop", node: str = "c1") -> Setup:
    return replace(three_sites(), cluster=cluster, node=VantageId(node))


@pytest.fixture
def book() -> Shared:
    book = Shared(setup=signed(), carried={PLANE: (THEIRS, None)})
    book.run(30_000)
    return book


def test_another_clusters_mark_is_named_and_nothing_is_written(book: Shared) -> None:
    assert book.carried[PLANE][0] == THEIRS
    assert not any(isinstance(command, Enact) for command in book.commands)
    assert book.told().count("PLANE_FOREIGN") == 1
    assert book.state.plane(PLANE).standing is PlaneStanding.FOREIGN
    assert book.state.adoption is None
    status = status_document(book.state, book.setup, book.now_ms)
    assert status["planes"][PLANE]["foreign"] == THEIRS.text()
    found = {entry["code"]: entry for entry in status["services"][0]["findings"]}
    assert "siteshift ack --plane dns" in found["PLANE_FOREIGN"]["text"]
    lines = why_document(book.state, book.setup, G, book.now_ms)["services"][WEB]["lines"]
    assert any("node c9 of cluster other" in line for line in lines)
    assert book.violations == []


def test_a_drain_that_a_foreign_plane_would_not_follow_says_so_before_anything_is_granted(book: Shared) -> None:
    answer = book.ask(DrainRequest(site=G))
    assert answer.severity is Severity.NEEDS_APPROVAL
    (found,) = (entry for entry in answer.findings if entry.code is FindingCode.DATA_PLANE_UNKNOWN)
    assert "dns would not follow, another controller holds it (generation 70 of term 1 by node c9 of cluster other" in found.text
    assert book.state.overrides == ()


def test_a_mark_found_by_the_write_itself_stops_the_writing_too() -> None:
    book = Shared(setup=signed())
    book.run(10_000)
    book.carried[PLANE] = (THEIRS, None)
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    assert book.told().count("PLANE_FOREIGN") == 1
    assert book.carried[PLANE][0] == THEIRS
    assert book.violations == []


@pytest.mark.parametrize("other", [signed("other", "c9"), signed("shop", "c9")])
def test_two_controllers_do_not_outnumber_each_other(other: Setup) -> None:
    """Another cluster, or another node that was given the same cluster by mistake; something to do comes up for both."""
    carried: dict[EnactorId, tuple[PlaneMark, Steering | None]] = {}
    books = [Shared(setup=signed(), carried=carried), Shared(setup=other, carried=carried)]
    alone = Shared(setup=signed())
    for number in range(60):
        for book in (*books, alone):
            if number == 3:
                book.ask(DrainRequest(site=P))
            book.run(10_000, tick_ms=500)
    holder, loser = books
    assert carried[PLANE][0].origin == holder.setup.origin
    assert holder.state.steering.generation == alone.state.steering.generation
    assert loser.state.steering.generation <= alone.state.steering.generation
    assert all(book.violations == [] for book in books)


def test_a_person_takes_the_plane_over_on_purpose(book: Shared) -> None:
    assert book.ask(AckRequest(plane=PLANE)).severity is Severity.ALLOWED
    book.run(10_000)
    mark = book.carried[PLANE][0]
    assert mark.origin == book.setup.origin and mark.generation > THEIRS.generation
    generation = book.state.steering.generation
    assert book.state.plane(PLANE).foreign is None
    book.run(60_000)
    assert book.state.steering.generation == generation
    assert book.state.plane(PLANE).standing is PlaneStanding.IN_STEP
    assert book.violations == []


def test_what_was_taken_over_is_not_taken_again_when_the_other_writes_once_more(book: Shared) -> None:
    book.ask(AckRequest(plane=PLANE))
    book.run(10_000)
    book.carried[PLANE] = (replace(THEIRS, generation=900), None)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=book.reading(PLANE)))
    book.run(60_000)
    assert book.carried[PLANE][0].origin == OTHER
    assert book.told().count("PLANE_FOREIGN") == 2


def test_nothing_is_taken_over_that_nobody_else_holds() -> None:
    book = Shared(setup=signed())
    book.run(10_000)
    assert book.ask(AckRequest(plane=PLANE)).severity is Severity.REFUSED
    assert book.ask(AckRequest(plane=EnactorId("nowhere"))).severity is Severity.REFUSED


def test_a_plane_that_the_other_left_is_written_again(book: Shared) -> None:
    del book.carried[PLANE]
    book.run(120_000, tick_ms=500)
    assert book.carried[PLANE][0].origin == book.setup.origin
    assert book.state.plane(PLANE).foreign is None


def test_an_unsigned_mark_of_the_version_before_is_taken_over() -> None:
    before = Playbook()
    before.run(10_000)
    book = Shared(setup=signed(), carried={PLANE: (PlaneMark(generation=7), replace(before.state.steering, generation=7))})
    book.run(60_000)
    assert "PLANE_FOREIGN" not in book.told()
    assert book.state.adoption is not None
    assert book.ask(DrainRequest(site=G)).severity is Severity.ALLOWED
    book.run(30_000)
    assert book.carried[PLANE][0].origin == book.setup.origin


def test_the_same_generation_of_another_term_is_not_ours() -> None:
    book = Shared(setup=signed())
    book.run(30_000)
    own, steering = book.carried[PLANE]
    book.state = book.state.changed(term=3, steering=replace(book.state.steering, term=3))
    book.carried[PLANE] = (own, steering)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=book.reading(PLANE)))
    book.run(5_000)
    assert book.carried[PLANE][0].term == 3
