"""Enactors for the real servers, and ways of looking at and meddling with their zones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import dns.query
import dns.rcode
import dns.tsig
import dns.update

from contract.enactor_suite import suite_topology
from servers import dns_servers
from servers.dns_servers import DnsServer
from siteshift.adapters.dns.exchange import Server, Transport
from siteshift.adapters.dns.resolve import Answer, look
from siteshift.adapters.dns.rfc2136 import Rfc2136Enactor
from siteshift.adapters.dns.rfc2136_records import Rfc2136Config, UpdateKey
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.steering import Steering
from siteshift.core.model.topology import Topology
from siteshift.core.model.units import EnactorId

DEADLINE_MS = 20_000
WAIT_S = 30.0
KEY = UpdateKey(name=dns_servers.KEY_NAME, secret=dns_servers.KEY_SECRET)


def address(server: DnsServer, name: str = "") -> Server:
    return Server(name=name or server.kind, host=server.host, port=server.port)


def enactor(
    server: DnsServer,
    *,
    key: UpdateKey | None = KEY,
    transport: Transport = Transport.TCP,
    also: Sequence[Server] = (),
    zone: str = dns_servers.ZONE,
    topology: Topology | None = None,
    initial: Steering | None = None,
    rrsets_per_message: int = 1_000,
) -> Rfc2136Enactor:
    """A node's enactor for a server."""
    config = Rfc2136Config(
        zone=zone,
        primary=address(server),
        servers=(address(server), *also) if also else (),
        key=key,
        transport=transport,
        rrsets_per_message=rrsets_per_message,
    )
    return Rfc2136Enactor(EnactorId("zone"), topology or suite_topology(), config, ManualClock(), initial=initial)


async def found(server: DnsServer, name: str, kind: str = "A") -> Answer:
    """What a client sees."""
    return await look(address(server), name, kind, deadline_ms=DEADLINE_MS)


def by_hand(server: DnsServer, change: Callable[[dns.update.UpdateMessage], None]) -> None:
    """Somebody with the key changes the zone, as with nsupdate or knsupdate."""
    message = dns.update.UpdateMessage(dns_servers.ZONE)
    message.use_tsig(dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm))
    change(message)
    reply = dns.query.tcp(message, server.host, port=server.port, timeout=WAIT_S)
    assert reply.rcode() == dns.rcode.NOERROR, reply


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait on a condition with a deadline."""
    async with asyncio.timeout(WAIT_S):
        while not await holds():  # noqa: ASYNC110 (what is waited for happens in another process)
            await asyncio.sleep(0.05)
