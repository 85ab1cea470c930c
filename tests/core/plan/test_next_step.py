"""The next step of one service, and what it waits for: each of its conditions, to the millisecond and the basis point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from core.playbook import PLANE, WEB, A, G, P, Playbook, three_sites
from core.test_laws import an_override
from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.steering import Target
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import (
    FindingCode,
    Hardness,
    LeftBecause,
    Mode,
    Severity,
    SiteLife,
    StandbyPhase,
    Standing,
    StepKind,
)
from siteshift.core.model.finding import finding
from siteshift.core.model.mark import PlaneMark
from siteshift.core.model.override import Forced
from siteshift.core.model.plan import Step, Wait, WaitCode
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.plan.next_step import (
    SILENT_PLANE_MS,
    SharesGoal,
    StandbyGoal,
    is_permitted,
    may_open_standby,
    may_tend,
    may_write_at_all,
    next_step,
)
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.draft import Draft, Licence
from siteshift.core.state.tracks import PlaneStanding, SiteTrack, StandbyTrack

NOW = {P: 5_000, G: 3_000, A: 2_000}
SOUND = {P: 4_800, G: 3_100, A: 2_100}
S1, S2 = MemberId("web/gasan/s1"), MemberId("web/anyang/s1")
M1, M2 = MemberId("web/pangyo/m1"), MemberId("web/gasan/m1")


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def draft_of(book: Playbook, licence: Licence = Licence.AS_GRANTED, **state: object) -> Draft:
    return Draft(state=replace(book.state, **state), setup=book.setup, now_ms=book.now_ms, licence=licence)  # type: ignore[arg-type]


def view(book: Playbook, **changes: object) -> Situation:
    found = situation_of(book.state, book.setup, book.setup.topology.services[0], book.now_ms)
    return replace(found, **changes)  # type: ignore[arg-type]


def tracks(book: Playbook, **lives: SiteTrack) -> dict[SiteId, SiteTrack]:
    return {site: lives.get(site, SiteTrack()) for site in (P, G, A)}


def signals(**of: Signal) -> dict[SiteId, Signal]:
    return {site: of.get(site, Signal.WELL) for site in (P, G, A)}


def towards(
    book: Playbook,
    shares: Mapping[SiteId, int],
    situation: Situation | None = None,
    *,
    mode: Mode = Mode.AUTO,
    shed_at: SiteId | None = None,
    licence: Licence = Licence.AS_GRANTED,
    state: ControllerState | None = None,
) -> Step | Wait:
    """The next step to these shares (what is missing is shed)."""
    draft = replace(draft_of(book, licence), state=state or book.state)
    target = Target(shares_bp=shares, shed_bp=10_000 - sum(shares.values()), shed_at=shed_at, because={})
    return next_step(draft, situation or view(book), SharesGoal(target=target, mode=mode))


def moved_to(found: Step | Wait) -> Mapping[SiteId, int]:
    assert isinstance(found, Step) and found.kind is StepKind.MOVE, found
    return found.after_bp


def waits(found: Step | Wait) -> tuple[WaitCode, int | None]:
    assert isinstance(found, Wait), found
    return found.code, found.until_ms


def codes(found: Step | Wait) -> list[FindingCode]:
    return [entry.code for entry in found.findings if entry.severity is not Severity.ALLOWED]


# -- what is worth a step ----------------------------------------------------------------------------------------------


def test_a_rebalance_is_worth_a_write_from_two_per_cent_on(book: Playbook) -> None:
    assert DEADBAND_BP == 200
    step = towards(book, SOUND)
    assert moved_to(step) == SOUND
    assert isinstance(step, Step) and (step.cause, step.before_bp, step.shed_bp, step.shed_at) == (Cause.REBALANCE, NOW, 0, None)
    assert waits(towards(book, {P: 4_801, G: 3_100, A: 2_099})) == (WaitCode.NOTHING_LEFT, None)
    assert waits(towards(book, {P: 4_933, G: 2_934, A: 1_933}, shed_at=P))[0] is WaitCode.GATE, "200 bp more are shed"
    assert waits(towards(book, {P: 4_934, G: 2_933, A: 1_934}, shed_at=P))[0] is WaitCode.NOTHING_LEFT


def test_what_a_person_wants_is_worth_a_write_of_one_basis_point(book: Playbook) -> None:
    forced = view(book, forced=Forced(shares_bp={P: 4_999, G: 3_001, A: 2_000}))
    assert moved_to(towards(book, {P: 4_999, G: 3_001, A: 2_000}, forced)) == {P: 4_999, G: 3_001, A: 2_000}
    assert waits(towards(book, NOW, forced))[0] is WaitCode.NOTHING_LEFT


def test_a_relief_is_worth_a_write_where_it_takes_a_tenth_of_the_share_or_two_per_cent(book: Playbook) -> None:
    full = view(book, signals=signals(pangyo=Signal.OVERLOADED))
    assert moved_to(towards(book, {P: 4_800, G: 3_100, A: 2_100}, full)) == {P: 4_800, G: 3_100, A: 2_100}
    assert waits(towards(book, {P: 4_801, G: 3_100, A: 2_099}, full))[0] is WaitCode.NOTHING_LEFT
    small = {P: 1_000, G: 3_600, A: 3_600}
    held = replace(full, current=replace(full.current, shares_bp=small, shed_bp=1_800, shed_at=G))
    plan = Licence.AS_IF_APPROVED
    assert moved_to(towards(book, {P: 900, G: 3_600, A: 3_600}, held, shed_at=G, licence=plan))[P] == 900
    assert waits(towards(book, {P: 901, G: 3_600, A: 3_600}, held, shed_at=G, licence=plan))[0] is not WaitCode.GATE


def test_a_relief_that_takes_nothing_is_worth_no_write_however_small_the_share(book: Playbook) -> None:
    """Of two overloaded sites one has hardly anything: that it keeps that makes a trifle of the other no relief."""
    both = view(book, signals=signals(pangyo=Signal.OVERLOADED, anyang=Signal.OVERLOADED))
    for little_bp in (0, 9):
        now = {P: 5_000, G: 5_000 - little_bp, A: little_bp}
        full = replace(both, current=replace(both.current, shares_bp=now))
        found = towards(book, {P: 4_999, G: 5_001 - little_bp, A: little_bp}, full, licence=Licence.AS_IF_APPROVED)
        assert waits(found)[0] is WaitCode.NOTHING_LEFT
    last = replace(both, current=replace(both.current, shares_bp={P: 5_000, G: 4_999, A: 1}))
    assert waits(towards(book, {P: 5_000, G: 5_000}, last))[0] is WaitCode.GATE, "its last basis point is worth asking for"


def test_while_blind_only_what_a_person_wants_is_even_asked_of_the_gate(book: Playbook) -> None:
    blind = view(book, is_blind=True)
    assert waits(towards(book, SOUND, blind)) == (WaitCode.BLIND, None)
    state = replace(book.state, picture=replace(book.state.picture, blind=True))
    forced = replace(blind, forced=Forced(shares_bp=SOUND))
    found = towards(book, SOUND, forced, state=state)
    assert waits(found)[0] is WaitCode.GATE and FindingCode.BLIND in codes(found)


def test_that_every_site_should_be_left_is_said_though_nothing_can_be_moved(book: Playbook) -> None:
    gone = SiteTrack(life=SiteLife.DRAINING)
    dead = view(
        book,
        tracks=tracks(book, pangyo=gone, gasan=gone, anyang=gone),
        signals=signals(pangyo=Signal.DEAD, gasan=Signal.DEAD, anyang=Signal.DEAD),
    )
    found = towards(book, NOW, dead)
    assert codes(found) == [FindingCode.LAST_SERVING_SITE]
    assert found.findings[0].numbers == {"sites": "pangyo,gasan,anyang"}
    one_left = replace(dead, tracks=tracks(book, pangyo=gone, gasan=gone))
    assert codes(towards(book, NOW, one_left)) == []


# -- what is waited for first ------------------------------------------------------------------------------------------


def lately(book: Playbook, situation: Situation | None = None, **transition: object) -> Situation:
    found = situation or view(book)
    return replace(found, transition=replace(found.transition, **transition))  # type: ignore[arg-type]


FORCED = Forced(shares_bp=SOUND)


def test_after_an_undo_the_next_move_waits_for_its_hold_down_unless_a_person_asks(book: Playbook) -> None:
    held = lately(book, held_until_ms=book.now_ms + 1)
    found = towards(book, SOUND, held)
    assert waits(found) == (WaitCode.HELD_DOWN, book.now_ms + 1)
    assert codes(found) == [FindingCode.HOLD_DOWN] and found.findings[0].numbers == {"until_ms": book.now_ms + 1}
    assert moved_to(towards(book, SOUND, lately(book, held_until_ms=book.now_ms))) == SOUND
    assert moved_to(towards(book, SOUND, replace(held, forced=FORCED))) == SOUND


def test_a_move_settles_before_the_next_and_a_dead_site_is_not_waited_for(book: Playbook) -> None:
    settle_ms = book.setup.policy.of(WEB).settle_ms
    settling = lately(book, moved_at_ms=book.now_ms - settle_ms + 1)
    assert waits(towards(book, SOUND, settling)) == (WaitCode.SETTLE, book.now_ms + 1)
    assert waits(towards(book, SOUND, replace(settling, forced=FORCED)))[0] is WaitCode.SETTLE, "also what a person wants"
    assert moved_to(towards(book, SOUND, lately(book, moved_at_ms=book.now_ms - settle_ms))) == SOUND
    dead = replace(settling, signals=signals(pangyo=Signal.DEAD), tracks=tracks(book, pangyo=SiteTrack(life=SiteLife.DRAINING)))
    left = {P: 0, G: 3_600, A: 3_600}
    assert moved_to(towards(book, left, dead, shed_at=P)) == left


@pytest.mark.parametrize(
    ("last", "is_pressing"),
    [(Cause.REBALANCE, True), (Cause.DEAD, True), (Cause.DEGRADED, True), (Cause.RELIEF, False), (None, False)],
)
def test_the_first_relief_after_a_move_does_not_wait_for_that_to_settle(
    book: Playbook, last: Cause | None, is_pressing: bool
) -> None:
    """The move was reckoned without knowing that somebody was overloaded."""
    moves = (Move(at_ms=1, moved_bp=1, cause=Cause.DEAD), *((Move(at_ms=2, moved_bp=1, cause=last),) if last else ()))
    full = view(book, signals=signals(pangyo=Signal.OVERLOADED))
    just_moved = lately(book, full, moved_at_ms=book.now_ms, moves=moves if last else ())
    found = towards(book, SOUND, just_moved)
    assert isinstance(found, Step) is is_pressing
    calm = lately(book, moved_at_ms=book.now_ms, moves=moves)
    assert waits(towards(book, SOUND, calm))[0] is WaitCode.SETTLE, "a rebalance presses nobody"


def test_a_data_plane_that_does_not_confirm_is_waited_for_and_told_of_after_ten_seconds(book: Playbook) -> None:
    """Counted from the last move of the service, and from the decision it was last sent, whoever's it was."""
    plane = replace(book.state.plane(PLANE), standing=PlaneStanding.WRITING)
    state = replace(book.state, planes={PLANE: plane})
    for moved_ago_ms, decided_ago_ms, said in (
        (SILENT_PLANE_MS - 1, 99_000, False),
        (SILENT_PLANE_MS, 99_000, True),
        (99_000, SILENT_PLANE_MS - 1, False),
        (99_000, SILENT_PLANE_MS, True),
    ):
        sent = replace(state, steering=replace(state.steering, decided_at_ms=book.now_ms - decided_ago_ms))
        found = towards(book, SOUND, lately(book, moved_at_ms=book.now_ms - moved_ago_ms), state=sent)
        assert waits(found) == (WaitCode.PLANES, None if said else book.now_ms + 1)
        assert codes(found) == ([FindingCode.DATA_PLANE_UNKNOWN] if said else [])
    nothing_yet = replace(state, steering=replace(state.steering, generation=0, decided_at_ms=1))
    assert codes(towards(book, SOUND, lately(book, moved_at_ms=1), state=nothing_yet)) == [], "there is nothing to confirm"


