"""Probes over the shared UDP socket: request/reply, and DNS with queries encoded once."""

from __future__ import annotations

import struct
from random import SystemRandom
from typing import Protocol

from siteshift.adapters.probes.address import SocketAddress
from siteshift.adapters.probes.datagram import DatagramSocket
from siteshift.adapters.probes.faults import Reported, verdict_of
from siteshift.adapters.probes.slot import PASSED, Slot, Verdict, failed
from siteshift.adapters.probes.workbench import Workbench
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec


class Exchange(Protocol):
    """What is asked in a datagram and what a good answer is."""

    def request(self) -> bytes:
        """The datagram of the next run."""

    def weigh(self, data: bytes) -> Verdict | None:
        """Judge a datagram from the target; None: it answers something else."""


class DatagramCarrier:
    """Carries an `Exchange` over the shared socket of its family."""

    __slots__ = ("_address", "_bench", "_exchange", "_socket", "slot")

    def __init__(self, slot: Slot, bench: Workbench, address: SocketAddress, exchange: Exchange) -> None:
        self.slot = slot
        self._bench = bench
        self._address = address
        self._exchange = exchange
        self._socket: DatagramSocket | None = None

    def start(self) -> None:
        try:
            self._socket = self._bench.datagrams.of(self._address.family)
        except OSError as problem:
            self._bench.finish(self.slot, verdict_of(problem.errno, Reported.AT_ONCE))
            return
        if verdict := self._socket.send(self._exchange.request(), self._address, self):
            self._bench.finish(self.slot, verdict)

    def accept(self, data: bytes) -> bool:
        verdict = self._exchange.weigh(data)
        if verdict is None:
            return False
        self.bounce(verdict)
        return True

    def bounce(self, verdict: Verdict) -> None:
        self.abort()
        self._bench.finish(self.slot, verdict)

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.forget(self._address, self)

    def close(self) -> None:
        self.abort()


class ReplyExchange:
    """Plain UDP: send some bytes; any answer that has ``expect`` in it passes."""

    __slots__ = ("_expect", "_send")

    def __init__(self, spec: ProbeSpec) -> None:
        self._send = spec.send
        self._expect = spec.expect

    def request(self) -> bytes:
        return self._send

    def weigh(self, data: bytes) -> Verdict | None:
        return weigh_reply(data, self._expect)


def weigh_reply(data: bytes, expect: bytes) -> Verdict:
    """The verdict on a UDP answer."""
    if expect in data:
        return PASSED
    return failed(Fault.BAD_CONTENT, f"answer lacks {expect[:40]!r}: {data[:40]!r}")


_draw = SystemRandom().getrandbits


def with_fresh_id(query: bytes) -> tuple[int, bytes]:
    """The encoded query under a new random id: an answer to an older run is told from one to this."""
    number = _draw(16)
    return number, struct.pack("!H", number) + query[2:]
