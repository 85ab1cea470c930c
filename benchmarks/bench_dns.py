"""Embedded DNS against gdnsd and PowerDNS Lua (`shared`): queries per second of server CPU, one core each, same run.

Every server is pinned to one core and answers weighted A questions about the same names; dnsperf loads it from the
other core. Short rounds take turns, so drift of the machine hits all alike; the figure is answers per CPU second of
the server process, the median of the rounds. Then: how long after `enact` is called the first changed answer is seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import dns_servers
from servers.dns_servers import DnsServer
from siteshift.adapters.dns.embedded import EmbeddedDns
from siteshift.adapters.dns.zone import ZoneConfig
from siteshift.adapters.memory.clock import ManualClock
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.topology import Pool, Service, Site, Topology
from siteshift.core.model.units import EnactorId, ServiceId, SiteId

NAMES = 100
SITES = (SiteId("pangyo"), SiteId("gasan"), SiteId("anyang"))
SHARES_BP = (5_000, 3_000, 2_000)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
GOAL_GDNSD, GOAL_POWERDNS = 0.6, 4.0
OUTSTANDING = 150
"""Fits the receive buffer gdnsd takes by default; a lost query would idle its slot for the whole time-out."""
SERVER_CORE, LOAD_CORE = 0, 1
THIS_FILE = str(Path(__file__).resolve())
TICKS = os.sysconf("SC_CLK_TCK")


QUERY = b"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02w0\x07example\x04test\x00\x00\x01\x00\x01"
"""An A question about the first name."""


def topology(names: int = NAMES) -> Topology:
    """As many services as names, each one address a site."""
    services = tuple(
        Service(
            id=ServiceId(f"w{n}"),
            names=(f"w{n}.{dns_servers.ZONE}",),
            tier=1,
            demand_rps=1,
            pools=tuple(
                Pool(service=ServiceId(f"w{n}"), site=site, nominal_bp=bp, answers=(address,))
                for site, bp, address in zip(SITES, SHARES_BP, ADDRESSES, strict=True)
            ),
        )
        for n in range(names)
    )
    return Topology(sites=tuple(Site(id=site) for site in SITES), services=services)


def steer(generation: int, names: int, shares: tuple[int, ...]) -> Steering:
    """All services alike."""
    entries = tuple(
        ServiceSteering(
            service=ServiceId(f"w{n}"), shares_bp=dict(zip(SITES, shares, strict=True)), members_pm={}, ttl_s=30
        )
        for n in range(names)
    )
    return Steering(generation=generation, term=1, decided_at_ms=0, services=entries)


def embedded(port: int, names: int = NAMES) -> EmbeddedDns:
    zone = ZoneConfig(origin=dns_servers.ZONE, ns_names=(f"ns1.{dns_servers.ZONE}.",), listen=(("127.0.0.1", port),))
    return EmbeddedDns(EnactorId("embedded"), topology(names), zone, ManualClock())


def serve_embedded(port: int) -> None:
    """The server process of the benchmark."""

    async def forever() -> None:
        server = embedded(port)
        await server.start()
        await asyncio.Event().wait()

    uvloop.run(forever())


def pinned(*command: str) -> list[str]:
    return ["taskset", "-c", str(SERVER_CORE), *command]


@contextmanager
def embedded_server(directory: Path) -> Iterator[DnsServer]:
    directory.mkdir()
    with dns_servers.running(
        "embedded", directory, lambda port: pinned(sys.executable, THIS_FILE, "--serve", str(port))
    ) as server:
        yield server


@contextmanager
def gdnsd_server(directory: Path) -> Iterator[DnsServer]:
    """gdnsd with its plugin `weighted`, one UDP thread."""
    gdnsd = dns_servers.program("gdnsd", "gdnsd")
    for folder in ("zones", "run", "state"):
        (directory / folder).mkdir(parents=True)
    lines = ["@ SOA ns1 hostmaster 1 3600 600 604800 30\n@ NS ns1\nns1 A 127.0.0.1\n"]
    lines += [f"w{n} 30 DYNA weighted!web\n" for n in range(NAMES)]
    (directory / "zones" / dns_servers.ZONE).write_text("".join(lines))
    weights = ", ".join(
        f"{site} = [{address}, {bp // 100}]" for site, address, bp in zip(SITES, ADDRESSES, SHARES_BP, strict=True)
    )

    def command(port: int) -> list[str]:
        (directory / "config").write_text(
            f"options => {{ listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1,"
            f" run_dir => {directory}/run, state_dir => {directory}/state }}\n"
            f"service_types => {{ none => {{ plugin => null }} }}\n"
            f"plugins => {{ weighted => {{ service_types = up, web => {{ {weights} }} }} }}\n"
        )
        return pinned(gdnsd, "-c", str(directory), "start")

    with dns_servers.running("gdnsd", directory, command) as server:
        yield server


@contextmanager
def powerdns_server(directory: Path) -> Iterator[DnsServer]:
    """PowerDNS with Lua records in `shared` mode, one thread of each kind."""
    directory.mkdir()
    pdns = dns_servers.program("pdns_server", "pdns-server")
    choice = ",".join(f"{{{bp // 100},'{address}'}}" for address, bp in zip(ADDRESSES, SHARES_BP, strict=True))
    records = tuple((f"w{n}", 30, "LUA", f'A "pickwrandom({{{choice}}})"') for n in range(NAMES))
    dns_servers.powerdns_database(directory / "pdns.db", records)

    def command(port: int) -> list[str]:
        (directory / "pdns.conf").write_text(
            f"launch=gsqlite3\ngsqlite3-database={directory}/pdns.db\nlocal-address=127.0.0.1\nlocal-port={port}\n"
            f"socket-dir={directory}\nenable-lua-records=shared\ndaemon=no\nguardian=no\ndisable-syslog=yes\n"
            "receiver-threads=1\ndistributor-threads=1\nloglevel=3\n"
        )
        return pinned(pdns, f"--config-dir={directory}")

    with dns_servers.running("powerdns", directory, command) as server:
        yield server


@dataclass(slots=True)
class Rounds:
    """What was measured of one server."""

    per_cpu_second: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)
    lost: int = 0


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(server: DnsServer, questions: Path, seconds: float, rounds: Rounds) -> None:
    """One round of load."""
    before, started = cpu_seconds(server.process.pid), time.monotonic()
    load = ["taskset", "-c", str(LOAD_CORE), dns_servers.program("dnsperf", "dnsperf"), "-s", server.host]
    load += ["-p", str(server.port), "-d", str(questions), "-l", str(seconds), "-c", "8", "-q", str(OUTSTANDING), "-t", "1"]
    output = subprocess.run(load, capture_output=True, text=True, check=True).stdout
    used, passed = cpu_seconds(server.process.pid) - before, time.monotonic() - started
    completed = int(_figure(output, r"Queries completed:\s+(\d+)"))
    rounds.lost += int(_figure(output, r"Queries lost:\s+(\d+)"))
    rounds.per_cpu_second.append(completed / used)
    rounds.per_second.append(_figure(output, r"Queries per second:\s+([\d.]+)"))
    rounds.cores.append(used / passed)


def _figure(output: str, pattern: str) -> float:
    match = re.search(pattern, output)
    assert match, output
    return float(match.group(1))


def load_all(directory: Path, rounds: int, seconds: float) -> dict[str, Rounds]:
    """Rounds that take turns among the servers."""
    questions = directory / "questions"
    questions.write_text("".join(f"w{n}.{dns_servers.ZONE} A\n" for n in range(NAMES)))
    launchers = {"embedded": embedded_server, "gdnsd": gdnsd_server, "powerdns lua": powerdns_server}
    found = {name: Rounds() for name in launchers}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(launch(directory / name.replace(" ", "-"))) for name, launch in launchers.items()
        }
        for server in servers.values():
            measure(server, questions, 0.5, Rounds())
        for _ in range(rounds):
            for name, server in servers.items():
                measure(server, questions, seconds, found[name])
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """From the call of `enact` to the first changed answer, and to its return (ms)."""

    seen_ms: float
    enact_ms: float
    later_stale: int


async def change(server: EmbeddedDns, generation: int, names: int) -> Change:
    """Move everything to another site while a client asks without pause."""
    site = generation % 3
    port = server.addresses[0][1]
    client = await asyncio.create_subprocess_exec(
        sys.executable, THIS_FILE, "--ask", str(port), ADDRESSES[site], stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    await client.stdout.readline()
    shares = tuple(10_000 if index == site else 0 for index in range(3))
    steering = steer(generation, names, shares)
    called = time.monotonic()
    result = await server.enact(steering, deadline_ms=10_000)
    returned = time.monotonic()
    assert result.outcome is EnactOutcome.APPLIED
    reply = server.respond(QUERY)
    later_stale = int(reply is None or reply[-4:] != socket.inet_aton(ADDRESSES[site]))
    seen = float(await client.stdout.readline())
    await client.wait()
    return Change(1000 * (seen - called), 1000 * (returned - called), later_stale)


def ask_until(port: int, address: str) -> None:
    """The client process: asks without pause and says when an answer is ``address`` for the first time."""
    wanted = socket.inet_aton(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        sock.send(QUERY)
        sock.recv(512)
        print("asking", flush=True)
        while True:
            sock.send(QUERY)
            if sock.recv(512)[-4:] == wanted:
                print(time.monotonic(), flush=True)
                return


async def changes(names: int, count: int) -> list[Change]:
    server = embedded(0, names)
    await server.start()
    try:
        first = await server.enact(steer(1, names, (0, 10_000, 0)), deadline_ms=10_000)
        assert first.outcome is EnactOutcome.APPLIED
        return [await change(server, generation, names) for generation in range(2, 2 + count)]
    finally:
        await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    args = parser.parse_args()
    if args.serve is not None:
        serve_embedded(args.serve)
        return
    if args.ask is not None:
        ask_until(int(args.ask[0]), args.ask[1])
        return
    with tempfile.TemporaryDirectory() as directory:
        found = load_all(Path(directory), args.rounds, args.seconds)
    per_core = {name: statistics.median(rounds.per_cpu_second) for name, rounds in found.items()}
    print(f"{'server':14}{'answers per CPU second':>24}{'qps':>12}{'cores':>8}{'lost':>7}{'of ours':>10}")
    for name, rounds in found.items():
        print(
            f"{name:14}{per_core[name]:>24,.0f}{statistics.median(rounds.per_second):>12,.0f}"
            f"{statistics.median(rounds.cores):>8.2f}{rounds.lost:>7}{per_core['embedded'] / per_core[name]:>9.2f}x"
        )
    print(f"\n{'change of weights':20}{'first changed answer':>22}{'enact returned':>16}{'stale afterwards':>18}")
    live: dict[int, list[Change]] = {}
    for names, count in ((1, 30), (1_000, 10)):
        live[names] = uvloop.run(changes(names, count))
        print(
            f"{names:>6} services{statistics.median(c.seen_ms for c in live[names]):>24.2f} ms"
            f"{statistics.median(c.enact_ms for c in live[names]):>13.2f} ms{sum(c.later_stale for c in live[names]):>17}"
        )
    summary = {
        "bench": "dns",
        "qps_per_core": {name: round(value) for name, value in per_core.items()},
        "ratio_gdnsd": round(per_core["embedded"] / per_core["gdnsd"], 3),
        "ratio_powerdns_lua": round(per_core["embedded"] / per_core["powerdns lua"], 2),
        "goal_ratio_gdnsd": GOAL_GDNSD,
        "goal_ratio_powerdns_lua": GOAL_POWERDNS,
        "weights_live_ms": round(statistics.median(c.seen_ms for c in live[1]), 3),
        "weights_live_1000_services_ms": round(statistics.median(c.seen_ms for c in live[1_000]), 3),
        "stale_answers_after_enact": sum(c.later_stale for found in live.values() for c in found),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
