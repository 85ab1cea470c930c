"""A data plane that a person took out of service: moves go on without it, and it is not forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import PLANE, WEB, P, digest_of
from core.test_planes_in_the_dark import DARK, InTheDark, with_a_balancer
from siteshift.core.explain import status_document
from siteshift.core.messages.commands import Answer, Tell
from siteshift.core.messages.events import ReadBackArrived, Reloaded
from siteshift.core.messages.requests import DrainRequest, LiftRequest, PlaneInRequest, PlaneOutRequest
from siteshift.core.model.codes import FindingCode, NoticeCode, Severity, SiteLife
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import Obstacle
from siteshift.core.model.units import EnactorId
from siteshift.core.state.goals import GoalState
from siteshift.core.state.plane_queries import taken_out_by

OUT = PlaneOutRequest(plane=DARK)


@pytest.fixture
def book() -> InTheDark:
    """The balancer beside a site that is well takes and tells nothing."""
    found = InTheDark(setup=_nobodys(with_a_balancer()))
    found.run(60_000)
    found.is_dark = True
    found.run(10_000)
    return found


def _nobodys(setup: Setup) -> Setup:
    """A balancer that stands at no site: it is never lost with one."""
    return replace(setup, planes=tuple(replace(plane, site=None) for plane in setup.planes))


def codes(answer: Answer) -> list[FindingCode]:
    return [entry.code for entry in answer.findings]


def told(book: InTheDark) -> list[str]:
    return [command.code for command in book.commands if isinstance(command, Tell)]


def life(book: InTheDark) -> SiteLife:
    return book.state.track(WEB, P).life


def test_a_drain_that_a_plane_holds_up_half_way_goes_on_once_the_plane_is_out() -> None:
    book = InTheDark(setup=_nobodys(with_a_balancer()))
    book.run(60_000)
    assert book.ask(DrainRequest(site=P)).severity is Severity.ALLOWED
    book.is_dark = True
    book.run(MINUTE_MS)
    assert life(book) is SiteLife.DRAINING, "granted, and held up"
    assert book.ask(OUT, reason="rack is dead").severity is Severity.ALLOWED
    book.run(2 * MINUTE_MS)
    assert life(book) is SiteLife.DRAINED
    assert book.violations == []


def test_a_drain_that_a_silent_plane_would_hold_up_is_warned_of_with_the_way_out(book: InTheDark) -> None:
    """Confirmed all the same it moves nothing; what it moves without the plane is confirmed afresh."""
    answer = book.look(DrainRequest(site=P))
    (found,) = (entry for entry in answer.findings if entry.code is FindingCode.DATA_PLANE_UNKNOWN)
    assert found.severity is Severity.NEEDS_APPROVAL
    assert "`siteshift plane out PLANE`" in found.remedy
    book.confirm(DrainRequest(site=P))
    book.ask(OUT)
    book.run(10_000)
    (track,) = book.state.goals.values()
    assert (track.state, life(book)) == (GoalState.SUSPENDED, SiteLife.DRAINING)
    book.confirm(DrainRequest(site=P))
    book.run(2 * MINUTE_MS)
    assert life(book) is SiteLife.DRAINED
    assert book.violations == []


def test_a_drain_after_it_is_planned_and_done_without_the_plane(book: InTheDark) -> None:
    book.ask(OUT)
    answer = book.ask(DrainRequest(site=P))
    assert answer.severity is Severity.ALLOWED
    assert codes(answer) == []
    assert answer.plans[0].after[WEB][P] == 0
    book.run(2 * MINUTE_MS)
    assert life(book) is SiteLife.DRAINED
    assert book.violations == []


def test_a_plane_that_is_out_is_shown_so_and_nobody_is_told_that_it_is_silent() -> None:
    book = InTheDark(setup=_nobodys(with_a_balancer()))
    book.run(60_000)
    made = book.ask(OUT, reason="new firmware", ticket="OPS-9").override
    assert made is not None
    book.is_dark = True
    book.run(20_000)
    assert NoticeCode.PLANE_UNREADABLE.value not in told(book)
    book.ask(DrainRequest(site=P))
    book.run(20_000)
    assert NoticeCode.PLANE_FAILED.value not in told(book)
    status = status_document(book.state, book.setup, book.now_ms)
    shown = {"owner": "kim", "reason": "new firmware", "expires_ms": made.expires_ms}
    assert status["planes"][DARK]["out_of_service"] == shown
    assert status["planes"][PLANE]["out_of_service"] is None
    assert status["services"][0]["in_step"], "all that carry users are"


def test_a_plane_that_answers_while_it_is_out_is_brought_into_step(book: InTheDark) -> None:
    """It must not come back with the shares of before."""
    book.ask(OUT)
    book.ask(DrainRequest(site=P))
    book.run(MINUTE_MS)
    book.is_dark = False
    book.run(MINUTE_MS)
    written = book.planes[DARK]
    assert written is not None
    assert written.generation == book.state.steering.generation


@pytest.mark.parametrize("how", ["plane in", "lift", "its end"])
def test_a_plane_that_is_in_again_is_waited_for(book: InTheDark, how: str) -> None:
    made = book.ask(OUT, life_ms=5 * MINUTE_MS).override
    assert made is not None
    if how == "plane in":
        assert book.ask(PlaneInRequest(plane=DARK)).severity is Severity.ALLOWED
    elif how == "lift":
        assert book.ask(LiftRequest(override=made.id)).severity is Severity.ALLOWED
    else:
        book.run(6 * MINUTE_MS)
        assert {NoticeCode.OVERRIDE_ENDS_SOON.value, NoticeCode.OVERRIDE_EXPIRED.value} <= set(told(book))
        warned = next(c for c in book.commands if isinstance(c, Tell) and c.code == NoticeCode.OVERRIDE_ENDS_SOON.value)
        assert "lb-pangyo out of service" in warned.text
        assert "moves wait again for lb-pangyo" in warned.text
    assert taken_out_by(book.state, DARK) is None
    assert FindingCode.DATA_PLANE_UNKNOWN in codes(book.look(DrainRequest(site=P)))
    assert book.violations == []


def test_the_last_plane_of_a_service_stays_in(book: InTheDark) -> None:
    answer = book.ask(PlaneOutRequest(plane=PLANE))
    assert answer.severity is Severity.ALLOWED, "the other one is in service, whether it answers or not"
    refused = book.ask(OUT)
    assert codes(refused) == [FindingCode.LAST_PLANE]
    assert "last data plane in service for web" in refused.findings[0].text
    assert taken_out_by(book.state, DARK) is None


def test_a_plane_whose_only_mate_left_the_file_counts_again(book: InTheDark) -> None:
    """Nothing waits for nobody: a move would be called done that moved no user."""
    book.ask(OUT)
    alone = replace(book.setup, planes=book.setup.planes_of(WEB)[1:], digest="alone")
    book.setup = alone
    book.feed(Reloaded(at_ms=book.now_ms, digest=book.setup.digest))
    assert not status_document(book.state, book.setup, book.now_ms)["services"][0]["in_step"]


def test_what_is_asked_twice_or_of_nobody_is_refused(book: InTheDark) -> None:
    assert codes(book.ask(PlaneInRequest(plane=DARK))) == [FindingCode.NOTHING_TO_DO]
    book.ask(OUT)
    again = book.ask(OUT, person="lee")
    assert codes(again) == [FindingCode.NOTHING_TO_DO]
    assert "by override o1 of kim" in again.findings[0].text
    assert codes(book.ask(PlaneOutRequest(plane=EnactorId("lb-mars")))) == [FindingCode.UNKNOWN_NAME]
    assert codes(book.ask(PlaneOutRequest(plane=PLANE), reason=" ")) == [FindingCode.LAST_PLANE]
    book.ask(PlaneInRequest(plane=DARK))
    assert codes(book.ask(OUT, reason=" ")) == [FindingCode.INCOMPLETE]
    assert codes(book.ask(OUT, life_ms=1_000 * HOUR_MS)) == [FindingCode.OVERRIDE_TOO_LONG]


def test_a_reload_that_drops_the_plane_lifts_it_and_says_so(book: InTheDark) -> None:
    book.ask(OUT)
    book.setup = replace(book.setup, planes=book.setup.planes[:1], digest="fewer")
    book.feed(Reloaded(at_ms=book.now_ms, digest=book.setup.digest))
    assert book.state.overrides == ()
    assert NoticeCode.OVERRIDE_LIFTED.value in told(book)


# -- what stands in a plane's way ---------------------------------------------------------------------------------------


CLOSED = Obstacle(what="be_web/p1", text="in maint with what it tracks", remedy="put that in `state ready`", service=WEB)


def obstructed(*obstacles: Obstacle) -> InTheDark:
    book = InTheDark(setup=_nobodys(with_a_balancer()))
    book.run(60_000)
    reading = replace(book.reading(DARK), obstacles=obstacles)
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
    return book


def test_what_no_write_changes_is_told_once_shown_and_named_before_a_move() -> None:
    book = obstructed(CLOSED)
    assert told(book).count(FindingCode.PLANE_OBSTACLE.value) == 1
    book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(DARK), obstacles=(CLOSED,))))
    assert told(book).count(FindingCode.PLANE_OBSTACLE.value) == 1
    (shown,) = status_document(book.state, book.setup, book.now_ms)["planes"][DARK]["obstacles"]
    assert (shown["what"], shown["remedy"]) == (CLOSED.what, CLOSED.remedy)
    (found,) = (e for e in book.look(DrainRequest(site=P)).findings if e.code is FindingCode.PLANE_OBSTACLE)
    assert found.severity is Severity.ALLOWED, "it closes nothing that the drain needs"
    book.ask(PlaneOutRequest(plane=DARK))
    assert FindingCode.PLANE_OBSTACLE not in codes(book.look(DrainRequest(site=P)))


def test_a_move_to_a_site_that_a_plane_cannot_send_users_to_is_confirmed_by_who_asks() -> None:
    sites = [site for site in obstructed().setup.topology.site_ids if site != P]
    book = obstructed(replace(CLOSED, closes=sites[0]))
    answer = book.ask(DrainRequest(site=P))
    (found,) = (e for e in answer.findings if e.code is FindingCode.PLANE_OBSTACLE)
    assert (found.severity, answer.override) == (Severity.NEEDS_APPROVAL, None)
    assert f"lb-pangyo can send nobody to {sites[0]}" in found.text
    assert book.ask(DrainRequest(site=P), digest=digest_of(answer), shown=answer.offer).override is not None
