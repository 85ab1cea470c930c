"""The one birthplace of tasks, and the one place where they end.

Every task has a name, a policy for its failure and a place in the order of stopping. A critical task that ends, however
it ends, stops the whole process in order: a half-alive controller is worse than one that systemd starts again. Others
are started again after a pause that doubles, and every failure is told to the listener (counted, logged), never
swallowed.

Stopping goes stage by stage (`StopStage`): the tasks of a stage are cancelled together and awaited, then its closers
run, then the next stage. The tasks of a stage, and then its closers, get at most the stage's deadline; who does not
obey is named, left behind, and the order goes on, so that one stuck task costs nobody else the time to stop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum, StrEnum

TaskFunction = Callable[[], Coroutine[object, object, object]]
Closer = Callable[[], Awaitable[object]]

STAGE_DEADLINE_MS = 3_000
"""Six stages, tasks and closers: 36 s if everything is stuck, within the unit's TimeoutStopSec of 45 s."""


class StopStage(IntEnum):
    """Who stops when: first no new requests, then no new evidence, ..., and last those who watch and remember."""

    INTAKE = 0
    SENSING = 1
    DECIDING = 2
    ACTING = 3
    REMEMBERING = 4
    WATCHING = 5


class WhenEnded(StrEnum):
    """What the end of a task means. ``once``: returning is its purpose, failing is reported."""

    STOP_PROCESS = "stop_process"
    RESTART = "restart"
    ONCE = "once"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How a task's end is answered.

    ``pause_ms`` doubles with each failure up to ``pause_max_ms`` (30 s: a broken notifier must not fill the log) and is
    forgotten after ``healthy_ms`` without one.
    """

    when_ended: WhenEnded = WhenEnded.RESTART
    pause_ms: int = 100
    pause_max_ms: int = 30_000
    healthy_ms: int = 60_000


CRITICAL = RestartPolicy(when_ended=WhenEnded.STOP_PROCESS)
RESTARTED = RestartPolicy()
ONCE = RestartPolicy(when_ended=WhenEnded.ONCE)


class TaskChange(StrEnum):
    """What the listener is told."""

    STARTED = "started"
    FAILED = "failed"
    RETURNED = "returned"
    RESTARTED = "restarted"
    STOPPED = "stopped"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One change in the life of a task. ``error`` is set for FAILED, ``pause_ms`` for RESTARTED."""

    task: str
    change: TaskChange
    error: BaseException | None = None
    pause_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """How the process ended. ``failed`` is the critical task that caused it; ``stuck`` did not stop in time."""

    reason: str
    failed: str | None = None
    error: BaseException | None = None
    stuck: tuple[str, ...] = ()


TaskListener = Callable[[TaskEvent], None]


def _ignore(event: TaskEvent) -> None:
    """The listener of whoever does not care."""
    del event


class SupervisedTask:
    """A task under supervision. Made by `Supervisor.start`."""

    def __init__(self, name: str, stage: StopStage, policy: RestartPolicy, run: TaskFunction) -> None:
        self.name = name
        self.stage = stage
        self.policy = policy
        self.run = run
        self.failures = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def is_done(self) -> bool:
        return self.task is not None and self.task.done()

    def cancel(self) -> None:
        """Ask this task alone to end; it is not started again."""
        if self.task is not None:
            self.task.cancel()

    async def wait(self) -> None:
        """Until it ended for good. Never raises the task's own error: the listener has it."""
        if self.task is not None:
            await asyncio.wait({self.task})


