"""The one consumer that runs the core. No await stands between taking an event and handing out its commands.

The queue is bounded (`ControlLoop.queue_limit`). At the bound, what a later event of its kind replaces anyway (reports, traffic,
ticks) is dropped and counted; results and requests are never dropped: their senders are few and wait for an end.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from siteshift.core.controller import Decision, step
from siteshift.core.invariants import Violation, check
from siteshift.core.messages.commands import Command
from siteshift.core.messages.events import Event, Reloaded, ReportArrived, Ticked, TrafficMeasured
from siteshift.core.model.setup import Setup
from siteshift.core.state.controller_state import NEVER_MS, ControllerState
from siteshift.ports import Clock
from siteshift.runtime.limits import DEFAULT_LIMITS

LONGEST_SLEEP_MS = 1_000
SLICE_US = 300
"""Events are handled for so long, and the one that is under way then, before probes and answers have their turn. Most take
10 us, one that changes something takes 600: a count of events would bound nothing."""

_REPLACEABLE = (ReportArrived, TrafficMeasured, Ticked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A step that was decided and not yet taken."""

    event: Event
    before: ControllerState
    decision: Decision
    setup: Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One step, for whoever watches: recorder, metrics, subscribers."""

    event: Event
    before: ControllerState
    decision: Decision
    violations: tuple[Violation, ...] = ()


Watcher = Callable[[Stepped], None]
"""Called on the loop after every step; must be quick and must not raise."""


@dataclass(slots=True, kw_only=True)
class ControlLoop:
    """State, setup and queue of the running core."""

    clock: Clock
    setup: Setup
    state: ControllerState
    carry_out: Callable[[tuple[Command, ...], ControllerState], None]
    queue_limit: int = DEFAULT_LIMITS.event_queue
    watchers: list[Watcher] = field(default_factory=list)
    dropped: int = 0
    steps: int = 0
    last_step_ms: int = 0
    _queue: deque[Event] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: Event) -> None:
        """Take an event. Never blocks; see the module for what happens at the bound."""
        if len(self._queue) >= self.queue_limit and isinstance(event, _REPLACEABLE):
            self.dropped += 1
            return
        self._queue.append(event)
        self._news.set()

    def prepare_reload(self, setup: Setup) -> Prepared:
        """What taking another setup now would do; nothing is changed. Raises what the core raises at it (law 15).

        Valid until the next step: `commit` it before anything is awaited.
        """
        return self._prepared(Reloaded(at_ms=self.clock.now_ms(), digest=setup.digest), setup)

    def commit(self, prepared: Prepared) -> None:
        """Take a step that was prepared: its setup, its state, its commands. What waits in the queue is decided under them."""
        assert prepared.before is self.state, "something was decided since this was prepared"
        event, before, decision, setup = prepared.event, prepared.before, prepared.decision, prepared.setup
        self.setup, self.state = setup, decision.state
        self.last_step_ms = event.at_ms
        self.steps += 1
        violations = () if decision.is_idle else check(before, event, decision.state, decision.commands, setup)
        if decision.commands:
            self.carry_out(decision.commands, decision.state)
        stepped = Stepped(event=event, before=before, decision=decision, violations=violations)
        for watcher in self.watchers:
            watcher(stepped)
        self._news.set()

    async def run(self) -> None:
        """Consume until cancelled; wake for time alone when the state asks for it."""
        while True:
            ends_ns = time.perf_counter_ns() + SLICE_US * 1_000
            while self._queue and time.perf_counter_ns() < ends_ns:
                self._step(self._queue.popleft())
            if self._queue:
                await asyncio.sleep(0)
                continue
            self._news.clear()
            await self._sleep()

    async def _sleep(self) -> None:
        now_ms = self.clock.now_ms()
        wait_ms = min(LONGEST_SLEEP_MS, max(0, min(self.state.wake_at_ms, NEVER_MS) - now_ms))
        if wait_ms > 0:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._news.wait()
                return
            except TimeoutError:
                pass
        self._queue.append(Ticked(at_ms=self.clock.now_ms()))
        await asyncio.sleep(0)

    def _step(self, event: Event) -> None:
        """Stamp the event with now, step, hand out the commands."""
        self.commit(self._prepared(event, self.setup))

    def _prepared(self, event: Event, setup: Setup) -> Prepared:
        stamped = replace(event, at_ms=max(self.clock.now_ms(), self.last_step_ms))
        return Prepared(event=stamped, before=self.state, decision=step(self.state, stamped, setup), setup=setup)
