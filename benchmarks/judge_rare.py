"""How often noise alone makes a verdict, when that is once a year: importance sampling of the real `Observer` and `diagnose`.

Health is interrupted by *excursions*: a check fails by itself, a member pauses, its latency has a bout, the path is cut.
Nearly all of them end after a second or two; a verdict needs more failures while one lasts. So excursions are begun one by
one, each kind as often as it happens, and while the site's evidence stands its checks fail more often than they do (the
tilted rate). Every draw is weighed with its likelihood ratio, true rate over tilted, and

    false verdicts a second = sum over kinds of (how often it begins) * mean(weight, if a verdict came; else 0)

is unbiased whatever the tilt (Siegmund, Sequential Analysis, 1985, ch. 2 and 4; Bucklew, Rare Event Simulation, 2004). The
tilt only decides how many runs it takes: near the rate the alarms are tuned for, almost every excursion ends in a verdict.
The interval is that of the mean of the weights (normal, with the sample's variance).

The flapping member is not begun here: it lasts three minutes and is no rare event; `bench_judge` runs it as it comes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

import numpy as np
from judge_faults import SERVICE, SITES
from judge_noise import BOUT_EVERY_MS, CUT_EVERY_MS, INDEPENDENT, ON_PATH, PAUSE_EVERY_MS, World

from siteshift.core.judge.cusum import FAILURE_TESTS, SECONDS_A_YEAR, Tuning
from siteshift.core.model.codes import Standing
from siteshift.core.model.units import pool_target

TILTED_RATE = 0.04
GRID = 1_500
"""States of the Markov chain; twice as many change the rate by less than 3 %."""
LONGEST_MS = 40_000
"""Excursions that last longer than this without a verdict count as ended."""
BEGUN_WITHIN_MS = 3_000
Z90 = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class Rare:
    """False verdicts of one pool a year by one kind of beginning: the estimate and its 95 % upper bound."""

    kind: str
    runs: int
    verdicts: int
    a_year: float
    upper95: float


def beginnings(world: World, site: int) -> dict[str, float]:
    """How often each kind of excursion begins at a site, a second."""
    checks = world.members * len(world.nodes)
    often = {
        "failure": checks * INDEPENDENT,
        "pause": world.members * 1_000 / PAUSE_EVERY_MS,
        "bout": world.members * 1_000 / BOUT_EVERY_MS,
    }
    if world.path and site == 1:
        often["failure"] += world.members * ON_PATH
        often["cut"] = 1_000 / CUT_EVERY_MS
    return often


def excursion(warm: World, kind: str, site: int, seed: int) -> float:
    """The weight of one excursion that ended in a verdict on its site; 0 when it ended without."""
    world = copy.deepcopy(warm)
    world.rng.seed(seed)
    members = world.topology.pools[(SERVICE, SITES[site])].members
    world.run(world.now + 1_500 + world.rng.randrange(1_000), jump=False)
    start = world.now + 1
    if kind == "failure":
        world.fail_next = site
    else:
        world.begin(kind, start, world.rng.choice(members).target)
    world.tilted_site, world.tilted_rate, world.log_weight = site, TILTED_RATE, 0.0
    world.tally.moves_at.clear()
    pool = pool_target(SERVICE, SITES[site])
    begun = False

    def active_groups() -> bool:
        return any(check.hot for node in world.nodes for check in node.checks.values() if check.site == site) or any(
            node.report is not None and node.report.views[pool].standing is not Standing.UP for node in world.nodes
        )

    def over(_: World) -> bool:
        nonlocal begun
        if world.tally.moves_at:
            return True
        lasts = active_groups()
        begun = begun or lasts
        world.tilted_site = site if lasts or not begun else None
        return not lasts and world.now > start + BEGUN_WITHIN_MS

    world.run(start + LONGEST_MS, stop=over, jump=False)
    return exp(world.log_weight) if any(str(SITES[site]) == moved for _, moved in world.tally.moves_at) else 0.0


def rare(warm: World, kind: str, site: int, runs: int, seed: int) -> Rare:
    """Many excursions of one kind at one site."""
    weights = np.array([excursion(warm, kind, site, seed + run) for run in range(runs)])
    a_year = beginnings(warm, site)[kind] * SECONDS_A_YEAR
    spread = weights.std(ddof=1) / runs**0.5
    return Rare(
        kind=kind,
        runs=runs,
        verdicts=int((weights > 0.0).sum()),
        a_year=a_year * float(weights.mean()),
        upper95=a_year * float(weights.mean() + Z90 * spread),
    )


def all_kinds(warm: World, runs: int, seed: int) -> Iterator[tuple[int, Rare]]:
    """Every kind of beginning, at a site without and (in worlds with one) at the site behind the noisy path."""
    for site in (1,) if warm.path else (2,):
        for kind in beginnings(warm, site):
            yield site, rare(warm, kind, site, runs, seed)


def bare_a_year(tuning: Tuning, interval_ms: int) -> float:
    """Alarms a year of the bare sums, independent samples at the normal interval: the mean run length of a Markov chain.

    Brook and Evans (Biometrika 59, 1972): the sum on a grid is a chain, and the run lengths L solve L = 1 + R L, where R
    leads from grid point to grid point below the level. Without caps, blips, ages or siblings: what those refuse is the
    difference to the sampled figure.
    """
    samples_a_year = tuning.members * SECONDS_A_YEAR * 1_000 / interval_ms
    alarms = 0.0
    for test in FAILURE_TESTS:
        width = tuning.level[test] / GRID
        places = np.arange(GRID)
        moves = np.zeros((GRID, GRID))
        down = np.maximum(0.0, places - tuning.down[test] / width)
        low = np.floor(down).astype(int)
        part = down - low  # shared between two neighbours, so that the mean step is exact
        moves[places, low] += (1.0 - tuning.base_rate) * (1.0 - part)
        moves[places, np.minimum(low + 1, GRID - 1)] += (1.0 - tuning.base_rate) * part
        up = places + round(tuning.up[test] / width)
        inside = up < GRID
        moves[places[inside], up[inside]] += tuning.base_rate
        lengths = np.linalg.solve(np.eye(GRID) - moves, np.ones(GRID))
        alarms += samples_a_year / float(lengths[0])
    return alarms
