"""Conduct over time: each checker of `laws.conduct`, and the term in law 11, catches a step that was doctored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import PLANE, WEB, A, G, P, Playbook, three_sites
from core.test_laws import laws, steered
from siteshift.core.laws.record import single_site_dependencies
from siteshift.core.messages.commands import Enact, Record, Tell
from siteshift.core.messages.events import Asked, Ticked
from siteshift.core.messages.requests import DrainRequest, LiftRequest, OperatorRequest, PoolRequest, UndrainRequest
from siteshift.core.model.codes import Failback, FindingCode, LeftBecause, OverrideKind, Severity, SiteLife
from siteshift.core.model.finding import finding
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.override import Override
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.tracks import SiteTrack

LATER_MS = 3_600_000


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def tracked(state: ControllerState, **of_pangyo: object) -> ControllerState:
    track = replace(SiteTrack(), **of_pangyo)  # type: ignore[arg-type]
    return replace(state, tracks={**state.tracks, (WEB, P): track})


def broken(book: Playbook, before: ControllerState, after: ControllerState, *, at_ms: int | None = None) -> set[int]:
    return laws(book, after, before=before, event=Ticked(at_ms=book.now_ms if at_ms is None else at_ms), commands=())


@pytest.mark.parametrize(("soaked_ms", "expected"), [(-1, {2}), (0, set())])
def test_law_2_a_step_of_the_ramp_that_did_not_soak(book: Playbook, soaked_ms: int, expected: set[int]) -> None:
    since_ms = book.now_ms - book.setup.policy.of(WEB).soak_ms - soaked_ms
    before = tracked(book.state, life=SiteLife.RETURNING, ramp_step=1, step_since_ms=since_ms)
    after = tracked(book.state, life=SiteLife.RETURNING, ramp_step=2, step_since_ms=book.now_ms)
    assert broken(book, before, after) == expected


def test_law_2_a_ramp_that_ends_before_its_last_step_has_soaked(book: Playbook) -> None:
    before = tracked(book.state, life=SiteLife.RETURNING, ramp_step=4, step_since_ms=book.now_ms - 1)
    assert broken(book, before, tracked(book.state, life=SiteLife.SERVING)) == {2}


def test_law_2_a_ramp_that_leaves_out_a_step(book: Playbook) -> None:
    before = tracked(book.state, life=SiteLife.RETURNING, ramp_step=1, step_since_ms=0)
    after = tracked(book.state, life=SiteLife.RETURNING, ramp_step=3, step_since_ms=book.now_ms)
    assert broken(book, before, after) == {2}


def test_a_returning_site_that_fails_again_needs_no_soak(book: Playbook) -> None:
    before = tracked(book.state, life=SiteLife.RETURNING, ramp_step=1, step_since_ms=book.now_ms)
    assert 2 not in broken(book, before, tracked(book.state, life=SiteLife.DRAINING, left_because=LeftBecause.DEAD))


def returns(book: Playbook, **before: object) -> set[int]:
    """The laws broken when Pangyo, drained like this, starts to return now."""
    was = {"life": SiteLife.DRAINED, "left_because": LeftBecause.DEAD, "hold_until_ms": book.now_ms, **before}
    after = {**was, "life": SiteLife.RETURNING}
    return broken(book, tracked(book.state, **was), tracked(book.state, **after))


def test_law_16_a_site_that_returns_before_its_hold_down_is_over(book: Playbook) -> None:
    assert returns(book, hold_until_ms=book.now_ms + 1) == {16}
    assert returns(book, hold_until_ms=book.now_ms) == set()


def test_law_16_a_site_that_returns_by_itself_where_a_person_fails_back() -> None:
    book = Playbook(setup=three_sites(failback=Failback.MANUAL))
    book.run(5_000)
    assert returns(book) == {16}
    assert returns(book, is_return_asked=True) == set()


@pytest.mark.parametrize("why", [{"is_return_asked": True}, {"left_because": LeftBecause.PERSON}])
def test_a_person_ends_a_hold_down(book: Playbook, why: dict[str, object]) -> None:
    assert returns(book, hold_until_ms=book.now_ms + LATER_MS, **why) == set()


def test_a_well_site_is_not_held_down_while_demand_is_shed(book: Playbook) -> None:
    shedding = steered(book.state, {P: 0, G: 5000, A: 4000}, shed_bp=1000)
    was = {"life": SiteLife.DRAINED, "left_because": LeftBecause.DEAD, "hold_until_ms": book.now_ms + LATER_MS}
    after = tracked(shedding, **{**was, "life": SiteLife.RETURNING})
    assert broken(book, tracked(shedding, **was), after) == set()


def forced(book: Playbook, name: str, kind: OverrideKind, **what: object) -> Override:
    return Override(
        id=name, kind=kind, owner="ada", reason="r", ticket="", created_ms=0, expires_ms=book.now_ms + LATER_MS, **what
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "request_",
    [
        UndrainRequest(site=P),
        UndrainRequest(site=P, service=WEB),
        LiftRequest(override="o1"),
        PoolRequest(member=MemberId("web/pangyo/m1")),
    ],
)
def test_law_5_letting_go_of_more_than_was_named(book: Playbook, request_: object) -> None:
    """Another site's drain, a freeze and another member stay, whatever is let go."""
    mine = {
        UndrainRequest: forced(book, "o1", OverrideKind.DRAIN, site=P, service=WEB),
        LiftRequest: forced(book, "o1", OverrideKind.FREEZE),
        PoolRequest: forced(book, "o1", OverrideKind.DEPOOL, member="web/pangyo/m1"),
    }[type(request_)]
    others = (
        forced(book, "o2", OverrideKind.DRAIN, site=G),
        forced(book, "o3", OverrideKind.FREEZE, site=P),
        forced(book, "o4", OverrideKind.DEPOOL, member="web/pangyo/m2"),
    )
    before = replace(book.state, overrides=(mine, *others))
    event = Asked(at_ms=book.now_ms, asking=OperatorRequest(id="a", person="ada", request=request_))  # type: ignore[arg-type]
    assert 5 not in laws(book, replace(book.state, overrides=others), before=before, event=event, commands=())
    for gone in others:
        left = tuple(entry for entry in others if entry is not gone)
        assert 5 in laws(book, replace(book.state, overrides=left), before=before, event=event, commands=()), gone.id


