"""The metric families: every name, help text, label and bucket. `runtime.metrics` is how they are fed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from siteshift.core.model.codes import Fault, Outcome
from siteshift.runtime.hot_metrics import HotCounter, HotHistogram

LATENESS_US = (250, 500, 1_000, 2_000, 3_500, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000)
"""Around the 5 ms that the prober promises at p99."""
LATENCY_US = (500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 400_000, 800_000, 2_000_000)
LAG_US = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000)
"""Around the 10 ms that nothing may hold the loop longer."""
STEP_US = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
WRITE_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ShareKind(StrEnum):
    """The three different facts about a share (DESIGN §1)."""

    DESIRED = "desired"
    ACTUAL = "actual"
    SEEN = "seen"


class Told(StrEnum):
    """How a telling went: delivered, not at the first attempt and asked again, or given up."""

    OK = "ok"
    RETRIED = "retried"
    FAILED = "failed"


class Done(StrEnum):
    """How something ended that only works or does not."""

    OK = "ok"
    FAILED = "failed"


class Watching:
    """What is seen: probes, standings, the node's own sight."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.probes = HotCounter(registry, "siteshift_probes", "Probes finished.", "outcome", Outcome)
        self.faults = HotCounter(registry, "siteshift_probe_faults", "Probes that failed, by why.", "fault", Fault)
        self.lateness = HotHistogram(
            registry, "siteshift_probe_start_lateness_seconds", "How late probes were started.", LATENESS_US
        )
        self.latency = HotHistogram(
            registry, "siteshift_probe_duration_seconds", "Time from a probe's start to its verdict.", LATENCY_US
        )
        self.targets = Gauge("siteshift_probe_targets", "Probes on the schedule.", registry=registry)
        self.standing = Gauge(
            "siteshift_standing",
            "What the evidence amounts to for a site or pool: 1 for the standing it has, 0 for the others.",
            ["target", "standing"],
            registry=registry,
        )
        self.score = Gauge("siteshift_score_ratio", "Health of a site or pool.", ["target"], registry=registry)
        self.members = Gauge(
            "siteshift_members", "Members of a pool by standing.", ["service", "site", "standing"], registry=registry
        )
        self.blind = Gauge("siteshift_blind", "1 while the node cannot reach its anchors and doubts itself.", registry=registry)
        self.anchors = Gauge("siteshift_anchors_reachable", "Anchors that answer.", registry=registry)


class Deciding:
    """What is decided: events, steering, shares, findings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("siteshift_events", "Events folded by the core.", ["kind"], registry=registry)
        self.step = HotHistogram(registry, "siteshift_step_duration_seconds", "Time of one step.", STEP_US)
        self.decisions = Counter("siteshift_decisions", "Steerings decided (each has a generation).", registry=registry)
        self.commands = Counter("siteshift_commands", "Commands of the core.", ["kind"], registry=registry)
        self.findings = Counter("siteshift_findings", "What the gate found.", ["code", "severity"], registry=registry)
        self.held = Gauge(
            "siteshift_held_as_adopted",
            "Services at sites that are held as they were found, for nobody remembers why they are so.",
            registry=registry,
        )
        self.generation = Gauge("siteshift_steering_generation", "Generation of the desired steering.", registry=registry)
        self.shares = {
            kind: Gauge(
                f"siteshift_{kind.value}_share_ratio",
                f"The part of a service's traffic a site gets: {kind.value}.",
                ["service", "site"],
                registry=registry,
            )
            for kind in ShareKind
        }
        self.shed = Gauge("siteshift_shed_ratio", "Demand of a service nobody can carry.", ["service"], registry=registry)
        self.residual = Gauge(
            "siteshift_residual_ratio", "Traffic still reaching a drained site.", ["service", "site"], registry=registry
        )
        self.utilisation = Gauge(
            "siteshift_utilisation_ratio", "Load against capacity of a pool.", ["service", "site"], registry=registry
        )
        self.diagnoses = Gauge(
            "siteshift_diagnosis_active",
            "1 while this fault is diagnosed.",
            ["code", "site", "service"],
            registry=registry,
        )
        self.overrides = Gauge("siteshift_overrides_active", "Overrides in force.", ["kind"], registry=registry)


class Acting:
    """What is done: data planes, standbys, notifications."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.enactments = Counter("siteshift_enactments", "Writes to data planes.", ["enactor", "outcome"], registry=registry)
        self.enact_time = Histogram(
            "siteshift_enactment_duration_seconds", "Time of a write.", ["enactor"], buckets=WRITE_S, registry=registry
        )
        self.enacted_at = Gauge(
            "siteshift_enactor_last_success_timestamp_seconds",
            "When a write last succeeded.",
            ["enactor"],
            registry=registry,
        )
        self.read_at = Gauge(
            "siteshift_enactor_last_read_back_timestamp_seconds",
            "When a data plane was last read.",
            ["enactor"],
            registry=registry,
        )
        self.read_errors = Counter(
            "siteshift_enactor_read_back_errors", "Data planes that could not be read.", ["enactor"], registry=registry
        )
        self.found = Gauge("siteshift_enactor_generation", "Generation found on a data plane.", ["enactor"], registry=registry)
        self.drifts = Gauge("siteshift_enactor_drifts", "Differences from what was written.", ["enactor"], registry=registry)
        self.standby = Gauge(
            "siteshift_standby_members", "Standby members by phase.", ["service", "site", "phase"], registry=registry
        )
        self.notifications = Counter("siteshift_notifications", "Notifications sent.", ["notifier", "result"], registry=registry)


