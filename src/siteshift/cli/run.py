"""``siteshift run``: the node as a process."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from siteshift.app.daemon import serve
from siteshift.errors import SiteshiftError

CONFIG = Path("/etc/siteshift/siteshift.yaml")


def run(config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = CONFIG) -> None:
    """Run a node until it is told to stop."""
    try:
        report = uvloop.run(serve(config, version=version("siteshift")))
    except SiteshiftError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False)
        raise typer.Exit(1) from error
    raise typer.Exit(1 if report.failed else 0)
