"""The in-memory twin of a traffic meter: requests are told to it, as a load balancer would count them."""

from __future__ import annotations

from collections.abc import Sequence

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.errors import Retryable
from siteshift.ports import Clock, TrafficSample


class MemoryTrafficMeter:
    """`ports.TrafficMeter`: what `count` was told since the call before. The first call opens the window."""

    def __init__(self, pools: Sequence[tuple[ServiceId, SiteId]], clock: Clock) -> None:
        self._pools = tuple(pools)
        self._clock = clock
        self._window_from_ms: int | None = None
        self._counts: dict[tuple[ServiceId, SiteId], tuple[int, int, int]] = {}
        self._gone = ""

    def count(self, service: ServiceId, site: SiteId, *, requests: int, errors: int = 0, latency_ms: int = 0) -> None:
        """So many requests were served at the site, each in ``latency_ms``."""
        before = self._counts.get((service, site), (0, 0, 0))
        more = (requests, errors, requests * latency_ms)
        self._counts[service, site] = (before[0] + more[0], before[1] + more[1], before[2] + more[2])

    def go(self, why: str) -> None:
        """From now on it cannot be asked, because ``why``; an empty text brings it back."""
        self._gone = why

    async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:  # noqa: ARG002
        if self._gone:
            raise Retryable(self._gone, system="memory", operation="sample")
        now_ms = self._clock.now_ms()
        since_ms, self._window_from_ms = self._window_from_ms, now_ms
        counts, self._counts = self._counts, {}
        if since_ms is None:
            return ()
        return [_sample(pool, counts.get(pool, (0, 0, 0)), now_ms, now_ms - since_ms) for pool in self._pools]

    async def close(self) -> None:
        """Nothing is held."""


def _sample(pool: tuple[ServiceId, SiteId], count: tuple[int, int, int], now_ms: int, window_ms: int) -> TrafficSample:
    requests, errors, weighted_ms = count
    return TrafficSample(
        service=pool[0],
        site=pool[1],
        at_ms=now_ms,
        window_ms=window_ms,
        requests=requests,
        errors=errors,
        latency_ms=round(weighted_ms / requests) if requests else None,
    )
