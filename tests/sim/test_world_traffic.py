"""Traffic: nothing appears or vanishes, servers thrash past their knee, retries without a budget keep a pool down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.model.policy import Policy
from siteshift.core.model.units import EnactorId
from siteshift.sim.faults.acts import Fault, TimedEvent
from siteshift.sim.faults.world import CapCut, Crash, Errors, Flap, Hang, Latency, Partition, ResolverPin, Surge
from siteshift.sim.results.record import LostTo, Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.clients import Cache
from siteshift.sim.world.servers import Batch, Down, Effect, PoolFlow, Server, combined
from siteshift.sim.world.spec import ClientSpec, Entry, ServerSpec, WorldSpec
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, WEB, standard_world

UNSTEERED = replace(standard_world(nodes=1), nodes=())
RETRYING = ClientSpec(retries=3, retry_after_ms=200, try_ms=300, deadline_ms=3_000)


def play(spec: WorldSpec, *faults: Fault, until_ms: int = 20_000, duration_ms: int = 60_000) -> Record:
    events = [TimedEvent(at_ms=0, act=fault, until_ms=until_ms) for fault in faults]
    return simulate(spec, Policy(), events, duration_ms=duration_ms, warm_up_ms=10_000)


@pytest.mark.parametrize("entry", list(Entry))
@pytest.mark.parametrize(
    "fault",
    [
        Crash(site=PANGYO),
        Crash(site=PANGYO, how=Down.SILENT, fraction=0.5),
        Hang(site=GASAN),
        Latency(site=PANGYO, add_ms=1_500, part_pm=300),
        Errors(site=ANYANG, rate_pm=300, are_fast=False),
        Flap(site=PANGYO, down_ms=1_000, up_ms=2_000),
        CapCut(site=PANGYO, factor_pm=300),
        Partition(sides=(("users",), ("pangyo",))),
        ResolverPin(part_pm=87, hold_ms=15_000, connections_pm=50),
        Surge(factor_pm=4_000, ramp_ms=2_000),
    ],
    ids=lambda fault: fault.kind,
)
def test_every_request_is_served_lost_or_still_under_way(fault: Fault, entry: Entry) -> None:
    spec = replace(standard_world(nodes=1, entry=entry), nodes=(), clients={WEB: RETRYING})
    record = play(spec, fault)
    assert record.offered == pytest.approx(300 * 70) if not isinstance(fault, Surge) else record.offered > 300 * 70
    assert record.served + record.loss.unanswered + record.pending == pytest.approx(record.offered, abs=1e-5)
    assert all(amount >= 0 for amount in record.lost.values())


def test_health_loses_nothing_and_users_spread_as_told() -> None:
    record = play(UNSTEERED)
    assert record.loss.unanswered == 0
    last = {row.site: row.seen_bp for row in record.seconds[-3:]}
    assert last == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}


def test_a_surge_between_two_ticks_of_a_calm_world_counts_from_its_own_instant() -> None:
    """In calm a tick is a second long: what came in it before the surge is not part of it."""
    event = TimedEvent(at_ms=1_875, act=Surge(factor_pm=2_000), until_ms=5_250)
    record = simulate(UNSTEERED, Policy(), [event], duration_ms=8_000, warm_up_ms=10_000)
    asked = {at: sum(row.offered for row in record.seconds if row.at_ms == at) for at in (1_000, 2_000, 3_000, 6_000, 7_000)}
    assert asked == pytest.approx({1_000: 300, 2_000: 337.5, 3_000: 600, 6_000: 375, 7_000: 300})


def test_goodput_falls_past_the_knee() -> None:
    def served_per_second(factor_pm: int) -> float:
        record = play(UNSTEERED, Surge(factor_pm=factor_pm), until_ms=60_000)
        return sum(row.served for row in record.seconds if 40_000 < row.at_ms <= 50_000) / 10

    full, double, triple = served_per_second(1_200), served_per_second(2_400), served_per_second(3_600)
    assert full > double > triple > 0


def test_retries_without_a_budget_keep_a_pool_down_after_the_trigger_is_gone() -> None:
    """Metastable: the load that overloaded it is gone, the retries for what came too late are not."""
    server = ServerSpec(queue_ms=2_000, thrash_pm=500)
    greedy = replace(
        UNSTEERED, server=server, clients={WEB: ClientSpec(retries=8, retry_after_ms=100, try_ms=250, deadline_ms=10_000)}
    )
    modest = replace(greedy, clients={WEB: replace(greedy.clients[WEB], retry_budget_pm=100)})
    trigger = Surge(factor_pm=3_000)

    def lost_long_after(spec: WorldSpec) -> float:
        record = play(spec, trigger, until_ms=10_000, duration_ms=90_000)
        return sum(row.lost for row in record.seconds if row.at_ms > 80_000)

    assert lost_long_after(greedy) > 1_000
    assert lost_long_after(modest) == 0


def test_a_crash_is_answered_at_once_and_a_hang_only_after_the_users_patience() -> None:
    crash, hang = play(UNSTEERED, Crash(site=PANGYO)), play(UNSTEERED, Hang(site=PANGYO))
    assert {cause for cause, amount in crash.lost.items() if amount} == {LostTo.REFUSED}
    assert {cause for cause, amount in hang.lost.items() if amount} == {LostTo.SILENT}
    assert hang.loss.unanswered == pytest.approx(150 * 20, rel=0.1)


def test_a_connection_that_stays_mute_is_given_up_after_its_next_use() -> None:
    users = ClientSpec(reuse_pm=900, connection_ms=60_000, stretch_pm=0)
    steered = replace(standard_world(nodes=1), clients={WEB: users})
    record = play(steered, Hang(site=PANGYO), until_ms=90_000, duration_ms=90_000)
    late = [row for row in record.seconds if row.site == PANGYO and 70_000 <= row.at_ms < 80_000]
    assert max(row.seen_bp for row in late) < 500
    kept = play(steered, Latency(site=PANGYO, add_ms=700), until_ms=90_000, duration_ms=90_000)
    late = [row for row in kept.seconds if row.site == PANGYO and 70_000 <= row.at_ms < 80_000]
    assert min(row.seen_bp for row in late) > 1_000, "who is answered in time, though late, stays where he is connected"


def test_a_front_sends_refused_connections_to_the_members_left() -> None:
    record = play(UNSTEERED, Crash(site=GASAN, fraction=0.25))
    assert record.loss.unanswered == 0


def test_caches_leave_within_their_ttl_and_stretched_ones_later() -> None:
    obeys = Cache(least_ms=0, mix=[1.0, 0.0], answers=[1.0, 0.0], hold_ms=30_000)
    stretches = Cache(least_ms=60_000, mix=[1.0, 0.0], answers=[1.0, 0.0], hold_ms=60_000)
    for now_ms in range(0, 61_000, 100):
        obeys.advance(now_ms, [0.0, 1.0], 5_000)
        stretches.advance(now_ms, [0.0, 1.0], 5_000)
        if now_ms == 15_000:
            assert obeys.mix[0] == pytest.approx(0.5, abs=0.04)
            assert stretches.mix[0] == pytest.approx(0.75, abs=0.04)
        if now_ms == 30_000:
            assert obeys.mix[0] == pytest.approx(0.0, abs=1e-9)
    assert stretches.mix == pytest.approx([0.0, 1.0])


def test_a_resolver_nobody_asked_lately_holds_nothing_old() -> None:
    cache = Cache(least_ms=0, mix=[1.0, 0.0], answers=[1.0, 0.0], hold_ms=30_000, idle_ms=10_000)
    cache.advance(0, [0.0, 1.0], 30_000)
    assert cache.mix == pytest.approx([0.75, 0.25])


def test_a_dns_plane_that_dies_leaves_users_with_their_old_answers() -> None:
    spec = standard_world(nodes=1)
    assert spec.planes[0].id == EnactorId("dns")
    record = play(replace(spec, nodes=()), Partition(sides=(("users",), ("outside",))))
    assert record.loss.unanswered == 0


def test_faults_add_up() -> None:
    both = combined([Effect(error_pm=500, capacity_pm=500), Effect(error_pm=500, add_ms=100), Effect(down=Down.HANG)])
    assert both.error_pm == 750
    assert both.capacity_pm == 500
    assert both.add_ms == 100
    assert both.down is Down.HANG


def test_an_injury_ends_with_its_own_fault_and_not_with_another_of_its_kind() -> None:
    two = replace(standard_world(nodes=1, services=("web", "chat")), nodes=())
    first, other = two.topology.services
    faults = [
        TimedEvent(at_ms=0, act=Errors(site=PANGYO, service=first.id, rate_pm=300), label="first", until_ms=10_000),
        TimedEvent(at_ms=2_000, act=Errors(site=PANGYO, service=other.id, rate_pm=300), label="other", until_ms=20_000),
        TimedEvent(at_ms=3_000, act=Errors(site=PANGYO, service=other.id, rate_pm=900), label="worse"),
    ]
    record = simulate(two, Policy(), faults, duration_ms=30_000, warm_up_ms=10_000)
    assert [(one.label, one.healed_ms) for one in record.injuries] == [("first", 10_000), ("other", 3_000), ("worse", 20_000)]


@pytest.mark.parametrize("shed_answers", [(), ("192.0.2.99",)], ids=["no sorry page", "sorry page"])
def test_what_is_sent_on_never_fills_a_survivor_beyond_its_share(shed_answers: tuple[str, ...]) -> None:
    """While caches run out a survivor's old users are still with it: by the new shares it got both."""
    spec = standard_world(nodes=1, entry=Entry.DNS_AND_BALANCER)
    (service,) = spec.topology.services
    topology = replace(spec.topology, services=(replace(service, shed_answers=shed_answers),))
    record = simulate(
        replace(spec, topology=topology), Policy(), [TimedEvent(at_ms=0, act=Crash(site=PANGYO))], duration_ms=90_000
    )
    assert any(move.shed_bp for move in record.moves), "the standbys take a while"
    assert record.moves[-1].shed_bp == 0
    assert max(record.peak_utilisation_pm[site] for site in (GASAN, ANYANG)) <= 901
    lost_late = sum(row.lost for row in record.seconds if row.at_ms > 60_000)
    assert lost_late < 0.01 * 300 * 30


