"""What a view says the checks said: how many of how many, since when, in the target's own words."""

from __future__ import annotations

from core.judge.cases import NOW_MS, PANGYO, WEB, deployment
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Outcome, Standing
from siteshift.core.model.evidence import Evidence, TargetView
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import TargetId, VantageId

WINDOW = 60


class Bench:
    """One observer, and one member of pangyo that is checked once a second."""

    def __init__(self) -> None:
        topology = deployment()
        self.observer = Observer(topology, JudgePolicy(), VantageId("v"), None)
        pool = topology.pools[WEB, PANGYO]
        self.target: TargetId = pool.members[0].target
        self.at_ms = NOW_MS

    def passes(self, count: int, latency_us: int = 1_000, detail: str = "") -> Bench:
        return self._say(count, Outcome.PASS, Fault.NONE, latency_us, detail)

    def fails(self, count: int, fault: Fault, detail: str = "") -> Bench:
        return self._say(count, Outcome.FAIL, fault, 0, detail)

    def _say(self, count: int, outcome: Outcome, fault: Fault, latency_us: int, detail: str) -> Bench:
        for _ in range(count):
            self.at_ms += 1_000
            self.observer.result(self.target, outcome, fault, latency_us, self.at_ms, self.at_ms, detail=detail)
            self.observer.tick(self.at_ms)
        return self

    def view(self) -> TargetView:
        return self.observer.report(self.at_ms).views[self.target]

    def evidence(self) -> Evidence:
        found = self.view().evidence
        assert found is not None
        return found


def test_a_refused_member_is_told_with_how_many_of_how_many_since_when() -> None:
    bench = Bench().passes(30).fails(12, Fault.REFUSED, "Connection refused")
    assert bench.evidence() == Evidence(
        fault=Fault.REFUSED, detail="Connection refused", alike=12, failed=12, checks=12, since_ms=NOW_MS + 31_000
    )


def test_every_third_answer_a_500_is_told_as_one_in_three_of_the_last_sixty() -> None:
    bench = Bench().passes(30)
    for _ in range(40):
        bench.fails(1, Fault.BAD_STATUS, "status 500").passes(2)
    found = bench.evidence()
    assert (found.fault, found.detail, found.alike, found.checks) == (Fault.BAD_STATUS, "status 500", 20, WINDOW)
    assert found.since_ms == NOW_MS + 31_000


def test_another_fault_is_told_in_its_own_words_and_the_old_ones_are_still_counted_as_failed() -> None:
    bench = Bench().passes(30).fails(5, Fault.REFUSED).fails(3, Fault.BAD_CERTIFICATE, "certificate has expired")
    found = bench.evidence()
    assert (found.fault, found.detail, found.alike, found.failed, found.checks) == (
        Fault.BAD_CERTIFICATE,
        "certificate has expired",
        3,
        8,
        8,
    )


def test_two_checks_in_turns_that_find_the_same_fault_are_counted_together() -> None:
    bench = Bench().passes(30)
    for _ in range(6):
        bench.fails(1, Fault.REFUSED, "Connection refused").fails(1, Fault.REFUSED, "step 1: Connection refused")
    found = bench.evidence()
    assert (found.fault, found.alike, found.failed, found.checks) == (Fault.REFUSED, 12, 12, 12)


def test_two_faults_in_turns_are_each_counted_through() -> None:
    bench = Bench().passes(30)
    for _ in range(6):
        bench.fails(1, Fault.BAD_STATUS, "status 500").fails(1, Fault.REFUSED, "Connection refused")
    found = bench.evidence()
    assert (found.fault, found.alike, found.failed, found.checks) == (Fault.REFUSED, 6, 12, 12)


def test_a_member_that_is_only_slow_is_told_with_what_it_exceeds() -> None:
    bench = Bench().passes(30).passes(20, latency_us=700_000)
    found = bench.evidence()
    assert (found.fault, found.detail, found.alike, found.checks) == (Fault.SLOW, "over 500 ms", 20, 20)


def test_a_member_that_is_well_again_has_no_evidence_against_it() -> None:
    bench = Bench().passes(30).fails(12, Fault.REFUSED).passes(300)
    assert bench.view().standing is Standing.UP
    assert bench.view().evidence is None


def test_what_the_wire_said_is_shown_in_one_printable_line_of_bounded_length() -> None:
    bench = Bench().passes(30).fails(3, Fault.BAD_CONTENT, "header x: \x1b[31mred\n\u202e" + "y" * 500)
    assert bench.evidence().detail.isprintable()
    assert len(bench.evidence().detail) <= 120


def test_one_more_failure_alike_is_no_news_to_the_core() -> None:
    bench = Bench().passes(30).fails(12, Fault.REFUSED)
    before = bench.view()
    bench.fails(1, Fault.REFUSED)
    assert bench.view() == before
    assert bench.view().evidence != before.evidence
