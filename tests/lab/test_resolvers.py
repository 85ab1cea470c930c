"""Resolvers obey TTLs, except those that stretch them; they outlive a silent server by what they have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from lab.scripted_dns import ScriptedDns, scripted_dns
from lab.waiting import until
from siteshift.lab.addresses import claim_slot, free_port
from siteshift.lab.dnswire import decode_answer, encode_query
from siteshift.lab.resolvers import Resolver, ResolverFleet
from siteshift.lab.spec import SERVICE_NAME


@pytest.fixture
async def dns() -> AsyncIterator[tuple[ScriptedDns, tuple[str, int]]]:
    slot = claim_slot()
    address = f"{slot.prefix}.0.53"
    at = (address, free_port([address]))
    async with scripted_dns(at, ["127.0.0.1"], ttl_s=1) as server:
        yield server, at
    slot.release()


async def fleet_for(at: tuple[str, int], resolver: Resolver) -> ResolverFleet:
    loop = asyncio.get_running_loop()
    _, fleet = await loop.create_datagram_endpoint(
        lambda: ResolverFleet(name=SERVICE_NAME, resolvers=[resolver], rng=random.Random(1)), remote_addr=at
    )
    return fleet


async def look_up(fleet: ResolverFleet, resolver: Resolver) -> str | None:
    found: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    fleet.look_up(resolver, found.set_result)
    return await asyncio.wait_for(found, 10)


async def test_an_answer_is_used_until_its_ttl_is_over(dns: tuple[ScriptedDns, tuple[str, int]]) -> None:
    server, at = dns
    resolver = Resolver(stretch_s=0)
    resolver.fresh = False
    server.ttl_s = 3_600
    fleet = await fleet_for(at, resolver)
    assert await look_up(fleet, resolver) == "127.0.0.1"
    server.addresses = ["127.0.0.2"]
    assert await look_up(fleet, resolver) == "127.0.0.1"
    assert server.questions == 1
    resolver.expires_s = asyncio.get_running_loop().time()
    assert await look_up(fleet, resolver) == "127.0.0.2"


async def test_a_stretching_resolver_keeps_answers_longer(dns: tuple[ScriptedDns, tuple[str, int]]) -> None:
    _, at = dns
    obeys, stretches = Resolver(stretch_s=0), Resolver(stretch_s=60)
    obeys.fresh = stretches.fresh = False
    now_s = asyncio.get_running_loop().time()
    for resolver in (obeys, stretches):
        await look_up(await fleet_for(at, resolver), resolver)
    assert 0 < obeys.expires_s - now_s < 30
    assert 59 < stretches.expires_s - now_s < 90


async def test_the_first_answer_of_a_cache_is_part_worn() -> None:
    rng = random.Random(7)
    left_s = []
    for _ in range(200):
        resolver = Resolver(stretch_s=0)
        resolver.keep(decode_answer(answer_with(ttl_s=30)), 1_000.0, rng)
        left_s.append(resolver.expires_s - 1_000.0)
    assert 0 <= min(left_s) < 3
    assert 27 < max(left_s) <= 30
    assert 12 < sum(left_s) / 200 < 18


def answer_with(*, ttl_s: int) -> bytes:
    question = encode_query(7, SERVICE_NAME)
    head = question[:2] + b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00"
    return head + question[12:] + b"\xc0\x0c\x00\x01\x00\x01" + ttl_s.to_bytes(4) + b"\x00\x04\x7f\x00\x00\x01"


async def test_waiting_users_share_one_question(dns: tuple[ScriptedDns, tuple[str, int]]) -> None:
    server, at = dns
    resolver = Resolver(stretch_s=0)
    fleet = await fleet_for(at, resolver)
    answers = await asyncio.gather(*(look_up(fleet, resolver) for _ in range(20)))
    assert set(answers) == {"127.0.0.1"}
    assert server.questions == 1


async def test_a_silent_server_leaves_the_old_answer_in_use(dns: tuple[ScriptedDns, tuple[str, int]]) -> None:
    server, at = dns
    resolver = Resolver(stretch_s=0)
    fleet = await fleet_for(at, resolver)
    await look_up(fleet, resolver)
    resolver.expires_s = 0.0
    server.mute = True
    assert await look_up(fleet, resolver) == "127.0.0.1"
    assert fleet.failures == 1


async def test_a_resolver_that_never_had_an_answer_has_none(dns: tuple[ScriptedDns, tuple[str, int]]) -> None:
    server, at = dns
    server.addresses = []
    resolver = Resolver(stretch_s=0)
    fleet = await fleet_for(at, resolver)
    assert await look_up(fleet, resolver) is None
    await until(lambda: fleet.failures == 1, "the failure is counted")


@pytest.mark.parametrize("message", [b"", b"\0" * 11, encode_query(1, SERVICE_NAME), answer_with(ttl_s=1)[:-3] + b"\xc0"])
def test_what_is_no_answer_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"answer|early"):
        decode_answer(message)
