"""Every process the lab starts, known by pid, and ended whatever happens.

Three nets under each other: `Children.stop_all` on the normal way out, the signal and exit handling of `world.Lab`,
and ``PR_SET_PDEATHSIG`` in every child, by which the kernel kills it when the lab's process is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from siteshift.lab.control import die_with_parent

STOP_S = 5.0
"""How long a child may take to stop before it is killed."""


class ChildFailed(Exception):
    """A child ended or did not become ready; carries the end of its log."""


@dataclass(slots=True)
class Child:
    """A process with its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it still runs."""
        if self.is_running:
            self.process.send_signal(number)

    def log_tail(self, size: int = 2_000) -> str:
        """The end of what it wrote."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[-size:].decode(errors="replace")


class Children:
    """Starts and ends processes. ``folder`` gets a log file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __contains__(self, name: str) -> bool:
        return name in self._children

    @property
    def pids(self) -> list[int]:
        """The running ones."""
        return [child.pid for child in self._children.values() if child.is_running]

    def start(self, name: str, argv: Sequence[str], *, prefix: Sequence[str] = ()) -> Child:
        """Start ``prefix + argv`` (the prefix enters a network namespace). A name that runs already is an error."""
        if name in self._children and self._children[name].is_running:
            raise ChildFailed(f"{name} is running already")
        log = self._folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*prefix, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                start_new_session=True,
            )
        child = Child(name=name, process=process, log=log)
        self._children[name] = child
        return child

    def start_python(self, name: str, module: str, *options: str, prefix: Sequence[str] = ()) -> Child:
        """Start one of the lab's own modules, told who its parent is."""
        argv = [sys.executable, "-m", module, *options, "--parent", str(os.getpid())]
        return self.start(name, argv, prefix=prefix)

    async def until_ready(self, name: str, ready: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
        """Wait until ``ready()``. Raises `ChildFailed` when the child ends first or the deadline passes."""
        child = self._children[name]
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + deadline_s
        while not ready():
            if not child.is_running:
                raise self.failed(name)
            if loop.time() > limit_s:
                raise ChildFailed(f"{name} was not ready after {deadline_s:g} s: {child.log_tail()}")
            await asyncio.sleep(0.02)
        if not child.is_running:
            raise self.failed(name)

    def failed(self, name: str) -> ChildFailed:
        """What to raise for a child that ended."""
        child = self._children[name]
        return ChildFailed(f"{name} ended with {child.process.returncode}: {child.log_tail()}")

    def kill(self, name: str) -> None:
        """SIGKILL and reap: a crash."""
        child = self._children[name]
        child.send(signal.SIGKILL)
        child.process.wait()

    def stop(self, name: str) -> int | None:
        """End one child politely, then not; returns its exit code."""
        child = self._children[name]
        self._ask_to_stop(child)
        return self._reap(child, STOP_S)

    def stop_all(self) -> None:
        """End all of them. Safe to call twice and from a signal handler."""
        children = list(self._children.values())
        for child in children:
            self._ask_to_stop(child)
        for child in children:
            self._reap(child, STOP_S)

    @staticmethod
    def _ask_to_stop(child: Child) -> None:
        child.send(signal.SIGTERM)
        child.send(signal.SIGCONT)

    @staticmethod
    def _reap(child: Child, patience_s: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return child.process.wait(patience_s)
        child.send(signal.SIGKILL)
        return child.process.wait()
