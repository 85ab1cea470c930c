"""The demonstration: three sites under load, a fault at the biggest, what siteshift does about it, and the way back.

Ends in at most 90 s with a table, a report in HTML, and a verdict on its criteria.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.lab.faults import Crash, Errors, Fault, Hang, Latency
from siteshift.lab.measure import Milestones, NodeEvent
from siteshift.lab.node_client import NodeClient, NodeSilent
from siteshift.lab.recording import Recording
from siteshift.lab.report import Criterion, Run, write_report
from siteshift.lab.timeline import Bin
from siteshift.lab.world import Lab, LabShape

QUIET_S = 6.0
FAULT_S = 36.0
"""Longer than T95 may take, with the window it is measured over: a slow move shows its time, not "never"."""
END_S = 78.0
"""From the first request; starting the lab takes up to 8 s more, which keeps the whole below 90 s."""
SHOW_EVERY_S = 0.25

LEFT_WITHIN_MS: Mapping[str, int] = {"crash": 2_000, "hang": 3_000, "errors": 8_000, "latency": 8_000}
"""First bad request to changed steering, for a single run: twice the medians that `make bench-detect` must show."""
T95_WITHIN_MS = 30_000
SURVIVOR_MOST_PM = 970
"""The limit of 900, and the chance of Poisson arrivals over five seconds (two sigma at 160 requests/s are 7 %)."""

FAULTS: Mapping[str, Fault] = {
    "crash": Crash(site="pangyo"),
    "hang": Hang(site="pangyo"),
    "errors": Errors(site="pangyo", rate_pm=300),
    "latency": Latency(site="pangyo", added_ms=1_500),
}


@dataclass(slots=True)
class Scene:
    """What is on at a moment, for whoever shows it."""

    phase: str = "starting"
    elapsed_s: float = 0.0
    status: Mapping[str, object] = field(default_factory=dict)
    last_second: list[Bin] = field(default_factory=list)
    capacities: Mapping[str, int] = field(default_factory=dict)
    events: list[NodeEvent] = field(default_factory=list)
    zero_ms: int = 0


Show = Callable[[Scene], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demonstration came to."""

    run: Run
    report: Path

    @property
    def holds(self) -> bool:
        return all(entry.is_met for entry in self.run.criteria)


async def demonstrate(fault_name: str, out: Path, show: Show) -> Outcome:
    """Play it once. Raises `KeyError` for an unknown fault."""
    fault = FAULTS[fault_name]
    async with Lab(LabShape()) as lab:
        await lab.start_node()
        node = NodeClient(lab.api_socket)
        await node.until_fresh(deadline_s=20)
        await lab.start_clients()
        async with Recording(lab) as recording, node:
            play = _Play(lab=lab, node=node, recording=recording, show=show)
            return await play.run(fault, fault_name, out)


@dataclass(slots=True, kw_only=True)
class _Play:
    """One performance."""

    lab: Lab
    node: NodeClient
    recording: Recording
    show: Show
    scene: Scene = field(default_factory=Scene)

    async def run(self, fault: Fault, fault_name: str, out: Path) -> Outcome:
        began = asyncio.get_running_loop().time()
        self.scene.zero_ms = self.recording.now_ms()
        await self._until(began + QUIET_S, "all three sites serve")
        fault_ms = self.recording.now_ms()
        self.recording.note("fault", f"{fault_name} at Pangyo", "pangyo")
        await self.lab.apply(fault)
        await self._until(began + QUIET_S + FAULT_S, f"{fault_name} at Pangyo")
        return_ms = self.recording.now_ms()
        measured = self.recording.milestones(site="pangyo", fault_ms=fault_ms, until_ms=return_ms)
        self.recording.note("return", "Pangyo is repaired", "pangyo")
        await self.lab.undo(fault)
        is_back = await self._until(began + END_S, "Pangyo is repaired: the way back", until_back=True)
        journal = await self.node.verify_journal()
        criteria = judge(fault_name, measured, is_back=is_back, journal=journal)
        run = self.recording.run(
            title=f"{fault_name.capitalize()} at Pangyo",
            summary=_summary(fault_name),
            milestones=measured,
            criteria=criteria,
            parameters=_parameters(self.lab),
            return_ms=return_ms,
        )
        report = out / "report.html"
        await asyncio.to_thread(write_report, run, report)
        return Outcome(run=run, report=report)

    async def _until(self, end: float, phase: str, *, until_back: bool = False) -> bool:
        """Show what happens until an instant, or until Pangyo is back at its share."""
        loop = asyncio.get_running_loop()
        self.scene.phase = phase
        while loop.time() < end:
            await self._look()
            if until_back and _is_back(self.scene.status):
                return True
            await asyncio.sleep(SHOW_EVERY_S)
        return _is_back(self.scene.status)

    async def _look(self) -> None:
        now_ms = self.recording.now_ms()
        self.scene.elapsed_s = (now_ms - self.scene.zero_ms) / 1000
        try:
            self.scene.status = await self.node.status()
        except NodeSilent as error:
            self.recording.note("note", f"the node does not answer: {error}")
        self.lab.timeline.refresh()
        self.scene.last_second = self.lab.timeline.between(now_ms - 1_500, now_ms - 200)
        if self.recording.capacities:
            self.scene.capacities = self.recording.capacities[-1].rps
        self.scene.events = self.recording.events
        self.show(self.scene)


