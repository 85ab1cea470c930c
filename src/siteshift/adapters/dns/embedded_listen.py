"""The addresses an embedded server answers on: bound together, changed without a gap, let go together."""

from __future__ import annotations

from dataclasses import dataclass

from siteshift.adapters.clients import Descriptors
from siteshift.adapters.dns.embedded_tcp import TcpServer
from siteshift.adapters.dns.embedded_udp import BatchServer, DatagramServer, serve_datagrams, udp_socket
from siteshift.adapters.dns.embedded_zone import Desk

Address = tuple[str, int]

PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class _Bound:
    """One address served over both transports, under the port really bound."""

    udp: BatchServer | DatagramServer
    tcp: TcpServer
    port: int

    async def close(self) -> None:
        await self.udp.close()
        self.tcp.close()


class Listeners:
    """All addresses of one server."""

    def __init__(self, desk: Desk, descriptors: Descriptors, name: str) -> None:
        """``name`` is what the metrics call these listeners."""
        self._desk = desk
        self._descriptors = descriptors
        self._tally = descriptors.tally(name)
        self._bound: dict[Address, _Bound] = {}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """(address, port) really bound, in the order asked for."""
        return tuple((host, bound.port) for (host, _), bound in self._bound.items())

    @property
    def dropped(self) -> int:
        """Replies the sockets would not take."""
        return sum(bound.udp.dropped for bound in self._bound.values())

    async def listen(self, wanted: tuple[Address, ...]) -> None:
        """Serve these addresses from now on: new ones are bound first, then those no longer wanted are let go.

        Raises OSError, naming the address, when one cannot be had; then everything is as before.
        """
        fresh: dict[Address, _Bound] = {}
        for host, port in dict.fromkeys(wanted):
            if (host, port) in self._bound:
                continue
            try:
                fresh[host, port] = await self._bind(host, port)
            except OSError as error:
                for bound in fresh.values():
                    await bound.close()
                raise OSError(error.errno, f"{host} port {port}: {error.strerror or error}") from error
        old = self._bound
        self._bound = {address: fresh.get(address) or old[address] for address in dict.fromkeys(wanted)}
        for address, bound in old.items():
            if address not in self._bound:
                await bound.close()

    async def close(self) -> None:
        await self.listen(())

    async def _bind(self, host: str, port: int) -> _Bound:
        """Bind UDP and TCP to one port. A free one is looked for until both agree."""
        for tries_left in reversed(range(PORT_TRIES)):
            sock = udp_socket(host, port)
            chosen: int = sock.getsockname()[1]
            stream = TcpServer(self._desk, self._descriptors, self._tally)
            try:
                stream.start(host, chosen)
            except OSError:
                sock.close()
                if port or not tries_left:
                    raise
                continue
            return _Bound(await serve_datagrams(sock, self._desk), stream, chosen)
        raise OSError("no port is free for both UDP and TCP")
