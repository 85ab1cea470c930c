"""The connections of the API: how many, whose, and how long one may keep us waiting.

`Watched` stands between a connection and aiohttp's handler and knows three states. *Waiting*: no request is being served;
it has `REQUEST_WITHIN_S` to bring the whole head of one, whether it is new, idle or dripping bytes. *Served*: a handler is
at work; a body has `BODY_WITHIN_S`. *Stalled*: it does not take what we send; it has `READ_WITHIN_S` to
read some of it. Handshakes of TLS have `HANDSHAKE_WITHIN_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

from aiohttp import web

from siteshift.adapters.accept import Acceptor
from siteshift.adapters.clients import Client, ClientLimits, Clients, Descriptors, Tally

BACKLOG = 4_096
"""Who waits in the kernel's queue costs us nothing. A Unix socket whose queue is full refuses (EAGAIN), and people with it;
4,096 is what Linux allows by default (`net.core.somaxconn`)."""
REQUEST_WITHIN_S = 20.0
"""Longer than clients keep an idle connection (aiohttp: 15 s), so that it is they who close it."""
BODY_WITHIN_S = 5.0
"""The largest body (64 KiB) takes 2 s at 256 kbit/s."""
READ_WITHIN_S = 10.0
"""A reader that takes nothing for so long has stopped; a person's terminal that was paused connects again."""
HANDSHAKE_WITHIN_S = 5.0
"""Three round trips to the far side of the earth take one."""
HANDSHAKE_EVERY_S = 0.010
"""A handshake costs us 0.3 to 1.5 ms; those who all say hello at once are taken one after the other, a hundred a second."""
CONNECTIONS = ClientLimits(connections=128, per_client=64, waiting_s=REQUEST_WITHIN_S)
"""For each listener. All event streams (`limits.api_subscribers`, 64) of one user fit in, and as many again of others."""

MakeHandler = Callable[[], asyncio.Protocol]


class Listener:
    """One listening socket of the API. It owns the socket."""

    def __init__(
        self,
        sock: socket.socket,
        make_handler: MakeHandler,
        descriptors: Descriptors,
        tally: Tally,
        *,
        tls: ssl.SSLContext | None = None,
        limits: ClientLimits = CONNECTIONS,
    ) -> None:
        self.clients = Clients(limits, descriptors, tally)
        self._make_handler = make_handler
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._next_handshake_s = 0.0
        self._acceptor = Acceptor(sock, self.clients, tally, self._admit)

    def close(self) -> None:
        """Listen no more, and end what is connected."""
        self._acceptor.close()

    def renew(self, tls: ssl.SSLContext | None) -> None:
        """Another certificate for whoever connects from now on; nothing for a listener without TLS."""
        if self._tls is not None and tls is not None:
            self._tls = tls

    def stop_listening(self) -> None:
        """Let nobody in any more; who is being served goes on."""
        self._acceptor.stop()

    def _admit(self, sock: socket.socket, client: Client) -> None:
        loop = asyncio.get_running_loop()
        self.clients.enter(Watched(self.clients, sock, self._speaks), client, loop.time())

    def _speaks(self, watched: Watched, sock: socket.socket) -> asyncio.Task[None]:
        """It said its first byte: now it is worth a handler."""
        watched.handler = self._make_handler()
        task = asyncio.get_running_loop().create_task(self._open(watched, sock, self._turn_in_s()), name="api connection")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    def _turn_in_s(self) -> float:
        """How long the next one has to wait for its handshake."""
        if self._tls is None:
            return 0.0
        now_s = asyncio.get_running_loop().time()
        turn_s = max(now_s, self._next_handshake_s)
        self._next_handshake_s = turn_s + HANDSHAKE_EVERY_S
        return turn_s - now_s

    async def _open(self, watched: Watched, sock: socket.socket, in_s: float) -> None:
        """Make the transport, which takes a handshake with TLS. Whatever fails is the client's affair."""
        loop = asyncio.get_running_loop()
        within_s = HANDSHAKE_WITHIN_S if self._tls is not None else None
        try:
            await asyncio.sleep(in_s)
            await loop.connect_accepted_socket(lambda: watched, sock, ssl=self._tls, ssl_handshake_timeout=within_s)
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            sock.close()
            self.clients.leave(watched)


class Watched(asyncio.Protocol):
    """One connection. Until its first byte it is a socket and this; only then it gets a handler and a transport."""

    def __init__(
        self,
        clients: Clients,
        sock: socket.socket,
        speaks: Callable[[Watched, socket.socket], asyncio.Task[None]],
    ) -> None:
        self.handler = asyncio.Protocol()
        self._clients = clients
        self._speaks = speaks
        self._loop = asyncio.get_running_loop()
        self._silent: socket.socket | None = sock
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._first_byte)

    def _first_byte(self) -> None:
        sock, self._silent = self._silent, None
        assert sock is not None
        self._loop.remove_reader(sock.fileno())
        self._opening = self._speaks(self, sock)

    # -- of the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio promises a base class
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self.handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._runs_again()
        self._clients.leave(self)
        self.handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._stalled = self._loop.call_later(READ_WITHIN_S, self._clients.end_stalled, self)
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self._runs_again()
        self.handler.resume_writing()

    def _runs_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    # -- of the listener and the requests ---------------------------------------------------------------------------

    def abort(self) -> None:
        if self._silent is not None:
            sock, self._silent = self._silent, None
            self._loop.remove_reader(sock.fileno())
            sock.close()
        elif self._transport is not None:
            self._transport.abort()
        elif self._opening is not None:
            self._opening.cancel()

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """A request is being served within."""
        self._clients.works(self)
        try:
            yield
        finally:
            self._clients.waits(self, self._loop.time())


def connection_of(request: web.Request) -> Watched | None:
    """The connection a request came by; None when it is gone."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    return protocol if isinstance(protocol, Watched) else None


async def body_of(request: web.Request, *, most_bytes: int) -> bytes:
    """The whole body. Raises the HTTPException for one that is too large or too slow."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.clone(client_max_size=most_bytes).read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body was not complete within {BODY_WITHIN_S:g} s") from None
