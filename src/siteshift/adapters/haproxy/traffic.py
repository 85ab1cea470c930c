"""Traffic seen by a HAProxy: requests, errors and latency per service and site, from differences of its counters.

A tunnelled request counts for the site that serves it; where that site's HAProxy has a meter of its own it is counted
there once more. Where a counter became smaller, all of that server were reset (HAProxy restarted or reloaded, ``clear counters
all``): what it shows since then is counted, what came between the last look and the reset is not known. Under ``mode tcp`` what
was answered is not known either.
"""

from __future__ import annotations

from collections.abc import Sequence

from siteshift.adapters.haproxy import stat
from siteshift.adapters.haproxy.plane import HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.adapters.haproxy.stat import COLUMNS, HTTP, Counters, ServerCounters
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.ports import Clock, TrafficSample

NOTHING = ServerCounters._make([*[0] * len(COLUMNS), HTTP])


class HaproxyTrafficMeter:
    """`ports.TrafficMeter` over one `HaproxyPlane`. The first call only takes the counters: it has no window yet."""

    def __init__(self, plane: HaproxyPlane, clock: Clock) -> None:
        self._plane = plane
        self._clock = clock
        self._system = f"haproxy {plane.id}"
        self._api = RuntimeApi(plane.address, system=self._system)
        self._before: Counters | None = None
        self._before_ms = 0

    async def sample(self, *, deadline_ms: int) -> Sequence[TrafficSample]:
        now = await stat.parse(await stat.ask(self._api, deadline_ms=deadline_ms), system=self._system)
        now_ms = self._clock.now_ms()
        before, window_ms = self._before, now_ms - self._before_ms
        self._before, self._before_ms = now, now_ms
        if before is None:
            return ()
        return self._samples(before, now, now_ms, window_ms)

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    def _samples(self, before: Counters, now: Counters, now_ms: int, window_ms: int) -> list[TrafficSample]:
        sums: dict[tuple[ServiceId, SiteId], TrafficSum] = {}
        for backend in self._plane.backends:
            for mapped in backend.servers:
                server = (backend.backend, mapped.server)
                if server in now:
                    total = sums.setdefault((backend.service, mapped.site), TrafficSum())
                    total.add(before.get(server, NOTHING), now[server])
        return [
            TrafficSample(
                service=service,
                site=site,
                at_ms=now_ms,
                window_ms=window_ms,
                requests=total.requests,
                errors=total.errors,
                latency_ms=total.latency_ms,
                answered=total.answered if total.tells_answers else None,
                passed_on=total.passed_on,
            )
            for (service, site), total in sums.items()
        ]


class TrafficSum:
    """Adds up the servers of one service at one site."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.answered = 0
        self.passed_on = 0
        self.tells_answers = True
        """Whether all of its servers count answers: those under ``mode tcp`` do not."""
        self._weighted_ms = 0

    def add(self, before: ServerCounters, now: ServerCounters) -> None:
        if not now.is_after(before):
            before = NOTHING
        self.tells_answers &= now.tells_answers
        errors = now.errors - before.errors
        # A request that hangs is counted when it starts, its error when it ends: maybe in a later window.
        requests = max(now.requests - before.requests, errors)
        self.requests += requests
        self.errors += errors
        self.answered += now.answered - before.answered
        self.passed_on += now.redispatches - before.redispatches
        self._weighted_ms += requests * now.latency_ms

    @property
    def latency_ms(self) -> int | None:
        """Mean over the servers by their requests; None when there were none."""
        return round(self._weighted_ms / self.requests) if self.requests else None
