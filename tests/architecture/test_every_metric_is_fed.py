"""Every metric is fed by a node that runs, and every alert and panel hangs on metrics that are."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from architecture.test_every_code_is_produced import calm
from core.playbook import P
from nodes.running_node import NodeShape, RunningNode, _Connection, running_node
from runtime.test_operations_files import dashboard_expressions, metric_names, rules
from siteshift.app.daemon import _on_task
from siteshift.core.controller import step
from siteshift.core.lifecycle.start import Past, start
from siteshift.core.messages.events import ReadBackFailed
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import DiagnosisCode, EnactOutcome, Outcome, StandbyPhase
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.units import EnactorId
from siteshift.errors import Retryable
from siteshift.runtime.loop import Stepped
from siteshift.runtime.measure import Gauges
from siteshift.runtime.metrics import Done, Metrics, Told
from siteshift.runtime.supervise import TaskChange, TaskEvent

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def samples_of(text: str) -> Samples:
    """Samples by family of ours."""
    return {
        family.name: {(("name", one.name), *sorted(one.labels.items())): one.value for one in family.samples}
        for family in text_string_to_metric_families(text)
        if family.name.startswith("siteshift_")
    }


def fed(text: str) -> set[str]:
    """Families that differ from those of a process in which nothing happened."""
    untouched = samples_of(Metrics().render().decode())
    return {name for name, samples in samples_of(text).items() if samples != untouched[name]}


def scrape(node: RunningNode) -> str:
    connection = _Connection(node.socket)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def fed_by_a_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """A real node that drains, is reloaded, and sees a member fail."""
    shape = NodeShape(sections={"notifiers": [{"id": "log", "kind": "log"}]})
    with running_node(tmp_path_factory.mktemp("node"), shape) as node:
        started = samples_of(scrape(node))["siteshift_config_last_reload_successful"]
        assert set(started.values()) == {1.0}, "a file that was taken at the start is not called refused"
        node.act("drain", site="pangyo", reason="test")
        node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")
        node.act("drain", site="gasan", reason="test")
        node.act("drain", site="anyang", reason="test")
        before_reload = fed(scrape(node))
        node.members.stop("gasan-1")
        node.until(lambda status: any(entry["member"] for entry in status["diagnoses"]))
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)
        node.until(lambda _: 'siteshift_config_reloads_total{result="ok"} 2.0' in scrape(node))
        node.until(lambda _: "siteshift_notifications_total{" in scrape(node))
        yield before_reload | fed(scrape(node))


def fed_by_trouble() -> set[str]:
    """What only trouble feeds: the same wiring, given the trouble."""
    metrics = Metrics()
    gauges = Gauges(metrics=metrics, skew_ms=lambda: -1_250)
    gauges.failed("store", Retryable("full", system="sqlite", operation="append"))
    _on_task(TaskEvent(task="prober", change=TaskChange.FAILED, error=OSError("gone")), metrics)
    _on_task(TaskEvent(task="prober", change=TaskChange.RESTARTED), metrics)
    book = calm()
    event = ReadBackFailed(at_ms=book.now_ms, enactor=EnactorId("dns"), detail="refused")
    decision = step(book.state, event, book.setup)
    gauges.stepped(Stepped(event=event, before=book.state, decision=decision, violations=()), _Loop(book.setup))  # type: ignore[arg-type]
    book.self_check = SelfCheck(anchors_ok=0, anchors_total=2)
    book.run(5_000)
    forgotten = start(Past(lost="the store was damaged"), book.setup, now_ms=book.now_ms)
    gauges.sweep(book.state.changed(adoption=forgotten.adoption), book.setup, book.now_ms)
    return fed(metrics.render().decode())


class _Loop:
    """As much of the loop as the gauges ask."""

    def __init__(self, setup: object) -> None:
        self.setup = setup


def test_every_metric_is_fed_by_a_node_that_runs_or_by_the_trouble_it_counts(fed_by_a_node: set[str]) -> None:
    families = set(samples_of(Metrics().render().decode()))
    all_fed = fed_by_a_node | fed_by_trouble() | fed_by_a_metered_story()
    assert families - all_fed == set()
    asked = {name for rule in rules() for name in metric_names(str(rule["expr"]))}
    assert {re.sub(r"_(bucket|sum|count|total|info)$", "", name) for name in asked} <= all_fed | {"up"}
    assert {"siteshift_probe_start_lateness_seconds", "siteshift_probe_targets", "siteshift_findings"} <= fed_by_a_node


def fed_by_a_metered_story() -> set[str]:
    """Seen shares and what is left at a drained site, swept from a story whose traffic is measured."""
    book = calm()
    book.ask(DrainRequest(site=P))
    book.run(30_000)
    gauges = Gauges(metrics=Metrics())
    gauges.sweep(book.state, book.setup, book.now_ms)
    return fed(gauges.metrics.render().decode())


def test_a_metric_that_nothing_feeds_would_be_found() -> None:
    metrics = Metrics()
    metrics.decided(3)
    assert fed(metrics.render().decode()) == {"siteshift_decisions", "siteshift_steering_generation"}


VALUES = {
    "code": {code.value for code in DiagnosisCode},
    "outcome": {*(one.value for one in EnactOutcome), *(one.value for one in Outcome)},
    "phase": {phase.value for phase in StandbyPhase},
    "result": {word.value for word in (*Done, *Told)},
}


def test_what_alerts_and_panels_ask_of_a_label_is_a_value_it_can_have() -> None:
    expressions = [str(rule["expr"]) for rule in rules()] + dashboard_expressions()
    for expression in expressions:
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', expression):
            if label in VALUES:
                assert set(values.split("|")) <= VALUES[label], expression


def test_no_panel_is_without_a_query_of_ours_or_of_the_process() -> None:
    for expression in dashboard_expressions():
        assert any(name.startswith(("siteshift_", "process_")) for name in metric_names(expression)), expression
