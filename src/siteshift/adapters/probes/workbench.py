"""What the carriers of probes share: the poller, the budget of sockets, the birthplace of tasks, the way to report."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from siteshift.adapters.probes.datagram import DatagramSockets
from siteshift.adapters.probes.http_reply import HttpBounds
from siteshift.adapters.probes.poller import Poller
from siteshift.adapters.probes.slot import Slot, Verdict


def default_socket_limit() -> int:
    """The process's limit of open files, less 5 % (at least 64) for everything that is not a probe."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - max(soft // 20, 64), 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProberLimits:
    """Bounds of the prober.

    ``sockets``       at most this many open at once (kept ones too); beyond it a probe is ``lost``, not failed.
    ``visits``        journeys, gRPC, commands and UDP flows running at once.
    ``twin_every``    a must-fail twin runs once per this many intervals of its probe.
    ``renew_after``   a kept connection is renewed after this many runs: a server that no longer accepts is seen.
    ``stall_ms``      our own loop late by more than this at once is counted as a standstill, for the metrics.
    ``batch``         starts before the loop gets its turn again.

    What a peer may cost, whatever it sends:

    ``turn_reads``    reads of one connection per wake-up, of at most 16 KiB each; then it is the others' turn.
    ``turn_us``       answers are told for so long; then the loop gets its turn, and the others of the batch after it.
    ``turn_messages`` datagrams taken per wake-up.
    ``http``          how much one reply may bring.
    ``expect_bytes``  how much is looked through for an ``expect``.
    ``tls_bytes``     records received in one run, handshake and all: OpenSSL takes chains of 100 KiB, a body is 256 KiB.
    """

    sockets: int = 0
    visits: int = 256
    twin_every: int = 60
    renew_after: int = 120
    stall_ms: int = 200
    batch: int = 64
    turn_reads: int = 2
    turn_us: int = 5_000
    turn_messages: int = 64
    http: HttpBounds = field(default_factory=HttpBounds)
    expect_bytes: int = 64 * 1024
    tls_bytes: int = 1024 * 1024

    @property
    def socket_limit(self) -> int:
        return self.sockets or default_socket_limit()


@dataclass(slots=True, kw_only=True)
class Workbench:
    """Handed to every carrier. ``finish`` ends the slot's run; ``spawn`` starts a task that the prober awaits;
    ``dispose`` takes what has to be awaited to let go of a closed visit.
    """

    poller: Poller
    datagrams: DatagramSockets
    limits: ProberLimits
    finish: Callable[[Slot, Verdict], None]
    spawn: Callable[[Coroutine[object, object, None], str], asyncio.Task[None]]
    dispose: Callable[[Callable[[], Awaitable[None]]], None]
    socket_limit: int
    sockets_open: int = 0
    visits_open: int = 0
