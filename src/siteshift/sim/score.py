"""The score: what siteshift lost beyond the least possible, beside nothing done, and beside what a user would pick instead.

Every scenario is run with siteshift, with the informed controller, with nobody who acts and with each peer, in the same world
with the same seed. All are judged by `loss`.
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
from siteshift.sim.loss import JUDGING, WEIGHTS, Loss
from siteshift.sim.nothing import BesideNothing, nothing_done
from siteshift.sim.peers import NOTHING, PEERS, run_peer
from siteshift.sim.record import Record
from siteshift.sim.replay import Figures, replay, site_rps, worst_of
from siteshift.sim.scenario import Scenario, load_policy_part, load_scenario

OURS, INFORMED = "siteshift", "informed"
LEAST_LOST = 1.0
"""Requests: what is less is the fluid's dust, and counts as this much in a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scenario's line. ``lost`` by controller; ``site_rps`` is the failed site's traffic (`replay.site_rps`).

    ``bound_ms`` None: no fault here that Lorden's bound is for. Where no site failed, losses are in seconds of all traffic.
    """

    id: str
    title: str
    seed: int
    figures: Figures
    bound_ms: int | None
    site_rps: float
    lost: Mapping[str, Loss]

    @property
    def regret_s(self) -> float:
        """What was lost beyond the least possible, in seconds of the failed site's traffic."""
        return self.lost_s(OURS) - self.lost_s(INFORMED)

    @property
    def detect_to_bound(self) -> float | None:
        """Detection delay as a multiple of the bound."""
        if self.bound_ms is None or self.figures.detect_ms is None:
            return None
        return self.figures.detect_ms / self.bound_ms

    def best_peer(self, late_weight: float = JUDGING) -> str:
        """Which peer lost least."""
        return min((peer.name for peer in PEERS), key=lambda name: self.lost[name].weighed(late_weight))

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
        return BesideNothing(ours=self.lost[OURS], nothing=self.lost[NOTHING.name], site_rps=self.site_rps)


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
    def wrong_moves(self) -> int:
        return sum(score.figures.wrong_moves for score in self.scores)


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios)) if ratios else 1.0


def score(scenario: Scenario, *, seed: int | None = None) -> Score:
    """Run one scenario with everybody."""
    outcome, record = replay(scenario, seed=seed)
    lost = {
        OURS: record.loss,
        INFORMED: run_informed(scenario, seed=outcome.seed).loss,
        NOTHING.name: nothing_done(scenario, seed=outcome.seed),
    }
    lost |= {peer.name: run_peer(peer, scenario, seed=outcome.seed).loss for peer in PEERS}
    return Score(
        id=scenario.id,
        title=scenario.title,
        seed=outcome.seed,
        figures=outcome.figures,
        bound_ms=_bound(scenario, record),
        site_rps=site_rps(scenario.world, record),
        lost=lost,
    )


def _bound(scenario: Scenario, record: Record) -> int | None:
    worst = worst_of(record)
    event = next((e for e in scenario.events if worst is not None and worst.label in (e.label, getattr(e.act, "kind", ""))), None)
    return bound_for(event, scenario.world.topology, scenario.policy.judge) if event is not None else None


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
        "late_weight": JUDGING,
        "to_best_peer": library.to_best_peer(),
        "to_best_peer_by_weight": {name: library.to_best_peer(weight) for name, weight in WEIGHTS.items()},
        "to_peer": {peer.name: library.to(peer.name) for peer in PEERS},
        "to_nothing": library.to(NOTHING.name),
        "to_nothing_by_weight": {name: library.to(NOTHING.name, weight) for name, weight in WEIGHTS.items()},
        "worse_than_nothing": [one.id for one in library.worse_than_nothing],
        "wrong_moves": library.wrong_moves,
        "scenarios": [_score_document(one) for one in library.scores],
    }


def _score_document(one: Score) -> dict[str, Any]:
    best_peer = one.best_peer()
    return {
        **asdict(one),
        "lost": {name: loss.as_document() for name, loss in one.lost.items()},
        "lost_s": {name: one.lost_s(name) for name in one.lost},
        "regret_s": one.regret_s,
        "detect_to_bound": one.detect_to_bound,
        "best_peer": best_peer,
        "to_best_peer": one.to(best_peer),
        "more_than_nothing_s": {name: one.beside_nothing.more_s(weight) for name, weight in WEIGHTS.items()},
        "is_worse_than_nothing": one.beside_nothing.is_worse,
    }
