"""A loop that lags knows less: what timed out meanwhile is lost, what was received is evidence all the same."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from siteshift.core.model.codes import Fault, Outcome, Stage
from siteshift.core.model.probe import ProbeKind

from .peers import closed_port, never, tcp_peer
from .probing import DEADLINE_S, LAGGED, probing, spec

HELD_S = 0.08
"""Far below `ProberLimits.stall_ms`: no single standstill, but four fifths of the time."""


@contextlib.asynccontextmanager
async def lagging(held_s: float = HELD_S, free_s: float = 0.01) -> AsyncIterator[None]:
    """Hold the loop again and again for the length of the block."""

    async def hold() -> None:
        while True:
            time.sleep(held_s)  # noqa: ASYNC251 - this is the lag
            await asyncio.sleep(free_s)

    task = asyncio.create_task(hold())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_timeout_of_which_our_own_lag_was_more_than_a_quarter_is_lost() -> None:
    async with tcp_peer(never) as port, probing(spec(ProbeKind.HTTP, port, timeout_ms=500)) as seen:
        async with lagging():
            since = len(seen.results)
            await seen.until(lambda _: True, times=4, since=since)
            lagged = seen.results[since + 1 :]
        assert {(result.outcome, result.fault) for result in lagged} == {(Outcome.LOST, Fault.LOCAL)}
        assert all(LAGGED in result.detail for result in lagged)
        await seen.until(lambda result: result.fault is Fault.TIMEOUT)  # and when the lag is over, it fails again


async def test_a_timeout_of_which_our_own_lag_was_a_small_part_fails() -> None:
    """The same standstill that excuses half a second does not excuse four: the target had its time."""
    async with tcp_peer(never) as port, probing(spec(ProbeKind.HTTP, port, interval_ms=4_100, timeout_ms=4_000)) as seen:
        async with asyncio.timeout(DEADLINE_S):
            while seen.prober.figures().pending == 0:  # noqa: ASYNC110 - the run has to start
                await asyncio.sleep(0.001)
        time.sleep(0.4)  # noqa: ASYNC251 - this is the lag
        result = await seen.until(lambda result: LAGGED not in result.detail)
    assert (result.outcome, result.fault) == (Outcome.FAIL, Fault.TIMEOUT)
    assert seen.prober.figures().stalls >= 1


async def test_a_refusal_received_while_our_own_loop_lagged_is_evidence() -> None:
    with closed_port() as port:
        async with probing(spec(ProbeKind.HTTP, port, timeout_ms=300)) as seen, lagging():
            await seen.until(lambda _: True, times=4)
    assert {(result.outcome, result.fault) for result in seen.results} == {(Outcome.FAIL, Fault.REFUSED)}


async def test_a_stopwatch_says_nothing_while_our_own_loop_lags() -> None:
    async with (
        tcp_peer(never) as port,
        probing(spec(ProbeKind.HTTP, port, interval_ms=400, timeout_ms=900, stopwatch_ms=200)) as seen,
    ):
        await seen.until(lambda result: result.stage is Stage.EARLY)
        async with lagging():
            await seen.until(lambda result: LAGGED in result.detail)  # a run that began before may have spoken
            since = len(seen.results)
            await seen.until(lambda _: True, times=2, since=since)
            during = seen.results[since:]
    assert Stage.EARLY not in {result.stage for result in during}


async def test_lag_is_noticed_also_by_whoever_comes_before_the_timer() -> None:
    """Hastening sets the timer anew: what it was late by must not be forgotten with it."""
    one = spec(ProbeKind.HTTP, 0, interval_ms=1_000, timeout_ms=500)
    async with tcp_peer(never) as port, probing(replace(one, port=port)) as seen:
        async with asyncio.timeout(DEADLINE_S):
            while seen.prober.figures().pending == 0:  # noqa: ASYNC110 - the run has to start
                await asyncio.sleep(0.001)
        since = len(seen.results)
        time.sleep(1.0)  # noqa: ASYNC251 - this is the lag
        seen.prober.hasten([one.id], 200, seen.clock.now_ms() + 1_000)
        result = await seen.until(lambda _: True, since=since)
    assert (result.outcome, result.fault) == (Outcome.LOST, Fault.LOCAL), result.detail
