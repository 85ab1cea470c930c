"""What the clients saw, per 100 ms and destination site: one JSON line a bin, appended to a file that can be read live.

Instants are the lab's time: Unix ms when the lab was laid out plus the monotonic time since, the same in all its
processes. ``sent`` is counted when a request starts, everything else when its fate is known. With load balancers as
the only addresses the destination is ``lb`` until an answer names the site that served it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

BIN_MS = 100
UNPLACED = "lb"
"""The site of a request whose serving site never became known."""


@dataclass(slots=True, kw_only=True)
class SiteCount:
    """One site in one bin. ``lost`` is by reason; ``late`` is a part of ``served``."""

    sent: int = 0
    served: int = 0
    late: int = 0
    latency_ms: int = 0
    worst_ms: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def lost_total(self) -> int:
        return sum(self.lost.values())


@dataclass(slots=True, kw_only=True)
class Bin:
    """100 ms of the world. ``at_ms`` is its start; ``first_bad_ms`` the start of the earliest request that went bad.

    ``latency_ms`` of a site is a sum; divide by ``served``.
    """

    at_ms: int
    offered: int = 0
    in_flight: int = 0
    dns_queries: int = 0
    dns_failures: int = 0
    first_bad_ms: int | None = None
    sites: dict[str, SiteCount] = field(default_factory=dict)

    def site(self, site: str) -> SiteCount:
        """The site's counts, made when first needed."""
        if (count := self.sites.get(site)) is None:
            count = self.sites[site] = SiteCount()
        return count

    @property
    def served(self) -> int:
        return sum(count.served for count in self.sites.values())

    @property
    def lost(self) -> int:
        return sum(count.lost_total for count in self.sites.values())


def wall_clock(offset_ms: int) -> Callable[[], int]:
    """The lab's clock: ``offset_ms`` (`LabSpec.clock_offset_ms`) after the machine's monotonic clock, in every process alike."""
    return lambda: offset_ms + time.monotonic_ns() // 1_000_000


class TimelineWriter:
    """Appends bins to the file, each in one write."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", buffering=1)

    def write(self, finished: Bin) -> None:
        """Append one bin."""
        self._file.write(json.dumps(asdict(finished), separators=(",", ":")) + "\n")

    def close(self) -> None:
        self._file.close()


class Timeline:
    """Reads the file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.bins: list[Bin] = []

    def refresh(self) -> list[Bin]:
        """Read what is new; returns only the new bins. A line cut short waits for its rest."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        new = [parse_bin(line) for line in lines if line]
        self.bins.extend(new)
        return new

    def between(self, since_ms: int, until_ms: int) -> list[Bin]:
        """The bins that start in [since, until)."""
        return [b for b in self.bins if since_ms <= b.at_ms < until_ms]


def parse_bin(line: bytes) -> Bin:
    """One line of the file. Raises ValueError."""
    raw = json.loads(line)
    sites = {site: SiteCount(**count) for site, count in raw.pop("sites").items()}
    return Bin(**raw, sites=sites)


def totals(bins: Iterable[Bin]) -> dict[str, SiteCount]:
    """The sums per site."""
    found: dict[str, SiteCount] = {}
    for entry in bins:
        for site, count in entry.sites.items():
            total = found.setdefault(site, SiteCount())
            total.sent += count.sent
            total.served += count.served
            total.late += count.late
            total.latency_ms += count.latency_ms
            total.worst_ms = max(total.worst_ms, count.worst_ms)
            for reason, number in count.lost.items():
                total.lost[reason] = total.lost.get(reason, 0) + number
    return found
