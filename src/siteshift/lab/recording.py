"""Keeps what a run's figures and its report need, while it happens: open capacity, and what the node says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

import aiohttp

from siteshift.lab.feed import Interpreter, node_messages
from siteshift.lab.measure import CapacitySample, Milestones, NodeEvent, SharesAt, measure
from siteshift.lab.report import Criterion, Run
from siteshift.lab.timeline import wall_clock
from siteshift.lab.world import Lab

EVERY_S = 0.25


class Recording:
    """Use as an async context manager around what is to be recorded; the node, if there is one, must run already."""

    def __init__(self, lab: Lab) -> None:
        self.now_ms = wall_clock(lab.spec.clock_offset_ms)
        self.capacities: list[CapacitySample] = []
        self._lab = lab
        self._interpreter = Interpreter()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def events(self) -> list[NodeEvent]:
        """What the node said and did so far, and what `note` added."""
        return self._interpreter.events

    @property
    def desired(self) -> list[SharesAt]:
        """The shares the node wanted, from when to when."""
        return self._interpreter.desired

    async def __aenter__(self) -> Recording:
        loop = asyncio.get_running_loop()
        nominal = {site.id: site.nominal_bp for site in self._lab.spec.sites}
        self.desired.append(SharesAt(at_ms=self.now_ms(), shares_bp=nominal))
        self._tasks.append(loop.create_task(self._sample(), name="sample capacities"))
        if "node" in self._lab.children:
            self._tasks.append(loop.create_task(self._listen(), name="listen to the node"))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and error is None:
                raise outcome

    async def _sample(self) -> None:
        while True:
            at_ms = self.now_ms()
            self.capacities.append(CapacitySample(at_ms=at_ms, rps=await self._lab.capacities()))
            await asyncio.sleep(EVERY_S)

    async def _listen(self) -> None:
        """Follow the node's events; a node that was stopped and started again is followed again."""
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async for message in node_messages(self._lab.api_socket):
                    self._interpreter.take(message)
            await asyncio.sleep(EVERY_S)

    def note(self, kind: str, text: str, site: str = "") -> None:
        """Add an event of our own."""
        self.events.append(NodeEvent(at_ms=self.now_ms(), kind=kind, text=text, site=site))

    def milestones(self, *, site: str, fault_ms: int, until_ms: int) -> Milestones:
        """The figures up to now (see `measure`)."""
        self._lab.timeline.refresh()
        return measure(self._lab.timeline.bins, self.events, self.capacities, site=site, fault_ms=fault_ms, until_ms=until_ms)

    def run(
        self,
        *,
        title: str,
        summary: str,
        milestones: Milestones,
        criteria: list[Criterion],
        parameters: Mapping[str, str],
        return_ms: int | None = None,
    ) -> Run:
        """Everything a report is made of."""
        self._lab.timeline.refresh()
        return Run(
            title=title,
            summary=summary,
            labels={site.id: site.label for site in self._lab.spec.sites},
            bins=list(self._lab.timeline.bins),
            milestones=milestones,
            desired=self.desired,
            capacities=self.capacities,
            events=sorted(self.events, key=lambda event: event.at_ms),
            criteria=criteria,
            parameters=parameters,
            return_ms=return_ms,
        )