class Supervisor:
    """Starts, watches and stops every task of the process. One per process; used on one loop."""

    def __init__(self, listener: TaskListener = _ignore, *, stage_deadline_ms: int = STAGE_DEADLINE_MS) -> None:
        self._listener = listener
        self._stage_deadline_s = stage_deadline_ms / 1000
        self._tasks: dict[str, SupervisedTask] = {}
        self._closers: dict[StopStage, list[tuple[str, Closer]]] = {stage: [] for stage in StopStage}
        self._on_stopping: list[Callable[[str], None]] = []
        self._asked = asyncio.Event()
        self._impatient = asyncio.Event()
        self._reason = ""
        self._failed: SupervisedTask | None = None
        self._error: BaseException | None = None
        self._stage: StopStage | None = None
        self._stuck: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks alive now, in the order they were started."""
        return tuple(self._tasks)

    def start(
        self,
        name: str,
        run: TaskFunction,
        *,
        restart: RestartPolicy = RESTARTED,
        stage: StopStage = StopStage.SENSING,
    ) -> SupervisedTask:
        """Start a task. Raises `ValueError` for a name in use, `RuntimeError` when its stage was stopped already."""
        if name in self._tasks:
            raise ValueError(f"a task named {name!r} is running already")
        if self._stage is not None and stage <= self._stage:
            raise RuntimeError(f"cannot start {name!r}: {stage.name} is stopped")
        entry = SupervisedTask(name, stage, restart, run)
        self._tasks[name] = entry
        entry.task = asyncio.get_running_loop().create_task(self._live(entry), name=name)
        entry.task.add_done_callback(lambda _: self._forget(entry))
        return entry

    def at_stop(self, stage: StopStage, name: str, closer: Closer) -> None:
        """Run ``closer`` after the tasks of ``stage`` ended; within a stage the last one registered runs first."""
        self._closers[stage].append((name, closer))

    def when_stopping(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` with the reason the moment a stop is asked for (to tell systemd, to turn readiness off)."""
        self._on_stopping.append(callback)

    def request_stop(self, reason: str) -> None:
        """Ask for an orderly stop. Asked again while stopping, the rest of the deadline is given up."""
        if self._asked.is_set():
            self._impatient.set()
            return
        self._reason = reason
        self._asked.set()
        for callback in self._on_stopping:
            callback(reason)

    def on_signal(self, number: signal.Signals, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop when the signal comes (SIGHUP: reload)."""
        asyncio.get_running_loop().add_signal_handler(number, callback)

    def stop_on_signals(self, *numbers: signal.Signals) -> None:
        """Stop in order on these signals (default SIGTERM and SIGINT); a second one makes it impatient."""
        for number in numbers or (signal.SIGTERM, signal.SIGINT):
            self.on_signal(number, lambda number=number: self.request_stop(number.name))  # type: ignore[misc]  # a default binds the loop's variable

    async def run(self) -> StopReport:
        """Wait until asked to stop or until a critical task ended, then stop everything in order.

        Cancelled itself, it still stops everything before it gives way.
        """
        try:
            await self._asked.wait()
        except asyncio.CancelledError:
            if not self._asked.is_set():
                self.request_stop("cancelled")
            await self._stop_all()
            raise
        await self._stop_all()
        return StopReport(
            reason=self._reason,
            failed=self._failed.name if self._failed else None,
            error=self._error,
            stuck=tuple(self._stuck),
        )

    # ---- the life of one task ---------------------------------------------------------------------------------------

    async def _live(self, entry: SupervisedTask) -> None:
        self._tell(entry, TaskChange.STARTED)
        loop = asyncio.get_running_loop()
        pause_ms = entry.policy.pause_ms
        while True:
            began = loop.time()
            error = await self._once(entry)
            if entry.policy.when_ended is WhenEnded.ONCE or self._was_cancelled():
                return
            if entry.policy.when_ended is WhenEnded.STOP_PROCESS:
                self._give_up(entry, error)
                return
            if (loop.time() - began) * 1000 >= entry.policy.healthy_ms:
                pause_ms = entry.policy.pause_ms
            await asyncio.sleep(pause_ms / 1000)
            self._tell(entry, TaskChange.RESTARTED, pause_ms=pause_ms)
            pause_ms = min(pause_ms * 2, entry.policy.pause_max_ms)

    async def _once(self, entry: SupervisedTask) -> BaseException | None:
        """One run of the task; its error, told already. Cancelling the supervised task goes through."""
        try:
            await entry.run()
        except asyncio.CancelledError as error:
            if self._was_cancelled():
                self._tell(entry, TaskChange.STOPPED)
                raise
            return self._count(entry, error)  # something inside was cancelled and nobody caught it
        except Exception as error:
            return self._count(entry, error)
        self._tell(entry, TaskChange.RETURNED)
        return None

    @staticmethod
    def _was_cancelled() -> bool:
        """Whether somebody asked this task to end, even if the task function swallowed it."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _count(self, entry: SupervisedTask, error: BaseException) -> BaseException:
        entry.failures += 1
        self._tell(entry, TaskChange.FAILED, error=error)
        return error

    def _give_up(self, entry: SupervisedTask, error: BaseException | None) -> None:
        if self._asked.is_set():
            return
        self._failed = entry
        self._error = error
        how = f"failed: {error!r}" if error else "returned"
        self.request_stop(f"critical task {entry.name} {how}")

    def _forget(self, entry: SupervisedTask) -> None:
        if self._tasks.get(entry.name) is entry:
            del self._tasks[entry.name]
        if entry.task is not None and not entry.task.cancelled():
            entry.task.exception()  # BaseException of a task (SystemExit) is on record; do not warn at exit

    def _tell(
        self, entry: SupervisedTask, change: TaskChange, *, error: BaseException | None = None, pause_ms: int = 0
    ) -> None:
        self._listener(TaskEvent(task=entry.name, change=change, error=error, pause_ms=pause_ms))

    # ---- stopping ---------------------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        for stage in StopStage:
            self._stage = stage
            tasks = {entry.task: entry.name for entry in self._tasks.values() if entry.stage is stage and entry.task}
            for task in tasks:
                task.cancel()
            await self._await_end(tasks)
            closing_ends_at = asyncio.get_running_loop().time() + self._stage_deadline_s
            for name, closer in reversed(self._closers[stage]):
                await self._close(name, closer, closing_ends_at)

    async def _close(self, name: str, closer: Closer, ends_at: float) -> None:
        async def close() -> None:
            await closer()

        task = asyncio.get_running_loop().create_task(close(), name=f"close {name}")
        await self._await_end({task: name}, ends_at)
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            self._listener(TaskEvent(task=name, change=TaskChange.FAILED, error=error))

    async def _await_end(self, tasks: dict[asyncio.Task[None], str], ends_at: float | None = None) -> None:
        """Until all ended, the deadline came or somebody became impatient; the rest is named as stuck."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._stage_deadline_s if ends_at is None else ends_at
        pending = {task for task in tasks if not task.done()}
        hurry: asyncio.Task[object] = loop.create_task(self._impatient.wait(), name="impatience")
        while pending and not hurry.done() and loop.time() < ends_at:
            waiting: set[asyncio.Task[object]] = {*pending, hurry}
            await asyncio.wait(waiting, timeout=ends_at - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
        hurry.cancel()
        for task in pending:
            self._stuck.append(tasks[task])
            self._listener(TaskEvent(task=tasks[task], change=TaskChange.STUCK))