@pytest.mark.parametrize("amount", [10.0, 160.0], ids=["calm", "beyond capacity"])
def test_a_bigger_member_is_given_more(amount: float) -> None:
    """As the HAProxy enactor divides: by capacity. Equal parts would drown the small beside an idle big one."""
    pool = standard_world().topology.service_by_id[WEB].pools[0]
    small, big = (replace(member, capacity_rps=rps) for member, rps in zip(pool.members[:2], (100, 200), strict=True))
    servers = [Server(member=member, spec=ServerSpec(), is_open=True) for member in (small, big)]
    flow = PoolFlow(pool=replace(pool, members=(small, big)), servers=servers, spec=ServerSpec(), slo_ms=500)
    flow.refresh()
    flow.take([Batch(born_ms=0, tries=0, amount=amount)], 0, 500, 300, [])
    assert servers[1].rate_rps == pytest.approx(2 * servers[0].rate_rps)
    assert servers[0].rate_rps + servers[1].rate_rps == pytest.approx(2 * amount)


def test_the_last_second_of_a_run_is_part_of_its_series() -> None:
    record = play(UNSTEERED, duration_ms=10_000)
    assert {row.at_ms for row in record.seconds} == set(range(-9_000, 10_001, 1_000))
    assert sum(row.offered for row in record.seconds) == pytest.approx(record.offered)
