"""Links: one model of loss for whoever asks over one. A lost packet is sent again; its answer is late, and at last none."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import pytest

from sim.test_peers import fault, scenario
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.policy import Policy
from siteshift.core.model.units import EnactorId, VantageId
from siteshift.sim.faults.acts import Ask, Fault, TimedEvent
from siteshift.sim.faults.world import Crash, Loss, Partition, Way
from siteshift.sim.nodes.node import Node
from siteshift.sim.peers.nothing import nothing_done
from siteshift.sim.results.record import LostTo, Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.score.informed import run_informed
from siteshift.sim.score.relaxation import is_beaten, least_loss
from siteshift.sim.world.link import AT_ONCE, answers, one_exchange, one_visit, part_in_time, resends_ms, then
from siteshift.sim.world.spec import OUTSIDE, USERS, ClientSpec, Entry, WorldSpec
from siteshift.sim.world.world import World
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world

UNSTEERED = replace(standard_world(nodes=1), nodes=())
PATIENT = ClientSpec(deadline_ms=5_000, try_ms=5_000)
HIDDEN = ClientSpec(reuse_pm=1_000, stretch_pm=0)
"""Users who open no connection: what is lost is data alone."""


def play(spec: WorldSpec, *faults: Fault, seconds: int = 60, until_s: int | None = None, seed: int = 1) -> Record:
    until_ms = None if until_s is None else until_s * 1_000
    events = [TimedEvent(at_ms=0, act=fault, until_ms=until_ms) for fault in faults]
    return simulate(spec, Policy(), events, seed=seed, duration_ms=seconds * 1_000, warm_up_ms=10_000)


# -- the rule ---------------------------------------------------------------------------------------------------------


def test_a_lost_packet_is_sent_again_after_a_timeout_that_doubles() -> None:
    assert list(islice(resends_ms(200, 60_000), 5)) == [0, 200, 600, 1_400, 3_000]
    assert list(resends_ms(1_000, 1_000)) == [0]


def test_what_is_not_lost_is_at_once_and_a_cut_answers_nothing() -> None:
    assert answers(0, 1_000) == AT_ONCE
    assert answers(1_000, 1_000) == ()


def test_each_loss_makes_a_part_of_the_answers_later_and_the_last_none() -> None:
    assert dict(answers(500, 1_000)) == pytest.approx({0: 0.5, 200: 0.25, 600: 0.125})
    assert part_in_time(answers(500, 1_000)) == pytest.approx(0.875)


def test_who_opens_a_connection_waits_a_second_for_a_lost_syn() -> None:
    opened = dict(answers(500, 2_000, opening=1.0))
    assert opened[0] == pytest.approx(0.25)
    assert opened[1_000] == pytest.approx(0.25 * 0.5)
    assert part_in_time(answers(500, 1_000, opening=1.0)) == pytest.approx(0.5 * 0.875)


def test_delays_of_one_way_after_another_add_up() -> None:
    both = dict(then(((0, 0.5), (200, 0.5)), ((0, 0.5), (200, 0.5)), 1_000))
    assert both == pytest.approx({0: 0.25, 200: 0.5, 400: 0.25})


@pytest.mark.parametrize("loss_pm", [50, 300, 800])
def test_single_exchanges_fare_as_many_do(loss_pm: int) -> None:
    lots, count = random.Random(1), 20_000
    drawn = [one_visit(lots, loss_pm, 2_000) for _ in range(count)]
    for late_ms, part in answers(loss_pm, 2_000, opening=1.0):
        assert drawn.count(late_ms) / count == pytest.approx(part, abs=0.01)


def test_no_lot_is_drawn_for_a_link_that_loses_nothing_or_everything() -> None:
    lots = random.Random(1)
    before = lots.getstate()
    assert one_exchange(lots, 0, 1_000) == 0
    assert one_visit(lots, 1_000, 1_000) is None
    assert lots.getstate() == before


# -- users ------------------------------------------------------------------------------------------------------------


def test_loss_between_users_and_a_site_makes_answers_late_and_the_rest_fails() -> None:
    record = play(UNSTEERED, Loss(one=USERS, other="pangyo", loss_pm=300))
    loss_pm = 1_000 - 700 * 700 // 1_000
    ways = answers(loss_pm, 1_000, opening=0.5)
    asked = 150 * 60
    assert record.loss.failed == pytest.approx(asked * (1 - part_in_time(ways)), rel=0.1)
    assert record.loss.late == pytest.approx(asked * (part_in_time(ways) - part_in_time(ways, 500)), rel=0.1)
    assert {cause for cause, amount in record.lost.items() if amount} == {LostTo.SILENT}


def test_users_who_wait_longer_lose_less_and_get_more_of_it_late() -> None:
    fault = Loss(one=USERS, other="pangyo", loss_pm=300)
    brief, patient = play(UNSTEERED, fault), play(replace(UNSTEERED, clients={WEB: PATIENT}), fault)
    assert patient.loss.failed < brief.loss.failed / 2
    assert patient.loss.late > brief.loss.late


def test_a_few_packets_lost_cost_a_few_answers_a_fifth_of_a_second_and_nothing_else() -> None:
    record = play(replace(UNSTEERED, clients={WEB: HIDDEN}), Loss(one=USERS, other="pangyo", loss_pm=10))
    assert record.loss.failed < 1
    assert 0 < record.loss.late < 0.001 * record.offered


def test_loss_of_one_direction_harms_as_well() -> None:
    for one, other in ((USERS, "pangyo"), ("pangyo", USERS)):
        record = play(UNSTEERED, Loss(one=one, other=other, loss_pm=300, way=Way.ONE))
        assert record.loss.failed > 100


@pytest.mark.parametrize("entry", list(Entry))
def test_with_loss_every_request_is_served_lost_or_still_under_way(entry: Entry) -> None:
    retrying = ClientSpec(retries=3, retry_after_ms=200, try_ms=700, deadline_ms=3_000)
    spec = replace(standard_world(nodes=1, entry=entry), nodes=(), clients={WEB: retrying})
    record = play(spec, Loss(one=USERS, other="pangyo", loss_pm=400), Crash(site=GASAN, fraction=0.5), until_s=20)
    assert record.served + record.loss.unanswered + record.pending == pytest.approx(record.offered, abs=1e-5)
    assert record.loss.late > 0


def test_a_whole_loss_is_a_cut() -> None:
    lost = play(UNSTEERED, Loss(one=USERS, other="pangyo", loss_pm=1_000))
    cut = play(UNSTEERED, Partition(sides=((USERS,), ("pangyo",))))
    assert lost.loss == cut.loss


def test_a_cut_of_a_service_s_part_of_a_site_harms_that_service_alone() -> None:
    two = replace(standard_world(nodes=1, services=("web", "chat")), nodes=())
    record = play(two, Partition(sides=((USERS,), ("chat@pangyo",))))
    lost = {row.service: sum(one.lost for one in record.seconds if one.service == row.service) for row in record.seconds[-6:]}
    assert lost["web"] == 0
    assert lost["chat"] == pytest.approx(150 * 60, rel=0.1)


def test_what_a_balancer_sends_on_goes_over_the_link_between_the_sites() -> None:
    """Pangyo is drained: its balancer sends on to Gasan and Anyang what old caches still lead to it."""
    spec = standard_world(nodes=1, entry=Entry.DNS_AND_BALANCER, capacity_pct=200)
    drain = TimedEvent(at_ms=0, act=Ask(request=DrainRequest(site=PANGYO)))
    losses = [TimedEvent(at_ms=0, act=Loss(one="pangyo", other=site, loss_pm=600)) for site in ("gasan", "anyang")]

    def lost(*events: TimedEvent) -> float:
        return simulate(spec, Policy(), events, duration_ms=60_000, warm_up_ms=20_000).loss.unanswered

    assert lost(drain) < 1
    assert lost(drain, *losses) > 50


def test_who_enters_at_a_site_that_users_do_not_reach_is_not_sent_on_by_it() -> None:
    """Its balancer would send on what comes, and nothing does."""
    spec = standard_world(nodes=1, entry=Entry.DNS_AND_BALANCER, capacity_pct=200)
    drain = TimedEvent(at_ms=0, act=Ask(request=DrainRequest(site=PANGYO)))
    cut = TimedEvent(at_ms=0, act=Partition(sides=((USERS,), ("pangyo",))))
    record = simulate(spec, Policy(), [drain, cut], duration_ms=20_000, warm_up_ms=20_000)
    assert record.loss.failed > 500


def test_a_dependency_over_a_lossy_link_makes_whoever_needs_it_late() -> None:
    two = standard_world(nodes=1, services=("login", "web"))
    login, web = two.topology.services
    topology = replace(two.topology, services=(login, replace(web, depends_on=(login.id,))))
    spec = replace(two, topology=topology, nodes=())
    record = play(spec, Loss(one="web@pangyo", other="login@pangyo", loss_pm=500))
    late = {name: sum(row.late for row in record.seconds if row.service == name) for name in (login.id, web.id)}
    assert late[login.id] == 0 < late[web.id]


def test_a_site_whose_users_lose_packets_is_no_healthy_one_to_keep() -> None:
    world = World(standard_world(), seed=1, start_ms=0)
    for loss_pm, healthy, sick in ((1, True, False), (200, False, False), (800, False, True)):
        world.net.lose("test", USERS, "pangyo", loss_pm)
        true = world.truth(WEB, PANGYO)
        assert (true.good_pm, true.is_healthy, true.is_sick) == (1_000, healthy, sick), loss_pm


# -- checks, nodes, planes, the store -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("nodes", "loss_pm"), [(1, 2), (3, 10)])
def test_a_few_packets_lost_between_a_node_and_a_site_move_nothing(nodes: int, loss_pm: int) -> None:
    record = play(standard_world(nodes=nodes), Loss(one="pangyo", other="anyang", loss_pm=loss_pm), seconds=120)
    assert not [move for move in record.moves if move.before_bp]
    assert record.loss.weighed() == 0


def arrivals(spec: WorldSpec, *faults: Fault) -> dict[tuple[VantageId, VantageId], list[int]]:
    """When each node's reports came to each other one."""
    found: dict[tuple[VantageId, VantageId], list[int]] = {}
    offer = Node.offer

    def note(node: Node, event: object, *more: object) -> None:
        report = getattr(event, "report", None)
        if report is not None and node._world.clock.now_ms >= 0:
            found.setdefault((report.vantage, node.id), []).append(node._world.clock.now_ms - report.at_ms + node._offset_ms)
        offer(node, event, *more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Node, "offer", note)
        play(spec, *faults, seconds=60)
    return found


