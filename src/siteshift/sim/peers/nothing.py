"""Beside nothing done: whether acting lost more than leaving everything alone, in the same world with the same seed."""

from __future__ import annotations

from dataclasses import dataclass

from siteshift.sim.peers.peers import NOTHING, run_peer
from siteshift.sim.results.loss import JUDGING, WEIGHTS, Loss
from siteshift.sim.scenario.scenario import Scenario

WORSE_S = 2.0
"""Seconds of the failed site's traffic that may be lost beyond nothing done: a step has to be taken to see what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideNothing:
    """Both losses of the whole run. ``site_rps``: the failed site's traffic, as `replay.site_rps` finds it."""

    ours: Loss
    nothing: Loss
    site_rps: float

    def more_s(self, late_weight: float = JUDGING) -> float:
        """What acting lost beyond nothing done, in seconds of the site's traffic; negative: it saved them."""
        return (self.ours.weighed(late_weight) - self.nothing.weighed(late_weight)) / self.site_rps

    @property
    def is_worse(self) -> bool:
        """Whether it would have been better to do nothing."""
        return self.more_s() > WORSE_S

    def __str__(self) -> str:
        """``lost 1,200, nothing done 300 requests: 6.0 s of the site's traffic more (w = 0: 5.0, w = 1: 7.0)``"""
        more_s = self.more_s()
        word = "more" if more_s > 0 else "less"
        others = ", ".join(f"w = {name}: {self.more_s(w):+.1f} s" for name, w in WEIGHTS.items() if w != JUDGING)
        lost = f"lost {self.ours.weighed():,.0f}, nothing done {self.nothing.weighed():,.0f} requests"
        return f"{lost}: {abs(more_s):.1f} s of the site's traffic {word} ({others})"


def nothing_done(scenario: Scenario, *, seed: int) -> Loss:
    """What is lost where nobody moves anything."""
    return run_peer(NOTHING, scenario, seed=seed).loss
