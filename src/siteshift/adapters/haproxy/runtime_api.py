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

An answer is read in pieces, up to a bound and until the deadline: a HAProxy that never stops talking costs its own
outage, not the node's memory. Bytes are text one to one (Latin-1): names and numbers are ASCII, and what a server put
into its check's description is nobody's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from siteshift.adapters.haproxy import answers
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

READ_BYTES = 1 << 16
"""Buffer limit of the reader, and so of what one wake-up of a reading task handles."""
ANSWER_BYTES = 1 << 18
"""Bound of an answer to changes, variables and ``show info``: 300 refusals, one line's worth, are about 220 kB."""
TABLE_BYTES = 1 << 24
"""Bound of ``show servers state`` and ``show stat``: some 35,000 servers, at 90 and 480 bytes each."""

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

    async def ask(self, commands: Sequence[str], *, deadline_ms: int, at_most_bytes: int = ANSWER_BYTES) -> list[str]:
        """One answer per command, for commands that change nothing. `Retryable` unless all of them came."""
        operation = commands[-1]
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                raw = await self._talk(*await self._connect(), answers.line_of(commands), at_most_bytes)
            found = answers.split(commands, raw)
        except TimeoutError:
            raise Retryable(f"no whole answer within {deadline_ms} ms", system=self._system, operation=operation) from None
        except answers.OddAnswer as error:
            raise Retryable(str(error), system=self._system, operation=operation) from error
        except OSError as error:
            raise self._unreachable(error, operation) from error
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
                    found = answers.split(line, await self._talk(*stream, answers.line_of(line), ANSWER_BYTES))
                    sending = ()
                    done += len(group)
                    refused += [Refused(command=c, message=m) for c, m in zip(line, found, strict=True) if m]
        except (OSError, answers.OddAnswer) as error:
            words = f"no whole answer within {deadline_ms} ms" if isinstance(error, TimeoutError) else str(error)
            operation = commands[done]
            if isinstance(error, OSError) and not sending and not done:
                raise self._unreachable(error, operation) from error
            raise Ambiguous(
                f"{words}; {done} of {len(commands)} changes confirmed, {len(sending)} sent without an answer",
                system=self._system,
                operation=operation,
            ) from error
        return tuple(refused)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._path is not None:
            return await asyncio.open_unix_connection(self._path, limit=READ_BYTES)
        return await asyncio.open_connection(self._host, self._port, limit=READ_BYTES)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, at_most_bytes: int) -> str:
        """Send a line and read until the end of the connection. Raises `OddAnswer` for an answer beyond the bound."""
        pieces: list[bytes] = []
        size = 0
        try:
            writer.write(line.encode())
            await writer.drain()
            while piece := await reader.read(READ_BYTES):
                size += len(piece)
                if size > at_most_bytes:
                    raise answers.OddAnswer(f"the answer is longer than {at_most_bytes} bytes")
                pieces.append(piece)
            return b"".join(pieces).decode("latin-1")
        finally:
            writer.close()

    def _unreachable(self, error: OSError, operation: str) -> AdapterError:
        """What a failure before anything was sent, or while only asking, amounts to."""
        if isinstance(error, PermissionError):
            return Permanent(f"may not connect: {error}", system=self._system, operation=operation)
        words = "no connection in time" if isinstance(error, TimeoutError) else f"not reachable: {error}"
        return Retryable(words, system=self._system, operation=operation)
