"""The command line as tests use it: in this process, or as a child on a terminal of its own."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from siteshift.cli.program import app

DEADLINE_S = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What ``--json`` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Cli = Callable[..., Ended]


def run(*words: str) -> Ended:
    """One command in this process, not on a terminal."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return Ended(result.exit_code, result.stdout, result.stderr)


class OnTerminal:
    """A command on a terminal of 100 columns. `text` is what it printed so far, without escapes."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self.text = ""

    def until(self, words: str) -> None:
        """Wait until the screen said this. Fails with what it said instead."""
        limit_s = time.monotonic() + DEADLINE_S
        while words not in self.text:
            if time.monotonic() > limit_s or not self._read(limit_s):
                raise AssertionError(f"never said {words!r} but: {self.text}")

    def type(self, keys: str) -> None:
        """What a person types."""
        os.write(self._terminal, keys.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        limit_s = time.monotonic() + DEADLINE_S
        while self._read(limit_s):
            pass
        return self._process.wait(DEADLINE_S)

    def _read(self, limit_s: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, limit_s - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._terminal, 65_536)
        except OSError as error:
            if error.errno == errno.EIO:  # Linux: the other end is closed
                return False
            raise
        self.text += _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)


def _heed_interrupts() -> None:
    """As on a terminal, also where the tests themselves run in the background and ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def on_terminal(*words: str, environment: Mapping[str, str]) -> Iterator[OnTerminal]:
    """A command as a child on a pseudo terminal; it is ended with the block."""
    ours, theirs = pty.openpty()
    script = Path(sys.executable).parent / "siteshift"
    surroundings = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", **environment}
    process = subprocess.Popen(
        [str(script), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=surroundings,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    os.close(theirs)
    try:
        yield OnTerminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
