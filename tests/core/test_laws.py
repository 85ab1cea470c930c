"""Every law has a checker, and every checker catches its violation: a sound step is doctored until the law breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from core.playbook import DOWN, NODE, PLANE, UNKNOWN, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.beliefs.traffic import FRESH_MS
from siteshift.core.invariants import CHECKERS, check
from siteshift.core.messages.commands import ActivateStandby, Command, Enact, Record, Remember, RetireStandby
from siteshift.core.messages.events import Asked, EnactFinished, Event, ReadBackArrived, Reloaded, Ticked
from siteshift.core.messages.requests import DrainRequest, OperatorRequest
from siteshift.core.model.approval import Accepted, Approval, ApprovalState, Bounds, Envelope, Goal, Verb
from siteshift.core.model.codes import EnactOutcome, FindingCode, LeftBecause, Mode, OverrideKind, SiteLife, Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.override import Override
from siteshift.core.model.setup import Part, PartKind, PlaneRef, Setup
from siteshift.core.model.steering import Drift, EnactResult
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId, pool_target
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState, GoalTrack
from siteshift.core.state.tracks import SiteTrack, TrafficTrack

Shares = Mapping[SiteId, int]
RECORDED: tuple[Command, ...] = (Remember(generation=2), Record(kind="decision", data={}))


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def laws(
    book: Playbook,
    after: ControllerState,
    *,
    event: Event | None = None,
    commands: tuple[Command, ...] = RECORDED,
    before: ControllerState | None = None,
    setup: Setup | None = None,
) -> set[int]:
    """The laws a doctored step breaks."""
    heard = event or Ticked(at_ms=book.now_ms)
    return {v.law for v in check(before or book.state, heard, after, commands, setup or book.setup)}


def steered(state: ControllerState, shares: Shares, *, shed_bp: int = 0, **more: object) -> ControllerState:
    """The state with other shares for the web service, under the next generation, and with the old TTL noted."""
    entry = state.steering.of(WEB)
    assert entry is not None
    changed = replace(entry, shares_bp=dict(shares), shed_bp=shed_bp, **more)  # type: ignore[arg-type]
    steering = replace(state.steering, generation=state.steering.generation + 1, services=(changed,))
    transition = replace(state.transition(WEB), tail_until_ms=state.steering.decided_at_ms + 100_000)
    return replace(state, steering=steering, transitions={WEB: transition})


def seeing(book: Playbook, **standings: object) -> ControllerState:
    """The state with other standings of pools in its picture."""
    pools = dict(book.state.picture.pools)
    for site, standing in standings.items():
        key = (WEB, SiteId(site))
        pools[key] = replace(pools[key], standing=standing)  # type: ignore[arg-type]
    return replace(book.state, picture=replace(book.state.picture, pools=pools))


def test_a_step_that_changes_nothing_breaks_nothing(book: Playbook) -> None:
    assert laws(book, book.state, commands=()) == set()


def test_a_sound_move_breaks_nothing(book: Playbook) -> None:
    assert laws(book, steered(book.state, {P: 4800, G: 3100, A: 2100})) == set()


def test_law_1_no_site_left(book: Playbook) -> None:
    assert 1 in laws(book, steered(book.state, {P: 0, G: 0, A: 0}, shed_bp=10_000))


def test_law_1_a_site_with_a_share_is_closed_as_dead(book: Playbook) -> None:
    assert laws(book, steered(book.state, {P: 4800, G: 3100, A: 2100}, dead_sites=frozenset({P}))) == {1}


def test_law_1_only_dead_sites_left(book: Playbook) -> None:
    state = seeing(book, gasan=Standing.DOWN, anyang=Standing.DOWN)
    assert 1 in laws(book, steered(state, {P: 0, G: 5000, A: 5000}), before=state)


def test_law_2_traffic_to_a_cold_standby(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    members = {**entry.members_pm, MemberId("web/gasan/s1"): 1000}
    assert 2 in laws(book, steered(book.state, entry.shares_bp, members_pm=members))


def test_law_2_more_traffic_to_a_site_that_is_down(book: Playbook) -> None:
    state = seeing(book, gasan=Standing.DOWN)
    assert 2 in laws(book, steered(state, {P: 4500, G: 3500, A: 2000}), before=state)


def test_law_2_counts_what_is_shed_where_it_stays(book: Playbook) -> None:
    """A share instead of all that was shed there is less for a site that is down under it, unless a page answers what is shed."""
    before = steered(seeing(book, pangyo=Standing.DOWN), {P: 0, G: 2000, A: 2000}, shed_bp=6000, shed_at=P)
    after = steered(before, {P: 3000, G: 4000, A: 3000}, shed_bp=0, shed_at=None)
    assert 2 not in laws(book, after, before=before)
    services = tuple(replace(service, shed_answers=("192.0.2.200",)) for service in book.setup.topology.services)
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=services))
    assert 2 in laws(book, after, before=before)


def test_law_2_a_standby_retired_while_it_serves(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    member = next(iter(entry.members_pm))
    assert 2 in laws(book, book.state, commands=(RetireStandby(member=member),))


def test_law_3_moving_while_blind(book: Playbook) -> None:
    state = replace(book.state, picture=replace(book.state.picture, blind=True))
    assert 3 in laws(book, steered(state, {P: 4500, G: 3500, A: 2000}), before=state)


def test_law_3_a_site_without_evidence_loses_share(book: Playbook) -> None:
    state = seeing(book, pangyo=Standing.UNKNOWN)
    assert 3 in laws(book, steered(state, {P: 4500, G: 3500, A: 2000}), before=state)


def test_law_4_moving_during_a_global_fault(book: Playbook) -> None:
    state = replace(book.state, picture=replace(book.state.picture, global_fault=frozenset({WEB})))
    assert 4 in laws(book, steered(state, {P: 4500, G: 3500, A: 2000}), before=state)


def left_for_dead(state: ControllerState, site: SiteId) -> ControllerState:
    track = SiteTrack(life=SiteLife.DRAINING, left_because=LeftBecause.DEAD)
    return replace(state, tracks={**state.tracks, (WEB, site): track})


def hearing(book: Playbook, **words: TargetView) -> ControllerState:
    """The state with the reports of other vantages, each of one mind about pangyo."""
    state = book.state
    mine = state.reports[NODE]
    reports = {
        VantageId(name): replace(mine, vantage=VantageId(name), site=None, views={**mine.views, pool_target(WEB, P): view})
        for name, view in words.items()
    }
    return replace(state, reports=reports)


def test_law_4_left_on_the_word_of_a_few(book: Playbook) -> None:
    state = hearing(book, c1=DOWN, c2=UP, c3=UP)
    assert 4 in laws(book, left_for_dead(state, P), before=state)
    state = hearing(book, c1=DOWN, c2=DOWN, c3=UP)
    assert 4 not in laws(book, left_for_dead(state, P), before=state)


def test_law_4_left_although_every_site_is_down(book: Playbook) -> None:
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.report()
    assert 4 in laws(book, left_for_dead(book.state, P))


def test_law_4_a_site_that_users_are_served_by_is_not_held_to_be_down(book: Playbook) -> None:
    """Its check fails like all the others, and real traffic contradicts it: so there is a site to go to."""
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.beliefs[pool_target(WEB, G)] = replace(UNKNOWN, standing=Standing.SUSPECT, is_contradicted=True)
    book.report()
    assert 4 not in laws(book, left_for_dead(book.state, P))


def counting(book: Playbook, answered: int, *, asked: int = 100, ago_ms: int = 0, window_ms: int = 500) -> ControllerState:
    """Every check has failed for a second, and gasan's meter counted so many requests/s that its users got an answer to."""
    for site in (P, G, A):
        book.believe(site, DOWN)
    book.now_ms += 1_000
    book.report()
    track = TrafficTrack(
        at_ms=book.now_ms - ago_ms,
        rate_mrps=asked * 1_000,
        last_mrps=asked * 1_000,
        window_ms=window_ms,
        asked_mrps=asked * 1_000,
        answered_mrps=answered * 1_000,
        tells_answers=True,
    )
    return replace(book.state, traffic={**book.state.traffic, (WEB, G): track})


