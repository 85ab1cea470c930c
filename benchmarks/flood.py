"""A whole node under a flood: what it does to probes and answers, what it costs, and that nothing is moved (`make flood`).

One real node with everything that reads sockets: probes, DNS by UDP and TCP, HAProxy's runtime API and agent checks, a page
of counters, the API over a Unix socket and TLS. Then, in turns of calm and flood: 500 connections that pipeline DNS
queries and never read, 2,000 clients of the API that say nothing, drip, or never read their events, handshakes that do not
end, and a service whose endpoints all turn hostile at once (chunks of one byte without end, ...), together with the page of
counters (600 MB of gzip) and HAProxy's answers (without end). The node has one core, everything else the other.

Printed: lateness of probe starts (the node's own metric) and the time to an answer by UDP as a ratio to the calm turns of the
same run, medians of the rounds; the most memory; moves. Exit status 1 when a bound is missed. ``--quick`` is one short
round that judges all but the ratios: moves, memory, answers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from flood_parts.site import DNS_CROWD, NODE_CORE, SILENT_CROWD, TLS_CROWD, Site, flood_site

RATIO_MOST = 3.0
MEMORY_MOST_MB = 300
API_S = 10.0
"""What people's command line waits for a look."""
TCP_S = 5.0
"""What `dig` and most resolvers wait for an answer by TCP."""
ASK_EVERY_S = 0.004
SETTLE_S = 2.0


@dataclass(slots=True)
class Asker:
    """Asks the node by UDP all the time, and keeps how long each answer took."""

    port: int
    took_us: list[int] = field(default_factory=list)
    unanswered: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        query = dns.message.make_query("www.shop.test", "A").to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.0)
            sock.connect(("127.0.0.1", self.port))
            number = 0
            while not self._over.wait(ASK_EVERY_S * random.uniform(0.5, 1.5)):
                number = (number + 1) % 65_536
                began = time.perf_counter_ns()
                sock.send(number.to_bytes(2, "big") + query[2:])
                try:
                    while sock.recv(4_096)[:2] != number.to_bytes(2, "big"):
                        pass
                except TimeoutError:
                    self.unanswered += 1
                    continue
                self.took_us.append((time.perf_counter_ns() - began) // 1_000)

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, name="asker")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What was measured in one turn."""

    late_us: dict[str, float]
    udp_us: dict[str, float]
    unanswered: int
    tcp_s: float
    memory_mb: int
    busy: float
    api_s: float
    moves: int
    refused: dict[str, int]


def measured(site: Site, seconds: float) -> Turn:
    """Watch the node for a while."""
    asker = Asker(site.dns_port)
    began_s, busy_s = time.monotonic(), site.busy_s()
    before, shares = site.lateness(), site.shares()
    memory_mb, moves, api_s, tcp_s = 0, 0, 0.0, 0.0
    end = time.monotonic() + seconds
    with asker.asking():
        while time.monotonic() < end:
            began = time.monotonic()
            now = site.shares()
            api_s = max(api_s, time.monotonic() - began)
            tcp_s = max(tcp_s, ask_by_tcp(site.dns_port))
            moves += now != shares
            shares = now
            memory_mb = max(memory_mb, site.memory_mb())
            time.sleep(0.25)
    took = sorted(asker.took_us)
    return Turn(
        late_us=site.lateness().since(before),
        udp_us={"median": statistics.median(took), "p99": took[int(len(took) * 0.99)]},
        unanswered=asker.unanswered,
        tcp_s=tcp_s,
        memory_mb=memory_mb,
        busy=(site.busy_s() - busy_s) / (time.monotonic() - began_s),
        api_s=api_s,
        moves=moves,
        refused=site.refused(),
    )


def ask_by_tcp(port: int) -> float:
    """How long one answer by TCP took, as somebody who asks again when the crowd pushed them out: what `dig` does."""
    query = dns.message.make_query("www.shop.test", "A")
    began = time.monotonic()
    while True:
        try:
            dns.query.tcp(query, "127.0.0.1", port=port, timeout=TCP_S)
            break
        except (OSError, EOFError, dns.exception.DNSException):
            if time.monotonic() - began > 2 * TCP_S:
                break
    return time.monotonic() - began


def compare(site: Site, *, rounds: int, seconds: float) -> tuple[list[Turn], list[Turn]]:
    """Calm and flood in turns."""
    calm: list[Turn] = []
    flood: list[Turn] = []
    for number in range(1, rounds + 1):
        time.sleep(SETTLE_S)
        calm.append(measured(site, seconds))
        with site.flooded():
            time.sleep(SETTLE_S)
            flood.append(measured(site, seconds))
        for name, turn in (("calm", calm[-1]), ("flood", flood[-1])):
            print(
                f"round {number} {name:5}  late {turn.late_us['mean']:6.0f} us mean {turn.late_us['p99']:7.0f} p99   "
                f"udp {turn.udp_us['median']:6.0f} us median {turn.udp_us['p99']:7.0f} p99   "
                f"at most: tcp {turn.tcp_s:5.2f} s, api {turn.api_s:5.2f} s, {turn.memory_mb:4} MB   "
                f"{turn.busy * 100:3.0f} % busy   {turn.moves} moves",
                flush=True,
            )
        site.until_calm()
    return calm, flood


def ratios(calm: list[Turn], flood: list[Turn]) -> dict[str, float]:
    """Medians of the rounds' ratios."""

    def median(kind: str, figure: str) -> float:
        pairs = zip(calm, flood, strict=True)
        return round(statistics.median(getattr(two, kind)[figure] / getattr(one, kind)[figure] for one, two in pairs), 2)

    return {
        "late_mean": median("late_us", "mean"),
        "late_p99": median("late_us", "p99"),
        "udp_median": median("udp_us", "median"),
        "udp_p99": median("udp_us", "p99"),
    }


