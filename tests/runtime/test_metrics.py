"""What Prometheus reads."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from siteshift.core.model.codes import (
    DiagnosisCode,
    EnactOutcome,
    Fault,
    FindingCode,
    Outcome,
    OverrideKind,
    Severity,
    StandbyPhase,
    Standing,
)
from siteshift.core.model.evidence import Diagnosis
from siteshift.core.model.units import EnactorId, ServiceId, SiteId, TargetId
from siteshift.errors import Retryable
from siteshift.runtime.metrics import CONTENT_TYPE, Done, Metrics, ShareKind, Told

WEB = ServiceId("web")
PANGYO = SiteId("pangyo")
GASAN = SiteId("gasan")
LB = EnactorId("pangyo-lb1")


def fill(metrics: Metrics) -> None:
    """Call every method once."""
    metrics.probes_started(700, 1)
    metrics.probe_finished(Outcome.PASS, Fault.NONE, 900)
    metrics.probe_finished(Outcome.FAIL, Fault.REFUSED, 300)
    metrics.probes_scheduled(12)
    metrics.watch_listeners(lambda: {"api unix": (3, {"full": 2})})
    metrics.standings({TargetId("site:pangyo"): (Standing.DOWN, 0), TargetId("site:gasan"): (Standing.UP, 1_000)})
    metrics.members(WEB, PANGYO, [Standing.DOWN, Standing.DOWN, Standing.UP])
    metrics.self_check(anchors_ok=2, blind=0)
    metrics.event("tick", 40)
    metrics.command("write_steering")
    metrics.decided(7)
    metrics.finding(FindingCode.LAST_SERVING_SITE, Severity.REFUSED)
    for kind in ShareKind:
        metrics.shares(kind, WEB, {PANGYO: 0, GASAN: 10_000})
    metrics.shed(WEB, 250)
    metrics.residual(WEB, PANGYO, 130)
    metrics.utilisation(WEB, GASAN, 870)
    metrics.diagnoses([Diagnosis(code=DiagnosisCode.SITE_DOWN, since_ms=1, reason="dark", site=PANGYO)])
    metrics.overrides({OverrideKind.DRAIN: 2})
    metrics.enacted(LB, EnactOutcome.APPLIED, at_ms=1_700_000_000_500, duration_ms=12)
    metrics.enacted(LB, EnactOutcome.AMBIGUOUS, at_ms=1_700_000_001_500, duration_ms=5_000)
    metrics.read_back(LB, at_ms=1_700_000_002_000, generation=None, drifts=3)
    metrics.read_back_failed(LB)
    metrics.standby(WEB, GASAN, [StandbyPhase.READY])
    metrics.notified("webhook", Told.FAILED)
    metrics.journalled(3, sequence=9, duration_ms=4)
    metrics.journal_failed(Retryable("full", system="sqlite", operation="append"))
    metrics.store_failed("save")
    metrics.leading(1)
    metrics.loop_lag(1_500)
    metrics.clock_skew(-1_250)
    metrics.reloaded(Done.OK, at_ms=1_700_000_000_000)
    metrics.reloaded(Done.FAILED, at_ms=1_700_000_009_000)
    metrics.task_failed("prober")
    metrics.task_restarted("prober")


@pytest.fixture
def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    metrics = Metrics(version="0.1.0", node="pangyo-1")
    fill(metrics)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("siteshift_probes_total", {"outcome": "pass"}, 1),
        ("siteshift_probes_total", {"outcome": "lost"}, 0),
        ("siteshift_probe_faults_total", {"fault": "refused"}, 1),
        ("siteshift_probe_start_lateness_seconds_bucket", {"le": "0.0005"}, 0),
        ("siteshift_probe_start_lateness_seconds_bucket", {"le": "0.001"}, 1),
        ("siteshift_probe_start_lateness_seconds_bucket", {"le": "+Inf"}, 1),
        ("siteshift_probe_duration_seconds_count", {}, 2),
        ("siteshift_probe_duration_seconds_sum", {}, 0.0012),
        ("siteshift_standing", {"target": "site:pangyo", "standing": "down"}, 1),
        ("siteshift_standing", {"target": "site:pangyo", "standing": "up"}, 0),
        ("siteshift_score_ratio", {"target": "site:gasan"}, 1),
        ("siteshift_members", {"service": "web", "site": "pangyo", "standing": "down"}, 2),
        ("siteshift_desired_share_ratio", {"service": "web", "site": "gasan"}, 1),
        ("siteshift_seen_share_ratio", {"service": "web", "site": "pangyo"}, 0),
        ("siteshift_shed_ratio", {"service": "web"}, 0.025),
        ("siteshift_residual_ratio", {"service": "web", "site": "pangyo"}, 0.013),
        ("siteshift_diagnosis_active", {"code": "SITE_DOWN", "site": "pangyo", "service": ""}, 1),
        ("siteshift_overrides_active", {"kind": "drain"}, 2),
        ("siteshift_overrides_active", {"kind": "freeze"}, 0),
        ("siteshift_findings_total", {"code": "LAST_SERVING_SITE", "severity": "refused"}, 1),
        ("siteshift_enactments_total", {"enactor": "pangyo-lb1", "outcome": "ambiguous"}, 1),
        ("siteshift_enactor_last_success_timestamp_seconds", {"enactor": "pangyo-lb1"}, 1_700_000_000.5),
        ("siteshift_enactor_generation", {"enactor": "pangyo-lb1"}, -1),
        ("siteshift_journal_entries_total", {}, 3),
        ("siteshift_journal_errors_total", {"kind": "Retryable"}, 1),
        ("siteshift_event_loop_lag_seconds_bucket", {"le": "0.002"}, 1),
        ("siteshift_clock_skew_seconds", {}, -1.25),
        ("siteshift_config_reloads_total", {"result": "failed"}, 1),
        ("siteshift_config_last_reload_successful", {}, 0),
        ("siteshift_config_last_reload_success_timestamp_seconds", {}, 1_700_000_000),
        ("siteshift_steering_generation", {}, 7),
        ("siteshift_leader", {}, 1),
    ],
)
def test_each_fact_is_shown_in_base_units(
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, labels: dict[str, str], value: float
) -> None:
    assert samples[name, tuple(sorted(labels.items()))] == pytest.approx(value)


def test_what_ended_is_not_shown_any_more() -> None:
    metrics = Metrics()
    fill(metrics)
    metrics.diagnoses([])
    assert b"siteshift_diagnosis_active{" not in metrics.render()
    metrics.topology_changed()
    text = metrics.render()
    for gone in (b'pangyo-lb1"} 1.7', b'site="pangyo"', b"site:pangyo"):
        assert gone not in text
    assert b'siteshift_enactments_total{enactor="pangyo-lb1",outcome="applied"} 1.0' in text


def test_two_of_them_do_not_share_anything() -> None:
    one, other = Metrics(), Metrics()
    fill(one)
    assert b'siteshift_probes_total{outcome="pass"} 1.0' in one.render()
    assert b'siteshift_probes_total{outcome="pass"} 0.0' in other.render()


def test_every_exposed_sample_has_its_name_in_names_and_follows_the_conventions() -> None:
    metrics = Metrics()
    fill(metrics)
    exposed = {sample.name for family in text_string_to_metric_families(metrics.render().decode()) for sample in family.samples}
    assert exposed <= metrics.names()
    assert not [name for name in exposed if name.endswith(("_ms", "_bp", "_pm", "_us", "_created"))]
    assert CONTENT_TYPE.startswith("text/plain")


def test_promtool_finds_nothing_to_criticise() -> None:
    """Needs promtool of Debian's package `prometheus`."""
    metrics = Metrics(version="0.1.0")
    fill(metrics)
    text = b"".join(
        line
        for line in metrics.render().splitlines(keepends=True)
        if b"siteshift_" in line  # the families of python and the process are not ours to name
    )
    try:
        run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
