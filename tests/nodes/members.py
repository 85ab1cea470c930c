"""Servers that stand for members in tests of a whole node: told to fail, to hang up, or to be well."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType

from aiohttp import web

START_S = 20
LOOPBACK = "127.0.0.1"


class Members:
    """HTTP servers on free ports of loopback, in a thread with a loop of its own, so that any test may use them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._sick: set[str] = set()
        self._ports: dict[str, int] = {}
        self._runners: dict[str, web.AppRunner] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="members", daemon=True)

    def __enter__(self) -> Members:
        self._thread.start()
        for name in self._names:
            self.start(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in tuple(self._runners):
            self.stop(name)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    @property
    def ports(self) -> Mapping[str, int]:
        return self._ports

    def start(self, name: str) -> None:
        """Serve, on the port it had before if it had one."""
        asyncio.run_coroutine_threadsafe(self._start(name), self._loop).result(START_S)

    def stop(self, name: str) -> None:
        """Stop serving: connections are refused from now on."""
        asyncio.run_coroutine_threadsafe(self._stop(name), self._loop).result(START_S)

    def sicken(self, name: str) -> None:
        """Answer 500 to everything."""
        self._sick.add(name)

    def heal(self, name: str) -> None:
        """Answer as a healthy member."""
        self._sick.discard(name)

    async def _start(self, name: str) -> None:
        if name in self._runners:
            return

        async def answer(request: web.Request) -> web.Response:
            if name in self._sick:
                return web.Response(status=500)
            return web.Response(text=name) if request.path == "/healthz" else web.Response(status=404)

        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, self._ports.get(name, 0), reuse_address=True)
        await site.start()
        self._runners[name] = runner
        self._ports[name] = runner.addresses[0][1]

    async def _stop(self, name: str) -> None:
        runner = self._runners.pop(name, None)
        if runner is not None:
            await runner.cleanup()
