"""How long a whole allocation takes, against a linear program in the same run, and how near its optimum it comes.

Services of four tiers at some sites that share site capacities, a third of the capacity cold standby. ``calm``: nothing is
lost. ``lost``: one site is lost, and a third of the services find one of their pools full. ``tight``: two thirds do, and some
need standby. ``short``: the sites are too small for all, so that services are moved on to make room for others and
the lowest tier is shed.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from siteshift.core.decide.capacity import Candidate, Demand, Problem, ServiceAllocation, StandbyUse, allocate, allocate_sliced
from siteshift.core.model.units import WHOLE_BP, ServiceId, SiteId

TIERS = (1, 2, 3, 4)
WIDTHS = (18, 7, 10, 8, 12, 8, 10, 10)
ROOM = {"calm": 1.5, "lost": 1.5, "tight": 1.5, "short": 0.95}
"""Site capacity together, as a multiple of the demand."""

LEAST = {"calm": 1.0, "lost": 1.0, "tight": 0.9, "short": 0.9}
"""The smallest pool, as a multiple of what it has to carry when a site is lost; the largest is twice as large."""


def problem(services: int, sites: int, kind: str, seed: int) -> Problem:
    chance = random.Random(seed)
    names = [SiteId(f"site{number}") for number in range(sites)]
    demands = []
    for number in range(services):
        rps = chance.randint(100, 10_000)
        nominal = [WHOLE_BP // sites] * sites
        nominal[0] += WHOLE_BP - sum(nominal)
        each = rps / (sites - 1)
        candidates = tuple(
            Candidate(
                site,
                nominal_bp,
                nominal_bp,
                int(each * LEAST[kind] * chance.uniform(1.0, 2.0)),
                int(each * 0.5),
                away=kind != "calm" and site == names[0],
            )
            for site, nominal_bp in zip(names, nominal, strict=True)
        )
        demands.append(Demand(ServiceId(f"s{number}"), chance.choice(TIERS), rps, 900, candidates))
    total = sum(demand.demand_rps for demand in demands)
    each_site = int(total * ROOM[kind] / (sites - 1) / 0.9)
    return Problem(demands=tuple(demands), site_capacity_rps=dict.fromkeys(names, each_site))


class Program:
    """The same problem as a linear program for HiGHS: served rps per service and site."""

    def __init__(self, asked: Problem) -> None:
        pairs = [(i, entry) for i, demand in enumerate(asked.demands) for entry in demand.candidates]
        self.tiers = np.array([asked.demands[i].tier for i, _ in pairs])
        self.bounds = [
            (0.0, 0.0 if entry.away else (entry.active_rps + entry.open_standby_rps + entry.standby_rps) * 0.9)
            for _, entry in pairs
        ]
        sites = {site: at for at, site in enumerate(asked.site_capacity_rps)}
        count, columns = len(asked.demands), np.arange(len(pairs))
        rows = np.concatenate([[i for i, _ in pairs], [count + sites[entry.site] for _, entry in pairs]])
        self.matrix = coo_array(
            (np.ones(2 * len(pairs)), (rows, np.concatenate([columns, columns]))), shape=(count + len(sites), len(pairs))
        ).tocsr()
        self.limits = np.array(
            [float(demand.demand_rps) for demand in asked.demands] + [rps * 0.9 for rps in asked.site_capacity_rps.values()]
        )

    def solve(self, weights: np.ndarray) -> np.ndarray:
        answer = linprog(-weights, A_ub=self.matrix, b_ub=self.limits, bounds=self.bounds, method="highs")
        if not answer.success:
            raise SystemExit(f"HiGHS: {answer.message}")
        return np.asarray(answer.x)

    def weighted(self) -> np.ndarray:
        """One solution in which a higher tier is always worth more."""
        return self.solve(1.0 + (5 - self.tiers) * 4.0)

    def best_up_to(self, tier: int) -> float:
        """The most that can be served of the tiers up to this one."""
        counts = (self.tiers <= tier).astype(float)
        return float(counts @ self.solve(counts))


def served_up_to(results: tuple[ServiceAllocation, ...], tier: int) -> float:
    return sum((WHOLE_BP - entry.shed_bp) * entry.demand.demand_rps / WHOLE_BP for entry in results if entry.demand.tier <= tier)


def timed_ms(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Median and least of several runs; the least is what other work on the machine disturbed least."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken), min(taken)


def yardstick() -> None:
    """A million empty turns of a loop: how fast this machine is just now (about 15 ms when it is left alone)."""
    for _ in range(1_000_000):
        pass


def longest_slice_ms(asked: Problem) -> float:
    """The longest the loop would be held by the sliced form; median over runs of each run's longest."""
    longest = []
    for _ in range(5):
        run, worst = allocate_sliced(asked, standby=StandbyUse.ALLOWED), 0.0
        while True:
            began = time.perf_counter()
            try:
                next(run)
            except StopIteration:
                break
            finally:
                worst = max(worst, (time.perf_counter() - began) * 1_000)
        longest.append(worst)
    return statistics.median(longest)


