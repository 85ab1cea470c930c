"""The program: one typer application, a file for each group of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from siteshift.cli import approvals, config, drill, journal, lab, looks, members, moves, overrides, planes, run, setup, sim, top
from siteshift.cli.reach import GivenAddress
from siteshift.cli.session import Ca, Json, Session, Socket, TokenFile, Url

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep services up when a datacentre fails.",
)
app.command("setup")(setup.setup)
app.command("run")(run.run)
app.add_typer(config.app, name="config")
app.command("status")(looks.status)
app.command("top")(top.top)
app.command("why")(looks.why)
app.command("members")(members.members)
app.command("plan")(looks.plan)
app.command("drain")(moves.drain)
app.command("undrain")(moves.undrain)
app.command("depool")(moves.depool)
app.command("pool")(moves.pool)
app.add_typer(overrides.app, name="override")
app.command("freeze")(overrides.freeze)
app.command("unfreeze")(overrides.unfreeze)
app.add_typer(planes.app, name="plane")
app.command("approvals")(approvals.list_approvals)
app.command("approve")(approvals.approve)
app.command("revoke")(approvals.revoke)
app.command("ack")(approvals.ack)
app.add_typer(approvals.switch, name="switch")
app.command("fate")(looks.fate)
app.add_typer(journal.app, name="journal")
app.add_typer(lab.app, name="lab")
app.add_typer(sim.app, name="sim")
app.command("drill")(drill.drill)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("siteshift"))
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    socket: Socket = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Keep services up when a datacentre fails."""
    del version
    ctx.obj = Session(given=GivenAddress(socket=socket, url=url, token_file=token_file, ca=ca), is_json=json)


def main() -> None:
    """The entry point."""
    app()