@pytest.mark.parametrize(
    ("answered", "more", "is_answered"),
    [
        (6, {}, True),
        (4, {}, False),
        (14, {"asked": 14}, True),
        (12, {"asked": 12}, False),
        (60, {"window_ms": 1_000}, True),
        (60, {"window_ms": 1_001}, False),
        (60, {"ago_ms": 1_500}, False),
    ],
)
def test_law_4_a_site_where_a_meter_counts_answers_since_its_checks_fail_is_not_held_to_be_down(
    book: Playbook, answered: int, more: dict[str, int], is_answered: bool
) -> None:
    """More than one in twenty, of seven requests or more: as the judge takes it."""
    state = counting(book, answered, **more)
    assert (4 not in laws(book, left_for_dead(state, P), before=state)) is is_answered


def test_law_5_what_a_meter_says_against_checks_is_no_override(book: Playbook) -> None:
    state = counting(book, 60)
    pools = dict(state.picture.pools)
    pools[(WEB, G)] = replace(pools[(WEB, G)], standing=Standing.DEGRADED)
    seen = replace(state, picture=replace(state.picture, pools=pools), overrides=(an_override(book),))
    assert 5 not in laws(book, seen, before=state)
    assert 5 in laws(book, replace(seen, traffic=book.state.traffic), before=state)


