"""Asks the lab's node over its Unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp


class NodeSilent(Exception):
    """The node did not answer, or not as asked."""


class NodeClient:
    """A small client of ``/v1``. Use as an async context manager, or close it."""

    def __init__(self, socket: Path) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket)), timeout=timeout)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """One document. Raises `NodeSilent`."""
        try:
            async with self._session.get(f"http://node{path}") as answer:
                document: dict[str, Any] = await answer.json()
                return document
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NodeSilent(str(error) or type(error).__name__) from error

    async def status(self) -> dict[str, Any]:
        """``/v1/status``."""
        return await self.get("/v1/status")

    async def until_fresh(self, *, deadline_s: float) -> None:
        """Wait until the node has seen enough to act. Raises `NodeSilent` past the deadline."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        while loop.time() < end:
            status = await self.status()
            if status.get("fresh") and status.get("generation"):
                return
            await asyncio.sleep(0.1)
        raise NodeSilent(f"no fresh evidence within {deadline_s:g} s")

    async def verify_journal(self) -> str:
        """``holds (N entries)``, or what is wrong."""
        found = await self.get("/v1/journal/verify")
        return f"holds ({found['entries']} entries)" if found.get("holds") else str(found.get("detail"))
