"""Run a prober on real sockets and wait for what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from siteshift.adapters.probes.prober import SocketProber
from siteshift.adapters.probes.workbench import ProberLimits
from siteshift.core.model.probe import ProbeKind, ProbeSpec
from siteshift.core.model.units import ProbeId, TargetId
from siteshift.ports import ProbeResult
from siteshift.runtime.clock import SystemClock

DEADLINE_S = 30
"""How long a condition may take on a busy machine."""


def spec(kind: ProbeKind, port: int, *, address: str = "127.0.0.1", name: str = "one", **more: object) -> ProbeSpec:
    """A probe that runs five times a second."""
    settings: dict[str, object] = {"interval_ms": 200, "timeout_ms": 3_000, "slo_latency_ms": 3_000, **more}
    return ProbeSpec(
        id=ProbeId(name),
        target=TargetId(f"member:web/pangyo/{name}"),
        kind=kind,
        address=address,
        port=port,
        **settings,  # type: ignore[arg-type]
    )


@dataclass(slots=True)
class Probing:
    """A running prober and all it has said."""

    prober: SocketProber
    clock: SystemClock
    results: list[ProbeResult] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    raises_for: frozenset[str] = frozenset()

    def sink(self, result: ProbeResult) -> None:
        if result.probe in self.raises_for:
            raise RuntimeError("a sink must not raise, but this one does")
        self.results.append(result)
        self.news.set()

    async def until(self, wanted: Callable[[ProbeResult], bool], *, times: int = 1, since: int = 0) -> ProbeResult:
        """The ``times``-th result that is wanted; fails with what was said instead."""

        async def look() -> ProbeResult:
            while True:
                found = [result for result in self.results[since:] if wanted(result)]
                if len(found) >= times:
                    return found[times - 1]
                self.news.clear()
                await self.news.wait()

        try:
            return await asyncio.wait_for(look(), DEADLINE_S)
        except TimeoutError:
            raise AssertionError(f"never came; the last results: {self.results[-5:]}") from None

    async def next_result(self) -> ProbeResult:
        return await self.until(lambda _: True, since=len(self.results))


@contextlib.asynccontextmanager
async def probing(*specs: ProbeSpec, limits: ProberLimits | None = None) -> AsyncIterator[Probing]:
    """Probe these until the end of the block."""
    clock = SystemClock()
    results: list[ProbeResult] = []
    prober = SocketProber(clock, lambda result: seen.sink(result), limits=limits, seed=1)
    seen = Probing(prober, clock, results)
    prober.configure(specs)
    task = asyncio.create_task(prober.run())
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


LAGGED = "our own loop lagged"


async def first_result(one: ProbeSpec, *, limits: ProberLimits | None = None) -> ProbeResult:
    """What the first run amounts to that a busy machine did not spoil: such a run says itself that it knows nothing."""
    async with probing(one, limits=limits) as seen:
        return await seen.until(lambda result: LAGGED not in result.detail)
