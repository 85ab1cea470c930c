"""Every metric siteshift exposes, named by the Prometheus conventions (base units, ``_total``, ``_seconds``).

One `Metrics` a process, in a registry of its own. Callers use the typed methods and siteshift's units (ms, µs, basis
points); names and labels are decided here only. The alert rules and the dashboard in ``config/`` use these names, and a
test holds them to it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

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
from siteshift.core.model.units import WHOLE_BP, EnactorId, ServiceId, SiteId, TargetId
from siteshift.runtime.hot_metrics import HotCounter, HotHistogram

CONTENT_TYPE = CONTENT_TYPE_LATEST
MS_PER_S = 1_000

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


class Done(StrEnum):
    """How something ended that only works or does not."""

    OK = "ok"
    FAILED = "failed"


class Metrics:
    """The metrics of one process. All methods are cheap and meant for the loop's thread."""

    def __init__(self, *, version: str = "", node: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("siteshift_build", "What runs here.", registry=registry).info(
            {"version": version, "node": node, "python": platform.python_version()}
        )
        self._watching(registry)
        self._deciding(registry)
        self._acting(registry)
        self._remembering(registry)
        self._running(registry)
        self._by_topology = (
            self._standing,
            self._score,
            self._members,
            self._shed,
            self._residual,
            self._utilisation,
            self._diagnoses,
            self._standby,
            self._enacted_at,
            self._read_at,
            self._found,
            self._drifts,
        )

    def render(self) -> bytes:
        """The text exposition, to be served with `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def names(self) -> frozenset[str]:
        """Every sample name there can be, for those who check that rules and dashboards ask for what exists."""
        found: set[str] = set()
        for family in self.registry.collect():
            suffixes = {
                "counter": ("_total",),
                "histogram": ("_bucket", "_sum", "_count"),
                "summary": ("_sum", "_count"),
                "info": ("_info",),
            }.get(family.type, ("",))
            found.update(f"{family.name}{suffix}" for suffix in suffixes)
        return frozenset(found)

    def topology_changed(self) -> None:
        """Forget every series about services, sites and enactors after a reload: what is gone must not linger."""
        for family in (*self._shares.values(), *self._by_topology):
            family.clear()

    # ---- watching ---------------------------------------------------------------------------------------------------

    def _watching(self, registry: CollectorRegistry) -> None:
        self._probes = HotCounter(registry, "siteshift_probes", "Probes finished.", "outcome", Outcome)
        self._faults = HotCounter(registry, "siteshift_probe_faults", "Probes that failed, by why.", "fault", Fault)
        self._lateness = HotHistogram(
            registry, "siteshift_probe_start_lateness_seconds", "How late probes were started.", LATENESS_US
        )
        self._latency = HotHistogram(
            registry, "siteshift_probe_duration_seconds", "Time from a probe's start to its verdict.", LATENCY_US
        )
        self._targets = Gauge("siteshift_probe_targets", "Probes on the schedule.", registry=registry)
        self._standing = Gauge(
            "siteshift_standing",
            "What the evidence amounts to for a site or pool: 1 for the standing it has, 0 for the others.",
            ["target", "standing"],
            registry=registry,
        )
        self._score = Gauge("siteshift_score_ratio", "Health of a site or pool.", ["target"], registry=registry)
        self._members = Gauge(
            "siteshift_members", "Members of a pool by standing.", ["service", "site", "standing"], registry=registry
        )
        self._blind = Gauge(
            "siteshift_blind", "1 while the node cannot reach its anchors and doubts itself.", registry=registry
        )
        self._anchors = Gauge("siteshift_anchors_reachable", "Anchors that answer.", registry=registry)

    def probe_started(self, lateness_us: int) -> None:
        self._lateness.observe_us(lateness_us)

    def probe_finished(self, outcome: Outcome, fault: Fault, latency_us: int) -> None:
        """Once for every check. Hot: 0.5 µs."""
        self._probes.counts[outcome] += 1
        if outcome is Outcome.FAIL:
            self._faults.counts[fault] += 1
        self._latency.observe_us(latency_us)

    def probes_scheduled(self, count: int) -> None:
        self._targets.set(count)

    def standings(self, standings: Mapping[TargetId, tuple[Standing, int]]) -> None:
        """Standing and score (per mille) of every site and pool; replaces all. Members go to `members`."""
        self._standing.clear()
        self._score.clear()
        for target, (standing, score_pm) in standings.items():
            for value in Standing:
                self._standing.labels(target, value.value).set(value is standing)
            self._score.labels(target).set(score_pm / 1_000)

    def members(self, service: ServiceId, site: SiteId, standings: Iterable[Standing]) -> None:
        """How many members of a pool stand how."""
        counts = dict.fromkeys(Standing, 0)
        for standing in standings:
            counts[standing] += 1
        for standing, count in counts.items():
            self._members.labels(service, site, standing.value).set(count)

    def self_check(self, *, anchors_ok: int, blind: int) -> None:
        """``blind`` is 1 or 0."""
        self._anchors.set(anchors_ok)
        self._blind.set(blind)

    # ---- deciding ---------------------------------------------------------------------------------------------------

    def _deciding(self, registry: CollectorRegistry) -> None:
        self._events = Counter("siteshift_events", "Events folded by the core.", ["kind"], registry=registry)
        self._step = HotHistogram(registry, "siteshift_step_duration_seconds", "Time of one step.", STEP_US)
        self._decisions = Counter(
            "siteshift_decisions", "Steerings decided (each has a generation).", registry=registry
        )
        self._commands = Counter("siteshift_commands", "Commands of the core.", ["kind"], registry=registry)
        self._findings = Counter("siteshift_findings", "What the gate found.", ["code", "severity"], registry=registry)
        self._generation = Gauge(
            "siteshift_steering_generation", "Generation of the desired steering.", registry=registry
        )
        self._shares = {
            kind: Gauge(
                f"siteshift_{kind.value}_share_ratio",
                f"The part of a service's traffic a site gets: {kind.value}.",
                ["service", "site"],
                registry=registry,
            )
            for kind in ShareKind
        }
        self._shed = Gauge(
            "siteshift_shed_ratio", "Demand of a service nobody can carry.", ["service"], registry=registry
        )
        self._residual = Gauge(
            "siteshift_residual_ratio", "Traffic still reaching a drained site.", ["service", "site"], registry=registry
        )
        self._utilisation = Gauge(
            "siteshift_utilisation_ratio", "Load against capacity of a pool.", ["service", "site"], registry=registry
        )
        self._diagnoses = Gauge(
            "siteshift_diagnosis_active",
            "1 while this fault is diagnosed.",
            ["code", "site", "service"],
            registry=registry,
        )
        self._overrides = Gauge("siteshift_overrides_active", "Overrides in force.", ["kind"], registry=registry)
        self.overrides({})

    def event(self, kind: str, duration_us: int) -> None:
        """One event folded by the core, and how long the step took."""
        self._events.labels(kind).inc()
        self._step.observe_us(duration_us)

    def command(self, kind: str) -> None:
        self._commands.labels(kind).inc()

    def decided(self, generation: int) -> None:
        """A new desired steering."""
        self._decisions.inc()
        self._generation.set(generation)

    def finding(self, code: FindingCode, severity: Severity) -> None:
        self._findings.labels(code.value, severity.value).inc()

    def shares(self, kind: ShareKind, service: ServiceId, shares_bp: Mapping[SiteId, int]) -> None:
        """A service's shares in basis points, by site."""
        for site, share_bp in shares_bp.items():
            self._shares[kind].labels(service, site).set(share_bp / WHOLE_BP)

    def shed(self, service: ServiceId, shed_bp: int) -> None:
        self._shed.labels(service).set(shed_bp / WHOLE_BP)

    def residual(self, service: ServiceId, site: SiteId, residual_bp: int) -> None:
        self._residual.labels(service, site).set(residual_bp / WHOLE_BP)

    def utilisation(self, service: ServiceId, site: SiteId, utilisation_pm: int) -> None:
        self._utilisation.labels(service, site).set(utilisation_pm / 1_000)

    def diagnoses(self, active: Iterable[Diagnosis]) -> None:
        """Everything that is diagnosed now; replaces what was."""
        self._diagnoses.clear()
        for diagnosis in active:
            self.diagnosis(diagnosis.code, site=diagnosis.site, service=diagnosis.service)

    def diagnosis(self, code: DiagnosisCode, *, site: SiteId | None, service: ServiceId | None) -> None:
        """One more diagnosis that holds now."""
        self._diagnoses.labels(code.value, site or "", service or "").set(1)

    def overrides(self, active: Mapping[OverrideKind, int]) -> None:
        """How many overrides of each kind are in force."""
        for kind in OverrideKind:
            self._overrides.labels(kind.value).set(active.get(kind, 0))

    # ---- acting -----------------------------------------------------------------------------------------------------

    def _acting(self, registry: CollectorRegistry) -> None:
        self._enactments = Counter(
            "siteshift_enactments", "Writes to data planes.", ["enactor", "outcome"], registry=registry
        )
        self._enact_time = Histogram(
            "siteshift_enactment_duration_seconds", "Time of a write.", ["enactor"], buckets=WRITE_S, registry=registry
        )
        self._enacted_at = Gauge(
            "siteshift_enactor_last_success_timestamp_seconds",
            "When a write last succeeded.",
            ["enactor"],
            registry=registry,
        )
        self._read_at = Gauge(
            "siteshift_enactor_last_read_back_timestamp_seconds",
            "When a data plane was last read.",
            ["enactor"],
            registry=registry,
        )
        self._read_errors = Counter(
            "siteshift_enactor_read_back_errors", "Data planes that could not be read.", ["enactor"], registry=registry
        )
        self._found = Gauge(
            "siteshift_enactor_generation", "Generation found on a data plane.", ["enactor"], registry=registry
        )
        self._drifts = Gauge(
            "siteshift_enactor_drifts", "Differences from what was written.", ["enactor"], registry=registry
        )
        self._standby = Gauge(
            "siteshift_standby_members", "Standby members by phase.", ["service", "site", "phase"], registry=registry
        )
        self._notifications = Counter(
            "siteshift_notifications", "Notifications sent.", ["notifier", "result"], registry=registry
        )

    def enacted(self, enactor: EnactorId, outcome: EnactOutcome, *, at_ms: int, duration_ms: int) -> None:
        """One write to a data plane."""
        self._enactments.labels(enactor, outcome.value).inc()
        self._enact_time.labels(enactor).observe(duration_ms / MS_PER_S)
        if outcome is EnactOutcome.APPLIED:
            self._enacted_at.labels(enactor).set(at_ms / MS_PER_S)

    def read_back(self, enactor: EnactorId, *, at_ms: int, generation: int | None, drifts: int) -> None:
        """What a data plane has. A generation that it forgot is -1."""
        self._read_at.labels(enactor).set(at_ms / MS_PER_S)
        self._found.labels(enactor).set(-1 if generation is None else generation)
        self._drifts.labels(enactor).set(drifts)

    def read_back_failed(self, enactor: EnactorId) -> None:
        self._read_errors.labels(enactor).inc()

    def standby(self, service: ServiceId, site: SiteId, phases: Iterable[StandbyPhase]) -> None:
        """In which phase the standby members of a pool are."""
        counts = dict.fromkeys(StandbyPhase, 0)
        for phase in phases:
            counts[phase] += 1
        for phase, count in counts.items():
            self._standby.labels(service, site, phase.value).set(count)

    def notified(self, notifier: str, result: Done) -> None:
        self._notifications.labels(notifier, result.value).inc()

    # ---- remembering ------------------------------------------------------------------------------------------------

    def _remembering(self, registry: CollectorRegistry) -> None:
        self._entries = Counter("siteshift_journal_entries", "Entries written durably.", registry=registry)
        self._journal_errors = Counter("siteshift_journal_errors", "Appends that failed.", ["kind"], registry=registry)
        self._journal_time = Histogram(
            "siteshift_journal_append_duration_seconds", "Time until durable.", buckets=WRITE_S, registry=registry
        )
        self._journal_head = Gauge("siteshift_journal_sequence", "Last entry of the journal.", registry=registry)
        self._store_errors = Counter(
            "siteshift_store_errors", "Calls of the store that failed.", ["operation"], registry=registry
        )

    def journalled(self, entries: int, *, sequence: int, duration_ms: int) -> None:
        """Entries that are durable now, up to ``sequence``."""
        self._entries.inc(entries)
        self._journal_head.set(sequence)
        self._journal_time.observe(duration_ms / MS_PER_S)

    def journal_failed(self, error: BaseException) -> None:
        """An append that failed; labelled by the kind of error (Retryable, Permanent, Ambiguous)."""
        self._journal_errors.labels(type(error).__name__).inc()

    def store_failed(self, operation: str) -> None:
        self._store_errors.labels(operation).inc()

    # ---- running ----------------------------------------------------------------------------------------------------

    def _running(self, registry: CollectorRegistry) -> None:
        self._leader = Gauge("siteshift_leader", "1 while this node decides.", registry=registry)
        self._lag = HotHistogram(registry, "siteshift_event_loop_lag_seconds", "How late the loop is.", LAG_US)
        self._skew = Gauge("siteshift_clock_skew_seconds", "Wall clock minus siteshift time.", registry=registry)
        self._reloads = Counter("siteshift_config_reloads", "Reloads of the config.", ["result"], registry=registry)
        self._reloaded_at = Gauge(
            "siteshift_config_last_reload_success_timestamp_seconds",
            "When the config in force was read.",
            registry=registry,
        )
        self._reload_ok = Gauge(
            "siteshift_config_last_reload_successful",
            "0 while the file differs from what is in force because it is wrong.",
            registry=registry,
        )
        self._task_failures = Counter("siteshift_task_failures", "Tasks that failed.", ["task"], registry=registry)
        self._task_restarts = Counter(
            "siteshift_task_restarts", "Tasks that were started again.", ["task"], registry=registry
        )
        for result in Done:
            self._reloads.labels(result.value)

    def leading(self, leader: int) -> None:
        """1 while this node decides, else 0."""
        self._leader.set(leader)

    def loop_lag(self, lag_us: int) -> None:
        self._lag.observe_us(lag_us)

    def clock_skew(self, skew_ms: int) -> None:
        self._skew.set(skew_ms / MS_PER_S)

    def reloaded(self, result: Done, *, at_ms: int) -> None:
        """The config was read (also at start), or refused as a whole."""
        self._reloads.labels(result.value).inc()
        self._reload_ok.set(result is Done.OK)
        if result is Done.OK:
            self._reloaded_at.set(at_ms / MS_PER_S)

    def task_failed(self, task: str) -> None:
        self._task_failures.labels(task).inc()

    def task_restarted(self, task: str) -> None:
        self._task_restarts.labels(task).inc()
