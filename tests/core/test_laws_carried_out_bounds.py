"""Where law 18 begins and ends: how much room is held against whom, how long something counts as under way, who is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import PLANE, WEB, A, G, P, Playbook
from core.test_laws import a_goal, an_override
from siteshift.core.laws.carried_out import NEXT_LOOK_MS, PLANE_BOUND_MS, SLACK_BP, law_18_carried_out
from siteshift.core.laws.passage import Passage
from siteshift.core.messages.events import Ticked
from siteshift.core.model.codes import FindingCode, LeftBecause, OverrideKind, Severity, SiteLife, StandbyPhase, Standing
from siteshift.core.model.finding import finding
from siteshift.core.model.units import MemberId, SiteId
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState
from siteshift.core.state.tracks import PlaneStanding, SiteTrack, StandbyTrack

NOW = {P: 5_000, G: 3_000, A: 2_000}
S1, M1 = MemberId("web/gasan/s1"), MemberId("web/pangyo/m1")


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(60_000, tick_ms=500)
    return made


def with_shares(state: ControllerState, shares: dict[SiteId, int], **more: object) -> ControllerState:
    entry = state.steering.of(WEB)
    assert entry is not None
    changed = replace(entry, shares_bp=shares, **more)  # type: ignore[arg-type]
    return replace(state, steering=replace(state.steering, services=(changed,)))


def drained(book: Playbook, shares: dict[SiteId, int] = NOW) -> ControllerState:
    """Pangyo is to be left, and nothing is done for it."""
    state = replace(book.state, overrides=(an_override(book, expires_ms=book.now_ms + 3_600_000),))
    return with_shares(state, shares)


def said(book: Playbook, state: ControllerState, *, looked_ago_ms: int = 0) -> list[str]:
    """What law 18 says of a look at this state; with an earlier look, of a tick so long after it."""
    before = replace(state, thought_at_ms=book.now_ms - max(1, looked_ago_ms))
    after = replace(state, thought_at_ms=book.now_ms - looked_ago_ms)
    passage = Passage(before=before, event=Ticked(at_ms=book.now_ms), after=after, commands=(), setup=book.setup)
    return [violation.text for violation in law_18_carried_out(passage)]


def test_a_drain_is_held_against_who_has_more_room_than_a_trifle(book: Playbook) -> None:
    """Gasan and anyang carry 3,600 bp each."""
    assert said(book, drained(book)) == [
        "web: 5000 bp stay at pangyo although o1 drains it and others have room, and nothing says why"
    ]
    assert said(book, drained(book, {P: 3_000, G: 3_600 - SLACK_BP, A: 3_600})) == []
    assert len(said(book, drained(book, {P: 3_000, G: 3_599 - SLACK_BP, A: 3_600}))) == 1
    assert said(book, drained(book, {P: 0, G: 3_000, A: 2_000})) == []
    assert said(book, drained(book, {G: 3_000, A: 2_000})) == [], "it is not there any more"


def test_a_look_is_due_every_few_seconds_and_in_between_nobody_is_blamed(book: Playbook) -> None:
    state = drained(book)
    assert said(book, state, looked_ago_ms=NEXT_LOOK_MS) == []
    assert len(said(book, state, looked_ago_ms=NEXT_LOOK_MS + 1)) == 1


@pytest.mark.parametrize(
    "changes", [{"is_fresh": False}, {"is_store_usable": False}, {"term": None}], ids=lambda changes: next(iter(changes))
)
def test_where_nothing_may_be_decided_nothing_is_undone(book: Playbook, changes: dict[str, object]) -> None:
    assert said(book, replace(drained(book), **changes)) == []  # type: ignore[arg-type]


def test_what_is_named_is_no_silence(book: Playbook) -> None:
    state = drained(book)
    for severity, is_silent in ((Severity.REFUSED, False), (Severity.NEEDS_APPROVAL, False), (Severity.ALLOWED, True)):
        transition = replace(state.transition(WEB), findings=(finding(FindingCode.VELOCITY, severity, ""),))
        assert bool(said(book, replace(state, transitions={WEB: transition}))) is is_silent
    for goal_state, is_silent in ((GoalState.SUSPENDED, False), (GoalState.RUNNING, True)):
        track = a_goal(book, state=goal_state)
        assert bool(said(book, replace(state, goals={track.goal.digest: track}))) is is_silent
    for picture in ({"blind": True}, {"global_fault": frozenset({WEB})}):
        assert said(book, replace(state, picture=replace(state.picture, **picture))) == []  # type: ignore[arg-type]


def test_a_step_is_under_way_until_it_has_settled(book: Playbook) -> None:
    state, settle_ms = drained(book), book.setup.policy.of(WEB).settle_ms
    for moved_ago_ms, decided_ago_ms, is_silent in (
        (settle_ms - 1, settle_ms - 1, False),
        (settle_ms, settle_ms, True),
        (settle_ms - 1, settle_ms, True),
    ):
        steering = replace(state.steering, decided_at_ms=book.now_ms - decided_ago_ms)
        transition = replace(state.transition(WEB), moved_at_ms=book.now_ms - moved_ago_ms)
        moved = replace(state, steering=steering, transitions={WEB: transition})
        assert bool(said(book, moved)) is is_silent, "a step that changed nothing made no generation"


def test_a_plane_is_waited_for_no_longer_than_it_takes_to_name_it(book: Playbook) -> None:
    state = drained(book)
    behind = {PLANE: replace(state.plane(PLANE), standing=PlaneStanding.WRITING)}
    for ago_ms, is_silent in ((PLANE_BOUND_MS - 1, False), (PLANE_BOUND_MS, True)):
        steering = replace(state.steering, decided_at_ms=book.now_ms - ago_ms)
        assert bool(said(book, replace(state, planes=behind, steering=steering))) is is_silent


@pytest.mark.parametrize("phase", list(StandbyPhase))
def test_a_standby_on_its_way_is_waited_for_until_its_deadline(book: Playbook, phase: StandbyPhase) -> None:
    is_coming = phase in (StandbyPhase.STARTING, StandbyPhase.READY)
    for left_ms in (1, 0):
        track = StandbyTrack(phase=phase, deadline_ms=book.now_ms + left_ms)
        state = replace(drained(book), standbys={S1: track})
        assert (said(book, state) == []) is (is_coming and left_ms > 0)


def test_room_is_with_those_who_serve_are_well_and_are_not_capped(book: Playbook) -> None:
    """Anyang is full, so it is gasan's room alone."""
    state = drained(book, {P: 4_000, G: 2_400, A: 3_600})
    assert len(said(book, state)) == 1
    capped = Carrying(
        failed_rps=30, answered_rps=24, cap_rps=24, proven_rps=24, open_rps=40, failed_at_ms=0, hold_ms=1, until_ms=0
    )
    for known, is_silent in ((capped, True), (replace(capped, cap_rps=None), False)):
        transition = replace(state.transition(WEB), carrying={G: known})
        assert (said(book, replace(state, transitions={WEB: transition})) == []) is is_silent
    pools = dict(state.picture.pools)
    pools[(WEB, G)] = replace(pools[(WEB, G)], standing=Standing.SUSPECT)
    assert said(book, replace(state, picture=replace(state.picture, pools=pools))) == []
    for life in SiteLife:
        track = SiteTrack(life=life)
        assert bool(said(book, replace(state, tracks={(WEB, G): track}))) is (life is SiteLife.SERVING)


