"""One pass over the state: what is started on suspicion, how one generation is numbered, what is said and on record; and how a
plan lists what a pass found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from core.plan.test_next_step import M1, NOW, S1, S2, SOUND, draft_of, lately, view
from core.playbook import DOWN, PLANE, SUSPECT, WEB, A, G, P, Playbook, three_sites
from core.test_reload import BLOG, two_services
from siteshift.core.messages.commands import ActivateStandby, Record, Tell
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Severity, SiteLife, StandbyPhase, Standing, StepKind
from siteshift.core.model.finding import Finding, finding
from siteshift.core.model.mark import PlaneMark
from siteshift.core.model.plan import Plan, Step, Wait, WaitCode
from siteshift.core.model.steering import ReadBack, ServiceSteering
from siteshift.core.model.units import EnactorId, ServiceId
from siteshift.core.plan.derive import (
    RESTLESS_AFTER_MS,
    RESTLESS_MS,
    WARM_AFTER_MS,
    awaits_readings,
    deriving,
    new_generation,
    say_findings,
)
from siteshift.core.plan.listing import Listing
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.core.state.draft import Draft, Licence
from siteshift.core.state.tracks import PlaneTrack, SiteTrack, StandbyTrack


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(6_000)
    return made


def derived(book: Playbook, state: ControllerState | None = None, **more: object) -> Draft:
    draft = Draft(state=state or book.state, setup=book.setup, now_ms=book.now_ms, **more)  # type: ignore[arg-type]
    for _ in deriving(draft, book.setup.topology.services):
        pass
    return draft


def suspecting(book: Playbook, since_ms: int) -> ControllerState:
    """Pangyo is suspected since then."""
    pool = replace(book.state.picture.pools[(WEB, P)], standing=SUSPECT.standing, hardness=SUSPECT.hardness)
    pools = {**book.state.picture.pools, (WEB, P): pool}
    track = SiteTrack(life=SiteLife.SUSPECT, since_ms=since_ms)
    return replace(book.state, picture=replace(book.state.picture, pools=pools), tracks={(WEB, P): track})


def started(draft: Draft) -> int:
    return sum(isinstance(command, ActivateStandby) for command in draft.commands)


# -- suspicion ---------------------------------------------------------------------------------------------------------


def test_a_suspicion_of_three_tenths_of_a_second_starts_the_standbys_that_its_truth_would_need(book: Playbook) -> None:
    young = derived(book, suspecting(book, book.now_ms - WARM_AFTER_MS + 1))
    assert started(young) == 0 and young.wake_at_ms <= book.now_ms + 1
    assert started(derived(book, suspecting(book, book.now_ms - WARM_AFTER_MS))) == 4


def test_a_policy_may_say_that_suspicion_starts_nothing() -> None:
    book = Playbook(setup=three_sites(warm_on_suspicion=False))
    book.run(6_000)
    assert started(derived(book, suspecting(book, book.now_ms - 5_000))) == 0


def test_what_is_suspected_everywhere_starts_nothing(book: Playbook) -> None:
    """There is nowhere to go: it is more likely us."""
    state = suspecting(book, book.now_ms - 5_000)
    pool = state.picture.pools[(WEB, P)]
    everywhere = {(WEB, site): SiteTrack(life=SiteLife.SUSPECT, since_ms=1) for site in (P, G, A)}
    suspect = {
        key: replace(found, standing=pool.standing, hardness=pool.hardness) for key, found in state.picture.pools.items()
    }
    state = replace(state, tracks=everywhere, picture=replace(state.picture, pools=suspect))
    assert started(derived(book, state)) == 0


@pytest.mark.parametrize("lost", [{"is_store_usable": False}, {"term": None}])
def test_without_store_or_term_no_standby_is_started_and_no_generation_made(book: Playbook, lost: dict[str, object]) -> None:
    state = replace(suspecting(book, book.now_ms - 5_000), **lost)  # type: ignore[arg-type]
    draft = derived(book, state)
    assert started(draft) == 0 and draft.state.steering is state.steering


def test_a_blind_node_starts_no_standby(book: Playbook) -> None:
    state = suspecting(book, book.now_ms - 5_000)
    assert started(derived(book, replace(state, picture=replace(state.picture, blind=True)))) == 0


@pytest.mark.parametrize(("since_ms", "is_restless"), [(RESTLESS_AFTER_MS, True), (RESTLESS_AFTER_MS - 1, False)])
def test_the_ttl_is_short_from_three_tenths_of_a_second_of_suspicion_on(book: Playbook, since_ms: int, is_restless: bool) -> None:
    found = derived(book, suspecting(book, book.now_ms - since_ms)).state
    policy = book.setup.policy.of(WEB)
    assert found.steering.services[0].ttl_s == (policy.ttl_suspect_s if is_restless else policy.ttl_normal_s)
    assert found.transition(WEB).restless_until_ms == (book.now_ms + RESTLESS_MS if is_restless else 0)


@pytest.mark.parametrize("life", [SiteLife.DRAINING, SiteLife.RETURNING, SiteLife.DRAINED])
def test_unrest_is_noted_again_when_half_of_it_is_over_while_anything_moves(book: Playbook, life: SiteLife) -> None:
    pool = replace(book.state.picture.pools[(WEB, P)], standing=Standing.UNKNOWN)
    pools = {**book.state.picture.pools, (WEB, P): pool}
    track = SiteTrack(life=life, since_ms=book.now_ms, step_since_ms=book.now_ms, hold_until_ms=NEVER_MS)
    for left_ms in (RESTLESS_MS // 2 - 1, RESTLESS_MS // 2):
        until_ms = book.now_ms + left_ms
        transition = replace(book.state.transition(WEB), restless_until_ms=until_ms)
        picture = replace(book.state.picture, pools=pools)
        state = replace(book.state, picture=picture, tracks={(WEB, P): track}, transitions={WEB: transition})
        found = derived(book, state).state.transition(WEB).restless_until_ms
        is_noted = life is not SiteLife.DRAINED and left_ms < RESTLESS_MS // 2
        assert found == (book.now_ms + RESTLESS_MS if is_noted else until_ms)


def capped(book: Playbook, until_ms: int) -> Carrying:
    """Pangyo failed asked 50, which is its own share, and may have 40 until then."""
    return Carrying(
        failed_rps=50,
        answered_rps=50,
        cap_rps=40,
        proven_rps=40,
        open_rps=50,
        failed_at_ms=book.now_ms - 1,
        hold_ms=1_000,
        until_ms=until_ms,
    )


def test_a_node_wakes_when_a_cap_or_the_unrest_is_over(book: Playbook) -> None:
    known = capped(book, book.now_ms + 77)
    for transition in ({"carrying": {P: known}}, {"restless_until_ms": book.now_ms + 77}):
        state = replace(book.state, transitions={WEB: replace(book.state.transition(WEB), **transition)})  # type: ignore[arg-type]
        assert derived(book, state).wake_at_ms == book.now_ms + 77


def test_a_capped_site_that_was_quiet_for_its_wait_may_have_more_and_that_is_looked_at_at_once(book: Playbook) -> None:
    for left_ms, moved_ago_ms, life, is_raised in (
        (0, 1_000, SiteLife.SERVING, True),
        (1, 1_000, SiteLife.SERVING, False),
        (0, 999, SiteLife.SERVING, False),
        (0, 1_000, SiteLife.DRAINED, False),
    ):
        known = capped(book, book.now_ms + left_ms)
        transition = replace(book.state.transition(WEB), carrying={P: known}, moved_at_ms=book.now_ms - moved_ago_ms)
        track = SiteTrack(life=life, hold_until_ms=NEVER_MS)
        draft = derived(book, replace(book.state, tracks={(WEB, P): track}, transitions={WEB: transition}))
        found = draft.state.transition(WEB).carrying[P]
        assert (found.cap_rps, found.proven_rps) == ((None, 40) if is_raised else (40, 40))
        if is_raised:
            assert draft.wake_at_ms == book.now_ms + 1


@pytest.mark.parametrize(("left_ms", "is_raised"), [(0, True), (1, False)])
def test_while_others_carry_what_a_site_cannot_it_waits_as_long_as_one_that_was_left(
    book: Playbook, left_ms: int, is_raised: bool
) -> None:
    """Its load does not explain its failure: a hold-down for the first wait of thirty seconds, and so on in proportion."""
    wait_ms = 1_000 * book.setup.policy.of(WEB).hold_down_ms // 30_000
    assert wait_ms > 1_000
    known = replace(capped(book, book.now_ms - 60_000), open_rps=70)
    moved_at_ms = book.now_ms - wait_ms + left_ms
    transition = replace(book.state.transition(WEB), carrying={P: known}, moved_at_ms=moved_at_ms)
    found = derived(book, replace(book.state, transitions={WEB: transition})).state.transition(WEB).carrying[P]
    assert (found.cap_rps is None, found == known) == (is_raised, not is_raised)


def test_a_capped_site_that_is_not_well_gets_no_more_however_long_it_waits(book: Playbook) -> None:
    known = capped(book, book.now_ms)
    transition = replace(book.state.transition(WEB), carrying={P: known}, moved_at_ms=book.now_ms - 60_000)
    state = replace(suspecting(book, book.now_ms - 1), transitions={WEB: transition})
    assert derived(book, state).state.transition(WEB).carrying[P] == known


# -- one generation ----------------------------------------------------------------------------------------------------


def entry(book: Playbook, **changes: object) -> dict[ServiceId, ServiceSteering]:
    return {WEB: replace(view(book).current, **changes)}  # type: ignore[arg-type]


def test_what_changed_becomes_the_next_generation_under_our_term_on_record(book: Playbook) -> None:
    draft, before = draft_of(book, term=5), book.state.steering
    new_generation(draft, entry(book, ttl_s=3), [{"service": WEB}])
    after = draft.state.steering
    assert (after.generation, after.term, after.decided_at_ms) == (before.generation + 1, 5, book.now_ms)
    assert after.services[0].ttl_s == 3 and draft.remembers
    (row,) = draft.commands
    assert isinstance(row, Record) and row.kind == "decision"
    assert row.data == {"generation": after.generation, "digest": after.digest(), "services": [{"service": WEB}]}


def test_what_did_not_change_is_no_generation(book: Playbook) -> None:
    draft = draft_of(book)
    new_generation(draft, entry(book), [])
    assert draft.state.steering is book.state.steering and draft.commands == [] and not draft.remembers


def test_a_forecast_writes_no_journal(book: Playbook) -> None:
    draft = replace(draft_of(book), is_forecast=True)
    new_generation(draft, entry(book, ttl_s=3), [])
    assert draft.state.steering.generation == book.state.steering.generation + 1 and draft.commands == []


def test_nothing_is_numbered_while_a_plane_is_ahead_of_us(book: Playbook) -> None:
    """It tells of what we forgot: that is taken over first."""
    ours = book.state.steering.generation
    for found, is_made in ((ours, True), (ours + 1, False)):
        draft = draft_of(book, planes={PLANE: PlaneTrack(found_generation=found)})
        new_generation(draft, entry(book, ttl_s=3), [])
        assert (draft.state.steering.generation == ours + 1) is is_made


@pytest.mark.parametrize(("ahead", "wanted"), [(-1, 0), (0, 1), (5, 6)])
def test_what_a_person_said_to_take_over_is_passed(book: Playbook, ahead: int, wanted: int) -> None:
    ours = book.state.steering.generation + 10
    steering = replace(book.state.steering, generation=ours)
    plane = PlaneTrack(taken_over=PlaneMark(generation=ours + ahead))
    draft = draft_of(book, steering=steering, planes={PLANE: plane})
    new_generation(draft, entry(book), [])
    assert draft.state.steering.generation == ours + wanted


@pytest.mark.parametrize(("known", "is_made"), [({}, False), ({PLANE: "a"}, False), ({PLANE: "b"}, True)])
def test_a_plane_that_makes_something_else_of_the_steering_gets_a_new_number(
    book: Playbook, known: dict[EnactorId, str], is_made: bool
) -> None:
    planes = tuple(replace(plane, mapping="a") for plane in book.setup.planes)
    steering = replace(book.state.steering, mappings=known)
    draft = replace(draft_of(book, steering=steering), setup=replace(book.setup, planes=planes))
    new_generation(draft, entry(book), [])
    assert draft.state.steering.generation == steering.generation + int(is_made)
    if is_made:
        assert draft.state.steering.mappings == {PLANE: "a"}
        (row,) = draft.commands
        assert isinstance(row, Record) and row.data["mapped_anew"] == [PLANE]


def test_services_stand_in_the_steering_by_their_tier_and_none_is_lost() -> None:
    book = Playbook(setup=two_services())
    book.run(6_000)
    (web, blog) = book.setup.topology.services
    services = (replace(web, tier=3), replace(blog, tier=2))
    setup = replace(book.setup, topology=replace(book.setup.topology, services=services))
    draft = Draft(state=book.state, setup=setup, now_ms=book.now_ms)
    new_generation(draft, {}, [])
    assert [found.service for found in draft.state.steering.services] == [BLOG, WEB]


def test_a_node_that_remembers_nothing_reads_every_plane_first_for_half_a_minute_at_most(book: Playbook) -> None:
    nothing = replace(book.state.steering, generation=0)
    read = ReadBack(enactor=PLANE, at_ms=1, generation=None, shares_bp={})

    def awaits(ago_ms: int, *, steering: object = nothing, **plane: object) -> bool:
        planes = {PLANE: PlaneTrack(**plane)}  # type: ignore[arg-type]
        return awaits_readings(draft_of(book, steering=steering, started_ms=book.now_ms - ago_ms, planes=planes))

    assert awaits(0) and awaits(29_999)
    assert not awaits(30_000)
    assert not awaits(0, read_back=read)
    assert not awaits(0, steering=book.state.steering)


# -- what is said ------------------------------------------------------------------------------------------------------

REFUSED = finding(FindingCode.VELOCITY, Severity.REFUSED, "too much")
ASKED = finding(FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, "too little room")
ALLOWED = finding(FindingCode.SHED_NEEDED, Severity.ALLOWED, "worth saying")


def said(book: Playbook, before: tuple[Finding, ...], now: tuple[Finding, ...]) -> tuple[list[object], list[str]]:
    """What is on record and what is told when these findings follow upon those."""
    situation = lately(book, findings=before)
    draft = draft_of(book, transitions={WEB: situation.transition})
    say_findings(draft, situation, now)
    assert draft.state.transition(WEB).findings == tuple(found for found in now if found is not ALLOWED)
    rows = [command.data for command in draft.commands if isinstance(command, Record)]
    return rows, [command.code for command in draft.commands if isinstance(command, Tell)]


def test_what_newly_stands_in_the_way_is_told_and_journalled_once(book: Playbook) -> None:
    rows, told = said(book, (), (REFUSED, ALLOWED))
    assert rows == [{"service": WEB, "findings": [{"code": "VELOCITY", "severity": "refused", "text": "too much"}]}]
    assert told == ["VELOCITY"]
    assert said(book, (REFUSED,), (REFUSED, ALLOWED)) == ([], [])
    again = replace(REFUSED, text="still too much")
    assert said(book, (REFUSED,), (again,)) == ([], []), "another number is no news"
    rows, told = said(book, (REFUSED,), (REFUSED, ASKED))
    assert len(rows) == 1 and told == ["CAPACITY_SHORT"]
    rows, told = said(book, (REFUSED,), ())
    assert rows == [{"service": WEB, "findings": []}] and told == []


def test_that_an_envelope_was_left_is_told_with_its_way_out_elsewhere(book: Playbook) -> None:
    left = finding(FindingCode.ENVELOPE_LEFT, Severity.NEEDS_APPROVAL, "left")
    rows, told = said(book, (), (left, REFUSED))
    assert len(rows) == 1 and told == ["VELOCITY"]


def test_a_decision_is_on_record_with_all_that_it_follows_from(book: Playbook) -> None:
    book.believe(P, DOWN)
    book.run(3_000)
    documents: list[dict[str, object]] = [row.data["services"][0] for row in book.recorded("decision")]  # type: ignore[index]
    document = next(found for found in documents if found.get("step") == "move")
    assert {key: document[key] for key in ("service", "step", "cause", "before_bp", "after_bp", "shed_bp", "ttl_s")} == {
        "service": WEB,
        "step": "move",
        "cause": "dead",
        "before_bp": NOW,
        "after_bp": {P: 0, G: 3_600, A: 3_600},
        "shed_bp": 2_800,
        "ttl_s": 5,
    }
    assert document["signals"] == {P: "dead", G: "well", A: "well"}
    assert document["dead_sites"] == [P] and document["demand_rps"] == 100
    assert document["utilisation_pm"] == {P: 0, G: 900, A: 900}
    assert set(document["because"]) == {P, G, A} and document["target_bp"][P] == 0
    assert "findings" in document


def test_the_members_of_a_decision_are_those_whose_weight_changed(book: Playbook) -> None:
    pool = book.state.picture.pools[(WEB, P)]
    members = {m: replace(seen, standing=Standing.DOWN) if m == M1 else seen for m, seen in pool.members.items()}
    pools = {**book.state.picture.pools, (WEB, P): replace(pool, members=members)}
    draft = derived(book, replace(book.state, picture=replace(book.state.picture, pools=pools)))
    (row,) = [command for command in draft.commands if isinstance(command, Record) and command.kind == "decision"]
    assert row.data["services"][0]["members"] == {M1: 0}  # type: ignore[index]


# -- the list of a plan ------------------------------------------------------------------------------------------------

START = 1_000


def wait(code: WaitCode, until_ms: int | None = None, **more: object) -> Wait:
    return replace(Wait(service=WEB, code=code, until_ms=until_ms), **more)  # type: ignore[arg-type]


def looked(book: Playbook, listing: Listing, at_ms: int, *found: Step | Wait, **state: object) -> None:
    """Note one look, at so many milliseconds into the plan."""
    draft = replace(draft_of(book, **state), now_ms=START + at_ms)
    draft.steps = [entry for entry in found if isinstance(entry, Step)]
    draft.waits = {entry.service: entry for entry in found if isinstance(entry, Wait)}
    drain(listing.note(draft, book.state))


def drain(pieces: Iterator[object]) -> None:
    for _ in pieces:
        pass


def planned(book: Playbook, listing: Listing, only: ServiceId | None = None, *findings: Finding) -> Plan | None:
    listing.end(view(book), NOW, list(findings))
    pieces = listing.plan(only=only, standing=book.state.transitions)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


MOVE = Step(kind=StepKind.MOVE, service=WEB, before_bp=NOW, after_bp=SOUND, cause=Cause.DEGRADED)


def rows(plan: Plan | None) -> list[tuple[StepKind, int, int]]:
    assert plan is not None
    return [(step.kind, step.at_ms, step.wait_ms) for step in plan.steps]


def test_looks_in_the_same_wait_are_one_wait_in_the_plan(book: Playbook) -> None:
    listing = Listing(began_ms=START)
    looked(book, listing, 0, MOVE)
    looked(book, listing, 10, wait(WaitCode.PLANES))
    looked(book, listing, 40, wait(WaitCode.PLANES))
    looked(book, listing, 100, wait(WaitCode.SETTLE, START + 2_000))
    looked(book, listing, 2_000, MOVE)
    assert rows(planned(book, listing)) == [
        (StepKind.MOVE, 0, 0),
        (StepKind.VERIFY, 10, 90),
        (StepKind.SETTLE, 100, 1_900),
        (StepKind.MOVE, 2_000, 0),
    ]


def test_a_wait_of_no_time_is_listed_only_where_no_clock_ends_it(book: Playbook) -> None:
    for until_ms, listed in ((START + 5, []), (None, [(StepKind.VERIFY, 7, 0)])):
        listing = Listing(began_ms=START)
        looked(book, listing, 7, wait(WaitCode.PLANES, until_ms))
        looked(book, listing, 7, MOVE)
        assert rows(planned(book, listing)) == [*listed, (StepKind.MOVE, 7, 0)]


def test_the_wait_at_the_end_is_listed_to_where_the_clock_ends_it(book: Playbook) -> None:
    for code, until_ms, listed in (
        (WaitCode.SOAK, START + 30_000, [(StepKind.SOAK, 10, 29_990)]),
        (WaitCode.ROOM, None, [(StepKind.HOLD, 10, 0)]),
        (WaitCode.NOTHING_LEFT, None, []),
        (WaitCode.CALM, START + 30_000, []),
    ):
        listing = Listing(began_ms=START)
        looked(book, listing, 0, MOVE)
        looked(book, listing, 10, wait(code, until_ms))
        plan = planned(book, listing)
        assert rows(plan) == [(StepKind.MOVE, 0, 0), *listed]
        assert plan is not None and plan.waits[WEB].code is code
        assert plan.expected_ms == max(at_ms + wait_ms for _, at_ms, wait_ms in rows(plan))


def test_a_plan_of_trifles_is_no_plan(book: Playbook) -> None:
    for kind in (StepKind.LOWER_TTL, StepKind.RESTORE_TTL, StepKind.WEIGH, StepKind.SEND_ON):
        listing = Listing(began_ms=START)
        looked(book, listing, 0, replace(MOVE, kind=kind))
        assert not listing.acts(WEB) and planned(book, listing) is None
    listing = Listing(began_ms=START)
    looked(book, listing, 0, wait(WaitCode.PLANES))
    assert listing.acts(WEB), "it hangs on its data planes"
    plan = planned(book, listing)
    assert plan is not None and (plan.steps, plan.ttl_tail_ms) == (plan.steps[:1], 0), "nothing was answered anew"
    assert not Listing(began_ms=START).acts(WEB)


def test_what_is_to_be_said_makes_a_plan_though_nothing_would_be_done(book: Playbook) -> None:
    assert planned(book, Listing(began_ms=START), None, ALLOWED) is None
    plan = planned(book, Listing(began_ms=START), None, REFUSED, ALLOWED)
    assert plan is not None and plan.findings == (REFUSED, ALLOWED)
    assert (plan.services, plan.steps, plan.cause, plan.expected_ms) == ((), (), Cause.REBALANCE, 0)


def test_a_plan_is_on_account_of_its_gravest_cause(book: Playbook) -> None:
    order = (Cause.DEAD, Cause.PERSON, Cause.DEGRADED, Cause.RELIEF, Cause.RELEASE, Cause.FAILBACK, Cause.REBALANCE)
    for graver, lighter in pairwise(order):
        listing = Listing(began_ms=START)
        looked(book, listing, 0, replace(MOVE, cause=lighter))
        looked(book, listing, 1, replace(MOVE, cause=graver))
        looked(book, listing, 2, replace(MOVE, kind=StepKind.POOL, cause=None))
        plan = planned(book, listing)
        assert plan is not None and plan.cause is graver


def test_the_longest_tail_of_old_answers_is_that_of_the_plan(book: Playbook) -> None:
    listing = Listing(began_ms=START)
    for at_ms, tail_ms in ((0, 30_000), (10_000, 9_000)):
        transition = replace(book.state.transition(WEB), tail_until_ms=START + at_ms + tail_ms)
        looked(book, listing, at_ms, MOVE, transitions={WEB: transition})
    plan = planned(book, listing)
    assert plan is not None and plan.ttl_tail_ms == 30_000


def test_a_site_that_is_left_for_good_ends_the_wait_and_is_watched_where_traffic_is_counted(book: Playbook) -> None:
    for metered, watched in ((frozenset({WEB}), [(StepKind.WATCH_RESIDUAL, 500, 0)]), (frozenset(), [])):
        book.setup = replace(book.setup, metered=metered)
        listing = Listing(began_ms=START)
        looked(book, listing, 0, MOVE)
        looked(book, listing, 100, wait(WaitCode.TTL, START + 500))
        looked(book, listing, 500, tracks={(WEB, P): SiteTrack(life=SiteLife.DRAINED)})
        assert rows(planned(book, listing)) == [(StepKind.MOVE, 0, 0), (StepKind.AWAIT_TTL, 100, 400), *watched]


def test_the_longest_list_counts_what_is_done_and_not_what_is_waited_for(book: Playbook) -> None:
    listing = Listing(began_ms=START)
    assert listing.longest == 0
    looked(book, listing, 0, MOVE)
    looked(book, listing, 10, wait(WaitCode.SETTLE, START + 20))
    looked(book, listing, 20, MOVE)
    assert listing.longest == 2


def test_of_a_finding_the_gravest_is_told_once_for_each_site_or_plane(book: Playbook) -> None:
    def short(site: str, used_pm: int, severity: Severity = Severity.NEEDS_APPROVAL) -> Finding:
        return finding(FindingCode.CAPACITY_SHORT, severity, f"{site} {used_pm}", site=site, utilisation_pm=used_pm)

    def passing(entry: Finding, plan: Plan) -> Finding:
        """What is crowded on the way says where it ends, which is what the plan's table shows."""
        (end,) = (load for load in plan.loads if load.site == entry.numbers["site"])
        return replace(entry, text=f"{entry.text}; this is on the way, it ends at {end.utilisation_pm / 10:.0f} %")

    mild, worse, other, refused = short(G, 910), short(G, 950), short(A, 905), short(G, 901, Severity.REFUSED)
    listing = Listing(began_ms=START)
    looked(book, listing, 0, replace(MOVE, findings=(mild,)))
    looked(book, listing, 1, replace(MOVE, findings=(worse, other)))
    looked(book, listing, 2, replace(MOVE, findings=(mild,)))
    plan = planned(book, listing)
    assert plan is not None and plan.findings == (passing(worse, plan), passing(other, plan))
    looked(book, listing, 3, replace(MOVE, kind=StepKind.POOL, findings=(refused,)))
    plan = planned(book, listing)
    assert plan is not None
    assert plan.findings == (passing(worse, plan), passing(other, plan)), "what others carry along was said of a move that waits"
    looked(book, listing, 4, wait(WaitCode.GATE, findings=(refused,)))
    plan = planned(book, listing)
    assert plan is not None and plan.findings == (refused, passing(other, plan))
    looked(book, listing, 5, wait(WaitCode.PLANES, findings=(REFUSED,)))
    plan = planned(book, listing)
    assert plan is not None and REFUSED not in plan.findings, "that it will not confirm is said as a warning"


