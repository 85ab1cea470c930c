"""What a plan takes for granted of the world, and what it says when it does not: planes, standbys, traffic, room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.plan.test_next_step import NOW, S1, S2, carrying, draft_of, signals, tracks, view
from core.playbook import PLANE, WEB, A, G, P, Playbook, three_sites
from core.test_laws import a_goal, an_override
from core.test_reload import BLOG, LB, two_services
from siteshift.core.beliefs.life import Signal
from siteshift.core.decide.steering import Target
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.events import PlanFolded
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import (
    EnactOutcome,
    FindingCode,
    Hardness,
    LeftBecause,
    Severity,
    SiteLife,
    StandbyPhase,
    Standing,
    StepKind,
)
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.override import Forced
from siteshift.core.model.plan import Foreseen, Plan, Step
from siteshift.core.model.setup import PlaneRef
from siteshift.core.model.units import MemberId
from siteshift.core.plan.fold import Fold, empty_plan, sharing_room
from siteshift.core.plan.following import UNKNOWN_FACT, absorb_plan, expect, expect_granted, facts_of, follow
from siteshift.core.plan.foreseen import basis_of, planned
from siteshift.core.plan.predict import (
    EXPECTED_STANDBY_MS,
    EXPECTED_WRITE_MS,
    FEW,
    forecast_of,
    next_expected_ms,
    predict,
    predicting,
    why_silent,
)
from siteshift.core.plan.warnings import room_findings, silent_planes, stuck_findings
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import PlaneStanding, PlaneTrack, SiteTrack, StandbyTrack, TrafficTrack

LEFT = {P: 0, G: 6_000, A: 4_000}
M1 = MemberId("web/pangyo/m1")
AWAY = SiteTrack(life=SiteLife.DRAINING, left_because=LeftBecause.PERSON)


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def later(book: Playbook, state: ControllerState, now_ms: int) -> ControllerState:
    return predict(forecast_of(state, book.setup, book.setup.topology.services, book.now_ms), state, now_ms)


def expected_ms(book: Playbook, state: ControllerState) -> int:
    return next_expected_ms(forecast_of(state, book.setup, book.setup.topology.services, book.now_ms), state, book.now_ms)


# -- data planes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("track", "why"),
    [
        (PlaneTrack(), None),
        (PlaneTrack(unread_since_ms=0), "it cannot be read"),
        (PlaneTrack(unread_since_ms=5, detail="refused"), "it cannot be read: refused"),
        (PlaneTrack(standing=PlaneStanding.REFUSING), "it refuses what it is sent"),
        (PlaneTrack(standing=PlaneStanding.REFUSING, detail="NOTAUTH"), "it refuses what it is sent: NOTAUTH"),
        (PlaneTrack(outcome=EnactOutcome.FAILED, attempts=1), "it could not be written"),
        (PlaneTrack(outcome=EnactOutcome.FAILED, attempts=1, detail="EOF"), "it could not be written: EOF"),
        (PlaneTrack(outcome=EnactOutcome.FAILED, attempts=0), None),
        (PlaneTrack(outcome=EnactOutcome.APPLIED, attempts=1, detail="x"), None),
        (PlaneTrack(standing=PlaneStanding.BEHIND, detail="x"), None),
    ],
)
def test_why_a_data_plane_will_not_confirm(track: PlaneTrack, why: str | None) -> None:
    assert why_silent(track) == why


def written(book: Playbook, **track: object) -> ControllerState:
    """A new generation that no plane has confirmed yet."""
    steering = replace(book.state.steering, generation=7, decided_at_ms=book.now_ms)
    return replace(book.state, steering=steering, planes={PLANE: replace(book.state.plane(PLANE), **track)})  # type: ignore[arg-type]


def test_a_plane_is_expected_to_confirm_a_tenth_of_a_second_after_the_decision(book: Playbook) -> None:
    state = written(book, standing=PlaneStanding.WRITING)
    assert expected_ms(book, state) == book.now_ms + EXPECTED_WRITE_MS == book.now_ms + 100
    assert later(book, state, book.now_ms + 99).planes == state.planes
    after = later(book, state, book.now_ms + 100).plane(PLANE)
    assert (after.standing, after.confirmed_generation, after.unread_since_ms) == (PlaneStanding.IN_STEP, 7, None)
    assert expected_ms(book, later(book, state, book.now_ms + 100)) == NEVER_MS


def test_a_plane_that_will_not_confirm_is_not_expected_to(book: Playbook) -> None:
    state = written(book, unread_since_ms=1)
    assert later(book, state, book.now_ms + 60_000).planes == state.planes
    assert expected_ms(book, state) == NEVER_MS


def test_a_plane_is_confirmed_when_it_has_the_generation_and_is_in_step(book: Playbook) -> None:
    for track in ({"standing": PlaneStanding.BEHIND, "confirmed_generation": 7}, {"confirmed_generation": 6}):
        assert expected_ms(book, written(book, **track)) == book.now_ms + 100
    assert expected_ms(book, written(book, confirmed_generation=7)) == NEVER_MS


# -- standbys ----------------------------------------------------------------------------------------------------------


def test_a_standby_is_expected_to_be_ready_ten_seconds_after_it_was_started_and_its_checks_to_pass(book: Playbook) -> None:
    started_ms = book.now_ms - 4_000
    starting = StandbyTrack(phase=StandbyPhase.STARTING, since_ms=started_ms, proof_since_ms=3)
    state = replace(book.state, standbys={S1: starting})
    due_ms = started_ms + EXPECTED_STANDBY_MS
    assert expected_ms(book, state) == due_ms
    early = later(book, state, due_ms - 1)
    assert early.standby(S1) == replace(starting, next_ask_ms=due_ms), "its driver is not asked every moment meanwhile"
    assert S1 not in early.picture.pools[(WEB, G)].members or early.picture == state.picture
    ready = later(book, state, due_ms)
    assert ready.standby(S1) == StandbyTrack(phase=StandbyPhase.READY, since_ms=due_ms)
    up = TargetView(standing=Standing.UP, score_pm=1_000, since_ms=due_ms)
    assert ready.picture.pools[(WEB, G)].members[S1] == up
    assert ready.picture.pools[(WEB, A)] == state.picture.pools[(WEB, A)]
    assert expected_ms(book, ready) == NEVER_MS
    again = later(book, ready, due_ms + 5_000)
    assert again.picture is ready.picture and again.standbys == ready.standbys


@pytest.mark.parametrize("phase", [StandbyPhase.COLD, StandbyPhase.PROVEN, StandbyPhase.FAILED, StandbyPhase.RETIRING])
def test_of_any_other_standby_nothing_is_expected(book: Playbook, phase: StandbyPhase) -> None:
    state = replace(book.state, standbys={S1: StandbyTrack(phase=phase)})
    after = later(book, state, book.now_ms + 60_000)
    assert after.standbys == state.standbys and after.picture is state.picture


# -- traffic -----------------------------------------------------------------------------------------------------------


def moving(book: Playbook, *, cached_ms: int, tail_ms: int) -> ControllerState:
    """Pangyo was left, and old answers live between these instants from now."""
    transition = replace(
        book.state.transition(WEB), cached_bp=NOW, cached_ms=book.now_ms + cached_ms, tail_until_ms=book.now_ms + tail_ms
    )
    steering = replace(book.state.steering, services=(carrying(book, shares_bp=LEFT).current,))
    seen = ((P, 60_000), (G, 40_000))
    traffic = {(WEB, site): TrafficTrack(at_ms=book.now_ms, rate_mrps=rate, last_mrps=1) for site, rate in seen}
    return replace(book.state, steering=steering, transitions={WEB: transition}, traffic=traffic)


def rates(state: ControllerState) -> dict[str, int]:
    return {site: track.rate_mrps for (_, site), track in state.traffic.items()}


def test_what_is_seen_follows_the_shares_as_old_answers_run_out(book: Playbook) -> None:
    """100 requests/s are measured, at pangyo and gasan alone."""
    state = moving(book, cached_ms=0, tail_ms=30_000)
    for after_ms, wanted in (
        (0, {P: 50_000, G: 30_000}),
        (15_000, {P: 25_000, G: 45_000}),
        (30_000, {P: 0, G: 60_000}),
        (90_000, {P: 0, G: 60_000}),
    ):
        found = later(book, state, book.now_ms + after_ms)
        assert rates(found) == wanted
        assert {track.at_ms for track in found.traffic.values()} == {book.now_ms + after_ms}
    track = found.traffic[(WEB, G)]
    assert (track.last_mrps, track.asked_mrps, track.answered_mrps, track.demand_mrps) == (60_000,) * 4
    no_caches = replace(state, transitions={})
    assert rates(later(book, no_caches, book.now_ms)) == {P: 0, G: 60_000}


def test_what_was_measured_long_ago_is_not_expected_to_be_measured(book: Playbook) -> None:
    state = moving(book, cached_ms=0, tail_ms=0)
    for ago_ms, is_fresh in ((5_000, True), (5_001, False)):
        old = {key: track._replace(at_ms=book.now_ms - ago_ms) for key, track in state.traffic.items()}
        after = later(book, replace(state, traffic=old), book.now_ms + 1_000)
        assert (after.traffic == old) is not is_fresh
    book.setup = replace(book.setup, metered=frozenset())
    assert later(book, state, book.now_ms + 1_000).traffic == state.traffic, "nobody measures it"


def test_a_service_without_a_steering_is_expected_to_get_nothing(book: Playbook) -> None:
    state = replace(moving(book, cached_ms=0, tail_ms=0), steering=replace(book.state.steering, services=()))
    assert rates(later(book, state, book.now_ms)) == {P: 0, G: 0}


def test_the_traffic_of_a_thousand_services_is_predicted_a_few_at_a_time(book: Playbook) -> None:
    web = book.setup.topology.services[0]
    services = tuple(replace(web, id=type(WEB)(f"s{number}")) for number in range(2 * FEW + 1))
    setup = replace(
        book.setup,
        topology=replace(book.setup.topology, services=services),
        metered=frozenset(service.id for service in services),
    )
    forecast = forecast_of(book.state, setup, services, book.now_ms)
    assert len(list(predicting(forecast, book.state, book.now_ms))) == 1 + 2, "the standbys, then twice a few"


# -- what is said beforehand -------------------------------------------------------------------------------------------


def target(shares: dict[str, int], shed_bp: int = 0, shed_at: object = None) -> Target:
    return Target(shares_bp=shares, shed_bp=shed_bp, shed_at=shed_at, because={})  # type: ignore[arg-type]


DRAINING = Forced(drained_sites=frozenset({P}))


def test_a_drain_that_is_not_whole_says_what_moves_and_what_stays(book: Playbook) -> None:
    away = view(book, tracks=tracks(book, pangyo=AWAY), forced=DRAINING)
    (found,) = room_findings(away, target({P: 1_400, G: 4_600, A: 4_000}), NOW)
    assert (found.code, found.severity) == (FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL)
    assert found.numbers == {"service": "web", "moved_bp": 3_600, "stays_bp": 1_400, "approvals_needed": 0}
    assert found.text == (
        "web: the survivors can take 36.0 % of the demand within their limit, 14.0 % would stay at pangyo"
    )
    assert room_findings(away, target(LEFT), NOW) == []
    by_evidence = replace(away, forced=Forced())
    assert room_findings(by_evidence, target({P: 1_400, G: 4_600, A: 4_000}), NOW) == [], "nobody asked"


def test_what_finds_no_room_is_said_to_be_shed_and_where_it_would_go_on(book: Playbook) -> None:
    (found,) = room_findings(view(book), target({P: 4_000, G: 3_000, A: 2_000}, 1_000, P), NOW)
    assert (found.code, found.severity) == (FindingCode.SHED_NEEDED, Severity.NEEDS_APPROVAL)
    assert found.numbers == {"service": "web", "shed_bp": 1_000, "approvals_needed": 0}
    nowhere = "web: 10.0 % of the demand finds no room and would be shed"
    assert found.text == f"{nowhere}; nothing answers it (`shed_answers`), so it would go on being sent to pangyo"
    answered = view(book, has_shed_answer=True)
    assert room_findings(answered, target({P: 4_000, G: 3_000, A: 2_000}, 1_000, P), NOW)[0].text == nowhere
    assert room_findings(view(book), target({P: 4_000, G: 3_000, A: 2_000}, 1_000), NOW)[0].text == nowhere
    assert room_findings(view(book), target(NOW), NOW) == []


def test_a_drain_of_every_site_is_refused_as_one_of_the_last(book: Playbook) -> None:
    gone = dict.fromkeys((P, G, A), AWAY)
    dead = signals(pangyo=Signal.FORCED_OUT, gasan=Signal.DEAD, anyang=Signal.DEAD)
    all_away = view(book, tracks=gone, signals=dead, forced=DRAINING)
    (found,) = room_findings(all_away, target(NOW), NOW)
    assert (found.code, found.severity) == (FindingCode.LAST_SERVING_SITE, Severity.REFUSED)
    assert found.numbers == {"sites": "pangyo,gasan,anyang"}
    assert found.text.startswith("web: pangyo, gasan, anyang would be all of its sites")


def test_a_drain_that_can_go_nowhere_says_first_what_stops_it(book: Playbook) -> None:
    off = draft_of(book, is_switched_off=True, term=None)
    drained = view(book, forced=DRAINING)
    assert FindingCode.NOT_LEADER in {entry.code for entry in stuck_findings(off, drained, target(NOW))}
    assert all(entry.severity is not Severity.ALLOWED for entry in stuck_findings(off, drained, target(NOW)))
    assert stuck_findings(off, drained, target(LEFT)) == [], "it goes somewhere: the gate speaks of each step"
    assert stuck_findings(off, view(book), target(NOW)) == [], "nobody wants it left"
    empty = replace(drained, current=replace(drained.current, shares_bp=LEFT))
    assert stuck_findings(off, empty, target(LEFT)) == [], "it is left already"


def test_planes_that_will_not_follow_are_named_with_why_for_the_services_they_carry() -> None:
    book = Playbook(setup=two_services())
    book.run(6_000)
    planes = {**book.state.planes, LB: PlaneTrack(unread_since_ms=1, detail="EOF")}
    forecast = forecast_of(replace(book.state, planes=planes), book.setup, book.setup.topology.services, book.now_ms)
    (found,) = silent_planes(forecast, WEB)
    assert (found.code, found.severity) == (FindingCode.DATA_PLANE_UNKNOWN, Severity.NEEDS_APPROVAL)
    assert found.numbers == {"plane": "lb", "approvals_needed": 0}
    assert found.text == "web: data plane lb would not follow, it cannot be read: EOF; what comes after waits for it"
    assert silent_planes(forecast, BLOG) == []


# -- a plan in force ---------------------------------------------------------------------------------------------------


def made(kind: StepKind, after_bp: dict[str, int] | None = None, **more: object) -> Step:
    return Step(kind=kind, service=WEB, before_bp=NOW, after_bp=after_bp or NOW, **more)  # type: ignore[arg-type]


MOVE, UNDO = made(StepKind.MOVE, LEFT), made(StepKind.UNDO, NOW)
POOL = made(StepKind.POOL, members=(S1, S2), weights_pm={S1: 20, S2: 20})


def plan_of(*steps: Step) -> Plan:
    return replace(empty_plan(Cause.PERSON), services=(WEB,), steps=steps)


def following(book: Playbook, *steps: Step) -> Draft:
    draft = draft_of(book)
    expect(draft, plan_of(*steps))
    return draft


def left_of(draft: Draft) -> tuple[Step, ...] | None:
    entry = draft.state.expected.get(WEB)
    return entry.steps if entry is not None else None


def test_a_plan_is_followed_step_by_step_until_nothing_is_left(book: Playbook) -> None:
    wait, trifle = made(StepKind.SETTLE), made(StepKind.LOWER_TTL, ttl_s=5)
    draft = following(book, trifle, MOVE, wait, POOL)
    assert left_of(draft) == (MOVE, POOL), "waits and trifles are not held against it"
    follow(draft, trifle)
    follow(draft, replace(MOVE, ttl_s=5))
    assert left_of(draft) == (POOL,)
    follow(draft, POOL)
    assert left_of(draft) is None and draft.commands == []
    follow(draft, UNDO)
    assert draft.commands == [], "no plan is in force any more"


def test_each_service_of_a_plan_is_followed_by_its_own_steps() -> None:
    book = Playbook(setup=two_services())
    book.run(6_000)
    other = replace(MOVE, service=BLOG)
    draft = draft_of(book)
    expect(draft, replace(plan_of(MOVE, other, POOL), services=(WEB, BLOG)))
    assert {service: entry.steps for service, entry in draft.state.expected.items()} == {WEB: (MOVE, POOL), BLOG: (other,)}
    follow(draft, other)
    assert left_of(draft) == (MOVE, POOL) and draft.commands == []


def test_standbys_that_come_one_by_one_take_their_part_of_the_step(book: Playbook) -> None:
    draft = following(book, POOL, MOVE)
    follow(draft, made(StepKind.POOL, members=(S1,), weights_pm={S1: 20}))
    assert left_of(draft) == (made(StepKind.POOL, members=(S2,), weights_pm={S2: 20}), MOVE)
    follow(draft, made(StepKind.POOL, members=(S2,), weights_pm={S2: 20}))
    assert left_of(draft) == (MOVE,) and draft.commands == []


@pytest.mark.parametrize(
    "instead",
    [
        made(StepKind.POOL, members=(S1,), weights_pm={S1: 30}),
        made(StepKind.POOL, members=(M1,), weights_pm={M1: 20}),
        made(StepKind.POOL, LEFT, members=(S1,), weights_pm={S1: 20}),
        made(StepKind.DEPOOL, members=(S1,), weights_pm={S1: 20}),
        MOVE,
    ],
)
def test_a_step_that_was_not_the_next_ends_the_plan_and_is_journalled(book: Playbook, instead: Step) -> None:
    draft = following(book, POOL, MOVE)
    follow(draft, instead)
    assert left_of(draft) is None
    (row,) = draft.commands
    assert row.kind == "plan_changed" and row.data == {  # type: ignore[union-attr]
        "service": WEB,
        "expected": [{"step": "pool", "after_bp": NOW, "members": [S1, S2]}],
        "instead": [
            {"step": instead.kind.value, "after_bp": dict(instead.after_bp), "members": list(instead.members)},
        ],
        "changed": [UNKNOWN_FACT],
    }


def test_what_changed_since_the_plan_was_made_is_named_fact_by_fact(book: Playbook) -> None:
    draft = following(book, MOVE)
    draft.set(is_switched_off=True, setup_digest="new", overrides=(an_override(book),))
    follow(draft, UNDO)
    (row,) = draft.commands
    assert row.data["changed"] == [  # type: ignore[union-attr]
        "evidence at pangyo: well > forced_out",
        "may act: term 1, store True, switched off False > term 1, store True, switched off True",
        "overrides: none > o1",
        "setup:  > new",
    ]


def test_a_plan_folded_anew_is_journalled_where_it_differs_and_taken_where_its_facts_hold(book: Playbook) -> None:
    basis = basis_of(book.state, book.setup, None)
    for steps, said in (((MOVE,), 0), ((POOL,), 1), ((), 1)):
        draft = following(book, MOVE)
        absorb_plan(draft, PlanFolded(at_ms=book.now_ms, basis=basis, plan=plan_of(*steps)))
        assert len(draft.commands) == said and left_of(draft) == steps
    for event in (
        PlanFolded(at_ms=book.now_ms, basis="other", plan=plan_of(POOL)),
        PlanFolded(at_ms=book.now_ms, basis=basis, plan=None),
    ):
        draft = following(book, MOVE)
        absorb_plan(draft, event)
        assert left_of(draft) == (MOVE,) and draft.commands == []
    fresh = draft_of(book)
    absorb_plan(fresh, PlanFolded(at_ms=book.now_ms, basis=basis, plan=plan_of(POOL)))
    assert left_of(fresh) == (POOL,) and fresh.commands == [], "none was in force"


@pytest.mark.parametrize("severity", list(Severity))
def test_the_plan_of_a_request_counts_when_it_was_granted(book: Playbook, severity: Severity) -> None:
    draft = draft_of(book)
    for plans in ((plan_of(MOVE),), ()):
        draft.commands.append(Answer(asking="a", severity=severity, findings=(), plans=plans))
        expect_granted(draft)
        assert left_of(draft) == ((MOVE,) if severity is Severity.ALLOWED else None), "the last answer counts: it had no plan"
    expect_granted(draft_of(book))


def test_the_facts_a_plan_follows_from_are_said_in_words(book: Playbook) -> None:
    pool = book.state.picture.pools[(WEB, G)]
    down = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.HARD)
    members = {**pool.members, MemberId("web/gasan/m1"): down, S1: down, MemberId("web/gasan/s2"): down}
    pools = {**book.state.picture.pools, (WEB, G): replace(pool, members=members)}
    state = replace(
        book.state,
        picture=replace(book.state.picture, pools=pools),
        standbys={
            S1: StandbyTrack(phase=StandbyPhase.FAILED),
            MemberId("web/gasan/s2"): StandbyTrack(phase=StandbyPhase.PROVEN),
        },
        overrides=(an_override(book, id="o2", service=WEB, site=A), an_override(book, id="o3", service=BLOG)),
        planes={PLANE: PlaneTrack(unread_since_ms=1)},
    )
    facts = facts_of(state, book.setup, WEB, book.now_ms)
    assert facts == {
        "evidence at pangyo": "well",
        "evidence at gasan": "well",
        "evidence at anyang": "forced_out",
        "demand": "100 requests/s",
        "overrides": "o2",
        "setup": "",
        "may act": "term 1, store True, switched off False",
        "data plane dns": "it cannot be read",
        "member web/gasan/m1": "down",
        "member web/gasan/s1": "standby failed",
        "member web/gasan/s2": "down",
        "member web/anyang/s1": "down",
        "member web/anyang/s2": "down",
    }
    unseen = facts_of(replace(state, picture=replace(state.picture, pools={})), book.setup, WEB, book.now_ms)
    assert not [name for name in unseen if name.startswith("member ")], "nothing is known of members that nobody saw"
    starting = replace(state, standbys={S1: StandbyTrack(phase=StandbyPhase.STARTING)}, planes={})
    told = facts_of(starting, book.setup, WEB, book.now_ms)
    assert "member web/gasan/s1" not in told and told["data plane dns"] == "answers"


# -- folding -----------------------------------------------------------------------------------------------------------


def test_a_plan_that_was_folded_beforehand_counts_while_its_facts_hold(book: Playbook) -> None:
    draft = draft_of(book)
    asked = replace(book.state, overrides=(an_override(book),))
    mine = plan_of(MOVE)
    draft.foreseen = tuple(
        Foreseen(basis=basis, plan=plan)
        for basis, plan in ((basis_of(asked, book.setup, WEB), plan_of(POOL)), (basis_of(asked, book.setup, None), mine))
    )
    assert planned(draft, asked, None) is mine
    draft.foreseen = (Foreseen(basis="other facts", plan=mine),)
    folded = planned(draft, asked, None)
    assert folded is not None and folded is not mine and folded.after[WEB][P] == 0
    draft.plan_now = lambda question: mine if question.only == WEB and question.state is asked else None
    assert planned(draft, asked, WEB) is mine and planned(draft, asked, None) is None


HELD = Adoption(found=AdoptedFrom.COPY, why="lost", since_ms=0, sites=frozenset({(WEB, P)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, steering=replace(s.steering, generation=99)),
        lambda s: replace(s, term=9),
        lambda s: replace(s, is_store_usable=False),
        lambda s: replace(s, is_switched_off=True),
        lambda s: replace(s, picture=replace(s.picture, blind=True)),
        lambda s: replace(s, picture=replace(s.picture, global_fault=frozenset({WEB}))),
        lambda s: replace(s, standbys={S1: StandbyTrack(phase=StandbyPhase.STARTING)}),
        lambda s: replace(s, planes={PLANE: PlaneTrack(unread_since_ms=1)}),
        lambda s: replace(s, tracks={(WEB, P): AWAY}),
        lambda s: replace(s, overrides=(an_override(Playbook()),)),
        lambda s: replace(s, goals={"g": a_goal(Playbook())}),
        lambda s: replace(s, adoption=HELD),
        lambda s: replace(s, transitions={WEB: replace(s.transition(WEB), held_until_ms=1)}),
        lambda s: replace(s, transitions={WEB: replace(s.transition(WEB), taken_out=frozenset({S1}))}),
    ],
)
def test_each_fact_that_a_plan_follows_from_makes_another_basis(book: Playbook, change: object) -> None:
    assert basis_of(change(book.state), book.setup, None) != basis_of(book.state, book.setup, None)  # type: ignore[operator]
    assert basis_of(book.state, book.setup, WEB) != basis_of(book.state, book.setup, None)
    assert basis_of(book.state, replace(book.setup, digest="new"), None) != basis_of(book.state, book.setup, None)


def test_services_share_room_through_others_and_only_at_sites_with_one_capacity() -> None:
    """Web and blog meet at gasan, blog and shop at anyang: web touches shop. Mail is at pangyo, whose capacity nobody named."""
    setup = three_sites()
    web = setup.topology.services[0]
    places = {"web": (P, G), "blog": (G, A), "shop": (A,), "mail": (P,)}
    services = tuple(
        replace(web, id=type(WEB)(name), pools=tuple(pool for pool in web.pools if pool.site in sites))
        for name, sites in places.items()
    )
    sites = tuple(replace(site, capacity_rps=None if site.id == P else 100) for site in setup.topology.sites)
    setup = replace(setup, topology=replace(setup.topology, services=services, sites=sites))
    assert [s.id for s in sharing_room(setup, WEB)] == ["web", "blog", "shop"]
    assert [s.id for s in sharing_room(setup, type(WEB)("mail"))] == ["mail"]
    assert sharing_room(setup, None) == services


def test_a_fold_is_done_in_pieces_and_not_begun_again(book: Playbook) -> None:
    folding = Fold(state=replace(book.state, overrides=(an_override(book),)), setup=book.setup, now_ms=book.now_ms)
    pieces = 1
    while not folding.advance():
        assert folding.plan is None
        pieces += 1
    made = folding.plan
    assert made is not None and made.after[WEB][P] == 0
    assert pieces > 10 and folding.advance() and folding.plan is made


def test_an_empty_plan_has_nothing_in_it() -> None:
    assert empty_plan(Cause.DEAD) == Plan(
        cause=Cause.DEAD, services=(), steps=(), before={}, after={}, loads=(), shed_bp={}, ttl_tail_ms=0, expected_ms=0
    )
    assert empty_plan(Cause.DEAD).is_empty and not plan_of(MOVE).is_empty


def test_a_plan_is_about_the_planes_that_are_alive(book: Playbook) -> None:
    """A load balancer that was lost with its site is not waited for (law 17)."""
    planes = (*book.setup.planes, PlaneRef(id=LB, services=(WEB,), site=P))
    setup = replace(book.setup, planes=planes)
    state = replace(book.state, planes={**book.state.planes, LB: PlaneTrack(unread_since_ms=1)})
    assert set(forecast_of(state, setup, setup.topology.services, book.now_ms).silent) == {"lb"}
    dark = replace(state, picture=replace(state.picture, sites={**state.picture.sites, P: Standing.DOWN}))
    assert forecast_of(dark, setup, setup.topology.services, book.now_ms).silent == {}
