"""The client population: open-loop Poisson load of many users behind many resolvers, with kept connections.

``python -m siteshift.lab.clients --spec FILE``. Open loop: users do not wait for each other, so a slow site does not
thin the load that measures it. A user waits ``deadline_ms`` and then gives up; that request is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from siteshift.lab.control import Message, die_with_parent, parent_is_gone, serve_control
from siteshift.lab.request import Outcome, Request, User
from siteshift.lab.resolvers import Resolver, ResolverFleet
from siteshift.lab.spec import SERVICE_NAME, LabSpec, load_spec
from siteshift.lab.timeline import BIN_MS, UNPLACED, Bin, TimelineWriter, wall_clock

RETRY_S = 0.1
"""The wait before a user tries again, when users do."""


class Population:
    """All users, and what they saw."""

    def __init__(self, spec: LabSpec, writer: TimelineWriter) -> None:
        self._spec = spec
        self._clients = spec.clients
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._now_ms = wall_clock(spec.clock_offset_ms)
        self._rng = random.Random(spec.clients.seed)
        self._site_of = spec.front_of
        self._bin = Bin(at_ms=self._now_ms())
        self._fleet: ResolverFleet | None = None
        self._users: list[User] = []
        self._in_flight = 0
        self._rate_rps = float(spec.clients.load_rps)
        self._next_s = 0.0
        self._arrival: asyncio.TimerHandle | None = None
        self._dns_before = (0, 0)

    async def start(self) -> None:
        """Make the resolvers and the users, and let the load begin."""
        clients, rng = self._clients, self._rng
        resolvers = [
            Resolver(stretch_s=clients.stretch_s if rng.random() * 1000 < clients.stretch_pm else 0)
            for _ in range(clients.resolvers)
        ]
        if not clients.direct:
            _, self._fleet = await self._loop.create_datagram_endpoint(
                lambda: ResolverFleet(name=SERVICE_NAME, resolvers=resolvers, rng=rng),
                remote_addr=(self._spec.dns, self._spec.dns_port),
            )
        self._users = [User(resolver=resolvers[number % len(resolvers)]) for number in range(clients.users)]
        self._next_s = self._loop.time()
        self._arrive()

    async def handle(self, message: Message) -> Message:
        """``{"do": "rate", "rps": N}`` changes the load; ``{"do": "stats"}`` only answers."""
        if message["do"] == "rate":
            self._rate_rps = float(str(message["rps"]))
            self._next_s = self._loop.time()
            if self._arrival is not None:
                self._arrival.cancel()
                self._arrive()
        return {"rate_rps": self._rate_rps, "in_flight": self._in_flight}

    async def record(self) -> None:
        """Write a bin every 100 ms, on the grid of siteshift time, for ever."""
        while True:
            due_ms = (self._bin.at_ms // BIN_MS + 1) * BIN_MS
            await asyncio.sleep(max(0.0, (due_ms - self._now_ms()) / 1000))
            finished, self._bin = self._bin, Bin(at_ms=due_ms)
            finished.in_flight = self._in_flight
            if self._fleet is not None:
                finished.dns_queries = self._fleet.queries - self._dns_before[0]
                finished.dns_failures = self._fleet.failures - self._dns_before[1]
                self._dns_before = (self._fleet.queries, self._fleet.failures)
            self._writer.write(finished)

    def _arrive(self) -> None:
        """Start the requests that are due and sleep until the next one. A late wake-up starts all it missed."""
        now_s = self._loop.time()
        while self._next_s <= now_s:
            self._begin(self._users[self._rng.randrange(len(self._users))])
            self._next_s += self._rng.expovariate(max(self._rate_rps, 0.001))
        self._arrival = self._loop.call_at(self._next_s, self._arrive)

    def _begin(self, user: User) -> None:
        self._bin.offered += 1
        self._in_flight += 1
        request = Request(
            user=user,
            started_ms=self._now_ms(),
            started_s=self._loop.time(),
            tries_left=self._clients.retries,
            head=self._head,
            finish=self._finish,
        )
        request.watch(self._clients.deadline_ms / 1000)
        if user.connection is not None and self._rng.random() * 1000 < self._clients.reuse_pm:
            self._sent(user.connection.address)
            request.send_on_kept(self._resolve)
        else:
            self._resolve(request)

    @property
    def _head(self) -> bytes:
        return f"GET {self._clients.path} HTTP/1.1\r\nHost: {SERVICE_NAME}\r\n\r\n".encode()

    def _resolve(self, request: Request) -> None:
        """Find an address for a new connection and connect."""
        request.user.forget_connection()
        if direct := self._clients.direct:
            self._connect(request, direct[self._rng.randrange(len(direct))])
        elif self._fleet is not None:
            deliver: Callable[[str | None], None] = lambda address: self._connect(request, address)  # noqa: E731
            self._fleet.look_up(request.user.resolver, deliver)

    def _connect(self, request: Request, address: str | None) -> None:
        if request.done:
            return
        if address is None:
            request.end(Outcome.NO_ADDRESS)
            return
        self._sent(address)
        request.connect(address, self._spec.port)

    def _sent(self, address: str) -> None:
        self._bin.site(self._site_of.get(address, UNPLACED)).sent += 1

    def _finish(self, request: Request, outcome: Outcome, status: int, served_by: str) -> None:
        """The fate of a request; also decides about another try."""
        now_s = self._loop.time()
        if outcome is not Outcome.SERVED and outcome is not Outcome.DEADLINE and request.tries_left > 0:
            request.tries_left -= 1
            self._loop.call_later(RETRY_S, self._again, request)
            return
        request.close()
        self._in_flight -= 1
        site = self._bin.site(served_by or self._site_of.get(request.address, UNPLACED))
        took_ms = round((now_s - request.started_s) * 1000)
        if outcome is Outcome.SERVED:
            site.served += 1
            site.latency_ms += took_ms
            site.worst_ms = max(site.worst_ms, took_ms)
            site.late += took_ms > self._clients.slo_ms
            return
        reason = f"status_{status}" if outcome is Outcome.BAD_STATUS else outcome.value
        site.lost[reason] = site.lost.get(reason, 0) + 1
        if self._bin.first_bad_ms is None or request.started_ms < self._bin.first_bad_ms:
            self._bin.first_bad_ms = request.started_ms

    def _again(self, request: Request) -> None:
        if not request.done:
            self._resolve(request)


async def _serve(spec: LabSpec) -> None:
    writer = TimelineWriter(spec.timeline)
    population = Population(spec, writer)
    control = await serve_control(spec.control("clients"), population.handle)
    gc.freeze()
    await population.start()
    async with control:
        await population.record()


def main() -> None:
    """The process. Dies with its parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    die_with_parent()
    if parent_is_gone(options.parent):
        return
    uvloop.run(_serve(load_spec(cast(Path, options.spec))))


if __name__ == "__main__":
    main()
