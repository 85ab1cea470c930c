"""Siteshift time, and how late the loop is."""

import asyncio
import time

import pytest

from siteshift.adapters.memory.clock import ManualClock
from siteshift.ports import Clock
from siteshift.runtime.clock import SystemClock, watch_wall_clock
from siteshift.runtime.lag import watch_loop_lag

PATIENCE_S = 30
DAY_MS = 86_400_000


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock(5)])
def test_a_clock_never_goes_back(clock: Clock) -> None:
    readings = [clock.now_ms() for _ in range(10_000)]
    assert readings == sorted(readings)


def test_siteshift_time_is_unix_time_at_start_and_ignores_a_wall_clock_that_jumps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 50_000_000_000)
    clock = SystemClock()
    assert (clock.now_ms(), clock.skew_ms()) == (1_700_000_000_000, 0)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 52_000_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000 - 3_600_000_000_000)
    assert (clock.now_ms(), clock.skew_ms()) == (1_700_000_002_000, -3_602_000)


async def test_a_wall_clock_that_jumps_while_the_node_runs_is_told_each_time_it_jumps() -> None:
    skew_ms, told = 0, list[tuple[int, str]]()
    heard = asyncio.Event()

    def tell(ahead_ms: int, text: str) -> None:
        told.append((ahead_ms, text))
        heard.set()

    watching = asyncio.create_task(watch_wall_clock(lambda: skew_ms, tell, every_s=0.001))
    await asyncio.sleep(0)
    for jump_ms in (DAY_MS, -DAY_MS):
        skew_ms += jump_ms
        heard.clear()
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
    watching.cancel()
    await asyncio.wait({watching})
    assert [ahead_ms for ahead_ms, _ in told] == [DAY_MS, 0]
    assert "set ahead by 24 h" in told[0][1] and "set back by 24 h" in told[1][1]


def test_virtual_time_moves_only_when_told_and_never_back() -> None:
    clock = ManualClock(1_000)
    assert clock.advance(250) == clock.now_ms() == 1_250
    clock.move_to(2_000)
    assert clock.now_ms() == 2_000
    with pytest.raises(ValueError, match="never goes back"):
        clock.move_to(1_999)


async def test_a_loop_that_was_held_is_seen_and_told() -> None:
    lags: list[int] = []
    late: list[int] = []
    told = asyncio.Event()

    def on_late(lag_us: int) -> None:
        late.append(lag_us)
        told.set()

    watching = asyncio.create_task(watch_loop_lag(lags.append, interval_ms=1, threshold_ms=50, on_late=on_late))
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251
    await asyncio.wait_for(told.wait(), PATIENCE_S)
    watching.cancel()
    await asyncio.wait({watching})
    assert max(lags) == max(late) > 50_000