def test_reports_between_nodes_come_later_over_a_lossy_link_and_in_their_order() -> None:
    both = arrivals(standard_world(), Loss(one="pangyo", other="gasan", loss_pm=300))
    late = both[VantageId("c1"), VantageId("c2")]
    assert max(both[VantageId("c1"), VantageId("c3")]) < 10
    assert max(late) >= 200
    assert len(late) > 30


def test_a_node_whose_link_to_every_store_member_loses_most_packets_leads_no_more() -> None:
    losses = [Loss(one="pangyo", other=site, loss_pm=900) for site in ("gasan", "anyang")]
    record = play(standard_world(), *losses, seconds=60)
    terms = [(line.node, line.text) for line in record.transcript if line.kind == "term" and line.at_ms >= 0]
    assert any(node == "c1" and "no more" in text for node, text in terms)
    assert any(node in ("c2", "c3") and "leads with" in text for node, text in terms)
    assert record.violations == ()


def test_a_few_packets_lost_on_the_way_to_the_store_cost_no_leader_its_lead() -> None:
    record = play(standard_world(), *[Loss(one="pangyo", other=site, loss_pm=20) for site in ("gasan", "anyang")], seconds=120)
    assert not [line for line in record.transcript if line.kind == "term" and line.at_ms >= 0]


