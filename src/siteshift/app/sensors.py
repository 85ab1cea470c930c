"""Makes what sees besides probes: traffic meters and sources of passive evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from siteshift.adapters.haproxy.passive import HaproxyPassive
from siteshift.adapters.haproxy.traffic import HaproxyTrafficMeter
from siteshift.adapters.probes.prometheus_evidence import Measures, PrometheusEvidence, PrometheusFigures
from siteshift.adapters.scrape.traffic import ScrapePage, ScrapeSetup, ScrapeTrafficMeter
from siteshift.app.planes import haproxy_plane
from siteshift.config import SecretRef
from siteshift.config.setups import (
    EvidenceSetup,
    HaproxyMeterSetup,
    HaproxyStatSetup,
    MeterSetup,
    PrometheusSetup,
    ScrapeMeterSetup,
)
from siteshift.core.model.units import ServiceId, SiteId
from siteshift.ports import Clock, EvidenceSource, TrafficMeter


def make_meter(setup: MeterSetup, clock: Clock) -> TrafficMeter:
    """One traffic meter. Raises `SecretUnavailable` when its token cannot be read."""
    match setup:
        case HaproxyMeterSetup():
            return HaproxyTrafficMeter(haproxy_plane(setup.plane), clock)
        case ScrapeMeterSetup():
            scrape = ScrapeSetup(
                id=setup.id,
                service=setup.service,
                pages=tuple(ScrapePage(site=page.site, url=page.url) for page in setup.pages),
                counter=setup.counter,
                error_counter=setup.error_counter,
                seconds_counter=setup.seconds_counter,
                labels=dict(setup.labels),
                headers=_bearer(setup.token),
            )
            return ScrapeTrafficMeter(scrape, clock)
        case _:
            assert_never(setup)


def covered_by(setup: MeterSetup) -> frozenset[tuple[ServiceId, SiteId]]:
    """Whose traffic a meter measures when it can."""
    match setup:
        case HaproxyMeterSetup():
            backends = setup.plane.backends
            return frozenset((backend.service, server.site) for backend in backends for server in backend.servers)
        case ScrapeMeterSetup():
            return frozenset((setup.service, page.site) for page in setup.pages)
        case _:
            assert_never(setup)


def make_evidence(setup: EvidenceSetup, clock: Clock) -> EvidenceSource:
    """One source of passive evidence. Raises `SecretUnavailable` when its token cannot be read."""
    match setup:
        case HaproxyStatSetup():
            return HaproxyPassive(haproxy_plane(setup.plane), clock)
        case PrometheusSetup():
            figures = PrometheusFigures(
                url=setup.url,
                service=setup.service,
                queries=dict(setup.queries),
                measures=Measures(setup.measures),
                degraded_above_pm=setup.degraded_above_pm,
                every_ms=setup.every_ms,
                timeout_ms=setup.timeout_ms,
                headers=_bearer(setup.token),
            )
            return PrometheusEvidence(figures, clock)
        case _:
            assert_never(setup)


def _bearer(token: SecretRef | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.resolve()}"} if token is not None else {}