# -- the gate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "granted", "as_if"),
    [(Severity.ALLOWED, True, True), (Severity.NEEDS_APPROVAL, False, True), (Severity.REFUSED, False, False)],
)
def test_a_plan_goes_on_where_a_person_may_say_so_and_the_executor_where_nobody_has_to(
    severity: Severity, granted: bool, as_if: bool
) -> None:
    found = (finding(FindingCode.SHED_NEEDED, Severity.ALLOWED, ""), finding(FindingCode.SHED_NEEDED, severity, ""))
    assert is_permitted(found, Licence.AS_GRANTED) is granted
    assert is_permitted(found, Licence.AS_IF_APPROVED) is as_if
    assert is_permitted((), Licence.AS_GRANTED)


MINUTE = 60_000


def test_the_velocity_limit_waits_for_the_oldest_move_that_it_counts() -> None:
    """Not for one an hour ago, which is remembered for other reasons; nor for what left a dead site."""
    book = Playbook(setup=three_sites(velocity_bp=1_000))
    book.run(6_000)
    moves = (
        Move(at_ms=book.now_ms - 50 * MINUTE, moved_bp=4_000, cause=Cause.REBALANCE),
        Move(at_ms=book.now_ms - 8 * MINUTE, moved_bp=4_000, cause=Cause.DEAD),
        Move(at_ms=book.now_ms - 6 * MINUTE, moved_bp=500, cause=Cause.DEGRADED),
        Move(at_ms=book.now_ms - 2 * MINUTE, moved_bp=400, cause=Cause.REBALANCE),
    )
    found = towards(book, SOUND, lately(book, moves=moves))
    assert codes(found) == [FindingCode.VELOCITY]
    assert waits(found) == (WaitCode.GATE, book.now_ms + 4 * MINUTE)
    assert isinstance(found, Wait) and found.cause is Cause.REBALANCE


