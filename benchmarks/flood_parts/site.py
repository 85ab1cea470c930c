"""The node of `make flood` with everything around it, each in its process and on its core."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from integration.probes.pki import Authority
from nodes.running_node import Document, NodeShape, RunningNode, _Connection
from servers.ports import free_port

HERE = Path(__file__).parent
NODE_CORE, OTHER_CORE = 0, 1


class Rank(Enum):
    """Who is served first on a core: node, members and whoever measures before all else on the machine (as root; round
    robin, priority 1), so that what others do on it is not measured; crowds and what is hostile as anybody."""

    FIRST = "first"
    ANYBODY = "anybody"


DNS_CROWD, SILENT_CROWD, TLS_CROWD = 500, 2_000, 50
SITES = ("pangyo", "gasan", "anyang")
SHARES_PERCENT = {"pangyo": 50, "gasan": 30, "anyang": 20}
SERVICES = {"shop": 2, "web": 1, "login": 1}
"""Healthy services and their members a site: by DNS, by HAProxy's runtime API, by its agent checks."""
STRANGE_MEMBERS = 2
WAIT_S = 60.0


def pinned(core: int, rank: Rank) -> list[str]:
    """What goes before a command."""
    first = ["chrt", "--rr", "1"] if rank is Rank.FIRST and os.geteuid() == 0 else []
    return ["taskset", "-c", str(core), *first]


@dataclass(frozen=True, slots=True)
class Lateness:
    """The node's histogram of how late probes were started: upper bounds in us, counts up to each, sum in us."""

    counts: dict[float, float]
    sum_us: float

    def since(self, before: Lateness) -> dict[str, float]:
        """Mean and 99th percentile of what came since, the latter by interpolation within its bucket."""
        counts = {bound: count - before.counts[bound] for bound, count in self.counts.items()}
        whole = max(counts.values())
        low_us = below = 0.0
        p99 = max(bound for bound in counts if bound != float("inf"))
        for bound, count in sorted(counts.items()):
            if count >= whole * 0.99:
                p99 = low_us + (min(bound, p99) - low_us) * (whole * 0.99 - below) / max(count - below, 1)
                break
            low_us, below = bound, count
        return {"mean": (self.sum_us - before.sum_us) / max(whole, 1), "p99": p99, "probes": whole}