def test_a_write_over_a_lossy_link_takes_longer_and_is_made_all_the_same() -> None:
    spec = standard_world(nodes=1)
    events = [
        TimedEvent(at_ms=0, act=Loss(one="anyang", other=OUTSIDE, loss_pm=400)),
        TimedEvent(at_ms=1_000, act=Crash(site=PANGYO)),
    ]
    written: list[int] = []
    for seed in range(1, 6):
        record = simulate(spec, Policy(), events, seed=seed, duration_ms=90_000, warm_up_ms=20_000)
        lines = [one for one in record.transcript if one.node == EnactorId("dns") and one.kind == "plane" and one.at_ms > 0]
        written.append(next(one.at_ms for one in lines if one.text.endswith("applied")))
        assert record.violations == ()
        assert record.seconds[-3].actual_bp == 0
    quick = simulate(spec, Policy(), events[1:], seed=1, duration_ms=20_000, warm_up_ms=20_000)
    first = next(one.at_ms for one in quick.transcript if one.kind == "plane" and one.at_ms > 0)
    assert max(written) >= first + 200


def test_a_seed_gives_the_same_run_over_lossy_links() -> None:
    faults = [Loss(one="pangyo", other=other, loss_pm=200) for other in ("gasan", "anyang", USERS)]
    one, other = (play(standard_world(), *faults, seconds=30).digest() for _ in range(2))
    assert one == other
    assert one != play(standard_world(), *faults, seconds=30, seed=2).digest()


def test_who_is_told_of_everything_leaves_a_site_whose_users_lose_most_packets() -> None:
    told = scenario(fault(Loss(one=USERS, other="pangyo", loss_pm=500)), world=standard_world(entry=Entry.DNS, cold_start_ms=0))
    record = run_informed(told, seed=1)
    assert record.seconds[-3].site == PANGYO
    assert record.seconds[-3].actual_bp == 0
    assert record.seconds[-1].site == ANYANG


@pytest.mark.parametrize("entry", list(Entry))
@pytest.mark.parametrize("one", [Loss(one=USERS, other="pangyo", loss_pm=400), Partition(sides=((USERS,), ("pangyo",)))], ids=str)
def test_nobody_loses_less_than_the_bound_over_lossy_links(one: Fault, entry: Entry) -> None:
    told = scenario(fault(one, until_ms=60_000), world=standard_world(entry=entry), minutes=2)
    least = least_loss(told, seed=1)
    for lost in (run_informed(told, seed=1).loss, nothing_done(told, seed=1)):
        assert not is_beaten(least, lost)
        assert lost.weighed() > 0


def test_what_is_lost_over_links_hangs_on_the_seed_and_not_on_how_python_hashes() -> None:
    told = (
        "from siteshift.core.model.policy import Policy; from siteshift.sim.faults.acts import TimedEvent;"
        "from siteshift.sim.faults.world import Loss; from siteshift.sim.run.simulation import simulate;"
        "from siteshift.sim.world.worlds import standard_world;"
        "events = [TimedEvent(at_ms=0, act=Loss(one='pangyo', other=o, loss_pm=200)) for o in ('gasan', 'anyang', 'users')];"
        "print(simulate(standard_world(), Policy(), events, duration_ms=15_000, warm_up_ms=10_000).digest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", told],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    }
    assert len(runs) == 1
