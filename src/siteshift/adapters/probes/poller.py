"""Many sockets behind one watcher of the event loop: an epoll of our own, registered as a single readable descriptor.

The loop's own readers cost 4-20 µs a socket and event; this costs under 1 µs (ADR 1). Sockets are edge-triggered and
registered once; closing a socket unregisters it in the kernel. An ear may be told once too often, after its
descriptor was closed and taken again within one batch: every ear tolerates an event without news.
"""

from __future__ import annotations

import asyncio
import select
from time import monotonic_ns
from typing import Protocol

EDGE_IN_OUT = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
EDGE_IN = select.EPOLLIN | select.EPOLLET

BROKEN = select.EPOLLERR | select.EPOLLHUP
CLOSING = select.EPOLLRDHUP | select.EPOLLHUP
WRITABLE = select.EPOLLOUT
READABLE = select.EPOLLIN

BATCH_EVENTS = 128
"""Events told before the loop gets its turn again; at 20 µs each this holds it for 2.5 ms."""

LOOK_MASK = 1
"""The clock is looked at after every second event (0.05 µs). One may cost 1.5 ms: 32 KiB of tiny chunks."""

DRAIN_ALL_US = 50_000
"""What was not told within this is told in the next turns; 2,500 answers are."""


class Ear(Protocol):
    """Who listens to a descriptor. (Not a bound method: at 15,000 descriptors each object more is a cache miss.)"""

    def on_ready(self, events: int, /) -> None:
        """These epoll events were reported, or stale ones: see the module's rule."""


class Poller:
    """Tells an ear of the epoll events of its descriptor. An exception of an ear stays with that ear.

    Telling has a budget of time: what is left of a batch then is told after the loop had its turn.
    ``collected_us`` is when the batch now being told was collected, in monotonic microseconds, and 0 between batches: an
    answer was there by then, however long it waits for the others of its batch.
    """

    __slots__ = ("_collected_us", "_ears", "_epoll", "_left", "_loop", "_turn_us", "collected_us")

    def __init__(self, loop: asyncio.AbstractEventLoop, turn_us: int) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._ears: dict[int, Ear] = {}
        self._turn_us = turn_us
        self._left: list[tuple[int, int]] = []
        self._collected_us = self.collected_us = 0
        loop.add_reader(self._epoll.fileno(), self.drain)

    def watch(self, descriptor: int, events: int, ear: Ear) -> None:
        """Tell ``ear`` of ``events`` until `forget`. Raises OSError."""
        self._epoll.register(descriptor, events)
        self._ears[descriptor] = ear

    def again(self, descriptor: int, events: int = EDGE_IN_OUT) -> None:
        """Tell the ear once more, after the others: it stopped reading before the end. (Arming anew repeats the edge.)"""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """The descriptor is about to be closed (which takes it out of the kernel's set)."""
        self._ears.pop(descriptor, None)

    def drain_all(self) -> None:
        """Tell of everything that is ready by now: each once, and not those again who always have more to say."""
        ends_us = monotonic_ns() // 1_000 + DRAIN_ALL_US
        untold = len(self._ears)
        while untold > 0 and monotonic_ns() // 1_000 < ends_us:
            told = self.drain()
            if not told:
                break
            untold -= told

    def drain(self) -> int:
        """Tell of what is ready now, at most one batch; how many events that were."""
        ears = self._ears
        batch, self._left = self._left, []
        now_us = monotonic_ns() // 1_000
        if not batch:
            if self._epoll.closed:
                return 0  # asked for by a turn before the last
            batch = self._epoll.poll(0, BATCH_EVENTS)
            self._collected_us = now_us = monotonic_ns() // 1_000
        self.collected_us = self._collected_us
        ends_us = now_us + self._turn_us
        told = 0
        for descriptor, events in batch:
            told += 1
            ear = ears.get(descriptor)
            if ear is None:
                continue
            try:
                ear.on_ready(events)
            except Exception as problem:  # an edge is reported once: the others of the batch must still be told
                self._loop.call_exception_handler({"message": "a probe's handler failed", "exception": problem})
            if not told & LOOK_MASK and monotonic_ns() // 1_000 >= ends_us and told < len(batch):
                self._left = batch[told:]
                self._loop.call_soon(self.drain)
                break
        self.collected_us = 0
        return told

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._ears.clear()
        self._left.clear()
