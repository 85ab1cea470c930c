"""Models of peers: they detect when their documentation says, move what they can move, and know no capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.messages.requests import DrainRequest, UndrainRequest
from siteshift.core.model.policy import Policy
from siteshift.sim.faults.acts import Ask, Fault, Heal, Note, TimedEvent
from siteshift.sim.faults.control import CtlKill, StoreDown
from siteshift.sim.faults.world import CheckFails, Crash, Errors, Hang, Partition
from siteshift.sim.peers.checks import Counter
from siteshift.sim.peers.delivery import events_without_us
from siteshift.sim.peers.peers import PEERS, run_peer
from siteshift.sim.results.record import LostTo, Record
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.world.spec import WorldSpec
from siteshift.sim.world.worlds import GASAN, PANGYO, SITES, standard_world

MINUTE_MS = 60_000
BY_NAME = {peer.name: peer for peer in PEERS}
DETECTS_S = {
    "haproxy": (4, 7),
    "route53": (20, 31),
    "gdnsd": (90, 101),
    "powerdns-lua": (0, 6),
    "k8gb": (20, 31),
    "by-hand": (1_200, 1_201),
}
"""Seconds from a refused connection to the first move: least and most, by the products' documented numbers."""


def scenario(*events: TimedEvent, world: WorldSpec | None = None, minutes: int = 5) -> Scenario:
    return Scenario(
        file="test.yaml",
        id="test",
        title="",
        source="",
        link="",
        happened="",
        lesson="",
        world=standard_world() if world is None else world,
        policy=Policy(),
        duration_ms=minutes * MINUTE_MS,
        warm_up_ms=30_000,
        seed=1,
        events=events,
        criteria=(),
    )


def fault(kind: Fault, until_ms: int | None = None) -> TimedEvent:
    return TimedEvent(at_ms=0, act=kind, until_ms=until_ms, label="fault")


def play(name: str, *events: TimedEvent, minutes: int = 5, seed: int = 1) -> Record:
    return run_peer(BY_NAME[name], scenario(*events, minutes=minutes), seed=seed)