def test_law_5_an_undrain_of_one_service_lets_no_other_return(book: Playbook) -> None:
    event = Asked(
        at_ms=book.now_ms,
        asking=OperatorRequest(id="a", person="ada", request=UndrainRequest(site=P, service=ServiceId("mail"))),
    )
    before = tracked(book.state, life=SiteLife.DRAINED, left_because=LeftBecause.DEAD)
    after = tracked(book.state, life=SiteLife.DRAINED, left_because=LeftBecause.DEAD, is_return_asked=True)
    assert 5 in laws(book, after, before=before, event=event, commands=())


def test_an_override_that_ends_by_itself_breaks_nothing(book: Playbook) -> None:
    ended = replace(forced(book, "o2", OverrideKind.DRAIN, site=G), expires_ms=book.now_ms)
    event = Asked(at_ms=book.now_ms, asking=OperatorRequest(id="a", person="ada", request=UndrainRequest(site=P)))
    assert 5 not in laws(book, book.state, before=replace(book.state, overrides=(ended,)), event=event, commands=())


STUCK = finding(FindingCode.HOLD_DOWN, Severity.REFUSED, "web: waiting")


def stuck(book: Playbook) -> ControllerState:
    transition = replace(book.state.transition(WEB), findings=(STUCK,))
    return replace(book.state, transitions={**book.state.transitions, WEB: transition})


ENTRY = Record(kind="findings", data={"service": WEB, "findings": []})
TOLD = Tell(severity=AlertSeverity.INFO, code=FindingCode.HOLD_DOWN.value, text="web: waiting")


def test_law_16_what_blocks_a_move_is_told_and_journalled(book: Playbook) -> None:
    after = stuck(book)
    assert laws(book, after, commands=(ENTRY, TOLD)) == set()
    assert laws(book, after, commands=(TOLD,)) == {16}
    assert laws(book, after, commands=(ENTRY,)) == {16}
    assert laws(book, after, commands=(ENTRY, ENTRY, TOLD)) == {16}


def test_law_16_what_blocked_it_before_is_not_journalled_again(book: Playbook) -> None:
    after = stuck(book)
    again = replace(after, transitions={WEB: replace(after.transition(WEB), moved_at_ms=1)})
    assert laws(book, again, before=after, commands=()) == set()
    assert laws(book, again, before=after, commands=(ENTRY,)) == {16}


def test_law_16_the_end_of_what_blocked_it_is_journalled(book: Playbook) -> None:
    assert laws(book, replace(book.state, transitions={}), before=stuck(book), commands=()) == {16}


def test_law_11_a_term_that_goes_back(book: Playbook) -> None:
    before = replace(book.state, term=4, steering=replace(book.state.steering, term=4))
    older = replace(steered(before, {P: 4800, G: 3100, A: 2100}), term=3)
    older = replace(older, steering=replace(older.steering, term=3))
    assert 11 in laws(book, older, before=before)


def test_law_11_a_generation_under_another_term_than_we_hold(book: Playbook) -> None:
    after = replace(steered(book.state, {P: 4800, G: 3100, A: 2100}), term=9)
    assert 11 in laws(book, after)
    assert 11 not in laws(book, replace(after, steering=replace(after.steering, term=9)))


def test_law_11_a_plan_of_an_older_term_is_sent(book: Playbook) -> None:
    old = replace(book.state.steering, term=book.state.steering.term - 1)
    assert 11 in laws(book, book.state, commands=(Enact(enactor=PLANE, steering=old),))


def test_law_17_sees_a_data_plane_that_stands_only_in_the_site_it_must_leave() -> None:
    setup = three_sites()
    alone = replace(setup, planes=(PlaneRef(id=PLANE, services=(WEB,), site=P),))
    assert [P in fault for fault in single_site_dependencies(alone)] == [True]
    for planes in (
        (PlaneRef(id=PLANE, services=(WEB,)),),
        (PlaneRef(id=PLANE, services=(WEB,), site=P), PlaneRef(id=EnactorId("lb"), services=(WEB,), site=SiteId("gasan"))),
    ):
        assert single_site_dependencies(replace(setup, planes=planes)) == ()


def test_the_conduct_of_a_drain_and_an_undrain_breaks_no_law(book: Playbook) -> None:
    assert book.ask(DrainRequest(site=P), reason="power work").severity is Severity.ALLOWED
    book.run(120_000)
    assert book.ask(UndrainRequest(site=P), reason="done").severity is Severity.ALLOWED
    book.run(900_000)
    assert book.state.track(WEB, P).life is SiteLife.SERVING
    assert book.violations == []


