"""What commands share that we run: input and output that nobody waits for, and their end.

asyncio says that a child ended only when the pipes it made are closed as well, and a pipe stays open with whatever the child
left running, or full where nobody reads on. So input is a file in memory, and output a pipe of our own that is read once the
child has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

OUTPUT_BYTES = 1 << 20
"""What a talkative tool says is a tenth of this, and a system's default limit for one pipe of an ordinary user (pipe(7))."""


@contextmanager
def output_pipe() -> Iterator[tuple[int, int]]:
    """A pipe for a child's standard output or error: our reading end, and the child's end.

    It takes `OUTPUT_BYTES` (64 KiB where the user has no room for more); a write beyond that fails in the child (EAGAIN). The
    child's end can read as well, so whoever keeps it when ours is closed is not killed by writing (SIGPIPE). A file cannot be
    this: ``/dev/stderr`` opens it anew, at its beginning and to cut it, and one that is sealed against growth refuses that.
    """
    ours, writing = os.pipe()
    try:
        try:
            theirs = os.open(f"/proc/self/fd/{writing}", os.O_RDWR | os.O_NONBLOCK)
        finally:
            os.close(writing)
        try:
            with contextlib.suppress(OSError):
                fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, OUTPUT_BYTES)
            os.set_blocking(ours, False)
            yield ours, theirs
        finally:
            os.close(theirs)
    finally:
        os.close(ours)


def written(ours: int, most_bytes: int, *, from_end: bool) -> bytes:
    """The beginning or the end of what a child wrote, taken out of our end of its pipe. Never waits."""
    try:
        text = os.read(ours, OUTPUT_BYTES)
    except BlockingIOError:
        return b""
    return text[-most_bytes:] if from_end else text[:most_bytes]


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


async def start(
    argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, env: Mapping[str, str], cwd: str | None = None
) -> asyncio.subprocess.Process:
    """Start a program that leads a session and a group of its own. Raises OSError, and ValueError for a null in a word.

    Cancelled while it starts, all of it is killed: asyncio by itself kills the leader alone, and what that started stays. It is
    started within milliseconds, and has its descriptors then: so the caller, who closes them, gets no word before.
    """
    run = asyncio.create_subprocess_exec
    starting = asyncio.ensure_future(
        run(*argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, start_new_session=True)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        while not starting.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({starting})
        if starting.exception() is None:
            kill_group(starting.result())
        raise


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a child and what it started, where it leads a process group; nothing happens when all of it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a child with its group and reap it, also when the caller is cancelled meanwhile."""
    kill_group(process)
    await asyncio.shield(process.wait())