class Remembering:
    """What is kept: journal and store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter("siteshift_journal_entries", "Entries written durably.", registry=registry)
        self.journal_errors = Counter("siteshift_journal_errors", "Appends that failed.", ["kind"], registry=registry)
        self.journal_time = Histogram(
            "siteshift_journal_append_duration_seconds", "Time until durable.", buckets=WRITE_S, registry=registry
        )
        self.journal_head = Gauge("siteshift_journal_sequence", "Last entry of the journal.", registry=registry)
        self.journal_bytes = Gauge(
            "siteshift_journal_bytes", "Size of the record: the database, and sealed segments.", ["part"], registry=registry
        )
        self.store_errors = Counter("siteshift_store_errors", "Calls of the store that failed.", ["operation"], registry=registry)


ListenerCounts = Callable[[], Mapping[str, tuple[int, Mapping[str, int]]]]
"""Listener → connections now, and how many were refused or ended so far, by reason."""


class Listening(Collector):
    """Who is connected to us, and who had to go: counted where it happens, read when Prometheus asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.counts: ListenerCounts = dict
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily("siteshift_listener_connections", "Clients connected.", labels=["listener"])
        gone = CounterMetricFamily(
            "siteshift_listener_refused",
            "Clients that were not let in, or ended to make room or because they kept us waiting.",
            labels=["listener", "reason"],
        )
        for listener, (now, by_reason) in self.counts().items():
            connected.add_metric([listener], now)
            for reason, count in by_reason.items():
                gone.add_metric([listener, reason], count)
        yield connected
        yield gone


class Running:
    """How the process itself is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leader = Gauge("siteshift_leader", "1 while this node decides.", registry=registry)
        self.lag = HotHistogram(registry, "siteshift_event_loop_lag_seconds", "How late the loop is.", LAG_US)
        self.skew = Gauge("siteshift_clock_skew_seconds", "Wall clock minus siteshift time.", registry=registry)
        self.reloads = Counter("siteshift_config_reloads", "Reloads of the config.", ["result"], registry=registry)
        self.reloaded_at = Gauge(
            "siteshift_config_last_reload_success_timestamp_seconds",
            "When the config in force was read.",
            registry=registry,
        )
        self.reload_ok = Gauge(
            "siteshift_config_last_reload_successful",
            "0 while the file differs from what is in force because it is wrong.",
            registry=registry,
        )
        self.task_failures = Counter("siteshift_task_failures", "Tasks that failed.", ["task"], registry=registry)
        self.task_restarts = Counter("siteshift_task_restarts", "Tasks that were started again.", ["task"], registry=registry)
