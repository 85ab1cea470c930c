"""Accepting connections: a few at each turn of the loop, with pauses between, so that a crowd at the door holds up nobody.

`asyncio` and libuv accept until the queue is empty, and a client that connects as fast as we accept keeps it from being
empty. What is not accepted yet waits in the kernel's queue and costs us nothing.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from siteshift.adapters.clients import Client, Clients, Gone, Tally, client_of

SWEEP_S = 0.5
"""How often those who waited too long are looked for."""
OUT_OF_DESCRIPTORS_S = 1.0
"""Pause after the kernel had no file descriptor: as long as asyncio's."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast connections are accepted: ``burst`` in any ``window_s``; who comes faster waits in the kernel's queue."""

    burst: int
    window_s: float


PLAIN_PACE = Pace(burst=4, window_s=0.003)
"""1,300 a second, 4 of them (0.1 to 0.2 ms) at once: several times what people, scrapers and resolvers need."""


class Acceptor:
    """Accepts on one listening socket, which it owns, and hands over those for whom there is a place."""

    def __init__(
        self,
        sock: socket.socket,
        clients: Clients,
        tally: Tally,
        admit: Callable[[socket.socket, Client], None],
        *,
        pace: Pace = PLAIN_PACE,
    ) -> None:
        """``admit`` gets a non-blocking socket, which is its own from then on, and calls `Clients.enter` at once."""
        self._sock = sock
        self._clients = clients
        self._tally = tally
        self._admit = admit
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._window_began_s = self._loop.time()
        self._left = pace.burst
        self._pausing: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._accept)
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    def stop(self) -> None:
        """Listen no more. Those who are connected go on."""
        if self._sock.fileno() < 0:
            return
        if self._pausing is not None:
            self._pausing.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def close(self) -> None:
        """Listen no more, and end every connection."""
        self.stop()
        self._sweeping.cancel()
        self._clients.end_all()

    def _accept(self) -> None:
        now_s = self._loop.time()
        if now_s - self._window_began_s >= self._pace.window_s:
            self._window_began_s, self._left = now_s, self._pace.burst
        while self._left > 0:
            self._left -= 1
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    return  # a fault of that one connection, as accept(2) reports them
                self._tally.gone[Gone.DESCRIPTORS] += 1
                self._pause(OUT_OF_DESCRIPTORS_S)
                return
            try:
                client = client_of(sock, address)
            except OSError:  # gone before we could ask who it is
                sock.close()
                continue
            if self._clients.make_room(client) is not None:
                sock.close()
                continue
            sock.setblocking(False)
            self._admit(sock, client)
        self._pause(self._pace.window_s)

    def _pause(self, pause_s: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._pausing = self._loop.call_later(pause_s, self._go_on)

    def _go_on(self) -> None:
        self._pausing = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _sweep(self) -> None:
        self._clients.end_silent(self._loop.time())
        self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)


def tcp_listener(host: str, port: int, *, backlog: int) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def unix_listener(path: str, *, backlog: int) -> socket.socket:
    """A listening, non-blocking socket in the file system. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock
