"""Every metric siteshift exposes, named by the Prometheus conventions (base units, ``_total``, ``_seconds``).

One `Metrics` a process, in a registry of its own. Callers use the typed methods and siteshift's units (ms, µs, basis
points); names and labels are in `runtime.metric_families`. The alert rules and the dashboard in ``config/`` use these
names, and a test holds them to it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
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
from siteshift.runtime.metric_families import (
    Acting,
    Deciding,
    Done,
    ListenerCounts,
    Listening,
    Remembering,
    Running,
    ShareKind,
    Told,
    Watching,
)

__all__ = ["CONTENT_TYPE", "Done", "Metrics", "ShareKind", "Told"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
MS_PER_S = 1_000


class Metrics:
    """The metrics of one process. All methods are cheap and meant for the loop's thread."""

    def __init__(self, *, version: str = "", node: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("siteshift_build", "What runs here.", registry=registry).info(
            {"version": version, "node": node, "python": platform.python_version()}
        )
        self._watching = Watching(registry)
        self._deciding = Deciding(registry)
        self._acting = Acting(registry)
        self._remembering = Remembering(registry)
        self._running = Running(registry)
        self._listening = Listening(registry)
        self.overrides({})
        for result in Done:
            self._running.reloads.labels(result.value)
        self._by_topology = (
            self._watching.standing,
            self._watching.score,
            self._watching.members,
            self._deciding.shed,
            self._deciding.residual,
            self._deciding.utilisation,
            self._deciding.diagnoses,
            self._acting.standby,
            self._acting.enacted_at,
            self._acting.read_at,
            self._acting.found,
            self._acting.drifts,
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
        for family in (*self._deciding.shares.values(), *self._by_topology):
            family.clear()

    # ---- watching ---------------------------------------------------------------------------------------------------

    def probes_started(self, lateness_us: int, count: int) -> None:
        """So many probes that were started so late."""
        self._watching.lateness.observe_many_us(lateness_us, count)

    def probe_finished(self, outcome: Outcome, fault: Fault, latency_us: int) -> None:
        """Once for every check. Hot: 0.5 µs."""
        self._watching.probes.counts[outcome] += 1
        if outcome is Outcome.FAIL:
            self._watching.faults.counts[fault] += 1
        self._watching.latency.observe_us(latency_us)

    def probes_scheduled(self, count: int) -> None:
        self._watching.targets.set(count)

    def standings(self, standings: Mapping[TargetId, tuple[Standing, int]]) -> None:
        """Standing and score (per mille) of every site and pool; replaces all. Members go to `members`."""
        self._watching.standing.clear()
        self._watching.score.clear()
        for target, (standing, score_pm) in standings.items():
            for value in Standing:
                self._watching.standing.labels(target, value.value).set(value is standing)
            self._watching.score.labels(target).set(score_pm / 1_000)

    def members(self, service: ServiceId, site: SiteId, standings: Iterable[Standing]) -> None:
        """How many members of a pool stand how."""
        counts = dict.fromkeys(Standing, 0)
        for standing in standings:
            counts[standing] += 1
        for standing, count in counts.items():
            self._watching.members.labels(service, site, standing.value).set(count)

    def self_check(self, *, anchors_ok: int, blind: int) -> None:
        """``blind`` is 1 or 0."""
        self._watching.anchors.set(anchors_ok)
        self._watching.blind.set(blind)

    # ---- deciding ---------------------------------------------------------------------------------------------------

    def event(self, kind: str, duration_us: int) -> None:
        """One event folded by the core, and how long the step took."""
        self._deciding.events.labels(kind).inc()
        self._deciding.step.observe_us(duration_us)

    def command(self, kind: str) -> None:
        self._deciding.commands.labels(kind).inc()

    def decided(self, generation: int) -> None:
        """A new desired steering."""
        self._deciding.decisions.inc()
        self._deciding.generation.set(generation)

    def finding(self, code: FindingCode, severity: Severity) -> None:
        self._deciding.findings.labels(code.value, severity.value).inc()

    def shares(self, kind: ShareKind, service: ServiceId, shares_bp: Mapping[SiteId, int]) -> None:
        """A service's shares in basis points, by site."""
        for site, share_bp in shares_bp.items():
            self._deciding.shares[kind].labels(service, site).set(share_bp / WHOLE_BP)

    def shed(self, service: ServiceId, shed_bp: int) -> None:
        self._deciding.shed.labels(service).set(shed_bp / WHOLE_BP)

    def residual(self, service: ServiceId, site: SiteId, residual_bp: int) -> None:
        self._deciding.residual.labels(service, site).set(residual_bp / WHOLE_BP)

    def utilisation(self, service: ServiceId, site: SiteId, utilisation_pm: int) -> None:
        self._deciding.utilisation.labels(service, site).set(utilisation_pm / 1_000)

    def diagnoses(self, active: Iterable[Diagnosis]) -> None:
        """Everything that is diagnosed now; replaces what was."""
        self._deciding.diagnoses.clear()
        for diagnosis in active:
            self.diagnosis(diagnosis.code, site=diagnosis.site, service=diagnosis.service)

    def diagnosis(self, code: DiagnosisCode, *, site: SiteId | None, service: ServiceId | None) -> None:
        """One more diagnosis that holds now."""
        self._deciding.diagnoses.labels(code.value, site or "", service or "").set(1)

    def overrides(self, active: Mapping[OverrideKind, int]) -> None:
        """How many overrides of each kind are in force."""
        for kind in OverrideKind:
            self._deciding.overrides.labels(kind.value).set(active.get(kind, 0))

    # ---- acting -----------------------------------------------------------------------------------------------------

    def enacted(self, enactor: EnactorId, outcome: EnactOutcome, *, at_ms: int, duration_ms: int) -> None:
        """One write to a data plane."""
        self._acting.enactments.labels(enactor, outcome.value).inc()
        self._acting.enact_time.labels(enactor).observe(duration_ms / MS_PER_S)
        if outcome is EnactOutcome.APPLIED:
            self._acting.enacted_at.labels(enactor).set(at_ms / MS_PER_S)

    def read_back(self, enactor: EnactorId, *, at_ms: int, generation: int | None, drifts: int) -> None:
        """What a data plane has. A generation that it forgot is -1."""
        self._acting.read_at.labels(enactor).set(at_ms / MS_PER_S)
        self._acting.found.labels(enactor).set(-1 if generation is None else generation)
        self._acting.drifts.labels(enactor).set(drifts)

    def read_back_failed(self, enactor: EnactorId) -> None:
        self._acting.read_errors.labels(enactor).inc()

    def standby(self, service: ServiceId, site: SiteId, phases: Iterable[StandbyPhase]) -> None:
        """In which phase the standby members of a pool are."""
        counts = dict.fromkeys(StandbyPhase, 0)
        for phase in phases:
            counts[phase] += 1
        for phase, count in counts.items():
            self._acting.standby.labels(service, site, phase.value).set(count)

    def notified(self, notifier: str, result: Told) -> None:
        self._acting.notifications.labels(notifier, result.value).inc()

    # ---- remembering ------------------------------------------------------------------------------------------------

    def journalled(self, entries: int, *, sequence: int, duration_ms: int) -> None:
        """Entries that are durable now, up to ``sequence``."""
        self._remembering.entries.inc(entries)
        self._remembering.journal_head.set(sequence)
        self._remembering.journal_time.observe(duration_ms / MS_PER_S)

    def journal_failed(self, error: BaseException) -> None:
        """An append that failed; labelled by the kind of error (Retryable, Permanent, Ambiguous)."""
        self._remembering.journal_errors.labels(type(error).__name__).inc()

    def journal_sized(self, *, database_bytes: int, sealed_bytes: int) -> None:
        self._remembering.journal_bytes.labels("database").set(database_bytes)
        self._remembering.journal_bytes.labels("sealed").set(sealed_bytes)

    def store_failed(self, operation: str) -> None:
        self._remembering.store_errors.labels(operation).inc()

    def held_as_adopted(self, sites: int) -> None:
        """Services at sites that wait for a person to acknowledge what was found there."""
        self._deciding.held.set(sites)

    # ---- running ----------------------------------------------------------------------------------------------------

    def leading(self, leader: int) -> None:
        """1 while this node decides, else 0."""
        self._running.leader.set(leader)

    def loop_lag(self, lag_us: int) -> None:
        self._running.lag.observe_us(lag_us)

    def clock_skew(self, skew_ms: int) -> None:
        self._running.skew.set(skew_ms / MS_PER_S)

    def reloaded(self, result: Done, *, at_ms: int) -> None:
        """The config was read (also at start), or refused as a whole."""
        self._running.reloads.labels(result.value).inc()
        self._running.reload_ok.set(result is Done.OK)
        if result is Done.OK:
            self._running.reloaded_at.set(at_ms / MS_PER_S)

    def watch_listeners(self, counts: ListenerCounts) -> None:
        """Whom to ask about the clients of our listeners, from now on."""
        self._listening.counts = counts

    def task_failed(self, task: str) -> None:
        self._running.task_failures.labels(task).inc()

    def task_restarted(self, task: str) -> None:
        self._running.task_restarts.labels(task).inc()
