"""A day of the standard world on one core: 3 sites, 3 services, 4 members each, 3 nodes, one-second probes, a daily curve.

Prints processor seconds for the calm part of the day (measured over a portion, scaled), for an hour with faults in it, and
how much rest saves against probing one by one, all in the same run. ``--whole`` runs the day from midnight to midnight.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace

from siteshift.core.model.policy import Policy
from siteshift.core.model.units import VantageId
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.faults.world import Crash, Errors
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.spec import DAILY_CURVE_PM, NoiseSpec, WorldSpec
from siteshift.sim.world.worlds import GASAN, PANGYO, standard_world

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
NODES = tuple(VantageId(name) for name in ("c1", "c2", "c3"))


def day_world(*, failures_ppm: int = 0) -> WorldSpec:
    """The standard world with three services and a daily load curve."""
    spec = standard_world(services=("web", "api", "chat"), nodes=3, curve_pm=DAILY_CURVE_PM)
    return replace(spec, noise=NoiseSpec(failures_ppm=failures_ppm))


def timed(
    spec: WorldSpec, duration_ms: int, events: Sequence[TimedEvent] = (), each: Sequence[VantageId] = ()
) -> tuple[float, Record]:
    """Processor seconds of one run, and its record."""
    began = time.process_time()
    record = simulate(spec, Policy(), events, seed=1, duration_ms=duration_ms, probe_one_by_one=each)
    return time.process_time() - began, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=30, help="virtual minutes of the calm portion")
    parser.add_argument("--whole", action="store_true", help="run the whole day instead of scaling a portion")
    arguments = parser.parse_args()
    portion_ms = DAY_MS if arguments.whole else arguments.minutes * 60_000
    start_s, _ = timed(day_world(), 1_000)
    calm_s, calm = timed(day_world(), portion_ms)
    day_s = (calm_s - start_s) * DAY_MS / portion_ms + start_s
    part_ms = 120_000
    each_s, _ = timed(day_world(), part_ms, each=NODES)
    rest_s = (calm_s - start_s) * part_ms / portion_ms  # of the long run: two short ones can differ by less than the noise
    saved = (each_s - start_s) / rest_s
    faults = [
        TimedEvent(at_ms=600_000, act=Crash(site=PANGYO), until_ms=900_000),
        TimedEvent(at_ms=1_800_000, act=Errors(site=GASAN, rate_pm=100), until_ms=2_100_000),
        TimedEvent(at_ms=2_700_000, act=CtlKill(), until_ms=2_760_000),
    ]
    hour_s, hour = timed(day_world(failures_ppm=100), HOUR_MS, faults)
    print("the standard world: 3 sites, 3 services, 4 members each, 3 nodes, one-second probes, daily curve")
    print(f"  a day                         {day_s:8.1f} s of one core ({DAY_MS / 1000 / day_s:.0f} x real time)")
    print(f"  probing one by one instead    {saved:8.1f} x as long")
    print(f"  an hour with three faults     {hour_s:8.1f} s; {len(hour.moves)} moves, {len(hour.violations)} laws broken")
    print(
        json.dumps(
            {
                "bench": "sim",
                "day_s": round(day_s, 1),
                "is_whole_day": arguments.whole,
                "one_by_one_ratio": round(saved, 1),
                "fault_hour_s": round(hour_s, 1),
                "violations": len(calm.violations) + len(hour.violations),
                "wrong_moves": len(calm.wrong_moves) + len(hour.wrong_moves),
            }
        )
    )


if __name__ == "__main__":
    main()
