"""Feeds the metrics from what the node does. The hot path (probes) costs two dictionary updates a result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from siteshift.core.beliefs.traffic import seen_bp
from siteshift.core.decide.situations import situation_of
from siteshift.core.decide.used import utilisation_of
from siteshift.core.explain import actual_bp
from siteshift.core.messages.commands import Answer, Enact
from siteshift.core.messages.events import EnactFinished, ReadBackArrived, ReadBackFailed
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.setup import Setup
from siteshift.core.model.units import EnactorId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.ports import ProbeResult
from siteshift.runtime.loop import ControlLoop, Stepped
from siteshift.runtime.metrics import Metrics, ShareKind

SWEEP_MS = 1_000
"""State is turned into gauges once a second, not at every step."""


@dataclass(slots=True, kw_only=True)
class Gauges:
    """Everything that is counted and shown at ``/metrics``."""

    metrics: Metrics
    probes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    late_starts: Callable[[], Iterable[tuple[int, int]]] = tuple
    """What the prober counted since the last call."""
    skew_ms: Callable[[], int] = int
    """Wall clock minus siteshift time, of the clock that is used."""
    _sent_ms: dict[EnactorId, int] = field(default_factory=dict)
    _swept_ms: int = 0

    def probed(self, result: ProbeResult) -> None:
        self.metrics.probe_finished(result.outcome, result.fault, result.latency_us)

    def failed(self, what: str, error: BaseException) -> None:
        self.errors[what] += 1
        if what == "store":
            self.metrics.store_failed("commit")
            self.metrics.journal_failed(error)
        elif what in ("journal", "retention"):
            self.metrics.journal_failed(error)

    def stepped(self, stepped: Stepped, loop: ControlLoop) -> None:
        """Count one step and what it decided; now and then, sweep the whole state."""
        started_us = time.perf_counter_ns() // 1000
        event, state = stepped.event, stepped.decision.state
        for command in stepped.decision.commands:
            self.metrics.command(type(command).__name__)
            if isinstance(command, Enact):
                self._sent_ms[command.enactor] = event.at_ms
        match event:
            case EnactFinished(at_ms=at_ms, result=result):
                sent_ms = self._sent_ms.get(result.enactor, at_ms)
                self.metrics.enacted(result.enactor, result.outcome, at_ms=at_ms, duration_ms=at_ms - sent_ms)
            case ReadBackArrived(at_ms=at_ms, read_back=reading):
                self.metrics.read_back(
                    reading.enactor, at_ms=at_ms, generation=reading.generation, drifts=len(reading.drifts)
                )
            case ReadBackFailed(enactor=enactor):
                self.metrics.read_back_failed(enactor)
            case _:
                pass
        self._count_findings(stepped)
        if state.steering.generation != stepped.before.steering.generation:
            self.metrics.decided(state.steering.generation)
        if event.at_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = event.at_ms
            self.sweep(state, loop.setup, event.at_ms)
        self.metrics.event(type(event).__name__, time.perf_counter_ns() // 1000 - started_us)

    def _count_findings(self, stepped: Stepped) -> None:
        """What the gate said of a move that has come to stand in its way, and what people were answered."""
        before, after = stepped.before, stepped.decision.state
        if after.transitions is not before.transitions:
            for service, transition in after.transitions.items():
                known = {entry.code for entry in before.transition(service).findings}
                for entry in transition.findings:
                    if entry.code not in known:
                        self.metrics.finding(entry.code, entry.severity)
        for command in stepped.decision.commands:
            if isinstance(command, Answer):
                for entry in command.findings:
                    self.metrics.finding(entry.code, entry.severity)

    def sweep(self, state: ControllerState, setup: Setup, now_ms: int) -> None:
        """The state as gauges."""
        metrics = self.metrics
        for late_us, count in self.late_starts():
            metrics.probes_started(late_us, count)
        metrics.clock_skew(self.skew_ms())
        own = state.reports.get(setup.node)
        if own is not None:
            metrics.self_check(anchors_ok=own.self_check.anchors_ok, blind=int(state.picture.blind))
            metrics.standings({target: (view.standing, view.score_pm) for target, view in own.views.items()})
        metrics.diagnoses(state.picture.diagnoses)
        metrics.overrides(Counter(entry.kind for entry in state.overrides))
        metrics.held_as_adopted(len(state.adoption.sites) if state.adoption is not None else 0)
        metrics.leading(int(state.term is not None))
        for service in setup.topology.services:
            situation = situation_of(state, setup, service, now_ms)
            metrics.shares(ShareKind.DESIRED, service.id, situation.current.shares_bp)
            actual: dict[SiteId, int] = {}
            for site in service.sites:
                found = actual_bp(state, setup, service, site)
                if found is not None:
                    actual[site] = found
            metrics.shares(ShareKind.ACTUAL, service.id, actual)
            seen = seen_bp(state, service, now_ms)
            if seen is not None:
                metrics.shares(ShareKind.SEEN, service.id, seen)
            metrics.shed(service.id, situation.current.shed_bp)
            for site, used_pm in utilisation_of(situation, situation.current).items():
                metrics.utilisation(service.id, site, used_pm)
                if seen is not None and site in seen and situation.current.shares_bp.get(site, 0) == 0:
                    metrics.residual(service.id, site, seen[site])
            for pool in service.pools:
                metrics.members(service.id, pool.site, [situation.standing_of(m) for m in pool.members])
                phases = [situation.phase(m) for m in pool.members if m.role is MemberRole.STANDBY]
                metrics.standby(service.id, pool.site, phases)