def test_law_5_a_window_that_came_since_the_picture_was_made_is_no_override(book: Playbook) -> None:
    """What is read of a meter between two looks is believed at the next one: a drain that changed nothing was blamed."""
    state = counting(book, 60)
    assert 5 not in laws(book, replace(state, overrides=(an_override(book),)), before=state)
    wrong = replace(state, picture=seeing(book, gasan=Standing.UP).picture)
    assert 5 in laws(book, replace(wrong, overrides=(an_override(book),)), before=wrong), "no meter makes a site well"


def an_override(book: Playbook, **more: object) -> Override:
    made = Override(
        id="o1", kind=OverrideKind.DRAIN, owner="kim", reason="test", ticket="", created_ms=book.now_ms,
        expires_ms=book.now_ms + 60_000, service=None, site=P,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_law_5_an_override_that_shows_in_the_picture(book: Playbook) -> None:
    after = replace(seeing(book, pangyo=Standing.DOWN), overrides=(an_override(book),))
    assert 5 in laws(book, after, before=book.state)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RECOMMEND])
def test_law_6_moving_without_auto(mode: Mode) -> None:
    book = Playbook(setup=three_sites(mode=mode))
    book.run(5_000)
    assert 6 in laws(book, steered(book.state, {P: 4500, G: 3500, A: 2000}))


def test_law_7_a_survivor_above_its_limit(book: Playbook) -> None:
    assert 7 in laws(book, steered(book.state, {P: 2000, G: 6000, A: 2000}))


def test_law_7_shares_that_do_not_add_up(book: Playbook) -> None:
    assert 7 in laws(book, steered(book.state, {P: 5000, G: 3000, A: 1000}))


def drained(book: Playbook, state: ControllerState) -> ControllerState:
    track = SiteTrack(life=SiteLife.DRAINED, since_ms=book.now_ms)
    return replace(state, tracks={**state.tracks, (WEB, P): track})


def test_law_8_drained_while_traffic_is_seen(book: Playbook) -> None:
    assert 8 in laws(book, drained(book, book.state))


def test_law_8_drained_before_anybody_could_have_measured(book: Playbook) -> None:
    unheard = replace(book.state, traffic={})
    assert 8 in laws(book, drained(book, replace(unheard, started_ms=book.now_ms - FRESH_MS + 1)))
    assert 8 not in laws(book, drained(book, replace(unheard, started_ms=book.now_ms - FRESH_MS)))


def test_law_9_drained_before_the_old_ttl_ran_out(book: Playbook) -> None:
    transition = replace(book.state.transition(WEB), tail_until_ms=book.now_ms + 10_000)
    assert 9 in laws(book, drained(book, replace(book.state, transitions={WEB: transition})))


def test_law_9_a_move_that_forgets_the_old_ttl(book: Playbook) -> None:
    after = steered(book.state, {P: 4800, G: 3100, A: 2100})
    assert 9 in laws(book, replace(after, transitions=book.state.transitions))


def test_law_10_written_again_on_a_reading_from_before(book: Playbook) -> None:
    track = replace(book.state.plane(PLANE), outcome=EnactOutcome.AMBIGUOUS, ended_ms=book.now_ms)
    state = replace(book.state, planes={PLANE: track})
    write = Enact(enactor=PLANE, steering=state.steering)
    assert 10 in laws(book, state, before=state, commands=(write,))


def test_law_10_written_again_after_an_ambiguous_write(book: Playbook) -> None:
    result = EnactResult(enactor=PLANE, generation=1, outcome=EnactOutcome.AMBIGUOUS, at_ms=book.now_ms)
    write = Enact(enactor=PLANE, steering=book.state.steering)
    event = EnactFinished(at_ms=book.now_ms, result=result)
    assert 10 in laws(book, book.state, event=event, commands=(write,))