def test_shares_that_are_forced_are_to_the_basis_point(book: Playbook) -> None:
    made = an_override(book, kind=OverrideKind.SHARES, site=None, expires_ms=book.now_ms + 3_600_000)
    forced = replace(book.state, overrides=(replace(made, service=WEB, shares_bp={P: 5_001, G: 2_999, A: 2_000}),))
    assert said(book, forced) == [
        "web: pangyo has 5000 bp although o1 forces 5001, and nothing says why",
        "web: gasan has 3000 bp although o1 forces 2999, and nothing says why",
    ]
    away = {(WEB, P): SiteTrack(life=SiteLife.DRAINED), (WEB, G): SiteTrack(life=SiteLife.DRAINING)}
    assert said(book, replace(forced, tracks=away)) == [], "evidence comes before what is forced"
    nothing = replace(book.state, overrides=(replace(made, service=WEB, shares_bp={P: 5_000, G: 5_000}),))
    assert [text.split(",")[0] for text in said(book, with_shares(nothing, {P: 5_000, G: 5_000}))] == []


def test_a_member_that_was_taken_out_serves_only_where_all_were(book: Playbook) -> None:
    members = [m.id for m in book.setup.topology.pools[(WEB, P)].members]
    for count, is_silent in ((1, True), (len(members) - 1, True), (len(members), False)):
        overrides = tuple(
            an_override(
                book, id=f"o{n}", kind=OverrideKind.DEPOOL, site=None, member=name, expires_ms=book.now_ms + 3_600_000
            )
            for n, name in enumerate(members[:count])
        )
        assert bool(said(book, replace(book.state, overrides=overrides))) is is_silent


