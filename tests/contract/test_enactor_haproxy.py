"""The contract of `ports.Enactor`, for a real HAProxy: by weights, by either fence, over Unix socket and TCP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.enactor_suite import DEADLINE_MS, SITES, EnactorContract, EnactorPlane, suite_topology
from servers.haproxy_server import HaproxyServer, haproxy
from siteshift.adapters.haproxy.agent_check import AgentCheckEnactor, AgentListen
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import BackendMap, Fence, HaproxyPlane, ServerMap
from siteshift.adapters.memory.clock import ManualClock
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


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HaproxyServer]:
    lines = []
    for service in suite_topology().services:
        lines.append(f"backend {service.id}")
        lines += [f"  server {site}-m{n} 127.0.0.1:9" for site in SITES for n in (1, 2)]
    async with haproxy(tmp_path, "\n".join(lines)) as running:
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


@pytest.mark.servers
async def everybody_asks(agent: AgentCheckEnactor) -> bool:
    """Whether every server has asked: HAProxy spreads the first questions, and only who asks is waited for."""
    try:
        return not (await agent.read_back(deadline_ms=DEADLINE_MS)).drifts
    except Retryable:
        return False


class TestAgentCheck(EnactorContract):
    """A real HAProxy asks; one enactor, as it is the plane's only memory."""

    @pytest.fixture
    async def plane(self, tmp_path: Path) -> AsyncIterator[EnactorPlane]:
        plane = plane_of("agent", Fence.BESIDE)
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
        async with haproxy(tmp_path, "\n".join(lines)):
            async with asyncio.timeout(DEADLINE_MS / 1_000):
                while not await everybody_asks(agent):  # noqa: ASYNC110 - HAProxy tells nobody when it asks
                    await asyncio.sleep(0.02)
            yield EnactorPlane(writer=lambda: agent)
        await agent.close()
