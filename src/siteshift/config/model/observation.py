"""What is seen besides probes (traffic meters, passive evidence), and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from siteshift.config.fields import MALFORMED, Identifier, MetricName, PercentPm, Scaled, Secret, Strict, Url, refuse
from siteshift.core.model.notice import AlertSeverity

EveryS = Annotated[int, Scaled(factor=1_000, low="0.1", high="3600", unit="seconds")]
MeterEveryS = Annotated[int, Scaled(factor=1_000, low="0.1", high="2", unit="seconds")]
"""Seen traffic older than five seconds says nothing about now, so it is asked for at least every two."""
TimeoutMs = Annotated[int, Field(ge=100, le=60_000)]


class HaproxyMeter(Strict):
    """Request rates per site, from HAProxy. Which servers are whose is taken from an enactor of kind `haproxy`."""

    id: Identifier = Field(examples=["traffic-lb1"])
    kind: Literal["haproxy"]
    enactor: str = Field(examples=["lb1"])
    """The HAProxy enactor whose mapping and address are used."""
    every_s: MeterEveryS = 500
    """How often it is asked; at least every 2 s."""
    timeout_ms: TimeoutMs = 1_000


class ScrapePage(Strict):
    """One page of counters: what a site serves."""

    site: str = Field(examples=["pangyo"])
    url: Url = Field(examples=["http://192.0.2.10:9100/metrics"])


class ScrapeMeter(Strict):
    """Request rates per site from pages in the text format of Prometheus or OpenMetrics, where no HAProxy is asked."""

    id: Identifier = Field(examples=["traffic-pages"])
    kind: Literal["scrape"]
    service: str = Field(examples=["web"])
    pages: Annotated[tuple[ScrapePage, ...], Field(min_length=1)] = Field(
        examples=[[{"site": "pangyo", "url": "http://192.0.2.10:9100/metrics"}]]
    )
    """One for each site, or several: a site's pages are added up. A page that does not answer makes its site unknown."""
    counter: MetricName = Field(examples=["http_requests_total"])
    """The counter of requests."""
    error_counter: MetricName | None = None
    """The counter of failed requests; absent: none are counted."""
    seconds_counter: MetricName | None = None
    """The counter of seconds that requests took (`..._seconds_sum`); absent: latency is not known."""
    labels: dict[str, str] = Field(default={}, examples=[{"service": "web"}])
    """Only series with these labels count."""
    token: Secret | None = None
    """Sent as a bearer token."""
    every_s: MeterEveryS = 500
    """How often the pages are read; at least every 2 s."""
    timeout_ms: TimeoutMs = 1_000


MeterEntry = Annotated[HaproxyMeter | ScrapeMeter, Field(discriminator="kind")]


class HaproxyStatEvidence(Strict):
    """Errors and latency of real traffic, from `show stat`."""

    id: Identifier = Field(examples=["stat-lb1"])
    kind: Literal["haproxy_stat"]
    enactor: str = Field(examples=["lb1"])
    """The HAProxy enactor whose mapping and address are used."""
    every_s: EveryS = 1_000
    timeout_ms: TimeoutMs = 1_000


def _query(text: str) -> str:
    if "{site}" not in text:
        refuse(MALFORMED, "the query must contain `{site}`", 'write it like `...{site="{site}"}...`')
    return text


class PrometheusEvidence(Strict):
    """Error ratio or latency from Prometheus: one instant query for each site, of one number."""

    id: Identifier = Field(examples=["errors-web"])
    kind: Literal["prometheus"]
    url: Url = Field(examples=["http://prometheus.example.com:9090"])
    service: str = Field(examples=["web"])
    query: Annotated[str, AfterValidator(_query)] = Field(
        examples=['sum(rate(errors_total{site="{site}"}[1m])) / sum(rate(requests_total{site="{site}"}[1m]))']
    )
    """PromQL; `{site}` is filled in. No result is no evidence."""
    sites: tuple[str, ...] = ()
    """Default: all sites of the service."""
    measures: Literal["error_ratio", "latency_s"] = "error_ratio"
    degraded_above_percent: PercentPm | None = None
    """For `error_ratio`: what counts as bad. Default: the service's `slo.error_percent`."""
    every_s: EveryS = 15_000
    timeout_ms: TimeoutMs = 2_000
    token: Secret | None = None


EvidenceEntry = Annotated[HaproxyStatEvidence | PrometheusEvidence, Field(discriminator="kind")]


_FORMER_SEVERITIES = {"allowed": "info", "needs_approval": "warning", "refused": "critical"}


def _severity(value: object) -> object:
    """The severity that a word of version 0.1 stood for; what is none of them as it is."""
    return _FORMER_SEVERITIES.get(value, value) if isinstance(value, str) else value


class NotifierCommon(Strict):
    """What all notifiers have."""

    id: Identifier = Field(examples=["oncall"])
    least: Annotated[AlertSeverity, BeforeValidator(_severity)] = AlertSeverity.INFO
    """The least severity that is told. `allowed`, `needs_approval` and `refused`, the words of 0.1, are taken for these."""


class WebhookNotifier(NotifierCommon):
    """JSON by POST."""

    kind: Literal["webhook"]
    url: Url | None = None
    """Give `url`, or `url_secret` when the URL itself is a secret."""
    url_secret: Secret | None = None
    token: Secret | None = None
    """Sent as a bearer token."""
    site: str | None = None
    """The site the receiver lives in, if it lives in one of ours."""


class CommandNotifier(NotifierCommon):
    """A program; the notice stands as JSON on its standard input (OPERATING.md). It has 5 s; status 75 has it run again."""

    kind: Literal["command"]
    argv: Annotated[tuple[str, ...], Field(min_length=1)] = Field(examples=[["/usr/local/bin/page"]])


class LogNotifier(NotifierCommon):
    """The node's own log."""

    kind: Literal["log"]


NotifierEntry = Annotated[WebhookNotifier | CommandNotifier | LogNotifier, Field(discriminator="kind")]
