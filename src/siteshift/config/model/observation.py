"""What is seen besides probes (traffic meters, passive evidence), and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from siteshift.config.fields import MALFORMED, Identifier, PercentPm, SecondsMs, Secret, Strict, Url, refuse
from siteshift.core.model.codes import Severity

EveryS = SecondsMs


class HaproxyMeter(Strict):
    """Request rates per site, from HAProxy. Which servers are whose is taken from an enactor of kind `haproxy`."""

    id: Identifier = Field(examples=["traffic-lb1"])
    kind: Literal["haproxy"]
    enactor: str = Field(examples=["lb1"])
    """The HAProxy enactor whose mapping and address are used."""
    every_s: EveryS = 500
    """How often it is asked."""


MeterEntry = HaproxyMeter


class HaproxyStatEvidence(Strict):
    """Errors and latency of real traffic, from `show stat`."""

    id: Identifier = Field(examples=["stat-lb1"])
    kind: Literal["haproxy_stat"]
    enactor: str = Field(examples=["lb1"])
    """The HAProxy enactor whose mapping and address are used."""
    every_s: EveryS = 1_000


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
    timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 2_000
    token: Secret | None = None


EvidenceEntry = Annotated[HaproxyStatEvidence | PrometheusEvidence, Field(discriminator="kind")]


class NotifierCommon(Strict):
    """What all notifiers have."""

    id: Identifier = Field(examples=["oncall"])
    least: Severity = Severity.ALLOWED
    """The least severity that is told."""


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
    """A program; the notice stands as JSON on its standard input."""

    kind: Literal["command"]
    argv: Annotated[tuple[str, ...], Field(min_length=1)] = Field(examples=[["/usr/local/bin/page"]])


class LogNotifier(NotifierCommon):
    """The node's own log."""

    kind: Literal["log"]


NotifierEntry = Annotated[WebhookNotifier | CommandNotifier | LogNotifier, Field(discriminator="kind")]
