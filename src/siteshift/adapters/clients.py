"""Who is connected to a listener: limits in all and for each client, and who has to go first when there is no room.

A connection *waits* when nothing is owed to it: it was accepted and said nothing yet, it sent half a request, it is idle.
Those are the ones that a crowd of silent clients consists of, so they make room for the next one: first the longest
waiting of the same client, then the longest waiting of all. A connection that is being served is never ended for another.
The clients of all listeners together get no more file descriptors than the prober and the store leave (`Descriptors`).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Client = Hashable
"""What counts as one client: an IPv4 address, an IPv6 network of 64 bits, a user of this machine."""

IPV6_CLIENT_BITS = 64
"""One host may use every address of its network (RFC 4291 §2.5.1)."""
UNLIMITED = 2**31


class Gone(StrEnum):
    """Why a client was not let in, or had to leave."""

    FULL = "full"
    """All places of the listener are taken by connections that are being served."""
    CLIENT = "client"
    """All places of this client are."""
    DESCRIPTORS = "descriptors"
    """The file descriptors that are left are the prober's."""
    CROWDED_OUT = "crowded_out"
    """It waited for the longest when somebody else needed a place."""
    SILENT = "silent"
    """It brought no complete request in time, or did not read its answers."""


@dataclass(slots=True)
class Tally:
    """What happened at one listener, for the metrics."""

    connected: int = 0
    gone: Counter[Gone] = field(default_factory=Counter)


@dataclass(slots=True)
class Descriptors:
    """How many file descriptors the clients of all listeners may have together. A reload changes ``most``."""

    most: int = UNLIMITED
    taken: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    """Listener → what happened there."""

    def tally(self, listener: str) -> Tally:
        """The tally of a listener; the same one after a reload, for counters must not go back."""
        return self.tallies.setdefault(listener, Tally())

    def counts(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Listener → connections now, and how many were refused or ended so far, by reason."""
        return {
            listener: (tally.connected, {why.value: tally.gone[why] for why in Gone}) for listener, tally in self.tallies.items()
        }


class Connection(Protocol):
    """One connected client."""

    def abort(self) -> None:
        """End it at once, whatever is unsent. It has left already when `Clients` asks for this."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """``waiting_s`` is how long a connection may wait."""

    connections: int
    per_client: int
    waiting_s: float


@dataclass(slots=True)
class _Party:
    """The connections of one client; ``waiting`` in order, the longest first."""

    everyone: set[Connection] = field(default_factory=set)
    waiting: dict[Connection, float] = field(default_factory=dict)


class Clients:
    """The connections of one listener. Times are those of the caller's clock, in seconds."""

    def __init__(self, limits: ClientLimits, descriptors: Descriptors, tally: Tally) -> None:
        self._limits = limits
        self._descriptors = descriptors
        self._tally = tally
        self._parties: dict[Client, _Party] = {}
        self._of: dict[Connection, Client] = {}
        self._waiting: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._of)

    def make_room(self, client: Client) -> Gone | None:
        """Find a place for one more connection of this client; why there is none, when there is none."""
        party = self._parties.get(client)
        if party is not None and len(party.everyone) >= self._limits.per_client and not self._crowd_out(party.waiting):
            return self._refused(Gone.CLIENT)
        if len(self._of) >= self._limits.connections and not self._crowd_out(self._waiting):
            return self._refused(Gone.FULL)
        if self._descriptors.taken >= self._descriptors.most and not self._crowd_out(self._waiting):
            return self._refused(Gone.DESCRIPTORS)
        return None

    def enter(self, connection: Connection, client: Client, now_s: float) -> None:
        """It is connected, and waits."""
        self._of[connection] = client
        self._parties.setdefault(client, _Party()).everyone.add(connection)
        self._descriptors.taken += 1
        self._tally.connected += 1
        self.waits(connection, now_s)

    def waits(self, connection: Connection, now_s: float) -> None:
        """Nothing is owed to it from now on."""
        client = self._of.get(connection)
        if client is None:
            return
        for waiting in (self._waiting, self._parties[client].waiting):
            waiting.pop(connection, None)
            waiting[connection] = now_s

    def works(self, connection: Connection) -> None:
        """It is being served: it has no deadline here and makes room for nobody."""
        client = self._of.get(connection)
        if client is not None:
            self._waiting.pop(connection, None)
            self._parties[client].waiting.pop(connection, None)

    def leave(self, connection: Connection) -> None:
        """It is closed. Known or not."""
        self.works(connection)
        client = self._of.pop(connection, None)
        if client is None:
            return
        party = self._parties[client]
        party.everyone.discard(connection)
        if not party.everyone:
            del self._parties[client]
        self._descriptors.taken -= 1
        self._tally.connected -= 1

    def end_silent(self, now_s: float) -> None:
        """End those who waited too long."""
        silent = []
        for connection, since_s in self._waiting.items():
            if now_s - since_s < self._limits.waiting_s:
                break
            silent.append(connection)
        for connection in silent:
            self._end(connection, Gone.SILENT)

    def end_stalled(self, connection: Connection) -> None:
        """End one that does not read what it asked for."""
        self._end(connection, Gone.SILENT)

    def end_all(self) -> None:
        """The listener is closed."""
        for connection in list(self._of):
            self.leave(connection)
            connection.abort()

    def _crowd_out(self, waiting: dict[Connection, float]) -> bool:
        for connection in waiting:
            self._end(connection, Gone.CROWDED_OUT)
            return True
        return False

    def _end(self, connection: Connection, why: Gone) -> None:
        self._tally.gone[why] += 1
        self.leave(connection)
        connection.abort()

    def _refused(self, why: Gone) -> Gone:
        self._tally.gone[why] += 1
        return why


def client_of(sock: socket.socket, address: Any) -> Client:
    """Whom a connection counts for. ``address`` is what accept(2) said."""
    if sock.family == socket.AF_UNIX:
        size = struct.calcsize("3i")
        uid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]
        return uid
    if sock.family == socket.AF_INET6:
        found = ipaddress.IPv6Address(address[0].partition("%")[0])
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else int(found) >> (128 - IPV6_CLIENT_BITS)
    return str(address[0])
