"""Every reason, finding, diagnosis and notice there is a word for is produced by something: a word that nothing says is a lie.

Nothing is looked for in the text of the code: stories and tables are run, and what they produce is noted as it is made.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

import siteshift.core
from core import test_reload
from core.decide.test_gate import CASES, context, proposal
from core.judge import test_diagnosis as table_of_diagnoses
from core.playbook import DOWN, PLANE, SICK, UP, WEB, A, G, P, Playbook, digest_of, three_sites
from core.test_data_role import WEB_DATA, writable
from core.test_explain import overfull, with_shed_answers
from core.test_forgetful_planes import Forgetful
from siteshift.core.decide.gate import examine
from siteshift.core.decide.steering import Target
from siteshift.core.explain import status_document
from siteshift.core.messages.commands import Tell
from siteshift.core.messages.events import ReadBackArrived, ReadBackFailed
from siteshift.core.messages.requests import (
    DrainRequest,
    ModeRequest,
    PlaneOutRequest,
    PoolRequest,
    RevokeRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import (
    Because,
    DiagnosisCode,
    EnactOutcome,
    Failback,
    FindingCode,
    Mode,
    NoticeCode,
    OverrideKind,
)
from siteshift.core.model.evidence import Diagnosis, SelfCheck
from siteshift.core.model.finding import Finding
from siteshift.core.model.mark import Origin, PlaneMark
from siteshift.core.model.override import make_override
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS, Policy
from siteshift.core.model.steering import Drift, Obstacle
from siteshift.core.model.units import MemberId, SiteId

Noted = set[tuple[type, str]]
"""Vocabulary and word: words of two vocabularies may be the same."""
CORE = Path(siteshift.core.__file__).parent
OF_THE_RUNTIME = {
    NoticeCode.RECORD_GAP: "tests/runtime/test_remembering.py runs it against a store that fails",
    NoticeCode.RELOAD_REFUSED: "tests/integration/node/test_reload_and_stop.py, with a file that is broken",
    NoticeCode.STARTED_FROM_NOTHING: "tests/integration/node/test_lost_store.py, with a store that is deleted",
    NoticeCode.CLOCK: "tests/runtime/test_clock.py and tests/app/test_past.py, with a clock that is set",
}


@contextmanager
def noted() -> Iterator[Noted]:
    """What is made of these four while it lasts: reasons of targets, findings, diagnoses, notices."""
    found: Noted = set()

    def note(kind: type, codes: Callable[[Any], Any]) -> Callable[[], None]:
        made = kind.__init__

        def noting(self: Any, **fields: Any) -> None:
            made(self, **fields)
            found.update((type(code), str(code)) for code in codes(self))

        kind.__init__ = noting  # type: ignore[misc]
        return lambda: setattr(kind, "__init__", made)

    undo = [
        note(Target, lambda target: target.because.values()),
        note(Finding, lambda entry: [entry.code]),
        note(Diagnosis, lambda entry: [entry.code]),
        note(Tell, lambda tell: [str(tell.code)]),
    ]
    try:
        yield found
    finally:
        for back in undo:
            back()


def calm(**policy: object) -> Playbook:
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000, **policy))
    book.run(60_000)
    return book


def a_planned_drain_and_back() -> None:
    book = calm()
    book.ask(DrainRequest(site=P), expires_ms=book.now_ms + 3 * MINUTE_MS)
    book.run(4 * MINUTE_MS)
    book.ask(UndrainRequest(site=P))
    book.run(2 * MINUTE_MS)


def a_site_that_dies_and_comes_back(**policy: object) -> None:
    book = calm(**policy)
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    book.believe(P, UP)
    book.run(2 * MINUTE_MS)


def users_are_shed_and_failback_is_by_hand() -> None:
    book = calm(failback=Failback.MANUAL)
    book.believe(P, DOWN)
    book.run(MINUTE_MS)
    book.believe(P, UP)
    book.run(MINUTE_MS)
    book.believe(G, DOWN)
    book.run(MINUTE_MS)


def a_short_outage(**policy: object) -> None:
    book = Playbook(setup=three_sites(**policy))
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(10_000)
    book.believe(P, UP)
    book.run(20_000)


def one_dead_one_drained_and_the_last_one_sick() -> None:
    book = Playbook(setup=three_sites(), demand_rps=20)
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(30_000)
    asked = book.ask(DrainRequest(site=G))
    if asked.override is None:
        book.confirm(DrainRequest(site=G))
    book.run(120_000)
    book.believe(A, replace(SICK, score_pm=200))
    book.run(20_000)


def shares_that_a_person_forced() -> None:
    book = calm()
    book.ask(SharesRequest(service=WEB, shares_bp={P: 4_500, G: 3_200, A: 2_300}))
    book.run(20_000)


def a_sick_site() -> None:
    book = calm()
    book.believe(P, replace(SICK, score_pm=300))
    book.run(20_000)


def blind_for_a_while() -> None:
    book = calm()
    book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
    book.run(10_000)
    book.self_check = SelfCheck(anchors_ok=2, anchors_total=2)
    book.run(10_000)


def more_than_all_can_carry() -> None:
    overfull(with_shed_answers(three_sites()))
    book = Playbook(setup=with_shed_answers(three_sites()))
    book.demand_rps = 400
    book.run(60_000)


def data_that_is_promoted_at_one_site_only() -> None:
    book = Playbook(setup=writable(), demand_rps=30)
    for site, view in {P: UP, G: UP, A: DOWN}.items():
        book.beliefs[WEB_DATA[site]] = view
    book.run(6_000)
    book.believe(P, DOWN)
    book.beliefs[WEB_DATA[P]] = DOWN
    book.run(5_000)


def planes_that_do_not_do_as_told() -> None:
    for outcome in EnactOutcome:
        book = calm()
        book.plane_outcome = outcome
        book.believe(P, DOWN)
        book.run(30_000)
    book = calm()
    drift = Drift(enactor=PLANE, what="weight", wanted="5", found="7", ours=True)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(PLANE), drifts=(drift,))))
    book.feed(ReadBackFailed(at_ms=book.now_ms, enactor=PLANE, detail="refused"))


def a_plane_that_forgets() -> None:
    book = Forgetful(setup=three_sites())
    book.shown = None
    book.run(MINUTE_MS)


def a_write_that_is_not_read_back() -> None:
    book = calm()
    book.ask(DrainRequest(site=P))
    book.plane_outcome = EnactOutcome.FAILED
    book.run(20_000)
    book.believe(G, replace(SICK, score_pm=300))
    book.run(40_000)


def a_plane_that_another_controller_holds() -> None:
    book = Playbook(setup=replace(three_sites(), cluster="shop"))
    book.run(10_000)
    mark = PlaneMark(generation=70, term=1, origin=Origin(cluster="other", node="c9"))
    reading = replace(book.reading(PLANE), generation=None, mark=mark)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
    status_document(book.state, book.setup, book.now_ms)


def a_server_that_somebody_put_into_maintenance() -> None:
    book = calm()
    drift = Drift(enactor=PLANE, what="be_web/gasan-m3", wanted="ready weight 50", found="maint", ours=True)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(PLANE), drifts=(drift,))))
    book.ask(DrainRequest(site=P))


def a_plane_that_cannot_follow_and_is_the_last_in_service() -> None:
    book = calm()
    found = Obstacle(what="be_web/p1", text="in maint with the server it tracks", remedy="lift that", service=WEB)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(PLANE), obstacles=(found,))))
    book.ask(PlaneOutRequest(plane=PLANE))
    book.ask(DrainRequest(site=P))


def standbys_that_do_not_come_up() -> None:
    book = calm()
    book.standby_works = False
    book.believe(P, DOWN)
    book.run(60_000)


def a_reload_that_takes_things_away() -> None:
    for take in (
        lambda setup: test_reload.without_site(setup, P),
        lambda setup: test_reload.without_member(setup, MemberId("web/gasan/s1")),
        lambda setup: test_reload.without_plane(setup, test_reload.LB),
        test_reload.balanced_without_gasan,
    ):
        book = test_reload.playing()
        test_reload.drained_half_way(book)
        test_reload.reload(book, take(book.setup))


def an_approval_that_is_taken_back_and_others_that_come_to_nothing() -> None:
    book = calm()
    crowded = SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000})
    book.ask(crowded, digest="0" * 16)
    waiting = digest_of(book.confirm(crowded))
    book.approve(waiting, "kim")
    book.approve("0" * 16, "lee")
    book.approve(waiting, "lee")
    book.run(1_500)
    book.ask(RevokeRequest(digest=waiting, person="lee"), person="min", rank="approver")
    book.ask(RevokeRequest(digest=waiting), person="lee", rank="approver")
    book.run(10_000)
    book.confirm(crowded, ticket="OPS-2")
    book.run(20 * MINUTE_MS, tick_ms=1_000)


def a_site_where_the_service_is_not() -> None:
    setup = three_sites()
    (service,) = setup.topology.services
    topology = replace(setup.topology, services=(replace(service, pools=service.pools[:2]),))
    book = Playbook(setup=replace(setup, topology=topology))
    book.run(5_000)
    book.ask(DrainRequest(site=A, service=WEB))


def requests_that_make_no_sense() -> None:
    book = calm()
    book.ask(DrainRequest(site=SiteId("atlantis")))
    book.ask(DrainRequest(site=P), expires_ms=book.now_ms - 1)
    book.ask(DrainRequest(site=P), expires_ms=book.now_ms + 1_000 * HOUR_MS)
    book.ask(DrainRequest(site=P), reason=" ")
    book.ask(ModeRequest(service=WEB, mode=Mode.OBSERVE))
    book.ask(PoolRequest(member=next(iter(book.setup.topology.members))))
    made = make_override(id="o1", kind=OverrideKind.DRAIN, owner="kim", reason="x", policy=Policy(), now_ms=0)
    assert isinstance(made, Finding)


def the_gate_s_table() -> None:
    for case in CASES:
        examine(proposal(**case.proposal), context(**case.context))


def the_table_of_diagnoses() -> None:
    for row in table_of_diagnoses.ROWS:
        table_of_diagnoses.test_faults_get_their_names(row)
    table_of_diagnoses.test_a_lone_accuser_has_found_a_path()
    table_of_diagnoses.test_a_vantage_without_anchors_reached_loses_its_vote()
    table_of_diagnoses.test_old_reports_are_stale_and_only_stale_ones_make_blind()
    table_of_diagnoses.test_broken_and_contradicted_checks_are_named()


STORIES: tuple[Callable[[], None], ...] = (
    a_planned_drain_and_back,
    a_site_that_dies_and_comes_back,
    users_are_shed_and_failback_is_by_hand,
    a_short_outage,
    lambda: a_short_outage(failback=Failback.STAY),
    one_dead_one_drained_and_the_last_one_sick,
    shares_that_a_person_forced,
    a_sick_site,
    blind_for_a_while,
    more_than_all_can_carry,
    data_that_is_promoted_at_one_site_only,
    planes_that_do_not_do_as_told,
    a_plane_that_forgets,
    a_write_that_is_not_read_back,
    a_plane_that_another_controller_holds,
    a_server_that_somebody_put_into_maintenance,
    a_plane_that_cannot_follow_and_is_the_last_in_service,
    standbys_that_do_not_come_up,
    a_reload_that_takes_things_away,
    an_approval_that_is_taken_back_and_others_that_come_to_nothing,
    a_site_where_the_service_is_not,
    requests_that_make_no_sense,
    the_gate_s_table,
    the_table_of_diagnoses,
)


@pytest.fixture(scope="module")
def produced() -> Noted:
    with noted() as found:
        for story in STORIES:
            story()
    return found


@pytest.mark.parametrize("vocabulary", [Because, FindingCode, DiagnosisCode])
def test_every_word_is_said_by_something_that_runs(vocabulary: type[StrEnum], produced: Noted) -> None:
    assert [word.name for word in vocabulary if (vocabulary, word.value) not in produced] == []


def test_every_notice_is_told_by_something_that_runs(produced: Noted) -> None:
    assert [word.name for word in NoticeCode if (str, word.value) not in produced and word not in OF_THE_RUNTIME] == []


def test_every_notice_that_is_told_has_a_word(produced: Noted) -> None:
    known = {word.value for vocabulary in (NoticeCode, FindingCode, DiagnosisCode) for word in vocabulary}
    assert {word for kind, word in produced if kind is str} - known == set()


def test_nobody_tells_by_a_code_that_is_only_written_down() -> None:
    """Each code a notice is given comes from a vocabulary, so that the tests above see it."""
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "tell":
                assert not any(isinstance(argument, ast.Constant) for argument in node.args[1:2]), f"{path}:{node.lineno}"


def test_a_word_that_nothing_says_would_be_found() -> None:
    with noted() as found:
        a_sick_site()
    assert (Because, "not_promoted") not in found and (Because, "degraded") in found
