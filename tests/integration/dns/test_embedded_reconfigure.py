"""A reload of the configuration: all or nothing, and nobody who asks notices."""

import asyncio
import dataclasses

import dns.rcode
import pytest

from contract.enactor_suite import ANYANG, GASAN, PANGYO
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.zone import StaticRecord, ZoneConfig
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import ServiceId
from siteshift.errors import Permanent

from .embedded_world import WEB_ADDRESS, ask, serving, steer, values, world, zone

NEW = ServiceId("new")


def with_a_new_service() -> Topology:
    web = world().services[0]
    pools = tuple(dataclasses.replace(pool, service=NEW) for pool in web.pools)
    new = Service(id=NEW, names=("new.example.test",), tier=1, demand_rps=1, pools=pools)
    return dataclasses.replace(world(), services=(*world().services[:2], new))


def same_address(server: EmbeddedDns) -> ZoneConfig:
    """The zone of the running server, listening where it was told to listen."""
    return zone(("127.0.0.1", 0))


async def test_services_come_and_go_under_the_present_steering() -> None:
    async with serving(initial=steer(4, (0, 0, 10_000))) as server:
        before = server.addresses
        for _ in range(3):
            await ask(server, "web.example.test")
        await server.reconfigure(with_a_new_service(), same_address(server))
        assert server.addresses == before
        assert values(await ask(server, "web.example.test")) == [WEB_ADDRESS[ANYANG]]
        assert values(await ask(server, "new.example.test"))[0] in WEB_ADDRESS.values()
        assert (await ask(server, "many.example.test")).rcode() == dns.rcode.NXDOMAIN
        read = await server.read_back(deadline_ms=5_000)
        assert read.generation == 4
        assert read.shares_bp[NEW] == {PANGYO: 5_000, GASAN: 3_000, ANYANG: 2_000}
        assert server.answers_given()["web"][ANYANG] == 4


async def test_changed_addresses_are_answered_at_once() -> None:
    async with serving(initial=steer(4, (0, 0, 10_000))) as server:
        web = world().services[0]
        moved = tuple(dataclasses.replace(pool, answers=("198.51.100.77",)) for pool in web.pools)
        topology = dataclasses.replace(world(), services=(dataclasses.replace(web, pools=moved),))
        await server.reconfigure(topology, same_address(server))
        assert values(await ask(server, "web.example.test")) == ["198.51.100.77"]


async def test_listening_moves_without_a_gap() -> None:
    async with serving() as server:
        (old,) = server.addresses
        await server.reconfigure(world(), zone(("127.0.0.1", 0), ("::1", 0)))
        assert server.addresses[0] == old and len(server.addresses) == 2
        await server.reconfigure(world(), zone(("::1", 0)))
        assert len(server.addresses) == 1
        assert values(await ask(server, "web.example.test"))


async def test_a_configuration_that_cannot_be_served_changes_nothing() -> None:
    async with serving(initial=steer(4)) as server, serving() as other:
        before = server.addresses
        clash = dataclasses.replace(same_address(server), records=(StaticRecord(name="web", kind="A", value="192.0.2.9"),))
        with pytest.raises(ValueError, match="steered twice"):
            await server.reconfigure(world(), clash)
        with pytest.raises(Permanent):
            await server.reconfigure(with_a_new_service(), zone(("127.0.0.1", 0), other.addresses[0]))
        assert server.addresses == before
        assert values(await ask(server, "web.example.test"))
        assert (await ask(server, "new.example.test")).rcode() == dns.rcode.NXDOMAIN


async def test_nobody_who_asks_notices() -> None:
    async with serving(initial=steer(4, (0, 0, 10_000))) as server:
        done = asyncio.Event()
        seen: set[tuple[str, ...]] = set()

        async def client() -> None:
            while not done.is_set():
                seen.add(tuple(values(await ask(server, "web.example.test"))))

        async with asyncio.TaskGroup() as group:
            group.create_task(client())
            for topology in (with_a_new_service(), world()) * 10:
                await server.reconfigure(topology, same_address(server))
                await ask(server, "web.example.test")
            done.set()
        assert seen == {(WEB_ADDRESS[ANYANG],)}


async def test_a_write_that_waits_for_a_reload_beyond_its_deadline_has_changed_nothing() -> None:
    async with serving(initial=steer(4, (0, 0, 10_000))) as server, asyncio.timeout(60):
        async with server._writing:
            result = await server.enact(steer(5, (10_000, 0, 0)), deadline_ms=100)
        assert (result.outcome, result.detail) == (EnactOutcome.FAILED, "the deadline passed before the swap: nothing changed")
        assert (await server.read_back(deadline_ms=5_000)).generation == 4
        assert (await server.enact(steer(5, (10_000, 0, 0)), deadline_ms=30_000)).outcome is EnactOutcome.APPLIED
