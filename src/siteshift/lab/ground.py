"""What a lab stands on: plain loopback addresses, or network namespaces, one per site.

Namespaces have no names: each is held open by a process of ours, so that it vanishes with it, whatever happens to us.
The edge namespace holds the bridge, the balancer, the DNS server, the clients and the node; each site hangs on it by
a veth pair. Addresses are ``10.77.<site number>.<host>`` in one flat network.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from siteshift.lab.addresses import DNS_PORTS, claim_slot, free_port
from siteshift.lab.children import ChildFailed, Children
from siteshift.lab.faults import FaultImpossible

DNS_HOST = "0.53"
BIND_PORTS = range(15_300, 19_300)
"""Twenty for each slot, on 127.0.0.1."""
EDGE = "edge"
"""The place of everything that belongs to no site."""
TOOL_S = 10.0
"""How long ``ip`` or ``nft`` may take."""
DROP_ALL = """table inet hole {
  chain incoming { type filter hook input priority 0; policy drop; }
  chain outgoing { type filter hook output priority 0; policy drop; }
}
"""


class DnsListener(Enum):
    """Who serves DNS: the node binds any address; BIND listens only where an interface has the address."""

    NODE = "node"
    BIND = "bind"


class Ground(Protocol):
    """Addresses and places. ``prefix`` are the first two numbers of every address."""

    @property
    def prefix(self) -> str: ...

    def dns_at(self, *, listener: DnsListener) -> tuple[str, int]:
        """Address and port for the authoritative server."""

    def port(self, addresses: Sequence[str], candidates: tuple[int, ...]) -> int:
        """A port that is free on all of the addresses."""

    async def prepare(self, children: Children, edge: Sequence[str], sites: dict[str, Sequence[str]]) -> None:
        """Make the addresses of the edge and of each site usable."""

    def enter(self, place: str) -> Sequence[str]:
        """What to put before a command so that it runs at a place (`EDGE` or a site)."""

    def cut(self, site: str) -> None:
        """Make packets to and from the site vanish. Raises `FaultImpossible` where that cannot be done."""

    def mend(self, site: str) -> None:
        """Let packets through again."""

    def release(self) -> None:
        """Give back what the kernel does not take back by itself."""


class Loopback:
    """Everything on this machine's loopback interface, in a slot of its own."""

    def __init__(self) -> None:
        self._slot = claim_slot()

    @property
    def prefix(self) -> str:
        return self._slot.prefix

    def dns_at(self, *, listener: DnsListener) -> tuple[str, int]:
        if listener is DnsListener.NODE:
            address = f"{self.prefix}.{DNS_HOST}"
            return address, self.port([address], DNS_PORTS)
        first = BIND_PORTS.start + self._slot.number * 20
        return "127.0.0.1", self.port(["127.0.0.1"], tuple(range(first, first + 20)))

    def port(self, addresses: Sequence[str], candidates: tuple[int, ...]) -> int:
        return free_port(addresses, candidates=candidates)

    async def prepare(self, children: Children, edge: Sequence[str], sites: dict[str, Sequence[str]]) -> None:
        """All of 127.0.0.0/8 is usable as it is."""

    def enter(self, place: str) -> Sequence[str]:  # noqa: ARG002 (every place is here)
        return ()

    def cut(self, site: str) -> None:
        raise FaultImpossible(f"a black hole at {site} needs the lab's network namespaces")

    def mend(self, site: str) -> None:
        self.cut(site)

    def release(self) -> None:
        self._slot.release()


class Namespaces:
    """One network namespace for the edge and one for each site. Needs root."""

    prefix = "10.77"

    def __init__(self) -> None:
        self._holders: dict[str, int] = {}

    def dns_at(self, *, listener: DnsListener) -> tuple[str, int]:  # noqa: ARG002 (all addresses are real here)
        return f"{self.prefix}.{DNS_HOST}", DNS_PORTS[0]

    def port(self, addresses: Sequence[str], candidates: tuple[int, ...]) -> int:  # noqa: ARG002 (all are ours)
        return candidates[0]

    async def prepare(self, children: Children, edge: Sequence[str], sites: dict[str, Sequence[str]]) -> None:
        for place in (EDGE, *sites):
            await self._hold(children, place)
        await asyncio.to_thread(self._wire, edge, sites)

    async def _hold(self, children: Children, place: str) -> None:
        """Start the process that holds the namespace open, and wait until it is in it."""
        name = f"net-{place}"
        child = children.start(name, ["unshare", "--net", "--", "sleep", "infinity"])
        ours = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 (procfs, answered by the kernel at once)

        def is_inside() -> bool:
            try:
                return Path(f"/proc/{child.pid}/ns/net").stat().st_ino != ours
            except OSError:
                return False

        await children.until_ready(name, is_inside)
        self._holders[place] = child.pid

    def _wire(self, edge: Sequence[str], sites: dict[str, Sequence[str]]) -> None:
        self._ip(EDGE, "link set lo up", "link add br0 type bridge", "link set br0 up")
        self._ip(EDGE, *(f"addr add {address}/16 dev br0" for address in edge))
        for number, (site, addresses) in enumerate(sites.items(), start=1):
            pid = self._holders[site]
            self._ip(
                EDGE,
                f"link add site{number} type veth peer name eth0 netns {pid}",
                f"link set site{number} master br0 up",
            )
            self._ip(site, "link set lo up", "link set eth0 up")
            self._ip(site, *(f"addr add {address}/16 dev eth0" for address in addresses))

    def _ip(self, place: str, *lines: str) -> None:
        self._run(place, ["ip", "-batch", "-"], "\n".join(lines))

    def _run(self, place: str, argv: Sequence[str], text: str) -> None:
        found = subprocess.run(
            [*self.enter(place), *argv], input=text, text=True, capture_output=True, timeout=TOOL_S, check=False
        )
        if found.returncode:
            raise ChildFailed(f"{' '.join(argv)} at {place}: {found.stderr.strip()}")

    def enter(self, place: str) -> Sequence[str]:
        return ("nsenter", f"--net=/proc/{self._holders[place]}/ns/net", "--")

    def cut(self, site: str) -> None:
        self._run(site, ["nft", "-f", "-"], DROP_ALL)

    def mend(self, site: str) -> None:
        self._run(site, ["nft", "-f", "-"], "delete table inet hole\n")

    def release(self) -> None:
        """The namespaces go with their holders."""


def listens(pid: int, address: str, port: int) -> bool:
    """Whether somebody in the process's network namespace listens on that TCP address and port."""
    wanted = f"{_hex_address(address)}:{port:04X}"
    try:
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(fields[1] == wanted and fields[3] == "0A" for fields in (line.split() for line in lines))


def _hex_address(address: str) -> str:
    """As /proc/net/tcp writes it: the 32-bit number in the machine's (little-endian) order."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