def judge(calm: list[Turn], flood: list[Turn], found: dict[str, float]) -> list[str]:
    """The bounds that were missed. ``found`` are the ratios that count."""
    turns = (*calm, *flood)
    missed = [f"{name} is {ratio} times as long" for name, ratio in found.items() if ratio > RATIO_MOST]
    memory_mb = max(turn.memory_mb for turn in turns)
    if memory_mb > MEMORY_MOST_MB:
        missed.append(f"{memory_mb} MB of memory")
    if moves := sum(turn.moves for turn in turns):
        missed.append(f"{moves} moves")
    if any(turn.api_s > API_S for turn in turns):
        missed.append(f"the API took {max(turn.api_s for turn in turns):.1f} s")
    if any(turn.tcp_s > TCP_S for turn in turns):
        missed.append(f"an answer by TCP took {max(turn.tcp_s for turn in turns):.1f} s")
    if unanswered := sum(turn.unanswered for turn in flood):
        missed.append(f"{unanswered} questions by UDP without an answer")
    if not flood[-1].refused:
        missed.append("nobody was refused: the flood did not arrive")
    return missed


def stand_before_the_crowds() -> None:
    """Served before the node on its core, for the little time it takes: what is measured is the node, not our waiting.

    On the crowds' core the kernel hands on packets as late as they make it (ksoftirqd), and that would be measured too.
    """
    os.sched_setaffinity(0, {NODE_CORE})
    if os.geteuid() == 0:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a turn")
    parser.add_argument("--quick", action="store_true", help="one round of three seconds, without judging the ratios")
    options = parser.parse_args()
    stand_before_the_crowds()
    rounds, seconds = (1, 3.0) if options.quick else (options.rounds, options.seconds)
    for program in ("taskset", "haproxy"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            sys.exit(f"{program} is missing: make servers")
    with tempfile.TemporaryDirectory(prefix="siteshift-flood-") as folder, flood_site(Path(folder)) as site:
        print(f"crowds: {DNS_CROWD} DNS over TCP, {SILENT_CROWD} silent at the API, {TLS_CROWD} half-way into TLS", flush=True)
        calm, flood = compare(site, rounds=rounds, seconds=seconds)
    found = ratios(calm, flood)
    missed = judge(calm, flood, {} if options.quick else found)
    print("\n                          flood / calm   bound")
    for name, ratio in found.items():
        print(f"  {name:22} {ratio:10.2f}   {RATIO_MOST:g}")
    memory_mb = max(turn.memory_mb for turn in (*calm, *flood))
    print(f"  {'memory, MB':22} {memory_mb:10}   {MEMORY_MOST_MB}")
    print(f"  {'moves':22} {sum(turn.moves for turn in flood):10}   0")
    print(f"  {'refused or ended':22} {sum(flood[-1].refused.values()):10}   {flood[-1].refused}")
    for line in missed:
        print(f"MISSED: {line}")
    figures = {
        **found,
        "memory_mb": memory_mb,
        "moves": sum(turn.moves for turn in (*calm, *flood)),
        "probes": round(sum(turn.late_us["probes"] for turn in flood)),
        "refused": sum(flood[-1].refused.values()),
        "unanswered": sum(turn.unanswered for turn in flood),
        "tcp_s": round(max(turn.tcp_s for turn in flood), 2),
        "api_s": round(max(turn.api_s for turn in flood), 2),
        "rounds": rounds,
        "missed": missed,
    }
    print(json.dumps({"bench": "flood", **figures}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
