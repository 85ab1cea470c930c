"""What was decided is durable before it is acted upon; and a commit whose end is unknown is read before it is repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from core.playbook import PLANE, three_sites
from siteshift.adapters.memory.ledger import MemoryLedger
from siteshift.core.messages.commands import ActivateStandby, Answer, Command, Enact, Record, Remember, Tell
from siteshift.core.messages.events import EnactFinished, Event, StandbyReported, StoreChanged
from siteshift.core.model.codes import EnactOutcome, Severity, StandbyPhase
from siteshift.core.model.units import MemberId
from siteshift.core.state.controller_state import ControllerState, initial_state
from siteshift.errors import Ambiguous, Retryable
from siteshift.runtime import remembering
from siteshift.runtime.clock import SystemClock
from siteshift.runtime.equipment import Equipment
from siteshift.runtime.executor import Executor
from siteshift.runtime.limits import Limits

CLOCK = SystemClock()
DEADLINE_S = 30
FULL = Retryable("database or disk is full", system="sqlite", operation="commit")
UNKNOWN = Ambiguous("no answer within 5000 ms", system="sqlite", operation="commit")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "STORE_RETRY_S", 0.01)


@dataclass
class World:
    """An executor over a memory ledger, and everything it said."""

    rows_limit: int = 2_000
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = Executor(
            clock=CLOCK,
            ledger=self.ledger,
            equipment=Equipment(setup=three_sites(), limits=Limits(journal_rows=self.rows_limit)),
            offer=self.events.append,
            answered=self.answers.append,
            watch=lambda _: None,
            read_meters=lambda _: None,
            state_now=lambda: {"is": "whole"},
            on_error=lambda what, _error: self.errors.append(what),
            on_told=lambda _notifier, _result: None,
            on_written=lambda _rows, _sequence, _took_ms: None,
        )

    def decide(self, generation: int, *more: Command) -> None:
        """One step that is to be remembered and written to the plane."""
        state = state_of(generation)
        record = Record(kind="decision", data={"generation": generation})
        enact = Enact(enactor=PLANE, steering=state.steering)
        self.executor.carry_out((Remember(generation=generation), record, enact, *more), state)

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.journal.entries]

    @property
    def generations(self) -> list[object]:
        return [entry.data["generation"] for entry in self.ledger.journal.entries if entry.kind == "decision"]

    @property
    def remembered(self) -> int:
        """The generation that a restart would begin with."""
        return int(json.loads(self.ledger.store.contents["controller"])["steering"]["generation"])

    @property
    def store_changes(self) -> list[bool]:
        return [event.is_usable for event in self.events if isinstance(event, StoreChanged)]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110 (the world, not a task, makes it true)
                await asyncio.sleep(0.002)


def state_of(generation: int) -> ControllerState:
    state = initial_state(now_ms=1)
    return replace(state, steering=replace(state.steering, generation=generation))


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """With the task that remembers."""
    task = asyncio.create_task(world.executor.remembering.run())
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_state_and_rows_of_a_step_are_one_commit() -> None:
    """Whatever of it fails, a restart never finds one without the other."""
    world = World()
    async with running(world):
        world.decide(1)
        await world.until(lambda: world.kinds)
        assert (world.remembered, world.generations) == (1, [1])
        world.ledger.journal.failure = FULL
        world.decide(2)
        await world.until(lambda: world.store_changes)
        assert (world.remembered, world.generations) == (1, [1])
        world.ledger.journal.failure = None
        await world.until(lambda: world.store_changes == [False, True])
        assert (world.remembered, world.generations) == (2, [1, 2])


async def test_what_could_not_be_remembered_is_neither_written_nor_started() -> None:
    world = World()
    world.ledger.failure = FULL
    async with running(world):
        world.decide(1, ActivateStandby(member=MemberId("web/gasan/g9"), deadline_ms=9))
        await world.until(lambda: len(world.events) == 3)
    ended = [event.result.outcome for event in world.events if isinstance(event, EnactFinished)]
    assert ended == [EnactOutcome.FAILED]
    assert [event.phase for event in world.events if isinstance(event, StandbyReported)] == [StandbyPhase.FAILED]


async def test_a_commit_that_happened_although_its_end_was_unknown_is_not_repeated() -> None:
    world = World()
    async with running(world):
        world.decide(1)
        await world.until(lambda: world.kinds)
        world.ledger.lost_answer = UNKNOWN
        world.decide(2)
        await world.until(lambda: world.store_changes)
        world.executor.note("input", {"heard": "meanwhile"})
        world.ledger.lost_answer = None
        await world.until(lambda: world.store_changes == [False, True])
    assert world.kinds == ["decision", "decision", "input"]
    assert world.remembered == 2


async def test_a_commit_whose_end_was_unknown_and_that_did_not_happen_is_done_again() -> None:
    world = World()
    async with running(world):
        world.decide(1)
        await world.until(lambda: world.kinds)
        world.ledger.failure = UNKNOWN
        world.decide(2)
        await world.until(lambda: world.store_changes)
        world.ledger.failure = None
        await world.until(lambda: world.store_changes == [False, True])
    assert world.generations == [1, 2]


async def test_a_node_stopped_in_the_middle_of_a_commit_writes_nothing_twice() -> None:
    world = World()
    world.ledger.lost_answer = UNKNOWN
    async with running(world):
        world.decide(1)
        await world.until(lambda: world.store_changes)
    world.ledger.lost_answer = None
    await world.executor.remembering.flush()
    assert (world.generations, world.remembered) == ([1], 1)


async def test_an_answer_waits_until_what_it_grants_is_on_the_disk() -> None:
    world = World()
    world.ledger.failure = FULL
    granted = Answer(asking="a1", severity=Severity.ALLOWED)
    async with running(world):
        world.decide(1, granted)
        await world.until(lambda: world.store_changes)
        assert not world.answers
        world.ledger.failure = None
        await world.until(lambda: world.answers)
        assert world.remembered == 1


async def test_a_long_loss_is_counted_said_and_put_on_record_with_the_state_behind_it() -> None:
    world = World(rows_limit=5)
    told: list[Tell] = []
    world.executor.remembering.tell = told.append
    async with running(world):
        world.ledger.failure = FULL
        world.decide(1)
        await world.until(lambda: world.store_changes)
        for n in range(100):
            world.executor.note("input", {"n": n})
        await world.until(lambda: world.executor.remembering.backlog.has_gap)
        assert len(world.executor.remembering.backlog) == 5
        world.ledger.failure = None
        await world.until(lambda: world.store_changes == [False, True])
        world.executor.note("input", {"n": 100})
        await world.until(lambda: world.kinds[-1] == "input")
    assert [(tell.code, tell.state.value) for tell in told] == [("RECORD_GAP", "firing"), ("RECORD_GAP", "resolved")], (
        "once, not at every row, and its end"
    )
    assert world.errors.count("journal") == 1
    assert world.kinds == ["decision", *["input"] * 4, "gap", "state", "input"]
    gap = world.ledger.journal.entries[5].data
    assert (gap["rows"], gap["kinds"]) == (96, {"input": 96})
    assert world.ledger.journal.entries[6].data == {"state": {"is": "whole"}}
