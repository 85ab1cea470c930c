"""Tells subscribers (the console, `top`, ``--wait``, the lab) what happens, as it happens.

Each subscriber has a bounded queue; one that does not keep up loses the oldest messages and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from siteshift.core.messages.commands import ActivateStandby, Answer, Enact, Record, RetireStandby, Tell
from siteshift.core.messages.events import EnactFinished, StandbyReported
from siteshift.ports import Clock
from siteshift.runtime.limits import DEFAULT_LIMITS
from siteshift.runtime.loop import Stepped

QUEUE_LIMIT = 1_000

Message = dict[str, Any]


@dataclass(slots=True, eq=False)
class Subscriber:
    """One listener's queue: iterate over it, and `aclose` it in the end."""

    leave: Callable[[Subscriber], None]
    queue: deque[Message] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: int = 0

    def put(self, message: Message) -> None:
        if len(self.queue) >= QUEUE_LIMIT:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(message)
        self.news.set()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> Message:
        while not self.queue:
            self.news.clear()
            await self.news.wait()
        if self.dropped:
            lost, self.dropped = self.dropped, 0
            first = self.queue[0]
            return {**first, "sequence": first["sequence"] - 1, "kind": "dropped", "data": {"messages": lost}}
        return self.queue.popleft()

    async def aclose(self) -> None:
        """Listen no more."""
        self.leave(self)


@dataclass(slots=True, kw_only=True)
class Broadcast:
    """All subscribers, and the number of the last message."""

    clock: Clock
    limit: int = DEFAULT_LIMITS.api_subscribers
    sequence: int = 0
    _subscribers: list[Subscriber] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether the next subscriber must be refused."""
        return len(self._subscribers) >= self.limit

    def stepped(self, stepped: Stepped) -> None:
        """Turn what a step did into messages."""
        if not self._subscribers:
            return
        event = stepped.event
        if isinstance(event, EnactFinished):
            result = event.result
            self.send(
                "enacted",
                {
                    "enactor": result.enactor,
                    "generation": result.generation,
                    "outcome": result.outcome.value,
                    "detail": result.detail,
                },
            )
        elif isinstance(event, StandbyReported):
            self.send("standby_report", {"member": event.member, "phase": event.phase.value})
        for command in stepped.decision.commands:
            match command:
                case Record(kind=kind, data=data):
                    self.send(kind, dict(data))
                case Tell():
                    self.send("notice", dict(command.document()))
                case Enact(enactor=enactor, steering=steering):
                    self.send("enact", {"enactor": enactor, "generation": steering.generation})
                case ActivateStandby(member=member):
                    self.send("standby_activate", {"member": member})
                case RetireStandby(member=member):
                    self.send("standby_retire", {"member": member})
                case Answer():
                    pass
                case _:
                    pass

    def send(self, kind: str, data: Message) -> None:
        """Give every subscriber one message."""
        self.sequence += 1
        message = {"sequence": self.sequence, "at_ms": self.clock.now_ms(), "kind": kind, "data": data}
        for subscriber in self._subscribers:
            subscriber.put(message)

    def subscribe(self) -> Subscriber:
        """Messages from now on. Whoever asks looks at `is_full` first."""
        subscriber = Subscriber(self._subscribers.remove)
        self._subscribers.append(subscriber)
        return subscriber
