"""The matrix vantage × target, one row of the table a sentence; every diagnosis code has its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from core.judge.cases import (
    ANCHORED,
    ANYANG,
    CHAT,
    CUT_OFF,
    GASAN,
    LOGIN,
    NO_ANCHORS,
    NOW_MS,
    PANGYO,
    POLICY,
    SITES,
    WEB,
    codes,
    deployment,
    pool_and_members,
    report,
    view,
)
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.model.codes import DiagnosisCode, Hardness, Standing
from siteshift.core.model.evidence import Picture, TargetView, VantageReport
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import ServiceId, SiteId, TargetId, VantageId, pool_target, site_target

THREE = (WEB, CHAT, LOGIN)
DOWN, BAD, UNSURE = view(Standing.DOWN), view(Standing.DEGRADED, hardness=Hardness.GREY), view(Standing.SUSPECT)
Said = dict[TargetId, TargetView]


def everybody(topology: Topology, said: Said | Callable[[SiteId], Said]) -> dict[VantageId, VantageReport]:
    """A vantage at each site; all say the same, or each what ``said`` gives for its site."""
    made = [report(topology, f"at-{site}", site, said(site) if callable(said) else said) for site in SITES]
    return {one.vantage: one for one in made}


def at(topology: Topology, site: SiteId, what: TargetView, services: tuple[ServiceId, ...] = THREE) -> Said:
    said: Said = {}
    for service in services:
        said.update(pool_and_members(topology, service, site, what))
    return said


def look(topology: Topology, said: Said | Callable[[SiteId], Said], previous: Picture | None = None) -> Picture:
    return diagnose(topology, POLICY, everybody(topology, said), NOW_MS, previous)


@dataclass(frozen=True)
class Row:
    """What is said, what it is called, and which pools are down or degraded."""

    name: str
    said: Callable[[Topology], Said]
    code: DiagnosisCode
    bad: frozenset[tuple[ServiceId, SiteId]]
    is_global: frozenset[ServiceId] = frozenset()


ROWS = [
    Row("a site fails", lambda t: at(t, PANGYO, DOWN), DiagnosisCode.SITE_DOWN, frozenset((s, PANGYO) for s in THREE)),
    Row("a site errs", lambda t: at(t, PANGYO, BAD), DiagnosisCode.SITE_DEGRADED, frozenset((s, PANGYO) for s in THREE)),
    Row(
        "a service fails at a site", lambda t: at(t, PANGYO, DOWN, (WEB,)), DiagnosisCode.SERVICE_DOWN, frozenset({(WEB, PANGYO)})
    ),
    Row(
        "a service errs at a site",
        lambda t: at(t, PANGYO, BAD, (WEB,)),
        DiagnosisCode.SERVICE_DEGRADED,
        frozenset({(WEB, PANGYO)}),
    ),
    Row(
        "a service falls with what it needs",
        lambda t: at(t, PANGYO, DOWN, (CHAT, LOGIN)),
        DiagnosisCode.DEPENDENCY_DOWN,
        frozenset({(CHAT, PANGYO), (LOGIN, PANGYO)}),
    ),
    Row(
        "one member fails",
        lambda t: {t.pools[(WEB, PANGYO)].members[0].target: DOWN},
        DiagnosisCode.MEMBER_DOWN,
        frozenset(),
    ),
    Row(
        "a bad release is everywhere",
        lambda t: {k: v for site in SITES for k, v in at(t, site, BAD, (WEB,)).items()},
        DiagnosisCode.GLOBAL_FAULT,
        frozenset((WEB, site) for site in SITES),
        frozenset({WEB}),
    ),
    Row(
        "a surge slows all sites",
        lambda t: {k: v for site in SITES for k, v in at(t, site, view(Standing.DEGRADED, 600, Hardness.SLOW), (WEB,)).items()},
        DiagnosisCode.OVERLOAD,
        frozenset((WEB, site) for site in SITES),
        frozenset({WEB}),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_faults_get_their_names(row: Row) -> None:
    topology = deployment(services=THREE)
    picture = look(topology, row.said(topology))
    assert str(row.code) in codes(picture)
    bad = {key for key, pool in picture.pools.items() if pool.standing in (Standing.DOWN, Standing.DEGRADED)}
    assert bad == row.bad
    assert picture.global_fault == row.is_global
    assert not picture.blind and len(picture.credible) == 3


def test_health_is_no_diagnosis() -> None:
    topology = deployment(services=THREE)
    picture = look(topology, {})
    assert picture.diagnoses == ()
    assert set(picture.sites.values()) == {Standing.UP}


def test_partial_fractions_everywhere_are_global() -> None:
    topology = deployment(members=10)
    said: Said = {}
    for site, dead in ((PANGYO, 7), (GASAN, 8), (ANYANG, 7)):
        pool = topology.pools[(WEB, site)]
        said[pool.target] = view(Standing.DEGRADED, 1_000)
        said.update({member.target: DOWN for member in pool.members[:dead]})
    assert look(topology, said).global_fault == {WEB}


def test_a_crash_beside_siblings_that_merely_err_is_not_global() -> None:
    topology = deployment()
    long_ago = NOW_MS - 120_000
    said = at(topology, PANGYO, DOWN, (WEB,))
    for site in (GASAN, ANYANG):
        said.update(at(topology, site, view(Standing.DEGRADED, 950, Hardness.GREY, long_ago), (WEB,)))
    picture = look(topology, said)
    assert picture.global_fault == frozenset()
    assert picture.pools[(WEB, PANGYO)].standing is Standing.DOWN


def test_a_verdict_is_held_while_all_siblings_are_under_like_suspicion() -> None:
    topology = deployment()
    said = at(topology, PANGYO, DOWN, (WEB,))
    for site in (GASAN, ANYANG):
        said.update(at(topology, site, view(Standing.SUSPECT, 300), (WEB,)))
    assert look(topology, said).pools[(WEB, PANGYO)].standing is Standing.SUSPECT
    late = {key: replace(one, since_ms=NOW_MS - 60_000) for key, one in said.items()}
    assert look(topology, late).pools[(WEB, PANGYO)].standing is Standing.DOWN


def test_one_sibling_that_is_well_lets_the_verdict_pass() -> None:
    topology = deployment()
    said = at(topology, PANGYO, DOWN, (WEB,))
    said.update(at(topology, GASAN, view(Standing.SUSPECT, 300), (WEB,)))
    assert look(topology, said).pools[(WEB, PANGYO)].standing is Standing.DOWN


def test_a_global_fault_does_not_end_at_the_first_site_that_looks_well() -> None:
    topology = deployment()
    said: Said = {}
    for site in SITES:
        said.update(at(topology, site, BAD, (WEB,)))
    before = look(topology, said)
    said.update(at(topology, GASAN, view(Standing.UP, since_ms=NOW_MS - 2_000), (WEB,)))
    assert look(topology, said, before).global_fault == {WEB}
    said.update(at(topology, GASAN, view(Standing.UP, since_ms=NOW_MS - 60_000), (WEB,)))
    assert look(topology, said, before).global_fault == frozenset()


def test_the_accused_site_s_own_vantage_has_no_vote() -> None:
    topology = deployment()
    fine: Said = {}
    picture = look(topology, lambda site: fine if site == PANGYO else at(topology, PANGYO, DOWN, (WEB,)))
    assert picture.pools[(WEB, PANGYO)].standing is Standing.DOWN
    picture = look(topology, lambda site: at(topology, PANGYO, DOWN, (WEB,)) if site == PANGYO else fine)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.UP


def test_a_lone_accuser_has_found_a_path() -> None:
    topology = deployment()
    fine: Said = {}
    picture = look(topology, lambda site: at(topology, PANGYO, DOWN, (WEB,)) if site == GASAN else fine)
    assert "PATH_DOWN" in codes(picture)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.SUSPECT


def test_a_vantage_without_anchors_reached_loses_its_vote() -> None:
    topology = deployment()
    reports = everybody(topology, {})
    alone = report(topology, "at-gasan", GASAN, at(topology, PANGYO, DOWN, (WEB,)), self_check=CUT_OFF)
    reports[alone.vantage] = alone
    picture = diagnose(topology, POLICY, reports, NOW_MS)
    assert "OBSERVER_ISOLATED" in codes(picture) and picture.isolated == (alone.vantage,)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.UP


def test_a_vantage_that_alone_sees_everything_dark_is_isolated() -> None:
    topology = deployment()
    dark = {key: one for site in SITES for key, one in at(topology, site, DOWN, (WEB,)).items()}
    picture = look(topology, lambda site: dark if site == ANYANG else {})
    assert picture.isolated == (VantageId("at-anyang"),)
    assert set(picture.sites.values()) == {Standing.UP}


@pytest.mark.parametrize(
    ("self_check", "blind", "is_global"), [(NO_ANCHORS, True, False), (ANCHORED, False, True), (CUT_OFF, True, False)]
)
def test_a_single_node_that_sees_everything_dark(self_check: object, blind: bool, is_global: bool) -> None:
    topology = deployment()
    dark = {key: one for site in SITES for key, one in at(topology, site, DOWN, (WEB,)).items()}
    only = replace(report(topology, "node", PANGYO, dark), self_check=self_check)  # type: ignore[arg-type]
    picture = diagnose(topology, POLICY, {only.vantage: only}, NOW_MS)
    assert picture.blind is blind
    assert bool(picture.global_fault) is is_global


@pytest.mark.parametrize("self_check", [NO_ANCHORS, ANCHORED])
@pytest.mark.parametrize("home", [PANGYO, GASAN, None])
def test_a_single_node_works_wherever_it_stands(self_check: object, home: SiteId | None) -> None:
    topology = deployment()
    only = replace(report(topology, "node", home, at(topology, PANGYO, DOWN, (WEB,))), self_check=self_check)  # type: ignore[arg-type]
    picture = diagnose(topology, POLICY, {only.vantage: only}, NOW_MS)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.DOWN
    assert picture.sites[PANGYO] is Standing.DOWN


def test_a_node_without_anchors_that_sees_only_its_own_site_is_isolated() -> None:
    topology = deployment()
    dark = {key: one for site in (GASAN, ANYANG) for key, one in at(topology, site, DOWN, (WEB,)).items()}
    only = report(topology, "node", PANGYO, dark, self_check=NO_ANCHORS)
    assert diagnose(topology, POLICY, {only.vantage: only}, NOW_MS).blind


def test_old_reports_are_stale_and_only_stale_ones_make_blind() -> None:
    topology = deployment()
    old = report(topology, "at-gasan", GASAN, at(topology, PANGYO, DOWN, (WEB,)), at_ms=NOW_MS - 60_000)
    new = report(topology, "at-anyang", ANYANG)
    picture = diagnose(topology, POLICY, {old.vantage: old, new.vantage: new}, NOW_MS)
    assert "STALE" in codes(picture) and picture.pools[(WEB, PANGYO)].standing is Standing.UP
    picture = diagnose(topology, POLICY, {old.vantage: old}, NOW_MS)
    assert picture.blind and picture.pools[(WEB, PANGYO)].standing is Standing.UNKNOWN
    assert diagnose(topology, POLICY, {}, NOW_MS).blind


def test_broken_and_contradicted_checks_are_named() -> None:
    topology = deployment()
    target = pool_target(WEB, PANGYO)
    twin = replace(report(topology, "node", None), self_check=replace(ANCHORED, broken_checks=(str(target),)))
    found = diagnose(topology, POLICY, {twin.vantage: twin}, NOW_MS).diagnoses
    assert [(d.code, d.service, d.site) for d in found] == [(DiagnosisCode.CHECK_BROKEN, WEB, PANGYO)]
    said = {target: replace(UNSURE, is_contradicted=True)}
    one = report(topology, "node", None, said)
    assert "CHECK_BROKEN" in codes(diagnose(topology, POLICY, {one.vantage: one}, NOW_MS))


def test_a_check_that_traffic_contradicts_takes_no_member_out() -> None:
    """The members are looked at by the same check: one by one they would be taken out of a pool that serves."""
    topology = deployment()
    said = pool_and_members(topology, WEB, PANGYO, view(Standing.DOWN, hardness=Hardness.GREY))
    members = {one.standing for one in look(topology, said).pools[(WEB, PANGYO)].members.values()}
    assert members == {Standing.DOWN}
    said[pool_target(WEB, PANGYO)] = replace(UNSURE, is_contradicted=True)
    picture = look(topology, said)
    assert {one.standing for one in picture.pools[(WEB, PANGYO)].members.values()} == {Standing.SUSPECT}
    assert "MEMBER_DOWN" not in codes(picture)


def test_a_check_that_traffic_contradicts_is_not_believed_from_the_site_s_stream_either() -> None:
    """It is made of the same checks: the pool would be left for them after all."""
    topology = deployment(services=(WEB,))
    said: Said = {pool_target(WEB, PANGYO): replace(UNSURE, is_contradicted=True)}
    said[site_target(PANGYO)] = view(Standing.DOWN, hardness=Hardness.GREY)
    assert look(topology, said).pools[(WEB, PANGYO)].standing is Standing.SUSPECT
    early = {**said, pool_target(WEB, PANGYO): view(Standing.DOWN, hardness=Hardness.GREY)}
    picture = look(topology, lambda site: early if site == GASAN else said)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.SUSPECT, "not even while one vantage has not seen the traffic yet"


def test_what_only_the_site_s_stream_sees_reaches_the_suspected_pools() -> None:
    topology = deployment(services=THREE)
    said: Said = {pool_target(service, PANGYO): UNSURE for service in THREE}
    said[TargetId("site:pangyo")] = view(Standing.DEGRADED, 940, Hardness.GREY)
    picture = look(topology, said)
    assert picture.sites[PANGYO] is Standing.DEGRADED
    assert all(picture.pools[(service, PANGYO)].score_pm <= 940 for service in THREE)


def test_what_the_streams_of_all_sites_see_reaches_no_pool_before_the_others() -> None:
    """Suspicion reaches the pools one by one; the first to be under it would be left alone, and by a blind prober (law 4)."""
    topology = deployment(services=THREE)
    said: Said = {site_target(site): DOWN for site in SITES}
    said.update({pool_target(service, PANGYO): UNSURE for service in THREE})
    picture = look(topology, said)
    assert {pool.standing for (_, site), pool in picture.pools.items() if site == PANGYO} == {Standing.SUSPECT}
    said[site_target(GASAN)] = view(Standing.UP, hardness=Hardness.NONE)
    picture = look(topology, said)
    assert {pool.standing for (_, site), pool in picture.pools.items() if site == PANGYO} == {Standing.DOWN}


def test_pools_without_reports_stand_as_their_members_do() -> None:
    topology = deployment()
    only = report(topology, "node", None, {m.target: DOWN for m in topology.pools[(WEB, PANGYO)].members})
    views = {target: one for target, one in only.views.items() if target.startswith("member:")}
    picture = diagnose(topology, POLICY, {only.vantage: replace(only, views=views)}, NOW_MS)
    assert picture.pools[(WEB, PANGYO)].standing is Standing.DOWN
    assert picture.pools[(WEB, GASAN)].standing is Standing.UP


def test_since_is_kept_while_the_standing_lasts() -> None:
    topology = deployment()
    first = look(topology, at(topology, PANGYO, DOWN, (WEB,)))
    later = replace(DOWN, since_ms=NOW_MS)
    second = look(topology, at(topology, PANGYO, later, (WEB,)), first)
    assert second.pools[(WEB, PANGYO)].since_ms == first.pools[(WEB, PANGYO)].since_ms
    assert [d.since_ms for d in second.diagnoses] == [d.since_ms for d in first.diagnoses]


def test_an_old_accusation_that_nobody_can_contradict_is_no_acquittal() -> None:
    """One vantage looks at a member afresh and knows nothing yet; the other has called it down for long."""
    topology = deployment()
    member = topology.pools[(WEB, GASAN)].members[0]
    old = replace(DOWN, since_ms=NOW_MS - 600_000)

    def said(site: SiteId) -> Said:
        return {member.target: old if site == ANYANG else view(Standing.UNKNOWN)}

    assert look(topology, said).pools[(WEB, GASAN)].members[member.id].standing is Standing.SUSPECT
