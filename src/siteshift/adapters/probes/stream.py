"""Probes over TCP on raw non-blocking sockets: a new connection each run, or one that is kept.

The life of a connection: closed → connecting → (shaking hands) → awaiting → idle (kept) or closed. A kept connection
that the server closed between runs, or just as we sent, is not a failure: the run connects once more.
"""

from __future__ import annotations

import _socket
import errno
import socket
import struct
from enum import Enum
from zlib import crc32

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.http1 import Peer
from siteshift.adapters.probes.poller import BROKEN, CLOSING, EDGE_IN_OUT, READABLE, WRITABLE
from siteshift.adapters.probes.slot import PASSED, Slot, Verdict, failed, lost
from siteshift.adapters.probes.talk import Talk
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.codes import Fault

READ_BYTES = 16 * 1024

_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Close with a reset, as HAProxy's checks do: no TIME_WAIT, so 5,000 new connections a second leave no debris."""


class Phase(Enum):
    """Where the connection is."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    SHAKING = "shaking"
    AWAITING = "awaiting"
    IDLE = "idle"


class StreamCarrier:
    """Carries a `Talk` over TCP. Subclassed by `tls_stream.TlsCarrier`, which puts TLS between."""

    __slots__ = (
        "_address",
        "_bench",
        "_buffer",
        "_descriptor",
        "_handler",
        "_keep",
        "_passed",
        "_phase",
        "_reused",
        "_runs",
        "_sock",
        "_talk",
        "_unsent",
        "slot",
    )

    def __init__(self, slot: Slot, bench: Workbench, address: SocketAddress, talk: Talk) -> None:
        self.slot = slot
        self._bench = bench
        self._address = address
        self._talk = talk
        self._keep = slot.spec.keep_alive and bool(talk.request)
        self._handler = self._on_ready
        self._phase = Phase.CLOSED
        self._sock: _socket.socket | None = None
        self._descriptor = -1
        self._buffer = b""
        self._unsent = b""
        self._reused = False
        self._passed = PASSED
        # Staggered, so that connections made together are not renewed together.
        self._runs = crc32(slot.spec.id.encode()) % max(bench.limits.renew_after, 1)

    def start(self) -> None:
        self._buffer = b""
        if self._phase is Phase.IDLE:
            self._runs += 1
            if self._runs < self._bench.limits.renew_after:
                self._reused = True
                self._begin()
                return
            self._runs = 0
        self._reconnect()

    def abort(self) -> None:
        self._hang_up()

    def close(self) -> None:
        self._hang_up()

    def _reconnect(self) -> None:
        self._hang_up()
        self._reused = False
        bench = self._bench
        if bench.sockets_open >= bench.socket_limit:
            bench.finish(self.slot, lost(f"the prober has {bench.sockets_open} sockets open, its limit"))
            return
        try:
            sock = _socket.socket(self._address.family, _STREAM, 0)
        except OSError as problem:
            bench.finish(self.slot, verdict_of(problem.errno, Reported.AT_ONCE))
            return
        self._sock = sock
        self._descriptor = sock.fileno()
        bench.sockets_open += 1
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER_ZERO)
            number = sock.connect_ex(self._address.where)
            if number not in (0, errno.EINPROGRESS):
                self._settle(verdict_of(number, Reported.AT_ONCE))
                return
            self._phase = Phase.CONNECTING
            bench.poller.watch(self._descriptor, EDGE_IN_OUT, self._handler)
        except OSError as problem:
            self._settle(verdict_of(problem.errno, Reported.AT_ONCE))

    def _hang_up(self) -> None:
        self._phase = Phase.CLOSED
        self._unsent = b""
        if self._sock is not None:
            self._bench.poller.forget(self._descriptor)
            self._sock.close()
            self._sock = None
            self._bench.sockets_open -= 1

    def _settle(self, verdict: Verdict) -> None:
        """End the run; the connection is not kept."""
        self._hang_up()
        self._bench.finish(self.slot, verdict)

    def _on_ready(self, events: int) -> None:
        phase = self._phase
        if phase is Phase.AWAITING:
            if events & WRITABLE and self._unsent:
                self._push()
            if events & (READABLE | CLOSING | BROKEN) and self._phase is Phase.AWAITING:
                self._receive(events)
        elif phase is Phase.CONNECTING:
            self._on_connecting(events)
        elif phase is Phase.SHAKING:
            self._on_shaking()
        elif phase is Phase.IDLE:
            self._on_idle(events)

    def _on_connecting(self, events: int) -> None:
        if events & BROKEN and self._sock is not None:
            number = self._sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if number:
                self._settle(verdict_of(number, Reported.LATER))
                return
        if events & WRITABLE:
            self._on_connected()
            if events & (READABLE | CLOSING) and self._phase is Phase.AWAITING:
                self._receive(events)

    def _on_connected(self) -> None:
        self._begin()

    def _on_shaking(self) -> None:
        """Only with TLS."""

    def _on_idle(self, events: int) -> None:
        """Between runs a server may close, and must not speak: either way the connection is of no use."""
        if events & (READABLE | CLOSING | BROKEN):
            self._hang_up()

    def _begin(self) -> None:
        """The connection is there: send the request, if any."""
        self._phase = Phase.AWAITING
        if self._talk.request:
            self._unsent = self._talk.request
            self._push()
        elif not self._talk.listens:
            self._settle(self._passed)

    def _push(self) -> None:
        """Send what is unsent."""
        try:
            sent = self._write(self._unsent)
        except BlockingIOError:
            return
        except OSError as problem:
            self._broken(problem.errno)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent and not self._talk.listens:
            self._kept_or_closed(PASSED, reusable=self._keep)

    def _write(self, data: bytes) -> int:
        assert self._sock is not None
        return self._sock.send(data)

    def _read(self) -> bytes:
        """Some bytes, or none at the end. Raises BlockingIOError when there is nothing now, or OSError."""
        assert self._sock is not None
        return self._sock.recv(READ_BYTES)

    def _receive(self, events: int) -> None:
        while True:
            try:
                data = self._read()
            except BlockingIOError:
                return
            except OSError as problem:
                self._broken(problem.errno)
                return
            if not data:
                self._ended()
                return
            self._buffer = self._buffer + data if self._buffer else data
            weighed = self._talk.weigh(self._buffer, Peer.OPEN)
            if weighed is not None:
                self._kept_or_closed(weighed.verdict, reusable=weighed.reusable and self._keep)
                return
            if len(data) < READ_BYTES and self._drained_by_short_read and not events & CLOSING:
                return

    _drained_by_short_read = True
    """A short read from a socket means that it is empty; TLS may still hold decrypted bytes."""

    def _kept_or_closed(self, verdict: Verdict, *, reusable: bool) -> None:
        if verdict is PASSED:
            verdict = self._passed
        if reusable:
            self._phase = Phase.IDLE
            self._bench.finish(self.slot, verdict)
        else:
            self._settle(verdict)

    def _ended(self) -> None:
        """The peer closed."""
        if self._reused and not self._buffer:
            self._reconnect()
            return
        weighed = self._talk.weigh(self._buffer, Peer.CLOSED)
        self._settle(weighed.verdict if weighed else failed(Fault.PROTOCOL, "closed in the middle of an answer"))

    def _broken(self, number: int | None) -> None:
        """The connection failed under us."""
        if self._reused and not self._buffer:
            self._reconnect()
            return
        self._settle(verdict_of(number, Reported.LATER))
