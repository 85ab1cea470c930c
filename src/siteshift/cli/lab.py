"""``siteshift lab``: the demonstration, and the lab that stays up. The lab itself is imported when it is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Three sites of real processes on this machine: see it work.")
console = Console(highlight=False)

DEMO_FAULTS = ("crash", "hang", "errors", "latency")
"""Those of `lab.demo`, named here so that no other command has to load the lab."""


@app.command("demo")
def demo(
    fault: Annotated[str, typer.Option(help=f"One of {', '.join(DEMO_FAULTS)}.")] = "crash",
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("build/demo"),
) -> None:
    """Break Pangyo under load, watch what happens, let it come back. Exit 0 only if every criterion holds."""
    from siteshift.cli.lab_demo import play, print_outcome
    from siteshift.lab.children import ChildFailed
    from siteshift.lab.node_client import NodeSilent

    if fault not in DEMO_FAULTS:
        console.print(f"there is no fault {fault!r} here; choose one of {', '.join(DEMO_FAULTS)}")
        raise typer.Exit(2)
    try:
        outcome = asyncio.run(play(console, fault, out))
    except (ChildFailed, NodeSilent) as error:
        console.print(f"the lab could not run: {error}", style="bold red", markup=False)
        raise typer.Exit(1) from error
    print_outcome(console, outcome)
    raise typer.Exit(0 if outcome.holds else 1)


@app.command("up")
def up(
    folder: Annotated[Path, typer.Option(help="Where the lab keeps its files.")] = Path("build/lab"),
    load: Annotated[int, typer.Option(help="Requests per second.", min=1, max=2_000)] = 300,
) -> None:
    """Start the lab and keep it up; type faults at the prompt, Ctrl-C or `quit` ends it."""
    from siteshift.cli.lab_prompt import stay
    from siteshift.lab.children import ChildFailed
    from siteshift.lab.folder import FolderTaken, FolderUnusable
    from siteshift.lab.node_client import NodeSilent

    try:
        asyncio.run(stay(console, folder, load))
    except FolderUnusable as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except (ChildFailed, NodeSilent, FolderTaken) as error:
        console.print(f"the lab could not run: {error}", style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("the lab is down")
