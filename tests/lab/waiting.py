"""Waiting on a condition with a deadline, instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 30.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; fail after `PATIENCE_S`."""
    loop = asyncio.get_running_loop()
    limit_s = loop.time() + PATIENCE_S
    while not condition():
        assert loop.time() < limit_s, f"never happened: {what}"
        await asyncio.sleep(0.02)


async def until_answer(ask: Callable[[], Awaitable[str]], wanted: str) -> None:
    """Return as soon as ``ask()`` gives the wanted answer; fail after `PATIENCE_S`."""
    loop = asyncio.get_running_loop()
    limit_s = loop.time() + PATIENCE_S
    while (answer := await ask()) != wanted:
        assert loop.time() < limit_s, f"still {answer!r}, never {wanted!r}"
        await asyncio.sleep(0.02)
