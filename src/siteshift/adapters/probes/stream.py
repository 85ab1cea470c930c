"""Probes over TCP on raw non-blocking sockets: a new connection each run, or one that is kept.

The life of a connection: closed → connecting → (shaking hands) → awaiting → idle (kept) or closed. A kept connection
that the server closed between runs, or just as we sent, is not a failure: the run connects once more.
"""

from __future__ import annotations

import _socket
import contextlib
import socket
import struct
from enum import Enum
from errno import EBADF, EINPROGRESS
from socket import IPPROTO_TCP, SO_ERROR, SO_LINGER, SOL_SOCKET, TCP_QUICKACK
from typing import Protocol
from zlib import crc32

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.poller import BROKEN, CLOSING, EDGE_IN_OUT, READABLE, WRITABLE
from siteshift.adapters.probes.proxy_header import proxy_header
from siteshift.adapters.probes.slot import PASSED, Slot, Verdict, failed, lost
from siteshift.adapters.probes.talk import Talk
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.codes import Fault, Outcome
from siteshift.core.model.probe import ProxyProtocol

READ_BYTES = 16 * 1024
"""`ProberLimits.turn_reads` of these a wake-up; one costs 0.02 ms, and 0.7 when it is full of tiny chunks."""

FIRST_READ_BYTES = 2 * 1024
"""Nearly every reply fits; Python allocates what is asked for before it knows what came (0.6 µs less than 16 KiB)."""

_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_NO_LINGER = struct.pack("ii", 0, 0)
_LINGER_ZERO = struct.pack("ii", 1, 0)
"""Close with a reset, as HAProxy's checks do: no TIME_WAIT, so 5,000 new connections a second leave no debris."""


class Phase(Enum):
    """Where the connection is."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    SHAKING = "shaking"
    AWAITING = "awaiting"
    IDLE = "idle"


# Looking up an enum's member costs 0.1 µs in Python 3.11, a name of the module a tenth: this runs 15,000 times a second.
_CLOSED, _CONNECTING, _SHAKING, _AWAITING, _IDLE = Phase
_NEWS = READABLE | CLOSING | BROKEN


class Line(Protocol):
    """What bytes go out and come in on: a socket, or TLS on top of one. Both raise BlockingIOError or OSError."""

    def send(self, data: bytes, /) -> int:
        """Send some of the bytes; how many."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes, or none at the end."""


class _NoLine:
    """Stands in while nothing is open."""

    def send(self, _data: bytes, /) -> int:
        raise OSError(EBADF, "the connection is not open")

    def recv(self, _size: int, /) -> bytes:
        raise OSError(EBADF, "the connection is not open")


_NO_LINE = _NoLine()


