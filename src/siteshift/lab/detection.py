"""How long from a user's first bad request until the node has changed the steering: one run, one fault, one lab."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from siteshift.lab.faults import Fault
from siteshift.lab.measure import WRITE, Milestones
from siteshift.lab.recording import Recording
from siteshift.lab.shape import LabShape
from siteshift.lab.world import Lab

QUIET_S = 8.0
"""Healthy load before the fault: caches fill, and the node learns what is normal."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One run. ``milestones`` cover the time from the fault to ``watch_s`` after the first write."""

    milestones: Milestones
    written_after_ms: int | None
    moves_before: int


async def detect(fault: Fault, shape: LabShape, *, site: str, limit_s: float, watch_s: float) -> Detection:
    """Apply the fault and wait for the first write that moves shares, at most ``limit_s``.

    ``moves_before``: writes that moved shares although all was well; there should be none.
    """
    async with Lab(shape) as lab:
        await lab.start_node()
        await lab.start_clients()
        async with Recording(lab) as recording:
            await asyncio.sleep(QUIET_S)
            before = sum(event.kind == WRITE for event in recording.events)
            fault_ms = recording.now_ms()
            await lab.apply(fault)
            await _until_written(recording, fault_ms, limit_s)
            await asyncio.sleep(watch_s)
            found = recording.milestones(site=site, fault_ms=fault_ms, until_ms=recording.now_ms())
    return Detection(milestones=found, written_after_ms=found.after_ms(found.first_write_ms), moves_before=before)


async def _until_written(recording: Recording, fault_ms: int, limit_s: float) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while loop.time() < end_s:
        if any(event.kind == WRITE and event.at_ms >= fault_ms for event in recording.events):
            return
        await asyncio.sleep(LOOK_S)