def test_law_11_a_generation_that_goes_back(book: Playbook) -> None:
    older = replace(book.state, steering=replace(book.state.steering, generation=0))
    assert 11 in laws(book, older)


def test_law_11_an_old_plan_written_late(book: Playbook) -> None:
    old = replace(book.state.steering, generation=book.state.steering.generation - 1)
    assert 11 in laws(book, book.state, commands=(Enact(enactor=PLANE, steering=old),))


def test_law_11_an_empty_answer_set(book: Playbook) -> None:
    entry = book.state.steering.of(WEB)
    assert entry is not None
    empty = replace(book.state.steering, services=(replace(entry, members_pm={}),))
    assert 11 in laws(book, book.state, commands=(Enact(enactor=PLANE, steering=empty),))


@pytest.mark.parametrize("lost", [{"is_store_usable": False}, {"term": None}])
def test_law_12_deciding_without_store_or_term(book: Playbook, lost: dict[str, object]) -> None:
    state = replace(book.state, **lost)  # type: ignore[arg-type]
    assert 12 in laws(book, steered(state, {P: 4800, G: 3200, A: 2000}), before=state)
    start = ActivateStandby(member=MemberId("web/gasan/s1"), deadline_ms=book.now_ms)
    assert 12 in laws(book, state, before=state, commands=(start,))


def a_goal(book: Playbook, **more: object) -> GoalTrack:
    """Pangyo drained by kim within 4,000 to 5,000 bp, confirmed."""
    goal = Goal(verb=Verb.DRAIN, services=(WEB,), sites=(P,), owner="kim", topology="t", policy="p")
    bounds = (
        Bounds(service=WEB, site=P, share_min_bp=4_000, share_max_bp=5_000, utilisation_max_pm=900),
        Bounds(service=WEB, site=G, share_min_bp=3_000, share_max_bp=5_000, utilisation_max_pm=1_600),
        Bounds(service=WEB, site=A, share_min_bp=2_000, share_max_bp=4_000, utilisation_max_pm=900),
    )
    envelope = Envelope(bounds=bounds, shed_max_bp={WEB: 0})
    asking = OperatorRequest(id="a", person="kim", request=DrainRequest(site=P))
    track = GoalTrack(goal=goal, asking=asking, state=GoalState.RUNNING, since_ms=book.now_ms, envelope=envelope, override="o1")
    return replace(track, **more)  # type: ignore[arg-type]


def wanting(state: ControllerState, track: GoalTrack) -> ControllerState:
    return replace(state, goals={track.goal.digest: track})


def test_law_13_granted_for_another_offer(book: Playbook) -> None:
    track = a_goal(book)
    asking = OperatorRequest(id="a", person="kim", request=DrainRequest(site=P), digest=track.digest)
    event = Asked(at_ms=book.now_ms, asking=asking)
    made = an_override(book, plan_digest=track.digest, goal=track.goal.digest)
    assert 13 not in laws(book, replace(wanting(book.state, track), overrides=(made,)), event=event)
    other = replace(made, plan_digest="b" * 16)
    assert 13 in laws(book, replace(wanting(book.state, track), overrides=(other,)), event=event)
    assert 13 in laws(book, replace(wanting(book.state, track), overrides=(made,))), "nobody gave a digest"
    assert 13 in laws(book, replace(book.state, overrides=(made,)), event=event), "no such goal"


def test_law_13_a_step_outside_of_what_was_approved(book: Playbook) -> None:
    state = wanting(book.state, a_goal(book))
    assert 13 not in laws(book, steered(state, {P: 4_000, G: 3_500, A: 2_500}), before=state)
    assert 13 in laws(book, steered(state, {P: 3_999, G: 3_501, A: 2_500}), before=state)
    is_dead = wanting(seeing(book, pangyo=Standing.DOWN), a_goal(book))
    assert 13 not in laws(book, steered(is_dead, {P: 0, G: 3_600, A: 3_600}, shed_bp=2_800), before=is_dead)