BACK = SiteTrack(life=SiteLife.RETURNING, left_because=LeftBecause.PERSON, ramp_step=2)


def test_a_site_on_its_way_back_has_nine_tenths_of_its_step_where_it_has_room(book: Playbook) -> None:
    """A quarter of 5,000 bp is 1,250; pangyo carries 5,400."""
    def with_share(bp: int, **track: object) -> bool:
        state = replace(book.state, tracks={(WEB, P): replace(BACK, **track)})  # type: ignore[arg-type]
        return bool(said(book, with_shares(state, {P: bp, G: 10_000 - 2_000 - bp, A: 2_000})))

    assert not with_share(1_125) and with_share(1_124)
    assert with_share(4_499, ramp_step=9), "its last step is the whole"
    assert not with_share(4_500, ramp_step=9)
    assert not with_share(0, left_because=LeftBecause.DEAD), "nobody let it back"
    assert with_share(0, left_because=LeftBecause.DEAD, is_return_asked=True)
    shed = with_shares(replace(book.state, tracks={(WEB, P): BACK}), {P: 0, G: 7_000, A: 2_000}, shed_bp=1_000, shed_at=P)
    assert said(book, shed) == []


def test_a_step_is_owed_where_there_is_room_for_more_than_it(book: Playbook) -> None:
    """With one member of 15 rps pangyo carries 1,350 bp: 100 above its step, which is a trifle."""
    state = with_shares(replace(book.state, tracks={(WEB, P): BACK}), {P: 0, G: 8_000, A: 2_000})
    entry = state.steering.of(WEB)
    assert entry is not None

    def on(weight_pm: int) -> bool:
        members = {m: pm for m, pm in entry.members_pm.items() if not m.startswith("web/pangyo/")}
        full = {MemberId(f"web/pangyo/m{n}"): weight_pm for n in (1, 2)}
        return bool(said(book, with_shares(state, dict(entry.shares_bp), members_pm={**members, **full})))

    assert on(1_000), "27 rps within the limit"
    assert not on(500), "14 * 900 // 1000 rps are 1,200 bp"


def test_a_well_site_that_a_person_let_back_starts_to_return(book: Playbook) -> None:
    for life in (SiteLife.DRAINED, SiteLife.DRAINING):
        track = SiteTrack(life=life, left_because=LeftBecause.DEAD, is_return_asked=True)
        state = replace(book.state, tracks={(WEB, P): track})
        assert said(book, state)[0].startswith(f"web: pangyo is {life.value} although it is well and was let back")
        drain = an_override(book, expires_ms=book.now_ms + 3_600_000)
        assert not any("let back" in text for text in said(book, replace(state, overrides=(drain,))))
        assert said(book, replace(state, tracks={(WEB, P): replace(track, is_return_asked=False)})) == []


def test_a_goal_that_runs_is_about_something_that_moves(book: Playbook) -> None:
    track = a_goal(book, override=None)
    state = replace(book.state, goals={track.goal.digest: track})
    assert said(book, state) == [f"web: drain of kim ({track.digest}) runs, and nothing moves, and nothing says why"]
    for life in (SiteLife.DRAINING, SiteLife.RETURNING):
        moving = replace(state, tracks={(WEB, G): SiteTrack(life=life)})
        assert not any("runs" in text for text in said(book, moving))
    for changed in (replace(track, at_target=frozenset({WEB})), replace(track, state=GoalState.WAITING)):
        assert said(book, replace(state, goals={track.goal.digest: changed})) == []
