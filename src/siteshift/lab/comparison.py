"""The same fault, the same load, the same HAProxy: what is lost under whose watch.

The figure is the one of the design's table: requests lost, in seconds of the failed site's traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from siteshift.lab.balancer import Balancer, Watcher
from siteshift.lab.faults import Fault
from siteshift.lab.ground import Ground, Loopback
from siteshift.lab.setup import NodeOptions
from siteshift.lab.spec import ClientSpec
from siteshift.lab.timeline import totals, wall_clock
from siteshift.lab.world import Lab, LabShape

SETTLE_S = 4.0
"""Load before the fault, so that caches and queues are as in every day's work."""
MEASURE_S = 12.0
"""More of it where a node watches: it has to have measured the demand it will move."""
TAIL_S = 2.0
"""Watched after the fault ends: the last requests meet their fate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One run. ``lost_s`` is in seconds of the failed site's share of the traffic."""

    watcher: Watcher
    offered: int
    lost: int
    late: int
    lost_s: float
    reasons: dict[str, int]
    lost_before: int


async def lose(
    fault: Fault,
    balancer: Balancer,
    *,
    fault_s: float = 30.0,
    clients: ClientSpec | None = None,
    node: NodeOptions | None = None,
    ground: Callable[[], Ground] = Loopback,
    site: str = "pangyo",
) -> Loss:
    """Run one fault for ``fault_s`` and count. With the watcher `Watcher.NODE` a node is started and watches."""
    shape = LabShape(clients=clients or ClientSpec(), node=node or NodeOptions(), balancer=balancer)
    async with Lab(shape, ground()) as lab:
        now_ms = wall_clock(lab.spec.clock_offset_ms)
        await lab.start_clients()
        if balancer.watcher is Watcher.NODE:
            await lab.start_node()
            await asyncio.sleep(MEASURE_S - SETTLE_S)
        await asyncio.sleep(SETTLE_S)
        fault_ms = now_ms()
        await lab.apply(fault)
        await asyncio.sleep(fault_s)
        await lab.undo(fault)
        await asyncio.sleep(TAIL_S)
        lab.timeline.refresh()
        before = [entry for entry in lab.timeline.bins if entry.at_ms < fault_ms - 100]
        after = [entry for entry in lab.timeline.bins if entry.at_ms >= fault_ms - 100]
        share_bp = lab.spec.site(site).nominal_bp
    reasons: dict[str, int] = {}
    for count in totals(after).values():
        for reason, number in count.lost.items():
            reasons[reason] = reasons.get(reason, 0) + number
    lost = sum(entry.lost for entry in after)
    return Loss(
        watcher=balancer.watcher,
        offered=sum(entry.offered for entry in after),
        lost=lost,
        late=sum(count.late for entry in after for count in entry.sites.values()),
        lost_s=round(lost / (shape.clients.load_rps * share_bp / 10_000), 1),
        reasons=reasons,
        lost_before=sum(entry.lost for entry in before),
    )