def worst_gap_pm(asked: Problem) -> float:
    """By how much less is served than the optimum, over the tiers taken together from the top; per mille."""
    results = allocate(asked, standby=StandbyUse.ALLOWED).services
    program = Program(asked)
    gaps = []
    for tier in TIERS:
        best = program.best_up_to(tier)
        gaps.append(1_000 * (best - served_up_to(results, tier)) / best)
    return max(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the services, a run of each kind")
    is_quick = parser.parse_args().quick
    heads = ("services x sites", "kind", "plan ms", "best", "program ms", "ratio", "slice ms", "gap")
    print("".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    rows = []
    for services, sites, kind, runs in (
        (1_000, 5, "calm", 41),
        (1_000, 5, "lost", 41),
        (1_000, 5, "tight", 41),
        (1_000, 5, "short", 11),
        (10_000, 5, "calm", 7),
        (10_000, 5, "lost", 7),
    ):
        if is_quick:
            services, runs = services // 100, 1
        asked = problem(services, sites, kind, seed=services)
        gc.collect()
        gc.freeze()
        plan_ms, best_ms = timed_ms(lambda asked=asked: allocate(asked, standby=StandbyUse.ALLOWED), runs)
        program = Program(asked)
        program_ms, _ = timed_ms(program.weighted, 3 if services <= 1_000 else 1)
        slice_ms = longest_slice_ms(asked)
        gap_pm = worst_gap_pm(asked) if services <= 1_000 else None
        rows.append(
            {
                "services": services,
                "sites": sites,
                "kind": kind,
                "plan_ms": round(plan_ms, 2),
                "best_ms": round(best_ms, 2),
                "program_ms": round(program_ms, 1),
                "ratio": round(program_ms / plan_ms, 1),
                "longest_slice_ms": round(slice_ms, 2),
                "gap_pm": None if gap_pm is None else round(gap_pm, 3),
            }
        )
        told = "" if gap_pm is None else f"{gap_pm / 10:.4f} %"
        cells = (
            f"{services} x {sites}",
            kind,
            f"{plan_ms:.2f}",
            f"{best_ms:.2f}",
            f"{program_ms:.1f}",
            f"{program_ms / plan_ms:.1f}",
            f"{slice_ms:.2f}",
            told,
        )
        print("".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)))
    yardstick_ms, _ = timed_ms(yardstick, 5)
    print(f"yardstick: a million empty turns of a loop take {yardstick_ms:.1f} ms now")
    gaps = [worst_gap_pm(problem(200, 5, "short", seed)) for seed in range(20)]
    print(f"worst gap to the linear program, 20 short problems of 200 services: {max(gaps) / 10:.4f} %")
    lost = next(row for row in rows if row["kind"] == "lost")
    print(
        json.dumps(
            {
                "bench": "plan",
                "plan_ms_1000x5": lost["plan_ms"],
                "yardstick_ms": round(yardstick_ms, 1),
                "ratio_to_program_1000x5": lost["ratio"],
                "worst_gap_pm": round(max(*gaps, *(row["gap_pm"] or 0.0 for row in rows)), 3),
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
