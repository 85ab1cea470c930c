"""Many scenarios at a time: each in a process of its own, so that one core is not the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from siteshift.sim.peers.nothing import beside_everybody
from siteshift.sim.report.report import Part, part_of
from siteshift.sim.run.pool import workers
from siteshift.sim.run.replay import Outcome, replay
from siteshift.sim.scenario.scenario import Ground, load_policy_part, load_scenario


class Wants(Enum):
    """What is to come back besides the outcome."""

    OUTCOME = auto()
    REPORT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to make."""

    file: Path
    seed: int | None = None
    policy: Path | None = None
    ground: Ground | None = None
    wants: Wants = Wants.OUTCOME


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a job. ``part`` only where a report was wanted."""

    outcome: Outcome
    transcript: str
    part: Part | None = None


def run_job(job: Job) -> Ran:
    """Run one scenario. Raises `ScenarioError` when its file cannot be used."""
    over = load_policy_part(job.policy) if job.policy is not None else None
    scenario = load_scenario(job.file, over, job.ground)
    outcome, record = replay(scenario, seed=job.seed)
    if job.wants is Wants.OUTCOME:
        return Ran(outcome=outcome, transcript=record.text())
    beside = beside_everybody(scenario, record)
    return Ran(outcome=outcome, transcript=record.text(), part=part_of(scenario, record, outcome, beside))


def run_jobs(jobs: Sequence[Job], *, processes: int, tell: Callable[[Ran], None]) -> list[Ran]:
    """Run them all, ``processes`` at a time; ``tell`` hears of each as it ends. The results are in the order of the jobs."""
    if processes <= 1 or len(jobs) == 1:
        found = []
        for job in jobs:
            found.append(run_job(job))
            tell(found[-1])
        return found
    done: dict[int, Ran] = {}
    with workers(processes, len(jobs)) as pool:
        waiting = {pool.submit(run_job, job): number for number, job in enumerate(jobs)}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            tell(done[waiting[future]])
    return [done[number] for number in range(len(jobs))]


def as_document(ran: Ran) -> dict[str, Any]:
    """What came of a job for JSON; fault by fault beside nothing done and the best peer, where a report was wanted."""
    outcome = ran.outcome
    document = asdict(outcome) | {"verdict": outcome.verdict.value, "missed": [entry.name for entry in outcome.missed]}
    return document if ran.part is None else {**document, "by_fault": [one.as_document() for one in ran.part.beside.faults]}
