"""Where each law begins and ends: what is just within it breaks nothing, the next unit beyond breaks it.

A checker that blames a sound step is as bad as one that is silent: the daemon holds still for the one, users pay for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from core.playbook import DOWN, NODE, PLANE, SICK, UP, WEB, A, G, P, Playbook, pool, three_sites
from core.test_laws import a_goal, an_override, hearing, laws, left_for_dead, seeing, steered, wanting
from core.test_laws_conduct import broken, forced, returns, tracked
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.laws.record import single_site_dependencies
from siteshift.core.messages.commands import Command, Enact, ReadPlane, Record, Remember, RetireStandby
from siteshift.core.messages.events import Asked, EnactFinished, ReadBackArrived, Reloaded, Ticked
from siteshift.core.messages.requests import DrainRequest, LiftRequest, OperatorRequest, PoolRequest, UndrainRequest
from siteshift.core.model.approval import Approval, Verb
from siteshift.core.model.codes import (
    DiagnosisCode,
    EnactOutcome,
    Failback,
    LeftBecause,
    Mode,
    OverrideKind,
    SiteLife,
    StandbyPhase,
    Standing,
)
from siteshift.core.model.evidence import Diagnosis, SelfCheck
from siteshift.core.model.setup import Part, PartKind, PlaneKind, PlaneRef, Setup
from siteshift.core.model.steering import Drift, EnactResult
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, VantageId, site_target
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack
from siteshift.core.state.tracks import SiteTrack, StandbyTrack

STANDBY = MemberId("web/gasan/s1")
SOUND = {P: 4_800, G: 3_100, A: 2_100}


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def moved(book: Playbook, before: ControllerState, shares: Mapping[SiteId, int], **more: object) -> set[int]:
    """The laws broken when these shares follow upon the state."""
    return laws(book, steered(before, shares, **more), before=before)  # type: ignore[arg-type]


# -- law 1 and 2 -----------------------------------------------------------------------------------------------------


def test_law_1_a_service_whose_sites_were_all_dead_may_stay_with_the_dead(book: Playbook) -> None:
    """There is nobody better; only who leaves a site that is not dead for dead ones removes the last that serves."""
    dead = seeing(book, pangyo=Standing.DOWN, gasan=Standing.DOWN, anyang=Standing.DOWN)
    assert 1 not in moved(book, dead, SOUND)
    one_left = seeing(book, pangyo=Standing.DOWN, gasan=Standing.DOWN)
    assert 1 in moved(book, one_left, {P: 5_000, G: 5_000, A: 0})
    assert 1 not in moved(book, one_left, {P: 5_000, G: 4_999, A: 1}), "one that is up is enough"
    drained_before = steered(one_left, {P: 5_000, G: 5_000, A: 0})
    assert 1 not in moved(book, drained_before, {P: 6_000, G: 4_000, A: 0}), "who had no share is not removed"


@pytest.mark.parametrize("phase", list(StandbyPhase))
def test_law_2_only_a_standby_that_was_found_ready_gets_traffic(book: Playbook, phase: StandbyPhase) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    state = replace(book.state, standbys={STANDBY: StandbyTrack(phase=phase)})
    members = {**entry.members_pm, STANDBY: 1_000}
    is_ready = phase in (StandbyPhase.READY, StandbyPhase.PROVEN)
    assert (2 not in moved(book, state, entry.shares_bp, members_pm=members)) is is_ready


def test_law_2_a_blind_node_leaves_open_the_standby_that_has_traffic_and_opens_no_other(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    members = {**entry.members_pm, STANDBY: 1_000}
    blind = replace(book.state, picture=replace(book.state.picture, blind=True))
    served = steered(blind, entry.shares_bp, members_pm=members)
    assert 2 not in moved(book, served, entry.shares_bp, members_pm=members, ttl_s=entry.ttl_s - 1)
    assert 2 in moved(book, blind, entry.shares_bp, members_pm=members)
    seen = replace(served, picture=book.state.picture)
    assert 2 in moved(book, seen, entry.shares_bp, members_pm=members, ttl_s=entry.ttl_s - 1), "it is not blind: it may close it"


def test_law_2_what_a_person_forces_may_go_to_a_site_that_is_down(book: Playbook) -> None:
    state = seeing(book, gasan=Standing.DOWN)
    more = {P: 4_500, G: 3_500, A: 2_000}
    assert 2 in moved(book, state, more)
    assert 2 not in moved(book, replace(state, overrides=(an_override(book),)), more)
    assert 2 not in moved(book, state, {P: 5_000, G: 3_000, A: 2_000}, ttl_s=1), "it has what it had"


def test_law_2_a_standby_without_a_weight_may_be_retired(book: Playbook) -> None:
    assert laws(book, book.state, commands=(RetireStandby(member=STANDBY),)) == set()


def test_law_2_a_ramp_may_note_something_else_while_its_step_soaks(book: Playbook) -> None:
    before = tracked(book.state, life=SiteLife.RETURNING, ramp_step=1, step_since_ms=book.now_ms)
    after = tracked(book.state, life=SiteLife.RETURNING, ramp_step=1, step_since_ms=book.now_ms, flaps=1)
    assert broken(book, before, after) == set()


# -- law 3 and 4 -----------------------------------------------------------------------------------------------------


def test_law_3_a_site_without_evidence_may_keep_or_gain_and_a_person_may_take_from_it(book: Playbook) -> None:
    state = seeing(book, gasan=Standing.UNKNOWN)
    assert 3 not in moved(book, state, {P: 4_900, G: 3_100, A: 2_000})
    assert 3 not in moved(book, state, {P: 5_100, G: 3_000, A: 1_900})
    assert 3 in moved(book, state, {P: 5_001, G: 2_999, A: 2_000})
    assert 3 not in moved(book, replace(state, overrides=(an_override(book),)), {P: 5_001, G: 2_999, A: 2_000})


def test_law_3_a_blind_node_may_change_what_is_no_share(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    blind = replace(book.state, picture=replace(book.state.picture, blind=True))
    assert moved(book, blind, entry.shares_bp, ttl_s=entry.ttl_s - 1) == set()


def test_law_4_holds_for_the_service_whose_fault_is_everywhere_until_a_person_forces_it(book: Playbook) -> None:
    everywhere = replace(book.state, picture=replace(book.state.picture, global_fault=frozenset({WEB})))
    entry = book.state.steering.of(WEB)
    assert entry is not None
    assert 4 not in moved(book, everywhere, entry.shares_bp, ttl_s=entry.ttl_s - 1)
    assert 4 not in moved(book, replace(everywhere, overrides=(an_override(book),)), SOUND)
    elsewhere = replace(book.state.picture, global_fault=frozenset({ServiceId("mail")}))
    assert 4 not in moved(book, replace(book.state, picture=elsewhere), SOUND)


def is_left_by_few(book: Playbook, state: ControllerState, **track: object) -> bool:
    after = left_for_dead(state, P)
    if track:
        after = replace(after, tracks={**after.tracks, (WEB, P): replace(after.tracks[(WEB, P)], **track)})  # type: ignore[arg-type]
    return 4 in laws(book, after, before=state, commands=())


def test_law_4_half_of_those_who_can_know_are_too_few(book: Playbook) -> None:
    assert is_left_by_few(book, hearing(book, c1=DOWN, c2=DOWN, c3=UP, c4=UP))
    assert not is_left_by_few(book, hearing(book, c1=DOWN, c2=SICK, c3=UP)), "a sick site is accused as well"


@pytest.mark.parametrize("why", [LeftBecause.PERSON, LeftBecause.UNKNOWN, None])
def test_law_4_counts_no_words_for_a_site_that_was_not_left_on_evidence(book: Playbook, why: LeftBecause | None) -> None:
    assert not is_left_by_few(book, hearing(book, c1=UP, c2=UP), left_because=why)


@pytest.mark.parametrize("was", [SiteLife.DRAINING, SiteLife.DRAINED])
def test_law_4_judges_the_leaving_and_not_what_was_left_before(book: Playbook, was: SiteLife) -> None:
    heard = hearing(book, c1=UP, c2=UP)
    before = tracked(heard, life=was, left_because=LeftBecause.DEAD)
    assert 4 not in laws(book, left_for_dead(before, P), before=before, commands=())


def test_law_4_counts_only_those_who_can_know(book: Playbook) -> None:
    """Two say up: they count unless they are stale, cut off, without an anchor, or not heard of the pool at all."""
    book.run(60_000)
    heard = hearing(book, c1=DOWN, c2=UP, c3=UP)
    assert is_left_by_few(book, heard)

    def without(**changes: object) -> ControllerState:
        others = {name: replace(heard.reports[VantageId(name)], **changes) for name in ("c2", "c3")}  # type: ignore[arg-type]
        return replace(heard, reports={**heard.reports, **{VantageId(name): report for name, report in others.items()}})

    stale_ms = book.setup.policy.judge.report_stale_ms
    assert is_left_by_few(book, without(at_ms=book.now_ms - stale_ms))
    assert not is_left_by_few(book, without(at_ms=book.now_ms - stale_ms - 1))
    assert not is_left_by_few(book, without(self_check=SelfCheck(anchors_ok=0, anchors_total=2)))
    assert is_left_by_few(book, without(self_check=SelfCheck(anchors_ok=1, anchors_total=2)))
    assert is_left_by_few(book, without(self_check=SelfCheck(anchors_ok=0, anchors_total=0))), "it has none to reach"
    assert not is_left_by_few(book, without(views={}))
    cut_off = replace(heard.picture, isolated=(VantageId("c2"), VantageId("c3")))
    assert not is_left_by_few(book, replace(heard, picture=cut_off))


def test_law_4_asks_those_inside_a_site_only_where_nobody_is_outside(book: Playbook) -> None:
    heard = hearing(book, c1=DOWN, c2=UP, c3=UP)
    inside = {name: replace(report, site=P if name != "c1" else None) for name, report in heard.reports.items()}
    assert not is_left_by_few(book, replace(heard, reports=inside)), "they are in it: of course they reach it"
    alone = {name: report for name, report in inside.items() if name != "c1"}
    assert is_left_by_few(book, replace(heard, reports=alone))


def test_law_4_a_vantage_that_holds_the_whole_site_to_be_bad_accuses_its_pools(book: Playbook) -> None:
    heard = hearing(book, c1=UP, c2=UP)

    def with_site(**of_pool: object) -> ControllerState:
        reports = {}
        for name, report in heard.reports.items():
            views = {key: replace(view, **of_pool) for key, view in report.views.items()}  # type: ignore[arg-type]
            reports[name] = replace(report, views={**views, site_target(P): DOWN})
        return replace(heard, reports=reports)

    assert not is_left_by_few(book, with_site())
    assert is_left_by_few(book, with_site(is_contradicted=True)), "users are served there: its checks prove nothing"


def test_law_4_a_site_is_not_left_while_all_are_down_and_one_that_is_sick_is_a_refuge(book: Playbook) -> None:
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.report()
    assert is_left_by_few(book, book.state)
    book.believe(A, SICK)
    book.report()
    assert not is_left_by_few(book, book.state)


def test_law_4_the_only_site_of_a_service_is_not_every_site_failing_alike() -> None:
    """With one site there is no likeness to doubt; that it is not removed is law 1."""
    setup = three_sites()
    alone = replace(setup.topology.services[0], pools=(pool(WEB, P, 10_000, 120),))
    book = Playbook(setup=replace(setup, topology=replace(setup.topology, services=(alone,))))
    book.run(5_000)
    book.believe(P, DOWN)
    book.report()
    assert not is_left_by_few(book, book.state)


# -- law 5 -----------------------------------------------------------------------------------------------------------


def test_law_5_looks_at_the_picture_whenever_a_person_asked_or_an_override_changed(book: Playbook) -> None:
    wrong = seeing(book, pangyo=Standing.DOWN)
    request = OperatorRequest(id="a", person="kim", request=DrainRequest(site=P))
    assert 5 in laws(book, wrong, before=book.state, event=Asked(at_ms=book.now_ms, asking=request), commands=())
    assert 5 in laws(book, replace(wrong, overrides=(an_override(book),)), before=book.state, commands=())
    assert 5 not in laws(book, wrong, before=book.state, commands=()), "nobody forced anything: it is evidence's doing"
    sound = replace(book.state, overrides=(an_override(book),))
    alone = diagnose(book.setup.topology, book.setup.policy, sound.reports, book.now_ms, previous=sound.picture)
    assert 5 not in laws(book, replace(sound, picture=alone), before=book.state, commands=())


@pytest.mark.parametrize(
    ("request_", "held"),
    [
        (UndrainRequest(site=P), {"kind": OverrideKind.DRAIN, "site": P, "service": WEB}),
        (UndrainRequest(site=P), {"kind": OverrideKind.DRAIN, "site": P, "service": None}),
        (PoolRequest(member=MemberId("m1")), {"kind": OverrideKind.DEPOOL, "member": MemberId("m1")}),
        (LiftRequest(override="o1"), {"kind": OverrideKind.SHARES, "service": WEB}),
    ],
)
def test_law_5_letting_go_of_what_was_named_breaks_nothing(book: Playbook, request_: object, held: dict[str, object]) -> None:
    event = Asked(at_ms=book.now_ms, asking=OperatorRequest(id="a", person="ada", request=request_))  # type: ignore[arg-type]
    before = replace(book.state, overrides=(an_override(book, **held),))
    assert laws(book, book.state, before=before, event=event, commands=()) == set()


@pytest.mark.parametrize(
    ("request_", "held"),
    [
        (UndrainRequest(site=P, service=ServiceId("mail")), {"kind": OverrideKind.DRAIN, "site": P, "service": WEB}),
        (UndrainRequest(site=P, service=WEB), {"kind": OverrideKind.DRAIN, "site": P, "service": None}),
        (UndrainRequest(site=P), {"kind": OverrideKind.FREEZE, "site": P}),
        (PoolRequest(member=MemberId("m1")), {"kind": OverrideKind.FREEZE, "member": MemberId("m1"), "site": None}),
        (PoolRequest(member=MemberId("m1")), {"kind": OverrideKind.DEPOOL, "member": MemberId("m2")}),
        (LiftRequest(override="o2"), {"kind": OverrideKind.DRAIN}),
    ],
)
def test_law_5_what_was_not_named_stays(book: Playbook, request_: object, held: dict[str, object]) -> None:
    event = Asked(at_ms=book.now_ms, asking=OperatorRequest(id="a", person="ada", request=request_))  # type: ignore[arg-type]
    before = replace(book.state, overrides=(an_override(book, **held),))
    assert 5 in laws(book, book.state, before=before, event=event, commands=())


def test_law_5_a_return_is_asked_where_it_is_named_and_nowhere_else(book: Playbook) -> None:
    before = tracked(book.state, life=SiteLife.DRAINED, left_because=LeftBecause.DEAD)
    after = tracked(book.state, life=SiteLife.DRAINED, left_because=LeftBecause.DEAD, is_return_asked=True)

    def broken_by(request: object, was: ControllerState = before) -> bool:
        event = Asked(at_ms=book.now_ms, asking=OperatorRequest(id="a", person="ada", request=request))  # type: ignore[arg-type]
        return 5 in laws(book, after, before=was, event=event, commands=())

    assert not broken_by(UndrainRequest(site=P)) and not broken_by(UndrainRequest(site=P, service=WEB))
    assert broken_by(UndrainRequest(site=G)) and broken_by(LiftRequest(override="o1"))
    was_asked = tracked(after, life=SiteLife.DRAINING, left_because=LeftBecause.DEAD, is_return_asked=True)
    assert not broken_by(UndrainRequest(site=G), was_asked), "it was asked before"


# -- law 6 and 7 -----------------------------------------------------------------------------------------------------


def test_law_6_a_mode_that_a_person_forces_counts_before_the_policy(book: Playbook) -> None:
    watched = an_override(book, kind=OverrideKind.MODE, site=None, mode=Mode.OBSERVE)
    assert 6 in moved(book, replace(book.state, overrides=(watched,)), SOUND)
    acting = Playbook(setup=three_sites(mode=Mode.OBSERVE))
    acting.run(5_000)
    let_go = an_override(acting, kind=OverrideKind.MODE, site=None, mode=Mode.AUTO)
    assert 6 not in moved(acting, replace(acting.state, overrides=(let_go,)), SOUND)
    assert 6 not in moved(acting, replace(acting.state, overrides=(an_override(acting),)), SOUND), "forced"
    entry = acting.state.steering.of(WEB)
    assert entry is not None
    assert 6 not in moved(acting, acting.state, entry.shares_bp, ttl_s=entry.ttl_s - 1), "no share moved"


def test_law_7_the_last_request_within_the_limit_is_carried_and_the_next_is_not(book: Playbook) -> None:
    """Gasan carries 40 rps, of which 900 per mille may be used, and one request is slack: 37 of 100 rps are 3,700 bp."""
    assert book.setup.policy.of(WEB).max_utilisation_pm == 900
    assert 7 not in moved(book, book.state, {P: 4_300, G: 3_700, A: 2_000})
    assert 7 in moved(book, book.state, {P: 4_299, G: 3_701, A: 2_000})


def test_law_7_judges_who_gains_and_not_who_stays_too_full(book: Playbook) -> None:
    full = steered(book.state, {P: 4_000, G: 4_000, A: 2_000})
    assert 7 not in moved(book, full, {P: 4_100, G: 4_000, A: 1_900})
    assert 7 not in moved(book, full, {P: 4_100, G: 3_900, A: 2_000})
    assert 7 in moved(book, full, {P: 3_900, G: 4_100, A: 2_000})


def test_law_7_a_site_may_have_its_nominal_share_back_however_full_it_makes_it(book: Playbook) -> None:
    services = tuple(replace(service, demand_rps=200) for service in book.setup.topology.services)
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=services), metered=frozenset())
    low = steered(book.state, {P: 5_100, G: 2_900, A: 2_000})
    assert 7 not in moved(book, low, {P: 5_000, G: 3_000, A: 2_000})
    assert 7 in moved(book, low, {P: 4_999, G: 3_001, A: 2_000})


def test_law_7_what_another_person_approved_lifts_the_limit_to_the_highest_number_and_no_further(book: Playbook) -> None:
    def approved(most_pm: int, owner: str) -> GoalTrack:
        track = a_goal(book)
        bounds = tuple(replace(found, utilisation_max_pm=most_pm) for found in track.envelope.bounds)
        track = replace(
            track, goal=replace(track.goal, owner=owner), envelope=replace(track.envelope, bounds=bounds)
        )
        given = Approval(digest=track.digest, person="lee", rank="approver", via="token", at_ms=0, expires_ms=0)
        return replace(track, approvals=(given,))

    for order in ((1_000, 1_100), (1_100, 1_000)):
        tracks = [approved(most_pm, f"kim{most_pm}") for most_pm in order]
        state = replace(book.state, goals={track.goal.digest: track for track in tracks})
        assert 7 not in moved(book, state, {P: 4_000, G: 4_500, A: 1_500}), "44 rps and one"
        assert 7 in moved(book, state, {P: 3_999, G: 4_501, A: 1_500})
    lower = wanting(book.state, approved(100, "kim"))
    assert 7 not in moved(book, lower, {P: 4_300, G: 3_700, A: 2_000}), "nor does an approval lower the policy's limit"


@pytest.mark.parametrize(
    ("shares", "shed_bp"),
    [({P: 5_000, G: 3_000, A: 1_999}, 0), ({P: 5_000, G: 3_000, A: 2_001}, 0), ({P: -100, G: 6_100, A: 4_000}, 0),
     ({P: 5_000, G: 3_000, A: 2_100}, -100)],
)  # fmt: skip
def test_law_7_shares_and_shed_make_the_whole_and_none_is_negative(
    book: Playbook, shares: dict[SiteId, int], shed_bp: int
) -> None:
    services = tuple(
        replace(service, pools=tuple(replace(p, nominal_bp=10_000) for p in service.pools))
        for service in book.setup.topology.services
    )
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=services))
    assert 7 in moved(book, book.state, shares, shed_bp=shed_bp), "judged by the sum: no site is above its nominal share"
    assert 7 not in moved(book, book.state, {P: 4_900, G: 3_000, A: 2_000}, shed_bp=100)


# -- laws 8 to 11 and 14 ---------------------------------------------------------------------------------------------


def drained_of_pangyo(book: Playbook, seen_bp: int) -> set[int]:
    """The laws broken when Pangyo is called drained while so much of the traffic is seen there."""
    rates = {P: seen_bp, G: 10_000 - seen_bp, A: 0}
    traffic = {(WEB, site): book.state.traffic[(WEB, site)]._replace(rate_mrps=rate) for site, rate in rates.items()}
    before = replace(tracked(book.state, life=SiteLife.DRAINING), traffic=traffic)
    return laws(book, tracked(before, life=SiteLife.DRAINED), before=before, commands=())


def test_law_8_a_drain_is_complete_at_the_residual_that_the_policy_names(book: Playbook) -> None:
    done_bp = book.setup.policy.of(WEB).residual_done_bp
    assert drained_of_pangyo(book, done_bp) == set()
    assert drained_of_pangyo(book, done_bp + 1) == {8}
    book.setup = replace(book.setup, metered=frozenset())
    assert drained_of_pangyo(book, 9_000) == set(), "nobody measures it"


def test_law_8_a_site_that_nobody_measures_just_now_is_called_drained_by_what_is_read(book: Playbook) -> None:
    """What measured it may have died with it; with a policy that leaves no residual at all it is the same."""
    book.setup = three_sites(residual_done_bp=0)
    elsewhere = {key: track for key, track in book.state.traffic.items() if key != (WEB, P)}
    before = replace(tracked(book.state, life=SiteLife.DRAINING), traffic=elsewhere)
    assert laws(book, tracked(before, life=SiteLife.DRAINED), before=before, commands=()) == set()
    assert drained_of_pangyo(book, 1) == {8} and drained_of_pangyo(book, 0) == set()


def test_law_8_and_9_judge_a_drain_when_it_is_called_complete_and_not_again(book: Playbook) -> None:
    transition = replace(book.state.transition(WEB), tail_until_ms=book.now_ms + 1)
    waiting = replace(book.state, transitions={WEB: transition})
    before = tracked(waiting, life=SiteLife.DRAINED)
    assert laws(book, tracked(waiting, life=SiteLife.DRAINED, flaps=1), before=before, commands=()) == set()


def test_law_9_the_old_ttl_runs_to_its_last_millisecond(book: Playbook) -> None:
    quiet = replace(book.state, traffic={})
    for tail_ms, expected in ((0, set()), (1, {9})):
        transition = replace(book.state.transition(WEB), tail_until_ms=book.now_ms + tail_ms)
        before = replace(tracked(quiet, life=SiteLife.DRAINING), transitions={WEB: transition})
        assert laws(book, tracked(before, life=SiteLife.DRAINED), before=before, commands=()) == expected


def remembering_tail(book: Playbook, shares: Mapping[SiteId, int], tail_ms: int) -> set[int]:
    after = steered(book.state, shares)
    transition = replace(after.transition(WEB), tail_until_ms=book.now_ms + tail_ms)
    return laws(book, replace(after, transitions={WEB: transition}))


def test_law_9_a_move_remembers_the_whole_ttl_of_the_answers_before_it(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None and entry.ttl_s > 1
    assert remembering_tail(book, SOUND, entry.ttl_s * 1_000) == set()
    assert remembering_tail(book, SOUND, entry.ttl_s * 1_000 - 1) == {9}
    assert remembering_tail(book, entry.shares_bp, 0) == set(), "nobody lost a share"
    balancers = tuple(replace(plane, kind=PlaneKind.BALANCER) for plane in book.setup.planes)
    book.setup = replace(book.setup, planes=balancers)
    assert remembering_tail(book, SOUND, 0) == set(), "no answer lives in a cache"


def unsure(book: Playbook, **track: object) -> ControllerState:
    track = {"outcome": EnactOutcome.AMBIGUOUS, "ended_ms": book.now_ms, "read_back": None, **track}
    return replace(book.state, planes={PLANE: replace(book.state.plane(PLANE), **track)})  # type: ignore[arg-type]


def test_law_10_a_reading_since_the_write_ends_the_doubt_and_one_from_before_does_not(book: Playbook) -> None:
    write: tuple[Command, ...] = (Enact(enactor=PLANE, steering=book.state.steering),)
    reading = book.reading(PLANE)
    for track, is_broken in (
        ({}, True),
        ({"read_back": replace(reading, at_ms=book.now_ms - 1)}, True),
        ({"read_back": replace(reading, at_ms=book.now_ms)}, False),
        ({"outcome": EnactOutcome.APPLIED}, False),
    ):
        state = unsure(book, **track)
        assert (10 in laws(book, state, before=state, commands=write)) is is_broken
    state = unsure(book)
    arrives = ReadBackArrived(at_ms=book.now_ms, read_back=reading)
    assert 10 not in laws(book, state, before=state, event=arrives, commands=write), "it is read in this very step"
    assert 10 not in laws(book, state, before=state, commands=(ReadPlane(enactor=PLANE), *write))
    assert 10 in laws(book, state, before=state, commands=(*write, ReadPlane(enactor=PLANE)))
    other = (Enact(enactor=EnactorId("lb"), steering=book.state.steering),)
    assert 10 not in laws(book, state, before=state, commands=other), "the doubt is about one plane"


@pytest.mark.parametrize("outcome", list(EnactOutcome))
def test_law_10_only_an_ambiguous_end_of_a_write_leaves_doubt(book: Playbook, outcome: EnactOutcome) -> None:
    event = EnactFinished(
        at_ms=book.now_ms, result=EnactResult(enactor=PLANE, generation=1, outcome=outcome, at_ms=book.now_ms)
    )
    write = Enact(enactor=PLANE, steering=book.state.steering)
    assert (10 in laws(book, book.state, event=event, commands=(write,))) is (outcome is EnactOutcome.AMBIGUOUS)


def test_law_11_sending_the_present_generation_under_a_term_we_hold_breaks_nothing(book: Playbook) -> None:
    write = (Enact(enactor=PLANE, steering=book.state.steering),)
    assert laws(book, book.state, commands=write) == set()
    lost = replace(book.state, term=None)
    assert 11 in laws(book, lost, before=lost, commands=write)
    newer = replace(book.state.steering, generation=book.state.steering.generation + 1)
    assert 11 in laws(book, book.state, commands=(Enact(enactor=PLANE, steering=newer),))


def test_law_11_another_steering_takes_another_generation(book: Playbook) -> None:
    same = replace(steered(book.state, SOUND).steering, generation=book.state.steering.generation)
    assert laws(book, replace(book.state, steering=same)) == {11}, "what was not numbered is judged as no move besides"


def test_law_11_an_answer_set_without_shares_or_without_members_is_empty(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    for empty in (replace(entry, members_pm={}), replace(entry, shares_bp={P: 0, G: 0, A: 0})):
        state = replace(book.state, steering=replace(book.state.steering, services=(empty,)))
        assert 11 in laws(book, state, before=state, commands=(Enact(enactor=PLANE, steering=state.steering),))


def test_law_14_is_about_a_plane_that_had_the_present_generation_and_was_changed_by_hand(book: Playbook) -> None:
    """One that is behind is written, whatever was changed on it; so is one that never had it; and so is a new decision."""
    drift = Drift(enactor=PLANE, what="web", wanted="50 %", found="10 %", ours=True)
    reading = replace(book.reading(PLANE), drifts=(drift,))
    write = (Enact(enactor=PLANE, steering=book.state.steering),)
    assert reading.generation == book.state.steering.generation

    def breaks(after: ControllerState, commands: tuple[Command, ...], before: ControllerState, **changed: object) -> bool:
        event = ReadBackArrived(at_ms=book.now_ms, read_back=replace(reading, **changed))  # type: ignore[arg-type]
        return 14 in laws(book, after, before=before, event=event, commands=commands)

    state = book.state
    assert breaks(state, write, state)
    assert not breaks(state, write, state, generation=state.steering.generation - 1)
    assert not breaks(state, write, state, drifts=())
    assert not breaks(state, (Enact(enactor=EnactorId("lb"), steering=state.steering),), state)
    behind = replace(state, planes={PLANE: replace(state.plane(PLANE), confirmed_generation=None)})
    assert not breaks(behind, write, behind)
    decided = steered(state, SOUND)
    rewritten = (*RECORD, Enact(enactor=PLANE, steering=decided.steering))
    assert not breaks(decided, rewritten, state, generation=decided.steering.generation)


RECORD: tuple[Command, ...] = (Remember(generation=2), Record(kind="decision", data={}))


# -- taking over what is found ---------------------------------------------------------------------------------------


def test_taking_over_what_the_planes_carry_is_judged_as_no_move(book: Playbook) -> None:
    """Gasan with 60 % is far above its limit: but it was so already, and nobody moved it there."""
    found = steered(book.state, {P: 2_000, G: 6_000, A: 2_000})
    assert 7 in laws(book, found)
    adoption = Adoption(found=AdoptedFrom.PLANES, why="", since_ms=book.now_ms, sites=frozenset())
    assert laws(book, replace(found, adoption=adoption)) == set()
    held = replace(book.state, adoption=adoption)
    assert 7 in laws(book, replace(found, adoption=adoption), before=held), "it was taken over before"
    again = replace(adoption, since_ms=book.now_ms + 1)
    assert laws(book, replace(found, adoption=again), before=held) == set()
    for elsewhere in (AdoptedFrom.COPY, AdoptedFrom.NOWHERE):
        assert 7 in laws(book, replace(found, adoption=replace(adoption, found=elsewhere))), "found at the start, in no step"


# -- laws 12 to 17 ---------------------------------------------------------------------------------------------------


def test_law_12_with_store_and_term_a_node_may_decide_and_write(book: Playbook) -> None:
    write = Enact(enactor=PLANE, steering=book.state.steering)
    lost = replace(book.state, term=None)
    assert 12 not in laws(book, book.state, commands=(write,))
    assert laws(book, lost, before=lost, commands=(Record(kind="note", data={}),)) == set(), "and without it may still note"
    assert 12 in laws(book, lost, before=lost, commands=(write,))


def test_law_13_an_override_that_was_there_needs_no_new_digest(book: Playbook) -> None:
    there = replace(book.state, overrides=(an_override(book, plan_digest="b" * 16),))
    assert 13 not in laws(book, there, before=there)
    assert 13 in laws(book, there)
    assert 13 not in laws(book, replace(book.state, overrides=(an_override(book),))), "it carries out no digest"


def test_law_13_going_back_to_the_shares_before_the_last_move_is_within_what_was_approved(book: Playbook) -> None:
    state = wanting(book.state, a_goal(book))
    outside = {P: 3_999, G: 3_501, A: 2_500}
    assert 13 in moved(book, state, outside)
    undoing = replace(state, transitions={WEB: replace(state.transition(WEB), undo_bp=outside)})
    assert 13 not in moved(book, undoing, outside)
    assert 13 in moved(book, undoing, {P: 3_998, G: 3_502, A: 2_500})


@pytest.mark.parametrize("why", [Standing.DEGRADED, Standing.DOWN])
def test_law_13_a_goal_does_not_hold_back_evidence(book: Playbook, why: Standing) -> None:
    """A site that is sick or overloaded is left however little was approved; and a refuge gains however little was let back."""
    less, more = {P: 3_000, G: 4_000, A: 3_000}, {P: 5_100, G: 2_900, A: 2_000}
    drain = wanting(seeing(book, pangyo=why), a_goal(book))
    assert 13 not in moved(book, drain, less)
    released = a_goal(book)
    released = replace(released, goal=replace(released.goal, verb=Verb.UNDRAIN), override=None)
    assert 13 in moved(book, wanting(book.state, released), more)
    assert 13 not in moved(book, wanting(seeing(book, gasan=why), released), more)
    assert 13 in moved(book, wanting(seeing(book, anyang=why), released), more), "anyang loses nothing"


def test_law_13_an_overloaded_site_is_relieved_whatever_was_approved(book: Playbook) -> None:
    overload = Diagnosis(code=DiagnosisCode.OVERLOAD, since_ms=0, reason="", service=WEB, site=P)
    full = replace(book.state, picture=replace(book.state.picture, diagnoses=(overload,)))
    assert 13 not in moved(book, wanting(full, a_goal(book)), {P: 3_000, G: 4_000, A: 3_000})


@pytest.mark.parametrize("state", list(GoalState))
def test_law_13_binds_a_goal_from_its_start_until_it_is_over(book: Playbook, state: GoalState) -> None:
    held = wanting(book.state, a_goal(book, state=state))
    is_bound = state in (GoalState.RUNNING, GoalState.SUSPENDED, GoalState.REACHED)
    assert (13 in moved(book, held, {P: 3_999, G: 3_501, A: 2_500})) is is_bound


def test_law_13_a_suspended_goal_holds_to_the_end_of_its_override_and_not_in_the_step_that_ends_it(book: Playbook) -> None:
    suspended = a_goal(book, state=GoalState.SUSPENDED)
    forced = replace(wanting(book.state, suspended), overrides=(an_override(book),))
    over = wanting(replace(forced, overrides=()), replace(suspended, state=GoalState.ENDED))
    less = {P: 3_999, G: 3_501, A: 2_500}
    assert 13 in laws(book, steered(forced, less), before=forced)
    assert 13 not in laws(book, steered(over, less), before=forced)
    still_forced = wanting(forced, replace(suspended, state=GoalState.ENDED))
    assert 13 in laws(book, steered(still_forced, less), before=forced), "over, and its override is not"


def test_law_13_a_goal_of_another_service_binds_nothing_here(book: Playbook) -> None:
    track = a_goal(book)
    other = replace(track, goal=replace(track.goal, services=(ServiceId("mail"),)))
    assert 13 not in moved(book, wanting(book.state, other), {P: 3_999, G: 3_501, A: 2_500})


def two_of(setup: Setup) -> Setup:
    other = replace(setup.topology.services[0], id=ServiceId("mail"))
    return replace(setup, topology=replace(setup.topology, services=(*setup.topology.services, other)))


def test_law_15_a_steering_that_was_not_decided_anew_is_not_blamed_for_the_new_file(book: Playbook) -> None:
    """Without the store a reload decides nothing (law 12): what is held speaks of the services of before."""
    event = Reloaded(at_ms=book.now_ms, digest=book.setup.digest)
    taken = replace(book.state, setup_digest=book.setup.digest)
    assert 15 not in laws(book, taken, event=event, commands=(), setup=two_of(book.setup))


def test_law_15_a_reload_is_named_in_the_state_even_where_no_share_changes(book: Playbook) -> None:
    event = Reloaded(at_ms=book.now_ms, digest="new")
    assert 15 not in laws(book, replace(book.state, setup_digest="new"), event=event, commands=())
    assert 15 in laws(book, replace(book.state, setup_digest="old"), event=event, commands=())


def test_law_16_switched_off_only_what_a_person_forces_moves(book: Playbook) -> None:
    off = replace(book.state, is_switched_off=True)
    entry = book.state.steering.of(WEB)
    assert entry is not None
    assert 16 not in moved(book, replace(off, overrides=(an_override(book),)), SOUND)
    assert 16 not in moved(book, off, entry.shares_bp, ttl_s=entry.ttl_s - 1)
    assert 16 in moved(book, off, SOUND)


def test_law_16_a_journal_entry_about_what_nobody_noted_is_one_too_many(book: Playbook) -> None:
    entry = Record(kind="findings", data={"service": WEB, "findings": []})
    assert laws(book, book.state, commands=(entry,)) == {16}


@pytest.mark.parametrize("failback", list(Failback))
@pytest.mark.parametrize("is_shedding", [False, True])
def test_law_16_who_returns_by_itself(failback: Failback, is_shedding: bool) -> None:
    """By the ramp; while demand is shed, wherever the policy does not leave it to people."""
    book = Playbook(setup=three_sites(failback=failback))
    book.run(5_000)
    if is_shedding:
        book.state = steered(book.state, {P: 0, G: 5_000, A: 4_999}, shed_bp=1)
    may = failback is Failback.RAMP or (is_shedding and failback is not Failback.MANUAL)
    assert returns(book) == (set() if may else {16})


@pytest.mark.parametrize("life", [SiteLife.DRAINING, SiteLife.DRAINED])
def test_law_16_a_hold_down_holds_from_the_moment_a_site_is_left(book: Playbook, life: SiteLife) -> None:
    assert returns(book, life=life, hold_until_ms=book.now_ms + 1) == {16}


@pytest.mark.parametrize(
    "hand",
    [
        {"tracks": {(WEB, P): SiteTrack(is_return_asked=True)}},
        {"tracks": {(WEB, P): SiteTrack(life=SiteLife.DRAINED, left_because=LeftBecause.PERSON)}},
        {"tracks": {(WEB, P): SiteTrack(life=SiteLife.DRAINED, left_because=LeftBecause.DEAD)}},
    ],
)
def test_law_16_a_person_has_a_hand_in_shares_that_return_because_they_asked(book: Playbook, hand: dict[str, object]) -> None:
    off = replace(book.state, is_switched_off=True, **hand)  # type: ignore[arg-type]
    (track,) = off.tracks.values()
    is_by_person = track.is_return_asked or track.left_because is LeftBecause.PERSON
    assert (16 not in moved(book, off, SOUND)) is is_by_person


@pytest.mark.parametrize(
    ("kind", "is_forced"), [(OverrideKind.DRAIN, True), (OverrideKind.SHARES, True), (OverrideKind.FREEZE, False)]
)
def test_law_16_what_a_person_forces_or_let_go_of_in_this_step_moves_shares(
    book: Playbook, kind: OverrideKind, is_forced: bool
) -> None:
    made = an_override(book, kind=kind, site=P if kind is OverrideKind.DRAIN else None, created_ms=0)
    made = replace(made, shares_bp=SOUND if kind is OverrideKind.SHARES else None)
    off = replace(book.state, is_switched_off=True)
    held = replace(off, overrides=(made,))
    assert (16 not in moved(book, held, SOUND)) is is_forced
    assert (16 not in laws(book, steered(off, SOUND), before=held)) is is_forced, "it ends with this step"


def test_law_6_a_proposal_that_nobody_approved_moves_nothing() -> None:
    book = Playbook(setup=three_sites(mode=Mode.RECOMMEND))
    book.run(5_000)
    track = a_goal(book)
    track = replace(track, goal=replace(track.goal, verb=Verb.PROPOSED, owner="siteshift"))
    given = Approval(digest=track.digest, person="lee", rank="approver", via="token", at_ms=0, expires_ms=0)
    assert 6 in moved(book, wanting(book.state, track), SOUND)
    assert 6 not in moved(book, wanting(book.state, replace(track, approvals=(given,))), SOUND)
    drain = a_goal(book)
    given = replace(given, digest=drain.digest)
    assert 6 in moved(book, wanting(book.state, replace(drain, approvals=(given,))), SOUND), "it is no proposal"


def test_law_13_a_site_that_does_not_move_is_not_held_against_its_bounds(book: Playbook) -> None:
    """What others do meanwhile is no step of this goal, wherever its own site stands."""
    released = a_goal(book)
    released = replace(released, goal=replace(released.goal, verb=Verb.UNDRAIN), override=None)
    for track, at_bp in ((a_goal(book), 3_000), (released, 5_200)):
        state = steered(wanting(book.state, track), {P: at_bp, G: 8_000 - at_bp, A: 2_000})
        assert 13 not in moved(book, state, {P: at_bp, G: 8_100 - at_bp, A: 1_900})


def test_law_16_judges_a_return_also_where_nothing_is_steered_yet(book: Playbook) -> None:
    book.state = replace(book.state, steering=replace(book.state.steering, services=()))
    assert returns(book) == set()
    assert returns(book, hold_until_ms=book.now_ms + 1) == {16}


def test_law_5_a_drain_of_a_service_is_not_lifted_with_one_of_all(book: Playbook) -> None:
    """Two overrides of one site: an undrain of one service ends that of the service, and what was forced for all stays."""
    mine, all_ = (forced(book, name, OverrideKind.DRAIN, site=P, service=of) for name, of in (("o1", WEB), ("o2", None)))
    before = replace(book.state, overrides=(mine, all_))
    asking = OperatorRequest(id="a", person="ada", request=UndrainRequest(site=P, service=WEB))
    event = Asked(at_ms=book.now_ms, asking=asking)
    assert 5 not in laws(book, replace(book.state, overrides=(all_,)), before=before, event=event, commands=())
    assert 5 in laws(book, replace(book.state, overrides=(mine,)), before=before, event=event, commands=())


def test_law_17_is_judged_at_a_reload_of_more_than_one_node(book: Playbook) -> None:
    alone = replace(book.setup, planes=(PlaneRef(id=PLANE, services=(WEB,), site=P),))
    two = replace(alone, topology=replace(alone.topology, vantages=((NODE, G), (VantageId("c2"), P))))
    event = Reloaded(at_ms=book.now_ms, digest=book.setup.digest)
    taken = replace(book.state, setup_digest=book.setup.digest)
    assert laws(book, taken, event=event, commands=(), setup=two) == {17}
    assert laws(book, taken, event=event, commands=(), setup=alone) == set(), "one node has no elsewhere"
    assert laws(book, book.state, event=Ticked(at_ms=book.now_ms), commands=(), setup=two) == set()


@pytest.mark.parametrize("kind", [PartKind.STANDBY_DRIVER, PartKind.NOTIFIER])
@pytest.mark.parametrize(
    ("sites", "is_alone"), [((P,), True), ((P, P), True), ((P, G), False), ((None,), False), ((P, None), False), ((), False)]
)
def test_law_17_names_the_part_that_stands_in_one_site_only(
    kind: PartKind, sites: tuple[SiteId | None, ...], is_alone: bool
) -> None:
    parts = tuple(Part(kind=kind, id=str(number), site=site) for number, site in enumerate(sites))
    found = single_site_dependencies(replace(three_sites(), parts=parts))
    assert found == ((f"every {kind.value.replace('_', ' ')} stands in pangyo",) if is_alone else ())


def test_law_17_a_service_at_one_site_has_nowhere_to_go_and_needs_no_plane_elsewhere() -> None:
    setup = three_sites()
    only = replace(setup.topology.services[0], pools=setup.topology.services[0].pools[:1])
    planes = (PlaneRef(id=PLANE, services=(WEB,), site=P),)
    assert single_site_dependencies(replace(setup, planes=planes)) != ()
    alone = replace(setup, topology=replace(setup.topology, services=(only,)), planes=planes)
    assert single_site_dependencies(alone) == ()
