"""Beside nothing done: whether acting lost more than leaving everything alone, in the same world with the same seed.

Of a whole run, and fault by fault (`results.stretches`): what was saved after one fault may not hide what was lost after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from siteshift.sim.peers.peers import NOTHING, PEERS, Peer, run_peer
from siteshift.sim.results.loss import JUDGING, WEIGHTS, Loss
from siteshift.sim.results.record import Record
from siteshift.sim.results.stretches import Stretch
from siteshift.sim.run.replay import FaultLoss, losses_by_fault, site_rps
from siteshift.sim.scenario.scenario import Scenario

WORSE_S = 2.0
"""Seconds of the failed site's traffic that may be lost beyond nothing done: a step has to be taken to see what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideNothing:
    """Both losses, of a whole run or after one fault. ``site_rps``: the failed site's traffic, as `replay.sites_rps` finds it."""

    ours: Loss
    nothing: Loss
    site_rps: float
    faults: tuple[AtFault, ...] = ()
    """Of a whole run: fault by fault."""

    def more_s(self, late_weight: float = JUDGING) -> float:
        """What acting lost beyond nothing done, in seconds of the site's traffic; negative: it saved them."""
        return (self.ours.weighed(late_weight) - self.nothing.weighed(late_weight)) / self.site_rps

    @property
    def is_worse(self) -> bool:
        """Whether it would have been better to do nothing, over the whole of it."""
        return self.more_s() > WORSE_S

    @property
    def worse_faults(self) -> tuple[AtFault, ...]:
        """After which faults it would have been, worst first."""
        return tuple(sorted((one for one in self.faults if one.beside.is_worse), key=lambda one: -one.beside.more_s()))

    def __str__(self) -> str:
        """``lost 1,200, nothing done 300 requests: 6.0 s of the site's traffic more (w = 0: 5.0, w = 1: 7.0)``"""
        more_s = self.more_s()
        word = "more" if more_s > 0 else "less"
        others = ", ".join(f"w = {name}: {self.more_s(w):+.1f} s" for name, w in WEIGHTS.items() if w != JUDGING)
        lost = f"lost {self.ours.weighed():,.0f}, nothing done {self.nothing.weighed():,.0f} requests"
        return f"{lost}: {abs(more_s):.1f} s of the site's traffic {word} ({others})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtFault:
    """What followed one fault, up to the next, beside nothing done; and what peers lost then, where they were run."""

    stretch: Stretch
    beside: BesideNothing
    peers: tuple[tuple[str, Loss], ...] = ()

    @property
    def best_peer(self) -> tuple[str, Loss] | None:
        """The one that lost least after this fault; None: none was run."""
        return min(self.peers, key=lambda peer: peer[1].weighed(), default=None)

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        best = self.best_peer
        peers = {} if best is None else {"best_peer": best[0], "lost_by_best_peer": best[1].as_document()}
        return {
            "fault": self.stretch.label,
            "from_s": self.stretch.from_ms / 1_000,
            "until_s": self.stretch.until_ms / 1_000,
            "site_rps": self.beside.site_rps,
            "lost": self.beside.ours.as_document(),
            "nothing_done": self.beside.nothing.as_document(),
            **peers,
            "more_than_nothing_s": {name: self.beside.more_s(weight) for name, weight in WEIGHTS.items()},
            "is_worse_than_nothing": self.beside.is_worse,
        }

    def __str__(self) -> str:
        """``after "cut" at 30 s: lost …``"""
        return f'after "{self.stretch.label}" at {self.stretch.from_ms / 1_000:g} s: {self.beside}'


def nothing_done(scenario: Scenario, *, seed: int) -> Loss:
    """What is lost where nobody moves anything."""
    return run_nothing(scenario, seed=seed).loss


def run_nothing(scenario: Scenario, *, seed: int) -> Record:
    """The same world, in which nobody moves anything."""
    return run_peer(NOTHING, scenario, seed=seed)


def beside_everybody(scenario: Scenario, record: Record) -> BesideNothing:
    """One run of ours, held beside a run of nothing done and, fault by fault, one of each peer."""
    ours = losses_by_fault(scenario, record)
    return held_beside(scenario, record.loss, site_rps(scenario.world, record), ours, seed=record.seed, peers=PEERS)


def held_beside(
    scenario: Scenario,
    ours: Loss,
    whole_rps: float,
    by_fault: Sequence[FaultLoss],
    *,
    seed: int,
    peers: Sequence[Peer] = (),
) -> BesideNothing:
    """The same of a run whose record is gone, with as many peers as are wanted."""
    nothing = run_nothing(scenario, seed=seed)
    lost = {peer.name: [one.stretch.loss(run) for one in by_fault] for peer, run in _runs(scenario, peers, seed, by_fault)}
    faults = tuple(
        AtFault(
            stretch=mine.stretch,
            beside=BesideNothing(ours=mine.loss, nothing=mine.stretch.loss(nothing), site_rps=mine.site_rps),
            peers=tuple((name, losses[number]) for name, losses in lost.items()),
        )
        for number, mine in enumerate(by_fault)
    )
    return BesideNothing(ours=ours, nothing=nothing.loss, site_rps=whole_rps, faults=faults)


def _runs(scenario: Scenario, peers: Sequence[Peer], seed: int, by_fault: Sequence[FaultLoss]) -> Iterator[tuple[Peer, Record]]:
    """A run of each peer, one at a time; none where no fault asks for it."""
    for peer in peers if by_fault else ():
        yield peer, run_peer(peer, scenario, seed=seed)
