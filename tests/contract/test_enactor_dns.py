"""The contract of `ports.Enactor`, for the DNS planes."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.enactor_suite import EnactorContract, EnactorPlane, SharedPlaneContract, suite_topology
from servers import dns_servers
from servers.dns_servers import DnsServer
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.rfc2136 import Rfc2136Enactor
from siteshift.adapters.dns.rfc2136_records import Rfc2136Config, UpdateKey
from siteshift.adapters.dns.zone import ZoneConfig
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.units import EnactorId


class TestEmbeddedDns(EnactorContract):
    @pytest.fixture
    async def plane(self) -> AsyncIterator[EnactorPlane]:
        zone = ZoneConfig(origin="example.test", ns_names=("ns1.example.test.",), listen=(("127.0.0.1", 0),))
        server = EmbeddedDns(EnactorId("embedded"), suite_topology(), zone, ManualClock())
        await server.start()
        yield EnactorPlane(writer=lambda: server)
        await server.close()


@pytest.mark.servers
class TestRfc2136(SharedPlaneContract):
    @pytest.fixture(params=["bind-tcp", "bind-udp", "knot-tcp", "knot-udp", "powerdns-tcp", "powerdns-udp"])
    def server(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DnsServer, Transport]]:
        kind, transport = request.param.split("-")
        with dns_servers.LAUNCHERS[kind](tmp_path / kind) as server:
            yield server, Transport(transport)

    @pytest.fixture
    def plane(self, server: tuple[DnsServer, Transport]) -> EnactorPlane:
        running, transport = server
        config = Rfc2136Config(
            zone=dns_servers.ZONE,
            primary=Server(name=running.kind, host=running.host, port=running.port),
            key=UpdateKey(name=dns_servers.KEY_NAME, secret=dns_servers.KEY_SECRET),
            transport=transport,
        )
        topology, clock = suite_topology(), ManualClock()
        return EnactorPlane(
            writer=lambda: Rfc2136Enactor(EnactorId("zone"), topology, config, clock),
            signed=lambda origin: Rfc2136Enactor(EnactorId("zone"), topology, replace(config, signer=origin), clock),
        )
