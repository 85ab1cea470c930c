"""A real node for tests: three sites of real servers on loopback, and ``siteshift run`` as a child on a folder.

    with running_node(tmp_path) as node:
        node.until(lambda status: status["sites"]["pangyo"]["life"] == "drained")

It starts in about three seconds; share one among the tests of a module and call `calm` between them.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nodes.members import LOOPBACK, Members
from servers.ports import free_port

Document = dict[str, Any]

SITES = ("pangyo", "gasan", "anyang")
SHARES_PERCENT = {"pangyo": 50, "gasan": 30, "anyang": 20}
SERVICE = "shop"
ANCHORS = ("anchor-1", "anchor-2")
DEADLINE_S = 60.0
"""Generous: the machine may be busy. Nothing waits that long when all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """What node to run. ``sections`` replace whole top-level sections of the configuration file."""

    members_per_site: int = 2
    member_rps: int = 100
    demand_rps: int = 200
    policy: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict)

    @property
    def member_names(self) -> tuple[str, ...]:
        return tuple(f"{site}-{number}" for site in SITES for number in range(1, self.members_per_site + 1))


FAST = {
    "mode": "auto",
    "ttl_normal_s": 2,
    "ttl_suspect_s": 1,
    "hold_down_s": 1,
    "soak_s": 1,
    "proof_s": 1,
    "velocity_percent": 100,
    "ramp_percent": [100],
}
"""Short times, so that tests end; everything else is the product's default."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("node", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(slots=True)
class RunningNode:
    """The node, its folder and its members. Members are named ``SITE-NUMBER``."""

    folder: Path
    shape: NodeShape
    members: Members
    dns_port: int
    process: subprocess.Popen[bytes] | None = None
    program: tuple[str, ...] = (str(Path(sys.executable).parent / "siteshift"),)
    """What is run instead of the product's own command, as a test may want it."""

    @property
    def socket(self) -> Path:
        return self.folder / "api.sock"

    @property
    def config(self) -> Path:
        return self.folder / "siteshift.yaml"

    @property
    def database(self) -> Path:
        return self.folder / "state" / "siteshift.db"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    def start(self) -> None:
        """Start the node; returns when it has seen enough to act."""
        self.launch()
        self.until(lambda status: status["fresh"] and status["generation"] > 0 and status["services"][0]["in_step"])

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.program, "run", "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def stop(self) -> int:
        """Stop it politely; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it as a power cut would."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    # ---- asking it -------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Document | None = None) -> tuple[int, Document]:
        """One request over the Unix socket: status and document. Raises OSError when nobody answers."""
        connection = self.connection()
        try:
            headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
            connection.request(method, path, json.dumps(body).encode() if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own, for who asks in another name than root."""
        return _Connection(self.socket)

    def status(self) -> Document:
        return self.ask("GET", "/v1/status")[1]

    def act(self, act: str, **body: Any) -> tuple[int, Document]:
        """One act, as ``act("drain", site="pangyo", reason="test")``."""
        return self.ask("POST", f"/v1/{act}", body)

    def site(self, site: str) -> Document:
        """How the service stands at a site."""
        found: Document = self.status()["services"][0]["sites"][site]
        return found

    def until(self, holds: Callable[[Document], object], deadline_s: float = DEADLINE_S) -> Document:
        """Wait until the status is as wanted. Fails with the last status and the end of the log."""
        limit_s = time.monotonic() + deadline_s
        status: Document = {}
        while True:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"the node has ended: {self.log_tail()}")
            try:
                status = self.status()
                if holds(status):
                    return status
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > limit_s:
                raise AssertionError(f"not so after {deadline_s:g} s: {json.dumps(status)}\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self, size: int = 3_000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    def calm(self) -> None:
        """Lift everything forced, heal everybody, and wait until all sites serve their nominal share again.

        What is down when its drain is lifted needs an approval; so they are seen to be well first.
        """
        for name in self.shape.member_names:
            self.members.start(name)
            self.members.heal(name)
        self.until(lambda status: all(site["standing"] == "up" for site in status["sites"].values()))
        if self.status()["switched_off"]:
            self.act("switch-on")
        for entry in self.status()["overrides"]:
            self.act("lift", override=entry["id"])
        for site in SITES:
            self.act("ack", site=site)
        self.until(is_calm)


def is_calm(status: Document) -> bool:
    """Everything serves its nominal share, nothing is forced or under way."""
    rows = [row for service in status["services"] for row in service["sites"].values()]
    at_home = all(row["life"] == "serving" and row["desired_bp"] == row["nominal_bp"] for row in rows)
    return at_home and not status["overrides"] and all(service["in_step"] for service in status["services"])


@contextmanager
def running_node(folder: Path, shape: NodeShape | None = None, program: tuple[str, ...] = ()) -> Iterator[RunningNode]:
    """Members, anchors and a node that is ready; everything ends with the block."""
    shape = NodeShape() if shape is None else shape
    with Members((*shape.member_names, *ANCHORS)) as members:
        node = RunningNode(folder=folder, shape=shape, members=members, dns_port=free_port())
        node.program = program or node.program
        node.config.write_text(yaml.safe_dump(configuration(node), sort_keys=False), encoding="utf-8")
        try:
            node.start()
            yield node
        finally:
            node.stop()


def configuration(node: RunningNode) -> Document:
    """The file, as plain values."""
    shape, ports = node.shape, node.members.ports
    return {
        "version": 1,
        "node": {"id": "node-anyang", "site": "anyang", "state_dir": str(node.folder / "state")},
        "api": {"unix": {"path": str(node.socket)}},
        "policy": {**FAST, **shape.policy},
        "sites": [{"id": site} for site in SITES],
        "anchors": {
            "outside": [{"id": name, "kind": "tcp", "address": LOOPBACK, "port": ports[name]} for name in ANCHORS]
        },
        "enactors": [
            {
                "id": "dns",
                "kind": "embedded_dns",
                "zone": "shop.test",
                "listen": [f"{LOOPBACK}:{node.dns_port}"],
                "nameservers": ["ns1.shop.test"],
                "records": [{"name": "ns1", "type": "A", "value": LOOPBACK}],
            }
        ],
        "services": [
            {
                "id": SERVICE,
                "names": ["www.shop.test"],
                "tier": 1,
                "demand_rps": shape.demand_rps,
                "probes": [{"id": "health", "kind": "http", "path": "/healthz", "twin": {"path": "/no-such-page"}}],
                "pools": [_pool(node, number, site) for number, site in enumerate(SITES, 1)],
            }
        ],
        **shape.sections,
    }


def _pool(node: RunningNode, number: int, site: str) -> Document:
    names = [name for name in node.shape.member_names if name.rpartition("-")[0] == site]
    return {
        "site": site,
        "nominal_percent": SHARES_PERCENT[site],
        "answers": [f"127.0.{number}.1"],
        "members": [
            {
                "name": name,
                "address": LOOPBACK,
                "port": node.members.ports[name],
                "capacity_rps": node.shape.member_rps,
            }
            for name in names
        ],
    }