def test_a_move_that_is_larger_than_the_velocity_limit_goes_as_far_as_the_limit_lets_it() -> None:
    """All of it waited for a person: users stayed at a full site for as long as nobody came (found by the fuzz)."""
    book = Playbook(setup=three_sites(velocity_bp=800))
    book.run(6_000)
    for moved_bp, left_bp in ((0, 800), (300, 500)):
        moves = (Move(at_ms=book.now_ms - MINUTE, moved_bp=moved_bp, cause=Cause.REBALANCE),)
        found = towards(book, {P: 4_000, G: 3_600, A: 2_400}, lately(book, moves=moves))
        assert isinstance(found, Step)
        assert found.before_bp[P] - found.after_bp[P] == left_bp
        assert sum(found.after_bp.values()) == 10_000
        assert all(entry.severity is Severity.ALLOWED for entry in found.findings)


def test_a_rest_of_the_velocity_limit_that_is_not_worth_a_step_waits_for_the_clock() -> None:
    book = Playbook(setup=three_sites(velocity_bp=800))
    book.run(6_000)
    moves = (Move(at_ms=book.now_ms - MINUTE, moved_bp=301, cause=Cause.REBALANCE),)
    found = towards(book, {P: 4_000, G: 3_600, A: 2_400}, lately(book, moves=moves))
    assert codes(found) == [FindingCode.VELOCITY] and waits(found) == (WaitCode.GATE, book.now_ms + 9 * MINUTE)


