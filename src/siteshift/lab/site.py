"""One site of the lab: a process with the listeners of all its members and of its front (the site's own balancer).

``python -m siteshift.lab.site --spec FILE --site ID``. One process a site keeps a two-core machine in the game and
makes a site's crash or pause one signal. Standby members have no listener until the standby hook opens them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import uvloop

from siteshift.core.model.codes import MemberRole
from siteshift.lab.control import Message, die_with_parent, parent_is_gone, serve_control
from siteshift.lab.member import Condition, Member
from siteshift.lab.metrics_page import serve_page
from siteshift.lab.spec import FrontBy, LabSpec, MemberSpec, SiteSpec, load_spec
from siteshift.lab.wire import ServerConnection

BACKLOG = 4_096


class Listening:
    """A member with its listener and its connections. Closing drops the connections, as a dying process does."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.connections: set[ServerConnection] = set()
        self._server: asyncio.Server | None = None
        self._flap: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        """Listen. Opening twice is opening once."""
        if self._server is None:
            spec = self.member.spec
            self.member.forget_queue()
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ServerConnection(lambda: self.member, self.connections),
                spec.address,
                spec.port,
                backlog=BACKLOG,
                reuse_address=True,
            )

    def close(self) -> None:
        """Stop listening and drop every connection. Closing twice is closing once."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.abort()

    def flap(self, *, down_ms: int, up_ms: int) -> None:
        """Close and open in turn, beginning now, until `settle`."""
        self.settle()
        self._turn(down_ms / 1000, up_ms / 1000)

    def settle(self) -> None:
        """Stop flapping; the listener stays as it is."""
        if self._flap is not None:
            self._flap.cancel()
            self._flap = None

    def _turn(self, now_s: float, then_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self.is_open:
            self.close()
        else:
            self._opening = loop.create_task(self.open(), name=f"open {self.member.spec.name}")
        self._flap = loop.call_later(now_s, self._turn, then_s, now_s)


class SiteServer:
    """All of a site, and its control messages."""

    def __init__(self, spec: LabSpec, site: SiteSpec) -> None:
        self._spec = spec
        self._site = site
        self._fronts: list[asyncio.Server] = []
        self._front_connections: set[ServerConnection] = set()
        self._page: asyncio.Server | None = None
        self._turn = 0
        self.members = {member.name: Listening(self._member(member)) for member in site.members}

    def _member(self, member: MemberSpec) -> Member:
        sites = tuple(site.id for site in self._spec.sites)
        return Member(member, queue_ms=self._spec.queue_ms, noise=self._spec.noise, seed=self._spec.seed, sites=sites)

    async def start(self) -> None:
        """Listen on the fronts and on the active members' addresses."""
        for listening in self.members.values():
            if listening.member.spec.role is MemberRole.ACTIVE:
                await listening.open()
        for address in self._site.answers if self._spec.front_by is FrontBy.SITE else ():
            self._fronts.append(
                await asyncio.get_running_loop().create_server(
                    lambda: ServerConnection(self._pick, self._front_connections),
                    address,
                    self._spec.port,
                    backlog=BACKLOG,
                    reuse_address=True,
                )
            )

        members = tuple(listening.member for listening in self.members.values())
        self._page = await serve_page(self._site.page, self._spec.port, lambda: (one.counters for one in members))

    def _pick(self) -> Member | None:
        """Round robin over the open members: the front retries a refused connection elsewhere, as balancers do."""
        members = tuple(self.members.values())
        for _ in members:
            self._turn = (self._turn + 1) % len(members)
            if members[self._turn].is_open:
                return members[self._turn].member
        return None

    async def handle(self, message: Message) -> Message:
        """One control message. Raises KeyError for an unknown member or verb, ValueError for bad numbers."""
        verbs: dict[str, Callable[[Message], Awaitable[None]]] = {
            "open": self._open,
            "close": self._close,
            "condition": self._condition,
            "flap": self._start_flapping,
            "settle": self._settle,
            "stats": self._stats,
        }
        await verbs[str(message["do"])](message)
        return self.stats()

    def _chosen(self, message: Message) -> list[Listening]:
        name = message.get("member")
        return [self.members[str(name)]] if name else list(self.members.values())

    async def _open(self, message: Message) -> None:
        for listening in self._chosen(message):
            await listening.open()

    async def _close(self, message: Message) -> None:
        for listening in self._chosen(message):
            listening.close()

    async def _condition(self, message: Message) -> None:
        wanted = {key: int(str(value)) for key, value in message.items() if key not in ("do", "member")}
        unknown = wanted.keys() - asdict(Condition()).keys()
        if unknown:
            raise ValueError(f"unknown condition {sorted(unknown)}")
        for listening in self._chosen(message):
            listening.member.condition = Condition(**wanted)

    async def _start_flapping(self, message: Message) -> None:
        for listening in self._chosen(message):
            listening.flap(down_ms=int(str(message["down_ms"])), up_ms=int(str(message["up_ms"])))

    async def _settle(self, message: Message) -> None:
        for listening in self._chosen(message):
            listening.settle()
            await listening.open()

    async def _stats(self, _message: Message) -> None:
        """OperatorRequest changes nothing."""

    def stats(self) -> Message:
        """What every member is and did."""
        now_s = asyncio.get_running_loop().time()
        members = {
            name: {
                "open": listening.is_open,
                "capacity_rps": listening.member.spec.capacity_rps,
                "wait_ms": round(listening.member.wait_s(now_s) * 1000),
                **asdict(listening.member.counters),
            }
            for name, listening in self.members.items()
        }
        return {"site": self._site.id, "members": members, "pid": os.getpid()}


async def _serve(spec: LabSpec, site: SiteSpec) -> None:
    server = SiteServer(spec, site)
    await server.start()
    control = await serve_control(spec.control(site.id), server.handle)
    gc.freeze()
    async with control:
        await control.serve_forever()


def main() -> None:
    """The process. Dies with its parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    die_with_parent()
    if parent_is_gone(options.parent):
        return
    spec = load_spec(options.spec)
    uvloop.run(_serve(spec, spec.site(options.site)))


if __name__ == "__main__":
    main()
