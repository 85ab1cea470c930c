"""What an approval binds, number by number: what is predicted, what is allowed beside it, and when it begins and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import PLANE, WEB, A, G, P, Playbook
from core.test_reload import BLOG, LB, two_services
from siteshift.core.decide.envelope import is_within
from siteshift.core.messages.requests import (
    AckRequest,
    DepoolRequest,
    DrainRequest,
    LiftRequest,
    OperatorRequest,
    PoolRequest,
    Request,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.approval import Accepted, Bounds, Direction, Envelope, Goal, Verb
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import FindingCode, OverrideKind, Severity, StepKind
from siteshift.core.model.finding import finding
from siteshift.core.model.override import Override
from siteshift.core.model.plan import Plan, Step
from siteshift.core.model.policy import MINUTE_MS
from siteshift.core.model.topology import SharedFateGroup
from siteshift.core.model.units import GroupId, MemberId, ServiceId, SiteId
from siteshift.core.operate.envelope import begun_at, envelope_of, fold_goal, with_margins
from siteshift.core.operate.goal import SITESHIFT, goal_of, proposal_of, setup_digests
from siteshift.core.plan.fold import empty_plan

NOW = {P: 5_000, G: 3_000, A: 2_000}
M1, S1 = MemberId("web/pangyo/m1"), MemberId("web/gasan/s1")


@pytest.fixture
def book() -> Playbook:
    made = Playbook(setup=two_services())
    made.run(6_000)
    return made


def goal(verb: Verb = Verb.DRAIN, **more: object) -> Goal:
    made = Goal(verb=verb, services=(WEB,), sites=(P,), owner="kim", topology="t", policy="p")
    return replace(made, **more)  # type: ignore[arg-type]


def step(after_bp: dict[SiteId, int], kind: StepKind = StepKind.MOVE, **more: object) -> Step:
    return replace(Step(kind=kind, service=WEB, before_bp=NOW, after_bp=after_bp), **more)  # type: ignore[arg-type]


def plan(*steps: Step, **more: object) -> Plan:
    return replace(empty_plan(Cause.PERSON), services=(WEB,), steps=steps, **more)  # type: ignore[arg-type]


def predicted(book: Playbook, made: Plan | None, of: Goal | None = None, *findings: object) -> Envelope:
    return envelope_of(
        of or goal(), made, findings, state=book.state, setup=book.setup, now_ms=book.now_ms  # type: ignore[arg-type]
    )


def bounds(envelope: Envelope, site: SiteId, service: ServiceId = WEB) -> tuple[int, int, int]:
    found = envelope.at(service, site)
    assert found is not None
    return found.share_min_bp, found.share_max_bp, found.utilisation_max_pm


# -- what is predicted -------------------------------------------------------------------------------------------------


def test_what_is_predicted_is_the_least_and_the_most_from_now_to_the_last_step(book: Playbook) -> None:
    envelope = predicted(
        book,
        plan(
            step({P: 2_000, G: 6_000, A: 2_000}, utilisation_pm={P: 300, G: 950, A: 500}),
            step({P: 0, G: 5_000, A: 5_000}, utilisation_pm={P: 0, G: 800, A: 870}),
        ),
    )
    assert bounds(envelope, P) == (0, 5_000, 300)
    assert bounds(envelope, G) == (3_000, 6_000, 950)
    assert bounds(envelope, A) == (2_000, 5_000, 870)


def test_what_does_not_move_is_bound_as_it_is(book: Playbook) -> None:
    """50 rps on 60 at pangyo, 30 on 40, 20 on 40."""
    for made in (None, plan()):
        envelope = predicted(book, made)
        assert [bounds(envelope, site) for site in (P, G, A)] == [(5_000, 5_000, 834), (3_000, 3_000, 750), (2_000, 2_000, 500)]
        assert envelope.shed_max_bp == {WEB: 0} and envelope.members == {}
    touched = predicted(book, replace(plan(), services=(BLOG,)))
    assert {b.service for b in touched.bounds} == {WEB, BLOG}, "what the plan touches as well"


def test_a_site_that_has_nothing_and_gets_nothing_is_bound_to_nothing(book: Playbook) -> None:
    """Anyang is new in the file: neither the steering nor a step of the plan names it."""
    services = tuple(replace(entry, shares_bp={P: 6_000, G: 4_000}) for entry in book.state.steering.services)
    book.state = replace(book.state, steering=replace(book.state.steering, services=services))
    envelope = predicted(book, plan(step({P: 0, G: 10_000}, utilisation_pm={G: 900})))
    assert bounds(envelope, A) == (0, 0, 0)


def test_the_most_that_is_shed_now_on_the_way_or_at_the_end_is_bound(book: Playbook) -> None:
    for way_bp, end_bp, now_bp in ((300, 0, 0), (0, 300, 0), (0, 0, 300), (100, 300, 200), (0, 0, 0)):
        services = tuple(replace(entry, shed_bp=now_bp) for entry in book.state.steering.services)
        book.state = replace(book.state, steering=replace(book.state.steering, services=services))
        envelope = predicted(book, plan(step(NOW, shed_bp=way_bp), shed_bp={WEB: end_bp}))
        assert envelope.shed_max_bp == {WEB: max(way_bp, end_bp, now_bp)}
    nothing = replace(book.state, steering=replace(book.state.steering, services=()))
    book.state = nothing
    assert predicted(book, None).shed_max_bp == {WEB: 0}


def test_members_are_bound_with_their_direction_and_planes_by_their_names(book: Playbook) -> None:
    starts = step(NOW, StepKind.ACTIVATE_STANDBY, members=(S1,))
    home = step(NOW, StepKind.RETIRE_STANDBY, members=(MemberId("web/anyang/s1"),))
    assert predicted(book, plan(starts, home)).members == {S1: Direction.IN}
    out = goal(Verb.DEPOOL, sites=(), members=(M1,))
    assert predicted(book, plan(starts), out).members == {S1: Direction.IN, M1: Direction.OUT}
    assert predicted(book, None, replace(out, verb=Verb.POOL)).members == {M1: Direction.IN}
    assert predicted(book, None, goal(members=(M1,))).members == {}
    assert predicted(book, None).planes == (PLANE, LB)
    assert predicted(book, None, goal(services=(BLOG,))).planes == (PLANE,)


def test_it_may_begin_within_a_quarter_of_an_hour_and_last_twice_its_time_and_half_an_hour(book: Playbook) -> None:
    envelope = predicted(book, plan(expected_ms=60_000))
    assert envelope.not_before_ms == book.now_ms
    assert envelope.start_by_ms == book.now_ms + 15 * MINUTE_MS
    assert envelope.ends_at_ms == envelope.start_by_ms + 30 * MINUTE_MS + 120_000
    assert predicted(book, None).ends_at_ms == envelope.start_by_ms + 30 * MINUTE_MS


def test_what_needs_approval_is_accepted_with_the_numbers_that_bind(book: Playbook) -> None:
    short = finding(
        FindingCode.CAPACITY_SHORT, Severity.NEEDS_APPROVAL, "", site=G, utilisation_pm=950, left_ms=7, approvals_needed=1
    )
    bare = finding(FindingCode.SHED_NEEDED, Severity.NEEDS_APPROVAL, "", shed_bp=100)
    other = [finding(FindingCode.VELOCITY, severity, "") for severity in (Severity.ALLOWED, Severity.REFUSED)]
    assert predicted(book, None, goal(), short, bare, *other).accepted == (
        Accepted(code=FindingCode.CAPACITY_SHORT, numbers={"site": G, "utilisation_pm": 950}, approvals_needed=1),
        Accepted(code=FindingCode.SHED_NEEDED, numbers={"shed_bp": 100}, approvals_needed=0),
    )


# -- what is allowed beside it -----------------------------------------------------------------------------------------


def envelope(*found: Bounds, **more: object) -> Envelope:
    return replace(Envelope(bounds=found, shed_max_bp={WEB: 0}), **more)  # type: ignore[arg-type]


def bound(site: SiteId, least_bp: int, most_bp: int, used_pm: int = 500) -> Bounds:
    return Bounds(service=WEB, site=site, share_min_bp=least_bp, share_max_bp=most_bp, utilisation_max_pm=used_pm)


def margins(book: Playbook, of: Goal, found: Bounds) -> tuple[int, int]:
    made = bounds(with_margins(envelope(found), of, book.setup), found.site)
    return made[0], made[1]


def test_what_a_goal_is_about_may_miss_its_share_by_one_per_cent_and_others_by_a_tenth_more(book: Playbook) -> None:
    shares = goal(Verb.SHARES)
    assert margins(book, shares, bound(P, 4_000, 5_000)) == (3_900, 5_100)
    assert margins(book, shares, bound(G, 3_000, 5_000)) == (2_600, 5_600)


def test_no_margin_leads_below_nothing_or_above_the_whole(book: Playbook) -> None:
    assert margins(book, goal(Verb.SHARES), bound(P, 99, 9_950)) == (0, 10_000)
    assert margins(book, goal(Verb.SHARES), bound(P, 101, 9_899)) == (1, 9_999)


def test_a_drain_may_take_all_of_a_site_and_a_release_give_its_nominal_share_back(book: Playbook) -> None:
    assert margins(book, goal(Verb.DRAIN), bound(P, 1_400, 5_000)) == (0, 5_100)
    assert margins(book, goal(Verb.DRAIN), bound(G, 3_000, 5_000))[0] == 2_600, "of the others nothing is taken out"
    for verb in (Verb.UNDRAIN, Verb.LIFT, Verb.POOL):
        assert margins(book, goal(verb), bound(P, 0, 2_500)) == (0, 5_100)
        assert margins(book, goal(verb), bound(P, 0, 6_000)) == (0, 6_100)
        assert margins(book, goal(verb), bound(G, 3_000, 3_000)) == (2_600, 3_400)
    assert margins(book, goal(Verb.SHARES), bound(P, 0, 2_500)) == (0, 2_600)


def test_a_site_may_be_used_as_far_as_the_policy_says_or_a_little_further_than_predicted(book: Playbook) -> None:
    for used_pm, most_pm in ((500, 900), (850, 900), (851, 901), (1_600, 1_650)):
        made = with_margins(envelope(bound(P, 0, 1, used_pm)), goal(), book.setup)
        assert bounds(made, P)[2] == most_pm


@pytest.mark.parametrize(("shed_bp", "most_bp"), [(0, 0), (1, 101), (9_950, 10_000)])
def test_what_is_shed_may_be_a_little_more_but_only_where_anything_is(book: Playbook, shed_bp: int, most_bp: int) -> None:
    made = with_margins(envelope(shed_max_bp={WEB: shed_bp}), goal(), book.setup)
    assert made.shed_max_bp == {WEB: most_bp}


def test_what_is_accepted_may_be_a_little_worse(book: Playbook) -> None:
    numbers = {"site": G, "utilisation_pm": 950, "shed_bp": 100, "stays_bp": 50, "serving_after": 1}
    accepted = Accepted(code=FindingCode.CAPACITY_SHORT, numbers=numbers, approvals_needed=2)
    (made,) = with_margins(envelope(accepted=(accepted,)), goal(), book.setup).accepted
    assert made.numbers == {"site": G, "utilisation_pm": 1_000, "shed_bp": 200, "stays_bp": 150, "serving_after": 1}
    assert made.approvals_needed == 2


def test_what_is_offered_is_what_is_predicted_with_its_margins(book: Playbook) -> None:
    made = plan(step({P: 0, G: 5_000, A: 5_000}, utilisation_pm={G: 800, A: 870}))
    folded = fold_goal(goal(), made, (), state=book.state, setup=book.setup, now_ms=book.now_ms)
    assert folded.predicted == predicted(book, made)
    assert folded.offer.envelope == with_margins(folded.predicted, goal(), book.setup) != folded.predicted
    assert (folded.plan, folded.findings, folded.offer.goal) == (made, (), goal())
    assert is_within(folded.predicted, folded.offer.envelope)


def test_what_was_shown_counts_from_its_confirmation() -> None:
    shown = envelope(bound(P, 1, 2), not_before_ms=1, start_by_ms=2, ends_at_ms=3)
    fresh = envelope(not_before_ms=11, start_by_ms=12, ends_at_ms=13)
    assert begun_at(shown, fresh) == envelope(bound(P, 1, 2), not_before_ms=11, start_by_ms=12, ends_at_ms=13)


# -- what a request means ----------------------------------------------------------------------------------------------


def asking(request: Request, **more: object) -> OperatorRequest:
    return replace(OperatorRequest(id="a", person="kim", request=request, ticket="OPS-1"), **more)  # type: ignore[arg-type]


def override(kind: OverrideKind, **more: object) -> Override:
    made = Override(id="o1", kind=kind, owner="lee", reason="r", ticket="", created_ms=0, expires_ms=1)
    return replace(made, **more)  # type: ignore[arg-type]


def meaning(book: Playbook, request: Request, *overrides: Override) -> tuple[Verb, set[str], tuple[SiteId, ...], tuple[str, ...]]:
    found = goal_of(asking(request), book.setup, overrides)
    assert (found.owner, found.ticket) == ("kim", "OPS-1")
    assert (found.topology, found.policy) == setup_digests(book.setup, found.services)
    return found.verb, set(found.services), found.sites, found.members


def test_a_request_is_a_goal_with_the_services_sites_and_members_it_is_about(book: Playbook) -> None:
    (web, blog) = book.setup.topology.services
    blog = replace(blog, pools=tuple(pool for pool in blog.pools if pool.site != A))
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=(web, blog)))
    for request, wanted in (
        (DrainRequest(site=P), (Verb.DRAIN, {WEB, BLOG}, (P,), ())),
        (DrainRequest(site=A), (Verb.DRAIN, {WEB}, (A,), ())),
        (DrainRequest(site=P, service=BLOG), (Verb.DRAIN, {BLOG}, (P,), ())),
        (UndrainRequest(site=P), (Verb.UNDRAIN, {WEB, BLOG}, (P,), ())),
        (UndrainRequest(site=P, service=WEB), (Verb.UNDRAIN, {WEB}, (P,), ())),
        (DepoolRequest(member=M1), (Verb.DEPOOL, {WEB}, (), (M1,))),
        (PoolRequest(member=M1), (Verb.POOL, {WEB}, (), (M1,))),
        (SharesRequest(service=WEB, shares_bp={P: 10_000}), (Verb.SHARES, {WEB}, (P, G, A), ())),
    ):
        assert meaning(book, request) == wanted
    forced = goal_of(asking(SharesRequest(service=WEB, shares_bp={P: 10_000})), book.setup, ())
    assert forced.shares_bp == {P: 10_000} and forced.override == ""
    with pytest.raises(ValueError, match="AckRequest moves no traffic"):
        goal_of(asking(AckRequest()), book.setup, ())


def test_lifting_an_override_is_about_what_it_forced(book: Playbook) -> None:
    lift = LiftRequest(override="o1")
    for made, wanted in (
        (override(OverrideKind.DRAIN, site=P), (Verb.LIFT, {WEB, BLOG}, (P,), ())),
        (override(OverrideKind.SHARES, service=BLOG, shares_bp={P: 10_000}), (Verb.LIFT, {BLOG}, (P, G, A), ())),
        (override(OverrideKind.FREEZE), (Verb.LIFT, {WEB, BLOG}, (), ())),
    ):
        assert meaning(book, lift, override(OverrideKind.FREEZE, id="o0", service=WEB), made) == wanted
    assert meaning(book, lift) == (Verb.LIFT, set(), (), ())
    assert goal_of(asking(lift), book.setup, ()).override == "o1"


def test_a_life_that_was_asked_for_counts_before_an_instant(book: Playbook) -> None:
    for life_ms, expires_ms, wanted in ((None, None, (None, None)), (5, 9, (5, None)), (None, 9, (None, 9))):
        found = goal_of(asking(DrainRequest(site=P), life_ms=life_ms, expires_ms=expires_ms), book.setup, ())
        assert (found.life_ms, found.expires_ms) == wanted


def test_what_siteshift_proposes_is_about_the_sites_that_would_lose(book: Playbook) -> None:
    made = replace(
        plan(cause=Cause.DEGRADED),
        services=(WEB, BLOG),
        before={WEB: {P: 5_000, G: 3_000, A: 2_000}, BLOG: {P: 0, G: 5_000, A: 5_000}},
        after={WEB: {P: 0, G: 8_000, A: 2_000}, BLOG: {P: 1, G: 9_999}},
    )
    found = proposal_of(made, book.setup)
    assert (found.verb, found.services, found.sites) == (Verb.PROPOSED, (BLOG, WEB), (A, P))
    assert (found.cause, found.owner) == ("degraded", SITESHIFT)
    assert (found.topology, found.policy) == setup_digests(book.setup, (WEB, BLOG))


def test_an_approval_hangs_on_what_the_configuration_says_of_its_services_and_of_nothing_else(book: Playbook) -> None:
    setup = book.setup
    topology, policy = setup_digests(setup, (WEB,))
    (web, blog) = setup.topology.services

    def changed(**of_topology: object) -> tuple[str, str]:
        return setup_digests(replace(setup, topology=replace(setup.topology, **of_topology)), (WEB,))  # type: ignore[arg-type]

    assert changed(services=(web, replace(blog, tier=9))) == (topology, policy)
    assert changed(services=(replace(web, tier=9), blog))[0] != topology
    sites = setup.topology.sites
    assert changed(sites=(replace(sites[0], capacity_rps=9), *sites[1:]))[0] != topology
    group = SharedFateGroup(id=GroupId("g"), sites=(P, G))
    assert changed(groups=(group,))[0] != topology
    far = SharedFateGroup(id=GroupId("g"), sites=(SiteId("jeju"),))
    assert changed(groups=(far,)) == (topology, policy)
    other = replace(setup, policy=replace(setup.policy, default=replace(setup.policy.default, soak_ms=9)))
    assert setup_digests(other, (WEB,)) == (topology, setup_digests(other, (WEB,))[1]) != (topology, policy)
    assert setup_digests(setup, (WEB, BLOG)) == setup_digests(setup, (BLOG, WEB)) != (topology, policy)
    assert setup_digests(setup, (WEB, ServiceId("gone"))) == (topology, policy)
