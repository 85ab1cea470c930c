"""A command as a probe: exit status 0 passes, and its output must contain ``expect`` where that is given.

The command gets no shell. Its process group is killed at the time-out: children do not outlive the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from siteshift.adapters import child
from siteshift.adapters.probes.slot import PASSED, Verdict, failed, lost
from siteshift.core.model.codes import Fault
from siteshift.core.model.probe import ProbeSpec

MAX_OUTPUT_BYTES = 64 * 1024
"""What ``expect`` is looked for in: the beginning."""

MAX_WRITTEN_BYTES = 16 * 1024 * 1024
"""A check that writes more has gone astray, and reading on would be all that this process does."""


class TooMuchOutput(Exception):
    """The command writes without end."""


class CommandVisit:
    """Runs ``spec.command`` with ``SITESHIFT_ADDRESS``, ``_PORT`` and ``_TARGET`` in its environment."""

    def __init__(self, spec: ProbeSpec) -> None:
        if not spec.command:
            raise ValueError("a command probe without a command")
        self._spec = spec

    async def once(self) -> Verdict:
        spec = self._spec
        about = {
            "SITESHIFT_ADDRESS": spec.address,
            "SITESHIFT_PORT": str(spec.port),
            "SITESHIFT_TARGET": spec.target,
        }
        async with _pipe() as (reader, write_end):
            try:
                process = await child.start(
                    spec.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=asyncio.subprocess.STDOUT,
                    env={**os.environ, **about},
                )
            except OSError as problem:
                return lost(f"cannot run {spec.command[0]}: {problem.strerror or problem}")
            finally:
                os.close(write_end)  # ours: the output ends when the command's own is closed
            try:
                output = await _first_bytes(reader)
                status = await process.wait()
            except TooMuchOutput as problem:
                return failed(Fault.BAD_CONTENT, str(problem))
            finally:
                # Also after a normal end: whatever it left running in the background belongs to this run.
                if process.returncode is None:
                    await child.end(process)
                else:
                    child.kill_group(process)
        return self._judge(status, output)

    def _judge(self, status: int, output: bytes) -> Verdict:
        if status != 0:
            how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            first_line = output.decode(errors="replace").strip().partition("\n")[0][:120]
            return failed(Fault.BAD_STATUS, f"{how}: {first_line}" if first_line else how)
        if self._spec.expect not in output:
            return failed(Fault.BAD_CONTENT, f"the output lacks {self._spec.expect[:40]!r}")
        return PASSED

    async def close(self) -> None:
        """Nothing is kept between runs."""


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe whose reading end is closed with the block. (That of a subprocess stays open when nobody reads to its end.)"""
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0))
    try:
        yield reader, write_end
    finally:
        transport.close()


async def _first_bytes(stream: asyncio.StreamReader) -> bytes:
    """Read to the end, keep the beginning: a command that writes much must not block on a full pipe."""
    kept, written_bytes = b"", 0
    while chunk := await stream.read(MAX_OUTPUT_BYTES):
        kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
        written_bytes += len(chunk)
        if written_bytes > MAX_WRITTEN_BYTES:
            raise TooMuchOutput(f"the command wrote more than {MAX_WRITTEN_BYTES} bytes")
    return kept
