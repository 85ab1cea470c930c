"""A node that steers a real HAProxy before the members of all three sites.

The node reaches HAProxy through a link (``lb.sock``), so that a test can take the socket away or put a relay before it.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from integration.node.background import Background
from nodes.members import LOOPBACK, Members
from nodes.running_node import (
    ANCHORS,
    DEADLINE_S,
    SERVICE,
    SITES,
    Document,
    NodeShape,
    RunningNode,
    configuration,
    free_port,
)
from servers.haproxy_server import HaproxyServer, haproxy

BACKEND = "web"
PLANE = "lb"
RAMPED = NodeShape(
    member_rps=100,
    demand_rps=330,
    policy={"settle_s": 1, "read_back_every_s": 1},
)
"""330 requests a second over survivors that carry 360 at most: leaving a site takes several steps."""
UNMETERED = replace(RAMPED, sections={"traffic": []})
"""Demand is what the file says, whoever comes."""
_FORCED = 0x01 | 0x08
"""Of HAProxy's admin state: maintenance, drain; by the runtime API (`show servers state` in its management guide)."""


class Visitors:
    """One user after another, each on a connection of its own, 40 a second; counts who served whom and when."""

    PAUSE_S = 0.025

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit, name="visitors", daemon=True)
        self.visits: list[tuple[float, str]] = []
        """When each request was sent, and the member that served it ("": nobody)."""

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE_S)

    def since(self, count: int) -> list[str]:
        """The sites of ``count`` requests sent from now on, once all of them were answered."""
        now = time.monotonic()
        limit_s = now + DEADLINE_S
        while True:
            later = [member.rpartition("-")[0] for at, member in self.visits if at >= now]
            if len(later) >= count:
                return later
            assert time.monotonic() < limit_s, f"{len(later)} requests were answered, {count} wanted"
            self._over.wait(self.PAUSE_S)

    def _visit(self) -> None:
        while not self._over.wait(self.PAUSE_S):
            at = time.monotonic()
            self.visits.append((at, self._ask()))

    def _ask(self) -> str:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
        try:
            connection.request("GET", "/healthz", headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.read().decode() if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


@dataclass(slots=True)
class BehindHaproxy:
    """The node, its HAProxy and the link between them."""

    node: RunningNode
    lb: HaproxyServer
    background: Background
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def link(self) -> Path:
        return self.node.folder / "lb.sock"

    @property
    def plane(self) -> Document:
        found: Document = self.node.status()["planes"][PLANE]
        return found

    def lead_to(self, path: Path) -> None:
        """Point the link somewhere else, from one instant to the next."""
        new = self.link.with_suffix(".new")
        new.symlink_to(path)
        new.replace(self.link)

    def kill_haproxy(self) -> None:
        self.background.run(self.lb.stop())

    def restart_haproxy(self) -> None:
        """Killed and started again: it forgets everything it was told."""
        self.background.run(self.lb.restart())

    def weights(self) -> dict[str, int]:
        """What HAProxy has: the weight of every server that may serve, zero for the others."""
        text = self.background.run(self.lb.cli(f"show servers state {BACKEND}"))
        rows = [line.split() for line in text.splitlines()[2:] if line.strip()]
        return {row[3]: 0 if int(row[6]) & _FORCED else int(row[7]) for row in rows}

    def shares(self) -> dict[str, float]:
        """The part of the traffic each site would get."""
        weights = self.weights()
        whole = sum(weights.values()) or 1
        sites = dict.fromkeys(SITES, 0.0)
        for name, weight in weights.items():
            sites[name.rpartition("-")[0]] += weight / whole
        return sites

    def until_haproxy_is_as_desired(self) -> Document:
        """Wait until HAProxy itself carries the shares the node wants; the node's status then."""

        def as_desired(status: Document) -> bool:
            sites = status["services"][0]["sites"]
            found = self.shares()
            return all(abs(found[site] * 10_000 - row["desired_bp"]) < 150 for site, row in sites.items())

        return self.node.until(lambda status: status["services"][0]["in_step"] and as_desired(status))

    def drain_under_way(self, site: str = "pangyo") -> Document:
        """Ask for a drain by hand, and wait until it has gone part of the way and is not done."""
        before = self.node.site(site)["desired_bp"]
        code, answer = self.node.act("drain", site=site, reason="test")
        assert code == 200, answer
        self.node.until(lambda status: 0 < status["services"][0]["sites"][site]["desired_bp"] < before)
        return answer["override"]


def haproxy_section(members: Mapping[str, int]) -> str:
    """The backend, all members with the same weight."""
    servers = "\n".join(f"  server {name} {LOOPBACK}:{port} weight 100" for name, port in members.items())
    return f"backend {BACKEND}\n  balance roundrobin\n{servers}\n"


def haproxy_sections(link: Path) -> dict[str, Any]:
    """The top-level sections of the configuration that name the HAProxy."""
    backend = {"service": SERVICE, "backend": BACKEND, "server_pattern": "{name}"}
    plane = {"id": PLANE, "kind": "haproxy", "address": f"unix:{link}", "backends": [backend]}
    return {"enactors": [plane], "traffic": [{"id": "seen", "kind": "haproxy", "enactor": PLANE}]}


@contextmanager
def node_behind_haproxy(folder: Path, shape: NodeShape = RAMPED, program: tuple[str, ...] = ()) -> Iterator[BehindHaproxy]:
    """Members, HAProxy and a node in step; everything ends with the block."""
    link = folder / "lb.sock"
    shape = replace(shape, sections={**haproxy_sections(link), **shape.sections})
    with Background() as background, Members((*shape.member_names, *ANCHORS)) as members:
        node = RunningNode(folder=folder, shape=shape, members=members, dns_port=free_port())
        node.program = program or node.program
        stack = AsyncExitStack()
        ports = {name: members.ports[name] for name in shape.member_names}
        lb = background.run(stack.enter_async_context(haproxy(folder, haproxy_section(ports))))
        try:
            link.symlink_to(lb.socket)
            node.config.write_text(yaml.safe_dump(configuration(node), sort_keys=False), encoding="utf-8")
            node.start()
            yield BehindHaproxy(node=node, lb=lb, background=background)
        finally:
            node.stop()
            background.run(stack.aclose())
