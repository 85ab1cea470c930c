"""Playbooks: what happens to a world of three sites, told in events; every law is checked after every step."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from core.playbook import DOWN, PLANE, SICK, SUSPECT, UNKNOWN, UP, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.messages.commands import ActivateStandby, Enact, ReadPlane, RetireStandby
from siteshift.core.messages.events import EnactFinished, ReadBackArrived, ReadBackFailed, StoreChanged, TermChanged
from siteshift.core.messages.requests import (
    AckRequest,
    ApproveRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import EnactOutcome, Failback, Hardness, Mode, Severity, SiteLife, StandbyPhase
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.steering import Drift, EnactResult
from siteshift.core.model.units import MemberId

NOMINAL = {P: 5000, G: 3000, A: 2000}
QUICK = {"hold_down_ms": 5_000, "soak_ms": 2_000}


def serving(**policy: object) -> Playbook:
    """A node that has been serving for a while."""
    book = Playbook(setup=three_sites(**{**QUICK, **policy}))
    book.run(5_000)
    assert book.shares() == NOMINAL
    return book


@pytest.fixture
def book() -> Playbook:
    return serving()


@pytest.fixture(autouse=True)
def no_law_broken(request: pytest.FixtureRequest) -> object:
    """Whatever a playbook does, no law breaks."""
    yield
    for value in request.node.funcargs.values():
        if isinstance(value, Playbook):
            assert value.violations == []


def codes(book: Playbook) -> set[str]:
    return {entry.code.value for entry in book.state.transition(WEB).findings}


class TestStarting:
    def test_nothing_is_written_before_fresh_evidence(self) -> None:
        book = Playbook()
        book.run(2_900)
        assert book.planes == {}
        book.run(2_000)
        assert book.planes[PLANE] is not None

    def test_a_blind_node_writes_nothing_however_long_it_waits(self) -> None:
        book = Playbook(self_check=SelfCheck(anchors_ok=0, anchors_total=2))
        book.run(60_000)
        assert book.planes == {}


class TestDeadSite:
    def test_it_is_left_in_one_step_to_what_survivors_carry(self, book: Playbook) -> None:
        book.history.clear()
        book.believe(P, DOWN)
        book.report()
        assert book.history[0][1] == {P: 0, G: 3600, A: 3600}
        assert book.history[0][2] == 2800

    def test_standbys_come_up_and_take_the_rest_once_proven(self, book: Playbook) -> None:
        book.believe(P, DOWN)
        book.run(10_000)
        assert book.shares() == {P: 0, G: 5130, A: 4870}
        assert all(t.phase is StandbyPhase.PROVEN for t in book.state.standbys.values())

    def test_it_is_drained_when_the_old_ttl_ran_out_and_traffic_is_gone(self, book: Playbook) -> None:
        book.believe(P, DOWN)
        book.run(20_000)
        assert book.life(P) is SiteLife.DRAINING
        book.run(15_000)
        assert book.life(P) is SiteLife.DRAINED

    def test_it_comes_back_by_the_ramp_and_standbys_retire(self, book: Playbook) -> None:
        book.believe(P, DOWN)
        book.run(40_000)
        book.history.clear()
        book.believe(P, UP)
        book.run(180_000)
        pangyo = [shares[P] for _, shares, _ in book.history]
        assert pangyo == sorted(pangyo)
        assert len(set(pangyo)) >= 4
        assert book.shares() == NOMINAL
        assert book.life(P) is SiteLife.SERVING
        assert any(isinstance(command, RetireStandby) for command in book.commands)

    def test_flapping_doubles_the_hold_down(self, book: Playbook) -> None:
        holds = []
        for _ in range(3):
            book.believe(P, DOWN)
            book.run(35_000)
            track = book.state.track(WEB, P)
            holds.append(track.hold_until_ms - track.left_at_ms)
            book.believe(P, UP)
            book.run(60_000)
        assert holds == [5_000, 10_000, 20_000]

    def test_manual_failback_waits_for_a_person(self) -> None:
        book = serving(failback=Failback.MANUAL)
        book.believe(P, DOWN)
        book.run(40_000)
        book.believe(P, UP)
        book.run(60_000)
        assert book.shares()[P] == 0
        assert book.ask(AckRequest(site=P)).severity is Severity.ALLOWED
        book.run(60_000)
        assert book.shares() == NOMINAL
        assert book.violations == []

    def test_without_standby_the_rest_is_shed_openly(self, book: Playbook) -> None:
        book.standby_works = False
        book.believe(P, DOWN)
        book.run(20_000)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        assert (entry.shed_bp, entry.shed_at) == (2800, P)
        assert "STANDBY_FAILED" in book.told()

    def test_the_last_site_is_kept_and_left_once_another_returns(self, book: Playbook) -> None:
        """A controller that refuses to drain the last site must drain it by itself once another one comes back."""
        book.believe(G, DOWN)
        book.run(40_000)
        book.believe(A, DOWN)
        book.run(40_000)
        shares = book.shares()
        assert shares[G] == shares[A] == 0
        book.believe(P, SICK)
        book.run(30_000)
        assert book.shares()[P] > 0
        book.believe(G, UP)
        book.run(90_000)
        assert book.shares()[G] > 0

    def test_a_well_site_in_its_hold_down_is_a_refuge_when_demand_would_be_shed(self) -> None:
        book = serving(hold_down_ms=3_600_000)
        book.believe(A, DOWN)
        book.run(60_000)
        book.believe(A, UP)
        book.run(60_000)
        assert book.shares()[A] == 0
        book.standby_works = False
        book.believe(P, DOWN)
        book.run(30_000)
        assert book.shares()[A] >= 3_600
        assert book.violations == []

    def test_a_suspect_site_warms_the_standby_and_shortens_the_ttl(self, book: Playbook) -> None:
        book.believe(P, SUSPECT)
        book.run(2_000)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        assert entry.ttl_s == 5
        assert dict(entry.shares_bp) == NOMINAL
        assert any(isinstance(command, ActivateStandby) for command in book.commands)

    def test_a_short_suspicion_does_nothing(self, book: Playbook) -> None:
        generation = book.state.steering.generation
        book.believe(P, SUSPECT)
        book.report()
        book.run(200)
        book.believe(P, UP)
        book.report()
        book.run(10_000)
        assert book.state.steering.generation == generation


class TestSickSite:
    def test_it_is_left_in_steps_no_survivor_feels(self, book: Playbook) -> None:
        book.history.clear()
        book.believe(P, SICK)
        book.run(40_000)
        pangyo = [shares[P] for _, shares, _ in book.history]
        assert len(set(pangyo)) >= 3
        assert book.shares()[P] == 0

    def test_a_step_that_makes_a_survivor_worse_is_undone(self, book: Playbook) -> None:
        book.believe(P, SICK)
        book.report()
        book.run(1_000)
        assert book.shares()[G] > 3000
        book.believe(G, SICK)
        book.report()
        assert book.shares()[G] == 3000
        assert "TARGET_UNHEALTHY" in codes(book)

    def test_two_sick_sites_and_no_room_keep_serving(self, book: Playbook) -> None:
        book.believe(P, SICK)
        book.believe(G, SICK)
        book.run(60_000)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        assert sum(entry.shares_bp.values()) == 10_000


class TestDoubt:
    def test_everything_down_drains_nothing(self, book: Playbook) -> None:
        for site in (P, G, A):
            book.believe(site, DOWN)
        book.run(60_000)
        assert book.shares() == NOMINAL

    def test_the_tail_of_a_global_fault_drains_nothing(self, book: Playbook) -> None:
        """Sites recover one after the other: the last one is not sick alone."""
        for site in (P, G, A):
            book.believe(site, SICK)
        book.run(20_000)
        for site in (G, A, P):
            book.believe(site, UP)
            book.run(2_000)
        book.run(20_000)
        assert book.shares() == NOMINAL

    def test_blind_changes_nothing(self, book: Playbook) -> None:
        book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
        book.believe(P, DOWN)
        book.run(60_000)
        assert book.shares() == NOMINAL
        assert "BLIND" in book.told()

    def test_no_evidence_of_a_site_changes_nothing_there(self, book: Playbook) -> None:
        book.believe(P, UNKNOWN)
        book.run(60_000)
        assert book.shares() == NOMINAL

    def test_reports_that_stop_make_it_blind(self, book: Playbook) -> None:
        last = book.state.reports
        book.now_ms += 60_000
        book.feed(TermChanged(at_ms=book.now_ms, term=2))
        assert book.state.reports == last
        assert book.state.picture.blind


class TestPeople:
    def test_a_drain_moves_everything_and_undrain_brings_it_back(self, book: Playbook) -> None:
        answer = book.ask(DrainRequest(site=P))
        assert answer.severity is Severity.ALLOWED
        assert answer.plans[0].after[WEB][P] == 0
        book.run(60_000)
        assert book.life(P) is SiteLife.DRAINED
        assert book.ask(UndrainRequest(site=P)).severity is Severity.ALLOWED
        book.run(60_000)
        assert book.shares() == NOMINAL

    def test_the_last_site_is_refused_whoever_asks(self, book: Playbook) -> None:
        book.ask(DrainRequest(site=P))
        book.run(60_000)
        partial = book.ask(DrainRequest(site=G))
        book.ask(DrainRequest(site=G), digest=digest_of(partial))
        answer = book.ask(DrainRequest(site=A))
        assert answer.severity is Severity.REFUSED
        assert "LAST_SERVING_SITE" in {entry.code.value for entry in answer.findings}

    def test_a_drain_the_survivors_cannot_carry_needs_approval_of_its_plan(self, book: Playbook) -> None:
        book.ask(DrainRequest(site=P))
        book.run(60_000)
        answer = book.ask(DrainRequest(site=G))
        assert answer.severity is Severity.NEEDS_APPROVAL
        assert "CAPACITY_SHORT" in {entry.code.value for entry in answer.findings}
        stale = book.ask(DrainRequest(site=G), digest="0123456789abcdef")
        assert stale.severity is Severity.REFUSED
        assert "STALE_DIGEST" in {entry.code.value for entry in stale.findings}
        granted = book.ask(DrainRequest(site=G), digest=digest_of(answer))
        assert granted.severity is Severity.ALLOWED
        book.run(30_000)
        assert 0 < book.shares()[G] <= 4_900

    def test_an_expired_override_is_refused_and_a_living_one_ends(self, book: Playbook) -> None:
        answer = book.ask(DrainRequest(site=P), expires_ms=book.now_ms - 1)
        assert {entry.code.value for entry in answer.findings} == {"OVERRIDE_EXPIRED"}
        book.ask(DrainRequest(site=P), expires_ms=book.now_ms + 30_000)
        book.run(90_000)
        assert book.state.overrides == ()
        assert book.shares() == NOMINAL

    def test_lifting_an_override_reveals_the_real_state(self, book: Playbook) -> None:
        made = book.ask(DrainRequest(site=P)).override
        assert made is not None
        book.run(60_000)
        book.believe(P, DOWN)
        book.run(5_000)
        asked = book.ask(LiftRequest(override=made.id))
        book.ask(LiftRequest(override=made.id), digest=digest_of(asked))
        assert book.state.overrides == ()
        book.run(30_000)
        assert book.shares()[P] == 0
        assert book.life(P) is SiteLife.DRAINED

    def test_forced_shares_pass_the_capacity_guard(self, book: Playbook) -> None:
        """Outage `sink-site`: an operator sends everything to one site; forcing it takes two persons."""
        answer = book.ask(SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000}))
        assert answer.severity is not Severity.ALLOWED
        alone = book.ask(SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000}), digest=digest_of(answer))
        assert alone.severity is Severity.NEEDS_APPROVAL

    def test_a_depooled_member_gets_nothing_until_pooled(self, book: Playbook) -> None:
        member = MemberId("web/pangyo/m1")
        assert book.ask(DepoolRequest(member=member)).severity is Severity.ALLOWED
        book.run(1_000)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        assert member not in entry.members_pm

    def test_an_unknown_name_says_what_is_known(self, book: Playbook) -> None:
        answer = book.ask(DrainRequest(site="pankyo"))  # type: ignore[arg-type]
        assert answer.severity is Severity.REFUSED
        assert "pangyo" in answer.findings[0].text

    def test_a_freeze_stops_changes_but_not_protection(self, book: Playbook) -> None:
        book.ask(FreezeRequest())
        assert book.ask(DrainRequest(site=A)).severity is not Severity.ALLOWED
        book.believe(P, DOWN)
        book.run(1_000)
        assert book.shares()[P] == 0

    def test_the_off_switch_stops_automatic_action_and_on_resumes_it(self, book: Playbook) -> None:
        book.ask(SwitchOffRequest())
        book.believe(P, DOWN)
        book.run(20_000)
        assert book.shares() == NOMINAL
        assert "SWITCHED_OFF" in codes(book)
        book.ask(SwitchOnRequest())
        book.run(1_000)
        assert book.shares()[P] == 0

    def test_recommend_waits_for_the_digest(self) -> None:
        book = serving(mode=Mode.RECOMMEND)
        book.believe(P, SICK)
        book.run(10_000)
        assert book.shares() == NOMINAL
        assert "MODE_RECOMMEND" in codes(book)
        waiting = book.ask(ApproveRequest(digest="0" * 16))
        assert {entry.code.value for entry in waiting.findings} == {"STALE_DIGEST"}
        answer = book.ask(ApproveRequest(digest=digest_of(waiting)))
        assert answer.severity is Severity.ALLOWED
        book.run(40_000)
        assert book.shares()[P] < 5000
        assert book.violations == []

    def test_observe_moves_nothing(self) -> None:
        book = serving(mode=Mode.OBSERVE)
        book.believe(P, DOWN)
        book.run(30_000)
        assert book.shares() == NOMINAL
        assert "MODE_OBSERVE" in codes(book)
        assert book.violations == []


class TestDataPlanes:
    def test_an_ambiguous_write_is_read_before_it_is_repeated(self, book: Playbook) -> None:
        book.plane_outcome = EnactOutcome.AMBIGUOUS
        book.believe(P, DOWN)
        book.commands.clear()
        book.run(3_000)
        kinds = [type(c) for c in book.commands if isinstance(c, Enact | ReadPlane)]
        for first, second in pairwise(kinds):
            assert not (first is Enact and second is Enact)
        book.plane_outcome = EnactOutcome.APPLIED
        book.run(15_000)
        assert book.state.plane(PLANE).confirmed_generation == book.state.steering.generation

    def test_a_failing_plane_is_retried_ever_less_often(self, book: Playbook) -> None:
        book.plane_outcome = EnactOutcome.FAILED
        book.believe(P, DOWN)
        book.commands.clear()
        book.run(60_000)
        writes = sum(isinstance(command, Enact) for command in book.commands)
        assert 5 < writes < 30

    def test_a_plane_that_forgot_is_written_again(self, book: Playbook) -> None:
        """HAProxy loses its run-time state at a reload."""
        book.commands.clear()
        forgot = replace(book.reading(PLANE), generation=None)
        book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=forgot))
        assert any(isinstance(command, Enact) for command in book.commands)

    def test_a_change_made_by_hand_is_told_and_left(self, book: Playbook) -> None:
        drift = Drift(enactor=PLANE, what="web", wanted="50 %", found="10 %", ours=True)
        book.commands.clear()
        reading = replace(book.reading(PLANE), drifts=(drift,), shares_bp={WEB: {P: 1000, G: 5000, A: 4000}})
        book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
        assert "DRIFT" in book.told()
        assert not any(isinstance(command, Enact) for command in book.commands)

    def test_a_plan_names_what_was_changed_by_hand_and_would_be_put_back(self, book: Playbook) -> None:
        """A server in maintenance by hand was back in service after the next drain, and nothing had said so."""
        drift = Drift(enactor=PLANE, what="be_web/gasan-m3", wanted="ready weight 50", found="maint", ours=True)
        reading = replace(book.reading(PLANE), drifts=(drift,))
        book.feed(ReadBackArrived(at_ms=book.now_ms, read_back=reading))
        answer = book.look(DrainRequest(site=P))
        (said,) = (entry for entry in answer.findings if entry.code.value == "CHANGED_BY_HAND")
        assert said.text == "dns: be_web/gasan-m3 is maint by another hand; the first write makes it ready weight 50 again"
        assert answer.severity is Severity.ALLOWED
        assert "depool" in said.remedy

    def test_a_plane_that_cannot_be_read_is_unknown_and_stops_gentle_moves(self, book: Playbook) -> None:
        book.feed(ReadBackFailed(at_ms=book.now_ms, enactor=PLANE, detail="socket gone"))
        book.believe(A, SICK)
        book.report()
        assert book.shares() == NOMINAL

    def test_why_a_plane_could_not_be_read_is_not_said_of_one_that_can(self, book: Playbook) -> None:
        """It stood in the status for ever: in step, and "the answer is longer than 262144 bytes"."""
        book.feed(ReadBackFailed(at_ms=book.now_ms, enactor=PLANE, detail="socket gone"))
        assert book.state.plane(PLANE).detail == "socket gone"
        book.run(10_000)
        assert (book.state.plane(PLANE).unread_since_ms, book.state.plane(PLANE).detail) == (None, "")

    def test_a_lost_write_counts_as_ambiguous(self, book: Playbook) -> None:
        book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
        stale = EnactResult(enactor=PLANE, generation=1, outcome=EnactOutcome.STALE, at_ms=book.now_ms)
        book.commands.clear()
        book.feed(EnactFinished(at_ms=book.now_ms, result=stale))
        assert any(isinstance(command, ReadPlane) for command in book.commands)
        assert not any(isinstance(command, Enact) for command in book.commands)


class TestHoldingStill:
    def test_without_the_store_nothing_moves_and_it_resumes(self, book: Playbook) -> None:
        book.feed(StoreChanged(at_ms=book.now_ms, is_usable=False))
        book.believe(P, DOWN)
        book.run(30_000)
        assert book.shares() == NOMINAL
        assert "STORE_LOST" in codes(book)
        book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
        book.run(1_000)
        assert book.shares()[P] == 0

    def test_without_the_term_nothing_is_written(self, book: Playbook) -> None:
        book.feed(TermChanged(at_ms=book.now_ms, term=None))
        book.commands.clear()
        book.believe(P, DOWN)
        book.run(30_000)
        assert not any(isinstance(command, Enact) for command in book.commands)
        assert book.shares() == NOMINAL


class TestOverload:
    def test_a_survivor_that_drowns_in_the_dead_sites_traffic_is_kept(self, book: Playbook) -> None:
        """A load balancer sends a dead site's requests on before anybody decides: no site after the other."""
        book.setup = replace(book.setup, metered=frozenset())
        book.believe(P, DOWN)
        book.run(1_000)
        book.believe(G, replace(SICK, hardness=Hardness.GREY))
        book.run(10_000)
        assert book.shares()[G] >= 3000
        assert "OVERLOAD" in book.told()

    def test_a_survivor_that_refuses_connections_is_left_all_the_same(self, book: Playbook) -> None:
        book.is_metered = False  # nobody sees it answer any request
        book.believe(P, DOWN)
        book.run(5_000)
        book.believe(G, DOWN)
        book.run(8_000)
        assert book.shares()[G] == 0

    def test_trouble_that_outlasts_the_presumption_is_the_sites_own(self, book: Playbook) -> None:
        book.setup = replace(book.setup, metered=frozenset())
        book.believe(P, DOWN)
        book.run(1_000)
        book.believe(G, SICK)
        book.run(10_000)
        assert book.life(G) is SiteLife.SUSPECT
        book.run(50_000)
        assert book.life(G) is SiteLife.DRAINING
