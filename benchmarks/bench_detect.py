"""First bad request to changed steering, in the lab with real processes (`make bench-detect`).

Four members a site, one-second probes, 200 ms once something failed, one node, the embedded DNS. Each run is a lab of
its own. Printed are the median and the worst of ``--runs`` runs per fault, what the survivors carried at most, and
what was lost because of our move. The bounds are those of the issue.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics

from siteshift.lab.detection import Detection, detect
from siteshift.lab.faults import parse_fault
from siteshift.lab.shape import LabShape
from siteshift.lab.spec import ClientSpec

BOUNDS_S = {"crash": 1.0, "hang": 2.0, "errors:300": 4.0, "errors:50": 30.0}
LIMIT_FACTOR = 4.0
"""A run that takes this many times its bound has not detected."""


async def run_all(fault: str, *, runs: int, load_rps: int, watch_s: float) -> list[Detection]:
    """One fault, ``runs`` times, with a seed each."""
    found = []
    for seed in range(1, runs + 1):
        shape = LabShape(clients=ClientSpec(load_rps=load_rps), seed=seed)
        limit_s = max(10.0, LIMIT_FACTOR * BOUNDS_S.get(fault, 10.0))
        one = await detect(parse_fault(fault, site="pangyo", member="p1"), shape, site="pangyo", limit_s=limit_s, watch_s=watch_s)
        found.append(one)
        marks = one.milestones
        print(
            f"{fault:12} run {seed:2}: suspicion {_ms(marks.after_ms(marks.suspicion_ms))}, diagnosis "
            f"{_ms(marks.after_ms(marks.diagnosis_ms))}, write {_ms(one.written_after_ms)}, survivors at most "
            f"{marks.survivor_peak_pm / 10:.0f} %, lost by our move {marks.lost_by_our_move}, "
            f"moves before the fault {one.moves_before}",
            flush=True,
        )
    return found


def _ms(value: int | None) -> str:
    return "never" if value is None else f"{value} ms"


def main() -> None:
    """Parse, run, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--faults", default=",".join(BOUNDS_S))
    parser.add_argument("--load", type=int, default=300)
    parser.add_argument("--watch", type=float, default=6.0, help="seconds watched after the first write")
    options = parser.parse_args()
    result: dict[str, dict[str, float | int | None]] = {}
    for fault in options.faults.split(","):
        found = asyncio.run(run_all(fault, runs=options.runs, load_rps=options.load, watch_s=options.watch))
        seconds = [one.written_after_ms / 1000 for one in found if one.written_after_ms is not None]
        result[fault] = {
            "median_s": round(statistics.median(seconds), 2) if seconds else None,
            "worst_s": round(max(seconds), 2) if seconds else None,
            "detected": len(seconds),
            "runs": len(found),
            "bound_s": BOUNDS_S.get(fault),
            "survivor_peak_pm": max(one.milestones.survivor_peak_pm for one in found),
            "lost_by_our_move": sum(one.milestones.lost_by_our_move for one in found),
        }
    print(f"\n{'fault':12}{'median s':>10}{'worst s':>10}{'bound s':>10}{'detected':>10}{'survivor':>10}{'our loss':>10}")
    for fault, row in result.items():
        peak_pm = row["survivor_peak_pm"] or 0
        print(
            f"{fault:12}{row['median_s'] or '-':>10}{row['worst_s'] or '-':>10}{row['bound_s'] or '-':>10}"
            f"{row['detected']:>6}/{row['runs']:<3}{peak_pm / 10:>9.0f}%{row['lost_by_our_move']:>10}"
        )
    print(json.dumps({"bench": "detect", "faults": result}))


if __name__ == "__main__":
    main()
