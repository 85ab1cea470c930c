"""Resting probers decide as those that make every check: the same sites are left, at the same time, for the same shares.

The same time means one tick of the observer (100 ms): when its ticks fall depends on when the last rest ended. What the core
does in between (warming a standby 50 ms before or after) may differ by as much.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from siteshift.core.model.policy import Policy
from siteshift.core.model.units import VantageId
from siteshift.sim.faults.acts import Fault, TimedEvent
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.faults.world import Crash, Errors, Hang, Latency
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.spec import NoiseSpec
from siteshift.sim.world.worlds import ANYANG, GASAN, PANGYO, standard_world

NODES = tuple(VantageId(name) for name in ("c1", "c2", "c3"))
NOISY = replace(standard_world(cold_start_ms=1_500), noise=NoiseSpec(failures_ppm=300))
FAULTS: list[Fault] = [
    Crash(site=PANGYO),
    Crash(site=GASAN, fraction=0.25),
    Hang(site=PANGYO),
    Errors(site=GASAN, rate_pm=300),
    Errors(site=PANGYO, rate_pm=50),
    Latency(site=ANYANG, add_ms=1_500),
    CtlKill(),
]


TICK_MS = 100


def first_departures(record: Record) -> dict[str, int]:
    """When each site's desired share first fell."""
    found: dict[str, int] = {}
    for move in record.moves:
        for site, bp in move.before_bp.items():
            if move.after_bp.get(site, 0) < bp:
                found.setdefault(site, move.at_ms)
    return found


def ends(record: Record) -> dict[str, int]:
    """What is desired at the end."""
    return {row.site: row.desired_bp for row in record.seconds[-3:]}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault}"[:24])
def test_resting_changes_no_decision(fault: Fault, seed: int) -> None:
    fault_ms = 61_234 + 777 * seed
    events = [TimedEvent(at_ms=fault_ms, act=fault, until_ms=100_000)]
    resting = simulate(NOISY, Policy(), events, seed=seed, duration_ms=160_000)
    each = simulate(NOISY, Policy(), events, seed=seed, duration_ms=160_000, probe_one_by_one=NODES)
    ours, theirs = first_departures(resting), first_departures(each)
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[site] - theirs[site]) <= TICK_MS for site in fault.sites if site in ours)
    assert ends(resting) == ends(each)
    assert len(resting.wrong_moves) == len(each.wrong_moves) == 0
    assert [line.text for line in resting.transcript if line.kind == "term"] == [
        line.text for line in each.transcript if line.kind == "term"
    ]
    assert resting.loss.unanswered == pytest.approx(each.loss.unanswered, rel=0.02, abs=5)


def test_rest_is_cheaper_and_counts_the_same_checks() -> None:
    calm = standard_world()
    resting = simulate(calm, Policy(), seed=1, duration_ms=60_000)
    each = simulate(calm, Policy(), seed=1, duration_ms=60_000, probe_one_by_one=NODES)
    for node in NODES:
        assert abs(resting.probes[node] - each.probes[node]) <= len(calm.topology.members) + calm.anchors
