"""A reload, as the observer lives through it: what did not change goes on, what changed starts anew."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import pytest

from core.judge.cases import ANYANG, GASAN, PANGYO, SITES, WEB, Drive, deployment
from siteshift.core.judge.refit import changed_targets
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec, ProxyProtocol, TlsCheck
from siteshift.core.model.topology import Pool, Topology
from siteshift.core.model.units import MemberId, ProbeId, TargetId, member_target, pool_target

STORIES = [Fault.REFUSED, Fault.TIMEOUT, Fault.BAD_STATUS]
SPEC = ProbeSpec(id=ProbeId("p"), target=TargetId("member:web/pangyo/m0"), kind=ProbeKind.HTTP, address="127.0.0.1", port=80)


def refit(drive: Drive, topology: Topology, changed: Set[TargetId] = frozenset()) -> None:
    """A reload in the middle of whatever goes on."""
    gone = drive.topology.targets.keys() - topology.targets.keys()
    drive.topology = topology
    drive.members = [entry for entry in drive.members if entry[1] not in gone]
    known = {target for _, target in drive.members}
    drive.members += [
        (drive.at_ms + (place * 250) % 1_000, member.target)
        for pool in topology.pools.values()
        for place, member in enumerate(pool.members)
        if member.target not in known
    ]
    drive.observer.refit(topology, JudgePolicy(), None, anchors=(), changed=changed)


def without_site(topology: Topology, site: str) -> Topology:
    services = tuple(
        replace(service, pools=tuple(pool for pool in service.pools if pool.site != site)) for service in topology.services
    )
    return replace(topology, sites=tuple(s for s in topology.sites if s.id != site), services=services)


def with_pool(topology: Topology, pool: Pool) -> Topology:
    services = tuple(
        replace(service, pools=tuple(pool if (p.service, p.site) == (pool.service, pool.site) else p for p in service.pools))
        for service in topology.services
    )
    return replace(topology, services=services)


def told(drive: Drive) -> list[tuple[str, Standing, int, int, str]]:
    report = drive.observer.report(drive.at_ms)
    return [(t, v.standing, v.score_pm, v.since_ms, v.reason) for t, v in sorted(report.views.items())]


@pytest.mark.parametrize("fault", STORIES)
@pytest.mark.parametrize("reload_after_ms", [-400, 0, 100, 300, 450, 700, 1_000, 1_500, 3_000, 9_000])
def test_a_reload_in_the_middle_of_a_fault_changes_nothing_that_is_told(fault: Fault, reload_after_ms: int) -> None:
    """Evidence, suspicion, the watch on siblings, verdicts and the way back: a twin without the reload says the same."""
    drives = [Drive(deployment()), Drive(deployment())]
    for drive in drives:
        drive.run(20_000)
    for now_ms in range(-500, 14_000, 50):
        for drive in drives:
            if now_ms == 0:
                drive.fail(PANGYO, fault)
            if now_ms == 5_000:
                drive.heal()
            if now_ms == reload_after_ms and drive is drives[0]:
                refit(drive, deployment())
            drive.run(50)
        assert told(drives[0]) == told(drives[1]), now_ms
        assert drives[0].observer.hot_targets() == drives[1].observer.hot_targets()


def test_an_observer_that_starts_anew_would_be_blind_to_it() -> None:
    """The control of the test above: with all targets changed, the same story is told otherwise."""
    drives = [Drive(deployment()), Drive(deployment())]
    for drive in drives:
        drive.run(20_000)
    drives[0].fail(PANGYO)
    drives[1].fail(PANGYO)
    drives[0].run(300)
    drives[1].run(300)
    refit(drives[0], deployment(), changed=deployment().targets.keys())
    assert told(drives[0]) != told(drives[1])


def test_what_was_learned_goes_on() -> None:
    drive = Drive(deployment())
    drive.run(120_000)
    before = {target: entry[0].baseline.samples for target, entry in drive.observer._entries.items()}
    assert min(before.values()) > 0
    refit(drive, deployment())
    assert {target: entry[0].baseline.samples for target, entry in drive.observer._entries.items()} == before


def test_only_a_target_that_is_asked_something_else_starts_anew() -> None:
    drive = Drive(deployment())
    drive.run(20_000)
    changed = member_target(MemberId("web/pangyo/m1"))
    refit(drive, deployment(), changed={changed})
    report = drive.observer.report(drive.at_ms)
    assert [t for t, view in report.views.items() if view.standing is Standing.UNKNOWN] == [changed]
    drive.run(1_100)
    assert all(view.standing is Standing.UP for view in drive.observer.report(drive.at_ms).views.values())


def test_the_evidence_of_members_that_are_gone_goes_with_them() -> None:
    """Half of a pool fails and is taken out of the file: the rest is well, and nobody is accused for those that are gone."""
    topology = deployment()
    drive = Drive(topology)
    drive.run(20_000)
    drive.fail(PANGYO, only=2)
    drive.run(700)
    pool = topology.pools[(WEB, PANGYO)]
    gone = pool.members[:2]
    refit(drive, with_pool(topology, replace(pool, members=pool.members[2:])))
    assert drive.pool(PANGYO).standing is Standing.UP
    drive.run(5_000)
    report = drive.observer.report(drive.at_ms)
    assert not report.views.keys() & {member.target for member in gone}
    assert all(view.standing is Standing.UP for view in report.views.values())


def test_a_site_that_goes_does_not_end_the_suspicion_of_another() -> None:
    topology = deployment()
    drive = Drive(topology)
    drive.run(20_000)
    drive.fail(PANGYO)
    drive.run(250)
    before = drive.pool(PANGYO)
    refit(drive, without_site(topology, ANYANG))
    assert drive.pool(PANGYO).since_ms == before.since_ms
    drive.run(1_000)
    assert drive.pool(PANGYO).standing is Standing.DOWN
    assert pool_target(WEB, ANYANG) not in drive.observer.report(drive.at_ms).views


def test_a_site_that_comes_is_unknown_until_it_answers() -> None:
    topology = deployment()
    drive = Drive(without_site(topology, ANYANG))
    drive.run(20_000)
    refit(drive, topology)
    standings = {site: drive.pool(site).standing for site in SITES}
    assert standings == {PANGYO: Standing.UP, GASAN: Standing.UP, ANYANG: Standing.UNKNOWN}
    drive.run(1_500)
    assert drive.pool(ANYANG).standing is Standing.UP


def test_reports_are_numbered_on() -> None:
    drive = Drive(deployment())
    drive.run(2_000)
    before = [drive.observer.report(drive.at_ms).sequence for _ in range(3)][-1]
    refit(drive, deployment())
    assert drive.observer.report(drive.at_ms).sequence == before + 1


def test_real_traffic_goes_on_as_evidence() -> None:
    drive = Drive(deployment())
    target = pool_target(WEB, PANGYO)
    drive.run(20_000)
    for _ in range(6):
        drive.run(500)
        drive.observer.observe_counts(target, 200, 150, 20, drive.at_ms)
    before = drive.pool(PANGYO)
    assert before.standing is not Standing.UP
    refit(drive, deployment())
    assert drive.pool(PANGYO) == before


def test_other_anchors_do_not_blind_us_and_do_not_vouch_for_us_for_long() -> None:
    drive = Drive(deployment(), anchors=("a1", "a2"))
    drive.run(2_000)
    for name in ("a1", "a2"):
        drive.observer.anchor(name, Outcome.PASS, drive.at_ms, drive.at_ms)
    drive.observer.refit(deployment(), JudgePolicy(), None, anchors=("b1", "b2"), changed=frozenset())
    check = drive.observer.report(drive.at_ms).self_check
    assert (check.anchors_ok, check.anchors_total) == (2, 2)
    drive.run(JudgePolicy().report_stale_ms + 50)
    assert drive.observer.report(drive.at_ms).self_check.anchors_ok == 0


def test_another_rhythm_is_no_other_question() -> None:
    patient = replace(SPEC, interval_ms=5_000, timeout_ms=3_000, phase_ms=77, stopwatch_ms=300, slo_latency_ms=900)
    patient = replace(patient, goodbye=b"QUIT\r\n")
    assert changed_targets([SPEC], [patient]) == frozenset()


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, port=81),
        replace(SPEC, address="127.0.0.2"),
        replace(SPEC, http=HttpCheck(path="/other")),
        replace(SPEC, kind=ProbeKind.TCP),
        replace(SPEC, tls=TlsCheck()),
        replace(SPEC, tls=TlsCheck(client_certificate="/etc/siteshift/probe.pem")),
        replace(SPEC, proxy_protocol=ProxyProtocol.V1),
        replace(SPEC, grpc_authority="shop.example"),
        replace(SPEC, mysql_user="siteshift"),
        replace(SPEC, dns_any_answer=True),
    ],
)
def test_another_question_or_another_address_starts_its_target_anew(other: ProbeSpec) -> None:
    assert changed_targets([SPEC], [other]) == {SPEC.target}
    assert changed_targets([SPEC], [SPEC, replace(other, id=ProbeId("q"))]) == {SPEC.target}
