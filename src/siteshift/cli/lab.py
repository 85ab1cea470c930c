"""``siteshift lab``: the demonstration, and the lab that stays up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from siteshift.lab.children import ChildFailed
from siteshift.lab.demo import FAULTS, Outcome, Scene, demonstrate
from siteshift.lab.faults import FaultImpossible, apply, parse_fault, undo
from siteshift.lab.measure import NOTE, NodeEvent
from siteshift.lab.node_client import NodeClient, NodeSilent
from siteshift.lab.spec import SERVICE_NAME, ClientSpec
from siteshift.lab.timeline import Bin
from siteshift.lab.world import Lab, LabShape

app = typer.Typer(no_args_is_help=True, help="Three sites of real processes on this machine: see it work.")
console = Console(highlight=False)

EVENTS_SHOWN = 9


@app.command("demo")
def demo(
    fault: Annotated[str, typer.Option(help=f"One of {', '.join(FAULTS)}.")] = "crash",
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build/demo"),
) -> None:
    """Break Pangyo under load, watch what happens, let it come back. Exit 0 only if every criterion holds."""
    if fault not in FAULTS:
        console.print(f"there is no fault {fault!r} here; choose one of {', '.join(FAULTS)}")
        raise typer.Exit(2)
    try:
        outcome = asyncio.run(_demonstrate(fault, out))
    except (ChildFailed, NodeSilent) as error:
        console.print(f"the lab could not run: {error}", style="bold red", markup=False)
        raise typer.Exit(1) from error
    _print_outcome(outcome)
    raise typer.Exit(0 if outcome.holds else 1)


async def _demonstrate(fault: str, out: Path) -> Outcome:
    if not console.is_terminal:
        return await demonstrate(fault, out, _Teller().tell)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        return await demonstrate(fault, out, lambda scene: live.update(_picture(scene)))


class _Teller:
    """Without a terminal: phases and events, a line each, as they come."""

    def __init__(self) -> None:
        self._phase = ""
        self._told = 0

    def tell(self, scene: Scene) -> None:
        if scene.phase != self._phase:
            self._phase = scene.phase
            console.print(f"[{scene.elapsed_s:5.1f} s] -- {scene.phase}", markup=False)
        for event in scene.events[self._told :]:
            if event.kind != NOTE:
                console.print(_event_line(event, scene.zero_ms), markup=False)
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


def _print_outcome(outcome: Outcome) -> None:
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


@app.command("up")
def up(
    folder: Annotated[Path, typer.Option(help="Where the lab keeps its files.")] = Path("build/lab"),
    load: Annotated[int, typer.Option(help="Requests per second.", min=1, max=2_000)] = 300,
) -> None:
    """Start the lab and keep it up; type faults at the prompt, Ctrl-C or `quit` ends it."""
    try:
        asyncio.run(_stay(folder, load))
    except (ChildFailed, NodeSilent) as error:
        console.print(f"the lab could not run: {error}", style="bold red", markup=False)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("the lab is down")


async def _stay(folder: Path, load: int) -> None:
    async with Lab(LabShape(folder=folder, clients=ClientSpec(load_rps=load))) as lab:
        await lab.start_node()
        async with NodeClient(lab.api_socket) as node:
            await node.until_fresh(deadline_s=20)
            await lab.start_clients()
            _print_ways_in(lab)
            await _prompt(lab)


def _print_ways_in(lab: Lab) -> None:
    socket = lab.api_socket
    console.print("The lab is up: three sites under load, one node, its DNS.", style="bold")
    console.print(f"  status   siteshift --socket {socket} status", markup=False)
    console.print(f"  drain    siteshift --socket {socket} drain pangyo --reason 'try it' --wait", markup=False)
    console.print(f"  live     siteshift --socket {socket} top", markup=False)
    console.print(f"  DNS      dig @{lab.spec.dns} -p {lab.spec.dns_port} {SERVICE_NAME}", markup=False)
    console.print(f"  files    {lab.spec.path}", markup=False)
    console.print("Type a fault (crash@pangyo, hang@gasan, errors:300@pangyo, latency:1500@anyang), the same with")
    console.print("'undo' before it, 'load 400', or 'quit'.")


async def _prompt(lab: Lab) -> None:
    """Read commands; without a terminal, just stay."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():
        await asyncio.Event().wait()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        if line in ("quit", "exit"):
            return
        await _obey(lab, line)


async def _obey(lab: Lab, line: str) -> None:
    words = line.split()
    try:
        if words[0] == "load" and len(words) == 2 and words[1].isdigit():
            await lab.set_load(int(words[1]))
        elif words[0] == "undo" and len(words) == 2:
            await undo(lab, parse_fault(words[1], site="pangyo", member="p1"))
        elif len(words) == 1:
            await apply(lab, parse_fault(words[0], site="pangyo", member="p1"))
        else:
            console.print("not understood; see above", markup=False)
            return
        console.print("done")
    except FaultImpossible as error:
        console.print(str(error), markup=False)