@dataclass(slots=True)
class Site:
    """The running whole."""

    node: RunningNode
    world: subprocess.Popen[str]
    tls_port: int
    _crowds: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def dns_port(self) -> int:
        return self.node.dns_port

    def shares(self) -> dict[str, dict[str, int]]:
        """Service → site → desired share: what changes when something is moved. Asked again when a crowd was in the way."""
        return {
            service["service"]: {site: row["desired_bp"] for site, row in service["sites"].items()}
            for service in self.status()["services"]
        }

    def status(self) -> Document:
        end = time.monotonic() + WAIT_S
        while True:
            try:
                return self.node.status()
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def metrics(self) -> str:
        end = time.monotonic() + WAIT_S
        while True:
            connection = _Connection(self.node.socket)
            try:
                connection.request("GET", "/metrics")
                return connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
            finally:
                connection.close()

    def lateness(self) -> Lateness:
        text, name = self.metrics(), "siteshift_probe_start_lateness_seconds"
        found = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)', text, re.M)
        counts = {float(bound) * 1e6: float(count) for bound, count in found}
        (total,) = re.findall(rf"^{name}_sum (\S+)", text, re.M)
        return Lateness(counts, float(total) * 1e6)

    def refused(self) -> dict[str, int]:
        """Listener and reason → how many so far."""
        found = re.findall(r'^siteshift_listener_refused_total{listener="([^"]+)",reason="([^"]+)"} (\S+)', self.metrics(), re.M)
        return {f"{listener} {reason}": int(float(count)) for listener, reason, count in found if float(count) > 0}

    def memory_mb(self) -> int:
        assert self.node.process is not None
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        (resident,) = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.M)
        return int(resident) // 1_024

    def busy_s(self) -> float:
        """Processor time of the node so far."""
        assert self.node.process is not None
        words = Path(f"/proc/{self.node.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def until_calm(self) -> None:
        """Wait until the node sees everybody well."""

        def calm(status: Document) -> bool:
            rows = [row for service in status["services"] for row in service["sites"].values()]
            return all(row["life"] == "serving" and row["standing"] == "up" for row in rows) and all(
                service["in_step"] for service in status["services"]
            )

        self.node.until(calm, deadline_s=WAIT_S)

    @contextmanager
    def flooded(self) -> Iterator[None]:
        """Everybody at once, until the block ends."""
        self._tell("hostile")
        for kind, target, count in (
            ("dns", str(self.dns_port), DNS_CROWD),
            ("silent", str(self.node.socket), SILENT_CROWD),
            ("tls", str(self.tls_port), TLS_CROWD),
        ):
            command = [*pinned(OTHER_CORE, Rank.ANYBODY), sys.executable, str(HERE / "crowd.py"), kind, target, str(count)]
            with (self.node.folder / f"crowd-{kind}.log").open("ab") as log:
                self._crowds.append(subprocess.Popen(command, stdout=log, stderr=log))
        try:
            yield
        finally:
            crowds, self._crowds = self._crowds, []
            for crowd in crowds:
                crowd.kill()
            for crowd in crowds:
                crowd.wait()
            self._tell("calm")

    def _tell(self, word: str) -> None:
        assert self.world.stdin is not None
        self.world.stdin.write(f"{word}\n")
        self.world.stdin.flush()


@contextmanager
def flood_site(folder: Path) -> Iterator[Site]:
    """World, HAProxy and node, ready; everything ends with the block."""
    with ExitStack() as stack:
        healthy = len(SITES) * sum(SERVICES.values()) + 2
        _, members_ports = _world(stack, folder, "unused.sock", healthy=healthy, hostile=0, rank=Rank.FIRST)
        hostile = len(SITES) * STRANGE_MEMBERS
        world, strange_ports = _world(stack, folder, "relay.sock", healthy=0, hostile=hostile, rank=Rank.ANYBODY)
        ports = {**strange_ports, "healthy": members_ports["healthy"]}
        agent_port, tls_port = free_port(), free_port()
        members = _members(ports["healthy"])
        (folder / "haproxy.cfg").write_text(_haproxy(folder, members, agent_port))
        haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin") or "haproxy"
        _started(stack, [*pinned(OTHER_CORE, Rank.FIRST), haproxy, "-db", "-f", str(folder / "haproxy.cfg")])
        shape = NodeShape()
        node = RunningNode(folder=folder, shape=shape, members=None, dns_port=free_port())  # type: ignore[arg-type]
        file = _configuration(node, ports, members, agent_port, tls_port)
        node.config.write_text(yaml.safe_dump(file, sort_keys=False))
        stack.callback(node.stop)
        with node.log.open("ab") as log:
            script = str(Path(sys.executable).parent / "siteshift")
            command = [*pinned(NODE_CORE, Rank.FIRST), script, "run", "--config", str(node.config)]
            node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        site = Site(node, world, tls_port)
        node.until(lambda status: status["fresh"] and all(service["in_step"] for service in status["services"]))
        yield site


def _started(stack: ExitStack, command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end() -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    stack.callback(end)
    return process


def _world(
    stack: ExitStack, folder: Path, relay: str, *, healthy: int, hostile: int, rank: Rank
) -> tuple[subprocess.Popen[str], Document]:
    """One process of servers, and their ports."""
    world = [sys.executable, str(HERE / "world.py"), str(folder / "stats.sock"), str(folder / relay)]
    process = _started(stack, [*pinned(OTHER_CORE, rank), *world, str(healthy), str(hostile)])
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def _members(ports: list[int]) -> dict[tuple[str, str], dict[str, int]]:
    """(Service, site) → member → port; the last two ports are the anchors'."""
    left = iter(ports)
    return {
        (service, site): {f"{site}-{number}": next(left) for number in range(1, count + 1)}
        for service, count in SERVICES.items()
        for site in SITES
    }


def _haproxy(folder: Path, members: dict[tuple[str, str], dict[str, int]], agent_port: int) -> str:
    def servers(service: str, more: str) -> str:
        return "".join(
            f"  server {name} 127.0.0.1:{port} weight 100 {more.format(name=name)}\n"
            for site in SITES
            for name, port in members[service, site].items()
        )

    asks = f"agent-check agent-inter 500ms agent-addr 127.0.0.1 agent-port {agent_port} agent-send login/{{name}}\\n"
    return (
        f"global\n  stats socket {folder / 'stats.sock'} mode 600 level admin\n"
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n"
        f"backend web\n{servers('web', '')}backend login\n{servers('login', asks)}"
    )


def _configuration(
    node: RunningNode,
    ports: Document,
    members: dict[tuple[str, str], dict[str, int]],
    agent_port: int,
    tls_port: int,
) -> dict[str, Any]:
    folder = node.folder
    certificate, key = Authority(folder).leaf("node.test", "127.0.0.1")
    (folder / "tls.crt").write_bytes(certificate)
    for name, content in (("tls.key", key), ("token", b"a-token-of-vera-0123")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    hostile = iter(ports["hostile"])
    strange = {
        ("strange", site): {f"{site}-{number}": next(hostile) for number in range(1, STRANGE_MEMBERS + 1)} for site in SITES
    }
    backend = {"server_pattern": "{name}"}
    return {
        "version": 1,
        "node": {"id": "node-anyang", "site": "anyang", "state_dir": str(folder / "state")},
        "api": {
            "unix": {"path": str(node.socket)},
            "tls": {
                "listen": f"127.0.0.1:{tls_port}",
                "certificate_file": str(folder / "tls.crt"),
                "key": f"file:{folder / 'tls.key'}",
            },
            "tokens": [{"owner": "vera", "role": "viewer", "secret": f"file:{folder / 'token'}"}],
        },
        "sites": [{"id": site} for site in SITES],
        "anchors": {
            "outside": [
                {"id": f"anchor-{number}", "kind": "tcp", "address": "127.0.0.1", "port": port}
                for number, port in enumerate(ports["healthy"][-2:])
            ]
        },
        "enactors": [
            {
                "id": "dns",
                "kind": "embedded_dns",
                "zone": "shop.test",
                "listen": [f"127.0.0.1:{node.dns_port}"],
                "nameservers": ["ns1.shop.test"],
                "records": [{"name": "ns1", "type": "A", "value": "127.0.0.1"}],
            },
            {
                "id": "lb",
                "kind": "haproxy",
                "address": f"unix:{folder / 'relay.sock'}",
                "backends": [{"service": "web", "backend": "web", **backend}],
            },
            {
                "id": "agent",
                "kind": "agent_check",
                "listen": f"127.0.0.1:{agent_port}",
                "backends": [{"service": "login", "backend": "login", **backend}],
            },
        ],
        "traffic": [
            {"id": "seen-lb", "kind": "haproxy", "enactor": "lb"},
            {
                "id": "pages",
                "kind": "scrape",
                "service": "shop",
                "counter": "requests_total",
                "pages": [{"site": site, "url": f"http://127.0.0.1:{ports['page']}/{site}"} for site in SITES],
            },
        ],
        "evidence": [{"id": "stat-lb", "kind": "haproxy_stat", "enactor": "lb"}],
        "policy": {"mode": "auto"},  # what is counted as moves is what it does by itself
        "services": [
            _service(service, {**members, **strange}, named=service in ("shop", "strange")) for service in (*SERVICES, "strange")
        ],
    }


def _service(service: str, members: dict[tuple[str, str], dict[str, int]], *, named: bool) -> dict[str, Any]:
    return {
        "id": service,
        "names": [{"shop": "www.shop.test"}.get(service, f"{service}.shop.test")] if named else [],
        "tier": 1,
        "demand_rps": 100,
        "probes": [{"id": "health", "kind": "http", "path": "/healthz", "body_match": "ok", "twin": {"path": "/no-such-page"}}],
        "pools": [
            {
                "site": site,
                "nominal_percent": SHARES_PERCENT[site],
                **({"answers": [f"127.0.{number}.1"]} if named else {}),
                "members": [
                    {"name": name, "address": "127.0.0.1", "port": port, "capacity_rps": 200}
                    for name, port in members[service, site].items()
                ],
            }
            for number, site in enumerate(SITES, 1)
        ],
    }
