"""Serving DNS over TCP (RFC 7766): length-prefixed messages, several per connection, bounded in every direction.

A resolver comes here after a truncated answer, asks one question and goes. Whatever else comes must not be felt by probes
and UDP: connections with something to do stand in a queue; each gets a few answers and goes to its end, and a turn of the
loop gives all of them together no more than a slice. Nothing is read from a client while it does not read its answers.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from siteshift.adapters.accept import PLAIN_PACE, Acceptor, Pace, tcp_listener
from siteshift.adapters.clients import Client, ClientLimits, Clients, Descriptors, Tally
from siteshift.adapters.dns.embedded_zone import Desk

BACKLOG = 256
CONNECTIONS = ClientLimits(connections=256, per_client=32, waiting_s=10.0)
"""In all as many as twice BIND's `tcp-clients` (150), rounded down. Per client: RFC 7766 §6.2.2 asks resolvers to keep to
one, and a farm behind one address has a few. Idle: RFC 7766 §6.2.3 leaves it to us; a few seconds serve any resolver."""
QUERY_BYTES = 4_096
"""Longer queries end the connection: none that we answer is a tenth as long."""
READ_BYTES = 2 + QUERY_BYTES
"""Of one connection at one visit: a whole query always fits."""
UNREAD_BYTES = 65_536
"""So much the kernel takes for a client that does not read (it doubles the number); then nothing more is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpBudget:
    """How much of the loop all connections get together: a slice, then a pause that leaves the loop to others."""

    slice_us: int = 200
    """So much later come a probe or an answer by UDP, and by a last visit; with the pause a sixth of the loop's time."""
    slice_answers: int = 16
    """An answer takes 30 to 100 us, mostly in the kernel; this bound holds also where the clock is coarse."""
    visit_answers: int = 2
    """For one connection before others have their turn: who asks one question waits for no long queue."""
    pause_s: float = 0.001
    """The finest that libuv's timers have."""


DEFAULT_BUDGET = TcpBudget()


class TcpServer:
    """The connections of one listening address."""

    def __init__(
        self,
        desk: Desk,
        descriptors: Descriptors,
        tally: Tally,
        *,
        limits: ClientLimits = CONNECTIONS,
        budget: TcpBudget = DEFAULT_BUDGET,
        pace: Pace = PLAIN_PACE,
    ) -> None:
        self.desk = desk
        self.clients = Clients(limits, descriptors, tally)
        self.answered = 0
        self._budget = budget
        self._pace = pace
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._ready: deque[_Connection] = deque()
        self._next: asyncio.Handle | None = None
        self._rested_at = 0.0
        self._acceptor: Acceptor | None = None

    def start(self, host: str, port: int) -> int:
        """Listen; the port bound. Raises OSError."""
        sock = tcp_listener(host, port, backlog=BACKLOG)
        self._acceptor = Acceptor(sock, self.clients, self._tally, self._admit, pace=self._pace)
        bound: int = sock.getsockname()[1]
        return bound

    def close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def queue(self, connection: _Connection) -> None:
        """A connection has something to do."""
        self._ready.append(connection)
        if self._next is None:
            self._next = self._loop.call_later(max(0.0, self._rested_at - self._loop.time()), self._turn)

    def _admit(self, sock: socket.socket, client: Client) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        connection = _Connection(self, sock, self._loop)
        self.clients.enter(connection, client, self._loop.time())

    def _turn(self) -> None:
        """One slice: visits in turn until it is over or nobody has anything to do."""
        budget, ready = self._budget, self._ready
        end_ns = time.perf_counter_ns() + budget.slice_us * 1_000
        left = budget.slice_answers
        while ready and left > 0 and time.perf_counter_ns() < end_ns:
            left -= max(1, ready.popleft().visit(min(left, budget.visit_answers)))
        self._rested_at = self._loop.time() + budget.pause_s
        self._next = self._loop.call_later(budget.pause_s, self._turn) if ready else None


class _Connection:
    """One client. Replies come in the order of the queries; nothing is read while a reply could not be sent whole."""

    __slots__ = ("_fd", "_inbox", "_loop", "_outbox", "_server", "_sock", "_unwatch")

    def __init__(self, server: TcpServer, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._inbox = b""
        self._outbox: bytes | memoryview = b""
        self._unwatch: Callable[[int], bool] | None = None
        self._until_readable()

    def abort(self) -> None:
        if self._fd < 0:
            return
        self._stop_watching()
        self._fd = -1
        self._sock.close()

    def visit(self, answers: int) -> int:
        """Send, read and answer a little; how many were answered. Then it waits for its peer, or for its next turn."""
        if self._fd < 0:
            return 0
        given = 0
        try:
            if self._outbox and not self._send(self._outbox):
                return 0
            if self._next_query() is None and not self._read():
                return 0
            while given < answers and (query := self._next_query()) is not None:
                given += 1
                if not self._answer(query):
                    return given
        except OSError:
            self._end()
            return given
        if self._next_query() is None:
            self._until_readable()
        else:
            self._server.queue(self)
        return given

    def _next_query(self) -> bytes | None:
        """The first whole query that was read. Raises OSError for one that is too long."""
        inbox = self._inbox
        length = int.from_bytes(inbox[:2], "big")
        if len(inbox) >= 2 and length > QUERY_BYTES:
            raise ConnectionAbortedError("a query longer than any that we answer")
        return inbox[2 : 2 + length] if len(inbox) >= 2 + length and len(inbox) >= 2 else None

    def _read(self) -> bool:
        """Whether there was something to read; if not, it waits or has ended. Raises OSError."""
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            self._until_readable()
            return False
        if not data:
            self._end()
            return False
        self._inbox += data
        return True

    def _answer(self, query: bytes) -> bool:
        """Whether the next query may be answered too."""
        self._inbox = self._inbox[2 + len(query) :]
        server = self._server
        server.clients.waits(self, self._loop.time())
        server.answered += 1
        reply = server.desk.zone.respond_stream(query)
        if reply is None:
            self._end()
            return False
        return self._send(len(reply).to_bytes(2, "big") + reply)

    def _send(self, data: bytes | memoryview) -> bool:
        """Whether all was taken; else the rest waits until the client reads. Raises OSError."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self._outbox = memoryview(data)[sent:]
        if self._outbox:
            self._watch(self._loop.add_writer, self._loop.remove_writer)
            return False
        self._outbox = b""
        return True

    def _until_readable(self) -> None:
        self._watch(self._loop.add_reader, self._loop.remove_reader)

    def _watch(self, add: Callable[..., object], remove: Callable[[int], bool]) -> None:
        add(self._fd, self._wake)
        self._unwatch = remove

    def _stop_watching(self) -> None:
        if self._unwatch is not None:
            self._unwatch(self._fd)
            self._unwatch = None

    def _wake(self) -> None:
        """The peer did something: stand in the queue, and listen no more until the turn comes."""
        self._stop_watching()
        self._server.queue(self)

    def _end(self) -> None:
        self.abort()
        self._server.clients.leave(self)
