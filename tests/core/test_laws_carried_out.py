"""Law 18: what is granted is carried out, or named as blocked. Every way of forgetting a request is planted, and seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.playbook import DOWN, SUSPECT, UNKNOWN, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.beliefs import life, lives
from siteshift.core.decide import envelope, ramp, steering
from siteshift.core.invariants import Violation, check
from siteshift.core.messages.events import Ticked
from siteshift.core.messages.requests import (
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    Request,
    RevokeRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import EnactOutcome, Mode, Severity, SiteLife
from siteshift.core.model.override import Forced
from siteshift.core.model.units import MemberId
from siteshift.core.plan import derive
from siteshift.core.state.goals import GoalState
from siteshift.sim.fuzz.mutants import Mutant, Patch, planted

M1 = MemberId("web/pangyo/m1")
OTHERS = {P: 4000, G: 3500, A: 2500}
Bug = Callable[[Callable[..., Any]], Callable[..., Any]]


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def grant(book: Playbook, request: Request) -> None:
    answer = book.confirm(request)
    assert answer.severity is Severity.ALLOWED, answer.findings


def with_fault(original: Callable[..., Any], bug: Bug) -> Any:
    return planted(Mutant(name="planted", says="", patches=(Patch(original, bug),)))


def says(broken: list[Violation]) -> str:
    """What law 18 said, and it alone; the test has looked."""
    found = list(broken)
    broken.clear()
    assert {violation.law for violation in found} == {18}, found
    return found[0].text


# -- planted ------------------------------------------------------------------------------------------------------------


def nobody_is_forced_out(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda state, policy, _, service, site: original(state, policy, Forced(), service, site)


def test_a_drain_that_is_granted_and_never_begun(book: Playbook, broken_laws: list[Violation]) -> None:
    grant(book, DrainRequest(site=P))
    book.run(200)
    with with_fault(lives.signal_of, nobody_is_forced_out):
        book = Playbook()
        book.run(5_000)
        book.ask(DrainRequest(site=P))
        assert book.state.overrides
        book.run(3_000)
    assert "5000 bp stay at pangyo although o1 drains it" in says(broken_laws)


def test_a_drain_that_stops_half_way(book: Playbook, broken_laws: list[Violation]) -> None:
    grant(book, DrainRequest(site=P))
    book.run(1_500)
    assert 0 < book.shares()[P] < 5_000
    with with_fault(lives.signal_of, nobody_is_forced_out), with_fault(steering.target_of, staying):
        book.run(10_000)
    assert "stay at pangyo although o1 drains it" in says(broken_laws)


def staying(original: Callable[..., Any]) -> Callable[..., Any]:
    def target_of(situation: Any, allocation: Any) -> Any:
        return replace(original(situation, allocation), shares_bp=dict(situation.current.shares_bp), shed_bp=0, shed_at=None)

    return target_of


def test_shares_that_are_forced_and_never_given(book: Playbook, broken_laws: list[Violation]) -> None:
    with with_fault(steering.target_of, staying):
        book.ask(SharesRequest(service=WEB, shares_bp=OTHERS))
        book.run(3_000)
    assert "pangyo has 5000 bp although o1 forces 4000" in says(broken_laws)


def all_serve(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda situation, pool: {**original(situation, pool), **{m.id: 1_000 for m in pool.members if m.name == "m1"}}


def test_a_member_that_was_taken_out_and_serves_on(book: Playbook, broken_laws: list[Violation]) -> None:
    with with_fault(steering._pool_members, all_serve):
        book.ask(DepoolRequest(member=M1))
        book.run(20_000)
    assert f"{M1} serves although it was taken out" in says(broken_laws)


def never(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *_: False


def drained(book: Playbook) -> None:
    grant(book, DrainRequest(site=P))
    book.run(120_000)
    assert book.life(P) is SiteLife.DRAINED


def test_a_site_that_was_let_back_and_stays_away(book: Playbook, broken_laws: list[Violation]) -> None:
    drained(book)
    with with_fault(life.may_return, never):
        book.ask(UndrainRequest(site=P))
        book.run(3_000)
    assert "pangyo is drained although it is well and was let back" in says(broken_laws)


def test_a_site_on_its_way_back_that_gets_nothing(book: Playbook, broken_laws: list[Violation]) -> None:
    drained(book)
    grant(book, UndrainRequest(site=P))
    book.run(100_000)
    assert book.life(P) is SiteLife.RETURNING
    entry = book.state.steering.of(WEB)
    assert entry is not None
    nothing = replace(entry, shares_bp={P: 0, G: 6000, A: 4000})
    book.state = replace(book.state, steering=replace(book.state.steering, services=(nothing,)))
    with with_fault(ramp.next_shares, lambda _: lambda before, *_: dict(before)):
        book.run(10_000)
    assert "pangyo returns with 0 bp although its step gives" in says(broken_laws)


def test_a_goal_that_runs_for_ever(book: Playbook, broken_laws: list[Violation]) -> None:
    with with_fault(envelope._is_there, never):
        grant(book, DrainRequest(site=P))
        book.run(120_000)
    assert "runs, and nothing moves" in says(broken_laws)


@pytest.mark.parametrize("is_said", [True, False])
def test_a_plane_that_never_confirms_is_named(book: Playbook, broken_laws: list[Violation], is_said: bool) -> None:
    """The drain waits for it. With its finding that is no fault; without, the drain just stands still."""
    grant(book, DrainRequest(site=P))
    book.plane_outcome = EnactOutcome.FAILED
    silent: Bug = (lambda original: original) if is_said else (lambda _: lambda *_: None)
    with with_fault(derive.say_findings, silent):
        book.run(300_000)
    assert book.shares()[P] > 0
    if is_said:
        assert "DATA_PLANE_UNKNOWN" in book.told()
    else:
        assert "stay at pangyo although o1 drains it" in says(broken_laws)


def test_a_finding_that_is_not_kept_leaves_the_drain_unexplained(book: Playbook, broken_laws: list[Violation]) -> None:
    grant(book, DrainRequest(site=P))
    book.run(1_500)
    book.ask(FreezeRequest())
    with with_fault(derive.say_findings, lambda _: lambda *_: None):
        book.run(10_000)
    assert "stay at pangyo although o1 drains it" in says(broken_laws)


def test_nobody_looks_any_more(book: Playbook) -> None:
    book.ask(DrainRequest(site=P))
    quiet = replace(book.state, thought_at_ms=book.now_ms)
    transition = replace(quiet.transition(WEB), moved_at_ms=1)
    quiet = replace(quiet, transitions={WEB: transition})
    for later_ms, laws in ((5_000, set()), (300_000, {18})):
        event = Ticked(at_ms=book.now_ms + later_ms)
        assert {v.law for v in check(quiet, event, quiet, (), book.setup)} == laws


# -- sound ------------------------------------------------------------------------------------------------------------
# The fixture of this folder sees to it that no law is broken.


@pytest.mark.parametrize(
    "request_",
    [DrainRequest(site=P), DrainRequest(site=A), SharesRequest(service=WEB, shares_bp=OTHERS), DepoolRequest(member=M1)],
)
def test_what_is_carried_out_is_no_fault(book: Playbook, request_: Request) -> None:
    grant(book, request_)
    book.run(120_000)
    assert all(track.state is GoalState.REACHED for track in book.state.goals.values())


def test_no_room_is_a_reason(book: Playbook) -> None:
    """80 of 100 requests/s are at Pangyo and nobody else can take them: the rest stays there."""
    book.standby_works = False
    book.confirm(DrainRequest(site=P))
    for site in (G, A):
        for member in ("m1", "m2", "m3"):
            book.beliefs[f"member:web/{site}/{member}"] = DOWN  # type: ignore[index]
    book.run(60_000)


@pytest.mark.parametrize("view", [UNKNOWN, SUSPECT, DOWN])
def test_others_that_are_not_well_are_a_reason(book: Playbook, view: Any) -> None:
    for site in (G, A):
        book.believe(site, view)
    book.run(5_000)
    book.confirm(DrainRequest(site=P))
    book.run(30_000)
    assert book.shares()[P] > 0


def test_a_goal_that_is_suspended_is_named(book: Playbook) -> None:
    answer = book.confirm(DrainRequest(site=P))
    book.run(1_500)
    book.ask(RevokeRequest(digest=digest_of(answer)))
    book.run(60_000)
    assert book.shares()[P] > 0
    assert [track.state for track in book.state.goals.values()] == [GoalState.SUSPENDED]


def test_taking_all_members_out_keeps_them_and_is_no_fault(book: Playbook) -> None:
    for member in ("m1", "m2", "m3", "m4"):
        book.confirm(DepoolRequest(member=MemberId(f"web/pangyo/{member}")))
        book.run(3_000)
    assert book.life(P) is not SiteLife.DRAINED


def test_what_may_not_be_written_waits_with_its_reason() -> None:
    book = Playbook(setup=three_sites(mode=Mode.RECOMMEND))
    book.run(5_000)
    book.confirm(DrainRequest(site=P))
    begun = book.shares()
    book.state = replace(book.state, is_store_usable=False)
    book.run(30_000)
    assert book.shares() == begun != {P: 0, G: 6000, A: 4000}
