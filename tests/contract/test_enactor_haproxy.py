"""The contract of `ports.Enactor`, for real HAProxies (2.6 and 2.8): by weights, by either fence, over Unix socket and TCP.

And for imitated ones, whose answers have the shapes of other versions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.enactor_suite import DEADLINE_MS, SITES, EnactorContract, EnactorPlane, suite_topology
from servers.haproxy_imitation import HaproxyImitation, Shape, haproxy_imitation
from servers.haproxy_imitation import Server as ImitatedServer
from servers.haproxy_server import HaproxyServer, HaproxyVersion, haproxy
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor
from siteshift.adapters.haproxy.agent_listener import AgentListen
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import BackendMap, Fence, HaproxyPlane, ServerMap
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.mark import Origin
from siteshift.core.model.units import EnactorId
from siteshift.errors import Retryable


class RunningClock:
    """`ports.Clock` that runs by itself."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def plane_of(address: str, fence: Fence) -> HaproxyPlane:
    """One backend per service of the suite, one server per member."""
    return HaproxyPlane(
        id=EnactorId("lb-1"),
        address=address,
        fence=fence,
        origin=Origin(cluster="shop", node="node-a"),
        backends=tuple(
            BackendMap(
                service=service.id,
                backend=service.id,
                servers=tuple(
                    ServerMap(server=f"{pool.site}-{member.name}", site=pool.site, member=member.id)
                    for pool in service.pools
                    for member in pool.members
                ),
            )
            for service in suite_topology().services
        ),
    )


@pytest.fixture(params=list(HaproxyVersion))
def version(request: pytest.FixtureRequest) -> HaproxyVersion:
    return HaproxyVersion(request.param)


@pytest.fixture
async def server(tmp_path: Path, version: HaproxyVersion) -> AsyncIterator[HaproxyServer]:
    lines = []
    for service in suite_topology().services:
        lines.append(f"backend {service.id}")
        lines += [f"  server {site}-m{n} 127.0.0.1:9" for site in SITES for n in (1, 2)]
    async with haproxy(tmp_path, "\n".join(lines), version) as running:
        yield running


@pytest.mark.servers
class TestHaproxyOverUnixSocket(EnactorContract):
    @pytest.fixture
    def plane(self, server: HaproxyServer) -> EnactorPlane:
        plane = plane_of(server.address, Fence.VARIABLE)
        return EnactorPlane(writer=lambda: HaproxyEnactor(plane, ManualClock()))


@pytest.mark.servers
class TestHaproxyOverTcp(EnactorContract):
    """One enactor, as over TCP there is no turn-taking between writers."""

    @pytest.fixture
    def plane(self, server: HaproxyServer) -> EnactorPlane:
        enactor = HaproxyEnactor(plane_of(f"127.0.0.1:{server.tcp_port}", Fence.VARIABLE), ManualClock())
        return EnactorPlane(writer=lambda: enactor)


@pytest.mark.servers
class TestHaproxyWithTheFenceBeside(EnactorContract):
    """One enactor, as this fence lives in it."""

    @pytest.fixture
    def plane(self, server: HaproxyServer) -> EnactorPlane:
        enactor = HaproxyEnactor(plane_of(server.address, Fence.BESIDE), ManualClock())
        return EnactorPlane(writer=lambda: enactor)


async def everybody_asks(agent: AgentCheckEnactor) -> bool:
    """Whether every server has asked: HAProxy spreads the first questions, and only who asks is waited for."""
    try:
        return not (await agent.read_back(deadline_ms=DEADLINE_MS)).drifts
    except Retryable:
        return False


@pytest.mark.servers
class TestAgentCheck(EnactorContract):
    """A real HAProxy asks; one enactor, as it is the plane's only memory."""

    @pytest.fixture
    async def plane(self, tmp_path: Path, version: HaproxyVersion) -> AsyncIterator[EnactorPlane]:
        plane = replace(plane_of("agent", Fence.BESIDE), initial_weight=100)
        agent = AgentCheckEnactor(plane, AgentListen(host="127.0.0.1", port=0), RunningClock())
        await agent.start()
        lines = []
        for backend in plane.backends:
            lines.append(f"backend {backend.backend}")
            lines += [
                f"  server {mapped.server} 127.0.0.1:9 weight 100 agent-check agent-inter 50ms agent-addr 127.0.0.1"
                f" agent-port {agent.port} agent-send {backend.backend}/{mapped.server}\\n"
                for mapped in backend.servers
            ]
        async with haproxy(tmp_path, "\n".join(lines), version):
            async with asyncio.timeout(DEADLINE_MS / 1_000):
                while not await everybody_asks(agent):  # noqa: ASYNC110 - HAProxy tells nobody when it asks
                    await asyncio.sleep(0.02)
            yield EnactorPlane(writer=lambda: agent)
        await agent.close()


SHAPES = (
    Shape(name="2.4-style", version="2.4.22", found_ends="\n", conditions=False),
    Shape(name="2.6-style", version="2.6.12-1+deb12u4", found_ends="\n"),
    Shape(name="3.0-style", version="3.0.5-8e879a5", more_columns=("srid", "sess_other", "proto")),
    Shape(name="3.2-style", version="3.2.1", more_columns=("srid", "sess_other", "proto", "new1", "new2"), backwards=True),
    Shape(name="3.5-style", version="3.5-dev2", more_columns=("new1", "srid", "sess_other", "proto", "new2", "new3")),
    Shape(name="one line feed more everywhere", version="9.0", found_ends="\n\n\n", ends="\n\n", written="\n\n"),
    Shape(name="one line feed less where it can be", version="9.1", found_ends="\n", ends="", written=""),
    Shape(name="with a prompt", version="9.2", prompt="> "),
    Shape(name="with a prompt on its own line", version="9.3", prompt="\n> "),
)


class TestImitatedVersions(EnactorContract):
    """No binary of these is run here: the shapes of their answers are imitated."""

    @pytest.fixture(params=SHAPES, ids=lambda shape: shape.name)
    async def plane(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EnactorPlane]:
        servers = {
            service.id: {f"{site}-m{n}": ImitatedServer() for site in SITES for n in (1, 2)}
            for service in suite_topology().services
        }
        fence = Fence.VARIABLE if request.param.conditions else Fence.BESIDE
        async with haproxy_imitation(tmp_path / "s", HaproxyImitation(request.param, servers)) as address:
            plane = plane_of(address, fence)
            enactor = HaproxyEnactor(plane, ManualClock())
            yield EnactorPlane(writer=lambda: HaproxyEnactor(plane, ManualClock()) if fence is Fence.VARIABLE else enactor)