def test_law_13_forced_shares_give_no_site_more_than_was_approved(book: Playbook) -> None:
    """Who loses was within its bounds, so nobody looked at who got it."""
    track = a_goal(book)
    bounds = tuple(replace(b, share_max_bp=3_500) if b.site == G else b for b in track.envelope.bounds)
    goal, envelope = replace(track.goal, verb=Verb.SHARES, sites=(P, G, A)), replace(track.envelope, bounds=bounds)
    forced = replace(track, goal=goal, envelope=envelope)
    state = wanting(book.state, forced)
    assert 13 not in laws(book, steered(state, {P: 4_400, G: 3_500, A: 2_100}), before=state)
    assert 13 in laws(book, steered(state, {P: 4_400, G: 3_501, A: 2_099}), before=state)
    dying = wanting(seeing(book, pangyo=Standing.DOWN), forced)
    assert 13 not in laws(book, steered(dying, {P: 0, G: 6_000, A: 4_000}), before=dying), "they are where it went"
    short = steered(state, {P: 4_400, G: 3_000, A: 2_000}, shed_bp=600)
    assert 13 not in laws(book, steered(short, {P: 4_400, G: 3_600, A: 2_000}), before=short), "it takes what nobody carried"


def test_law_13_a_step_of_a_goal_that_is_suspended(book: Playbook) -> None:
    state = wanting(book.state, a_goal(book, state=GoalState.SUSPENDED))
    assert 13 in laws(book, steered(state, {P: 4_500, G: 3_250, A: 2_250}), before=state)
    assert 13 not in laws(book, steered(state, {P: 5_000, G: 2_900, A: 2_100}), before=state), "pangyo is all it is about"


def test_law_13_a_member_taken_out_for_a_goal_that_is_suspended(book: Playbook) -> None:
    pool = book.setup.topology.services[0].pools[0]
    first = pool.members[0].id
    track = a_goal(book, state=GoalState.SUSPENDED)
    track = replace(track, goal=replace(track.goal, verb=Verb.DEPOOL, sites=(), members=(first,)))
    state = wanting(book.state, track)
    entry = state.steering.of(WEB)
    assert entry is not None
    after = steered(state, entry.shares_bp, members_pm={m: pm for m, pm in entry.members_pm.items() if m != first})
    assert 13 in laws(book, after, before=state)
    seen = after.picture.pools[(WEB, P)]
    down = replace(seen, members={**seen.members, first: DOWN})
    after = replace(after, picture=replace(after.picture, pools={**after.picture.pools, (WEB, P): down}))
    assert 13 not in laws(book, after, before=state), "it is down: that needs nobody's approval"


def test_law_13_a_ttl_that_is_none_of_the_policy(book: Playbook) -> None:
    state = wanting(book.state, a_goal(book))
    entry = state.steering.of(WEB)
    assert entry is not None and entry.ttl_s == 30
    assert 13 in laws(book, steered(state, entry.shares_bp, ttl_s=1), before=state)
    assert 13 not in laws(book, steered(state, entry.shares_bp, ttl_s=5), before=state), "short, as the policy has it"
    short = steered(state, entry.shares_bp, ttl_s=1)
    assert 13 not in laws(book, steered(short, entry.shares_bp, ttl_s=30), before=short), "raised back"
    assert 13 not in laws(book, steered(book.state, entry.shares_bp, ttl_s=1)), "nothing was approved of it"


def test_law_13_what_let_a_site_back_gives_it_no_more_than_was_approved(book: Playbook) -> None:
    released = a_goal(book)
    released = replace(released, goal=replace(released.goal, verb=Verb.UNDRAIN), override=None)
    state = steered(wanting(book.state, released), {P: 4_500, G: 3_250, A: 2_250})
    assert 13 not in laws(book, steered(state, {P: 4_800, G: 3_100, A: 2_100}), before=state)
    assert 13 in laws(book, steered(state, {P: 5_100, G: 2_900, A: 2_000}), before=state)
    assert 13 not in laws(book, steered(state, {P: 3_000, G: 4_000, A: 3_000}), before=state), "it loses: not by this goal"


