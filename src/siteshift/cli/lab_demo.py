"""The demonstration on the screen: the sites while it plays, the figures and criteria in the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from siteshift.lab.demo import Outcome, Scene, demonstrate
from siteshift.lab.measure import NOTE, NodeEvent
from siteshift.lab.timeline import Bin

EVENTS_SHOWN = 9


async def play(console: Console, fault: str, out: Path) -> Outcome:
    """Play it, on a live screen or line by line. Raises `ChildFailed` and `NodeSilent`."""
    if not console.is_terminal:
        return await demonstrate(fault, out, _Teller(console).tell)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        return await demonstrate(fault, out, lambda scene: live.update(_picture(scene)))


class _Teller:
    """Without a terminal: phases and events, a line each, as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._told = 0

    def tell(self, scene: Scene) -> None:
        if scene.phase != self._phase:
            self._phase = scene.phase
            self._console.print(f"[{scene.elapsed_s:5.1f} s] -- {scene.phase}", markup=False)
        for event in scene.events[self._told :]:
            if event.kind != NOTE:
                self._console.print(_event_line(event, scene.zero_ms), markup=False)
        self._told = len(scene.events)


def _event_line(event: NodeEvent, zero_ms: int) -> str:
    return f"[{(event.at_ms - zero_ms) / 1000:5.1f} s] {event.kind:10} {event.text}"


def _picture(scene: Scene) -> Group:
    """One screen: the sites, and what happened last."""
    title = Text(f" {scene.elapsed_s:5.1f} s   {scene.phase}", style="bold")
    rows = [_event_line(event, scene.zero_ms) for event in scene.events if event.kind != NOTE][-EVENTS_SHOWN:]
    return Group(title, _sites(scene), Text("\n".join(rows)))


def _sites(scene: Scene) -> Table:
    table = Table(expand=False)
    for name in ("site", "standing", "life", "desired", "seen", "requests/s", "capacity", "used", "lost/s"):
        table.add_column(name, justify="left" if name in ("site", "standing", "life") else "right")
    services = scene.status.get("services")
    sites: Mapping[str, Any] = services[0]["sites"] if isinstance(services, list) and services else {}
    window_s = max(0.1, len(scene.last_second) * 0.1)
    sent = _per_site(scene.last_second, "sent")
    lost = _per_site(scene.last_second, "lost_total")
    total = max(1, sum(sent.values()))
    for site, entry in sites.items():
        rate, capacity = sent.get(site, 0) / window_s, scene.capacities.get(site, 0)
        table.add_row(
            site,
            entry["standing"],
            entry["life"],
            f"{(entry['desired_bp'] or 0) / 100:.1f} %",
            f"{100 * sent.get(site, 0) / total:.1f} %",
            f"{rate:.0f}",
            str(capacity),
            f"{100 * rate / capacity:.0f} %" if capacity else "-",
            f"{lost.get(site, 0) / window_s:.0f}",
        )
    return table


def _per_site(bins: list[Bin], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in bins:
        for site, count in entry.sites.items():
            found[site] = found.get(site, 0) + int(getattr(count, name))
    return found


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Figures and criteria."""
    found = outcome.run.milestones
    steps = Table(title="From the first bad request", title_justify="left")
    for name in ("suspicion", "diagnosis", "first write", "T95"):
        steps.add_column(name, justify="right")
    instants = (found.suspicion_ms, found.diagnosis_ms, found.first_write_ms, found.t95_ms)
    steps.add_row(*(_seconds(found.after_ms(at)) for at in instants))
    console.print(steps)
    counts = Table(title="While the fault lasted", title_justify="left")
    for name in ("offered", "served", "lost", "lost by our move", "highest use of a survivor"):
        counts.add_column(name, justify="right")
    counts.add_row(
        str(found.offered),
        str(found.served),
        str(found.lost),
        str(found.lost_by_our_move),
        f"{found.survivor_peak_pm / 10:.1f} %",
    )
    console.print(counts)
    verdicts = Table(title="Criteria", title_justify="left")
    for name in ("", "criterion", "found"):
        verdicts.add_column(name)
    for entry in outcome.run.criteria:
        verdicts.add_row("holds" if entry.is_met else "MISSED", entry.text, entry.found)
    console.print(verdicts)
    console.print(f"report: {outcome.report}", markup=False)


def _seconds(value_ms: int | None) -> str:
    return "never" if value_ms is None else f"{value_ms / 1000:.2f} s"
