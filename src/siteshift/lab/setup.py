"""Writes the configuration file of the lab's node: the lab's sites, members and addresses in siteshift's own format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from siteshift.core.model.codes import MemberRole
from siteshift.lab.metrics_page import ERRORS, REQUESTS
from siteshift.lab.spec import SERVICE, SERVICE_NAME, ZONE, LabSpec, MemberSpec, SiteSpec

Yaml = dict[str, object]

FAST_POLICY: Yaml = {
    "ttl_normal_s": 10,
    "ttl_suspect_s": 2,
    "hold_down_s": 10,
    "soak_s": 2,
    "proof_s": 1,
    "velocity_percent": 100,
    "standby_deadline_s": 20,
    "residual_done_percent": 6,
}
"""Times short enough for a person to watch; everything else is the default of the product.

``residual_done_percent`` 6: 8.7 % of resolvers keep answers for a minute, which is 4.4 % of the traffic when a site with
half of it is left. A person who watches does not wait for them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How the node is configured. ``policy`` and ``judging`` are laid over the file's sections, key by key.

    ``site`` is where the node stands: outside the site that the demonstration kills (law 17).
    """

    id: str = "node-anyang"
    site: str = "anyang"
    policy: Yaml = field(default_factory=lambda: dict(FAST_POLICY))
    judging: Yaml = field(default_factory=dict)
    standby_driver: str = ""
    """The driver of all standby members; empty: each site's HTTP hook."""
    sections: Yaml = field(default_factory=dict)
    """Whole top-level sections that replace those written here (the HAProxy form's enactors)."""


def write_config(spec: LabSpec, options: NodeOptions) -> Path:
    """Write ``siteshift.yaml`` into the lab's folder and return its path."""
    path = spec.path / "siteshift.yaml"
    text = yaml.safe_dump(config_of(spec, options), sort_keys=False, width=120)
    path.write_text(f"# Written by the lab; edit a copy.\n{text}")
    return path


def config_of(spec: LabSpec, options: NodeOptions) -> Yaml:
    """The configuration as plain values."""
    return {
        "version": 1,
        "node": {"id": options.id, "site": options.site, "state_dir": str(spec.path / "state")},
        "api": {"unix": {"path": str(spec.path / "api.sock")}},
        "judging": {"interval_ms": 1_000, "fast_interval_ms": 200, "timeout_ms": 800, **options.judging},
        "policy": {"mode": "auto", **options.policy},
        "sites": [{"id": site.id, "label": site.label} for site in spec.sites],
        "anchors": {
            "outside": [
                {"id": f"anchor-{number}", "kind": "tcp", "address": address, "port": spec.port}
                for number, address in enumerate(spec.anchors, start=1)
            ]
        },
        "standby_drivers": [_driver(spec, site) for site in spec.sites if site.capacity_rps(MemberRole.STANDBY)],
        "enactors": [embedded_dns(spec)],
        "services": [_service(spec, options)],
        "traffic": [_pages(spec)],
        **options.sections,
    }


def _service(spec: LabSpec, options: NodeOptions) -> Yaml:
    return {
        "id": SERVICE,
        "names": [SERVICE_NAME],
        "tier": 1,
        "demand_rps": spec.clients.load_rps,
        "slo": {"latency_ms": spec.clients.slo_ms, "error_percent": 1},
        "probes": PROBES,
        "pools": [_pool(site, options) for site in spec.sites],
    }


def _pages(spec: LabSpec) -> Yaml:
    """Seen traffic, from what the sites say of themselves; the forms with HAProxies ask those instead."""
    pages = [{"site": site.id, "url": f"http://{site.page}:{spec.port}/metrics"} for site in spec.sites]
    return {
        "id": "pages",
        "kind": "scrape",
        "service": SERVICE,
        "pages": pages,
        "counter": REQUESTS,
        "error_counter": ERRORS,
        "labels": {"service": SERVICE},
    }


PROBES: list[Yaml] = [
    {"id": "health", "kind": "http", "path": "/healthz", "twin": {"path": "/no-such-page"}},
    {
        "id": "journey",
        "kind": "journey",
        "steps": [
            {"path": "/login", "extract": {"token": "token=(.+)"}},
            {"path": "/fetch?token={token}"},
        ],
        "twin": {"path": "/no-such-page"},
    },
]
"""What a person would configure: the health page, and what users do. A health page may lie; a journey cannot."""


def _pool(site: SiteSpec, options: NodeOptions) -> Yaml:
    return {
        "site": site.id,
        "nominal_percent": site.nominal_bp // 100,
        "answers": list(site.answers),
        "members": [_member(member, options.standby_driver or f"hook-{site.id}") for member in site.members],
    }


def _member(member: MemberSpec, driver: str) -> Yaml:
    entry: Yaml = {
        "name": member.name,
        "address": member.address,
        "port": member.port,
        "capacity_rps": member.capacity_rps,
    }
    if member.role is MemberRole.STANDBY:
        entry |= {"role": "standby", "standby_driver": driver}
    return entry


def _driver(spec: LabSpec, site: SiteSpec) -> Yaml:
    base = f"http://{site.hook}:{spec.port}/standby"
    return {
        "id": f"hook-{site.id}",
        "kind": "http_hook",
        "timeout_ms": 2_000,
        "activate_url": f"{base}/activate?member={{name}}",
        "retire_url": f"{base}/retire?member={{name}}",
        "phase_url": f"{base}/phase?member={{name}}",
    }


def embedded_dns(spec: LabSpec) -> Yaml:
    """The node's own authoritative server."""
    return {
        "id": "dns",
        "kind": "embedded_dns",
        "zone": ZONE,
        "listen": [f"{spec.dns}:{spec.dns_port}"],
        "nameservers": [f"ns1.{ZONE}"],
        "records": [{"name": "ns1", "type": "A", "value": spec.dns}],
    }
