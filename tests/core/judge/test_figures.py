"""Figures that lag (Prometheus): they accuse, they hold until the next ones are due, and they contradict no check."""

from __future__ import annotations

from core.playbook import G, P, three_sites
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Standing
from siteshift.core.model.evidence import TargetView
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import ServiceId, VantageId, pool_target

EVERY_MS = 15_000
GOOD_FOR_MS = 2 * EVERY_MS + 2_000
POOL = pool_target(ServiceId("web"), P)


def observer() -> Observer:
    return Observer(three_sites().topology, JudgePolicy(), VantageId("c1"), G)


def figures(one: Observer, at_ms: int, count: int, *, errors: int = 0, latency_ms: int | None = None) -> int:
    for _ in range(count):
        at_ms += EVERY_MS
        one.observe_counts(POOL, 1_000, errors, latency_ms, at_ms, GOOD_FOR_MS)
    return at_ms


def view(one: Observer, at_ms: int) -> TargetView:
    return one.report(at_ms).views[POOL]


def test_a_high_error_ratio_makes_the_pool_degraded_until_it_is_over() -> None:
    one = observer()
    at_ms = figures(one, 1_000_000, 3)
    assert view(one, at_ms).standing is Standing.UNKNOWN, "good figures alone prove nothing"
    at_ms = figures(one, at_ms, 6, errors=300)
    found = view(one, at_ms)
    assert found.standing in (Standing.DEGRADED, Standing.DOWN)
    assert found.reason == "seen in real traffic" and found.score_pm < 800
    assert view(one, at_ms + EVERY_MS).standing is found.standing, "it holds between two figures"
    at_ms = figures(one, at_ms, 30)
    assert view(one, at_ms).standing is Standing.UNKNOWN


def test_figures_that_stop_coming_are_no_evidence_any_more() -> None:
    one = observer()
    at_ms = figures(one, 1_000_000, 6, errors=300)
    assert view(one, at_ms).standing is not Standing.UNKNOWN
    assert view(one, at_ms + GOOD_FOR_MS + 1).standing is Standing.UNKNOWN


def test_a_high_latency_makes_the_pool_degraded() -> None:
    one = observer()
    at_ms = figures(one, 1_000_000, 12, latency_ms=2_000)
    assert view(one, at_ms).standing is Standing.DEGRADED
