"""From what the clients saw and what the node did to one row of figures.

Everything is counted from the side of the users. The instant that starts the clock is ``first_bad_ms``: the start of
the earliest request after the fault that went bad, whoever noticed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from siteshift.lab.timeline import BIN_MS, UNPLACED, Bin

WINDOW_MS = 5_000
"""Utilisation is judged over this long: shorter windows measure the chance of Poisson arrivals, not the site."""
T95_BP = 9_500
T95_WINDOW_MS = 3_000
"""Long enough that chance among some hundred requests does not decide the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """Something the node said or did. The report marks all kinds but `NOTE` in its time line."""

    at_ms: int
    kind: str
    text: str
    site: str = ""


SUSPICION = "suspicion"
DIAGNOSIS = "diagnosis"
WRITE = "write"
HIGHLIGHT = "highlight"
NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesAt:
    """The desired shares (basis points by site) from an instant on."""

    at_ms: int
    shares_bp: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySample:
    """Open capacity per site at one moment, in requests per second."""

    at_ms: int
    rps: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestones:
    """One run. Instants are siteshift time, None when it did not happen; ``*_after_ms`` count from ``first_bad_ms``.

    ``t95_ms``: the first instant from which, over `T95_WINDOW_MS`, at least 95 % of all requests neither went to the
    failed site nor were lost (behind a load balancer nobody sees where a lost request went: the second part decides).
    ``lost_by_our_move``: requests lost at sites that had no fault, after the first write.
    ``peak_pm``: the highest utilisation of each site over `WINDOW_MS`, in per mille of its open capacity.
    """

    fault_ms: int
    first_bad_ms: int | None
    suspicion_ms: int | None
    diagnosis_ms: int | None
    first_write_ms: int | None
    t95_ms: int | None
    offered: int
    served: int
    late: int
    lost: int
    lost_by_our_move: int
    peak_pm: Mapping[str, int]

    def after_ms(self, instant_ms: int | None) -> int | None:
        """Time from the first bad request to that instant; None when either did not happen."""
        if instant_ms is None or self.first_bad_ms is None:
            return None
        return instant_ms - self.first_bad_ms

    @property
    def survivor_peak_pm(self) -> int:
        return max(self.peak_pm.values(), default=0)


def measure(
    bins: Sequence[Bin],
    events: Sequence[NodeEvent],
    capacities: Sequence[CapacitySample],
    *,
    site: str,
    fault_ms: int,
    until_ms: int,
) -> Milestones:
    """The figures of a fault at ``site`` that began at ``fault_ms``, judged up to ``until_ms``."""
    span = [entry for entry in bins if fault_ms - BIN_MS < entry.at_ms < until_ms]
    bad = [entry.first_bad_ms for entry in span if entry.first_bad_ms is not None]
    first_write_ms = _first(events, WRITE, fault_ms)
    return Milestones(
        fault_ms=fault_ms,
        first_bad_ms=min((at for at in bad if at >= fault_ms), default=min(bad, default=None)),
        suspicion_ms=_first(events, SUSPICION, fault_ms),
        diagnosis_ms=_first(events, DIAGNOSIS, fault_ms),
        first_write_ms=first_write_ms,
        t95_ms=_t95_ms(bins, site=site, fault_ms=fault_ms, until_ms=until_ms),
        offered=sum(entry.offered for entry in span),
        served=sum(entry.served for entry in span),
        late=sum(count.late for entry in span for count in entry.sites.values()),
        lost=sum(entry.lost for entry in span),
        lost_by_our_move=_lost_by_our_move(span, site, first_write_ms),
        peak_pm={
            name: max((pm for _, pm in utilisation(span, capacities, name)), default=0)
            for name in _site_names(span)
            if name != site
        },
    )


def _first(events: Sequence[NodeEvent], kind: str, since_ms: int) -> int | None:
    return min((event.at_ms for event in events if event.kind == kind and event.at_ms >= since_ms), default=None)


def _site_names(bins: Sequence[Bin]) -> list[str]:
    return sorted({site for entry in bins for site in entry.sites if site != UNPLACED})


def _lost_by_our_move(span: Sequence[Bin], site: str, first_write_ms: int | None) -> int:
    if first_write_ms is None:
        return 0
    return sum(
        count.lost_total
        for entry in span
        if entry.at_ms >= first_write_ms
        for name, count in entry.sites.items()
        if name not in (site, UNPLACED)
    )


def shares_seen(bins: Sequence[Bin], *, window_ms: int = 1_000) -> list[tuple[int, dict[str, int]]]:
    """Per bin (end of window, share of requests by site in basis points), over a sliding window.

    Requests are placed where they were sent; behind a load balancer, where they were served.
    """
    return [
        (at_ms, {site: round(10_000 * number / max(1, sum(counts.values()))) for site, number in counts.items()})
        for at_ms, counts in _windows(bins, window_ms)
    ]


def utilisation(
    bins: Sequence[Bin], capacities: Sequence[CapacitySample], site: str, *, window_ms: int = WINDOW_MS
) -> list[tuple[int, int]]:
    """Per full window (its end, per mille of the capacity then open) what was asked of a site."""
    found = []
    for at_ms, counts in _windows(bins, window_ms):
        if at_ms - bins[0].at_ms < window_ms:
            continue
        open_rps = _capacity(capacities, site, at_ms)
        if open_rps:
            found.append((at_ms, round(counts.get(site, 0) * 1_000_000 / window_ms / open_rps)))
    return found


def _capacity(capacities: Sequence[CapacitySample], site: str, at_ms: int) -> int:
    """The last sample up to that instant, or the first one there is."""
    known = capacities[0].rps.get(site, 0) if capacities else 0
    for sample in capacities:
        if sample.at_ms > at_ms:
            break
        known = sample.rps.get(site, 0)
    return known


def _placed(count_sent: int, count_served: int) -> int:
    return count_sent or count_served


def _windows(bins: Sequence[Bin], window_ms: int) -> list[tuple[int, dict[str, int]]]:
    """Requests per site in a sliding window, per bin: (end of the window, counts)."""
    size = max(1, window_ms // BIN_MS)
    recent: deque[dict[str, int]] = deque()
    sums: dict[str, int] = {}
    found = []
    for entry in bins:
        now = {site: _placed(count.sent, count.served) for site, count in entry.sites.items() if site != UNPLACED}
        recent.append(now)
        for site, number in now.items():
            sums[site] = sums.get(site, 0) + number
        if len(recent) > size:
            for site, number in recent.popleft().items():
                sums[site] -= number
        found.append((entry.at_ms + BIN_MS, dict(sums)))
    return found


def _t95_ms(bins: Sequence[Bin], *, site: str, fault_ms: int, until_ms: int) -> int | None:
    lost = _lost_share_bp(bins, window_ms=T95_WINDOW_MS)
    seen = shares_seen(bins, window_ms=T95_WINDOW_MS)
    for (end_ms, shares), lost_bp in zip(seen, lost, strict=True):
        start_ms = end_ms - T95_WINDOW_MS
        if start_ms >= fault_ms and end_ms <= until_ms and max(shares.get(site, 0), lost_bp) <= 10_000 - T95_BP:
            return start_ms
    return None


def _lost_share_bp(bins: Sequence[Bin], *, window_ms: int) -> list[int]:
    """Per bin, the part of the requests of the window that ends with it that were lost."""
    size = window_ms // BIN_MS
    found = []
    for number in range(len(bins)):
        recent = bins[max(0, number - size + 1) : number + 1]
        offered = sum(entry.offered for entry in recent)
        found.append(round(10_000 * sum(entry.lost for entry in recent) / max(1, offered)))
    return found
