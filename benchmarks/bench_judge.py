"""How fast and how surely siteshift judges: Monte Carlo of the real `Observer` and `diagnose` in virtual time.

    bench_judge.py [--quick]

Prints false verdicts per target-year against the budget: seen in plain running (default budget and a thousandfold one), and
at the default budget by importance sampling (`judge_rare`), for a year is too long to wait; then detection delays with
Lorden's bound, and the cost of one `result` call. A verdict here is a combined picture on which a decider would move
traffic: DOWN, or DEGRADED below 970 per mille, and no global fault. The noise model is stated in `judge_noise`. Ends with one
line of JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from judge_faults import FAILING_RATE, FAULTS, SERVICE, SITES
from judge_noise import World
from judge_rare import all_kinds, bare_a_year

from siteshift.core.judge.cusum import SECONDS_A_YEAR, lorden_bound_samples, tune
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.units import VantageId

HOUR_MS = 3_600_000
YEAR_H = SECONDS_A_YEAR / 3_600
WARM_MS = HOUR_MS
LIMIT_MS = 90_000
TABLE = {"crash": (0.9, 1.0), "hang": (1.4, 1.5), "errors30": (1.8, 3.6), "errors10": (4.4, 11.0), "errors5": (8.9, 25.0)}
"""Seconds, median and 95th percentile, that the first prototype reached at four members (facts: detection limits)."""


def upper_bound(events: int, exposure: float) -> float:
    """95 % upper confidence bound of a Poisson rate, one-sided (chi-square by Wilson and Hilferty)."""
    k = events + 1
    z = 1.645
    return k * (1 - 1 / (9 * k) + z / (3 * k**0.5)) ** 3 / exposure if exposure else float("inf")


def false_verdicts(members: int, vantages: int, *, budget: float, seconds: float, path: bool, seed: int) -> dict[str, float]:
    """Run noise only for some CPU time. Targets are the three pools (their sites fail with them)."""
    world = World(members=members, vantages=vantages, seed=seed, path=path, judge=JudgePolicy(false_alarms_per_year=budget))
    world.run(world.now + (WARM_MS if members < 50 else WARM_MS // 6))
    world.tally.moves_at.clear()
    began, since = time.process_time(), world.now
    while time.process_time() - began < seconds:
        world.run(world.now + HOUR_MS // 12)
    hours = (world.now - since) / HOUR_MS
    years = 3 * hours / YEAR_H
    count = len(world.tally.moves_at)
    return {
        "members": members,
        "vantages": vantages,
        "noisy_path": int(path),
        "budget": budget,
        "hours": round(hours, 1),
        "target_years": round(years, 5),
        "false": count,
        "per_target_year": round(count / years, 1) if years else 0.0,
        "upper95": round(upper_bound(count, years), 1),
    }


def sampled_budget(members: int, vantages: int, *, path: bool, runs: int, seed: int) -> dict[str, float]:
    """False verdicts a target-year at the default budget, by importance sampling; the interval's upper ends are added up."""
    world = World(members=members, vantages=vantages, seed=seed, path=path)
    world.run(world.now + (WARM_MS if members < 50 else WARM_MS // 4))
    world.run(world.now + 30_000, jump=False)
    found = [one for _, one in all_kinds(world, runs, seed)]
    judge = world.policy.judge
    learned = 120 if path else 12  # per 10,000: about what a warm world has learned
    bare = bare_a_year(tune(members, learned, 20, judge.interval_ms, judge.false_alarms_per_year), judge.interval_ms)
    return {
        "members": members,
        "vantages": vantages,
        "noisy_path": int(path),
        "runs": sum(one.runs for one in found),
        "verdicts": sum(one.verdicts for one in found),
        "bare_a_year": round(bare, 1),
        "a_year": round(sum(one.a_year for one in found), 4),
        "upper95": round(sum(one.upper95 for one in found), 4),
        **{one.kind: round(one.a_year, 5) for one in found},
    }


def delays(fault: str, warm: list[World], *, seconds: float, most: int) -> np.ndarray:
    """Seconds from the fault at all members of a site to the verdict, LIMIT when not seen; at least four runs."""
    found: list[float] = []
    began = time.process_time()
    while len(found) < 4 or (len(found) < most and time.process_time() - began < seconds):
        run = len(found)
        world = copy.deepcopy(warm[run % len(warm)])
        world.rng.seed(run)
        world.run(world.now + 3_000 + world.rng.randrange(60_000))
        start = world.now + 2_000 + world.rng.randrange(1_000)
        world.inject(fault, (0,), at_ms=start)
        seen = world.run(start + LIMIT_MS, stop=_moved, jump=False)
        found.append((world.now - start if seen else LIMIT_MS) / 1_000)
    return np.array(found)


def _moved(world: World) -> bool:
    return world.picture is not None and str(SITES[0]) in world.moves(world.picture)


def everywhere(fault: str, warm: list[World], runs: int) -> int:
    """Runs in which a fault of all sites at once (two of them 200 ms later) moved traffic within 30 s."""
    moved = 0
    for run in range(runs):
        world = copy.deepcopy(warm[run % len(warm)])
        world.rng.seed(run)
        world.run(world.now + 3_000 + world.rng.randrange(60_000))
        world.tally.moves_at.clear()
        start = world.now + 2_000 + world.rng.randrange(1_000)
        for site in range(3):
            world.faulty[site] = (start + (200 if site else 0), FAULTS[fault])
        moved += world.run(start + 30_000, stop=lambda w: bool(w.tally.moves_at), jump=False)
    return moved


def warmed(members: int, vantages: int, worlds: int) -> list[World]:
    """Worlds whose baselines have been learned for an hour."""
    made = []
    for seed in range(worlds):
        world = World(members=members, vantages=vantages, seed=1_000 + seed)
        world.run(world.now + (WARM_MS if members < 50 else WARM_MS // 4))
        made.append(world)
    return made


def lorden_seconds(fault: str, members: int) -> float:
    """Lorden's mean for one false verdict a year at the fast rate, plus the mean wait for the first failing check."""
    rate = FAILING_RATE.get(fault)
    if rate is None:
        return float("nan")
    fast = 5.0 * min(members, 12)
    samples = lorden_bound_samples(0.0013, min(rate, 0.999), fast * SECONDS_A_YEAR)
    return samples / fast + 1.0 / (members * rate)


def cost() -> dict[str, float]:
    """ns per `result` in calm and in trouble, µs per `diagnose` of 3 sites x 3 services x 4 members with 3 vantages."""
    world = World(members=4, vantages=1, seed=7)
    world.run(world.now + 60_000)
    observer: Observer = world.nodes[0].observer
    targets = list(world.nodes[0].checks)
    at = world.now + 10_000
    while not observer.at_rest:
        for target in targets:
            observer.result(target, Outcome.PASS, Fault.NONE, 9_000, at, at)
        observer.tick(at)
        at += 1_000
    calm, trouble = [], []
    for _ in range(15):
        begin = time.perf_counter_ns()
        for _ in range(500):
            for target in targets:
                observer.result(target, Outcome.PASS, Fault.NONE, 9_000, at, at)
        calm.append((time.perf_counter_ns() - begin) / (500 * len(targets)))
    for i in range(3_000):
        target = targets[i % 4]
        begin = time.perf_counter_ns()
        failing = i % 10 == 0
        outcome, fault = (Outcome.FAIL, Fault.BAD_STATUS) if failing else (Outcome.PASS, Fault.NONE)
        observer.result(target, outcome, fault, 9_000, at + 50 * i, at + 50 * i)
        trouble.append(time.perf_counter_ns() - begin)
    return {
        "result_calm_ns": round(float(np.median(calm))),
        "result_trouble_ns": round(float(np.median(trouble))),
        "diagnose_us": round(_diagnose_cost(), 1),
    }


def _diagnose_cost() -> float:
    from dataclasses import replace

    from siteshift.core.model.topology import Topology
    from siteshift.core.model.units import MemberId, ServiceId

    world = World(members=4, vantages=3, seed=7)
    service = world.topology.service_by_id[SERVICE]
    services = []
    for name in ("web", "chat", "map"):
        pools = tuple(
            replace(
                pool,
                service=ServiceId(name),
                members=tuple(
                    replace(m, id=MemberId(f"{name}/{m.site}/{m.name}"), service=ServiceId(name)) for m in pool.members
                ),
            )
            for pool in service.pools
        )
        services.append(replace(service, id=ServiceId(name), pools=pools))
    topology = Topology(sites=world.topology.sites, services=tuple(services), vantages=world.topology.vantages)
    reports = {}
    for i, site in enumerate(SITES):
        observer = Observer(topology, JudgePolicy(), VantageId(f"v{i}"), site)
        for at in (1_000, 2_000, 3_000):
            for target in topology.targets:
                if target.startswith("member:"):
                    observer.result(target, Outcome.PASS, Fault.NONE, 9_000, at, at)
        reports[VantageId(f"v{i}")] = observer.report(3_000)
    policy = world.policy
    picture = diagnose(topology, policy, reports, 3_000)
    took = []
    for _ in range(200):
        begin = time.perf_counter_ns()
        picture = diagnose(topology, policy, reports, 3_000, picture)
        took.append((time.perf_counter_ns() - begin) / 1_000)
    return float(np.median(took))


def main() -> None:
    """Run all parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an eighth of the work")
    quick = parser.parse_args().quick
    costs = cost()
    print(
        f"one result: {costs['result_calm_ns']} ns calm, {costs['result_trouble_ns']} ns under suspicion; "
        f"diagnose (3 sites x 3 services x 4 members, 3 vantages): {costs['diagnose_us']} us"
    )

    print("\nfalse verdicts, noise only            budget/y   hours  target-years  false   per y   95 % below")
    verdicts = []
    cells = [(2, 1), (4, 1), (12, 1), (50, 1), (2, 3), (4, 3), (12, 3), (50, 3)]
    for members, vantages in cells:
        plan = [(1.0, False, 4.0), (1.0, True, 2.0)]
        if vantages == 1 and members in (2, 4, 12):
            plan += [(1_000.0, False, 6.0), (1_000.0, True, 4.0)]
        for budget, path, seconds in plan:
            one = false_verdicts(members, vantages, budget=budget, seconds=seconds / (10 if quick else 1), path=path, seed=11)
            verdicts.append(one)
            print(
                f"  {members:2d} members {vantages} vantage(s){' noisy path' if path else '':11s} {budget:9.0f}"
                f" {one['hours']:8.1f}"
                f" {one['target_years']:12.5f} {one['false']:6.0f} {one['per_target_year']:8.1f} {one['upper95']:10.1f}",
                flush=True,
            )

    print("\nfalse verdicts a target-year at budget 1, by importance sampling   runs  verdicts  bare sums  estimate  95 % below")
    sampled = []
    for members, vantages in cells:
        for path in (False, True):
            runs = (200 if members < 12 else 100 if members < 50 else 40) // vantages // (4 if quick else 1)
            rate = sampled_budget(members, vantages, path=path, runs=runs, seed=77)
            sampled.append(rate)
            print(
                f"  {members:2d} members {vantages} vantage(s){' noisy path' if path else '':11s}{'':28s} {rate['runs']:5.0f}"
                f" {rate['verdicts']:9.0f} {rate['bare_a_year']:10.1f} {rate['a_year']:9.4f} {rate['upper95']:11.4f}",
                flush=True,
            )

    print("\ndelay from fault to verdict, s        median    p95   Lorden   table (median, p95)")
    found = []
    for members, vantages in cells:
        main_cell = (members, vantages) == (4, 1)
        worlds = warmed(members, vantages, (2 if quick else 6) if main_cell else 1)
        for fault in FAULTS:
            seconds = (12.0 if main_cell else 2.0) / (8 if quick else 1)
            times = delays(fault, worlds, seconds=seconds, most=400)
            median, p95 = float(np.median(times)), float(np.quantile(times, 0.95))
            bound = lorden_seconds(fault, members)
            goal = TABLE.get(fault) if (members, vantages) == (4, 1) else None
            found.append(
                {
                    "members": members,
                    "vantages": vantages,
                    "fault": fault,
                    "runs": len(times),
                    "median_s": round(median, 2),
                    "p95_s": round(p95, 2),
                    "missed": int((times >= LIMIT_MS / 1_000).sum()),
                }
            )
            print(
                f"  {members:2d} members {vantages} vantage(s) {fault:9s} {len(times):4d} runs"
                f" {median:7.2f} {p95:7.2f} {bound:7.2f}   {goal or ''}",
                flush=True,
            )

    worlds = warmed(4, 1, 2)
    runs = 5 if quick else 20
    spread = {fault: everywhere(fault, worlds, runs) for fault in FAULTS if fault != "errors2"}
    print(f"\nthe same fault at all sites, two of them 200 ms later: moves in {runs} runs each:\n  {spread}")
    print(
        json.dumps(
            {
                "bench": "judge",
                "quick": quick,
                "cost": costs,
                "false_verdicts": verdicts,
                "sampled_budget": sampled,
                "delays": found,
                "everywhere": {"runs": runs, "moved": spread},
            }
        )
    )


if __name__ == "__main__":
    main()