@pytest.mark.parametrize("name", list(DETECTS_S))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_detects_a_crash_when_its_documentation_says(name: str, seed: int) -> None:
    least_s, most_s = DETECTS_S[name]
    record = play(name, fault(Crash(site=PANGYO)), minutes=most_s // 60 + 2, seed=seed)
    emptied = next(move for move in record.moves if move.after_bp[PANGYO] == 0)
    assert least_s * 1_000 <= emptied.at_ms <= most_s * 1_000
    assert not emptied.wrong


@pytest.mark.parametrize("name", ["haproxy", "route53", "gdnsd", "powerdns-lua", "k8gb", "by-hand"])
def test_an_alert_starts_the_standbys_with_the_first_server_that_goes_down(name: str) -> None:
    record = play(name, fault(Crash(site=PANGYO)))
    ready_ms = [line.at_ms for line in record.transcript if line.kind == "standby" and line.text.endswith("ready")]
    assert len(ready_ms) == 4
    assert 15_000 < min(ready_ms) <= max(ready_ms) <= 15_000 + 7_000


def test_nobody_knows_capacities_and_survivors_are_overloaded_until_standbys_are_there() -> None:
    record = play("haproxy", fault(Crash(site=PANGYO)))
    assert record.peak_utilisation_pm[GASAN] > 1_000
    late = [row.utilisation_pm for row in record.seconds if row.site == GASAN and row.at_ms > 120_000]
    assert max(late) <= 1_010


@pytest.mark.parametrize("name", ["route53", "by-hand"])
def test_a_balancer_in_the_site_takes_a_dead_server_out(name: str) -> None:
    pangyo = [member.id for member in standard_world().topology.members.values() if member.site == PANGYO]
    hang = fault(Hang(site=PANGYO, members=(pangyo[0],)))
    record = run_peer(BY_NAME[name], scenario(hang, world=standard_world(capacity_pct=200), minutes=3), seed=1)
    lost = [row.lost for row in record.seconds if row.at_ms > 15_000]
    assert sum(row.lost for row in record.seconds) > 50
    assert sum(lost) == pytest.approx(0, abs=1)


def test_haproxy_before_all_sites_sends_a_refused_connection_elsewhere() -> None:
    record = play("haproxy", fault(Crash(site=GASAN)), minutes=1)
    assert record.lost[LostTo.REFUSED] == pytest.approx(0, abs=1)
    assert play("haproxy", fault(Hang(site=GASAN)), minutes=1).lost[LostTo.SILENT] > 100


def test_a_hang_costs_haproxy_the_wait_for_each_answer() -> None:
    def emptied_ms(kind: Fault) -> int:
        return next(m.at_ms for m in play("haproxy", fault(kind)).moves if m.after_bp[PANGYO] == 0)

    assert 3_000 <= emptied_ms(Hang(site=PANGYO)) - emptied_ms(Crash(site=PANGYO)) <= 8_000


@pytest.mark.parametrize("name", ["haproxy", "route53", "gdnsd"])
def test_nobody_sees_one_request_in_twenty_fail(name: str) -> None:
    assert not play(name, fault(Errors(site=PANGYO, rate_pm=50))).moves


@pytest.mark.parametrize("name", ["haproxy", "route53", "powerdns-lua"])
def test_a_check_that_breaks_everywhere_stops_every_haproxy_and_who_stands_behind_it(name: str) -> None:
    events = [TimedEvent(at_ms=0, act=CheckFails(site=site)) for site in SITES]
    assert play(name, *events).loss.unanswered > 0.9 * 300 * 280


def test_route_53_stands_where_users_stand() -> None:
    cut = fault(Partition(sides=(("users",), ("pangyo",))))
    assert play("route53", cut).moves
    assert not play("gdnsd", cut).moves


@pytest.mark.parametrize("name", list(DETECTS_S))
def test_all_come_back_when_the_fault_is_over(name: str) -> None:
    record = play(name, fault(Crash(site=GASAN), until_ms=25 * MINUTE_MS), minutes=60)
    last = {row.site: row.actual_bp for row in record.seconds[-3:]}
    assert last[GASAN] == pytest.approx(3_000, abs=10)


@pytest.mark.parametrize("name", list(DETECTS_S))
def test_a_drain_that_a_person_asks_for_is_done_by_hand(name: str) -> None:
    drain = TimedEvent(at_ms=10_000, act=Ask(request=DrainRequest(site=GASAN)))
    back = TimedEvent(at_ms=120_000, act=Ask(request=UndrainRequest(site=GASAN)))
    record = play(name, drain, back)
    moves = [(move.at_ms, move.after_bp[GASAN]) for move in record.moves if move.before_bp[GASAN] != move.after_bp[GASAN]]
    assert (10_000, 0) in moves
    assert moves[-1][1] > 0
    assert record.seconds[-1].seen_bp > 0


def test_what_befalls_only_us_does_not_befall_them() -> None:
    events = (
        TimedEvent(at_ms=0, act=CtlKill(), label="killed"),
        TimedEvent(at_ms=1, act=StoreDown(), label="store"),
        TimedEvent(at_ms=2, act=Crash(site=PANGYO), label="crash"),
        TimedEvent(at_ms=3, act=Heal(label="killed")),
        TimedEvent(at_ms=4, act=Heal(label="crash")),
        TimedEvent(at_ms=5, act=Note(text="x")),
    )
    assert [event.at_ms for event in events_without_us(events)] == [2, 4]


def test_failures_in_a_row_count_and_are_forgotten_after_passes_in_a_row() -> None:
    strict = Counter(down_after=3, up_after=2)
    assert [strict.hear(passed) for passed in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert [strict.hear(passed) for passed in (True, False, True, True)] == [False, False, False, True]
    patient = Counter(down_after=3, up_after=1, forgets_after=2)
    assert [patient.hear(passed) for passed in (False, True, False, True, False)] == [False] * 4 + [True]


def test_the_same_seed_gives_the_same_run() -> None:
    for peer in PEERS:
        events = (fault(Errors(site=PANGYO, rate_pm=400), until_ms=60_000),)
        assert play(peer.name, *events).digest() == play(peer.name, *events).digest()


def test_services_are_answered_one_by_one() -> None:
    world = standard_world(services=("web", "api"))
    crash = fault(Crash(site=PANGYO, service=world.topology.services[1].id))
    record = run_peer(BY_NAME["powerdns-lua"], scenario(crash, world=replace(world)), seed=1)
    assert {move.service for move in record.moves} == {"api"}
