"""The client of HAProxy's runtime API, over a Unix socket or TCP.

A connection carries one line and ends: there is nothing to keep alive across HAProxy's reloads, no idle time-out to
meet, and the end of the connection is the end of the answer. Many changes share a line, so that 10,000 of them need
two dozen connections.

What an error means
-------------------
`Retryable`   nothing was sent, or it was only a question.
`Ambiguous`   changes were sent and not all answers came back: some of them may have happened (law 10).
`Permanent`   HAProxy refused: no permission, unknown command.
Refusals of single commands ("No such server.") are values: `Refused`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from siteshift.adapters.haproxy import answers
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

READ_BYTES = 1 << 20
"""Buffer limit of the reader: a ``show servers state`` of 10,000 servers is about 800 kB."""

NOT_PERMITTED = ("Permission denied", "This command is restricted", "Unknown command")
"""Words of refusals that no repetition will change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One command HAProxy did not carry out, with its words."""

    command: str
    message: str

    def __str__(self) -> str:
        return f"{self.command}: {self.message}"


class RuntimeApi:
    """One HAProxy's runtime API. Safe for several tasks: every line has a connection of its own."""

    def __init__(self, address: str, *, system: str) -> None:
        self._system = system
        self._path: str | None = None
        self._host, self._port = "", 0
        if address.startswith("unix:"):
            self._path = address.removeprefix("unix:")
        else:
            host, _, port = address.rpartition(":")
            self._host, self._port = host.strip("[]"), int(port)

    async def ask(self, commands: Sequence[str], *, deadline_ms: int) -> list[str]:
        """One answer per command, for commands that change nothing. `Retryable` unless all of them came."""
        operation = commands[-1]
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                raw = await self._exchange(";".join(commands))
        except TimeoutError:
            raise Retryable(f"no answer within {deadline_ms} ms", system=self._system, operation=operation) from None
        except OSError as error:
            raise self._unreachable(error, operation) from error
        found = answers.split(commands, raw)
        if len(found) != len(commands):
            raise Retryable(f"{len(found)} of {len(commands)} answers came", system=self._system, operation=operation)
        for answer in found:
            if answer.startswith(NOT_PERMITTED):
                raise Permanent(answer.strip().splitlines()[0], system=self._system, operation=operation)
        return found

    async def change(self, commands: Sequence[str], *, deadline_ms: int, before: Sequence[str] = ()) -> tuple[Refused, ...]:
        """Carry out the commands, in order, in as few round trips as fit; the answer holds those HAProxy refused.

        ``before`` is said first on every line (a mode that lasts as long as a connection).

        Raises `Retryable` when nothing can have been sent, `Ambiguous` when it is not known which were done.
        """
        refused: list[Refused] = []
        done = 0
        sending: Sequence[str] = ()
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                for group in answers.pack(commands):
                    stream = await self._connect()
                    sending = group
                    line = [*before, *group]
                    found = answers.split(line, await self._talk(*stream, ";".join(line)))
                    if len(found) != len(line):
                        raise ConnectionResetError(f"{len(found)} of {len(line)} answers came")
                    sending = ()
                    done += len(group)
                    refused += [Refused(command=c, message=m) for c, m in zip(line, found, strict=True) if m]
        except OSError as error:
            words = f"no answer within {deadline_ms} ms" if isinstance(error, TimeoutError) else str(error)
            operation = commands[done]
            if not sending and not done:
                raise self._unreachable(error, operation) from error
            raise Ambiguous(
                f"{words}; {done} of {len(commands)} changes confirmed, {len(sending)} sent without an answer",
                system=self._system,
                operation=operation,
            ) from error
        return tuple(refused)

    async def _exchange(self, line: str) -> str:
        return await self._talk(*await self._connect(), line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._path is not None:
            return await asyncio.open_unix_connection(self._path, limit=READ_BYTES)
        return await asyncio.open_connection(self._host, self._port, limit=READ_BYTES)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str) -> str:
        try:
            writer.write(line.encode() + b"\n")
            await writer.drain()
            return (await reader.read(-1)).decode("utf-8", "replace")
        finally:
            writer.close()

    def _unreachable(self, error: OSError, operation: str) -> AdapterError:
        """What a failure before anything was sent, or while only asking, amounts to."""
        if isinstance(error, PermissionError):
            return Permanent(f"may not connect: {error}", system=self._system, operation=operation)
        words = "no connection in time" if isinstance(error, TimeoutError) else f"not reachable: {error}"
        return Retryable(words, system=self._system, operation=operation)
