"""What meters counted, service by service, from a record that leaves out readings that say nothing new.

Between two rows that tell of a service its counts go on as the first of them said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from siteshift.core.messages.events import SeenTraffic
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.core.state.tracks import TrafficTrack

WINDOW_MS = 30_000
"""Demand is the mean of so long."""
STEP_MS = WINDOW_MS // 2
"""Counts that go on are written down in steps of this."""

Window = tuple[int, int, int]
"""(when it ended, requests, its length in ms)."""


@dataclass(slots=True)
class Counted:
    """Feed it in the order of the record; `rates` are the means, window by window."""

    _windows: dict[ServiceId, list[Window]] = field(default_factory=dict)
    _levels_mrps: dict[ServiceId, dict[SiteId, int]] = field(default_factory=dict)
    _since_ms: dict[ServiceId, int] = field(default_factory=dict)
    """Until when each service's counts are written down; none while they do not count."""

    def measured(self, at_ms: int, seen: Sequence[SeenTraffic]) -> None:
        """A reading of a meter."""
        for sample in seen:
            requests = max(0, sample.requests - sample.passed_on)
            self.go_on(sample.service, at_ms - sample.window_ms)
            self._windows.setdefault(sample.service, []).append((at_ms, requests, sample.window_ms))
            self._levels_mrps.setdefault(sample.service, {})[sample.site] = requests * 1_000_000 // max(1, sample.window_ms)
        for service in {sample.service for sample in seen}:
            self._since_ms[service] = at_ms

    def told(self, at_ms: int, traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack]) -> None:
        """From here on these places count otherwise."""
        for (service, site), track in traffic.items():
            self.go_on(service, at_ms)
            self._since_ms[service] = at_ms
            self._levels_mrps.setdefault(service, {})[site] = track.demand_mrps or track.rate_mrps

    def pause(self, service: ServiceId) -> None:
        """What is counted of it does not count until it is heard again: users try again while something there is ill."""
        self._since_ms.pop(service, None)

    def go_on(self, service: ServiceId, until_ms: int) -> None:
        """Its counts went on until then. Of a long time the first and the last windows say all."""
        since_ms = self._since_ms.get(service)
        if since_ms is None or until_ms <= since_ms:
            return
        self._since_ms[service] = until_ms
        level_mrps = sum(self._levels_mrps.get(service, {}).values())
        ends = [*range(since_ms + STEP_MS, until_ms, STEP_MS), until_ms]
        windows = self._windows.setdefault(service, [])
        for number, at_ms in enumerate(ends):
            if 4 <= number < len(ends) - 4:
                continue
            began_ms = ends[number - 1] if number else since_ms
            windows.append((at_ms, level_mrps * (at_ms - began_ms) // 1_000_000, at_ms - began_ms))

    def rates(self, service: ServiceId, until_ms: int) -> Iterator[tuple[int, float]]:
        """When each window began, and the mean requests per second of all sites together in it."""
        self.go_on(service, until_ms)
        return means(self._windows.get(service, ()))


def means(counted: Iterable[Window]) -> Iterator[tuple[int, float]]:
    """The mean rate of all sites together, window by window."""
    begins_ms: int | None = None
    last_ms, requests = 0, 0
    for at_ms, amount, window_ms in counted:
        if begins_ms is None or at_ms - last_ms > WINDOW_MS:
            begins_ms, requests = at_ms - window_ms, 0
        requests, last_ms = requests + amount, at_ms
        if at_ms - begins_ms >= WINDOW_MS:
            yield begins_ms, requests * 1_000 / (at_ms - begins_ms)
            begins_ms, requests = at_ms, 0
