"""Seen traffic: asks the meters, tells the core, and hands the figures to the observer as evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from siteshift.core.events import Event, SeenTraffic, TrafficMeasured
from siteshift.core.model.units import ServiceId, SiteId, TargetId, pool_target
from siteshift.errors import AdapterError
from siteshift.ports import Clock, TrafficMeter, TrafficSample

EVERY_S = 0.5
DEADLINE_MS = 1_000

Evidence = Callable[[Sequence[TrafficSample], Sequence[TargetId]], None]


async def run_meters(
    meters: Sequence[TrafficMeter],
    *,
    clock: Clock,
    offer: Callable[[Event], None],
    evidence: Evidence,
    on_error: Callable[[str, BaseException], None],
) -> None:
    """Sample every meter twice a second. A meter that cannot know says nothing: seen stays unknown, not zero."""
    while True:
        await asyncio.sleep(EVERY_S)
        results = await asyncio.gather(
            *(meter.sample(deadline_ms=DEADLINE_MS) for meter in meters), return_exceptions=True
        )
        samples: list[TrafficSample] = []
        for result in results:
            if isinstance(result, BaseException):
                if not isinstance(result, AdapterError):
                    raise result
                on_error("traffic meter", result)
            else:
                samples += result
        if samples:
            merged = merge(samples)
            offer(TrafficMeasured(at_ms=clock.now_ms(), seen=tuple(merged)))
            evidence(samples, [pool_target(sample.service, sample.site) for sample in samples])


def merge(samples: Sequence[TrafficSample]) -> list[SeenTraffic]:
    """Sum what several load balancers saw for one service and site."""
    sums: dict[tuple[ServiceId, SiteId], list[int]] = {}
    for sample in samples:
        row = sums.setdefault((sample.service, sample.site), [0, 0, 0])
        row[0] = max(row[0], sample.window_ms)
        row[1] += sample.requests
        row[2] += sample.errors
    return [
        SeenTraffic(service=service, site=site, window_ms=window_ms, requests=requests, errors=errors)
        for (service, site), (window_ms, requests, errors) in sums.items()
    ]
