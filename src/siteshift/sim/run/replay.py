"""Run a scenario and judge it: the figures of the table, the verdict on every criterion, the transcript's digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from siteshift.core.model.units import WHOLE_BP, SiteId
from siteshift.sim.criteria.conduct import extra_probes_pm
from siteshift.sim.criteria.criterion import Evidence, Judged
from siteshift.sim.faults.acts import Ask, Heal, Note, Reload
from siteshift.sim.results.loss import Loss, mean_loss
from siteshift.sim.results.record import Milestones, Record
from siteshift.sim.results.stretches import Start, Stretch, stretches
from siteshift.sim.run.simulation import simulate
from siteshift.sim.scenario.scenario import Later, Scenario
from siteshift.sim.world.spec import WorldSpec


class Verdict(StrEnum):
    """How a scenario ended. Demands that cannot be judged yet never make a pass of what was missed."""

    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One line of the table. Times in ms after the fault that cost most; None: it did not happen, or there was no fault.

    ``lost_s`` is the loss after the fault that cost most, in seconds of its site's traffic; None where no site failed. ``loss``
    is that of the whole run.
    """

    fault: str
    detect_ms: int | None
    decide_ms: int | None
    t50_ms: int | None
    t95_ms: int | None
    moves: int
    wrong_moves: int
    lost_s: float | None
    loss: Loss
    offered_requests: float
    peak_utilisation_pm: int
    extra_probes_pm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run of one scenario, without its record: small enough to hand from process to process."""

    id: str
    title: str
    file: str
    seed: int
    digest: str
    figures: Figures
    judged: tuple[Judged, ...]
    later: tuple[Later, ...]

    @property
    def verdict(self) -> Verdict:
        return Verdict.MET if all(entry.is_met for entry in self.judged) else Verdict.MISSED

    @property
    def missed(self) -> tuple[Judged, ...]:
        return tuple(entry for entry in self.judged if not entry.is_met)


def replay(scenario: Scenario, *, seed: int | None = None) -> tuple[Outcome, Record]:
    """Run it and judge it. The same scenario, seed and code give the same record."""
    used = scenario.seed if seed is None else seed
    record = simulate(
        scenario.world,
        scenario.policy,
        scenario.events,
        seed=used,
        duration_ms=scenario.duration_ms,
        warm_up_ms=scenario.warm_up_ms,
    )
    evidence = evidence_of(scenario, record)
    outcome = Outcome(
        id=scenario.id,
        title=scenario.title,
        file=scenario.file,
        seed=used,
        digest=record.digest(),
        figures=figures_of(evidence, scenario.times_of),
        judged=tuple(entry.judge(evidence) for entry in scenario.criteria),
        later=scenario.later,
    )
    return outcome, record


def evidence_of(scenario: Scenario, record: Record) -> Evidence:
    """What criteria look at."""
    return Evidence(
        record=record,
        world=scenario.world,
        policy=scenario.policy,
        warm_up_ms=scenario.warm_up_ms,
        instants={event.label: event.at_ms for event in scenario.events if event.label},
    )


def figures_of(evidence: Evidence, times_of: str) -> Figures:
    """The line of the table; its times are those after the fault named ``times_of``, else after the one that cost most."""
    record = evidence.record
    worst = evidence.milestones(times_of) if times_of else worst_of(record)
    return Figures(
        fault=worst.label if worst else "",
        detect_ms=worst.detect_ms if worst else None,
        decide_ms=worst.decide_ms if worst else None,
        t50_ms=worst.t50_ms if worst else None,
        t95_ms=worst.t95_ms if worst else None,
        moves=len(evidence.moves),
        wrong_moves=len(record.wrong_moves),
        lost_s=max((entry.lost_s() for entry in record.milestones), default=None),
        loss=record.loss,
        offered_requests=record.offered,
        peak_utilisation_pm=max(record.peak_utilisation_pm.values(), default=0),
        extra_probes_pm=extra_probes_pm(evidence),
    )


def worst_figures(figures: Sequence[Figures]) -> Figures:
    """Several runs of one scenario as one line: the longest times, the most moves and probes, all wrong moves, mean losses."""

    def longest(times: list[int | None]) -> int | None:
        return None if None in times else max(time for time in times if time is not None)

    lost_s = [one.lost_s for one in figures if one.lost_s is not None]
    return Figures(
        fault=figures[0].fault,
        detect_ms=longest([one.detect_ms for one in figures]),
        decide_ms=longest([one.decide_ms for one in figures]),
        t50_ms=longest([one.t50_ms for one in figures]),
        t95_ms=longest([one.t95_ms for one in figures]),
        moves=max(one.moves for one in figures),
        wrong_moves=sum(one.wrong_moves for one in figures),
        lost_s=fmean(lost_s) if lost_s else None,
        loss=mean_loss([one.loss for one in figures]),
        offered_requests=fmean(one.offered_requests for one in figures),
        peak_utilisation_pm=max(one.peak_utilisation_pm for one in figures),
        extra_probes_pm=max(one.extra_probes_pm for one in figures),
    )


def worst_of(record: Record) -> Milestones | None:
    """What followed the fault that cost most."""
    return max(record.milestones, key=lambda entry: entry.loss.weighed(), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLoss:
    """What was lost after one fault, up to the next (`stretches`). ``site_rps``: the traffic of the sites it harms."""

    stretch: Stretch
    loss: Loss
    site_rps: float


def stretches_of(scenario: Scenario) -> tuple[Stretch, ...]:
    """The scenario's faults, those of ours too: the same stretches for whoever steers."""
    starts = [
        Start(at_ms=event.at_ms, label=event.label or event.act.kind, sites=event.act.sites)
        for event in scenario.events
        if not isinstance(event.act, Heal | Ask | Reload | Note)
    ]
    return stretches(starts, scenario.duration_ms)


def losses_by_fault(scenario: Scenario, record: Record) -> tuple[FaultLoss, ...]:
    """One run's losses, fault by fault."""
    return tuple(
        FaultLoss(stretch=one, loss=one.loss(record), site_rps=sites_rps(scenario.world, record, one.sites))
        for one in stretches_of(scenario)
    )


def site_rps(world: WorldSpec, record: Record) -> float:
    """What losses of a whole run are counted in seconds of: the traffic of the site whose fault cost most."""
    worst = worst_of(record)
    return sites_rps(world, record, (worst.site,) if worst is not None else ())


def sites_rps(world: WorldSpec, record: Record, sites: Sequence[SiteId]) -> float:
    """These sites' nominal share of the run's mean demand; without any it is all traffic.

    It is not what came there before a fault: a site that had just been left would make every loss look long. At least 1 request
    a second.
    """
    peaks_rps = {service.id: world.load_of(service.id).peak_rps for service in world.topology.services}
    span_s = (record.duration_ms - record.seconds[0].at_ms) / 1_000 + 1
    mean_rps = record.offered / span_s
    if not sites:
        return max(1.0, mean_rps)
    pools = [pool for pool in world.topology.pools.values() if pool.site in sites]
    share = sum(peaks_rps[pool.service] * pool.nominal_bp / WHOLE_BP for pool in pools) / max(1, sum(peaks_rps.values()))
    return max(1.0, mean_rps * share)
