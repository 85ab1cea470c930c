"""Tells people, through every notifier: side by side, in order for one. One that fails or hangs costs the others nothing.

A receiver that is down is asked again, ever less often, for `RETRY_FOR_S`; what may have been delivered is said
`AMBIGUOUS_TRIES` times at most, under the same delivery id. What waits behind it keeps its order: *resolved* never overtakes
*firing*.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from siteshift.core.messages.commands import Tell
from siteshift.errors import Ambiguous, Retryable
from siteshift.ports import Clock
from siteshift.runtime.equipment import Addressee, Equipment
from siteshift.runtime.metrics import Told

NOTIFY_DEADLINE_MS = 5_000
RETRY_FOR_S = 3_600
"""How long a receiver that is down is asked again. A condition is told once, so a restart or an upgrade of a gateway must not
lose it; after an hour `siteshift status` is the better source."""
AMBIGUOUS_TRIES = 3
"""Of a telling whose end is not known. A pager that knows our key opens one incident however often it hears; mail does not."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1, 60
"""Between two tries: doubled each time, with jitter, up to this."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is to be told, and since when."""

    tell: Tell
    at_ms: int


@dataclass(slots=True, kw_only=True)
class Notices:
    """What waits to be told, by notifier and bounded: beyond the limit the oldest of the least severe gives way, for the newest
    says most. What gives way counts as failed. What waits for a notifier that a reload takes away is not told."""

    clock: Clock
    equipment: Equipment
    on_error: Callable[[str, BaseException], None]
    on_told: Callable[[str, Told], None]
    """The notifier's id, and how the telling went."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits between two tries, in seconds."""
    _waiting: dict[str, deque[Waiting]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, tell: Tell) -> None:
        """Let every notifier that wants such grave notices have it. Never blocks."""
        for addressee in self.equipment.notifiers:
            if tell.severity.rank >= addressee.least.rank:
                self._put(addressee.id, Waiting(tell, self.clock.now_ms()))
        self._news.set()

    def _put(self, name: str, waiting: Waiting) -> None:
        tells = self._waiting.setdefault(name, deque())
        tells.append(waiting)
        while len(tells) > self.equipment.limits.notify_queue:
            tells.remove(min(tells, key=lambda entry: entry.tell.severity.rank))
            self.on_told(name, Told.FAILED)

    async def run(self) -> None:
        """Tell until cancelled."""
        busy: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                names = {addressee.id for addressee in self.equipment.notifiers}
                self._waiting = {name: tells for name, tells in self._waiting.items() if name in names and tells}
                for name in self._waiting:
                    if name not in busy or busy[name].done():
                        busy[name] = group.create_task(self._tell_next(name), name=f"notifier {name}")
                await self._news.wait()
                self._news.clear()

    async def _tell_next(self, name: str) -> None:
        await self._notify(name, self._waiting[name].popleft())
        self._news.set()

    async def _notify(self, name: str, waiting: Waiting) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Retryable, Ambiguous)),
            stop=self._is_given_up(waiting),
            wait=wait_exponential_jitter(initial=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            before_sleep=partial(self._say_again, name),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    addressee = self._addressee(name)
                    if addressee is None:
                        return
                    await addressee.notifier.notify(waiting.tell, at_ms=waiting.at_ms, deadline_ms=NOTIFY_DEADLINE_MS)
        except Exception as error:
            self.on_told(name, Told.FAILED)
            self.on_error("notifier", error)
        else:
            self.on_told(name, Told.OK)

    def _addressee(self, name: str) -> Addressee | None:
        """The notifier as it is now: a reload may have replaced it, or taken it away."""
        return next((entry for entry in self.equipment.notifiers if entry.id == name), None)

    def _is_given_up(self, waiting: Waiting) -> Callable[[RetryCallState], bool]:
        unclear = 0

        def is_given_up(state: RetryCallState) -> bool:
            nonlocal unclear
            unclear += state.outcome is not None and isinstance(state.outcome.exception(), Ambiguous)
            return unclear >= AMBIGUOUS_TRIES or self.clock.now_ms() - waiting.at_ms >= RETRY_FOR_S * 1_000

        return is_given_up

    def _say_again(self, name: str, state: RetryCallState) -> None:
        """The first failure of a telling is counted and logged; those after it say nothing new."""
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None and state.attempt_number == 1:
            self.on_told(name, Told.RETRIED)
            self.on_error("notifier", error)
