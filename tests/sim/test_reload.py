"""A reload in the simulated world: after an hour of uptime, around a site's death, nobody is blind for a moment."""

from __future__ import annotations

from functools import cache

import pytest

from siteshift.core.model.policy import Policy
from siteshift.sim.faults.acts import Fault, Reload, TimedEvent
from siteshift.sim.faults.world import Crash, Errors
from siteshift.sim.fuzz.swarm import draw_case
from siteshift.sim.results.record import Record
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.worlds import PANGYO, standard_world

HOUR_MS = 3_600_000
END_MS = HOUR_MS + 20_000
TICK_MS = 100
CRASH = Crash(site=PANGYO)


def left_ms(record: Record) -> int:
    """When the dying site was first given less."""
    return min(move.at_ms for move in record.moves if move.after_bp.get(PANGYO, 0) < move.before_bp.get(PANGYO, 0))


@cache
def left_without_a_reload(fault: Fault) -> Record:
    return simulate(standard_world(), Policy(), [TimedEvent(at_ms=HOUR_MS, act=fault)], seed=1, duration_ms=END_MS)


@pytest.mark.parametrize(
    ("fault", "after_ms"), [(CRASH, -500), (CRASH, 150), (CRASH, 400), (Errors(site=PANGYO, rate_pm=300), 1_000)]
)
def test_a_site_that_dies_around_a_reload_is_left_as_quickly_as_without_it(fault: Fault, after_ms: int) -> None:
    """All nodes read the same file again after an hour, just before the fault or in the middle of suspecting it."""
    reload = TimedEvent(at_ms=HOUR_MS + after_ms, act=Reload(policy=Policy()))
    events = [TimedEvent(at_ms=HOUR_MS, act=fault), reload]
    with_it = simulate(standard_world(), Policy(), events, seed=1, duration_ms=END_MS)
    without = left_without_a_reload(fault)
    assert without.moves
    assert abs(left_ms(with_it) - left_ms(without)) <= TICK_MS
    assert len(with_it.wrong_moves) == len(without.wrong_moves) == 0


def test_many_a_drawn_world_reads_its_file_again() -> None:
    """A third of the fuzz's worlds, and not at the cost of what else is drawn for a seed."""
    cases = [draw_case(seed, minutes=10) for seed in range(30)]
    events = [case.values["events"] for case in cases]
    reloading = [found for found in events if isinstance(found, list) and any("reload" in entry for entry in found)]  # type: ignore[operator]
    assert 5 <= len(reloading) <= 20