def test_nobodys_request_is_refused_for_the_trouble_of_another_service(book: Playbook) -> None:
    """Of a service that only shares room: what is taken from it, for who asks to answer for; and not what stood before."""
    short = finding(FindingCode.CAPACITY_SHORT, Severity.REFUSED, "short", site=G)
    plan = planned(book, Listing(began_ms=START), ServiceId("mail"), short, REFUSED)
    assert plan is not None
    (told,) = plan.findings
    assert (told.code, told.severity, told.numbers) == (
        FindingCode.CAPACITY_SHORT,
        Severity.NEEDS_APPROVAL,
        {"site": G, "approvals_needed": 0},
    )
    plan = planned(book, Listing(began_ms=START), ServiceId("mail"), ASKED)
    assert plan is not None and plan.findings == (ASKED,)
    book.state = replace(book.state, transitions={WEB: replace(book.state.transition(WEB), findings=(ASKED,))})
    assert planned(book, Listing(began_ms=START), ServiceId("mail"), ASKED) is None
    plan = planned(book, Listing(began_ms=START), WEB, ASKED)
    assert plan is not None and plan.findings == (ASKED,), "its own is said again"


def test_standbys_that_a_plan_does_not_need_are_not_started(book: Playbook) -> None:
    state = replace(book.state, standbys={S1: StandbyTrack(), S2: StandbyTrack()})
    draft = derived(book, state, licence=Licence.AS_IF_APPROVED)
    assert started(draft) == 0 and draft.state.standby(S1).phase is StandbyPhase.COLD
