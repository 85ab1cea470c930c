"""Talking to systemd: readiness, reload, status and the watchdog (sd_notify(3), systemd.service(5)).

Outside systemd (no ``NOTIFY_SOCKET``) everything here does nothing. A message that cannot be sent is dropped: telling
the supervisor must never stop or delay the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping


class SystemdNotifier:
    """The socket that systemd gave us. Made by `from_environment`."""

    def __init__(self, address: str, *, watchdog_us: int = 0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self.watchdog_us = watchdog_us
        """Within which time systemd wants to hear of us; 0: it does not."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> SystemdNotifier:
        """As ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` say. Other address families are not ours."""
        variables = os.environ if environment is None else environment
        address = variables.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            address = ""
        return cls(address, watchdog_us=_watchdog_us(variables) if address else 0)

    @property
    def is_listening(self) -> bool:
        """Whether anybody is told at all."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Started, or done with a reload."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. Newer systemd wants the instant to tell old READY=1 from new."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000}")

    def stopping(self, status: str = "") -> None:
        """The orderly stop begins."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status(text))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        text = "\n".join(line for line in lines if line)
        if not self._address or not text:
            return
        with contextlib.suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(text.encode(errors="replace"), self._address)


async def feed_watchdog(
    notifier: SystemdNotifier, healthy: Callable[[], bool], *, on_unhealthy: Callable[[], None] | None = None
) -> None:
    """Feed the watchdog from the loop itself at half its interval, only while ``healthy()``; until cancelled.

    ``healthy`` says whether the core's consumer made progress since the last call: a loop that turns while nobody
    decides is dead for our purpose, and systemd shall start it again. Without a watchdog it only waits.
    """
    if not notifier.watchdog_us:
        await asyncio.Event().wait()
    pause_s = notifier.watchdog_us / 2_000_000
    while True:
        if healthy():
            notifier.alive()
        elif on_unhealthy is not None:
            on_unhealthy()
        await asyncio.sleep(pause_s)


def _status(text: str) -> str:
    line = " ".join(text.split())
    return f"STATUS={line}" if line else ""


def _watchdog_us(variables: Mapping[str, str]) -> int:
    """The interval, 0 when it is not meant for this process or not a number."""
    try:
        interval_us = int(variables.get("WATCHDOG_USEC", "0"))
        meant_for = int(variables.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return 0
    return interval_us if interval_us > 0 and meant_for == os.getpid() else 0
