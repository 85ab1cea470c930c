"""The score: what siteshift lost beyond the least possible, beside nothing done, and beside what a user would pick instead.

Every scenario is run with siteshift, with the informed controller, with nobody who acts and with each peer, in the same world
with the same seed; with several seeds, losses are their means and times the longest. All are judged by `loss`, over the whole run
and fault by fault (`stretches`). Beside them stands the bound that nobody beats (`relaxation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from siteshift.sim.peers.nothing import AtFault, BesideNothing, run_nothing
from siteshift.sim.peers.peers import NOTHING, PEERS, run_peer
from siteshift.sim.results.loss import JUDGING, WEIGHTS, Loss, mean_loss
from siteshift.sim.results.record import Record
from siteshift.sim.results.stretches import Stretch
from siteshift.sim.run.pool import workers
from siteshift.sim.run.replay import Figures, replay, site_rps, sites_rps, stretches_of, worst_figures, worst_of
from siteshift.sim.scenario.scenario import Ground, Scenario, load_policy_part, load_scenario
from siteshift.sim.score.bound import bound_for
from siteshift.sim.score.informed import run_informed
from siteshift.sim.score.relaxation import is_beaten, least_loss

OURS, INFORMED = "siteshift", "informed"
LEAST_LOST = 1.0
"""Requests: what is less is the fluid's dust, and counts as this much in a ratio."""


