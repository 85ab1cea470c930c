"""Run as a process of its own: appends and saves in many tasks for ever, prints what was acknowledged. To be killed."""

import asyncio
import sys
from pathlib import Path

from siteshift.adapters.store.sqlite import SqliteStore, open_sqlite
from siteshift.adapters.store.sqlite_journal import SqliteJournal


async def append_for_ever(journal: SqliteJournal, worker: int) -> None:
    count = 0
    while True:
        size = (worker + count) % 3 + 1
        entries = await journal.append([(count, "fact", {"worker": worker, "count": count})] * size)
        print("entry", *(f"{entry.sequence}:{entry.digest}" for entry in entries), flush=True)
        count += 1


async def save_for_ever(store: SqliteStore) -> None:
    generation = int((await store.load()).get("generation", b"0"))
    while True:
        following = str(generation + 1).encode()
        await store.save({"generation": following, "steering": following * 100}, expect_generation=generation)
        generation += 1
        print("generation", generation, flush=True)


async def main(path: Path) -> None:
    store, journal = await open_sqlite(path)
    async with asyncio.TaskGroup() as group:
        group.create_task(save_for_ever(store))
        for worker in range(4):
            group.create_task(append_for_ever(journal, worker))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