class StreamCarrier:
    """Carries a `Talk` over TCP. Subclassed by `tls_stream.TlsCarrier`, which puts TLS between."""

    __slots__ = (
        "_bench",
        "_descriptor",
        "_family",
        "_finish",
        "_goodbye",
        "_has_more",
        "_heard",
        "_keep",
        "_known",
        "_line",
        "_passed",
        "_phase",
        "_proxy_protocol",
        "_renew_after",
        "_request",
        "_reused",
        "_runs_left",
        "_sock",
        "_talk",
        "_turn_reads",
        "_unsent",
        "_where",
        "slot",
    )

    def __init__(self, slot: Slot, bench: Workbench, address: SocketAddress, talk: Talk) -> None:
        self.slot = slot
        self._bench = bench
        self._family, self._where = address
        self._finish = bench.finish
        self._talk = talk
        self._known = talk.known
        self._request = talk.request
        self._keep = slot.spec.keep_alive and bool(talk.request)
        self._goodbye = slot.spec.goodbye
        self._proxy_protocol = slot.spec.proxy_protocol
        self._phase = _CLOSED
        self._sock: _socket.socket | None = None
        self._line: Line = _NO_LINE
        self._descriptor = -1
        self._heard = False
        self._has_more = False
        self._turn_reads = bench.limits.turn_reads
        self._unsent = b""
        self._reused = False
        self._passed = PASSED
        # Staggered, so that connections made together are not renewed together.
        self._runs_left = crc32(slot.spec.id.encode()) % max(bench.limits.renew_after, 1)
        self._renew_after = bench.limits.renew_after

    def start(self) -> None:
        self._heard = False
        if self._phase is not _IDLE or self._runs_left <= 0:
            self._reconnect()
            return
        self._runs_left -= 1
        self._reused = True
        self._phase = _AWAITING
        self._say(self._request)

    def abort(self) -> None:
        self._hang_up()

    def close(self) -> None:
        self._hang_up()

    def _reconnect(self) -> None:
        if self._sock is not None:
            self._hang_up()
        if self._runs_left <= 0:
            self._runs_left = self._renew_after
        self._reused = False
        bench = self._bench
        if bench.sockets_open >= bench.socket_limit:
            self._finish(self.slot, lost(f"the prober has {bench.sockets_open} sockets open, its limit"))
            return
        try:
            sock = _socket.socket(self._family, _STREAM, 0)
        except OSError as problem:
            self._finish(self.slot, verdict_of(problem.errno, Reported.AT_ONCE))
            return
        self._sock = self._line = sock
        self._descriptor = sock.fileno()
        bench.sockets_open += 1
        try:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_ZERO)
            if self._request:  # it goes out with the acknowledgement: a packet less, as HAProxy's checks do
                sock.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)
            number = sock.connect_ex(self._where)
            if number != EINPROGRESS and number:
                self._settle(verdict_of(number, Reported.AT_ONCE))
                return
            self._phase = _CONNECTING
            bench.poller.watch(self._descriptor, EDGE_IN_OUT, self)
        except OSError as problem:
            self._settle(verdict_of(problem.errno, Reported.AT_ONCE))

    def _hang_up(self) -> None:
        self._phase = _CLOSED
        self._unsent = b""
        if self._sock is not None:
            self._bench.poller.forget(self._descriptor)
            self._sock.close()
            self._sock = None
            self._line = _NO_LINE
            self._bench.sockets_open -= 1

    def _settle(self, verdict: Verdict) -> None:
        """End the run; the connection is not kept."""
        self._hang_up()
        self._finish(self.slot, verdict)

    def on_ready(self, events: int, /) -> None:
        """What the socket has to say (`poller.Ear`)."""
        phase = self._phase
        if phase is _AWAITING:
            if self._unsent:
                self._push()
            if (events & _NEWS or self._has_more) and self._phase is _AWAITING:
                self._receive(events)
        elif phase is _CONNECTING:
            self._on_connecting(events)
        elif phase is _SHAKING:
            self._on_shaking()
        elif phase is _IDLE:
            self._on_idle(events)

    def _on_connecting(self, events: int) -> None:
        if events & BROKEN and self._sock is not None:
            number = self._sock.getsockopt(SOL_SOCKET, SO_ERROR)
            if number:
                self._settle(verdict_of(number, Reported.LATER))
                return
        if events & WRITABLE:
            if self._proxy_protocol is not None and not self._announce(self._proxy_protocol):
                return
            self._on_connected()
            if events & _NEWS and self._phase is _AWAITING:
                self._receive(events)

    def _announce(self, version: ProxyProtocol) -> bool:
        """Send the PROXY header: before everything else, TLS too. A new connection has room for a hundred bytes."""
        assert self._sock is not None
        try:
            self._sock.send(proxy_header(version, self._sock))
        except OSError as problem:
            self._broken(problem)
            return False
        return True

    def _on_connected(self) -> None:
        self._begin()

    def _on_shaking(self) -> None:
        """Only with TLS."""

    def _on_idle(self, events: int) -> None:
        """Between runs a server may close, and must not speak: either way the connection is of no use."""
        if events & _NEWS:
            self._hang_up()

    def _begin(self) -> None:
        """The connection is there: send the request, if any."""
        self._phase = _AWAITING
        if self._request:
            self._say(self._request)
        elif not self._talk.listens:
            self._settle(self._passed)

    def _push(self) -> None:
        """Send what is unsent."""
        unsent, self._unsent = self._unsent, b""
        self._say(unsent)

    def _say(self, data: bytes) -> None:
        """Send this; what does not go now is left unsent."""
        try:
            sent = self._line.send(data)
        except BlockingIOError:
            self._unsent = data
            return
        except OSError as problem:
            self._broken(problem)
            return
        if sent < len(data):
            self._unsent = data[sent:]
            return
        if not self._talk.listens:
            self._kept_or_closed(PASSED, self._keep)

    def _receive(self, events: int) -> None:
        """Nearly always the first read brings an answer that is known: that way is short."""
        try:
            data = self._line.recv(FIRST_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as problem:
            self._broken(problem)
            return
        weighed = None if self._heard else self._known.get(data)
        if weighed is None:
            self._read_on(data, FIRST_READ_BYTES, events)
        else:
            self._kept_or_closed(weighed[0], weighed[1] and self._keep)

    def _read_on(self, data: bytes, size: int, events: int) -> None:
        """Weigh what was read; read on until there is an answer or nothing more, or as often as is this connection's turn."""
        self._has_more = False
        left = self._turn_reads
        while data:
            weighed = self._talk.go_on(data) if self._heard else self._talk.begin(data)
            if weighed is not None:
                self._kept_or_closed(weighed[0], weighed[1] and self._keep)
                return
            self._heard = True
            if len(data) < size and self._drained_by_short_read and not events & CLOSING:
                return
            left -= 1
            if not left:
                self._come_back()
                return
            size = READ_BYTES
            try:
                data = self._line.recv(size)
            except BlockingIOError:
                return
            except OSError as problem:
                self._broken(problem)
                return
        self._ended()

    def _come_back(self) -> None:
        """There is more to read than one connection may in a turn (an edge is told only once)."""
        self._has_more = True
        self._bench.poller.again(self._descriptor)

    _drained_by_short_read = True
    """A short read from a socket means that it is empty; TLS may still hold decrypted bytes."""

    def _kept_or_closed(self, verdict: Verdict, reusable: bool) -> None:
        if verdict is PASSED:
            verdict = self._passed
        if reusable:
            self._phase = _IDLE
        else:
            if self._goodbye and verdict[0] is Outcome.PASS:
                self._take_leave()
            self._hang_up()
        self._finish(self.slot, verdict)

    def _take_leave(self) -> None:
        """Say goodbye and close in peace: a protocol that wants one takes a reset for an error of ours, and may count it."""
        assert self._sock is not None
        with contextlib.suppress(OSError):  # it has answered well; what becomes of the goodbye is its affair
            self._line.send(self._goodbye)
            self._sock.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)

    def _ended(self) -> None:
        """The peer closed."""
        if self._heard:
            self._settle(self._talk.end())
        elif self._reused:
            self._reconnect()
        else:
            self._settle(failed(Fault.RESET, "closed without an answer"))

    @property
    def _may_try_again(self) -> bool:
        """A kept connection that ended before a byte of an answer says nothing."""
        return self._reused and not self._heard

    def _broken(self, problem: OSError) -> None:
        """The connection failed under us."""
        if self._may_try_again:
            self._reconnect()
            return
        self._settle(verdict_of(problem.errno, Reported.LATER))
