"""What commands share that we run: their input and output without pipes, and their end.

asyncio says that a child ended only when its pipes are closed as well, and a pipe stays open with whatever the child left
running, or full where nobody reads on. Files in memory have no such end to wait for, and they are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

OUTPUT_BYTES = 1 << 20
"""What a talkative tool says is a tenth of this. A write beyond it fails in the child (EPERM)."""


@contextmanager
def output_file(limit_bytes: int = OUTPUT_BYTES) -> Iterator[int]:
    """A file in memory that cannot grow, to be a child's standard output or error; on disk it could fill the disk."""
    descriptor = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, limit_bytes)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield descriptor
    finally:
        os.close(descriptor)


def written(descriptor: int, most_bytes: int, *, from_end: bool) -> bytes:
    """The beginning or the end of what a child wrote. The place where it goes on writing is shared with us."""
    end = os.lseek(descriptor, 0, os.SEEK_CUR)
    start = max(0, end - most_bytes) if from_end else 0
    return os.pread(descriptor, min(end, most_bytes), start)


@contextmanager
def input_file(text: bytes) -> Iterator[int]:
    """A file in memory to be a child's standard input."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(text)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a child and what it started, where it leads a process group; nothing happens when all of it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a child with its group and reap it, also when the caller is cancelled meanwhile."""
    kill_group(process)
    await asyncio.shield(process.wait())