def test_a_velocity_limit_of_nothing_waits_for_a_person_and_for_no_clock() -> None:
    book = Playbook(setup=three_sites(velocity_bp=0))
    book.run(6_000)
    found = towards(book, SOUND, lately(book, moves=()))
    assert codes(found) == [FindingCode.VELOCITY] and waits(found) == (WaitCode.GATE, None)


def test_a_hold_down_is_waited_for_to_the_end_of_the_one_that_stops_the_step(book: Playbook) -> None:
    """Gasan and Anyang would gain: theirs count. Pangyo's own is longer, and stops nothing that leaves it."""
    held = {
        G: SiteTrack(life=SiteLife.DRAINED, hold_until_ms=book.now_ms + 3_000),
        A: SiteTrack(life=SiteLife.DRAINED, hold_until_ms=book.now_ms + 5_000),
        P: SiteTrack(life=SiteLife.SERVING, hold_until_ms=book.now_ms + 9_000),
    }
    found = towards(book, SOUND, view(book, tracks=held))
    assert set(codes(found)) == {FindingCode.HOLD_DOWN}
    assert waits(found) == (WaitCode.GATE, book.now_ms + 5_000)
    frozen = view(book, tracks=held, forced=Forced(frozen_by=an_override(book)))
    assert waits(towards(book, SOUND, frozen)) == (WaitCode.GATE, None), "a freeze stops it as well: no clock ends that"


def test_a_step_that_the_gate_stops_waits_for_the_standby_that_is_coming(book: Playbook) -> None:
    state = replace(book.state, standbys={S1: StandbyTrack(phase=StandbyPhase.STARTING, deadline_ms=77)})
    off = replace(state, is_switched_off=True)
    assert waits(towards(book, SOUND, state=off)) == (WaitCode.STANDBY_READY, 77)
    assert waits(towards(book, SOUND, state=replace(off, standbys={}))) == (WaitCode.GATE, None)


# -- how far -----------------------------------------------------------------------------------------------------------


def test_a_move_goes_half_as_far_as_the_gaining_sites_have_room_and_a_dead_site_is_left_at_once(book: Playbook) -> None:
    """Gasan and Anyang carry 36 of 100 rps each within their limit: 600 bp and 1,600 bp are free."""
    left = {P: 2_800, G: 3_600, A: 3_600}
    step = moved_to(towards(book, left))
    assert step[A] - NOW[A] == 800 and sum(step.values()) == 10_000
    draining = SiteTrack(life=SiteLife.DRAINING, left_because=LeftBecause.DEAD)
    dead = view(book, signals=signals(pangyo=Signal.DEAD), tracks=tracks(book, pangyo=draining))
    whole = {P: 0, G: 3_600, A: 3_600}
    assert moved_to(towards(book, whole, dead, shed_at=P)) == whole


def test_a_relief_takes_all_the_room_of_the_well_sites_at_once_and_none_of_the_others(book: Playbook) -> None:
    full = view(book, signals=signals(pangyo=Signal.OVERLOADED))
    assert moved_to(towards(book, {P: 2_800, G: 3_600, A: 3_600}, full)) == {P: 2_800, G: 3_600, A: 3_600}
    doubtful = view(book, signals=signals(pangyo=Signal.OVERLOADED, gasan=Signal.SUSPECTED))
    assert moved_to(towards(book, {P: 2_800, G: 3_600, A: 3_600}, doubtful)) == {P: 3_400, G: 3_000, A: 3_600}


