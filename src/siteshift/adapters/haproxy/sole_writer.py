"""One writer at a time on one machine: what HAProxy's generation variable alone cannot promise.

A writer checks its generation once and then sends many changes; a newer writer could come between. Over a Unix socket
all writers are on HAProxy's machine, so they take turns by an advisory lock (``flock``) on the socket's folder: the
kernel frees it when a writer dies, and a paused writer keeps it, so nobody overtakes it. Reading permission for the
folder is enough.

Over TCP there is no such lock: a writer that was overtaken between its claim and its changes learns of it afterwards
(`STALE`), and the overtaker reads the damage back as drift.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from siteshift.adapters.haproxy.deadline import Deadline
from siteshift.errors import Retryable

LOOK_AGAIN_S = 0.005
"""How often a waiting writer tries; a whole write takes some 10 to 100 ms."""


@asynccontextmanager
async def sole_writer(address: str, deadline: Deadline, *, system: str) -> AsyncIterator[None]:
    """Hold the turn to write. Raises `Retryable` when it did not come before the deadline."""
    if not address.startswith("unix:"):
        yield
        return
    try:
        folder = os.open(Path(address.removeprefix("unix:")).parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Retryable(f"not reachable: {error}", system=system, operation="lock") from error
    try:
        while not _taken(folder):
            if deadline.left_ms == 0:
                raise Retryable("another writer is at work", system=system, operation="lock")
            await asyncio.sleep(LOOK_AGAIN_S)
        yield
    finally:
        os.close(folder)


def _taken(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
