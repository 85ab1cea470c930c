"""``drill --lab``: the same scenario simulated and for real, side by side."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure, usage
from siteshift.cli.figures import GOOD, QUIET, WATCH
from siteshift.cli.session import Session, command

if TYPE_CHECKING:
    from siteshift.app.drill import Drilled

Scenario = Annotated[
    Path, typer.Option("--lab", metavar="FILE", help="The scenario to play in the lab, on this machine.", show_default=False)
]
Watched = Annotated[int, typer.Option("--for", help="Seconds watched from the first fault on.", min=5, max=3_600)]
Load = Annotated[int, typer.Option(help="Requests per second.", min=20, max=2_000)]


@command
def drill(session: Session, lab: Scenario, watched: Watched = 60, load: Load = 300) -> None:
    """Play a scenario with real processes, and show beside it what the simulator says."""
    from siteshift.app.drill import CannotDrill
    from siteshift.app.drill import drill as play
    from siteshift.lab.children import ChildFailed
    from siteshift.lab.node_client import NodeSilent
    from siteshift.sim.scenario.document import ScenarioError
    from siteshift.sim.scenario.scenario import load_scenario

    try:
        scenario = load_scenario(lab)
    except ScenarioError as error:
        raise usage(str(error), remedy="Nothing was started.") from error
    try:
        found = asyncio.run(play(scenario, watched_ms=watched * 1_000, load_rps=load, tell=session.say))
    except CannotDrill as error:
        remedy = (
            "Real can be: crash, hang, errors, latency, surge, a member's crash or flapping, the node's death, and each return."
        )
        raise usage(str(error), remedy=remedy) from error
    except (ChildFailed, NodeSilent) as error:
        raise Failure(ExitCode.FAILED, f"the lab could not run: {error}") from error
    session.show({**asdict(found), "far": [name for name, *_, far in _rows(found) if far]}, [_table(found), *_verdict(found)])


def _rows(found: Drilled) -> list[tuple[str, str, str, bool]]:
    """Figure, simulated, real, and whether they are too far apart."""
    from siteshift.app.drill import is_far

    one, other = found.simulated, found.real
    times = [
        (name, _seconds(a), _seconds(b), is_far(a, b, 500))
        for name, a, b in (
            ("T_detect", one.detect_ms, other.detect_ms),
            ("T_decide", one.decide_ms, other.decide_ms),
            ("T95", one.t95_ms, other.t95_ms),
        )
    ]
    return [
        *times,
        ("lost, s of the site", f"{one.lost_s:.2f}", f"{other.lost_s:.2f}", is_far(one.lost_s, other.lost_s, 0.2)),
        ("lost requests", f"{one.lost:.0f}", f"{other.lost:.0f}", is_far(one.lost, other.lost, 30)),
        ("late requests", f"{one.late:.0f}", f"{other.late:.0f}", is_far(one.late, other.late, 30)),
        ("survivors' peak %", f"{one.survivor_peak_pm / 10:.0f}", f"{other.survivor_peak_pm / 10:.0f}", False),
    ]


def _seconds(value_ms: int | None) -> str:
    return "never" if value_ms is None else f"{value_ms / 1000:.2f} s"


def _table(found: Drilled) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 2, 0, 0))
    table.add_column(found.id, overflow="fold")
    for name in ("simulated", "real"):
        table.add_column(name, justify="right")
    table.add_column("")
    for name, one, other, far in _rows(found):
        table.add_row(name, one, other, Text("apart", style=WATCH) if far else "")
    return table


def _verdict(found: Drilled) -> list[Text]:
    far = [name for name, *_, is_apart in _rows(found) if is_apart]
    if not far:
        return [Text("simulated and real agree within 30 %", style=GOOD)]
    return [Text(f"more than 30 % apart: {', '.join(far)}", style=WATCH)]