def test_a_relief_without_any_room_asks_the_gate_for_the_whole_so_that_it_says_what_is_missing(book: Playbook) -> None:
    nowhere = view(book, signals=signals(pangyo=Signal.OVERLOADED, gasan=Signal.SUSPECTED, anyang=Signal.SUSPECTED))
    found = towards(book, {P: 1_000, G: 4_500, A: 4_500}, nowhere)
    assert waits(found)[0] is WaitCode.GATE
    assert FindingCode.CAPACITY_SHORT in codes(found)


# -- taking a step back ------------------------------------------------------------------------------------------------

BEFORE = {P: 5_400, G: 2_600, A: 2_000}


def worse(book: Playbook, **changes: object) -> Situation:
    """Gasan gained in the last move, a second ago, and is sick since."""
    found = lately(book, view(book, signals=signals(gasan=Signal.SICK)), undo_bp=BEFORE, moved_at_ms=book.now_ms - 1_000)
    return replace(found, **changes)  # type: ignore[arg-type]


def undone(book: Playbook, situation: Situation, **state: object) -> bool:
    made = replace(book.state, transitions={WEB: situation.transition}, **state)  # type: ignore[arg-type]
    found = towards(book, NOW, situation, state=made)
    return isinstance(found, Step) and found.kind is StepKind.UNDO


def test_a_step_that_made_a_survivor_sick_is_taken_back(book: Playbook) -> None:
    situation = worse(book)
    step = towards(book, NOW, situation, state=replace(book.state, transitions={WEB: situation.transition}))
    assert isinstance(step, Step)
    assert (step.kind, step.before_bp, step.after_bp, step.shed_bp, step.shed_at) == (StepKind.UNDO, NOW, BEFORE, 0, None)
    assert step.cause is Cause.REBALANCE
    (said,) = step.findings
    assert (said.code, said.severity) == (FindingCode.TARGET_UNHEALTHY, Severity.REFUSED)
    assert said.numbers == {"held_until_ms": book.now_ms + book.setup.policy.of(WEB).hold_down_ms}


def test_what_was_shed_before_the_step_is_shed_again_where_it_was(book: Playbook) -> None:
    situation = worse(book)
    current = replace(situation.current, shares_bp={P: 4_000, G: 3_000, A: 2_000}, shed_bp=1_000, shed_at=P)
    before = {P: 4_500, G: 2_500, A: 2_000}
    situation = replace(lately(book, situation, undo_bp=before), current=current)
    services = (replace(current),)
    steering = replace(book.state.steering, services=services)
    state = replace(book.state, transitions={WEB: situation.transition}, steering=steering)
    step = towards(book, {P: 4_000, G: 3_000, A: 2_000}, situation, shed_at=P, state=state)
    assert isinstance(step, Step) and step.kind is StepKind.UNDO
    assert (step.after_bp, step.shed_bp, step.shed_at) == (before, 1_000, P)


def test_a_step_is_taken_back_only_where_siteshift_may_act_and_sees(book: Playbook) -> None:
    assert undone(book, worse(book))
    assert not undone(book, worse(book), is_store_usable=False)
    assert not undone(book, worse(book), term=None)
    assert not undone(book, worse(book), is_switched_off=True)
    assert not undone(book, worse(book, is_blind=True))
    assert not undone(book, worse(book, is_global_fault=True))
    assert not undone(book, lately(book, worse(book), undo_bp=None))


@pytest.mark.parametrize(("tells_answers", "is_undone"), [(True, False), (False, True), (None, True)])
def test_a_step_is_not_taken_back_where_a_meter_sees_what_the_users_of_the_survivor_get(
    book: Playbook, tells_answers: bool | None, is_undone: bool
) -> None:
    """Such a survivor is overloaded and gives back what it does not carry; of any other nobody can tell what that is."""
    situation = worse(book)
    told = {site: load._replace(tells_answers=True) for site, load in situation.loads.items()}
    if tells_answers is None:
        del told[G]
    else:
        told[G] = told[G]._replace(tells_answers=tells_answers)
    assert undone(book, replace(situation, loads=told)) is is_undone
    assert undone(book, replace(situation, loads={}, is_metered=False))


def test_a_step_is_not_taken_back_for_who_did_not_gain_or_is_being_left(book: Playbook) -> None:
    assert not undone(book, worse(book, signals=signals(anyang=Signal.SICK))), "it has what it had"
    assert not undone(book, worse(book, signals=signals(gasan=Signal.SUSPECTED)))
    for life in (SiteLife.DRAINING, SiteLife.DRAINED):
        assert not undone(book, worse(book, tracks=tracks(book, gasan=SiteTrack(life=life))))
    assert not undone(book, lately(book, worse(book), moved_at_ms=book.now_ms - 3_600_000)), "that was long ago"