def _is_back(status: Mapping[str, object]) -> bool:
    """Serving, with no more missing of its share than a rebalance is worth: a measured peak of demand may keep that back."""
    services = status.get("services")
    if not isinstance(services, list) or not services:
        return False
    site = services[0]["sites"]["pangyo"]
    return bool(site["life"] == "serving" and site["desired_bp"] >= site["nominal_bp"] - DEADBAND_BP)


def judge(fault: str, found: Milestones, *, is_back: bool, journal: str) -> list[Criterion]:
    """What the run had to show."""
    left_ms, t95_ms = found.after_ms(found.first_write_ms), found.after_ms(found.t95_ms)
    limit_ms = LEFT_WITHIN_MS[fault]
    return [
        Criterion(
            text=f"Pangyo is left within {limit_ms / 1000:g} s of the first bad request",
            is_met=left_ms is not None and left_ms <= limit_ms,
            found=_seconds(left_ms),
        ),
        Criterion(
            text=f"95 % of requests are served elsewhere within {T95_WITHIN_MS / 1000:g} s",
            is_met=t95_ms is not None and t95_ms <= T95_WITHIN_MS,
            found=_seconds(t95_ms),
        ),
        Criterion(
            text="no survivor beyond its limit (90 %, and chance in arrivals)",
            is_met=found.survivor_peak_pm <= SURVIVOR_MOST_PM,
            found=f"{found.survivor_peak_pm / 10:.1f} %",
        ),
        Criterion(
            text="no request lost because of our move",
            is_met=found.lost_by_our_move == 0,
            found=str(found.lost_by_our_move),
        ),
        Criterion(text="Pangyo is back at its share (less than 2 % missing)", is_met=is_back, found="yes" if is_back else "no"),
        Criterion(text="the journal's hash chain holds", is_met=journal.startswith("holds"), found=journal),
    ]


def _seconds(value_ms: int | None) -> str:
    return "never" if value_ms is None else f"{value_ms / 1000:.2f} s"


def _summary(fault: str) -> str:
    return (
        f"Three sites carry 50, 30 and 20 % of the load. Pangyo has a fault ({fault}); siteshift finds out by itself, "
        "starts the standbys, steers users to Gasan and Anyang by DNS, and lets Pangyo come back by a ramp once it is "
        "repaired. Users keep answers for their TTL, and 8.7 % of resolvers keep them longer than they may."
    )


def _parameters(lab: Lab) -> dict[str, str]:
    clients = lab.spec.clients
    sites = ", ".join(f"{site.label} {site.nominal_bp / 100:g} %" for site in lab.spec.sites)
    return {
        "sites": sites,
        "load": f"{clients.load_rps} requests/s from {clients.users} users behind {clients.resolvers} resolvers",
        "stretching resolvers": f"{clients.stretch_pm / 10:g} %, at least {clients.stretch_s} s",
        "probes": "every 1 s per member, 200 ms when in doubt; time-out 800 ms",
        "seed": str(clients.seed),
    }
