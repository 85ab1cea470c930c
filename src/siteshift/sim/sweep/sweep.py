"""The sweep: worlds run beside nothing done, and judged by the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import process_time
from typing import Any

from siteshift.core.model.units import WHOLE_BP
from siteshift.sim.criteria.criterion import Judged
from siteshift.sim.peers.nothing import BesideNothing
from siteshift.sim.peers.peers import NOTHING, run_peer
from siteshift.sim.report.report import Part, part_of
from siteshift.sim.results.loss import WEIGHTS
from siteshift.sim.run.pool import run_each
from siteshift.sim.run.replay import Outcome, replay
from siteshift.sim.scenario.scenario import Scenario
from siteshift.sim.sweep.factors import Combination
from siteshift.sim.sweep.rules import EXCUSED, MARKED_MOST_PM, RULES, Observed, turns_of, unknowable
from siteshift.sim.sweep.scenarios import scenario

CRASH = "crash"
"""The rule that the core raises no exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One world judged. ``findings``: what it shows, by rule. ``marked``: what nobody could have known (`rules.unknowable`).

    ``beside`` None: the core crashed. ``turns`` of the site that has most; ``cpu_s``: what the world took to run, both times.
    """

    combination: Combination
    findings: dict[str, str]
    marked: dict[str, str]
    beside: BesideNothing | None
    turns: int
    moves: int
    digest: str
    cpu_s: float
    part: Part | None = None

    @property
    def more_s(self) -> float:
        """What was lost beyond nothing done, in seconds of the struck sites' traffic; a crash is beyond everything."""
        return self.beside.more_s() if self.beside is not None else float("inf")

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        document: dict[str, Any] = {
            "id": self.combination.id,
            "fault": self.combination.fault,
            "findings": self.findings,
            "marked": self.marked,
            "turns": self.turns,
            "moves": self.moves,
            "digest": self.digest,
        }
        if self.beside is not None:
            document |= {
                "more_s": {name: round(self.beside.more_s(weight), 3) for name, weight in WEIGHTS.items()},
                "lost": self.beside.ours.as_document(),
                "nothing_done": self.beside.nothing.as_document(),
                "struck_rps": self.beside.site_rps,
            }
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All worlds that were run."""

    ran: tuple[Swept, ...]

    @property
    def worst_first(self) -> list[Swept]:
        """Those that show something they may not."""
        found = [one for one in self.ran if one.findings]
        return sorted(found, key=lambda one: (-one.more_s, -len(one.findings), one.combination.id))

    @property
    def marked(self) -> list[Swept]:
        """Those in which nobody could have known better, and that show it."""
        return [one for one in self.ran if one.marked]

    @property
    def marked_worse(self) -> list[Swept]:
        """Those of the marked ones that lost more than nothing done."""
        return [one for one in self.marked if "worse" in one.marked]

    @property
    def has_too_many_marked(self) -> bool:
        """A mark that excuses a loss is dear; one that only excuses leaving a site is not counted."""
        return len(self.marked_worse) * 1_000 > MARKED_MOST_PM * len(self.ran)

    def counts(self) -> dict[str, Counter[str]]:
        """By kind of fault: how many worlds, how many with a finding, and how many with one of each rule."""
        found: dict[str, Counter[str]] = {}
        for one in self.ran:
            row = found.setdefault(one.combination.fault, Counter())
            row.update(["worlds", *(["any"] if one.findings else []), *one.findings, *(["marked"] if one.marked else [])])
        return found

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        total: Counter[str] = sum(self.counts().values(), Counter())
        return {
            "worlds": len(self.ran),
            "with_findings": len(self.worst_first),
            "by_rule": {rule: total[rule] for rule in (*RULES, CRASH)},
            "by_fault": {fault: dict(row) for fault, row in self.counts().items()},
            "marked": [one.as_document() for one in self.marked],
            "findings": [one.as_document() for one in self.worst_first],
        }


def sweep(
    combinations: Sequence[Combination],
    *,
    jobs: int,
    tell: Callable[[Swept], None],
    goes_on: Callable[[], bool] = lambda: True,
    seed: int = 1,
    has_report: bool = False,
) -> Sweep:
    """Run and judge them; see `pool.run_each`."""
    run = partial(run_combination, seed=seed, has_report=has_report)
    return Sweep(ran=tuple(run_each(run, combinations, jobs=jobs, tell=tell, goes_on=goes_on)))


def run_combination(one: Combination, *, seed: int = 1, has_report: bool = False) -> Swept:
    """Run one world and its twin in which nothing is done, and judge it."""
    made, began_s = scenario(one), process_time()
    try:
        outcome, record = replay(made, seed=seed)
    except Exception as error:  # whatever the core raises is a finding, and never ours to hide
        crash = {CRASH: f"{type(error).__name__}: {error}"}
        cpu_s = process_time() - began_s
        return Swept(combination=one, findings=crash, marked={}, beside=None, turns=0, moves=0, digest="", cpu_s=cpu_s)
    run = Observed(
        combination=one,
        record=record,
        nothing=run_peer(NOTHING, made, seed=seed),
        limit_pm=made.policy.default.max_utilisation_pm,
        nominal_bp={pool.site: pool.nominal_bp for pool in made.world.topology.pools.values()},
        struck_rps=_struck_rps(one, made),
    )
    found = {name: said for name, rule in RULES.items() if (said := rule(run))}
    marked = {name: said for name, said in found.items() if name in EXCUSED and unknowable(one)}
    return Swept(
        combination=one,
        findings={name: said for name, said in found.items() if name not in marked},
        marked=marked,
        beside=run.beside,
        turns=max((len(instants) for instants in turns_of(record.moves).values()), default=0),
        moves=sum(bool(move.before_bp) for move in record.moves),
        digest=outcome.digest,
        cpu_s=process_time() - began_s,
        part=part_of(made, record, _judged(outcome, found, marked), run.beside) if has_report else None,
    )


def _struck_rps(one: Combination, made: Scenario) -> float:
    """What the struck sites get in calm."""
    pools = [pool for pool in made.world.topology.pools.values() if pool.site in one.struck()]
    return sum(made.world.load_of(pool.service).peak_rps * pool.nominal_bp / WHOLE_BP for pool in pools)


def _judged(outcome: Outcome, found: dict[str, str], marked: dict[str, str]) -> Outcome:
    """The outcome with the rules as its criteria, for a report."""
    judged = []
    for name, rule in RULES.items():
        demand = "never: " + (rule.__doc__ or "").strip().removesuffix(".").lower()
        note = " (nobody could have known)" if name in marked else ""
        judged.append(Judged(name=name, demand=demand, found=found.get(name, "not found") + note, is_met=name not in found))
    return replace(outcome, judged=tuple(judged))