def best_of(lost: Mapping[str, Loss], late_weight: float = JUDGING) -> str:
    """Which peer lost least."""
    return min((peer.name for peer in PEERS), key=lambda name: lost[name].weighed(late_weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScore:
    """What everybody lost after one fault, up to the next. ``site_rps``: the traffic of the sites it harms."""

    stretch: Stretch
    site_rps: float
    lost: Mapping[str, Loss]

    @property
    def best_peer(self) -> str:
        """Which peer lost least after this fault."""
        return best_of(self.lost)

    @property
    def beside(self) -> BesideNothing:
        return BesideNothing(ours=self.lost[OURS], nothing=self.lost[NOTHING.name], site_rps=self.site_rps)

    def lost_s(self, name: str) -> float:
        """A controller's loss in seconds of the harmed sites' traffic."""
        return self.lost[name].weighed() / self.site_rps

    @property
    def loses_anything(self) -> bool:
        """Whether anybody lost a request."""
        return any(loss.weighed() >= LEAST_LOST for loss in self.lost.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scenario's line. ``lost`` by controller; ``site_rps`` is the failed site's traffic (`replay.site_rps`).

    ``bound_ms`` None: no fault here that Lorden's bound is for. Where no site failed, losses are in seconds of all traffic.
    ``least`` is what nobody in this world loses less than (`relaxation`); ``beaten_by`` names who did, each held to the bound of
    their own world: then the bound is wrong.
    """

    id: str
    title: str
    seeds: tuple[int, ...]
    figures: Figures
    bound_ms: int | None
    site_rps: float
    lost: Mapping[str, Loss]
    least: Loss
    beaten_by: tuple[str, ...] = ()
    by_fault: tuple[FaultScore, ...] = ()

    @property
    def regret_s(self) -> float:
        """What was lost beyond who is told of every fault, in seconds of the failed site's traffic."""
        return self.lost_s(OURS) - self.lost_s(INFORMED)

    @property
    def least_s(self) -> float:
        """The bound, in seconds of the failed site's traffic."""
        return self.least.weighed() / self.site_rps

    @property
    def detect_to_bound(self) -> float | None:
        """Detection delay as a multiple of the bound."""
        if self.bound_ms is None or self.figures.detect_ms is None:
            return None
        return self.figures.detect_ms / self.bound_ms

    def best_peer(self, late_weight: float = JUDGING) -> str:
        """Which peer lost least."""
        return best_of(self.lost, late_weight)

    def loses_anything(self, late_weight: float = JUDGING) -> bool:
        """Whether there was anything to lose: siteshift or the best peer lost a request."""
        return any(self.lost[name].weighed(late_weight) >= LEAST_LOST for name in (OURS, self.best_peer(late_weight)))

    def to(self, name: str, late_weight: float = JUDGING) -> float:
        """Our loss as a part of another's."""
        ours, other = (max(self.lost[who].weighed(late_weight), LEAST_LOST) for who in (OURS, name))
        return ours / other

    def lost_s(self, name: str, late_weight: float = JUDGING) -> float:
        """A controller's loss in seconds of the failed site's traffic."""
        return self.lost[name].weighed(late_weight) / self.site_rps

    @property
    def beside_nothing(self) -> BesideNothing:
        faults = tuple(AtFault(stretch=one.stretch, beside=one.beside) for one in self.by_fault)
        return BesideNothing(ours=self.lost[OURS], nothing=self.lost[NOTHING.name], site_rps=self.site_rps, faults=faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryScore:
    """The library as a whole."""

    scores: tuple[Score, ...]

    def lossy(self, late_weight: float = JUDGING) -> tuple[Score, ...]:
        """The scenarios where anything is lost."""
        return tuple(score for score in self.scores if score.loses_anything(late_weight))

    def to_best_peer(self, late_weight: float = JUDGING) -> float:
        """Geometric mean of our loss to the best peer's over the scenarios where anything is lost; 1 when nothing is."""
        return _geometric_mean([score.to(score.best_peer(late_weight), late_weight) for score in self.lossy(late_weight)])

    def to(self, name: str, late_weight: float = JUDGING) -> float:
        """The same against one peer, or nothing done."""
        return _geometric_mean([score.to(name, late_weight) for score in self.lossy(late_weight)])

    @property
    def worse_than_nothing(self) -> tuple[Score, ...]:
        """The scenarios in which it would have been better to do nothing, worst first."""
        worse = [score for score in self.scores if score.beside_nothing.is_worse]
        return tuple(sorted(worse, key=lambda score: -score.beside_nothing.more_s()))

    @property
    def worse_after_a_fault(self) -> tuple[tuple[Score, AtFault], ...]:
        """The faults after which it would have been, worst first."""
        found = [(score, one) for score in self.scores for one in score.beside_nothing.worse_faults]
        return tuple(sorted(found, key=lambda pair: -pair[1].beside.more_s()))

    @property
    def bounds_beaten(self) -> tuple[Score, ...]:
        """The scenarios whose bound somebody beat."""
        return tuple(score for score in self.scores if score.beaten_by)

    @property
    def wrong_moves(self) -> int:
        return sum(score.figures.wrong_moves for score in self.scores)


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios)) if ratios else 1.0


def score(scenario: Scenario, *, seed: int | None = None) -> Score:
    """Run one scenario with everybody."""
    outcome, record = replay(scenario, seed=seed)
    stretches = stretches_of(scenario)
    lost: dict[str, Loss] = {}
    lost_by_fault: list[dict[str, Loss]] = [{} for _ in stretches]

    def note(name: str, run: Record) -> None:
        lost[name] = run.loss
        for one, found in zip(stretches, lost_by_fault, strict=True):
            found[name] = one.loss(run)

    note(OURS, record)
    note(INFORMED, run_informed(scenario, seed=outcome.seed))
    note(NOTHING.name, run_nothing(scenario, seed=outcome.seed))
    least = dict.fromkeys(lost, least_loss(scenario, seed=outcome.seed))
    bounds: dict[int, Loss] = {}
    for peer in PEERS:
        note(peer.name, run_peer(peer, scenario, seed=outcome.seed))
        if id(peer.world) not in bounds:
            bounds[id(peer.world)] = least_loss(scenario, seed=outcome.seed, world=peer.world(scenario.world))
        least[peer.name] = bounds[id(peer.world)]
    return Score(
        id=scenario.id,
        title=scenario.title,
        seeds=(outcome.seed,),
        figures=outcome.figures,
        bound_ms=_bound(scenario, record),
        site_rps=site_rps(scenario.world, record),
        lost=lost,
        least=least[OURS],
        beaten_by=tuple(name for name in lost if is_beaten(least[name], lost[name])),
        by_fault=tuple(
            FaultScore(stretch=one, site_rps=sites_rps(scenario.world, record, one.sites), lost=found)
            for one, found in zip(stretches, lost_by_fault, strict=True)
        ),
    )


def merged(scores: Sequence[Score]) -> Score:
    """Several seeds of one scenario as one: means of losses, the longest times, the most moves, all wrong moves."""
    first = scores[0]
    if len(scores) == 1:
        return first
    figures = [one.figures for one in scores]
    return replace(
        first,
        seeds=tuple(seed for one in scores for seed in one.seeds),
        figures=worst_figures(figures),
        site_rps=fmean(one.site_rps for one in scores),
        lost={name: mean_loss([one.lost[name] for one in scores]) for name in first.lost},
        least=mean_loss([one.least for one in scores]),
        beaten_by=tuple(dict.fromkeys(name for one in scores for name in one.beaten_by)),
        by_fault=tuple(_merged_fault(found) for found in zip(*(one.by_fault for one in scores), strict=True)),
    )


def _merged_fault(found: Sequence[FaultScore]) -> FaultScore:
    """The same fault with several seeds: the same stretch, for its instant is the file's."""
    lost = {name: mean_loss([one.lost[name] for one in found]) for name in found[0].lost}
    return replace(found[0], site_rps=fmean(one.site_rps for one in found), lost=lost)


def _bound(scenario: Scenario, record: Record) -> int | None:
    worst = worst_of(record)
    event = next((e for e in scenario.events if worst is not None and worst.label in (e.label, getattr(e.act, "kind", ""))), None)
    return bound_for(event, scenario.world.topology, scenario.policy.judge) if event is not None else None


def _score_file(file: Path, seed: int, policy: Path | None, ground: Ground | None) -> Score:
    """Load and score. Raises `ScenarioError`."""
    over = load_policy_part(policy) if policy is not None else None
    return score(load_scenario(file, over, ground), seed=seed)


def score_files(
    files: Mapping[Path, Sequence[int]],
    *,
    policy: Path | None,
    ground: Ground | None,
    processes: int,
    tell: Callable[[Score], None],
) -> LibraryScore:
    """Score files with their seeds, ``processes`` runs at a time; ``tell`` hears of each file in turn, as soon as it is done."""
    found: list[Score] = []
    wanted = [(file, seed) for file, seeds in files.items() for seed in seeds]
    runs = _scored(wanted, policy, ground, processes)
    for seeds in files.values():
        found.append(merged([next(runs) for _ in seeds]))
        tell(found[-1])
    return LibraryScore(scores=tuple(found))


def _scored(
    wanted: Sequence[tuple[Path, int]], policy: Path | None, ground: Ground | None, processes: int
) -> Iterator[Score]:
    if processes <= 1 or len(wanted) == 1:
        yield from (_score_file(file, seed, policy, ground) for file, seed in wanted)
        return
    with workers(processes, len(wanted)) as pool:
        waiting = [pool.submit(_score_file, file, seed, policy, ground) for file, seed in wanted]
        yield from (one.result() for one in waiting)


def as_document(library: LibraryScore) -> dict[str, Any]:
    """The score for JSON."""
    return {
        "late_weight": JUDGING,
        "to_best_peer": library.to_best_peer(),
        "to_best_peer_by_weight": {name: library.to_best_peer(weight) for name, weight in WEIGHTS.items()},
        "to_peer": {peer.name: library.to(peer.name) for peer in PEERS},
        "to_nothing": library.to(NOTHING.name),
        "to_nothing_by_weight": {name: library.to(NOTHING.name, weight) for name, weight in WEIGHTS.items()},
        "worse_than_nothing": [one.id for one in library.worse_than_nothing],
        "worse_than_nothing_after": [
            {"scenario": score.id, "fault": one.stretch.label, "more_s": one.beside.more_s()}
            for score, one in library.worse_after_a_fault
        ],
        "wrong_moves": library.wrong_moves,
        "bounds_beaten": {one.id: list(one.beaten_by) for one in library.bounds_beaten},
        "scenarios": [_score_document(one) for one in library.scores],
    }


def _score_document(one: Score) -> dict[str, Any]:
    best_peer = one.best_peer()
    return {
        **asdict(one),
        "lost": {name: loss.as_document() for name, loss in one.lost.items()},
        "lost_s": {name: one.lost_s(name) for name in one.lost},
        "least": one.least.as_document(),
        "least_s": one.least_s,
        "regret_s": one.regret_s,
        "detect_to_bound": one.detect_to_bound,
        "best_peer": best_peer,
        "to_best_peer": one.to(best_peer),
        "more_than_nothing_s": {name: one.beside_nothing.more_s(weight) for name, weight in WEIGHTS.items()},
        "is_worse_than_nothing": one.beside_nothing.is_worse,
        "by_fault": [_fault_document(found) for found in one.by_fault],
    }


def _fault_document(one: FaultScore) -> dict[str, Any]:
    return {
        "fault": one.stretch.label,
        "from_s": one.stretch.from_ms / 1_000,
        "until_s": one.stretch.until_ms / 1_000,
        "sites": list(one.stretch.sites),
        "site_rps": one.site_rps,
        "lost": {name: loss.as_document() for name, loss in one.lost.items()},
        "lost_s": {name: one.lost_s(name) for name in one.lost},
        "best_peer": one.best_peer,
        "more_than_nothing_s": {name: one.beside.more_s(weight) for name, weight in WEIGHTS.items()},
        "is_worse_than_nothing": one.beside.is_worse,
    }
