"""Two policies over the library: every scenario under both, with the same world and seed, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from siteshift.sim.run.pool import workers
from siteshift.sim.run.replay import Figures, Outcome, replay
from siteshift.sim.scenario.scenario import load_policy_part, load_scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One scenario under one policy."""

    figures: Figures
    digest: str
    missed: tuple[str, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Side:
        return cls(figures=outcome.figures, digest=outcome.digest, missed=tuple(entry.name for entry in outcome.missed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario under both."""

    id: str
    seed: int
    one: Side
    other: Side

    @property
    def is_same(self) -> bool:
        """Whether the two runs were the same to the byte."""
        return self.one.digest == self.other.digest

    @property
    def differs_in(self) -> tuple[str, ...]:
        """The figures that differ, by name; ``missed`` when other criteria were missed."""
        names = [e.name for e in fields(Figures) if getattr(self.one.figures, e.name) != getattr(self.other.figures, e.name)]
        return tuple(names) if self.one.missed == self.other.missed else (*names, "missed")

    @property
    def lost_more(self) -> float:
        """What the second policy lost beyond the first, in requests (`loss`); negative: it saved them."""
        return self.other.figures.loss.weighed() - self.one.figures.loss.weighed()


def compare_file(file: Path, one: Path, other: Path, seed: int | None = None) -> Compared:
    """One scenario under both policy files. Raises `ScenarioError`."""
    outcomes = [replay(load_scenario(file, load_policy_part(policy)), seed=seed)[0] for policy in (one, other)]
    first, second = outcomes
    return Compared(id=first.id, seed=first.seed, one=Side.of(first), other=Side.of(second))


def compare_files(
    files: Sequence[Path], one: Path, other: Path, *, seed: int | None, processes: int, tell: Callable[[Compared], None]
) -> list[Compared]:
    """Compare many, ``processes`` at a time; ``tell`` hears of each, in the order of the files."""
    found: list[Compared] = []
    if processes <= 1 or len(files) == 1:
        for file in files:
            found.append(compare_file(file, one, other, seed))
            tell(found[-1])
        return found
    with workers(processes, len(files)) as pool:
        for waiting in [pool.submit(compare_file, file, one, other, seed) for file in files]:
            found.append(waiting.result())
            tell(found[-1])
    return found


def as_document(entry: Compared) -> dict[str, Any]:
    """A comparison for JSON."""
    return {**asdict(entry), "is_same": entry.is_same, "differs_in": list(entry.differs_in), "lost_more": entry.lost_more}
