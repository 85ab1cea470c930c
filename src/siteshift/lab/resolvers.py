"""The resolvers between users and the authoritative server: each caches an answer by its TTL; some stretch it.

An answer that ran out is asked for again, three times at most; while nobody answers the old one is used on
(serve-stale, RFC 8767), and a resolver that never had one fails.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import cast

from siteshift.lab.dnswire import Addresses, decode_answer, encode_query

TRY_S = 0.4
TRIES = 3

Deliver = Callable[[str | None], None]
"""Gets the chosen address, or None when there is none."""


class Resolver:
    """One cache. ``stretch_s`` 0: it obeys TTLs; else it keeps answers at least that long."""

    __slots__ = ("addresses", "asking", "expires_s", "fresh", "stretch_s", "waiting")

    def __init__(self, *, stretch_s: int) -> None:
        self.stretch_s = stretch_s
        self.addresses: tuple[str, ...] = ()
        self.expires_s = 0.0
        self.asking = False
        self.fresh = True
        self.waiting: list[Deliver] = []

    def keep(self, answer: Addresses, now_s: float, rng: random.Random) -> None:
        """Cache an answer. The first one is part-worn, as if the cache had been there before us."""
        ttl_s = float(max(answer.ttl_s, self.stretch_s) if answer.ttl_s else 0)
        if self.fresh:
            ttl_s *= rng.random()
            self.fresh = False
        self.addresses = answer.addresses
        self.expires_s = now_s + ttl_s


class ResolverFleet(asyncio.DatagramProtocol):
    """All resolvers behind one socket to the authoritative server."""

    def __init__(self, *, name: str, resolvers: list[Resolver], rng: random.Random) -> None:
        self.resolvers = resolvers
        self.queries = 0
        self.failures = 0
        self._name = name
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._asked: dict[int, tuple[Resolver, int, asyncio.TimerHandle]] = {}
        self._next_id = rng.randrange(65_536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def error_received(self, exc: Exception) -> None:
        """A refused datagram says nothing of which question; the retry timers deal with it."""

    def look_up(self, resolver: Resolver, deliver: Deliver) -> None:
        """Deliver an address now from the cache, or later from the server."""
        if resolver.expires_s > self._loop.time() and resolver.addresses:
            deliver(self._choose(resolver))
            return
        resolver.waiting.append(deliver)
        if not resolver.asking:
            resolver.asking = True
            self._ask(resolver, 1)

    def _choose(self, resolver: Resolver) -> str | None:
        addresses = resolver.addresses
        if len(addresses) <= 1:
            return addresses[0] if addresses else None
        return addresses[self._rng.randrange(len(addresses))]

    def _ask(self, resolver: Resolver, attempt: int) -> None:
        self._next_id = (self._next_id + 1) % 65_536
        query_id = self._next_id
        self.queries += 1
        timer = self._loop.call_later(TRY_S, self._overdue, query_id)
        self._asked[query_id] = (resolver, attempt, timer)
        if self._transport is not None:
            self._transport.sendto(encode_query(query_id, self._name))

    def _overdue(self, query_id: int) -> None:
        resolver, attempt, _ = self._asked.pop(query_id)
        if attempt < TRIES:
            self._ask(resolver, attempt + 1)
            return
        self.failures += 1
        self._release(resolver)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002
        try:
            answer = decode_answer(data)
        except ValueError:
            return
        if (asked := self._asked.pop(answer.query_id, None)) is None:
            return
        resolver, _, timer = asked
        timer.cancel()
        if answer.addresses:
            resolver.keep(answer, self._loop.time(), self._rng)
        else:
            self.failures += 1
        self._release(resolver)

    def _release(self, resolver: Resolver) -> None:
        resolver.asking = False
        waiting, resolver.waiting = resolver.waiting, []
        for deliver in waiting:
            deliver(self._choose(resolver))
