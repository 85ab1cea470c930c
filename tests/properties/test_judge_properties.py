"""Whatever comes in, the judge stays within the laws: no evidence no verdict, one member never a pool, never raises."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.judge.cases import NOW_MS, POLICY, SITES, WEB, deployment, report, view
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Hardness, Outcome, Standing
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import VantageId, pool_target, site_target

TOPOLOGY = deployment()
TARGETS = sorted(TOPOLOGY.targets)
MEMBERS = [member.target for member in TOPOLOGY.members.values()]
BAD = (Standing.DOWN, Standing.DEGRADED)

results = st.lists(
    st.tuples(
        st.sampled_from(TARGETS),
        st.sampled_from(list(Outcome)),
        st.sampled_from(list(Fault)),
        st.integers(0, 2_000_000),
        st.integers(0, 3_000),
        st.booleans(),
    ),
    max_size=150,
)


def fresh() -> Observer:
    return Observer(TOPOLOGY, JudgePolicy(), VantageId("v"), None)


@settings(max_examples=150, deadline=None)
@given(results)
def test_any_results_in_any_order_are_legal(events: list[tuple[str, Outcome, Fault, int, int, bool]]) -> None:
    observer, at = fresh(), NOW_MS
    for target, outcome, fault, latency_us, gap_ms, twin in events:
        at += gap_ms
        observer.result(target, outcome, fault, latency_us, at, at - latency_us // 1_000, twin)  # type: ignore[arg-type]
        observer.tick(at)
    found = observer.report(at)
    assert set(found.views) == set(TOPOLOGY.targets)
    assert all(0 <= one.score_pm <= 1_000 for one in found.views.values())
    assert observer.hot_targets() <= set(TOPOLOGY.targets)
    assert observer.next_timer_ms() is not None
    picture = diagnose(TOPOLOGY, POLICY, {found.vantage: found}, at)
    assert set(picture.pools) == set(TOPOLOGY.pools)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MEMBERS), st.integers(0, 2_000)), max_size=200))
def test_lost_results_never_make_anything_bad(events: list[tuple[str, int]]) -> None:
    observer, at = fresh(), NOW_MS
    for target, gap_ms in events:
        at += gap_ms
        assert not observer.result(target, Outcome.LOST, Fault.LOCAL, 0, at, at)  # type: ignore[arg-type]
        observer.tick(at)
    assert {one.standing for one in observer.report(at).views.values()} == {Standing.UNKNOWN}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 6),
    st.lists(
        st.tuples(st.sampled_from([Outcome.PASS, Outcome.FAIL, Outcome.LOST]), st.sampled_from(list(Fault)), st.integers(0, 900)),
        min_size=30,
        max_size=120,
    ),
)
def test_one_member_never_makes_a_pool_bad_whatever_it_does(members: int, behaviour: list[tuple[Outcome, Fault, int]]) -> None:
    topology = deployment(members=members)
    observer = Observer(topology, JudgePolicy(), VantageId("v"), None)
    sick, *others = [member.target for pool in topology.pools.values() for member in pool.members]
    at = NOW_MS
    for outcome, fault, latency_ms in behaviour:
        for target in others:
            observer.result(target, Outcome.PASS, Fault.NONE, 9_000, at, at)
        observer.result(sick, outcome, fault, latency_ms * 1_000, at, at - latency_ms)
        observer.tick(at)
        at += 200
        views = observer.report(at).views
        for site in SITES:
            assert views[pool_target(WEB, site)].standing not in BAD
            assert views[site_target(site)].standing not in BAD


views = st.builds(
    view,
    st.sampled_from(list(Standing)),
    st.integers(0, 1_000),
    st.sampled_from(list(Hardness)),
    st.integers(NOW_MS - 120_000, NOW_MS),
)
reports = st.builds(
    lambda site, said, ok, total, age: replace(
        report(TOPOLOGY, f"at-{site}", site, said),
        self_check=SelfCheck(anchors_ok=min(ok, total), anchors_total=total),
        at_ms=NOW_MS - age,
    ),
    st.sampled_from([*SITES, None]),
    st.dictionaries(st.sampled_from(TARGETS), views, max_size=8),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 8_000),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(reports, max_size=4))
def test_every_matrix_of_reports_gives_a_lawful_picture(said: list) -> None:  # type: ignore[type-arg]
    given_reports = {one.vantage: one for one in said}
    picture = diagnose(TOPOLOGY, POLICY, given_reports, NOW_MS)
    again = diagnose(TOPOLOGY, POLICY, given_reports, NOW_MS, picture)
    assert set(picture.pools) == set(TOPOLOGY.pools) and set(again.pools) == set(TOPOLOGY.pools)
    assert picture.blind == (not picture.credible)
    if picture.blind:
        assert {pool.standing for pool in picture.pools.values()} == {Standing.UNKNOWN}
    for (_, site), pool in picture.pools.items():
        if pool.standing in BAD:
            outside = [one for one in said if one.vantage in picture.credible and one.site != site]
            voters = outside or [one for one in said if one.vantage in picture.credible]
            accusers = [
                one
                for one in voters
                if one.views[pool_target(WEB, site)].standing in BAD or one.views[site_target(site)].standing in BAD
            ]
            assert 2 * len({one.vantage for one in accusers}) > len({one.vantage for one in voters})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 1_000), min_size=3, max_size=3), st.sampled_from([Hardness.HARD, Hardness.GREY]))
def test_a_fault_of_all_sites_that_began_together_is_never_one_site_s(scores: list[int], hardness: Hardness) -> None:
    said = {pool_target(WEB, site): view(Standing.DEGRADED, score, hardness) for site, score in zip(SITES, scores, strict=True)}
    only = report(TOPOLOGY, "node", None, said)
    assert diagnose(TOPOLOGY, POLICY, {only.vantage: only}, NOW_MS).global_fault == {WEB}
