"""Tasks: born with a name, watched, started again, and stopped in the designed order."""

import asyncio
import os
import signal

import pytest

from siteshift.runtime.supervise import (
    CRITICAL,
    ONCE,
    RestartPolicy,
    StopStage,
    Supervisor,
    TaskChange,
    TaskEvent,
)

QUICK = RestartPolicy(pause_ms=1, pause_max_ms=4)
PATIENCE_S = 30


class Told:
    """The listener of the tests."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []

    def __call__(self, event: TaskEvent) -> None:
        self.events.append(event)

    def of(self, change: TaskChange) -> list[str]:
        return [event.task for event in self.events if event.change is change]


async def forever() -> None:
    await asyncio.Event().wait()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def finish(supervisor: Supervisor, reason: str = "test") -> object:
    supervisor.request_stop(reason)
    return await asyncio.wait_for(supervisor.run(), PATIENCE_S)


async def test_a_failed_task_is_started_again_with_growing_pauses_and_each_failure_is_told() -> None:
    told, runs = Told(), 0

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        if runs <= 5:
            raise OSError(f"run {runs}")
        await forever()

    supervisor = Supervisor(told)
    task = supervisor.start("fragile", fragile, restart=QUICK)
    await until(lambda: runs == 6)
    assert task.failures == 5
    assert [str(event.error) for event in told.events if event.change is TaskChange.FAILED][-1] == "run 5"
    pauses = [event.pause_ms for event in told.events if event.change is TaskChange.RESTARTED]
    assert pauses == [1, 2, 4, 4, 4]
    await finish(supervisor)
    assert told.of(TaskChange.STOPPED) == ["fragile"]


async def test_a_task_that_was_well_for_long_starts_over_with_the_short_pause() -> None:
    told, runs = Told(), 0

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        raise OSError

    supervisor = Supervisor(told)
    supervisor.start("fragile", fragile, restart=RestartPolicy(pause_ms=1, pause_max_ms=1000, healthy_ms=0))
    await until(lambda: runs >= 4)
    assert {event.pause_ms for event in told.events if event.change is TaskChange.RESTARTED} == {1}
    await finish(supervisor)


async def test_a_task_that_returns_though_it_should_not_is_started_again() -> None:
    told, runs = Told(), 0

    async def returns() -> None:
        nonlocal runs
        runs += 1

    supervisor = Supervisor(told)
    supervisor.start("returns", returns, restart=QUICK)
    await until(lambda: runs >= 3)
    await finish(supervisor)


@pytest.mark.parametrize("how", ["raises", "returns", "is cancelled from inside"])
async def test_the_end_of_a_critical_task_stops_the_process(how: str) -> None:
    async def critical() -> None:
        if how == "raises":
            raise RuntimeError("out of order")
        if how == "is cancelled from inside":
            raise asyncio.CancelledError

    told = Told()
    supervisor = Supervisor(told)
    supervisor.start("loop", critical, restart=CRITICAL)
    supervisor.start("other", forever)
    report = await asyncio.wait_for(supervisor.run(), PATIENCE_S)
    assert report.failed == "loop"
    assert "loop" in report.reason
    assert (report.error is None) == (how == "returns")
    assert told.of(TaskChange.STOPPED) == ["other"]
    assert supervisor.names == ()


async def test_one_shot_work_may_return_or_fail_and_is_not_repeated() -> None:
    told, runs = Told(), []

    async def good() -> None:
        runs.append("good")

    async def bad() -> None:
        runs.append("bad")
        raise OSError

    supervisor = Supervisor(told)
    tasks = [supervisor.start("good", good, restart=ONCE), supervisor.start("bad", bad, restart=ONCE)]
    for task in tasks:
        await asyncio.wait_for(task.wait(), PATIENCE_S)
    assert runs == ["good", "bad"]
    assert told.of(TaskChange.RETURNED) == ["good"]
    assert told.of(TaskChange.FAILED) == ["bad"]
    await until(lambda: supervisor.names == ())


async def test_a_name_is_used_once_at_a_time() -> None:
    supervisor = Supervisor()
    first = supervisor.start("prober", forever)
    with pytest.raises(ValueError, match="prober"):
        supervisor.start("prober", forever)
    first.cancel()
    await asyncio.wait_for(first.wait(), PATIENCE_S)
    await until(lambda: supervisor.names == ())
    supervisor.start("prober", forever)
    await finish(supervisor)


async def test_stages_stop_in_order_and_closers_follow_their_stage() -> None:
    order: list[str] = []

    def watched(name: str):
        async def run() -> None:
            try:
                await forever()
            finally:
                await asyncio.sleep(0)
                order.append(name)

        return run

    def closer(name: str):
        async def close() -> None:
            order.append(f"close {name}")

        return close

    supervisor = Supervisor()
    for stage in (StopStage.WATCHING, StopStage.ACTING, StopStage.INTAKE, StopStage.REMEMBERING, StopStage.DECIDING):
        supervisor.start(stage.name, watched(stage.name), stage=stage)
    supervisor.at_stop(StopStage.REMEMBERING, "database", closer("database"))
    supervisor.at_stop(StopStage.REMEMBERING, "journal", closer("journal"))
    supervisor.at_stop(StopStage.INTAKE, "sockets", closer("sockets"))
    await until(lambda: len(supervisor.names) == 5)
    await asyncio.sleep(0)
    await finish(supervisor)
    assert order == [
        "INTAKE",
        "close sockets",
        "DECIDING",
        "ACTING",
        "REMEMBERING",
        "close journal",
        "close database",
        "WATCHING",
    ]


async def test_an_act_in_flight_may_be_finished_while_stopping() -> None:
    finished = []

    async def act() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            finished.append("written and read back")
            raise

    supervisor = Supervisor()
    supervisor.start("act", act, stage=StopStage.ACTING)
    await asyncio.sleep(0)
    await finish(supervisor)
    assert finished == ["written and read back"]


async def test_a_task_that_does_not_stop_is_named_and_does_not_hold_up_the_others() -> None:
    told, release, closed = Told(), asyncio.Event(), []

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def close() -> None:
        closed.append("store")

    async def broken_close() -> None:
        raise OSError("no")

    supervisor = Supervisor(told, stage_deadline_ms=50)
    supervisor.start("stubborn", stubborn, stage=StopStage.INTAKE)
    supervisor.start("polite", forever, stage=StopStage.ACTING)
    supervisor.at_stop(StopStage.REMEMBERING, "store", close)
    supervisor.at_stop(StopStage.REMEMBERING, "socket", broken_close)
    await asyncio.sleep(0)
    report = await finish(supervisor)
    assert report.stuck == ("stubborn",)
    assert told.of(TaskChange.STUCK) == ["stubborn"]
    assert closed == ["store"]
    assert told.of(TaskChange.FAILED) == ["socket"]
    release.set()
    await until(lambda: supervisor.names == ())


async def test_a_second_request_makes_the_stop_impatient() -> None:
    release = asyncio.Event()

    async def slow() -> None:
        try:
            await forever()
        finally:
            await release.wait()

    supervisor = Supervisor(stage_deadline_ms=600_000)
    supervisor.start("slow", slow)
    await asyncio.sleep(0)
    supervisor.request_stop("SIGTERM")
    stopping = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0.01)
    supervisor.request_stop("SIGTERM again")
    report = await asyncio.wait_for(stopping, PATIENCE_S)
    assert (report.reason, report.stuck) == ("SIGTERM", ("slow",))
    release.set()
    await until(lambda: supervisor.names == ())


async def test_nothing_is_started_behind_a_stage_that_was_stopped() -> None:
    supervisor = Supervisor()
    refused: list[str] = []

    async def late() -> None:
        try:
            await forever()
        finally:
            try:
                supervisor.start("late probe", forever, stage=StopStage.SENSING)
            except RuntimeError as error:
                refused.append(str(error))

    supervisor.start("decider", late, stage=StopStage.DECIDING)
    await asyncio.sleep(0)
    await finish(supervisor)
    assert "late probe" in refused[0]


async def test_a_task_that_swallows_its_cancellation_is_not_started_again() -> None:
    runs = 0

    async def swallows() -> None:
        nonlocal runs
        runs += 1
        try:
            await forever()
        except asyncio.CancelledError:
            return

    supervisor = Supervisor()
    supervisor.start("swallows", swallows, restart=QUICK)
    await asyncio.sleep(0)
    report = await finish(supervisor)
    assert (runs, report.stuck) == (1, ())


async def test_signals_stop_and_reload() -> None:
    reloads = []
    supervisor = Supervisor()
    supervisor.stop_on_signals()
    supervisor.on_signal(signal.SIGHUP, lambda: reloads.append("reload"))
    supervisor.start("task", forever)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: reloads == ["reload"])
    os.kill(os.getpid(), signal.SIGTERM)
    report = await asyncio.wait_for(supervisor.run(), PATIENCE_S)
    assert report.reason == "SIGTERM"
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)


async def test_who_wants_to_know_hears_of_the_stop_at_once_and_once() -> None:
    heard: list[str] = []
    supervisor = Supervisor()
    supervisor.when_stopping(heard.append)
    supervisor.request_stop("SIGTERM")
    assert heard == ["SIGTERM"]
    supervisor.request_stop("SIGTERM")
    await asyncio.wait_for(supervisor.run(), PATIENCE_S)
    assert heard == ["SIGTERM"]


async def test_cancelling_the_supervisor_still_stops_everything() -> None:
    told = Told()
    supervisor = Supervisor(told)
    supervisor.start("task", forever)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, PATIENCE_S)
    assert told.of(TaskChange.STOPPED) == ["task"]
