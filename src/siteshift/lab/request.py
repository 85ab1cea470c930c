"""One user's request over its own connection: connect, send, read the answer, or give up at the deadline.

A kept connection that the other side closed before it answered anything says nothing about the service (it was
idle too long, or drained gracefully): the request is sent again on a new connection at once, as browsers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import cast

from siteshift.lab.resolvers import Resolver
from siteshift.lab.wire import READ_BUFFER


class Outcome(Enum):
    """The fate of a request."""

    SERVED = "served"
    BAD_STATUS = "bad_status"
    REFUSED = "refused"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    DEADLINE = "deadline"
    NO_ADDRESS = "no_address"


class Connection(asyncio.Protocol):
    """A client's side of one connection. Carries one request at a time; kept by its user when both sides allow."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.request: Request | None = None
        self.transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BUFFER
        if self.request is None or self.request.done:
            self.transport.abort()
        else:
            self.send(self.request)

    def send(self, request: Request) -> None:
        """Send a request on this open connection."""
        self.request = request
        self._data = b""
        if self.transport is not None:
            self.transport.write(request.head)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator or self.request is None:
            return
        status, length, keep, site = _read_head(head)
        if status == 200 and len(body) < length:
            return
        request, self.request = self.request, None
        if not keep or status != 200:
            self.abort()
        request.answered(status, site, self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio names it)
        self.transport = None
        request, self.request = self.request, None
        if request is not None:
            request.dropped(self)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    @property
    def heard_something(self) -> bool:
        return bool(self._data)


def _read_head(head: bytes) -> tuple[int, int, bool, str]:
    """Status, content length, whether the connection stays open, and the site that served."""
    status = int(head[9:12]) if head[:5] == b"HTTP/" and head[9:12].isdigit() else 0
    length, keep, site = 0, head[:8] == b"HTTP/1.1", ""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                length = int(value)
            case b"connection":
                keep = value.strip().lower() != b"close"
            case b"x-site":
                site = value.strip().decode("ascii", "replace")
    return status, length, keep, site


class User:
    """Somebody behind a resolver, with at most one kept connection."""

    __slots__ = ("connection", "resolver")

    def __init__(self, *, resolver: Resolver) -> None:
        self.resolver = resolver
        self.connection: Connection | None = None

    def forget_connection(self) -> None:
        """Close the kept connection, if there is one that nobody uses."""
        connection, self.connection = self.connection, None
        if connection is not None and connection.request is None:
            connection.abort()


Finish = Callable[["Request", Outcome, int, str], None]


class Request:
    """One request from start to fate. `finish` is called for every failed try and once for the end."""

    __slots__ = (
        "_again", "_connection", "_finish", "_loop", "_task", "_timer",
        "address", "done", "head", "started_ms", "started_s", "tries_left", "user",
    )  # fmt: skip

    def __init__(self, *, user: User, started_ms: int, started_s: float, tries_left: int, head: bytes, finish: Finish) -> None:
        self.user = user
        self.started_ms = started_ms
        self.started_s = started_s
        self.tries_left = tries_left
        self.head = head
        self.address = ""
        self.done = False
        self._finish = finish
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._again: Callable[[Request], None] | None = None

    def watch(self, deadline_s: float) -> None:
        """Give up after the deadline."""
        self._timer = self._loop.call_later(deadline_s, self.end, Outcome.DEADLINE)

    def send_on_kept(self, again: Callable[[Request], None]) -> None:
        """Use the user's kept connection; ``again`` when it turns out to be closed."""
        connection, self.user.connection = self.user.connection, None
        if connection is None or connection.transport is None:
            again(self)
            return
        self.address = connection.address
        self._again = again
        self._connection = connection
        connection.send(self)

    def connect(self, address: str, port: int) -> None:
        """Open a connection and send."""
        self.address = address
        self._task = self._loop.create_task(self._open(address, port))

    async def _open(self, address: str, port: int) -> None:
        connection = Connection(address)
        connection.request = self
        self._connection = connection
        try:
            await self._loop.create_connection(lambda: connection, address, port)
        except ConnectionRefusedError:
            self.end(Outcome.REFUSED)
        except ConnectionError:
            self.end(Outcome.RESET)
        except OSError:
            self.end(Outcome.UNREACHABLE)

    def answered(self, status: int, site: str, connection: Connection) -> None:
        """The answer is complete."""
        if status == 200:
            if connection.transport is not None:
                self.user.forget_connection()
                self.user.connection = connection
            self._connection = None
            self.end(Outcome.SERVED, status, site)
        else:
            self.end(Outcome.BAD_STATUS, status, site)

    def dropped(self, connection: Connection) -> None:
        """The connection was closed in mid-request."""
        again, self._again = self._again, None
        if again is not None and not connection.heard_something and not self.done:
            again(self)
        else:
            self.end(Outcome.RESET)

    def end(self, outcome: Outcome, status: int = 0, site: str = "") -> None:
        """One try has ended; the first end of the last try counts."""
        if not self.done:
            self._finish(self, outcome, status, site)

    def close(self) -> None:
        """Nothing more will come of this request."""
        self.done = True
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.request = None
            self._connection.abort()
            self._connection = None
        if self._task is not None and not self._task.done():
            self._task.cancel()
