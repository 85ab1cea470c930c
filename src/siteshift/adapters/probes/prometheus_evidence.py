"""Figures from Prometheus as evidence: an error ratio or a latency for each site of a service.

Prometheus tells no counts, only figures over its own window, so each answer weighs like a batch of `FIGURE_REQUESTS`
requests. Figures lag by their window: they may accuse, they cannot contradict a check (`PassiveSample.good_for_ms`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from siteshift.adapters.probes.prometheus import PrometheusSource
from siteshift.core.model.units import ServiceId, SiteId, pool_target
from siteshift.ports import Clock, PassiveSample

FIGURE_REQUESTS = 1_000
"""Fine enough for one per mille; the judge lets no batch weigh more than ten."""

MAX_LATENCY_S = 3_600.0
"""A query that gives more counts in other units; the judge needs a number all the same."""


class Measures(StrEnum):
    """What a query answers."""

    ERROR_RATIO = "error_ratio"
    LATENCY_S = "latency_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusFigures:
    """Where to ask what. ``queries`` by site; an error ratio up to ``degraded_above_pm`` counts as healthy."""

    url: str
    service: ServiceId
    queries: Mapping[SiteId, str]
    measures: Measures
    degraded_above_pm: int
    every_ms: int
    timeout_ms: int
    headers: Mapping[str, str]


class PrometheusEvidence:
    """`ports.EvidenceSource` over one Prometheus."""

    def __init__(self, figures: PrometheusFigures, clock: Clock) -> None:
        self._figures = figures
        self._clock = clock
        self._source = PrometheusSource(
            figures.url,
            {str(site): query for site, query in figures.queries.items()},
            timeout_ms=figures.timeout_ms,
            headers=figures.headers,
        )

    async def sample(self, *, deadline_ms: int) -> Sequence[PassiveSample]:  # noqa: ARG002 (the source keeps its own)
        values = await self._source.sample()
        at_ms = self._clock.now_ms()
        return [self._sample(SiteId(site), value, at_ms) for site, value in values.items()]

    async def close(self) -> None:
        await self._source.close()

    def _sample(self, site: SiteId, value: float, at_ms: int) -> PassiveSample:
        figures = self._figures
        is_ratio = figures.measures is Measures.ERROR_RATIO
        error_pm = round(min(1.0, max(0.0, value)) * 1_000) if is_ratio else 0
        return PassiveSample(
            target=pool_target(figures.service, site),
            at_ms=at_ms,
            requests=FIGURE_REQUESTS,
            errors=error_pm if error_pm > figures.degraded_above_pm else 0,
            latency_ms=None if is_ratio else round(min(MAX_LATENCY_S, max(0.0, value)) * 1_000),
            good_for_ms=2 * figures.every_ms + figures.timeout_ms,
        )