def test_a_step_is_not_taken_back_to_the_dead_to_the_full_or_by_shedding(book: Playbook) -> None:
    assert not undone(book, worse(book, signals=signals(gasan=Signal.SICK, pangyo=Signal.DEAD)))
    assert undone(book, worse(book, signals=signals(gasan=Signal.SICK, anyang=Signal.DEAD))), "who gets nothing back may be dead"
    assert not undone(book, lately(book, worse(book), undo_bp={P: 5_399, G: 2_600, A: 2_000})), "1 bp would be shed"
    too_full = {P: 4_000, G: 2_000, A: 4_000}
    assert not undone(book, lately(book, worse(book), undo_bp=too_full)), "anyang carries 3,600 bp"
    assert undone(book, lately(book, worse(book), undo_bp={P: 4_400, G: 2_000, A: 3_600}))


# -- members, TTL, closed sites ----------------------------------------------------------------------------------------


def carrying(book: Playbook, **current: object) -> Situation:
    found = view(book)
    return replace(found, current=replace(found.current, **current))  # type: ignore[arg-type]


def seen_down(book: Playbook, *members: MemberId) -> Situation:
    found = view(book)
    pools = {
        site: replace(
            pool,
            members={
                m: replace(seen, standing=Standing.DOWN, hardness=Hardness.HARD) if m in members else seen
                for m, seen in pool.members.items()
            },
        )
        for site, pool in found.pools.items()
    }
    return replace(found, pools=pools)


def test_a_member_that_is_down_is_taken_out_and_one_that_is_back_is_put_in(book: Playbook) -> None:
    step = towards(book, NOW, seen_down(book, M1))
    assert isinstance(step, Step) and (step.kind, step.members, step.weights_pm) == (StepKind.DEPOOL, (M1,), {M1: 0})
    assert (step.after_bp, step.ttl_s, step.dead_sites, step.cause) == (NOW, None, None, None)
    members = {m: pm for m, pm in view(book).current.members_pm.items() if m != M1}
    back = towards(book, NOW, carrying(book, members_pm=members))
    assert isinstance(back, Step) and (back.kind, back.weights_pm) == (StepKind.POOL, {M1: 1_000})


def test_what_is_done_to_members_is_called_by_its_gravest_part(book: Playbook) -> None:
    members = {m: pm for m, pm in view(book).current.members_pm.items() if m != M2}
    both = replace(seen_down(book, M1), current=replace(view(book).current, members_pm=members))
    step = towards(book, NOW, both)
    assert isinstance(step, Step) and (step.kind, step.members) == (StepKind.DEPOOL, (M2, M1))
    light = carrying(book, members_pm={**view(book).current.members_pm, M1: 500})
    step = towards(book, NOW, light)
    assert isinstance(step, Step) and (step.kind, step.weights_pm) == (StepKind.WEIGH, {M1: 1_000})


def test_a_member_that_a_person_took_out_leaves_on_their_account(book: Playbook) -> None:
    step = towards(book, NOW, view(book, forced=Forced(depooled=frozenset({M1}))))
    assert isinstance(step, Step) and (step.kind, step.cause) == (StepKind.DEPOOL, Cause.PERSON)
    step = towards(book, NOW, replace(seen_down(book, M2), forced=Forced(depooled=frozenset({MemberId("x")}))))
    assert isinstance(step, Step) and step.cause is None


def test_the_ttl_is_lowered_in_unrest_and_restored_after_it(book: Playbook) -> None:
    policy = book.setup.policy.of(WEB)
    assert view(book).current.ttl_s == policy.ttl_normal_s
    step = towards(book, NOW, lately(book, restless_until_ms=book.now_ms + 1))
    assert isinstance(step, Step) and (step.kind, step.ttl_s) == (StepKind.LOWER_TTL, policy.ttl_suspect_s)
    short = carrying(book, ttl_s=policy.ttl_suspect_s)
    step = towards(book, NOW, lately(book, short, restless_until_ms=book.now_ms))
    assert isinstance(step, Step) and (step.kind, step.ttl_s, step.weights_pm) == (StepKind.RESTORE_TTL, policy.ttl_normal_s, {})


def test_a_dead_site_without_a_share_is_closed_and_one_with_a_share_is_open(book: Playbook) -> None:
    left = {P: 0, G: 6_000, A: 4_000}
    draining = tracks(book, pangyo=SiteTrack(life=SiteLife.DRAINED))
    dead = replace(carrying(book, shares_bp=left), signals=signals(pangyo=Signal.DEAD), tracks=draining)
    step = towards(book, left, dead)
    assert isinstance(step, Step) and (step.kind, step.dead_sites) == (StepKind.CLOSE_SITE, frozenset({P}))
    closed = replace(dead, current=replace(dead.current, dead_sites=frozenset({P})))
    assert isinstance(towards(book, left, closed), Wait)
    step = towards(book, NOW, carrying(book, dead_sites=frozenset({P})))
    assert isinstance(step, Step) and (step.kind, step.dead_sites) == (StepKind.OPEN_SITE, frozenset())


