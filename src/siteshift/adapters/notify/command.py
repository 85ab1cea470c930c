"""Notifications through a program: mail, a pager's client, a script.

The program gets the message as JSON on its standard input and as ``SITESHIFT_NODE``, ``_SEVERITY``, ``_CODE``,
``_TEXT`` and ``_KEY`` in its environment, never on its command line, where everybody on the machine could read it. No
shell is involved. It runs in a session of its own, and the whole of it is killed at the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence

from siteshift.adapters.notify.message import Message
from siteshift.core.model.codes import Severity
from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable
from siteshift.ports import Clock

EX_TEMPFAIL = 75
"""sysexits.h: "temporary failure, user is invited to retry"."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPLAINT_LIMIT = 4_096
WRITTEN_LIMIT = 1 << 20
"""A program that complains more has gone astray, and reading on would be all that this process does."""
SHOWN_LIMIT = 200
MIN_SECRET = 6


class TooMuchOutput(Exception):
    """The program writes without end."""


class CommandNotifier:
    """Runs one program for each message. ``environment`` may hold secrets; it replaces ours, but for a plain PATH."""

    def __init__(
        self, command: Sequence[str], *, clock: Clock, node: str, environment: Mapping[str, str] | None = None
    ) -> None:
        if not command:
            raise Permanent("the command is empty", system="command", operation="configure")
        self._command = tuple(command)
        self._clock = clock
        self._node = node
        self._environment = {"PATH": PATH, **(environment or {})}
        self._secrets = [word for word in (*command[1:], *(environment or {}).values()) if len(word) >= MIN_SECRET]

    async def notify(self, *, severity: Severity, code: str, text: str, deadline_ms: int) -> None:
        """Run it. Raises `Retryable` (exit status 75), `Permanent` (other failures), `Ambiguous` (killed)."""
        message = Message(severity=severity, code=code, text=text, node=self._node, at_ms=self._clock.now_ms())
        process = await self._start(message)
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                complaint = await _converse(process, json.dumps(message.fields()).encode())
        except TimeoutError:
            await _kill(process)
            raise self._error(Ambiguous, f"did not end within {deadline_ms} ms and was killed") from None
        except TooMuchOutput:
            await _kill(process)
            raise self._error(Ambiguous, f"wrote more than {WRITTEN_LIMIT} bytes to standard error and was killed") from None
        except asyncio.CancelledError:
            await _kill(process)
            raise
        self._judge(process.returncode, complaint)

    async def close(self) -> None:
        """Nothing is kept between messages."""

    async def _start(self, message: Message) -> asyncio.subprocess.Process:
        clean = {name.upper(): str(value).replace("\0", "") for name, value in message.fields().items()}
        about = {f"SITESHIFT_{name}": clean[name] for name in ("NODE", "SEVERITY", "CODE", "TEXT", "KEY")}
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**self._environment, **about},
                cwd="/",
                start_new_session=True,
            )
        except BlockingIOError as error:
            raise self._error(Retryable, f"cannot start: {error.strerror}") from None
        except (OSError, ValueError) as error:
            raise self._error(Permanent, f"cannot start: {getattr(error, 'strerror', None) or error}") from None

    def _judge(self, status: int | None, complaint: bytes) -> None:
        if status == 0:
            return
        said = self._shown(complaint)
        if status is None or status < 0:
            raise self._error(Ambiguous, f"was killed by signal {-(status or 0)}{said}")
        if status == EX_TEMPFAIL:
            raise self._error(Retryable, f"exit status {status}{said}")
        raise self._error(Permanent, f"exit status {status}{said}")

    def _shown(self, complaint: bytes) -> str:
        """The first line of what it complained about, without what it may have learned from us."""
        lines = complaint.decode(errors="replace").strip().splitlines()
        if not lines:
            return ""
        line = lines[0]
        for secret in sorted(self._secrets, key=len, reverse=True):
            line = line.replace(secret, "***")
        return f": {line[:SHOWN_LIMIT]}"

    def _error(self, kind: type[AdapterError], detail: str) -> AdapterError:
        return kind(detail, system="command", operation="notify", target=self._command[0])


async def _converse(process: asyncio.subprocess.Process, text: bytes) -> bytes:
    """Hand over ``text`` and wait for the end; the beginning of what was complained about, the rest is thrown away.

    Raises `TooMuchOutput`.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(text)
    process.stdin.close()
    complaint, written_bytes = b"", 0
    while chunk := await process.stderr.read(COMPLAINT_LIMIT):
        complaint = (complaint + chunk)[:COMPLAINT_LIMIT]
        written_bytes += len(chunk)
        if written_bytes > WRITTEN_LIMIT:
            raise TooMuchOutput
    await process.wait()
    with contextlib.suppress(OSError):  # it may end without having listened
        await process.stdin.wait_closed()
    return complaint


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the whole session and reap the leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())
