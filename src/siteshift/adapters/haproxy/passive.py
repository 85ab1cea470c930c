"""How users fare at the servers of a HAProxy: counts per member and per pool, as evidence beside the probes.

A request through a tunnel says as much about the way as about the site at its end, so tunnels are left out; and what
was asked between the last look and a restart is not known (see `traffic`).
"""

from __future__ import annotations

from collections.abc import Sequence

from siteshift.adapters.haproxy import stat
from siteshift.adapters.haproxy.plane import HaproxyPlane
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.adapters.haproxy.stat import Counters
from siteshift.adapters.haproxy.traffic import NOTHING, TrafficSum
from siteshift.core.model.units import TargetId, member_target, pool_target
from siteshift.ports import Clock, PassiveSample


class HaproxyPassive:
    """`ports.EvidenceSource` over one `HaproxyPlane`. The first call only takes the counters."""

    def __init__(self, plane: HaproxyPlane, clock: Clock) -> None:
        self._plane = plane
        self._clock = clock
        self._system = f"haproxy {plane.id}"
        self._api = RuntimeApi(plane.address, system=self._system)
        self._before: Counters | None = None

    async def sample(self, *, deadline_ms: int) -> Sequence[PassiveSample]:
        now = await stat.parse(await stat.ask(self._api, deadline_ms=deadline_ms), system=self._system)
        before, self._before = self._before, now
        return () if before is None else self._samples(before, now, self._clock.now_ms())

    async def close(self) -> None:
        """Nothing is kept open between calls."""

    def _samples(self, before: Counters, now: Counters, at_ms: int) -> list[PassiveSample]:
        sums: dict[TargetId, TrafficSum] = {}
        for backend in self._plane.backends:
            for mapped in backend.servers:
                server = (backend.backend, mapped.server)
                if mapped.member is None or server not in now:
                    continue
                for target in (member_target(mapped.member), pool_target(backend.service, mapped.site)):
                    sums.setdefault(target, TrafficSum()).add(before.get(server, NOTHING), now[server])
        return [
            PassiveSample(
                target=target,
                at_ms=at_ms,
                requests=total.requests,
                errors=total.errors,
                latency_ms=total.latency_ms,
            )
            for target, total in sums.items()
        ]
