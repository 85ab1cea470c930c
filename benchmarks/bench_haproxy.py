"""10,000 HAProxy servers: changes in batches against one connection per command, and a full read-back.

Prints medians measured in turns within one run, and one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from servers.haproxy_server import HaproxyServer, haproxy
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.adapters.haproxy.plane import BackendMap, HaproxyPlane, ServerMap
from siteshift.adapters.haproxy.runtime_api import RuntimeApi
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.steering import ServiceSteering, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId

BACKENDS, PER_BACKEND = 100, 100
SITES = tuple(map(SiteId, ("pangyo", "gasan", "anyang")))
DEADLINE_MS = 60_000


class MonotonicClock:
    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def sections() -> str:
    lines = ["backend web\n  server only 127.0.0.1:9"]
    for backend in range(BACKENDS):
        lines.append(f"backend b{backend}")
        lines += [f"  server s{server} 127.0.0.1:9 weight 10" for server in range(PER_BACKEND)]
    return "\n".join(lines)


def plane(address: str) -> HaproxyPlane:
    backends = tuple(
        BackendMap(
            service=ServiceId(f"svc{backend}"),
            backend=f"b{backend}",
            servers=tuple(
                ServerMap(server=f"s{n}", site=SITES[n % 3], member=MemberId(f"svc{backend}/{SITES[n % 3]}/s{n}"))
                for n in range(PER_BACKEND)
            ),
        )
        for backend in range(BACKENDS)
    )
    return HaproxyPlane(id=EnactorId("bench"), address=address, backends=backends)


def steering(generation: int, plane: HaproxyPlane) -> Steering:
    shares = ({SITES[0]: 5000, SITES[1]: 3000, SITES[2]: 2000}, {SITES[0]: 0, SITES[1]: 6000, SITES[2]: 4000})
    services = tuple(
        ServiceSteering(
            service=backend.service,
            shares_bp=shares[generation % 2],
            members_pm={mapped.member: 1000 for mapped in backend.servers if mapped.member is not None},
            ttl_s=30,
        )
        for backend in plane.backends
    )
    return Steering(generation=generation, term=1, decided_at_ms=0, services=services)


async def timed_ms(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1000


class LoopWatch:
    """The longest time the loop was held, in CPU time of its thread between two ticks: other work does not count."""

    def __init__(self) -> None:
        self.worst_ms = 0.0

    async def __aenter__(self) -> LoopWatch:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            started = time.thread_time()
            await asyncio.sleep(0)
            self.worst_ms = max(self.worst_ms, (time.thread_time() - started) * 1000)


def weights(weight: int) -> list[str]:
    return [f"set server b{b}/s{s} weight {weight}" for b in range(BACKENDS) for s in range(PER_BACKEND)]


async def one_by_one(server: HaproxyServer, commands: list[str]) -> None:
    """What a script does: one connection per command (raw asyncio streams, no siteshift code)."""
    for command in commands:
        reader, writer = await asyncio.open_unix_connection(str(server.socket))
        writer.write(command.encode() + b"\n")
        assert await reader.read(-1) == b"\n"
        writer.close()


def _one_by_one_blocking(path: str, commands: list[str]) -> None:
    """The same with blocking sockets: the cheapest client there can be for it."""
    import socket

    for command in commands:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(command.encode() + b"\n")
            assert sock.recv(64) == b"\n"
            sock.recv(64)


async def run(server: HaproxyServer, rounds: int) -> dict[str, float]:
    api = RuntimeApi(server.address, system="haproxy bench")
    setup = plane(server.address)
    enactor = HaproxyEnactor(setup, MonotonicClock())
    took: dict[str, list[float]] = {}

    async def batched(commands: list[str]) -> None:
        assert await api.change(commands, deadline_ms=DEADLINE_MS) == ()

    async def read_back(reader: HaproxyEnactor = enactor) -> None:
        assert len((await reader.read_back(deadline_ms=DEADLINE_MS)).shares_bp) == BACKENDS

    steerings = [steering(generation, setup) for generation in range(2 * rounds + 1)]

    async def enact(generation: int) -> None:
        result = await enactor.enact(steerings[generation], deadline_ms=DEADLINE_MS)
        assert result.outcome is EnactOutcome.APPLIED, result.detail

    for turn in range(rounds):
        commands = weights(10 + turn)
        per_turn = {
            "batched": await timed_ms(lambda: batched(commands)),  # noqa: B023
            "one_connection_each_blocking": await timed_ms(
                lambda: asyncio.to_thread(_one_by_one_blocking, str(server.socket), commands)  # noqa: B023
            ),
            "one_connection_each_asyncio": await timed_ms(lambda: one_by_one(server, commands)),  # noqa: B023
        }
        per_turn |= {
            "enact_whole_drain": await timed_ms(lambda: enact(1 + 2 * turn)),  # noqa: B023
            "read_back": await timed_ms(read_back),
            "read_back_anew": await timed_ms(lambda: read_back(HaproxyEnactor(setup, MonotonicClock()))),
        }
        async with LoopWatch() as watch:
            await enact(2 + 2 * turn)
            await read_back()
        per_turn["loop_held_at_most"] = watch.worst_ms
        for name, ms in per_turn.items():
            took.setdefault(name, []).append(ms)
    return {name: statistics.median(values) for name, values in took.items()}


async def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with haproxy(Path(folder), sections()) as server:
            medians = await run(server, rounds)
    for name, ms in medians.items():
        print(f"  {name:<30} {ms:9.1f} ms")
    ratios = {
        "ratio": medians["one_connection_each_blocking"] / medians["batched"],
        "ratio_asyncio": medians["one_connection_each_asyncio"] / medians["batched"],
    }
    for name, ratio in ratios.items():
        print(f"  {name:<30} {ratio:9.1f} x")
    figures = {f"{name}_ms": round(ms, 1) for name, ms in medians.items()}
    figures |= {name: round(ratio, 2) for name, ratio in ratios.items()}
    print(json.dumps({"bench": "haproxy", "servers": BACKENDS * PER_BACKEND, "rounds": rounds, **figures}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
