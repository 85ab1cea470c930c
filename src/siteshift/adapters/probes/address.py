"""Literal addresses. A prober never resolves names: what a name means is itself something to be probed."""

from __future__ import annotations

import socket
from typing import NamedTuple


class SocketAddress(NamedTuple):
    """Where to connect: ``where`` is what the socket calls of ``family`` take."""

    family: int
    where: tuple[str, int] | tuple[str, int, int, int]

    @property
    def key(self) -> tuple[str, int]:
        """Address and port as ``recvfrom`` reports them."""
        return (self.where[0], self.where[1])

    def at_port(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """The same host at another port."""
        return (self.where[0], port) if len(self.where) == 2 else (self.where[0], port, self.where[2], self.where[3])


def parse_address(address: str, port: int) -> SocketAddress:
    """Parse an IPv4 or IPv6 literal (with scope, if any). Raises ValueError."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    except OSError as problem:
        raise ValueError(f"{address!r} port {port} is not an IP address and port: {problem}") from None
    family, _, _, _, where = found[0]
    if len(where) == 4:
        return SocketAddress(family, (str(where[0]), int(where[1]), int(where[2]), int(where[3])))
    return SocketAddress(family, (str(where[0]), int(where[1])))
