"""One server of the lab as arithmetic: a capacity, a FIFO queue in front of it, and what is wrong with it.

The queue is exact and costs nothing: a request starts when the one before it ends (`busy_until_s`), takes
``1 / capacity`` seconds, and is turned away with 503 when the wait would exceed the queue. So latency rises under
load as it does behind a real single-file server (M/D/1), without a task or timer per waiting request.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from siteshift.lab.spec import MemberSpec, NoiseSpec


class Request(Enum):
    """What was asked."""

    HEALTH = "health"
    LOGIN = "login"
    FETCH = "fetch"
    WORK = "work"


WORK_SHARE = {Request.HEALTH: 0.0, Request.LOGIN: 0.1, Request.FETCH: 0.1, Request.WORK: 1.0}
"""How much of a full request's work each costs. Health costs nothing, but waits its turn, so it feels the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is wrong. The default is health.

    ``work_error_pm`` and ``health_error_pm`` are answered 500 at once: fast errors look like spare capacity.
    ``added_ms`` delays every answer without using capacity (a slow backend); ``slowdown_pm`` stretches the work
    itself (1000 is normal), so the queue fills.
    """

    work_error_pm: int = 0
    health_error_pm: int = 0
    added_ms: int = 0
    slowdown_pm: int = 1_000


HEALTHY = Condition()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the member will say, and after how long."""

    status: int
    delay_s: float


@dataclass(slots=True)
class Counters:
    """Since the process started."""

    received: int = 0
    served: int = 0
    rejected: int = 0
    errors: int = 0
    health: int = 0
    work: int = 0
    work_failed: int = 0
    busy_s: float = 0.0


class Member:
    """A server. `admit` is the whole of it; time comes in as seconds on any monotonic clock."""

    def __init__(
        self, spec: MemberSpec, *, queue_ms: int, noise: NoiseSpec, seed: int, sites: tuple[str, ...] = ()
    ) -> None:
        self.spec = spec
        self.condition = HEALTHY
        self.counters = Counters()
        self._noise = noise
        self._rng = random.Random(f"{seed}/{spec.id}")
        self._service_s = 1.0 / spec.capacity_rps
        self._queue_s = queue_ms / 1000
        self._busy_until_s = 0.0
        self._next_pause_s: float | None = None
        self._sites = sites or (spec.site,)
        self._seed = seed
        self._stall: tuple[int, str] = (-1, "")

    def wait_s(self, now_s: float) -> float:
        """How long a request that arrives now waits before its work begins."""
        return max(0.0, self._busy_until_s - now_s)

    def admit(self, request: Request, now_s: float) -> Answer:
        """Take one request and say what becomes of it."""
        counters, condition = self.counters, self.condition
        if request is Request.HEALTH:
            counters.health += 1
        else:
            counters.received += 1
        counters.work += request is Request.WORK
        added_s = condition.added_ms / 1000 + self._spike_s() + max(self._pause_left_s(now_s), self._stall_left_s(now_s))
        error_pm = condition.health_error_pm if request is Request.HEALTH else condition.work_error_pm
        if self._draw(error_pm + self._noise.error_pm):
            counters.errors += 1
            counters.work_failed += request is Request.WORK
            return Answer(500, added_s)
        wait_s = self.wait_s(now_s)
        if request is Request.HEALTH:
            return Answer(200, wait_s + added_s)
        if wait_s > self._queue_s:
            counters.rejected += 1
            counters.work_failed += request is Request.WORK
            return Answer(503, added_s)
        work_s = WORK_SHARE[request] * self._service_s * condition.slowdown_pm / 1000
        self._busy_until_s = now_s + wait_s + work_s
        counters.served += 1
        counters.busy_s += work_s
        return Answer(200, wait_s + work_s + added_s)

    def forget_queue(self) -> None:
        """A restarted server has an empty queue."""
        self._busy_until_s = 0.0

    def _draw(self, chance_pm: int) -> bool:
        return chance_pm > 0 and self._rng.random() * 1000 < chance_pm

    def _spike_s(self) -> float:
        return self._noise.spike_ms / 1000 if self._draw(self._noise.spike_pm) else 0.0

    def _pause_left_s(self, now_s: float) -> float:
        """How much of a pause is left. Pauses come at exponential intervals and stop everything the member does."""
        noise = self._noise
        if noise.pause_every_s <= 0:
            return 0.0
        if self._next_pause_s is None:
            self._next_pause_s = now_s + self._rng.expovariate(1 / noise.pause_every_s)
        while now_s >= self._next_pause_s + noise.pause_ms / 1000:
            self._next_pause_s += noise.pause_ms / 1000 + self._rng.expovariate(1 / noise.pause_every_s)
        return max(0.0, self._next_pause_s + noise.pause_ms / 1000 - now_s) if now_s >= self._next_pause_s else 0.0

    def _stall_left_s(self, now_s: float) -> float:
        """How much of the pool's stall is left. Every process draws the same site for the same turn of the machine's clock."""
        every_s = self._noise.stall_every_s
        if every_s <= 0:
            return 0.0
        turn = int(now_s // every_s)
        if self._stall[0] != turn:
            self._stall = (turn, random.Random(f"{self._seed}/stall/{turn}").choice(self._sites))
        return max(0.0, turn * every_s + self._noise.stall_ms / 1000 - now_s) if self._stall[1] == self.spec.site else 0.0
