"""One drain and one way back, as they are planned: every step, when it is taken and how long the next one waits, and why."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import DOWN, WEB, A, G, P, Playbook, three_sites
from siteshift.core.decide.situation import Situation
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.steering import Target
from siteshift.core.messages.requests import DrainRequest, UndrainRequest
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, Mode, Severity, SiteLife, StepKind
from siteshift.core.model.plan import Plan
from siteshift.core.model.setup import PlaneKind
from siteshift.core.plan.fold import HORIZON_MS, fold
from siteshift.core.plan.warnings import room_findings
from siteshift.core.state.draft import Licence
from siteshift.core.state.goals import GoalState

K = StepKind
STANDBYS = tuple(f"web/{site}/{name}" for site in (G, A) for name in ("s1", "s2"))


def serving(**policy: object) -> Playbook:
    book = Playbook(setup=three_sites(**policy))
    book.run(6_000)
    return book


def timed(plan: Plan) -> list[tuple[StepKind, int, int]]:
    return [(step.kind, step.at_ms, step.wait_ms) for step in plan.steps]


def test_a_drain_moves_while_standbys_start_and_ends_when_the_old_answers_have_run_out() -> None:
    plan = serving().ask(DrainRequest(site=P)).plans[0]
    assert timed(plan) == [
        (K.ACTIVATE_STANDBY, 0, 0),
        (K.MOVE, 0, 0),
        (K.VERIFY, 0, 100),  # a plane is expected to confirm in a tenth of a second
        (K.SETTLE, 100, 1_900),  # two seconds from the move
        (K.MOVE, 2_000, 0),
        (K.VERIFY, 2_000, 100),
        (K.SETTLE, 2_100, 1_900),
        (K.MOVE, 4_000, 0),
        (K.AWAIT_READY, 4_000, 6_000),  # a standby is expected to take ten seconds
        (K.POOL, 10_000, 0),
        (K.PROOF, 10_000, 2_100),  # two seconds of real traffic, from when the planes gave it some
        (K.MOVE, 12_100, 0),
        (K.VERIFY, 12_100, 100),
        (K.SETTLE, 12_200, 1_900),
        (K.MOVE, 14_100, 0),
        (K.VERIFY, 14_100, 100),
        (K.SETTLE, 14_200, 1_900),
        (K.MOVE, 16_100, 0),
        (K.VERIFY, 16_100, 100),
        (K.AWAIT_TTL, 16_200, 13_800),  # answers of 30 s were given until the first move lowered the TTL
        (K.WATCH_RESIDUAL, 30_000, 0),
        (K.RESTORE_TTL, 45_001, 0),
    ]
    moves = [dict(step.after_bp) for step in plan.steps if step.kind is K.MOVE]
    assert moves == [
        {P: 3_900, G: 3_300, A: 2_800},  # half of the room there is, 600 and 1,600 bp
        {P: 3_212, G: 3_488, A: 3_300},
        {P: 2_800, G: 3_600, A: 3_600},  # full, as far as the members that serve go
        {P: 1_153, G: 4_499, A: 4_348},  # with the standbys
        {P: 239, G: 4_999, A: 4_762},
        {P: 0, G: 5_130, A: 4_870},
    ]
    assert (plan.expected_ms, plan.ttl_tail_ms, plan.cause) == (45_001, 30_000, Cause.PERSON)
    assert plan.members == (*STANDBYS,)
    assert (plan.shed_bp, plan.findings, plan.is_cut) == ({WEB: 0}, (), False)
    used = [step.utilisation_pm for step in plan.steps if step.kind is K.MOVE]
    assert used[2] == {P: 467, G: 900, A: 900} and used[-1] == {P: 0, G: 855, A: 812}


def test_the_way_back_soaks_each_step_and_sends_the_standbys_home_once_they_are_not_needed() -> None:
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(200_000, tick_ms=200)
    assert book.life(P) is SiteLife.DRAINED
    plan = book.ask(UndrainRequest(site=P)).plans[0]
    moves = [(step.at_ms, step.after_bp[P]) for step in plan.steps if step.kind is K.MOVE]
    assert moves[:4] == [(0, 50), (30_000, 250), (60_000, 1_250), (90_000, 2_500)], "1, 5, 25 and 50 % of its share"
    assert moves[4][0] == 120_000 and moves[-1] == (124_000, 5_000)
    soaks = [(step.at_ms, step.wait_ms) for step in plan.steps if step.kind is K.SOAK]
    assert soaks[:4] == [(at_ms + 100, 29_900) for at_ms in (0, 30_000, 60_000, 90_000)]
    assert plan.cause is Cause.RELEASE
    home = [member for step in plan.steps if step.kind is K.RETIRE_STANDBY for member in step.members]
    assert sorted(home) == sorted(STANDBYS)
    out = {step.at_ms: step.members for step in plan.steps if step.kind is K.DEPOOL}
    for step in plan.steps:
        if step.kind is K.RETIRE_STANDBY and step.at_ms > 120_000:
            assert out[step.at_ms] == step.members, "out of the weights at the very instant"
    assert plan.after == {WEB: {P: 5_000, G: 3_000, A: 2_000}} and plan.before[WEB][P] == 0


def test_without_dns_a_drain_waits_for_no_ttl() -> None:
    book = Playbook(setup=replace(three_sites(), planes=(replace(three_sites().planes[0], kind=PlaneKind.BALANCER),)))
    book.run(6_000)
    plan = book.ask(DrainRequest(site=P)).plans[0]
    kinds = [step.kind for step in plan.steps]
    assert K.AWAIT_TTL not in kinds and K.RESTORE_TTL not in kinds
    assert plan.steps[-1].kind is K.WATCH_RESIDUAL and plan.ttl_tail_ms == 0


def test_a_drain_that_the_survivors_cannot_carry_says_how_much_stays_and_waits_for_nothing() -> None:
    """140 rps, and room for 108 with every standby: 31 % stay at pangyo."""
    book = serving()
    book.demand_rps = 140
    book.run(20_000)
    answer = book.ask(DrainRequest(site=P))
    assert answer.severity is Severity.NEEDS_APPROVAL
    (short,) = (entry for entry in answer.findings if entry.code is FindingCode.CAPACITY_SHORT)
    plan = answer.plans[0]
    assert short.numbers["stays_bp"] == plan.after[WEB][P] > 2_000
    assert short.numbers["moved_bp"] == plan.before[WEB][P] - plan.after[WEB][P] > 0
    assert short.numbers["approvals_needed"] == 0


def crowded() -> Playbook:
    book = serving()
    book.demand_rps = 140
    book.run(60_000)
    return book


def test_what_was_confirmed_to_stay_is_asked_of_nobody_again_when_the_drain_has_reached_its_end() -> None:
    book = crowded()
    assert book.confirm(DrainRequest(site=P)).severity is Severity.ALLOWED
    book.run(120_000)
    (track,) = book.state.goals.values()
    assert track.state is GoalState.REACHED
    assert fold(book.state, book.setup, book.now_ms) is None, "nothing is under way and nothing waits"


def test_what_stays_beyond_what_was_confirmed_or_with_another_persons_drain_is_asked_for() -> None:
    book = crowded()
    book.confirm(DrainRequest(site=P))
    book.run(120_000)
    situation = situation_of(book.state, book.setup, book.setup.topology.services[0], book.now_ms)

    def severity_of(stays_bp: int, situation: Situation = situation) -> Severity:
        target = Target(shares_bp={P: stays_bp, G: 5_000, A: 5_000 - stays_bp}, shed_bp=0, shed_at=None, because={})
        (found,) = room_findings(situation, target, situation.current.shares_bp)
        return found.severity

    stays_bp = book.shares()[P]
    assert (severity_of(stays_bp), severity_of(stays_bp + 200)) == (Severity.ALLOWED, Severity.NEEDS_APPROVAL)
    anothers = {P: replace(situation.forced.by[P], id="o9", owner="lee")}
    theirs = replace(situation, forced=replace(situation.forced, by=anothers))
    assert severity_of(stays_bp, theirs) is Severity.NEEDS_APPROVAL


def test_nothing_is_planned_where_nothing_would_change() -> None:
    book = serving()
    assert fold(book.state, book.setup, book.now_ms) is None


def test_what_siteshift_may_not_do_by_itself_is_planned_for_approval_only() -> None:
    book = serving(mode=Mode.RECOMMEND)
    book.believe(P, DOWN)
    book.run(3_000)
    assert book.shares()[P] == 5_000
    proposed = fold(book.state, book.setup, book.now_ms)
    assert proposed is not None and proposed.after[WEB][P] == 0 and proposed.cause is Cause.DEAD
    alone = fold(book.state, book.setup, book.now_ms, licence=Licence.AS_GRANTED)
    assert alone is not None
    assert alone.services == () and FindingCode.MODE_RECOMMEND in {entry.code for entry in alone.findings}


def test_a_site_that_is_held_down_for_longer_than_is_planned_ahead_is_not_planned_to_come_back() -> None:
    book = serving(hold_down_ms=2 * HORIZON_MS, hold_down_max_ms=2 * HORIZON_MS)
    well = book.beliefs[book.setup.topology.pools[(WEB, P)].target]
    book.believe(P, DOWN)
    book.run(60_000)
    book.believe(P, well)
    book.run(5_000)
    assert book.life(P) is SiteLife.DRAINED
    plan = fold(book.state, book.setup, book.now_ms)
    assert plan is None or all(K.MOVE is not step.kind for step in plan.steps)


def test_a_drain_of_the_last_site_that_is_alive_is_refused_with_a_plan_that_moves_nothing() -> None:
    book = serving()
    for site in (G, A):
        book.believe(site, DOWN)
    book.run(30_000)
    answer = book.ask(DrainRequest(site=P))
    assert answer.severity is Severity.REFUSED
    assert FindingCode.LAST_SERVING_SITE in {entry.code for entry in answer.findings}
    assert [plan.services for plan in answer.plans] == [()]
