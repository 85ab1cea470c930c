"""Ports for tests: never the same for two test processes, never one twice in a row.

HAProxy shares a port with whoever else binds it (SO_REUSEPORT) instead of failing, and what the kernel calls free may be given to
two who ask one after the other. So each test process has a range of its own, below the ephemeral ports, and goes through it.
"""

from __future__ import annotations

import os
import socket
from itertools import cycle

FIRST, PER_PROCESS, PROCESSES = 10_000, 2_500, 8
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
_NUMBER = int(_WORKER) if _WORKER.isdigit() else os.getpid()
_BEGIN = FIRST + _NUMBER % PROCESSES * PER_PROCESS
_PORTS = cycle(range(_BEGIN, _BEGIN + PER_PROCESS))


def free_port(host: str = "127.0.0.1") -> int:
    """The next port of this process that nobody listens on now, by TCP or UDP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(PER_PROCESS):
        port = next(_PORTS)
        with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port from {_BEGIN} on is free at {host}")
