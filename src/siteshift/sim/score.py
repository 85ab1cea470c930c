"""The score: what siteshift lost beyond the least possible, and beside what a user would pick instead.

Every scenario is run with siteshift, with the informed controller and with each peer, in the same world with the same seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from siteshift.sim.bound import bound_for
from siteshift.sim.informed import run_informed
from siteshift.sim.peers import PEERS, run_peer
from siteshift.sim.record import Record
from siteshift.sim.replay import Figures, replay, worst_of
from siteshift.sim.scenario import Scenario, load_policy_part, load_scenario

OURS, INFORMED = "siteshift", "informed"
LEAST_LOST = 1.0
"""Requests: what is less is the fluid's dust, and counts as this much in a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scenario's line. ``lost`` in requests by controller; ``site_rps`` is the failed site's traffic before its fault.

    ``bound_ms`` None: no fault here that Lorden's bound is for. Where no site failed, losses are in seconds of all traffic.
    """

    id: str
    title: str
    seed: int
    figures: Figures
    bound_ms: int | None
    site_rps: float
    lost: Mapping[str, float]

    @property
    def regret_s(self) -> float:
        """What was lost beyond the least possible, in seconds of the failed site's traffic."""
        return (self.lost[OURS] - self.lost[INFORMED]) / self.site_rps

    @property
    def detect_to_bound(self) -> float | None:
        """Detection delay as a multiple of the bound."""
        if self.bound_ms is None or self.figures.detect_ms is None:
            return None
        return self.figures.detect_ms / self.bound_ms

    @property
    def best_peer(self) -> str:
        """Which peer lost least."""
        return min((peer.name for peer in PEERS), key=lambda name: self.lost[name])

    @property
    def loses_anything(self) -> bool:
        """Whether there was anything to lose: siteshift or the best peer lost a request."""
        return max(self.lost[OURS], self.lost[self.best_peer]) >= LEAST_LOST

    @property
    def to_best_peer(self) -> float:
        """Our loss as a part of the best peer's."""
        return max(self.lost[OURS], LEAST_LOST) / max(self.lost[self.best_peer], LEAST_LOST)

    def lost_s(self, name: str) -> float:
        """A controller's loss in seconds of the failed site's traffic."""
        return self.lost[name] / self.site_rps


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryScore:
    """The library as a whole."""

    scores: tuple[Score, ...]

    @property
    def lossy(self) -> tuple[Score, ...]:
        """The scenarios where anything is lost."""
        return tuple(score for score in self.scores if score.loses_anything)

    @property
    def to_best_peer(self) -> float:
        """Geometric mean of our loss to the best peer's over the scenarios where anything is lost; 1 when nothing is."""
        return _geometric_mean([score.to_best_peer for score in self.lossy])

    def to_peer(self, name: str) -> float:
        """The same against one peer."""
        ratios = [max(s.lost[OURS], LEAST_LOST) / max(s.lost[name], LEAST_LOST) for s in self.lossy]
        return _geometric_mean(ratios)

    @property
    def wrong_moves(self) -> int:
        return sum(score.figures.wrong_moves for score in self.scores)


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios)) if ratios else 1.0


def score(scenario: Scenario, *, seed: int | None = None) -> Score:
    """Run one scenario with everybody."""
    outcome, record = replay(scenario, seed=seed)
    lost = {OURS: record.lost_total, INFORMED: run_informed(scenario, seed=outcome.seed).lost_total}
    lost |= {peer.name: run_peer(peer, scenario, seed=outcome.seed).lost_total for peer in PEERS}
    return Score(
        id=scenario.id,
        title=scenario.title,
        seed=outcome.seed,
        figures=outcome.figures,
        bound_ms=_bound(scenario, record),
        site_rps=_site_rps(scenario, record),
        lost=lost,
    )


def _bound(scenario: Scenario, record: Record) -> int | None:
    worst = worst_of(record)
    event = next((e for e in scenario.events if worst is not None and worst.label in (e.label, getattr(e.act, "kind", ""))), None)
    return bound_for(event, scenario.world.topology, scenario.policy.judge) if event is not None else None


def _site_rps(scenario: Scenario, record: Record) -> float:
    """The failed site's traffic; without a failed site all of it."""
    worst = worst_of(record)
    if worst is not None and worst.lost_s > 0:
        return worst.lost / worst.lost_s
    if worst is not None:
        pools = [pool for pool in scenario.world.topology.pools.values() if pool.site == worst.site]
        rate = sum(scenario.world.load_of(pool.service).peak_rps * pool.nominal_bp / 10_000 for pool in pools)
        return rate or 1.0
    return max(1.0, sum(float(scenario.world.load_of(service.id).peak_rps) for service in scenario.world.topology.services))


def score_file(file: Path, seed: int | None = None, policy: Path | None = None) -> Score:
    """Load and score. Raises `ScenarioError`."""
    over = load_policy_part(policy) if policy is not None else None
    return score(load_scenario(file, over), seed=seed)


def score_files(
    files: Sequence[Path], *, seed: int | None, policy: Path | None, processes: int, tell: Callable[[Score], None]
) -> LibraryScore:
    """Score many, ``processes`` at a time, in the order of the files; ``tell`` hears of each as soon as it is its turn."""
    found: list[Score] = []
    for one in _scored(files, seed, policy, processes):
        found.append(one)
        tell(one)
    return LibraryScore(scores=tuple(found))


def _scored(files: Sequence[Path], seed: int | None, policy: Path | None, processes: int) -> Iterator[Score]:
    if processes <= 1 or len(files) == 1:
        yield from (score_file(file, seed, policy) for file in files)
        return
    with ProcessPoolExecutor(max_workers=min(processes, len(files)), mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(score_file, file, seed, policy) for file in files]
        yield from (one.result() for one in waiting)


def as_document(library: LibraryScore) -> dict[str, Any]:
    """The score for JSON."""
    return {
        "to_best_peer": library.to_best_peer,
        "to_peer": {peer.name: library.to_peer(peer.name) for peer in PEERS},
        "wrong_moves": library.wrong_moves,
        "scenarios": [
            {
                **asdict(one),
                "regret_s": one.regret_s,
                "detect_to_bound": one.detect_to_bound,
                "best_peer": one.best_peer,
                "to_best_peer": one.to_best_peer,
                "lost_s": {name: one.lost_s(name) for name in one.lost},
            }
            for one in library.scores
        ],
    }
