"""One UDP socket a family for all probes that keep theirs, and for DNS: 8.5 µs a probe (ADR 1).

Replies are matched by the address they come from; refusals (ICMP) come through the socket's error queue with the
address they are about, because the socket is not connected to anybody.
"""

from __future__ import annotations

import _socket
import contextlib
import socket
import struct
from typing import Protocol

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.poller import EDGE_IN, Poller
from siteshift.adapters.probes.slot import Verdict

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Room for a second of answers while the loop is busy."""

MAX_DATAGRAM_BYTES = 65_535

_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR of Linux; the socket module does not name them."""


class Waiter(Protocol):
    """Waits for a datagram from one address."""

    def accept(self, data: bytes) -> bool:
        """Whether this was the answer."""

    def bounce(self, verdict: Verdict) -> None:
        """The network could not deliver."""


class DatagramSocket:
    """The shared socket of one family. Opened at first use; errors of opening raise OSError."""

    def __init__(self, family: int, poller: Poller, turn_messages: int) -> None:
        self._waiting: dict[tuple[str, int], list[Waiter]] = {}
        self._poller = poller
        self._turn_messages = turn_messages
        self._sock = _socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        level, option = _RECVERR[socket.AddressFamily(family)]
        self._sock.setsockopt(level, option, 1)
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        poller.watch(self._sock.fileno(), EDGE_IN, self)

    def send(self, data: bytes, address: SocketAddress, waiter: Waiter) -> Verdict | None:
        """Send and wait for the answer; a verdict when it could not even be sent."""
        self._waiting.setdefault(address.key, []).append(waiter)
        for _ in range(2):
            try:
                self._sock.sendto(data, address.where)
            except OSError as problem:
                # An error queued for somebody else is reported to whoever sends next: fetch it, then send again.
                number = problem.errno
                self._fetch_errors()
                continue
            return None
        self.forget(address, waiter)
        return verdict_of(number, Reported.AT_ONCE)

    def forget(self, address: SocketAddress, waiter: Waiter) -> None:
        """Wait no more."""
        waiting = self._waiting.get(address.key)
        if waiting is None or waiter not in waiting:
            return
        waiting.remove(waiter)
        if not waiting:
            del self._waiting[address.key]

    def close(self) -> None:
        self._poller.forget(self._sock.fileno())
        self._sock.close()
        self._waiting.clear()

    def on_ready(self, _events: int, /) -> None:
        """Hand out what came (`poller.Ear`), so much at a time."""
        for _ in range(self._turn_messages):
            try:
                data, source = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                continue  # the pending error of the socket, reported once; its details are in the error queue
            for waiter in tuple(self._waiting.get((source[0], source[1]), ())):
                if waiter.accept(data):
                    break
        else:
            self._poller.again(self._sock.fileno(), EDGE_IN)
        self._fetch_errors()

    def _fetch_errors(self) -> None:
        """Hand ICMP errors to whoever waits for the address they are about. What is left is told of again."""
        for _ in range(self._turn_messages):
            try:
                _, extra, _, target = self._sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            if not target:
                continue
            for _level, _kind, blob in extra:
                number = struct.unpack_from("=I", blob)[0]
                for waiter in tuple(self._waiting.get((target[0], target[1]), ())):
                    waiter.bounce(verdict_of(number, Reported.LATER))
        self._poller.again(self._sock.fileno(), EDGE_IN)


class DatagramSockets:
    """The shared sockets, by family."""

    def __init__(self, poller: Poller, turn_messages: int) -> None:
        self._poller = poller
        self._turn_messages = turn_messages
        self._by_family: dict[int, DatagramSocket] = {}

    def of(self, family: int) -> DatagramSocket:
        """The socket of a family. Raises OSError when it cannot be opened."""
        found = self._by_family.get(family)
        if found is None:
            found = self._by_family[family] = DatagramSocket(family, self._poller, self._turn_messages)
        return found

    def close(self) -> None:
        for shared in self._by_family.values():
            shared.close()
        self._by_family.clear()
