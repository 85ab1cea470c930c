"""Where a lab lives: a slot of its own in 127.0.0.0/8, so that several labs run side by side.

Slot ``n`` owns ``127.(10+n).0.0/16``. A slot is held by a listening abstract Unix socket, which the kernel frees with
the process, however it ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

SLOTS = 200
FIRST_NET = 10
PORTS = (8080, 18080, 28080, 23080, 26080)
"""Tried in turn: something else on the machine may listen on one of them on all addresses."""
DNS_PORTS = (5300, 15300, 25300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A claimed part of the loopback network."""

    number: int
    prefix: str
    lock: socket.socket

    def release(self) -> None:
        self.lock.close()


def claim_slot() -> Slot:
    """Claim the first free slot. Raises OSError when all are taken."""
    for number in range(SLOTS):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0siteshift-lab-{number}")
        except OSError:
            lock.close()
            continue
        return Slot(number=number, prefix=f"127.{FIRST_NET + number}", lock=lock)
    raise OSError(f"all {SLOTS} lab slots are taken")


def free_port(addresses: Iterable[str], *, candidates: tuple[int, ...] = PORTS) -> int:
    """A port on which every one of the addresses can listen, for TCP and UDP. Raises OSError when there is none."""
    wanted = tuple(addresses)
    for port in candidates:
        if all(_can_bind(address, port) for address in wanted):
            return port
    raise OSError(f"none of the ports {candidates} is free on {wanted[0]} and its neighbours")


def _can_bind(address: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