def test_law_13_running_without_the_approvals_it_takes(book: Playbook) -> None:
    taken = Accepted(code=FindingCode.CAPACITY_SHORT, numbers={"site": G}, approvals_needed=1)
    track = a_goal(book)
    track = replace(track, envelope=replace(track.envelope, accepted=(taken,)))
    assert 13 in laws(book, wanting(book.state, track))
    own = Approval(digest=track.digest, person="Kim", rank="approver", via="token", at_ms=0, expires_ms=0)
    assert 13 in laws(book, wanting(book.state, replace(track, approvals=(own,)))), "one's own counts for nothing"
    other = replace(own, person="lee")
    assert 13 not in laws(book, wanting(book.state, replace(track, approvals=(other,))))
    for state in (ApprovalState.REVOKED, ApprovalState.LAPSED, ApprovalState.USED):
        assert 13 in laws(book, wanting(book.state, replace(track, approvals=(replace(other, state=state),))))
    elsewhere = replace(other, digest="0" * 16)
    assert 13 in laws(book, wanting(book.state, replace(track, approvals=(elsewhere,))))


def test_law_7_judges_the_move_by_what_others_approved_for_it(book: Playbook) -> None:
    """Not by whether two people ever approved something: 6,000 bp at gasan are 150 % of what it carries."""
    after = {P: 2_000, G: 6_000, A: 2_000}
    other = Approval(digest="", person="lee", rank="approver", via="token", at_ms=0, expires_ms=0)
    track = a_goal(book)
    approved = replace(track, approvals=(replace(other, digest=track.digest),))
    for goal, is_broken in ((approved, False), (track, True), (replace(approved, state=GoalState.SUSPENDED), True)):
        state = wanting(book.state, goal)
        assert (7 in laws(book, steered(state, after), before=state)) is is_broken
    tighter = replace(track.envelope.bounds[1], utilisation_max_pm=1_450)
    low = replace(track, envelope=replace(track.envelope, bounds=(track.envelope.bounds[0], tighter)))
    state = wanting(book.state, replace(low, approvals=(replace(other, digest=low.digest),)))
    assert 7 in laws(book, steered(state, after), before=state), "above the number that was approved"
    state = replace(book.state, overrides=(an_override(book, approved_by=("kim", "lee")),))
    assert 7 in laws(book, steered(state, after), before=state), "names on an override are no envelope"


def test_law_14_a_change_by_hand_crushed(book: Playbook) -> None:
    drift = Drift(enactor=PLANE, what="web", wanted="50 %", found="10 %", ours=True)
    event = ReadBackArrived(at_ms=book.now_ms, read_back=replace(book.reading(PLANE), drifts=(drift,)))
    write = Enact(enactor=PLANE, steering=book.state.steering)
    assert 14 in laws(book, book.state, event=event, commands=(write,))


def test_law_15_half_a_configuration(book: Playbook) -> None:
    other = replace(book.setup.topology.services[0], id=ServiceId("api"))
    topology = replace(book.setup.topology, services=(*book.setup.topology.services, other))
    setup = replace(book.setup, topology=topology)
    assert 15 in laws(book, steered(book.state, {P: 4800, G: 3200, A: 2000}), setup=setup)


def test_law_16_off_the_record(book: Playbook) -> None:
    after = steered(book.state, {P: 4800, G: 3200, A: 2000})
    assert 16 in laws(book, after, commands=())
    assert 16 in laws(book, after, commands=(Record(kind="decision", data={}), Remember(generation=2)))


def test_law_16_moving_while_switched_off(book: Playbook) -> None:
    state = replace(book.state, is_switched_off=True)
    assert 16 in laws(book, steered(state, {P: 4800, G: 3200, A: 2000}), before=state)


def test_law_17_the_only_way_out_stands_in_the_site(book: Playbook) -> None:
    vantages = ((VantageId("c1"), P), (VantageId("c2"), G))
    setup = replace(
        book.setup,
        topology=replace(book.setup.topology, vantages=vantages),
        planes=(PlaneRef(id=PLANE, services=(WEB,), site=P),),
        parts=(Part(kind=PartKind.NOTIFIER, id="hook", site=P),),
    )
    event = Reloaded(at_ms=book.now_ms, digest=book.setup.digest)
    assert 17 in laws(book, replace(book.state, setup_digest=book.setup.digest), event=event, commands=(), setup=setup)


def test_every_law_has_a_checker() -> None:
    assert set(CHECKERS) == set(range(1, 19))


def test_the_small_world_has_the_beliefs_it_says() -> None:
    book = Playbook()
    book.run(5_000)
    for site, view in ((P, DOWN), (G, UNKNOWN), (A, UP)):
        book.believe(site, view)
    book.report()
    assert book.state.picture.pools[(WEB, P)].standing is Standing.DOWN
    assert book.state.picture.pools[(WEB, G)].standing is Standing.UNKNOWN
