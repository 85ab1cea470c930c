"""One seed, one transcript: byte for byte, whatever the hash seed; another seed, another run."""

from __future__ import annotations

import os
import subprocess
import sys

from siteshift.core.model.policy import Policy
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.faults.world import Errors
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.worlds import PANGYO, standard_world

STORY = """
from dataclasses import replace
from siteshift.core.model.policy import Policy
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.faults.world import Crash, Errors, Loss
from siteshift.sim.faults.control import CtlKill
from siteshift.sim.run.simulation import simulate
from siteshift.sim.world.spec import NoiseSpec
from siteshift.sim.world.worlds import GASAN, PANGYO, standard_world

spec = replace(standard_world(services=("web", "api"), cold_start_ms=1_500), noise=NoiseSpec(failures_ppm=1_000))
events = [
    TimedEvent(at_ms=5_000, act=Errors(site=GASAN, rate_pm=200), until_ms=20_000),
    TimedEvent(at_ms=10_000, act=Loss(one="gasan", other="anyang", loss_pm=100), until_ms=30_000),
    TimedEvent(at_ms=30_000, act=Crash(site=PANGYO), until_ms=50_000),
    TimedEvent(at_ms=35_000, act=CtlKill(), until_ms=45_000),
]
record = simulate(spec, Policy(), events, seed=7, duration_ms=70_000)
print(record.text(), end="")
print(record.seconds[-1], record.lost)
"""


def _told(hash_seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, "-c", STORY], env=environment, check=True, capture_output=True, timeout=300).stdout


def test_two_hash_seeds_give_the_same_transcript_byte_for_byte() -> None:
    first, second = _told("1"), _told("4242")
    assert first == second
    assert b"leads with term" in first
    assert b"decision generation" in first


def test_the_seed_decides() -> None:
    spec = standard_world(nodes=1)
    events = [TimedEvent(at_ms=0, act=Errors(site=PANGYO, rate_pm=300))]
    texts = [simulate(spec, Policy(), events, seed=seed, duration_ms=20_000).text() for seed in (1, 1, 2)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
