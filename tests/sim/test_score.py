"""The score: nobody loses less than the informed controller, the bound is Lorden's, ratios are means of logarithms."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest

from sim.test_peers import fault, scenario
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import Hardness
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import EnactorId
from siteshift.sim.faults.acts import Ask, Fault, TimedEvent
from siteshift.sim.faults.control import PlaneTrouble
from siteshift.sim.faults.world import CapCut, Crash, Errors, Hang, Latency, ProbeLie, Surge
from siteshift.sim.peers.peers import NOTHING, PEERS
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import LostTo
from siteshift.sim.run.replay import Figures
from siteshift.sim.score.bound import BASE_RATE, bound_for, bound_ms, failing_rate
from siteshift.sim.score.informed import run_informed
from siteshift.sim.score.score import INFORMED, OURS, LibraryScore, Score, as_document, merged, score
from siteshift.sim.world.planes import Trouble
from siteshift.sim.world.servers import Down
from siteshift.sim.world.spec import Entry
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, standard_world

WARM = standard_world(entry=Entry.DNS_AND_BALANCER, cold_start_ms=1_000)


@pytest.mark.parametrize(
    ("kind", "most_s"),
    [
        (Crash(site=PANGYO), 3.0),
        (Crash(site=PANGYO, how=Down.SILENT), 3.0),
        (Errors(site=PANGYO, rate_pm=300), 1.0),
        (ProbeLie(site=PANGYO), 3.0),
        (CapCut(site=GASAN, factor_pm=300), 12.0),
    ],
    ids=lambda value: value.kind if not isinstance(value, float) else "",
)
def test_who_knows_at_once_loses_little(kind: Fault, most_s: float) -> None:
    record = run_informed(scenario(fault(kind), world=WARM), seed=1)
    assert record.loss.unanswered <= most_s * 150
    assert not any(move.wrong for move in record.moves)


@pytest.mark.parametrize("entry", list(Entry))
@pytest.mark.parametrize(
    "kind", [Crash(site=PANGYO), Hang(site=GASAN), Errors(site=PANGYO, rate_pm=300)], ids=lambda kind: kind.kind
)
def test_nobody_loses_less_than_the_informed(kind: Fault, entry: Entry) -> None:
    world = standard_world(entry=entry)
    told = scenario(fault(kind, until_ms=120_000), world=world, minutes=4)
    found = score(told)
    # A run of ours may be luckier by the dust of rounding shares; never by more than a tenth of a second of the site.
    assert found.lost_s(INFORMED) <= found.lost_s(OURS) + 0.1
    if entry is Entry.DNS_AND_BALANCER:
        assert found.lost_s(INFORMED) <= min(found.lost_s(peer.name) for peer in PEERS)


def test_the_informed_waits_for_its_standbys_like_anybody() -> None:
    lost = [
        run_informed(
            scenario(fault(Crash(site=PANGYO)), world=replace(WARM, standby=replace(WARM.standby, cold_start_ms=ms))), seed=1
        )
        for ms in (0, 30_000)
    ]
    assert lost[0].loss.unanswered < lost[1].loss.unanswered
    opened = [line.at_ms for line in lost[1].transcript if line.kind == "standby" and line.text.endswith("ready")]
    assert min(opened) >= 30_000


def test_the_informed_writes_no_plane_that_cannot_be_written() -> None:
    world = standard_world(entry=Entry.DNS)
    dead = TimedEvent(at_ms=0, act=PlaneTrouble(plane=EnactorId("dns"), how=Trouble.DOWN), until_ms=60_000)
    blocked = run_informed(scenario(dead, fault(Crash(site=PANGYO)), world=world), seed=1)
    free = run_informed(scenario(fault(Crash(site=PANGYO)), world=world), seed=1)
    assert blocked.loss.unanswered > free.loss.unanswered + 30 * 150


def test_the_informed_never_fills_a_site_to_the_brim() -> None:
    record = run_informed(scenario(fault(Surge(factor_pm=1_300, ramp_ms=30_000)), world=WARM), seed=1)
    assert record.loss.unanswered < 300
    assert not record.lost[LostTo.ERROR]


def test_the_informed_does_what_people_ask() -> None:
    drain = TimedEvent(at_ms=10_000, act=Ask(request=DrainRequest(site=ANYANG)))
    record = run_informed(scenario(drain, world=WARM), seed=1)
    last = {row.site: row.actual_bp for row in record.seconds[-3:]}
    assert last[ANYANG] == 0
    assert record.loss.unanswered < 1


def test_the_bound_shrinks_with_the_fault_the_pool_and_the_budget() -> None:
    judge = JudgePolicy()
    by_rate = [bound_ms(rate, 4, judge) for rate in (0.05, 0.1, 0.3, 0.999)]
    assert by_rate == sorted(by_rate, reverse=True)
    by_size = [bound_ms(0.05, members, judge) for members in (2, 4, 12)]
    assert by_size == sorted(by_size, reverse=True)
    assert bound_ms(0.05, 4, replace(judge, false_alarms_per_year=100.0)) < bound_ms(0.05, 4, judge)


def test_the_bound_is_lordens() -> None:
    rate, members = 0.3, 4
    information = rate * log(rate / BASE_RATE) + (1 - rate) * log((1 - rate) / (1 - BASE_RATE))
    samples = log(20 * 31_557_600) / information
    assert bound_ms(rate, members, JudgePolicy()) == pytest.approx(1_000 * (samples / 20 + 1 / (4 * rate)), abs=1)


def test_nothing_is_known_before_a_blip_would_be_over() -> None:
    """However many checks see it: a paused process and a lost packet look the same to all of them."""
    judge, first_ms = JudgePolicy(), 1_000 / 4 / 0.999
    least = {how: bound_ms(0.999, 4, judge, how) for how in (Hardness.HARD, Hardness.SILENT, Hardness.GREY)}
    assert least[Hardness.HARD] == pytest.approx(first_ms + judge.confirm_hard_ms, abs=1)
    assert least[Hardness.SILENT] == least[Hardness.GREY] == pytest.approx(first_ms + judge.confirm_silent_ms, abs=1)
    assert bound_ms(0.05, 4, judge, Hardness.GREY) == bound_ms(0.05, 4, judge)
    topology = WARM.topology
    assert bound_for(fault(Crash(site=PANGYO)), topology, judge) == least[Hardness.HARD]
    assert bound_for(fault(Crash(site=PANGYO, how=Down.SILENT)), topology, judge) == least[Hardness.SILENT]


def test_what_no_check_can_see_has_no_bound() -> None:
    lie = fault(ProbeLie(site=PANGYO))
    unseen = fault(Errors(site=PANGYO, rate_pm=300, probes_see_pm=0))
    quick = fault(Latency(site=PANGYO, add_ms=100))
    topology = WARM.topology
    assert [bound_for(event, topology, JudgePolicy()) for event in (lie, unseen, quick)] == [None, None, None]
    assert failing_rate(fault(Latency(site=PANGYO, add_ms=1_500, part_pm=100)), 500) == pytest.approx(0.1)


def made(name: str, ours: float, informed: float, best: float) -> Score:
    figures = Figures(
        fault="crash",
        detect_ms=600,
        decide_ms=600,
        t50_ms=700,
        t95_ms=900,
        moves=2,
        wrong_moves=0,
        lost_s=ours / 150,
        loss=Loss(failed=ours),
        offered_requests=1e6,
        peak_utilisation_pm=900,
        extra_probes_pm=10,
    )
    failed = {OURS: ours, INFORMED: informed, NOTHING.name: best * 4, **{peer.name: best * 2 for peer in PEERS}, "gdnsd": best}
    lost = {who: Loss(failed=amount) for who, amount in failed.items()}
    least = Loss(failed=informed / 2)
    return Score(id=name, title="", seeds=(1,), figures=figures, bound_ms=500, site_rps=150.0, lost=lost, least=least)


def test_regret_is_in_seconds_of_the_failed_sites_traffic() -> None:
    found = made("a", 450, 150, 1_000)
    assert found.regret_s == pytest.approx(2.0)
    assert found.detect_to_bound == pytest.approx(1.2)
    assert (found.best_peer(), found.to("gdnsd"), found.to(NOTHING.name)) == ("gdnsd", 0.45, 0.1125)


def test_the_library_is_a_geometric_mean_over_what_lost_anything() -> None:
    library = LibraryScore(scores=(made("a", 10, 0, 1_000), made("b", 1_000, 0, 1_000), made("c", 0, 0, 0)))
    assert library.to_best_peer() == pytest.approx(0.1)
    assert library.to(NOTHING.name) == pytest.approx(0.025)
    assert len(library.lossy()) == 2
    assert as_document(library)["scenarios"][0]["regret_s"] == pytest.approx(10 / 150)


def test_the_best_peer_is_the_best_at_the_weight_of_a_late_answer_that_is_asked_for() -> None:
    found = made("a", 100, 0, 1_000)
    found = replace(found, lost={**found.lost, "haproxy": Loss(failed=900, late=150), "k8gb": Loss(failed=950)})
    assert [found.best_peer(weight) for weight in (0.0, 0.5, 1.0)] == ["haproxy", "k8gb", "k8gb"]
    assert found.to(found.best_peer(0.0), 0.0) == pytest.approx(100 / 900)


def test_scenarios_worse_than_nothing_are_named_worst_first() -> None:
    scores = (made("a", 4_400, 0, 1_000), made("b", 10_000, 0, 1_000), made("c", 4_200, 0, 1_000))
    library = LibraryScore(scores=scores)
    assert [one.id for one in library.worse_than_nothing] == ["b", "a"]
    assert as_document(library)["worse_than_nothing"] == ["b", "a"]


def test_several_seeds_are_one_line_of_means_and_of_the_worst() -> None:
    slow = made("a", 300, 90, 1_000)
    slow = replace(slow, seeds=(2,), figures=replace(slow.figures, detect_ms=900, wrong_moves=1, t95_ms=None))
    found = merged([made("a", 100, 30, 1_000), slow])
    assert found.seeds == (1, 2)
    assert (found.lost[OURS].failed, found.least.failed) == (200, 30)
    assert (found.figures.detect_ms, found.figures.t95_ms, found.figures.wrong_moves) == (900, None, 1)


def test_nothing_lost_by_anybody_is_no_division_by_nothing() -> None:
    assert LibraryScore(scores=(made("c", 0, 0, 0),)).to_best_peer() == 1.0
