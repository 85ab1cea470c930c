"""The program: one typer application, a file for each group of commands."""

from __future__ import annotations

import typer

from siteshift.cli import lab, run

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Keep services up when a datacentre fails.")
app.command("run")(run.run)
app.add_typer(lab.app, name="lab")


@app.callback()
def _root() -> None:
    """Keep services up when a datacentre fails."""


def main() -> None:
    """The entry point."""
    app()
