"""Run as a process of its own where space is short: fills the disk, gets space back, checks itself, prints "held".

``filler.py tmpfs DIRECTORY`` mounts a small file system there (call it inside a mount namespace of its own) and fills
it beside a ballast file; ``filler.py limit DIRECTORY`` bounds the size a file may have.
"""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from siteshift.adapters.store.sqlite import open_sqlite
from siteshift.adapters.store.sqlite_journal import SqliteJournal
from siteshift.errors import Retryable

MIB = 1 << 20


def short_of_space(directory: Path) -> Callable[[], None]:
    """A file system of 3 MiB with 1 MiB of ballast; the result throws the ballast out."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory], check=True)
    ballast = directory / "ballast"
    ballast.write_bytes(b"x" * MIB)
    return ballast.unlink


def short_of_size() -> Callable[[], None]:
    """Files of at most 1 MiB; the result lifts that."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def fill(journal: SqliteJournal) -> list[str]:
    """Append, several at a time, until the disk refuses; the digests acknowledged."""
    acknowledged: list[str] = []
    refused = 0
    while not refused:
        appends = [journal.append([(n, "fact", {"text": "x" * 3_000}) for n in range(3)]) for _ in range(4)]
        for result in await asyncio.gather(*appends, return_exceptions=True):
            if isinstance(result, Retryable):
                refused += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                acknowledged += [entry.digest for entry in result]
    return acknowledged


async def digests(journal: SqliteJournal) -> list[str]:
    return [entry.digest async for entry in journal.read()]


async def main(how: str, directory: Path) -> None:
    make_room = short_of_space(directory) if how == "tmpfs" else short_of_size()
    path = directory / "state.db"
    store, journal = await open_sqlite(path, deadline_ms=60_000)
    await store.save({"overrides": b"kept"})
    acknowledged = await fill(journal)
    for _ in range(3):
        try:
            await journal.append([(0, "fact", {"text": "x" * 900_000})])
            raise AssertionError("the disk took more than it has")
        except Retryable as error:
            print("refused:", error)
    assert await digests(journal) == acknowledged, "something was half-written"
    assert await journal.verify() == len(acknowledged)

    make_room()
    acknowledged += [entry.digest for entry in await journal.append([(0, "fact", {"text": "x" * 300_000})])]
    await store.save({"generation": b"1"}, expect_generation=0)
    assert await journal.verify() == len(acknowledged)
    await journal.close()
    await store.close()

    store, journal = await open_sqlite(path, deadline_ms=60_000)
    assert await digests(journal) == acknowledged, "the file differs from what was acknowledged"
    assert await journal.verify() == len(acknowledged)
    assert dict(await store.load()) == {"overrides": b"kept", "generation": b"1"}
    await journal.close()
    await store.close()
    print("held", len(acknowledged))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