def test_a_move_that_a_person_forces_closes_a_dead_site_though_siteshift_is_switched_off(book: Playbook) -> None:
    off = replace(book.state, is_switched_off=True)
    wanted = {P: 5_200, G: 4_800, A: 0}
    dead = carrying(book, shares_bp={P: 5_000, G: 5_000, A: 0})
    dead = replace(dead, signals=signals(anyang=Signal.DEAD), tracks=tracks(book, anyang=SiteTrack(life=SiteLife.DRAINED)))
    forced = replace(dead, forced=Forced(shares_bp=wanted))
    step = towards(book, wanted, forced, state=off, licence=Licence.AS_IF_APPROVED)
    assert moved_to(step) == wanted and isinstance(step, Step) and step.dead_sites == {A}
    there = replace(forced, current=replace(forced.current, shares_bp=wanted))
    assert isinstance(towards(book, wanted, there, state=off), Wait), "without a move it is left as it is"


def test_a_move_takes_members_and_ttl_along_in_one_generation(book: Playbook) -> None:
    policy = book.setup.policy.of(WEB)
    step = towards(book, SOUND, lately(book, seen_down(book, M1), restless_until_ms=book.now_ms + 1))
    assert moved_to(step) == SOUND
    assert isinstance(step, Step) and (step.weights_pm, step.ttl_s) == ({M1: 0}, policy.ttl_suspect_s)
    assert step.cause is Cause.REBALANCE


def test_a_wait_says_its_findings_also_where_a_member_is_changed_meanwhile(book: Playbook) -> None:
    off = replace(book.state, is_switched_off=True)
    found = towards(book, SOUND, view(book, forced=Forced(depooled=frozenset({M1}))), state=off)
    assert isinstance(found, Step) and (found.kind, found.cause) == (StepKind.MOVE, Cause.PERSON)
    assert M1 in found.members and codes(found) == [], "the shares that follow are the person's too"
    frozen = view(book, forced=Forced(frozen_by=an_override(book)))
    found = towards(book, SOUND, lately(book, frozen, restless_until_ms=book.now_ms + 1))
    assert isinstance(found, Step) and (found.kind, found.cause) == (StepKind.LOWER_TTL, Cause.REBALANCE)
    assert codes(found) == [FindingCode.CHANGE_FREEZE]


@pytest.mark.parametrize("state", [{"is_store_usable": False}, {"term": None}])
def test_without_store_or_term_neither_members_nor_ttl_change(book: Playbook, state: dict[str, object]) -> None:
    lost = replace(book.state, **state)  # type: ignore[arg-type]
    assert isinstance(towards(book, NOW, lately(book, seen_down(book, M1), restless_until_ms=book.now_ms + 1), state=lost), Wait)
    assert isinstance(towards(book, NOW, view(book, forced=Forced(depooled=frozenset({M1}))), state=lost), Wait)
    assert not may_write_at_all(draft_of(book, **state)) and may_write_at_all(draft_of(book))


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RECOMMEND])
def test_where_only_people_change_anything_what_they_took_out_goes_and_nothing_else(book: Playbook, mode: Mode) -> None:
    assert isinstance(towards(book, NOW, lately(book, seen_down(book, M1), restless_until_ms=book.now_ms + 1), mode=mode), Wait)
    step = towards(book, NOW, view(book, forced=Forced(depooled=frozenset({M1}))), mode=mode)
    assert isinstance(step, Step) and (step.kind, step.weights_pm) == (StepKind.DEPOOL, {M1: 0})


def ready(book: Playbook, **changes: object) -> Situation:
    """A standby at gasan that is ready, and whose checks pass."""
    found = view(book, standbys={S1: StandbyTrack(phase=StandbyPhase.READY)}, **changes)
    pool = found.pools[G]
    up = replace(pool.members[M2])
    return replace(found, pools={**found.pools, G: replace(pool, members={**pool.members, S1: up})})


def test_what_a_person_asked_for_opens_the_standbys_it_needs_though_siteshift_is_switched_off(book: Playbook) -> None:
    off = replace(book.state, is_switched_off=True)
    step = towards(book, NOW, ready(book, forced=Forced(drained_sites=frozenset({P}))), state=off)
    assert isinstance(step, Step) and (step.kind, set(step.weights_pm)) == (StepKind.POOL, {S1})
    assert isinstance(towards(book, NOW, ready(book), state=off), Wait), "nobody asked"


