"""Standbys that disappoint: found out soon, left alone longer each time, and nobody else's fault."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from core.playbook import DOWN, SUSPECT, UNKNOWN, UP, WEB, A, G, P, Playbook, three_sites
from siteshift.core.enact.standby import GRACE_MS, LINGER_MS, MOST_RETRY_MS, WATCHED_MS
from siteshift.core.messages.commands import ActivateStandby, ReprobeStandby
from siteshift.core.messages.events import StandbyReported
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import EnactOutcome, MemberRole, SiteLife, StandbyPhase
from siteshift.core.model.units import MemberId, TargetId, member_target
from siteshift.core.state.plane_queries import in_step
from siteshift.core.state.tracks import StandbyTrack

CLOSED = replace(DOWN, since_ms=1)
"""As it was before anybody opened it."""


class BrokenStandbys(Playbook):
    """Their driver calls them ready; our checks of them fail all the time."""

    def run(self, for_ms: int, tick_ms: int = 100) -> None:
        for _ in range(for_ms // tick_ms):
            for member in self.setup.topology.members.values():
                if member.role is MemberRole.STANDBY:
                    self.beliefs[TargetId(member.target)] = CLOSED
            super().run(tick_ms, tick_ms)


def lost(book: Playbook, for_ms: int) -> Playbook:
    """Pangyo dies, and standbys are needed."""
    book.run(5_000)
    book.believe(P, DOWN)
    book.run(for_ms)
    return book


def test_one_that_fails_its_checks_is_given_up_after_a_short_grace() -> None:
    book = lost(BrokenStandbys(setup=three_sites()), 2_000 + GRACE_MS)
    failed = [name for name, track in book.state.standbys.items() if track.phase is StandbyPhase.FAILED]
    assert len(failed) == 4
    assert "STANDBY_FAILED" in " ".join(book.told())
    assert "MEMBER_DOWN" not in " ".join(book.told())
    assert not any(member in book.state.steering.services[0].members_pm for member in failed)
    assert book.violations == []


def test_one_that_fails_is_tried_again_less_and_less_often() -> None:
    book = lost(BrokenStandbys(setup=three_sites()), 3_000_000)
    tried: dict[MemberId, list[int]] = {}
    for entry in book.recorded("standby"):
        if entry.data["phase"] == "starting":
            tried.setdefault(MemberId(str(entry.data["member"])), []).append(int(str(entry.data["deadline_ms"])))
    for instants in tried.values():
        gaps = [after - before for before, after in pairwise(instants)]
        assert gaps == sorted(gaps)
        assert gaps[0] < 60_000
        assert gaps[-1] > MOST_RETRY_MS
    assert book.violations == []


def test_one_that_works_is_watched_closely_for_its_proof_only() -> None:
    book = lost(Playbook(setup=three_sites()), 5_000)
    watches = [command for command in book.commands if isinstance(command, ReprobeStandby)]
    started = [command for command in book.commands if isinstance(command, ActivateStandby)]
    assert {command.member for command in started} == {target_of(watch) for watch in watches}
    assert all(watch.until_ms <= book.now_ms + WATCHED_MS for watch in watches)
    assert book.shares()[G] + book.shares()[A] == 10_000


def target_of(watch: ReprobeStandby) -> MemberId:
    (target,) = watch.targets
    name = MemberId(target.removeprefix("member:"))
    assert member_target(name) == target
    return name


def proofs(book: Playbook) -> list[StandbyTrack]:
    return [track for track in book.state.standbys.values() if track.proof_since_ms]


def begun(book: Playbook) -> Playbook:
    """All four standbys have begun their proof."""
    lost(book, 0)
    while len(proofs(book)) < 4:
        book.run(100)
    return book


def test_what_else_is_written_meanwhile_does_not_delay_a_proof() -> None:
    book = begun(Playbook(setup=three_sites()))
    book.plane_outcome = EnactOutcome.FAILED
    generation = book.state.steering.generation
    first = book.setup.topology.pools[(WEB, G)].members[0]
    book.beliefs[first.target] = DOWN
    book.report()
    book.run(100)
    assert book.state.steering.generation > generation
    assert not in_step(book.state, book.setup.planes)
    book.run(book.setup.policy.default.proof_ms)
    assert {track.phase for track in book.state.standbys.values()} == {StandbyPhase.PROVEN}
    assert book.violations == []


def test_one_whose_probes_start_anew_keeps_its_part_of_the_traffic() -> None:
    book = begun(Playbook(setup=three_sites()))
    standbys = [m for m in book.setup.topology.members.values() if m.role is MemberRole.STANDBY]
    for member in standbys:
        book.beliefs[member.target] = UNKNOWN
    book.report()
    assert {m.id for m in standbys} <= book.state.steering.services[0].members_pm.keys()
    for member in standbys:
        book.beliefs[member.target] = UP
    book.run(5_000)
    assert {track.phase for track in book.state.standbys.values()} == {StandbyPhase.PROVEN}


def test_one_that_is_suspected_during_its_proof_begins_it_again() -> None:
    book = begun(Playbook(setup=three_sites()))
    standbys = [m for m in book.setup.topology.members.values() if m.role is MemberRole.STANDBY]
    for member in standbys:
        book.beliefs[member.target] = SUSPECT
    book.report()
    assert proofs(book) == []


def test_none_goes_home_while_nothing_may_change() -> None:
    book = lost(Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000)), 10_000)
    book.believe(P, UP)
    while not all(book.life(site) is SiteLife.SERVING for site in (P, G, A)):
        book.run(1_000)
    for site in (P, G, A):
        book.believe(site, SUSPECT)
        book.believe(site, DOWN)
    book.run(LINGER_MS + 5_000)
    assert WEB in book.state.picture.global_fault
    assert {track.phase for track in book.state.standbys.values()} == {StandbyPhase.PROVEN}
    for site in (P, G, A):
        book.believe(site, UP)
    book.run(2 * LINGER_MS)
    assert {track.phase for track in book.state.standbys.values()} == {StandbyPhase.COLD}
    assert book.violations == []


def test_a_node_that_saw_nothing_of_a_standby_s_deadline_does_not_call_it_failed() -> None:
    """Paused past the deadline, then without evidence of its site for a moment (found by the fuzz)."""
    book = Playbook(setup=three_sites(proof_ms=60_000))
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(5_000)
    tried = [name for name, track in book.state.standbys.items() if track.phase is StandbyPhase.READY]
    assert tried and all(name in book.state.steering.services[0].members_pm for name in tried)
    for site in (G, A):
        book.believe(site, UNKNOWN)
    book.now_ms += 300_000
    book.run(200)
    assert all(book.state.standby(name).phase is StandbyPhase.READY for name in tried)
    assert book.violations == []


def test_a_standby_whose_driver_reports_a_failure_is_taken_out_without_evidence_of_its_site() -> None:
    book = lost(Playbook(setup=three_sites()), 20_000)
    (name, *_) = [name for name, track in book.state.standbys.items() if track.phase is StandbyPhase.PROVEN]
    for site in (G, A):
        book.believe(site, UNKNOWN)
    book.run(2_000)
    book.feed(StandbyReported(at_ms=book.now_ms, member=name, phase=StandbyPhase.FAILED, detail="gone"))
    book.run(2_000)
    assert name not in book.state.steering.services[0].members_pm
    assert book.violations == []


@pytest.mark.parametrize(("proof_bp", "weight_pm"), [(100, 10), (200, 20), (1_000, 100), (1, 1)])
def test_the_first_traffic_of_a_standby_is_what_the_policy_says(proof_bp: int, weight_pm: int) -> None:
    book = Playbook(setup=three_sites(proof_bp=proof_bp))
    book.run(5_000)
    book.believe(P, DOWN)
    seen: set[int] = set()
    for _ in range(100):
        book.run(100)
        entry = book.state.steering.of(WEB)
        assert entry is not None
        seen |= {pm for member, pm in entry.members_pm.items() if "/s" in member}
    assert seen == {weight_pm, 1_000}
