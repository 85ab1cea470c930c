"""Serving datagrams: many per system call where the kernel offers it.

``recvmmsg`` and ``sendmmsg`` through ctypes carry up to 64 datagrams per call; behind one ``add_reader`` that works
on any event loop and costs less than a datagram protocol (a quarter less CPU per query than uvloop's, measured in
one run). One batch a wake-up, and of that no more than a slice at a time: strange questions take ten times as long as those
asked before, and a flood of them must not hold up the probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import time
from typing import Any

from siteshift.adapters.dns.embedded_zone import Desk

BATCH = 64
BUFFER_BYTES = 4_096
"""Longer queries are cut and so fail to parse; none of those we answer are that long."""
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Some 5,000 queries: rides out a pause of the loop of 50 ms at 100,000 queries a second. The kernel gives no more than
``net.core.rmem_max`` to a process without CAP_NET_ADMIN (Debian: 208 KiB, some 250 queries)."""
_SO_RCVBUFFORCE = 33
SLICE_US = 400
"""So much of a batch is answered before other work of the loop has its turn. 64 answers to known questions take 200 to
300 us, to strange ones 1.5 to 3 ms."""
LOOK_EVERY = 8
"""Answers between two looks at the clock (0.05 us); a power of two."""

_WORDS_PER_HEADER = 16
_LENGTH_WORD = 14
_MSG_DONTWAIT = 0x40


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MmsgHdr(ctypes.Structure):
    """struct mmsghdr of recvmmsg(2) on 64-bit Linux: 64 bytes, ``received`` at byte 56."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_uint32),
        ("received", ctypes.c_uint32),
        ("padding_after", ctypes.c_uint32),
    )


def kernel_batches() -> bool:
    """Whether this system has the calls and the memory layout `BatchServer` needs."""
    try:
        libc = ctypes.PyDLL(None)
    except OSError:
        return False
    return hasattr(libc, "recvmmsg") and hasattr(libc, "sendmmsg") and ctypes.sizeof(_MmsgHdr) == 64


class _Half:
    """One direction: headers, their buffers, and flat views of both for reading and writing lengths without ctypes."""

    def __init__(self, addresses: Any, address_bytes: int) -> None:
        self.data = bytearray(BATCH * BUFFER_BYTES)
        self.view = memoryview(self.data)
        base = ctypes.addressof((ctypes.c_char * len(self.data)).from_buffer(self.data))
        self.vectors = (_IoVec * BATCH)()
        self.headers = (_MmsgHdr * BATCH)()
        for i in range(BATCH):
            self.vectors[i].base = base + i * BUFFER_BYTES
            self.vectors[i].length = BUFFER_BYTES
            self.headers[i].name = ctypes.addressof(addresses) + i * address_bytes
            self.headers[i].name_length = address_bytes
            self.headers[i].iov = ctypes.addressof(self.vectors) + i * ctypes.sizeof(_IoVec)
            self.headers[i].iov_count = 1
        self.received = memoryview(self.headers).cast("B").cast("I")
        self.lengths = memoryview(self.vectors).cast("B").cast("L")


class BatchServer:
    """One socket served in batches. ``dropped`` counts replies the socket would not take."""

    def __init__(self, sock: socket.socket, desk: Desk, *, slice_us: int = SLICE_US) -> None:
        self.answered = 0
        self._slice_ns = slice_us * 1_000
        self._at, self._count = 0, 0
        self._next: asyncio.Handle | None = None
        self._sock = sock
        self._fd = sock.fileno()
        self._desk = desk
        self.dropped = 0
        libc = ctypes.PyDLL(None)  # the calls never block, so the GIL is kept: a busy thread cannot step in between
        self._recvmmsg = libc.recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg = libc.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        address_bytes = 28 if sock.family == socket.AF_INET6 else 16
        self._addresses = (ctypes.c_char * (BATCH * address_bytes))()
        self._in = _Half(self._addresses, address_bytes)
        self._out = _Half(self._addresses, address_bytes)
        self._in_at = ctypes.addressof(self._in.headers)
        self._out_at = ctypes.addressof(self._out.headers)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._drain)

    async def close(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._next is not None:
            self._next.cancel()
        self._sock.close()

    def _drain(self) -> None:
        if self._at < self._count:
            return  # the rest of the last batch has its turn already
        count = self._recvmmsg(self._fd, self._in_at, BATCH, _MSG_DONTWAIT, None)
        if count > 0:  # else nothing after all, or an ICMP error of an answer sent earlier: both are over with this call
            self._at, self._count = 0, count
            self._answer_slice()

    def _answer_slice(self) -> None:
        """Answer what was received, until all is answered or the slice is over; the rest at the next turn of the loop."""
        self._next = None
        received, taken = self._in.received, self._in.view
        lengths, given = self._out.lengths, self._out.view
        respond = self._desk.zone.respond
        end_ns = time.perf_counter_ns() + self._slice_ns
        first = start = self._at
        end = self._count
        at = first * BUFFER_BYTES
        word = first * _WORDS_PER_HEADER + _LENGTH_WORD
        for i in range(first, self._count):
            if i % LOOK_EVERY == 0 and i > start and time.perf_counter_ns() > end_ns:
                end = i
                break
            reply = respond(taken[at : at + received[word]].tobytes())
            if reply is None:
                self._send(first, i)
                first = i + 1
            else:
                given[at : at + len(reply)] = reply
                lengths[2 * i + 1] = len(reply)
            at += BUFFER_BYTES
            word += _WORDS_PER_HEADER
        self._send(first, end)
        self.answered += end - start
        self._at = end
        if end < self._count:
            self._next = self._loop.call_soon(self._answer_slice)

    def _send(self, first: int, end: int) -> None:
        """Send replies ``first`` up to ``end``: reply i goes to the address query i came from."""
        while first < end:
            sent = self._sendmmsg(self._fd, self._out_at + first * 64, end - first, _MSG_DONTWAIT)
            if sent <= 0:  # the first of the rest cannot go (full buffer, unreachable peer): it is lost, as UDP may be
                self.dropped += 1
                sent = 1
            first += sent


class DatagramServer(asyncio.DatagramProtocol):
    """The portable form: one datagram per call."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: asyncio.DatagramTransport | None = None
        self._lost = asyncio.Event()
        self.dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport) or hasattr(transport, "sendto")
        self._transport = transport  # type: ignore[assignment]  # asyncio promises a base class

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        reply = self._desk.zone.respond(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost.set()

    async def close(self) -> None:
        """Returns when the port is free."""
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()


def udp_socket(host: str, port: int) -> socket.socket:
    """A bound, non-blocking datagram socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER_BYTES)
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


async def serve_datagrams(sock: socket.socket, desk: Desk) -> BatchServer | DatagramServer:
    """Answer what comes in on a socket until the server returned is closed; it owns the socket."""
    if kernel_batches() and os.name == "posix":
        return BatchServer(sock, desk)
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(lambda: DatagramServer(desk), sock=sock)
    return server
