"""What is remembered of a step once it is taken, and what a service that is where it should be still waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.plan.test_next_step import (
    BEFORE,
    M1,
    NOW,
    S1,
    S2,
    SOUND,
    carrying,
    draft_of,
    lately,
    signals,
    tracks,
    view,
)
from core.playbook import PLANE, WEB, A, G, P, Playbook
from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.situation import Situation
from siteshift.core.messages.commands import ActivateStandby
from siteshift.core.model.cause import Cause, Move
from siteshift.core.model.codes import SiteLife, StandbyPhase, StepKind
from siteshift.core.model.plan import Step, WaitCode
from siteshift.core.model.setup import PlaneKind
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.plan.apply import apply_step, note_move
from siteshift.core.plan.pending import what_is_coming, what_is_pending
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import PlaneStanding, ServiceTransition, SiteTrack, StandbyTrack

MINUTE = 60_000


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def step(kind: StepKind, after_bp: dict[SiteId, int], **more: object) -> Step:
    return replace(Step(kind=kind, service=WEB, before_bp=NOW, after_bp=after_bp), **more)  # type: ignore[arg-type]


def taken(book: Playbook, made: Step, situation: Situation | None = None) -> tuple[Draft, ServiceTransition]:
    """The draft once the step is taken, and what is remembered of the service then."""
    situation = situation or view(book)
    draft = draft_of(book, transitions={WEB: situation.transition})
    apply_step(draft, situation, made)
    return draft, draft.state.transition(WEB)


# -- a move ------------------------------------------------------------------------------------------------------------


def test_a_move_is_remembered_for_velocity_for_the_ttl_and_for_undoing_it(book: Playbook) -> None:
    made = step(StepKind.MOVE, SOUND, cause=Cause.DEGRADED)
    draft, found = taken(book, made, lately(book, held_until_ms=9))
    now_ms, ttl_ms = book.now_ms, view(book).current.ttl_s * 1_000
    assert draft.steps == [made]
    assert found == ServiceTransition(
        moved_at_ms=now_ms,
        tail_until_ms=now_ms + ttl_ms,
        cached_bp=NOW,
        cached_ms=now_ms,
        undo_bp=NOW,
        held_until_ms=9,
        moves=(Move(at_ms=now_ms, moved_bp=200, cause=Cause.DEGRADED),),
    )


def test_what_a_dead_site_is_left_for_is_not_undone(book: Playbook) -> None:
    assert taken(book, step(StepKind.MOVE, SOUND, cause=Cause.DEAD))[1].undo_bp is None


@pytest.mark.parametrize(
    ("cause", "counts"), [(Cause.DEGRADED, True), (Cause.DEAD, True), (Cause.PERSON, False), (Cause.RELEASE, False)]
)
def test_a_removal_counts_when_nobody_asked_for_it(book: Playbook, cause: Cause, counts: bool) -> None:
    removed = taken(book, step(StepKind.MOVE, {P: 0, G: 6_000, A: 4_000}, cause=cause))[1]
    assert removed.removals_ms == ((book.now_ms,) if counts else ())
    assert taken(book, step(StepKind.MOVE, {P: 1, G: 5_999, A: 4_000}, cause=cause))[1].removals_ms == ()


def test_a_site_that_a_step_names_no_more_is_removed(book: Playbook) -> None:
    assert taken(book, step(StepKind.MOVE, {G: 6_000, A: 4_000}, cause=Cause.DEGRADED))[1].removals_ms == (book.now_ms,)


def test_moves_and_removals_are_remembered_for_an_hour_or_for_as_long_as_the_velocity_limit_counts(book: Playbook) -> None:
    hour_ms = 60 * MINUTE
    old = tuple(Move(at_ms=book.now_ms - ago_ms, moved_bp=1, cause=Cause.DEAD) for ago_ms in (hour_ms + 1, hour_ms, 5))
    situation = lately(book, moves=old, removals_ms=(book.now_ms - hour_ms - 1, book.now_ms - hour_ms))
    found = taken(book, step(StepKind.MOVE, {P: 0, G: 6_000, A: 4_000}, cause=Cause.DEGRADED), situation)[1]
    assert found.moves[:-1] == old[1:] and found.removals_ms == (book.now_ms - hour_ms, book.now_ms)
    longer = replace(situation, policy=replace(situation.policy, velocity_window_ms=hour_ms + 1))
    assert taken(book, step(StepKind.MOVE, SOUND, cause=Cause.DEGRADED), longer)[1].moves[:-1] == old


def test_a_change_in_which_nobody_loses_is_no_move_for_velocity_and_leaves_the_ttl_as_it_was(book: Playbook) -> None:
    shedding = carrying(book, shares_bp={P: 4_000, G: 3_000, A: 2_000}, shed_bp=1_000, shed_at=P)
    found = taken(book, step(StepKind.MOVE, NOW, cause=Cause.DEAD), lately(book, shedding, tail_until_ms=7))[1]
    assert (found.moves, found.removals_ms, found.tail_until_ms) == ((), (), 7)
    assert found.moved_at_ms == book.now_ms


def test_a_relief_is_remembered_with_what_the_site_was_relieved_to(book: Playbook) -> None:
    full = view(book, signals=signals(pangyo=Signal.OVERLOADED))
    other = Carrying(
        failed_rps=1, answered_rps=1, cap_rps=1, proven_rps=1, open_rps=2, failed_at_ms=1, hold_ms=3, until_ms=4
    )
    found = taken(book, step(StepKind.MOVE, SOUND, cause=Cause.RELIEF), lately(book, full, carrying={G: other}))[1]
    assert found.carrying[G] == other
    mine = found.carrying[P]
    assert (mine.cap_rps, mine.proven_rps, mine.open_rps) == (48, 48, 60)
    assert (mine.failed_at_ms, mine.until_ms) == (book.now_ms, book.now_ms + 30_000)
    assert A not in found.carrying, "it gained"


def test_a_site_that_was_relieved_may_keep_the_share_it_was_relieved_to(book: Playbook) -> None:
    """Caps are whole requests/s: rounded down each took a little more, and what it carries was shed."""
    full = view(book, signals=signals(pangyo=Signal.OVERLOADED))
    relieved = {P: 4_805, G: 3_095, A: 2_100}
    found = taken(book, step(StepKind.MOVE, relieved, cause=Cause.RELIEF), lately(book, full))[1]
    assert found.carrying[P].cap_rps == 49
    after = replace(full, transition=found)
    assert after.held_bp(after.service.pools[0]) >= relieved[P]


@pytest.mark.parametrize(("left_ms", "is_in_row"), [(1, True), (0, False)])
@pytest.mark.parametrize("has_dns", [True, False])
def test_moves_of_one_row_go_by_the_shares_before_the_first(book: Playbook, left_ms: int, is_in_row: bool, has_dns: bool) -> None:
    """As long as answers from before it live; without DNS while it is restless."""
    until = {"tail_until_ms" if has_dns else "restless_until_ms": book.now_ms + left_ms}
    first = lately(book, view(book, has_dns=has_dns), cached_bp=BEFORE, cached_ms=5, **until)
    found = taken(book, step(StepKind.MOVE, SOUND, cause=Cause.REBALANCE), first)[1]
    assert (found.cached_bp, found.cached_ms) == ((BEFORE, 5) if is_in_row else (NOW, book.now_ms))
    none_yet = lately(book, first, cached_bp={})
    assert taken(book, step(StepKind.MOVE, SOUND, cause=Cause.REBALANCE), none_yet)[1].cached_bp == NOW


def test_the_old_answers_live_as_long_as_the_longest_that_was_given(book: Playbook) -> None:
    made, ttl_ms = step(StepKind.MOVE, SOUND, cause=Cause.REBALANCE), view(book).current.ttl_s * 1_000
    for old_ttl_ms, tail_ms, expected_ms in ((1, 1, ttl_ms), (ttl_ms + 1, 1, ttl_ms + 1), (1, ttl_ms + 2, ttl_ms + 2)):
        situation = lately(book, old_ttl_until_ms=book.now_ms + old_ttl_ms, tail_until_ms=book.now_ms + tail_ms)
        assert taken(book, made, situation)[1].tail_until_ms == book.now_ms + expected_ms
        without = replace(situation, has_dns=False)
        assert taken(book, made, without)[1].tail_until_ms == book.now_ms + tail_ms, "nothing holds them"


def test_where_what_still_comes_to_a_drained_site_goes_is_reckoned_from_what_caches_hold(book: Playbook) -> None:
    draft = draft_of(book)
    after = apply_step(draft, view(book), step(StepKind.MOVE, {P: 0, G: 5_500, A: 4_500}, cause=Cause.PERSON))
    assert after.onward_bp == {G: 2_500, A: 2_500}, "to those who gained, by their gain"


def test_a_step_changes_what_it_names_and_nothing_else(book: Playbook) -> None:
    current = carrying(book, dead_sites=frozenset({A}))
    made = step(StepKind.MOVE, SOUND, weights_pm={M1: 0, S1: 20}, members=(M1, S1), cause=Cause.PERSON)
    after = apply_step(draft_of(book), current, made)
    members = {m: pm for m, pm in current.current.members_pm.items() if m != M1} | {S1: 20}
    assert (after.members_pm, after.ttl_s, after.dead_sites) == (members, current.current.ttl_s, frozenset({A}))
    made = step(StepKind.CLOSE_SITE, SOUND, ttl_s=0, dead_sites=frozenset(), shed_bp=10, shed_at=P)
    after = apply_step(draft_of(book), current, made)
    assert (after.ttl_s, after.dead_sites, after.shed_bp, after.shed_at) == (0, frozenset(), 10, P)
    assert after.shares_bp == SOUND


@pytest.mark.parametrize(("ttl_s", "lives"), [(29, True), (30, False), (31, False)])
def test_a_ttl_that_is_lowered_lives_on_in_the_answers_given_so_far(book: Playbook, ttl_s: int, lives: bool) -> None:
    assert view(book).current.ttl_s == 30
    found = taken(book, step(StepKind.LOWER_TTL, NOW, ttl_s=ttl_s))[1]
    assert found.old_ttl_until_ms == (book.now_ms + 30_000 if lives else 0)


def test_an_undo_holds_the_next_move_for_a_hold_down(book: Playbook) -> None:
    found = taken(book, step(StepKind.UNDO, BEFORE, cause=Cause.REBALANCE), lately(book, undo_bp=BEFORE, moved_at_ms=1))[1]
    assert found == ServiceTransition(
        moved_at_ms=book.now_ms,
        tail_until_ms=book.now_ms + 30_000,
        cached_bp=NOW,
        cached_ms=book.now_ms,
        held_until_ms=book.now_ms + view(book).policy.hold_down_ms,
    )


def test_orders_to_standbys_leave_the_steering_as_it_is_and_go_to_each(book: Playbook) -> None:
    draft, situation = draft_of(book), view(book)
    assert apply_step(draft, situation, step(StepKind.ACTIVATE_STANDBY, NOW, members=(S1, S2))) is situation.current
    assert [c.member for c in draft.commands if isinstance(c, ActivateStandby)] == [S1, S2]
    assert {draft.state.standby(m).phase for m in (S1, S2)} == {StandbyPhase.STARTING}
    assert apply_step(draft, situation, step(StepKind.RETIRE_STANDBY, NOW, members=(S1, S2))) is situation.current
    assert {draft.state.standby(m).phase for m in (S1, S2)} == {StandbyPhase.RETIRING}
    assert draft.state.transition(WEB) == situation.transition
    assert [made.kind for made in draft.steps] == [StepKind.ACTIVATE_STANDBY, StepKind.RETIRE_STANDBY]


def test_a_move_on_nobodys_account_is_a_rebalance(book: Playbook) -> None:
    assert [move.cause for move in taken(book, step(StepKind.MOVE, SOUND))[1].moves] == [Cause.REBALANCE]
    draft = draft_of(book)
    note_move(draft, view(book), replace(view(book).current, shares_bp=SOUND), Cause.PERSON)
    assert [move.cause for move in draft.state.transition(WEB).moves] == [Cause.PERSON]


def test_what_may_be_sent_on_shrinks_where_siteshift_may_tend_and_with_every_move(book: Playbook) -> None:
    """Half of the TTL is over, and what is shed is led to pangyo, which is drained: a step that moves nothing leaves it as it
    is while siteshift is switched off."""
    left = {P: 0, G: 5_000, A: 4_000}
    shed = carrying(book, shares_bp=left, shed_bp=1_000, shed_at=P, onward_bp={G: 2_000, A: 2_000})
    half = lately(book, shed, cached_bp=NOW, cached_ms=book.now_ms - 15_000, tail_until_ms=book.now_ms + 15_000)
    weigh = step(StepKind.WEIGH, left, shed_bp=1_000, shed_at=P)

    def onward(made: Step, **state: object) -> object:
        draft = draft_of(book, transitions={WEB: half.transition}, **state)
        return apply_step(draft, half, made).onward_bp

    assert onward(weigh) == {G: 500, A: 500}, "three quarters will have run out at the end of this quarter"
    assert onward(weigh, is_switched_off=True) == {G: 2_000, A: 2_000}
    assert onward(replace(weigh, kind=StepKind.MOVE, cause=Cause.PERSON), is_switched_off=True) == {G: 500, A: 500}


# -- what is waited for ------------------------------------------------------------------------------------------------


def pending(book: Playbook, situation: Situation, **state: object) -> tuple[WaitCode, int | None]:
    found = what_is_pending(draft_of(book, **state), situation)
    assert (found.service, found.findings, found.cause) == (WEB, (), None)
    return found.code, found.until_ms


def test_a_standby_on_its_way_is_waited_for_first(book: Playbook) -> None:
    starting = StandbyTrack(phase=StandbyPhase.STARTING, deadline_ms=50)
    ready = StandbyTrack(phase=StandbyPhase.READY, deadline_ms=60)
    proof_ms = view(book).policy.proof_ms
    assert what_is_coming(draft_of(book, standbys={S1: ready, S2: starting}), view(book)) == (WaitCode.STANDBY_READY, 50)
    assert what_is_coming(draft_of(book, standbys={S1: ready}), view(book)) == (WaitCode.STANDBY_PROOF, 60)
    proving = replace(ready, proof_since_ms=7)
    assert what_is_coming(draft_of(book, standbys={S1: proving}), view(book)) == (WaitCode.STANDBY_PROOF, 7 + proof_ms)
    for phase in (StandbyPhase.COLD, StandbyPhase.PROVEN, StandbyPhase.FAILED, StandbyPhase.RETIRING):
        assert what_is_coming(draft_of(book, standbys={S1: StandbyTrack(phase=phase)}), view(book)) is None
    restless = lately(book, restless_until_ms=book.now_ms + 9)
    assert pending(book, restless, standbys={S1: starting}) == (WaitCode.STANDBY_READY, 50)


@pytest.mark.parametrize(("left_ms", "code"), [(1, WaitCode.CALM), (0, WaitCode.NOTHING_LEFT)])
def test_a_service_that_moves_nowhere_waits_for_calm(book: Playbook, left_ms: int, code: WaitCode) -> None:
    until_ms = book.now_ms + left_ms
    assert pending(book, lately(book, restless_until_ms=until_ms)) == (code, until_ms if left_ms else None)


def test_a_drain_waits_for_room_then_for_old_answers_then_for_what_is_seen(book: Playbook) -> None:
    draining = view(book, tracks=tracks(book, pangyo=SiteTrack(life=SiteLife.DRAINING)))
    assert pending(book, draining) == (WaitCode.ROOM, None)
    left = replace(draining, current=replace(draining.current, shares_bp={P: 0, G: 6_000, A: 4_000}))
    assert pending(book, lately(book, left, tail_until_ms=book.now_ms + 1)) == (WaitCode.TTL, book.now_ms + 1)
    assert pending(book, lately(book, left, tail_until_ms=book.now_ms)) == (WaitCode.RESIDUAL, None)
    behind = replace(book.state.plane(PLANE), standing=PlaneStanding.BEHIND)
    assert pending(book, left, planes={PLANE: behind}) == (WaitCode.PLANES, None)
    assert pending(book, view(book), planes={PLANE: behind}) == (WaitCode.NOTHING_LEFT, None), "nobody moves"


def test_a_site_that_comes_back_soaks_from_its_step_or_from_the_last_move(book: Playbook) -> None:
    soak_ms = view(book).policy.soak_ms
    back = SiteTrack(life=SiteLife.RETURNING, step_since_ms=100)
    returning = view(book, tracks=tracks(book, pangyo=back))
    assert pending(book, lately(book, returning, moved_at_ms=99)) == (WaitCode.SOAK, 100 + soak_ms)
    assert pending(book, lately(book, returning, moved_at_ms=101)) == (WaitCode.SOAK, 101 + soak_ms)
    doubtful = replace(returning, signals=signals(pangyo=Signal.SUSPECTED))
    assert pending(book, lately(book, doubtful, restless_until_ms=book.now_ms + 5)) == (WaitCode.CALM, book.now_ms + 5)
    both = replace(doubtful, tracks=tracks(book, pangyo=back, gasan=SiteTrack(life=SiteLife.DRAINING)))
    assert pending(book, both) == (WaitCode.ROOM, None), "of two that move the first that says something"


def test_planes_without_dns_hold_no_answers(book: Playbook) -> None:
    planes = tuple(replace(plane, kind=PlaneKind.BALANCER) for plane in book.setup.planes)
    book.setup = replace(book.setup, planes=planes)
    assert not view(book).has_dns
    assert taken(book, step(StepKind.MOVE, SOUND, cause=Cause.PERSON))[1].tail_until_ms == 0
    assert MemberId("web/pangyo/m1") in view(book).current.members_pm
