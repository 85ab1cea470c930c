"""Overload is told from failure by what is answered, and an overloaded site is relieved and kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import SICK, SUSPECT, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.beliefs.life import Signal
from siteshift.core.beliefs.overload import RECOVERY_MS, with_overloads
from siteshift.core.beliefs.traffic import absorb_traffic, answers_all
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.decide.situations import situation_of
from siteshift.core.messages.events import SeenTraffic, TrafficMeasured
from siteshift.core.messages.requests import DepoolRequest, DrainRequest
from siteshift.core.model.cause import Cause
from siteshift.core.model.codes import DiagnosisCode, Hardness, LeftBecause, SiteLife, StandbyPhase, Standing, StepKind
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.units import SiteId
from siteshift.core.plan.next_step import _is_proven_by_users
from siteshift.core.state.carrying import FIRST_HOLD_MS, LONGEST_HOLD_MS
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import DemandTrack

SILENT = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.SILENT)
REFUSED = TargetView(standing=Standing.DOWN, score_pm=0, hardness=Hardness.HARD)


class Metered(Playbook):
    """A world whose balancers count per site: ``asked`` and ``answered`` requests/s, and what is passed on to others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.is_metered = False
        self.counts: dict[SiteId, tuple[int, int, int]] = {P: (50, 50, 0), G: (30, 30, 0), A: (20, 20, 0)}

    def measure(self, window_ms: int = 500) -> None:
        seen = tuple(
            SeenTraffic(
                service=WEB,
                site=site,
                window_ms=window_ms,
                requests=asked * window_ms // 1_000,
                errors=0,
                answered=answered * window_ms // 1_000,
                passed_on=passed_on * window_ms // 1_000,
            )
            for site, (asked, answered, passed_on) in self.counts.items()
        )
        self.feed(TrafficMeasured(at_ms=self.now_ms, seen=seen))

    def go(self, for_ms: int) -> None:
        for _ in range(for_ms // 500):
            self.run(500)
            self.measure()

    @property
    def overloaded(self) -> set[str | None]:
        return {e.site for e in self.state.picture.diagnoses if e.code is DiagnosisCode.OVERLOAD}

    def signal(self, site: SiteId) -> Signal:
        service = self.setup.topology.service_by_id[WEB]
        return situation_of(self.state, self.setup, service, self.now_ms).signals[site]


def with_shed_servers() -> Setup:
    """The three sites, with a balancer that answers what is shed."""
    setup = three_sites()
    return replace(setup, planes=tuple(replace(plane, sheds=frozenset({WEB})) for plane in setup.planes))


@pytest.fixture
def book() -> Metered:
    book = Metered()
    book.go(5_000)
    return book


def test_a_site_that_is_asked_for_too_much_and_answers_is_kept_and_relieved(book: Metered) -> None:
    book.counts = {P: (50, 50, 0), G: (80, 40, 0), A: (20, 20, 0)}
    book.believe(G, SILENT)
    book.go(5_000)
    assert book.overloaded == {G}
    assert book.signal(G) is Signal.OVERLOADED
    assert book.life(G) is SiteLife.SUSPECT
    assert 0 < book.shares()[G] < 3_000
    assert book.violations == []


def test_relief_takes_what_room_there_is_and_does_not_wait_for_all_of_it(book: Metered) -> None:
    """One sibling is itself overloaded and the other has little room until its standbys serve: that little helps now."""
    book.counts = {P: (90, 60, 0), G: (60, 40, 0), A: (20, 20, 0)}
    book.believe(P, SILENT)
    book.believe(G, SILENT)
    book.go(1_000)
    assert book.overloaded == {P, G}
    assert book.shares()[A] > 2_000
    assert all(track.phase is not StandbyPhase.PROVEN for track in book.state.standbys.values())
    assert book.violations == []


def test_a_site_that_serves_as_the_last_resort_may_be_overloaded_too(book: Metered) -> None:
    """Every site was left before and waits for a person to fail back: those that answer carry what there is, and leaving one
    for its load would shed more (found by the fuzz)."""
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(1_000)
    state = book.state
    left = {(WEB, site): replace(state.track(WEB, site), life=SiteLife.DRAINED) for site in (P, G, A)}
    picture = replace(state.picture, diagnoses=())
    found = with_overloads(picture, replace(state, tracks=left), book.setup, book.now_ms)
    assert [e.site for e in found.diagnoses if e.code is DiagnosisCode.OVERLOAD] == [G]
    left[(WEB, A)] = replace(left[(WEB, A)], life=SiteLife.SERVING)
    found = with_overloads(picture, replace(state, tracks=left), book.setup, book.now_ms)
    assert found.diagnoses == (), "a site that is being left is none"


def test_suspicion_is_enough_where_the_load_is_measured(book: Metered) -> None:
    book.counts[G] = (80, 40, 0)
    book.believe(G, SUSPECT)
    book.go(1_000)
    assert book.overloaded == {G}


def test_a_dead_site_that_is_tried_again_and_again_is_not_overloaded(book: Metered) -> None:
    book.counts = {P: (200, 0, 150), G: (80, 40, 0), A: (40, 40, 0)}
    book.believe(P, SILENT)
    book.go(1_000)
    assert P not in book.overloaded
    assert book.life(P) is SiteLife.DRAINING
    assert book.shares()[P] == 0


def test_retries_that_no_balancer_passed_on_do_not_make_a_silent_site_overloaded(book: Metered) -> None:
    book.counts[P] = (200, 0, 0)
    book.believe(P, SILENT)
    book.go(1_000)
    assert book.life(P) is SiteLife.DRAINING


def test_what_is_passed_on_is_counted_once_in_the_demand(book: Metered) -> None:
    book.go(3_000)
    before_rps = book.state.demand[WEB].peak_rps
    book.counts = {P: (50, 0, 50), G: (60, 40, 0), A: (40, 40, 0)}
    book.believe(P, SUSPECT)
    book.go(3_000)
    assert book.state.demand[WEB].peak_rps <= before_rps * 102 // 100


def test_a_second_site_that_falls_silent_after_the_first_is_left_too(book: Metered) -> None:
    book.counts = {P: (0, 0, 0), G: (60, 60, 0), A: (40, 40, 0)}
    book.believe(P, SILENT)
    book.go(2_000)
    book.counts[G] = (60, 0, 60)
    book.believe(G, SILENT)
    book.go(2_000)
    assert book.life(G) is SiteLife.DRAINING
    assert book.violations == []


def test_unmeasured_trouble_after_the_loss_of_a_sibling_is_presumed_overload(book: Metered) -> None:
    book.counts = {}
    book.believe(P, SILENT)
    book.run(10_000)
    book.believe(G, SILENT)
    book.run(2_000)
    assert book.overloaded == {G}
    assert book.life(G) is SiteLife.SUSPECT


def test_refused_connections_are_no_queue_unless_requests_are_answered(book: Metered) -> None:
    book.counts[G] = (80, 5, 0)
    book.believe(G, REFUSED)
    book.go(1_000)
    assert book.overloaded == set()
    assert book.life(G) is SiteLife.DRAINING


def test_it_keeps_the_name_until_its_queue_can_empty_and_gets_its_share_back(book: Metered) -> None:
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(3_000)
    relieved = book.shares()[G]
    book.counts[G] = (25, 25, 0)
    book.go(5_000)
    assert book.overloaded == {G}
    book.believe(G, UP)
    book.go(60_000)
    assert book.overloaded == set()
    assert book.shares()[G] > relieved
    assert book.violations == []


def test_what_looks_well_for_a_moment_after_its_relief_and_is_as_full_again_is_overloaded_still(book: Metered) -> None:
    """The name ends with the trouble, its hold does not: nearly full is then enough (found by the fuzz)."""
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(3_000)
    book.believe(G, UP)
    book.counts[G] = (40, 40, 0)
    book.go(1_000)
    assert book.overloaded == set()
    book.counts[G] = (55, 40, 0)
    book.believe(G, SILENT)
    book.go(1_500)
    assert book.overloaded == {G}
    assert book.life(G) is not SiteLife.DRAINING
    assert book.violations == []


def test_a_site_keeps_the_name_until_it_could_empty_its_queues_since_it_was_last_full(book: Metered) -> None:
    """However long ago it was relieved: caches brought its old share meanwhile (found by the fuzz)."""
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(3_000)
    book.counts[G] = (58, 40, 0)
    book.go(70_000)
    assert book.now_ms - book.state.transition(WEB).moved_at_ms > RECOVERY_MS
    book.counts[G] = (30, 30, 0)
    book.go(RECOVERY_MS - 2_000)
    assert book.overloaded == {G}
    book.go(2 * LONGEST_HOLD_MS)
    assert book.overloaded == set()
    assert book.violations == []


def test_a_site_on_its_way_back_is_relieved_like_any_other(book: Metered) -> None:
    """Its step is no promise: kept exactly there, it would stay overloaded for ever (found by the fuzz)."""
    returning = replace(book.state.track(WEB, G), life=SiteLife.RETURNING, since_ms=book.now_ms, step_since_ms=book.now_ms)
    book.state = book.state.changed(tracks={**book.state.tracks, (WEB, G): returning})
    book.counts[G] = (80, 40, 0)
    book.measure()
    book.believe(G, SILENT)
    book.go(3_000)
    assert (book.overloaded, book.life(G)) == ({G}, SiteLife.RETURNING)
    assert 0 < book.shares()[G] < 3_000
    assert book.violations == []


def test_what_a_site_shows_that_serves_counts_although_an_old_share_of_it_is_nothing(book: Metered) -> None:
    """A node that does not lead knows old shares: a fault of all sites must not become one site's (found by the fuzz)."""
    book.counts = {P: (0, 0, 0), G: (80, 40, 0), A: (80, 40, 0)}
    book.measure()
    old = book.state.steering.services[0]
    shares = replace(old, shares_bp={P: 0, G: 6_000, A: 4_000})
    state = book.state.changed(steering=replace(book.state.steering, services=(shares,)))
    down = {key: replace(seen, standing=Standing.DOWN, hardness=Hardness.SILENT) for key, seen in state.picture.pools.items()}
    picture = replace(state.picture, pools=down, global_fault=frozenset({WEB}))
    found = with_overloads(picture, state, book.setup, book.now_ms)
    assert {e.site for e in found.diagnoses if e.code is DiagnosisCode.OVERLOAD} == {G, A}
    assert found.global_fault == {WEB}, "Pangyo is down too, and it is not for its load"


def test_a_first_relief_does_not_wait_for_a_rebalance_to_settle(book: Metered) -> None:
    """That was reckoned without knowing that somebody is overloaded."""
    book.counts = {P: (60, 60, 0), G: (36, 36, 0), A: (24, 24, 0)}
    while not book.state.transition(WEB).moves:
        book.go(500)
    rebalanced, *_ = book.state.transition(WEB).moves
    book.counts[P] = (75, 60, 0)
    book.measure()
    book.believe(P, SILENT)
    book.go(1_000)
    relieved = book.state.transition(WEB).moves[-1]
    assert (rebalanced.cause, relieved.cause) == (Cause.REBALANCE, Cause.RELIEF)
    assert relieved.at_ms - rebalanced.at_ms < book.setup.policy.default.settle_ms
    assert book.violations == []


def test_trouble_that_outlasts_its_load_is_no_overload(book: Metered) -> None:
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(1_000)
    book.counts[G] = (10, 6, 0)
    book.go(2 * FIRST_HOLD_MS + 5_000)
    assert book.overloaded == set()
    assert book.life(G) is SiteLife.DRAINING


def test_a_surge_at_all_sites_is_their_load_and_no_global_fault() -> None:
    book = Metered(setup=with_shed_servers())
    book.go(5_000)
    book.counts = {P: (150, 60, 0), G: (90, 40, 0), A: (80, 40, 0)}
    for site in (P, G, A):
        book.believe(site, SILENT)
    book.go(30_000)
    assert book.state.picture.global_fault == frozenset()
    assert {book.life(site) for site in (P, G, A)} == {SiteLife.SUSPECT}
    assert all(track.phase is StandbyPhase.PROVEN for track in book.state.standbys.values())
    steering = book.state.steering.of(WEB)
    assert steering is not None and steering.shed_bp > 3_000
    assert book.violations == []


def test_members_of_an_overloaded_site_count_as_they_are_configured(book: Metered) -> None:
    book.counts[G] = (80, 40, 0)
    book.believe(G, SILENT)
    book.go(2_000)
    steering = book.state.steering.of(WEB)
    assert steering is not None
    members = [member.id for member in book.setup.topology.pools[(WEB, G)].members[:4]]
    assert [steering.members_pm.get(member, 0) for member in members] == [1_000] * 4


def test_a_member_that_was_taken_out_before_stays_out(book: Metered) -> None:
    first = book.setup.topology.pools[(WEB, G)].members[0]
    book.beliefs[first.target] = replace(SILENT, since_ms=book.now_ms)
    book.go(2_000)
    book.counts[G] = (80, 30, 0)
    book.believe(G, SILENT)
    generation = book.state.steering.generation
    book.go(10_000)
    steering = book.state.steering.of(WEB)
    assert steering is not None and first.id not in steering.members_pm
    assert book.state.steering.generation - generation < 10


def test_a_site_that_lost_most_of_its_members_is_left(book: Metered) -> None:
    for member in book.setup.topology.pools[(WEB, P)].members[:3]:
        book.beliefs[member.target] = replace(SILENT, since_ms=book.now_ms)
    book.go(2_000)
    book.counts[P] = (50, 15, 0)
    pool = book.setup.topology.pools[(WEB, P)]
    book.beliefs[pool.target] = TargetView(standing=Standing.DEGRADED, score_pm=300, since_ms=book.now_ms)
    book.go(1_000)
    assert book.overloaded == set()
    assert book.life(P) is SiteLife.DRAINING


def test_a_plane_that_sheds_is_known() -> None:
    plain, able = Metered(), Metered(setup=with_shed_servers())
    service = plain.setup.topology.service_by_id[WEB]
    assert not situation_of(plain.state, plain.setup, service, plain.now_ms).has_shed_answer
    assert situation_of(able.state, able.setup, service, able.now_ms).has_shed_answer
    assert PlaneRef(id=plain.setup.planes[0].id, services=(WEB,)).sheds == frozenset()


def test_the_dice_of_arrivals_make_no_overload(book: Metered) -> None:
    """A pool of 60 at its 50 requests/s is asked 62 now and then; in trouble, it is that site's own."""
    book.counts[P] = (62, 42, 0)
    book.measure()
    book.believe(P, SICK)
    book.go(1_000)
    assert book.overloaded == set()
    assert book.life(P) is SiteLife.DRAINING


def test_a_site_whose_checks_are_silent_and_whose_users_are_all_answered_is_neither_left_nor_overloaded(book: Metered) -> None:
    book.counts[P] = (62, 62, 0)
    book.measure()
    book.believe(P, SILENT)
    book.report()
    assert book.life(P) is SiteLife.SUSPECT, "the first window since is awaited"
    book.go(5_000)
    assert book.overloaded == set()
    assert book.life(P) is SiteLife.SERVING
    assert book.shares()[P] == 5_000


@pytest.mark.parametrize(("answered", "are_kept"), [(30, True), (5, False)])
def test_members_whose_checks_all_fail_stay_in_use_where_a_meter_counts_that_their_site_answers(
    book: Metered, answered: int, are_kept: bool
) -> None:
    """Taken out they left what they answer to two standbys, which it filled; and the site was capped by those (a relief loop)."""
    book.ask(DrainRequest(site=A))
    book.go(60_000)
    actives = {m.id for m in book.setup.topology.pools[(WEB, G)].actives}
    entry = book.state.steering.of(WEB)
    assert entry is not None and entry.members_pm.keys() > actives, "its standbys serve too"
    book.counts[G] = (30, answered, 0)
    book.believe(G, SILENT)
    book.go(3_000)
    entry = book.state.steering.of(WEB)
    assert entry is not None
    in_use = {m.id for m in book.setup.topology.pools[(WEB, G)].members} & entry.members_pm.keys()
    assert (in_use >= actives) is are_kept
    assert book.overloaded == set()


def test_a_survivor_that_fails_after_it_was_given_more_gives_back_what_it_does_not_carry(book: Metered) -> None:
    """Also to the sick site that had it just before: nothing is undone, and what it answers is not taken from it."""
    book.counts[P] = (50, 35, 0)
    book.believe(P, SICK)
    book.go(1_000)
    given_bp, left_bp = book.shares()[G], book.shares()[P]
    assert (given_bp > 3_000, left_bp < 5_000) == (True, True)
    book.counts[G] = (given_bp // 100, 24, 0)
    book.believe(G, SICK)
    book.go(3_000)
    assert book.overloaded == {G}
    assert book.life(G) is SiteLife.SUSPECT
    assert 0 < book.shares()[G] < given_bp
    assert book.shares()[P] <= 5_000
    known = book.state.transition(WEB).carrying[G]
    assert known.failed_rps == given_bp // 100 // 2 * 2, "counted by the half second"
    assert known.cap_rps is not None and known.cap_rps < known.failed_rps
    assert all(step.kind is not StepKind.UNDO for step in book.steps)
    assert book.violations == []


def test_what_is_clearly_too_much_for_seconds_is(book: Metered) -> None:
    book.counts[P] = (66, 58, 0)
    book.go(15_000)
    book.believe(P, SILENT)
    book.report()
    assert book.overloaded == {P}


def test_a_site_that_is_being_left_for_its_errors_is_not_overloaded_meanwhile(book: Metered) -> None:
    """Called overloaded it would be kept at what it has, and be held to that when it is well again: the drain would not end."""
    book.counts[P] = (50, 35, 0)
    book.believe(P, SICK)
    book.go(1_000)
    assert book.life(P) is SiteLife.DRAINING
    book.counts[P] = (80, 50, 0)
    book.go(10_000)
    assert P not in book.overloaded
    assert book.shares()[P] == 0


@pytest.fixture
def unmetered() -> Playbook:
    """The three sites, where nobody counts requests."""
    book = Playbook(setup=replace(three_sites(), metered=frozenset()), is_metered=False)
    book.run(5_000)
    return book


def leave_one_in(book: Playbook, site: SiteId) -> None:
    """A person takes all members of a site out but the first."""
    for member in book.setup.topology.pools[(WEB, site)].members[1:]:
        book.ask(DepoolRequest(member=member.id))
    book.run(2_000)


def overloaded_in(book: Playbook) -> set[str | None]:
    return {e.site for e in book.state.picture.diagnoses if e.code is DiagnosisCode.OVERLOAD}


def test_unmeasured_a_survivor_that_goes_down_after_a_sick_site_was_left_is_kept_for_a_while(unmetered: Playbook) -> None:
    """The users of a sick site try again as those of a dead one do. For 20 s; then it counts as what it looks."""
    unmetered.believe(P, SICK)
    unmetered.run(3_000)
    assert unmetered.life(P) is SiteLife.DRAINING
    unmetered.believe(A, SILENT)
    unmetered.run(8_000)
    assert overloaded_in(unmetered) == {A}
    assert unmetered.shares()[A] > 0
    kept_bp = unmetered.shares()[A]
    unmetered.run(25_000)
    assert unmetered.life(A) is SiteLife.DRAINING
    assert 0 < unmetered.shares()[A] <= kept_bp, "what fits nowhere stays: nobody counts what users get there"
    assert unmetered.violations == []


def test_unmeasured_a_site_that_goes_down_after_it_was_given_more_is_kept_for_a_while(unmetered: Playbook) -> None:
    unmetered.ask(DrainRequest(site=A))
    unmetered.run(500)
    assert unmetered.shares()[G] > 3_000
    unmetered.believe(G, SILENT)
    unmetered.run(3_000)
    assert overloaded_in(unmetered) == {G}
    assert unmetered.shares()[G] > 0
    unmetered.believe(G, SICK)
    unmetered.run(1_000)
    assert overloaded_in(unmetered) == {G}, "what was taken for overload is, until the time is over"
    assert unmetered.violations == []


@pytest.mark.parametrize(("view", "is_kept"), [(SILENT, True), (REFUSED, False)])
def test_unmeasured_what_a_person_left_in_is_kept_for_a_while_when_caches_bring_the_share_of_all(
    unmetered: Playbook, view: TargetView, is_kept: bool
) -> None:
    members = unmetered.setup.topology.pools[(WEB, G)].members
    leave_one_in(unmetered, G)
    unmetered.beliefs[members[0].target] = replace(view, since_ms=unmetered.now_ms)
    unmetered.run(8_000)
    assert overloaded_in(unmetered) == ({G} if is_kept else set())
    kept_bp = unmetered.shares()[G]
    assert (kept_bp > 400) is is_kept
    unmetered.run(25_000)
    assert unmetered.shares()[G] < 100, "for a while only"
    assert unmetered.violations == []


def test_unmeasured_the_users_of_an_overloaded_site_load_its_siblings(unmetered: Playbook) -> None:
    """They try again there: one that goes down just after is kept for a while too (found by the fuzz)."""
    leave_one_in(unmetered, G)
    unmetered.believe(G, SILENT)
    unmetered.run(2_000)
    assert overloaded_in(unmetered) == {G}
    unmetered.believe(A, SILENT)
    unmetered.run(3_000)
    assert overloaded_in(unmetered) == {G, A}
    assert unmetered.shares()[A] > 0
    unmetered.run(60_000)
    assert overloaded_in(unmetered) == set(), "neither holds the other for ever"
    assert unmetered.violations == []


def test_unmeasured_a_site_found_down_when_a_fault_of_all_ends_is_kept_for_a_while(unmetered: Playbook) -> None:
    """What all had in common was likely their load, and one queue empties before the other (found by the fuzz)."""
    for site in (P, G, A):
        unmetered.believe(site, SILENT)
    unmetered.run(5_000)
    assert WEB in unmetered.state.picture.global_fault
    unmetered.believe(P, UP)
    unmetered.believe(A, UP)
    while WEB in unmetered.state.picture.global_fault:
        unmetered.run(500)
    unmetered.run(4_000)
    assert overloaded_in(unmetered) == {G}
    assert 0 < unmetered.shares()[G] <= 1_600, "with half as much at once, as far as others can carry it"
    unmetered.run(60_000)
    assert unmetered.shares()[G] == 0, "for a while only"
    assert unmetered.violations == []


def test_unmeasured_a_laggard_of_a_fault_of_all_is_kept_although_it_was_only_suspect_when_that_ended(unmetered: Playbook) -> None:
    for site in (P, G, A):
        unmetered.believe(site, SILENT)
    unmetered.run(5_000)
    for site, view in ((P, UP), (A, UP), (G, SUSPECT)):
        unmetered.believe(site, view)
    unmetered.run(1_000)
    assert WEB not in unmetered.state.picture.global_fault
    assert overloaded_in(unmetered) == set()
    unmetered.believe(G, SILENT)
    unmetered.run(1_000)
    assert overloaded_in(unmetered) == {G}
    assert unmetered.violations == []


def test_unmeasured_a_survivor_that_sickens_is_kept_while_the_lost_site_comes_and_goes(unmetered: Playbook) -> None:
    """The dead site had a good moment, is left again, as sick: what it lost fills the survivor still (found by the fuzz)."""
    unmetered.believe(P, SILENT)
    unmetered.run(1_000)
    key = (WEB, P)
    relapsed = replace(unmetered.state.tracks[key], left_because=LeftBecause.SICK, flaps=1)
    for flaps, expected in ((0, set()), (1, {G})):
        unmetered.state = replace(
            unmetered.state, tracks={**unmetered.state.tracks, key: replace(relapsed, flaps=flaps)}
        )
        views = {**unmetered.state.picture.pools}
        views[(WEB, G)] = replace(views[(WEB, G)], standing=Standing.DEGRADED, since_ms=unmetered.now_ms)
        seen = with_overloads(replace(unmetered.state.picture, pools=views), unmetered.state, unmetered.setup, unmetered.now_ms)
        assert {e.site for e in seen.diagnoses if e.code is DiagnosisCode.OVERLOAD} == expected


def test_presumed_overload_is_put_to_the_proof_by_halves(unmetered: Playbook) -> None:
    """What fills a site may not be its share: it gets less until it is well, and then keeps that till it settled (found by the
    fuzz: it was left when the presumption ended)."""
    members = unmetered.setup.topology.pools[(WEB, G)].members
    leave_one_in(unmetered, G)
    unmetered.beliefs[members[0].target] = replace(SILENT, since_ms=unmetered.now_ms)
    unmetered.run(13_000)
    assert overloaded_in(unmetered) == {G}
    relieved = [bp for _, shares, _ in unmetered.history if (bp := shares[G]) <= 900]
    assert relieved == [900, 450, 270], "what one member carries, its half, and whole requests/s above a quarter"
    unmetered.beliefs[members[0].target] = replace(UP, since_ms=unmetered.now_ms)
    unmetered.run(3_000)
    assert unmetered.shares()[G] == relieved[-1]
    assert unmetered.life(G) is SiteLife.SERVING
    unmetered.run(120_000)
    assert unmetered.shares()[G] >= 900 - DEADBAND_BP, "given back"
    assert unmetered.violations == []


def test_unmeasured_a_refused_connection_is_no_load(unmetered: Playbook) -> None:
    unmetered.ask(DrainRequest(site=A))
    unmetered.run(500)
    unmetered.believe(G, REFUSED)
    unmetered.run(3_000)
    assert overloaded_in(unmetered) == set()
    assert unmetered.shares()[G] == 0


def test_who_answers_alone_is_usable_although_its_own_checks_fail_still(book: Metered) -> None:
    """A person took most members out, the rest was overloaded, the load is gone: the pool is well, its one member's stream lags.
    Without it the site could carry nothing, and would be left (found by the fuzz)."""
    members = book.setup.topology.pools[(WEB, P)].members[:4]
    for member in members[1:]:
        book.ask(DepoolRequest(member=member.id))
    book.go(5_000)
    book.counts[P] = (13, 13, 0)
    book.beliefs[members[0].target] = replace(SILENT, since_ms=book.now_ms)
    book.go(10_000)
    steering = book.state.steering.of(WEB)
    assert steering is not None
    assert {m.id: steering.members_pm.get(m.id) for m in members} == {members[0].id: 1_000} | {m.id: None for m in members[1:]}
    assert book.shares()[P] > 0
    book.counts[P] = (13, 0, 0)
    book.go(20_000)
    steering = book.state.steering.of(WEB)
    assert steering is not None and book.shares()[P] == 0, "nobody answers there any more"
    assert not any(m.id in steering.members_pm for m in members[1:]), "sooner one in doubt than one that a person took out"
    assert book.violations == []


def test_what_users_get_is_news_while_a_pool_they_are_sent_to_is_in_doubt_and_not_once_it_was_left(book: Metered) -> None:
    """A site may stay dead for days: its meter must not have the whole derived anew twice a second."""
    book.believe(P, SUSPECT)
    book.go(1_000)
    seen = TrafficMeasured(at_ms=book.now_ms, seen=(SeenTraffic(service=WEB, site=P, window_ms=500, requests=20, errors=20),))
    assert absorb_traffic(Draft(state=book.state, setup=book.setup, now_ms=book.now_ms), seen)
    left = replace(book.state.steering.of(WEB), shares_bp={P: 0, G: 6_000, A: 4_000})
    state = book.state.changed(steering=replace(book.state.steering, services=(left,)))
    known = state.changed(demand={WEB: DemandTrack(peak_rps=10**6, peak_at_ms=book.now_ms)})
    assert not absorb_traffic(Draft(state=known, setup=book.setup, now_ms=book.now_ms), seen)


@pytest.mark.parametrize(("failing_windows", "best_rps"), [(1, 50), (2, 50), (3, 20)])
def test_what_a_site_answered_before_it_failed_says_nothing_once_it_fails_for_longer_than_a_stall(
    book: Metered, failing_windows: int, best_rps: int
) -> None:
    """The most of the last three seconds was of the time before: it was meant to carry that, and was cut by nothing."""
    book.counts[P] = (50, 20, 0)
    for _ in range(failing_windows):
        book.go(500)
    assert book.state.traffic[(WEB, P)].best_mrps == best_rps * 1_000


@pytest.mark.parametrize(("asked", "answered", "is_all"), [(20, 19, True), (19, 18, False), (40, 38, False), (200, 196, True)])
def test_one_request_without_an_answer_is_chance(asked: int, answered: int, is_all: bool) -> None:
    for window_ms in (500, 1_000):
        assert answers_all(asked * 1_000_000 // window_ms, answered * 1_000_000 // window_ms, window_ms) is is_all


@pytest.mark.parametrize(("asked", "weight_pm"), [(53, 400), (54, 1_000)])
def test_in_a_pool_as_full_as_the_policy_allows_a_member_that_errs_keeps_its_weight(asked: int, weight_pm: int) -> None:
    """Its siblings have no room for what it is spared: they fill up, and their users try again."""
    book = Metered()
    book.counts = {P: (asked, asked, 0), G: (asked * 3 // 5, asked * 3 // 5, 0), A: (asked * 2 // 5, asked * 2 // 5, 0)}
    book.go(5_000)
    place = book.setup.topology.pools[(WEB, P)]
    pool = book.state.picture.pools[(WEB, P)]
    first = place.members[0]
    members = {**pool.members, first.id: TargetView(standing=Standing.DEGRADED, score_pm=400, hardness=Hardness.GREY)}
    picture = replace(book.state.picture, pools={**book.state.picture.pools, (WEB, P): replace(pool, members=members)})
    state = book.state.changed(
        picture=picture, demand={WEB: DemandTrack(peak_rps=2 * asked, peak_at_ms=book.now_ms, since_ms=-(10**9))}
    )
    situation = situation_of(state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    assert (situation.demand_rps, situation.weight_pm(first)) == (2 * asked, weight_pm)


@pytest.mark.parametrize(
    ("view", "is_counted", "may_be_alive"), [(SILENT, False, True), (REFUSED, False, False), (SILENT, True, False)]
)
def test_who_is_down_by_checks_alone_may_answer_unless_it_refuses(view: TargetView, is_counted: bool, may_be_alive: bool) -> None:
    book = Metered() if is_counted else Playbook(setup=replace(three_sites(), metered=frozenset()))
    if isinstance(book, Metered):
        book.counts[P] = (50, 0, 0)
        book.go(5_000)
    else:
        book.run(5_000)
    book.believe(P, view)
    book.go(1_000) if isinstance(book, Metered) else book.run(1_000)
    situation = situation_of(book.state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    assert situation.may_be_alive(P) is may_be_alive


def test_a_count_that_is_no_more_of_now_keeps_no_site_that_went_dark_with_its_meter() -> None:
    """It was kept for five seconds because the last thing that was counted was a full window."""
    book = Metered()
    book.go(5_000)
    book.counts[P] = (64, 60, 0)
    book.go(1_500)
    del book.counts[P]
    book.believe(P, SILENT)
    book.go(2_500)
    assert P not in book.overloaded
    assert book.life(P) is SiteLife.DRAINING


@pytest.mark.parametrize(("windows", "is_proven"), [(3, False), (4, True)])
def test_the_answers_that_prove_a_step_are_summed_over_windows(windows: int, is_proven: bool) -> None:
    """No window of half a second holds 99 of a site that is asked 50 requests/s."""
    book = Metered()
    book.go(5_000)
    moved_at_ms = book.state.traffic[(WEB, P)].at_ms - windows * 500
    transition = book.state.transition(WEB).changed(moved_at_ms=moved_at_ms)
    state = book.state.changed(transitions={WEB: transition})
    situation = situation_of(state, book.setup, book.setup.topology.service_by_id[WEB], book.now_ms)
    assert _is_proven_by_users(situation, P) is is_proven
    failed = situation.loads[P]._replace(serving_ms=1_500)
    assert not _is_proven_by_users(replace(situation, loads={P: failed}), P)


@pytest.mark.parametrize(
    ("demand_rps", "failing", "view", "others", "stays"),
    [
        (109, 2, SILENT, UP, True),
        (108, 2, SILENT, UP, False),
        (56, 2, SILENT, SUSPECT, True),
        (54, 2, SILENT, SUSPECT, False),
        (109, 1, SILENT, UP, False),
        (109, 2, REFUSED, SUSPECT, False),
    ],
    ids=["full", "has room", "none is well", "others carry it", "alone", "refused"],
)
def test_where_nobody_counts_members_that_are_late_stay_in_as_long_as_the_others_cannot_do_without_them(
    demand_rps: int, failing: int, view: TargetView, others: TargetView, stays: bool
) -> None:
    """One after the other went; the last got all, users tried again elsewhere, and a tenth too much became a storm of 500 s."""
    book = Playbook(setup=replace(three_sites(), metered=frozenset()))
    book.run(5_000)
    place, pool = book.setup.topology.pools[(WEB, P)], book.state.picture.pools[(WEB, P)]
    down = {m.id for m in place.actives[:failing]}
    members = {name: view if name in down else others for name in pool.members}
    seen = replace(pool, members=members, standing=Standing.DOWN, hardness=view.hardness)
    picture = replace(book.state.picture, pools={**book.state.picture.pools, (WEB, P): seen})
    situation = replace(
        situation_of(book.state.changed(picture=picture), book.setup, book.setup.topology.service_by_id[WEB], book.now_ms),
        demand_rps=demand_rps,
    )
    assert {m.id for m in place.actives if not situation.is_usable(m)} == (set() if stays else down)
