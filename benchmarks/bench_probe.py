"""What probing costs and how punctual it is, against HAProxy's own checks and blackbox_exporter in the same run.

One core for whoever probes, the other for the target (a C program that answers on every address of 127.0.0.0/8). Scoring
is on: each result goes through the real `Observer`. Goals, at one-second intervals: p99 lateness of starts at most 5 ms;
CPU per probe at most 1.5 times HAProxy's by new connection and 0.33 times kept alive; blackbox_exporter at least 5 and 25
times dearer. Needs gcc, haproxy, prometheus-blackbox-exporter and two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from siteshift.adapters.probes.http_reply import ReplyReader
from siteshift.adapters.probes.prober import SocketProber, settle_heap
from siteshift.core.judge.vantage import Observer
from siteshift.core.model.codes import Outcome
from siteshift.core.model.policy import JudgePolicy
from siteshift.core.model.probe import HttpCheck, ProbeKind, ProbeSpec
from siteshift.core.model.topology import Member, Pool, Service, Site, Topology
from siteshift.core.model.units import MemberId, ProbeId, ServiceId, SiteId, VantageId
from siteshift.ports import ProbeResult
from siteshift.runtime.clock import SystemClock

PROBER_CORE, TARGET_CORE = 0, 1
MEMBERS_PER_POOL = 50
WARM_UP_S = 3.0
MOST_WARM_UPS, CALM_US = 10, 20_000
MEMBERS_PER_SITE = 500
PASS = Outcome.PASS
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BLACKBOX_CONNECTIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One round of one prober."""

    probes: int
    cpu_s: float
    seconds: float
    late_p50_ms: float = 0.0
    late_p99_ms: float = 0.0
    passed: int = 0

    @property
    def cpu_ms_per_1000(self) -> float:
        return self.cpu_s / max(self.probes, 1) * 1e6


def on_core(core: int) -> list[str]:
    """Pinned, and before whatever else runs on the machine: the same for every program that is measured."""
    return ["taskset", "-c", str(core), *(["nice", "-n", "-15"] if os.geteuid() == 0 else [])]


def endpoint(number: int) -> str:
    """A distinct address of 127.0.0.0/8 for each endpoint."""
    return f"127.{10 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"


# ---- siteshift, in a process of its own