# -- what siteshift may do by itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "may"), [(Mode.AUTO, (True, True)), (Mode.RECOMMEND, (False, True)), (Mode.OBSERVE, (False, False))]
)
def test_siteshift_tends_in_auto_and_where_a_person_approved_what_it_recommends(
    book: Playbook, mode: Mode, may: tuple[bool, bool]
) -> None:
    situation = view(book, policy=replace(view(book).policy, mode=mode))
    for licence, expected in zip((Licence.AS_GRANTED, Licence.AS_IF_APPROVED), may, strict=True):
        assert may_tend(draft_of(book, licence), situation, mode) is expected
        assert may_open_standby(draft_of(book, licence), situation) is expected


@pytest.mark.parametrize("lost", [{"is_store_usable": False}, {"term": None}])
def test_nothing_is_tended_without_store_or_term(book: Playbook, lost: dict[str, object]) -> None:
    assert not may_tend(draft_of(book, **lost), view(book), Mode.AUTO)
    assert not may_open_standby(draft_of(book, **lost), view(book))


@pytest.mark.parametrize(
    ("forced", "may"),
    [
        (Forced(), False),
        (Forced(drained_sites=frozenset({P})), True),
        (Forced(shares_bp=NOW), True),
        (Forced(depooled=frozenset({M1})), False),
    ],
)
def test_the_off_switch_stops_what_nobody_asked_for(book: Playbook, forced: Forced, may: bool) -> None:
    off = draft_of(book, is_switched_off=True)
    assert not may_tend(off, view(book, forced=forced), Mode.AUTO)
    assert may_open_standby(off, view(book, forced=forced)) is may


def test_no_standby_is_opened_for_planes_that_another_holds(book: Playbook) -> None:
    plane = replace(book.state.plane(PLANE), foreign=PlaneMark(generation=3))
    assert not may_open_standby(draft_of(book, planes={PLANE: plane}), view(book, forced=Forced(drained_sites=frozenset({P}))))


# -- standbys ----------------------------------------------------------------------------------------------------------


def with_standbys(
    book: Playbook, wanted: set[MemberId], situation: Situation | None = None, **phases: StandbyPhase
) -> Step | Wait:
    names = {"s1": S1, "s2": S2}
    draft = draft_of(book, standbys={names[name]: StandbyTrack(phase=phase) for name, phase in phases.items()})
    return next_step(draft, situation or view(book), StandbyGoal(wanted=frozenset(wanted)))


@pytest.mark.parametrize("phase", list(StandbyPhase))
def test_a_standby_that_is_wanted_is_started_when_it_is_cold_and_one_that_is_not_goes_home_when_it_is_proven(
    book: Playbook, phase: StandbyPhase
) -> None:
    found = with_standbys(book, {S1}, s1=phase)
    if phase is StandbyPhase.COLD:
        assert isinstance(found, Step) and (found.kind, found.members) == (StepKind.ACTIVATE_STANDBY, (S1,))
        assert (found.before_bp, found.after_bp, found.shed_bp, found.shed_at) == (NOW, NOW, 0, None)
    else:
        assert found == Wait(service=WEB, code=WaitCode.NOTHING_LEFT)
    found = with_standbys(book, set(), s1=phase)
    if phase is StandbyPhase.PROVEN:
        assert isinstance(found, Step) and (found.kind, found.members) == (StepKind.RETIRE_STANDBY, (S1,))
    else:
        assert found == Wait(service=WEB, code=WaitCode.NOTHING_LEFT)


def test_standbys_are_started_before_others_go_home_and_all_of_a_kind_at_once(book: Playbook) -> None:
    both = with_standbys(book, {S1}, s1=StandbyPhase.COLD, s2=StandbyPhase.PROVEN)
    assert isinstance(both, Step) and (both.kind, both.members) == (StepKind.ACTIVATE_STANDBY, (S1,))
    two = with_standbys(book, {S1, S2})
    assert isinstance(two, Step) and two.members == (S1, S2)
    home = with_standbys(book, set(), s1=StandbyPhase.PROVEN, s2=StandbyPhase.PROVEN)
    assert isinstance(home, Step) and home.members == (S1, S2)


def test_no_standby_goes_home_from_a_site_that_nobody_can_judge(book: Playbook) -> None:
    unseen = view(book, signals=signals(gasan=Signal.NO_EVIDENCE))
    found = with_standbys(book, set(), unseen, s1=StandbyPhase.PROVEN, s2=StandbyPhase.PROVEN)
    assert isinstance(found, Step) and found.members == (S2,)


def test_what_is_shed_meanwhile_stays_shed_where_it_is(book: Playbook) -> None:
    shedding = carrying(book, shares_bp={P: 4_000, G: 3_000, A: 2_000}, shed_bp=1_000, shed_at=P)
    found = with_standbys(book, {S1}, shedding)
    assert isinstance(found, Step) and (found.shed_bp, found.shed_at) == (1_000, P)
