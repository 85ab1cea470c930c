"""An embedded server with a zone that has one of everything, and ways of asking it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.message
import dns.rdatatype

from contract.enactor_suite import ANYANG, GASAN, NOMINAL_BP, PANGYO, SITES
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.topology import Pool, Service, Site, Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId

ORIGIN = "example.test"
WEB, DUAL, MANY, SHED = ServiceId("web"), ServiceId("dual"), ServiceId("many"), ServiceId("shed")
WAIT_S = 10.0

WEB_ADDRESS = {PANGYO: "192.0.2.1", GASAN: "192.0.2.2", ANYANG: "192.0.2.3"}
SHED_ADDRESS = "192.0.2.200"


def _service(service: ServiceId, answers: dict[SiteId, tuple[str, ...]], **more: object) -> Service:
    pools = tuple(
        Pool(service=service, site=site, nominal_bp=bp, answers=answers[site])
        for site, bp in zip(SITES, NOMINAL_BP, strict=True)
    )
    names = (f"{service}.{ORIGIN}",)
    if service == WEB:
        names = (*names, f"deep.below.{ORIGIN}", f"*.edge.{ORIGIN}")
    return Service(id=service, names=names, tier=1, demand_rps=100, pools=pools, **more)  # type: ignore[arg-type]


def world() -> Topology:
    """web: one IPv4 address a site, three names (one a wildcard). dual: several addresses, IPv6 at two sites only.
    many: too much for 512 bytes. shed: with a shed answer."""
    return Topology(
        sites=tuple(Site(id=site) for site in SITES),
        services=(
            _service(WEB, {site: (address,) for site, address in WEB_ADDRESS.items()}),
            _service(
                DUAL,
                {
                    PANGYO: ("198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::1", "2001:db8::2"),
                    GASAN: ("198.51.100.11", "2001:db8::11"),
                    ANYANG: ("198.51.100.21", "198.51.100.22"),
                },
            ),
            _service(MANY, {site: tuple(f"10.{n}.0.{i}" for i in range(40)) for n, site in enumerate(SITES)}),
            _service(SHED, {site: (address,) for site, address in WEB_ADDRESS.items()}, shed_answers=(SHED_ADDRESS,)),
        ),
    )


def zone(*listen: tuple[str, int]) -> ZoneConfig:
    """Static records of many kinds: glue, alias, delegation, wildcard, mail."""
    return ZoneConfig(
        origin=ORIGIN,
        ns_names=("ns1", "ns2.elsewhere.test."),
        soa_rname="noc.example.test.",
        listen=listen,
        records=(
            StaticRecord(name="ns1", kind="A", value="127.0.0.1"),
            StaticRecord(name="ns1", kind="AAAA", value="::1"),
            StaticRecord(name="@", kind="MX", value="10 mail"),
            StaticRecord(name="mail", kind="A", value="203.0.113.5", ttl_s=600),
            StaticRecord(name="alias", kind="CNAME", value="web"),
            StaticRecord(name="away", kind="CNAME", value="www.elsewhere.test."),
            StaticRecord(name="loop", kind="CNAME", value="loop"),
            StaticRecord(name="sub", kind="NS", value="ns.sub"),
            StaticRecord(name="ns.sub", kind="A", value="203.0.113.53"),
            StaticRecord(name="*.wild", kind="TXT", value='"anything"'),
        ),
    )


def steer(
    generation: int, shares: tuple[int, int, int] = NOMINAL_BP, *, ttl_s: int = 30, shed_bp: int = 0,
    shed_at: SiteId | None = None,
) -> Steering:
    """All services alike."""
    services = tuple(
        ServiceSteering(
            service=service.id,
            shares_bp=dict(zip(SITES, shares, strict=True)),
            members_pm={},
            ttl_s=ttl_s,
            shed_bp=shed_bp,
            shed_at=shed_at,
        )
        for service in world().services
    )
    return Steering(generation=generation, term=1, decided_at_ms=0, services=services)


@asynccontextmanager
async def serving(*hosts: str, initial: Steering | None = None) -> AsyncIterator[EmbeddedDns]:
    """A started server on free ports of these hosts."""
    listen = tuple((host, 0) for host in hosts or ("127.0.0.1",))
    server = EmbeddedDns(EnactorId("embedded"), world(), zone(*listen), ManualClock(), initial=initial)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def ask(
    server: EmbeddedDns, name: str, kind: str = "A", *, way: str = "udp", message: dns.message.Message | None = None
) -> dns.message.Message:
    """The reply to a question by UDP or TCP, checked by dnspython to belong to it."""
    host, port = server.addresses[0]
    query = message or dns.message.make_query(name, kind, use_edns=False)
    if way == "tcp":
        return await dns.asyncquery.tcp(query, host, port=port, timeout=WAIT_S)
    return await dns.asyncquery.udp(query, host, port=port, timeout=WAIT_S)


def values(reply: dns.message.Message, kind: str = "A") -> list[str]:
    """The data of a type in the answer section, in order."""
    rdtype = dns.rdatatype.from_text(kind)
    return [str(rdata) for rrset in reply.answer if rrset.rdtype == rdtype for rdata in rrset]
