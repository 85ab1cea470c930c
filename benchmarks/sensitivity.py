"""How much hangs on each constant of the theory of load: halved and doubled, one at a time (`make sensitivity`).

The constants are found in the modules of the theory (`theory_constants`). Every value runs the cases of the theory (scenarios of
`simulations/`) and the first worlds of the sweep's smallest sample, with the seed of each. For half and double the table says

``loss``     the loss relative to that with the present value, as the geometric mean over all runs; a second of the struck sites'
             traffic is added to both, so that a run that loses nothing counts too. Below 1: less was lost
``worse``    how many runs lose over 2 s more than nothing done, less how many do so with the present value
``missed``   how many criteria of the cases are missed, less how many are with the present value
``changed``  in how many runs anything at all was said or done differently: where it is in none, these runs know nothing of it

A per mille beyond 1,000 switches most rules on or off for good. A run in which the core raises counts as ``crashed``, and in
nothing else. The table is Markdown (docs/LOAD-CONSTANTS.md); a line comes as soon as it is known. ``--quick`` takes four cases
and no world of the sweep.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, fsum, log
from pathlib import Path
from typing import Any, NamedTuple

from theory_constants import Constant, changed, constants

from siteshift.sim.peers.nothing import BesideNothing, nothing_done
from siteshift.sim.results.loss import Loss
from siteshift.sim.run.pool import run_each
from siteshift.sim.run.replay import replay, site_rps, sites_rps
from siteshift.sim.scenario.scenario import Scenario, load_scenario
from siteshift.sim.sweep.factors import combination_of
from siteshift.sim.sweep.sample import LEAST, sample
from siteshift.sim.sweep.scenarios import scenario

LIBRARY = Path(__file__).parent.parent / "simulations"
CASES = (
    "capacity-70",
    "capacity-70-no-room",
    "survivors-saturate",
    "retry-storm",
    "surge-everywhere",
    "cold-caches",
    "drain-under-way",
    "checks-one",
)
QUICK = ("capacity-70", "capacity-70-no-room", "retry-storm", "checks-one")
WORLDS = 6
"""Worlds of the sweep; with all cases and two jobs on two idle cores it takes about 20 minutes."""
ADDED_S = 1.0
"""Seconds of the struck sites' traffic added to both losses of a ratio."""
FACTORS: Mapping[str, float] = {"half": 0.5, "double": 2.0}


class Variant(NamedTuple):
    """One value of one constant; the present values of all of them where there is none."""

    constant: Constant | None
    value: int = 0
    factor: str = ""


class Ran(NamedTuple):
    """One run. ``missed``: criteria. ``nothing`` and ``struck_rps`` only with the present values; a crash has no loss."""

    loss: Loss | None
    missed: int = 0
    digest: str = ""
    nothing: Loss | None = None
    struck_rps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What half or double brought, over all runs."""

    value: int
    loss_ratio: float
    worse: int
    missed: int
    changed: int
    crashed: int

    def cells(self) -> list[str]:
        """In the order of the head of the table."""
        missed = f"{self.missed:+d}" + (f", {self.crashed} crashed" if self.crashed else "")
        return [f"{self.loss_ratio:.2f}", f"{self.worse:+d}", missed, str(self.changed)]


def made(world: str) -> Scenario:
    """A case by its name, or a world of the sweep by its id."""
    return load_scenario(LIBRARY / f"{world}.yaml") if is_case(world) else scenario(combination_of(world))


def is_case(world: str) -> bool:
    return (LIBRARY / f"{world}.yaml").exists()


def run_variant(variant: Variant, *, worlds: Sequence[str]) -> tuple[Variant, list[Ran]]:
    """Every world with one value."""
    if variant.constant is None:
        return variant, [run_present(world) for world in worlds]
    with changed(variant.constant, variant.value):
        return variant, [run(world) for world in worlds]


def run(world: str) -> Ran:
    """One world as the core is now."""
    try:
        outcome, record = replay(made(world))
    except Exception as error:  # whatever the core raises is what the value brought
        print(f"{world}: {type(error).__name__}: {error}", file=sys.stderr)
        return Ran(None)
    missed = sum(not entry.is_met for entry in outcome.judged) if is_case(world) else 0
    return Ran(record.loss, missed, record.digest())


def run_present(world: str) -> Ran:
    """One world with the present values, and with nothing done."""
    used = made(world)
    outcome, record = replay(used)
    missed = sum(not entry.is_met for entry in outcome.judged) if is_case(world) else 0
    rps = site_rps(used.world, record) if is_case(world) else sites_rps(used.world, record, combination_of(world).struck())
    return Ran(record.loss, missed, record.digest(), nothing_done(used, seed=used.seed), rps)


def found_of(value: int, runs: Sequence[Ran], present: Sequence[Ran]) -> Found:
    """Runs with a value beside those with the present one."""
    pairs = [(one, now) for one, now in zip(runs, present, strict=True) if one.loss is not None]
    ratios = [log(added(one, now) / added(now, now)) for one, now in pairs]
    return Found(
        value=value,
        loss_ratio=exp(fsum(ratios) / max(1, len(ratios))),
        worse=sum(is_worse(one, now) - is_worse(now, now) for one, now in pairs),
        missed=sum(one.missed - now.missed for one, now in pairs),
        changed=sum(one.digest != now.digest for one, now in zip(runs, present, strict=True)),
        crashed=len(runs) - len(pairs),
    )


def added(one: Ran, present: Ran) -> float:
    """The loss in requests, and a second of the struck sites' traffic."""
    assert one.loss is not None
    return one.loss.weighed() + ADDED_S * present.struck_rps