def topology(members: int, port: int) -> Topology:
    """Services of one pool a site, sites of 500 members: the judge's pooled streams are as they are in use."""
    sites = tuple(Site(id=SiteId(f"site{n}")) for n in range(max(members // MEMBERS_PER_SITE, 1)))
    services: list[Service] = []
    number = 0
    while number < members:
        service = ServiceId(f"s{len(services)}")
        pools: list[Pool] = []
        for site in sites:
            own: list[Member] = []
            while number < members and len(own) < MEMBERS_PER_POOL:
                own.append(
                    Member(
                        id=MemberId(f"{service}/{site.id}/m{number}"),
                        service=service,
                        site=site.id,
                        name=f"m{number}",
                        address=endpoint(number),
                        port=port,
                        capacity_rps=100,
                    )
                )
                number += 1
            pools.append(Pool(service=service, site=site.id, nominal_bp=0, members=tuple(own)))
        services.append(Service(id=service, names=(), tier=1, demand_rps=100, pools=tuple(pools)))
    return Topology(sites=sites, services=tuple(services))


def specs(world: Topology, *, keep_alive: bool) -> list[ProbeSpec]:
    """One probe a member; the members of a pool evenly spread, the pools shifted against each other."""
    made: list[ProbeSpec] = []
    pools = [pool for service in world.services for pool in service.pools]
    for n, pool in enumerate(pools):
        for k, member in enumerate(pool.members):
            phase_ms = int((k / len(pool.members) + n / len(pools) / MEMBERS_PER_POOL) * 1_000) % 1_000
            made.append(
                ProbeSpec(
                    id=ProbeId(member.id),
                    target=member.target,
                    kind=ProbeKind.HTTP,
                    address=member.address,
                    port=member.port,
                    phase_ms=phase_ms,
                    keep_alive=keep_alive,
                    http=HttpCheck(path="/health", host="web.example"),
                    stopwatch_ms=500,
                )
            )
    return made


async def probe(shape: str, endpoints: int, port: int, seconds: float) -> Taken:
    """Probe for a while and measure this process."""
    clock = SystemClock()
    world = topology(endpoints, port)
    observer = Observer(world, JudgePolicy(), VantageId("v1"), world.sites[0].id)
    seen = passed = 0
    wanted = specs(world, keep_alive=shape == "kept")
    target_of = {spec.id: spec.target for spec in wanted}

    def sink(result: ProbeResult) -> None:
        nonlocal seen, passed
        seen += 1
        if result.outcome is PASS:
            passed += 1
        observer.result(
            target_of[result.probe],
            result.outcome,
            result.fault,
            result.latency_us,
            result.at_ms,
            result.started_ms,
            result.must_fail,
        )

    async def judge() -> None:
        while True:
            now_ms = clock.now_ms()
            observer.tick(now_ms)
            next_ms = observer.next_timer_ms() or now_ms + 1_000
            await asyncio.sleep(max(next_ms - now_ms, 1) / 1_000)

    prober = SocketProber(clock, sink)
    prober.configure(wanted)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(prober.run()), tasks.create_task(judge())]
        await asyncio.sleep(WARM_UP_S)
        settle_heap()
        for _ in range(MOST_WARM_UPS):  # until all connections are made and all standings known
            prober.lateness.clear()
            await asyncio.sleep(1.0)
            if prober.lateness.quantile_us(990) < CALM_US:
                break
        prober.lateness.clear()
        seen = passed = 0
        cpu, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, took = time.process_time() - cpu, time.monotonic() - began
        probes, good = seen, passed
        figures = prober.figures()
        for task in running:
            task.cancel()
    return Taken(
        probes=probes,
        cpu_s=cpu,
        seconds=took,
        late_p50_ms=figures.late_p50_us / 1_000,
        late_p99_ms=figures.late_p99_us / 1_000,
        passed=good,
    )


def ours(shape: str, endpoints: int, port: int, seconds: float) -> Taken:
    command = [sys.executable, __file__, "--shape", shape, "--endpoints", str(endpoints), "--port", str(port)]
    done = subprocess.run(
        [*on_core(PROBER_CORE), *command, "--seconds", str(seconds)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + 120,
    )
    return Taken(**json.loads(done.stdout))


# ---- the others


def cpu_s(pid: int) -> float:
    """User and system time of a process so far (10 ms steps)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def served(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/served", timeout=10) as answer:
        return int(answer.read())


@contextlib.contextmanager
def process(*command: str, core: int) -> Iterator[subprocess.Popen[str]]:
    """A program in the foreground on one core, ended with the block."""
    program = subprocess.Popen([*on_core(core), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield program
    finally:
        program.terminate()
        program.wait(timeout=30)
        assert program.stdout is not None
        program.stdout.close()


def haproxy(endpoints: int, port: int, seconds: float, folder: Path) -> Taken:
    """HAProxy with one server an endpoint, `option httpchk`, one thread."""
    lines = [
        "global", "  nbthread 1", "  maxconn 1000",
        "defaults", "  mode http", "  timeout connect 800ms", "  timeout check 800ms", "  timeout client 5s",
        "  timeout server 5s",
        "frontend f", f"  bind unix@{folder}/nobody.sock", "  default_backend b",
        "backend b", "  option httpchk GET /health", "  default-server inter 1s",
    ]  # fmt: skip
    lines += [f"  server s{n} {endpoint(n)}:{port} check" for n in range(endpoints)]
    config = folder / "haproxy.cfg"
    config.write_text("\n".join([*lines, ""]))
    with process("haproxy", "-db", "-f", str(config), core=PROBER_CORE) as program:
        time.sleep(WARM_UP_S)
        count, cpu, began = served(port), cpu_s(program.pid), time.monotonic()
        time.sleep(seconds)
        cpu, took = cpu_s(program.pid) - cpu, time.monotonic() - began
        assert program.poll() is None, "haproxy ended by itself"
        return Taken(probes=served(port) - count - 1, cpu_s=cpu, seconds=took)


def blackbox(port: int, seconds: float, folder: Path) -> Taken:
    """blackbox_exporter, asked for one probe after the other on a few connections."""
    config = folder / "blackbox.yml"
    config.write_text("modules:\n  http:\n    prober: http\n    timeout: 2s\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own_port = free.getsockname()[1]
    command = ["prometheus-blackbox-exporter", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{own_port}"]
    with process(*command, core=PROBER_CORE) as program:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", own_port)).close()
                break
            time.sleep(0.05)
        asyncio.run(ask_blackbox(own_port, port, 1.0))
        cpu, began = cpu_s(program.pid), time.monotonic()
        probes = asyncio.run(ask_blackbox(own_port, port, seconds))
        return Taken(probes=probes, cpu_s=cpu_s(program.pid) - cpu, seconds=time.monotonic() - began)


async def ask_blackbox(own_port: int, port: int, seconds: float) -> int:
    ends = time.monotonic() + seconds
    probes = 0

    async def ask(first: int) -> None:
        nonlocal probes
        reader, writer = await asyncio.open_connection("127.0.0.1", own_port, limit=1 << 20)
        number = first
        while time.monotonic() < ends:
            target = f"http://{endpoint(number)}:{port}/health"
            writer.write(f"GET /probe?module=http&target={target} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
            raw = await reader.readuntil(b"\r\n0\r\n\r\n")  # the exporter answers in chunks
            reply = ReplyReader("GET").feed(raw)
            assert reply is not None
            assert b"\nprobe_success 1" in reply.body
            probes += 1
            number += BLACKBOX_CONNECTIONS
        writer.close()

    await asyncio.gather(*(ask(n) for n in range(BLACKBOX_CONNECTIONS)))
    return probes


# ---- the whole


def missing_programs() -> list[str]:
    return [name for name in ("gcc", "haproxy", "prometheus-blackbox-exporter", "taskset") if not shutil.which(name)]


def measure(arguments: argparse.Namespace) -> dict[str, list[Taken]]:
    """All probers in turn, round by round, so that the machine's drift falls on all of them."""
    rounds: dict[str, list[Taken]] = {"new": [], "kept": [], "haproxy": [], "blackbox": []}
    seconds = arguments.seconds / arguments.rounds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = Path(__file__).parent / "probe_target" / "target.c"
        subprocess.run(["gcc", "-O2", "-o", str(folder / "target"), str(source)], check=True)
        with socket.socket() as free:
            free.bind(("0.0.0.0", 0))
            port = free.getsockname()[1]
        with process(str(folder / "target"), str(port), core=TARGET_CORE) as target:
            assert target.stdout is not None
            assert target.stdout.readline() == "ready\n"
            os.sched_setaffinity(0, {TARGET_CORE})
            for _ in range(arguments.rounds):
                rounds["new"].append(ours("new", arguments.new, port, seconds))
                rounds["haproxy"].append(haproxy(arguments.new, port, seconds, folder))
                rounds["kept"].append(ours("kept", arguments.kept, port, seconds))
                rounds["blackbox"].append(blackbox(port, min(seconds, 5.0), folder))
    return rounds


def report(rounds: dict[str, list[Taken]], arguments: argparse.Namespace) -> None:
    cost = {who: statistics.median(one.cpu_ms_per_1000 for one in taken) for who, taken in rounds.items()}
    names = {
        "new": f"siteshift, {arguments.new:,} by new connection",
        "kept": f"siteshift, {arguments.kept:,} kept alive",
        "haproxy": f"HAProxy check, {arguments.new:,}",
        "blackbox": "blackbox_exporter",
    }
    print(f"{'':42}{'probes/s':>9}{'CPU ms/1000':>13}{'p50 late':>10}{'p99 late':>10}")
    for who, taken in rounds.items():
        rate = statistics.median(one.probes / one.seconds for one in taken)
        line = f"{names[who]:42}{rate:9,.0f}{cost[who]:13.1f}"
        if who in ("new", "kept"):
            line += f"{statistics.median(one.late_p50_ms for one in taken):8.1f}ms"
            line += f"{statistics.median(one.late_p99_ms for one in taken):8.1f}ms"
        print(line)
    figures = {
        "cpu_ms_per_1000": {who: round(value, 1) for who, value in cost.items()},
        "late_p99_ms": {who: round(statistics.median(one.late_p99_ms for one in rounds[who]), 2) for who in ("new", "kept")},
        "passed_part": {
            who: round(sum(one.passed for one in rounds[who]) / max(sum(one.probes for one in rounds[who]), 1), 5)
            for who in ("new", "kept")
        },
        "rates": {who: round(statistics.median(one.probes / one.seconds for one in rounds[who])) for who in rounds},
        "new_to_haproxy": round(cost["new"] / cost["haproxy"], 2),
        "kept_to_haproxy": round(cost["kept"] / cost["haproxy"], 2),
        "blackbox_to_new": round(cost["blackbox"] / cost["new"], 1),
        "blackbox_to_kept": round(cost["blackbox"] / cost["kept"], 1),
    }
    goals = [
        ("p99 lateness, new connections, ms", figures["late_p99_ms"]["new"], "<=", 5.0),
        ("p99 lateness, kept alive, ms", figures["late_p99_ms"]["kept"], "<=", 5.0),
        ("new connection / HAProxy", figures["new_to_haproxy"], "<=", 1.5),
        ("kept alive / HAProxy", figures["kept_to_haproxy"], "<=", 0.33),
        ("blackbox / new connection", figures["blackbox_to_new"], ">=", 5.0),
        ("blackbox / kept alive", figures["blackbox_to_kept"], ">=", 25.0),
    ]
    print()
    held = True
    for name, value, sign, goal in goals:
        good = value <= goal if sign == "<=" else value >= goal
        held = held and good
        print(f"{name:42}{value:9}  goal {sign} {goal:<6} {'yes' if good else 'NO'}")
    print(json.dumps({"bench": "probe", **figures, "goals_held": held}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time per prober, over all rounds")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--new", type=int, default=5_000, help="endpoints probed by new connection")
    parser.add_argument("--kept", type=int, default=15_000, help="endpoints probed on kept connections")
    parser.add_argument("--shape", choices=["new", "kept"], help=argparse.SUPPRESS)
    parser.add_argument("--endpoints", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.shape:
        taken = uvloop.run(probe(arguments.shape, arguments.endpoints, arguments.port, arguments.seconds))
        print(json.dumps({name: getattr(taken, name) for name in Taken.__slots__}))
        return 0
    if missing := missing_programs():
        print(f"needed and not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    if len(os.sched_getaffinity(0)) < 2:
        print("this benchmark needs two cores", file=sys.stderr)
        return 2
    report(measure(arguments), arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
