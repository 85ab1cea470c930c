"""What followed each injury: when it was noticed, decided on and left, and what was lost. Reckoned after the run."""

from __future__ import annotations

from collections.abc import Sequence

from siteshift.core.model.units import ServiceId, SiteId
from siteshift.sim.results.loss import Loss
from siteshift.sim.results.record import Injury, Milestones, Move, Second, Shed

BEFORE_MS = 10_000
"""Traffic before an injury is the mean of so long."""

Path = tuple[int, ServiceId, tuple[float, ...]]
"""At an instant: where the requests of a service began to go, by site in the order of its pools."""


def reckon(
    injury: Injury,
    site: SiteId,
    *,
    end_ms: int,
    sites_of: dict[ServiceId, tuple[SiteId, ...]],
    detected: Sequence[tuple[int, SiteId]],
    moves: Sequence[Move],
    seconds: Sequence[Second],
    sheds: Sequence[Shed],
    paths: Sequence[Path],
) -> Milestones:
    """The milestones of one injury for one site it harmed. ``end_ms`` exclusive: the run's end, or the healing plus a minute."""
    start_ms = injury.at_ms
    detect = next((at for at, where in detected if start_ms <= at < end_ms and where == site), None)
    decide = next(
        (m.at_ms for m in moves if start_ms <= m.at_ms < end_ms and m.after_bp.get(site, 0) < m.before_bp.get(site, 0)), None
    )
    before = [row for row in seconds if start_ms - BEFORE_MS <= row.at_ms - 1_000 < start_ms and row.site == site]
    rate_rps = sum(row.offered for row in before) * 1_000 / BEFORE_MS
    since = [row for row in seconds if start_ms < row.at_ms <= end_ms]
    loss = Loss(
        failed=sum(row.lost for row in since),
        shed=sum(row.amount for row in sheds if start_ms < row.at_ms <= end_ms),
        late=sum(row.late for row in since),
    )
    t50, t95 = _left(site, start_ms, end_ms, sites_of, paths)
    return Milestones(
        label=injury.label,
        site=site,
        detect_ms=None if detect is None else detect - start_ms,
        decide_ms=None if decide is None else decide - start_ms,
        t50_ms=t50,
        t95_ms=t95,
        loss=loss,
        site_rps=rate_rps,
    )


def _left(
    site: SiteId, start_ms: int, end_ms: int, sites_of: dict[ServiceId, tuple[SiteId, ...]], paths: Sequence[Path]
) -> tuple[int | None, int | None]:
    """When half, and 95 %, of what went to a site had left it, over all services."""
    now: dict[ServiceId, float] = {}
    base: float | None = None
    t50: int | None = None
    for at_ms, service, parts in paths:
        if site not in sites_of[service]:
            continue
        if at_ms > start_ms and base is None:
            base = sum(now.values())
        now[service] = parts[sites_of[service].index(site)]
        if base is None or base <= 0:
            continue
        if at_ms >= end_ms:
            break
        part = sum(now.values()) / base
        if part <= 0.5 and t50 is None:
            t50 = at_ms - start_ms
        if part <= 0.05:
            return t50, at_ms - start_ms
    return t50, None
