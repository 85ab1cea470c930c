"""The control channel of the lab's processes: one JSON object a line, asked and answered, over a Unix socket.

A Unix socket, because it works alike on loopback and from outside a network namespace.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

Message = dict[str, object]
Handler = Callable[[Message], Awaitable[Message]]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ControlError(Exception):
    """A lab process did not answer, or said that it could not do what was asked."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone, so that nothing outlives a killed lab."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def parent_is_gone(parent_pid: int) -> bool:
    """Whether the parent died before `die_with_parent` took hold."""
    return os.getppid() != parent_pid


async def serve_control(path: str, handle: Handler) -> asyncio.Server:
    """Answer control messages at ``path``. A handler's KeyError or ValueError becomes ``{"error": …}``."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    answer = await handle(cast(Message, json.loads(line)))
                except (KeyError, ValueError, OSError) as problem:
                    answer = {"error": f"{type(problem).__name__}: {problem}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 (a loop is running; this is one quick call)
    return await asyncio.start_unix_server(talk, path)


async def ask(path: str, message: Message, *, deadline_ms: int = 2_000) -> Message:
    """Send one message and return the answer. Raises `ControlError` with the reason."""
    try:
        async with asyncio.timeout(deadline_ms / 1000):
            return await _ask(path, message)
    except TimeoutError:
        raise ControlError(f"{path}: no answer within {deadline_ms} ms") from None
    except (OSError, ValueError) as problem:
        raise ControlError(f"{path}: {problem}") from problem


async def _ask(path: str, message: Message) -> Message:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(json.dumps(message).encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ControlError(f"{path}: closed without an answer")
    answer = cast(Message, json.loads(line))
    if "error" in answer:
        raise ControlError(f"{path}: {answer['error']}")
    return answer
