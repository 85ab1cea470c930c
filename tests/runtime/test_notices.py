"""A receiver that is down hears it later: bounded, in order, the same delivery each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from core.playbook import three_sites
from siteshift.adapters.memory.clock import ManualClock
from siteshift.adapters.memory.notify import MemoryNotifier
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.core.messages.commands import Tell
from siteshift.core.model.notice import AlertSeverity, AlertState
from siteshift.core.model.units import SiteId
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable
from siteshift.ports import Notifier
from siteshift.runtime.equipment import Addressee, Equipment
from siteshift.runtime.limits import Limits
from siteshift.runtime.metrics import Told
from siteshift.runtime.notices import AMBIGUOUS_TRIES, LONGEST_WAIT_S, RETRY_FOR_S, Notices

DEADLINE_S = 30
FIRING = Tell(severity=AlertSeverity.CRITICAL, code="SITE_DOWN", text="four of four refuse", site=SiteId("pangyo"))
RESOLVED = Tell(
    severity=AlertSeverity.CRITICAL, code="SITE_DOWN", text="no longer", site=SiteId("pangyo"), state=AlertState.RESOLVED
)


@dataclass
class Telling:
    """`Notices` whose waits take no time: siteshift time goes on by as much."""

    notifier: Notifier
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_700_000_000_000))
    results: list[Told] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    slept_s: list[float] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    notices: Notices = field(init=False)

    def __post_init__(self) -> None:
        oncall = Addressee(id="oncall", least=AlertSeverity.INFO, notifier=self.notifier)
        self.notices = Notices(
            clock=self.clock,
            equipment=Equipment(setup=three_sites(), notifiers=(oncall,), limits=self.limits),
            on_error=lambda _, error: self.errors.append(error),
            on_told=lambda _, done: self.results.append(done),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)

    async def until(self, count: int) -> None:
        """Work until so many notices have ended, well or not."""
        task = asyncio.create_task(self.notices.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                while len([result for result in self.results if result is not Told.RETRIED]) < count:  # noqa: ASYNC110 (the world, not a task, makes it true)
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@dataclass
class Failing(MemoryNotifier):
    """Fails so many times, then takes it."""

    def __init__(self, kind: type[AdapterError], times: int) -> None:
        super().__init__()
        self.left = times
        self.error = kind("down", system="webhook", operation="notify")

    async def notify(self, notice: object, *, at_ms: int, deadline_ms: int) -> None:
        self.failure = self.error if self.left else None
        self.left -= bool(self.left)
        await super().notify(notice, at_ms=at_ms, deadline_ms=deadline_ms)  # type: ignore[arg-type]


async def test_a_receiver_that_is_down_hears_it_when_it_is_back_and_in_order() -> None:
    telling = Telling(Failing(Retryable, times=20))
    telling.notices.take(FIRING)
    telling.notices.take(RESOLVED)
    await telling.until(2)
    assert telling.results == [Told.RETRIED, Told.OK, Told.OK], "that it is down is counted at once, and once"
    assert isinstance(telling.notifier, MemoryNotifier)
    assert [message.notice.state for message in telling.notifier.sent] == [AlertState.FIRING, AlertState.RESOLVED]
    assert len(telling.errors) == 1, "its being down is logged once"
    assert max(telling.slept_s) <= LONGEST_WAIT_S + 1
    assert telling.slept_s[0] < 3 < telling.slept_s[-1], "ever less often"


async def test_a_receiver_that_stays_away_is_given_up_after_an_hour_and_counted() -> None:
    telling = Telling(Failing(Retryable, times=10_000))
    telling.notices.take(FIRING)
    await telling.until(1)
    assert telling.results == [Told.RETRIED, Told.FAILED]
    assert RETRY_FOR_S <= sum(telling.slept_s) < RETRY_FOR_S + 2 * LONGEST_WAIT_S


@pytest.mark.parametrize(("kind", "tries"), [(Permanent, 1), (Ambiguous, AMBIGUOUS_TRIES)])
async def test_what_is_refused_is_said_once_and_what_may_have_arrived_a_few_times(kind: type[AdapterError], tries: int) -> None:
    failing = Failing(kind, times=10_000)
    telling = Telling(failing)
    telling.notices.take(FIRING)
    await telling.until(1)
    assert telling.results[-1] is Told.FAILED
    assert failing.asked == tries


async def test_what_waits_behind_a_receiver_that_is_down_is_bounded() -> None:
    failing = Failing(Retryable, times=10_000)
    telling = Telling(failing, limits=Limits(notify_queue=3))
    for _ in range(100):
        telling.notices.take(FIRING)
    assert telling.results.count(Told.FAILED) == 97


@asynccontextmanager
async def receiver(bodies: list[dict[str, object]], statuses: list[int]) -> AsyncIterator[str]:
    """A real HTTP server that answers with one status after the other, then 204."""

    async def answer(request: web.Request) -> web.Response:
        bodies.append({**await request.json(), "header": request.headers["Idempotency-Key"]})
        return web.Response(status=statuses.pop(0) if statuses else 204)

    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def test_every_attempt_at_a_real_webhook_carries_the_same_delivery() -> None:
    bodies: list[dict[str, object]] = []
    async with receiver(bodies, [503, 429, 502]) as url:
        telling = Telling(WebhookNotifier(url, node="n"))
        telling.notices.take(FIRING)
        telling.notices.take(RESOLVED)
        await telling.until(2)
    assert [body["state"] for body in bodies] == ["firing"] * 4 + ["resolved"]
    first, *again, last = bodies
    assert all(body == first for body in again)
    assert first["delivery"] == first["header"] != last["delivery"]
    assert first["key"] == last["key"]