def is_worse(one: Ran, present: Ran) -> bool:
    """Whether it lost more than nothing done."""
    assert one.loss is not None and present.nothing is not None
    return BesideNothing(ours=one.loss, nothing=present.nothing, site_rps=present.struck_rps).is_worse


def head() -> str:
    """The head of the table, in Markdown."""
    heads = [f"{factor}: {name}" for factor in FACTORS for name in ("loss", "worse", "missed", "changed")]
    return "\n".join([row(["constant", "value", "unit", *heads, "source"]), row(["---"] * (len(heads) + 4))])


def row_of(constant: Constant, found: Mapping[str, Found]) -> str:
    """Its line."""
    cells = [cell for factor in FACTORS for cell in found[factor].cells()]
    return row([f"`{constant.id}`", f"{constant.value:,}", constant.unit, *cells, constant.source.replace("|", "\\|")])


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def variants_of(constant: Constant) -> list[Variant]:
    """Half, at least 1, and double."""
    return [Variant(constant, max(1, int(constant.value * factor)), name) for name, factor in FACTORS.items()]


def main() -> None:
    """Parse, run, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--cases", help=f"scenarios of simulations/, with commas between them; {','.join(CASES)}")
    parser.add_argument("--worlds", type=int, help=f"so many worlds of the sweep, at most {LEAST}; {WORLDS}")
    parser.add_argument("--only", default="", help="constants whose id contains this (carrying.FIRST_HOLD_MS)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    options = parser.parse_args()
    cases = tuple(options.cases.split(",")) if options.cases else QUICK if options.quick else CASES
    count = options.worlds if options.worlds is not None else 0 if options.quick else WORLDS
    if unknown := [case for case in cases if not is_case(case)]:
        parser.error(f"no scenario of simulations/: {', '.join(unknown)}")
    worlds = [*cases, *(one.id for one in sample(LEAST)[:count])]
    chosen = [constant for constant in constants() if options.only in constant.id]
    if not chosen:
        parser.error(f"no constant is called `{options.only}`")
    _, present = run_variant(Variant(None), worlds=worlds)
    variants = [variant for constant in chosen for variant in variants_of(constant)]
    found: dict[Constant, dict[str, Found]] = {constant: {} for constant in chosen}
    print(head(), flush=True)

    def tell(done: tuple[Variant, list[Ran]]) -> None:
        """A line as soon as both values of a constant were run: what is cut short has told something."""
        variant, runs = done
        assert variant.constant is not None
        by_factor = found[variant.constant]
        by_factor[variant.factor] = found_of(variant.value, runs, present)
        if len(by_factor) == len(FACTORS):
            print(row_of(variant.constant, by_factor), flush=True)

    run_each(partial(run_variant, worlds=worlds), variants, jobs=options.jobs, tell=tell)
    print(json.dumps(document(worlds, present, found)))


def document(
    worlds: Sequence[str], present: Sequence[Ran], found: Mapping[Constant, Mapping[str, Found]]
) -> dict[str, Any]:
    """For the last line."""
    return {
        "bench": "sensitivity",
        "worlds": list(worlds),
        "worse_now": sum(is_worse(one, one) for one in present),
        "missed_now": sum(one.missed for one in present),
        "constants": {
            constant.id: {"value": constant.value, "unit": constant.unit}
            | {
                factor: {"value": one.value, "loss": round(one.loss_ratio, 3), "worse": one.worse}
                | {"missed": one.missed, "changed": one.changed, "crashed": one.crashed}
                for factor, one in by_factor.items()
            }
            for constant, by_factor in found.items()
        },
    }


if __name__ == "__main__":
    main()
