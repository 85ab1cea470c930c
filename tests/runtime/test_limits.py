"""What happens at each bound of a running node, and that each call has the deadline its configuration gives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.playbook import PLANE, three_sites
from siteshift.adapters.memory.ledger import MemoryLedger
from siteshift.adapters.memory.notify import MemoryNotifier
from siteshift.core.messages.commands import AskStandby, Enact, ReadPlane, Tell
from siteshift.core.messages.events import Event, StoreChanged, Ticked
from siteshift.core.model.codes import EnactOutcome, StandbyPhase
from siteshift.core.model.notice import AlertSeverity, Notice
from siteshift.core.model.steering import EnactResult, ReadBack, Steering
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, EnactorId, TargetId
from siteshift.core.state.controller_state import initial_state
from siteshift.errors import Retryable
from siteshift.ports import PassiveSample
from siteshift.runtime.clock import SystemClock
from siteshift.runtime.equipment import Addressee, Equipment, Evidenced
from siteshift.runtime.evidence import Evidence
from siteshift.runtime.executor import Executor
from siteshift.runtime.limits import Limits
from siteshift.runtime.loop import SLICE_US, ControlLoop
from siteshift.runtime.metrics import Told

CLOCK = SystemClock()
DEADLINE_S = 30


@dataclass
class Deadlines:
    """A data plane and a standby driver that remember how long they were given."""

    given_ms: list[int] = field(default_factory=list)

    @property
    def id(self) -> EnactorId:
        return PLANE

    async def enact(self, steering: Steering, *, deadline_ms: int) -> EnactResult:
        self.given_ms.append(deadline_ms)
        return EnactResult(enactor=PLANE, generation=steering.generation, outcome=EnactOutcome.APPLIED, at_ms=0)

    async def read_back(self, *, deadline_ms: int) -> ReadBack:
        self.given_ms.append(deadline_ms)
        return ReadBack(enactor=PLANE, at_ms=0, generation=1, shares_bp={})

    async def close(self) -> None: ...


@dataclass
class SlowDriver:
    given_ms: list[int] = field(default_factory=list)

    @property
    def id(self) -> DriverId:
        return DriverId("hook")

    async def activate(self, member: Member, *, deadline_ms: int) -> None:
        self.given_ms.append(deadline_ms)

    async def retire(self, member: Member, *, deadline_ms: int) -> None:
        self.given_ms.append(deadline_ms)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:
        self.given_ms.append(deadline_ms)
        return StandbyPhase.READY


def executor_of(equipment: Equipment, events: list[Event], told: list[tuple[str, Told]] | None = None) -> Executor:
    return Executor(
        clock=CLOCK,
        ledger=MemoryLedger(),
        equipment=equipment,
        offer=events.append,
        answered=lambda _: None,
        watch=lambda _: None,
        read_meters=lambda _: None,
        state_now=dict,
        on_error=lambda _what, _error: None,
        on_told=lambda notifier, result: told.append((notifier, result)) if told is not None else None,
        on_written=lambda _rows, _sequence, _took_ms: None,
    )


async def working(executor: Executor, *, until: Sequence[object], count: int) -> None:
    """Let the executor work until so many things have come."""
    workers = (
        executor.remembering.run(),
        executor.run_plane(PLANE),
        executor.standbys.run(),
        executor.notices.run(),
    )
    tasks = [asyncio.create_task(worker) for worker in workers]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(until) < count:  # noqa: ASYNC110 (the world, not a task, makes it true)
                await asyncio.sleep(0.005)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_data_planes_and_drivers_get_the_deadlines_of_the_configuration() -> None:
    plane, driver, events = Deadlines(), SlowDriver(), []  # type: Deadlines, SlowDriver, list[Event]
    equipment = Equipment(
        setup=three_sites(),
        enactors={PLANE: plane},
        drivers={driver.id: driver},
        driver_timeout_ms={driver.id: 1_234},
        limits=Limits(enact_timeout_ms=4_321),
    )
    standby = next(member.id for member in equipment.members.values() if member.standby_driver)
    executor = executor_of(equipment, events)
    state = initial_state(now_ms=CLOCK.now_ms())
    commands = (
        Enact(enactor=PLANE, steering=state.steering),
        ReadPlane(enactor=PLANE),
        AskStandby(member=standby),
    )
    executor.carry_out(commands, state)
    await working(executor, until=events, count=3)
    assert plane.given_ms == [4_321, 4_321]
    assert driver.given_ms == [1_234]


async def test_beyond_the_limit_the_oldest_of_the_least_severe_notices_gives_way() -> None:
    notifier = MemoryNotifier()
    oncall = Addressee(id="oncall", least=AlertSeverity.INFO, notifier=notifier)
    equipment = Equipment(setup=three_sites(), notifiers=(oncall,), limits=Limits(notify_queue=3))
    results: list[tuple[str, Told]] = []
    executor = executor_of(equipment, [], results)
    told = [("a", AlertSeverity.INFO), ("b", AlertSeverity.CRITICAL), ("c", AlertSeverity.INFO), ("d", AlertSeverity.WARNING)]
    told += [("e", AlertSeverity.CRITICAL)]
    commands = tuple(Tell(severity=severity, code=code, text=code) for code, severity in told)
    executor.carry_out(commands, initial_state(now_ms=CLOCK.now_ms()))
    assert results == [("oncall", Told.FAILED)] * 2
    await working(executor, until=notifier.sent, count=3)
    assert [message.notice.code for message in notifier.sent] == ["b", "d", "e"]


@dataclass
class Hanging:
    """A notifier that never ends before its deadline."""

    asked: list[str] = field(default_factory=list)

    async def notify(self, notice: Notice, *, at_ms: int, deadline_ms: int) -> None:
        self.asked.append(notice.code)
        await asyncio.Event().wait()

    async def close(self) -> None: ...


async def test_a_notifier_that_hangs_keeps_nothing_from_the_others() -> None:
    """Each message waited for the one before to run into its deadline at somebody else: five seconds a message."""
    hanging, mail = Hanging(), MemoryNotifier()
    both = (
        Addressee(id="pager", least=AlertSeverity.INFO, notifier=hanging),
        Addressee(id="mail", least=AlertSeverity.WARNING, notifier=mail),
    )
    executor = executor_of(Equipment(setup=three_sites(), notifiers=both), [])
    told = [("a", AlertSeverity.CRITICAL), ("b", AlertSeverity.INFO), ("c", AlertSeverity.WARNING)]
    commands = tuple(Tell(severity=severity, code=code, text=code) for code, severity in told)
    executor.carry_out(commands, initial_state(now_ms=CLOCK.now_ms()))
    await working(executor, until=mail.sent, count=2)
    assert [message.notice.code for message in mail.sent] == ["a", "c"]
    assert hanging.asked == ["a"], "one at a time for each"


async def test_what_waits_for_a_notifier_outlives_a_reload_that_keeps_its_name() -> None:
    hanging, mail = Hanging(), MemoryNotifier()
    before = Equipment(setup=three_sites(), notifiers=(Addressee(id="oncall", least=AlertSeverity.INFO, notifier=hanging),))
    executor = executor_of(before, [])
    tell = Tell(severity=AlertSeverity.CRITICAL, code="a", text="a")
    executor.carry_out((tell,), initial_state(now_ms=CLOCK.now_ms()))
    executor.refit(replace(before, notifiers=(Addressee(id="oncall", least=AlertSeverity.INFO, notifier=mail),)))
    await working(executor, until=mail.sent, count=1)
    assert hanging.asked == []


def test_a_full_queue_drops_what_the_next_one_replaces_and_nothing_else() -> None:
    setup = three_sites()
    loop = ControlLoop(
        clock=CLOCK, setup=setup, state=initial_state(now_ms=0), carry_out=lambda _c, _s: None, queue_limit=5
    )
    for at_ms in range(20):
        loop.offer(Ticked(at_ms=at_ms))
    assert loop.dropped == 15
    loop.offer(StoreChanged(at_ms=0, is_usable=False, detail="full"))
    assert loop.dropped == 15


async def test_steps_that_take_long_let_others_have_their_turn_after_each() -> None:
    """A flood of changes held probes and answers up for as long as 64 steps took, whatever each of them cost."""
    loop = ControlLoop(clock=CLOCK, setup=three_sites(), state=initial_state(now_ms=0), carry_out=lambda _c, _s: None)
    loop.watchers.append(lambda _stepped: time.sleep(2 * SLICE_US / 1_000_000))
    for at_ms in range(10):
        loop.offer(Ticked(at_ms=at_ms))
    seen: list[int] = []
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while loop.steps < 10:
                await asyncio.sleep(0)
                seen.append(loop.steps)
    finally:
        task.cancel()
    assert set(range(1, 11)) <= set(seen), "no two steps in one turn"


@dataclass
class Source:
    """Evidence that can be made to fail."""

    fails: int = 0
    asked: int = 0

    async def sample(self, *, deadline_ms: int) -> Sequence[PassiveSample]:
        self.asked += 1
        if self.fails:
            raise Retryable("gone", system="source", operation="sample")
        return [PassiveSample(target=TargetId("pool:web/pangyo"), at_ms=self.asked, requests=10, errors=1)]

    async def close(self) -> None: ...


async def test_a_source_that_fails_hands_on_nothing_is_told_once_and_others_go_on() -> None:
    good, bad = Source(), Source(fails=1)
    taken: list[PassiveSample] = []
    errors: list[str] = []
    evidence = Evidence(
        clock=CLOCK,
        take=taken.extend,
        on_error=lambda what, _: errors.append(what),
        sources=(Evidenced(id="good", source=good, every_ms=10), Evidenced(id="bad", source=bad, every_ms=10)),
    )
    task = asyncio.create_task(evidence.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while good.asked < 10 or bad.asked < 10:  # noqa: ASYNC110 (the world, not a task, makes it true)
                await asyncio.sleep(0.005)
            assert errors == ["evidence bad"]
            assert {sample.target for sample in taken} == {"pool:web/pangyo"}
            late = Source()
            evidence.configure((Evidenced(id="late", source=late, every_ms=10),))
            while late.asked < 3:  # noqa: ASYNC110 (the world, not a task, makes it true)
                await asyncio.sleep(0.005)
            asked = good.asked
            while late.asked < 10:  # noqa: ASYNC110 (the world, not a task, makes it true)
                await asyncio.sleep(0.005)
            assert good.asked == asked
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
