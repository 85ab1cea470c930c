"""The journal on this machine's disk: durable appends alone and together, verification, opening, and the loop meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.runtime.lag import watch_loop_lag

RUNS = 5
TOGETHER = 256
DATA = {"service": "web", "site": "pangyo", "standing": "down", "reason": "3 of 4 members refuse connections", "bp": 5_000}


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


async def median_ms(call: Callable[[], Awaitable[object]]) -> float:
    return statistics.median([await timed(call) for _ in range(RUNS)]) * 1_000


def sync_ms(folder: Path) -> float:
    """The floor: one small append to a plain file and its fdatasync."""
    taken: list[float] = []
    with (folder / "floor").open("ab", buffering=0) as stream:
        for _ in range(RUNS * 10):
            began = time.perf_counter()
            stream.write(b"x" * 400)
            os.fdatasync(stream.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1_000


async def lag_during(call: Callable[[], Awaitable[object]]) -> int:
    """The worst loop lag in microseconds while ``call`` runs."""
    lags: list[int] = [0]
    watching = asyncio.create_task(watch_loop_lag(lags.append, interval_ms=1))
    await call()
    watching.cancel()
    return max(lags)


async def measure(folder: Path, entries: int) -> dict[str, float]:
    path = folder / "state.db"
    store, journal = await open_sqlite(path, deadline_ms=60_000)
    one = [(1, "fact", DATA)]

    async def alone() -> None:
        for _ in range(20):
            await journal.append(one)

    async def together() -> None:
        await asyncio.gather(*(journal.append(one) for _ in range(TOGETHER)))

    figures = {
        "sync_ms": sync_ms(folder),
        "append_alone_ms": await median_ms(alone) / 20,
        "append_together_ms": await median_ms(together) / TOGETHER,
    }
    await fill(journal, entries)
    figures["verify_us_per_entry"] = await timed(journal.verify) * 1e6 / (await journal.head()).sequence
    figures["export_us_per_entry"] = (
        await timed(lambda: journal.export(folder / "export.jsonl")) * 1e6 / (await journal.head()).sequence
    )
    figures["worst_lag_verify_ms"] = await lag_during(journal.verify) / 1_000
    figures["worst_lag_append_ms"] = await lag_during(lambda: fill(journal, entries)) / 1_000
    await journal.close()
    await store.close()
    figures["file_mib"] = path.stat().st_size / 2**20
    began = time.perf_counter()
    store, journal = await open_sqlite(path)
    figures["open_ms"] = (time.perf_counter() - began) * 1_000
    await journal.close()
    await store.close()
    return figures


async def fill(journal: SqliteJournal, entries: int) -> None:
    for start in range(0, entries, 500):
        await journal.append([(start + n, "fact", DATA) for n in range(500)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=50_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        figures = asyncio.run(measure(Path(folder), arguments.entries))
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f}")
    ratio = figures["append_alone_ms"] / figures["append_together_ms"]
    print(f"an append among {TOGETHER} costs 1/{ratio:.0f} of one alone")
    rounded = {name: round(value, 3) for name, value in figures.items()}
    print(json.dumps({"bench": "journal", **rounded, "together_gain": round(ratio, 1)}))


if __name__ == "__main__":
    main()
