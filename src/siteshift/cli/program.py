"""The program: one typer application, a file for each group of commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer

from siteshift.cli import (
    approvals,
    config,
    drill,
    journal,
    lab,
    looks,
    members,
    moves,
    overrides,
    planes,
    run,
    setup,
    shell,
    sim,
    top,
)
from siteshift.cli.examples import epilog, group_of
from siteshift.cli.reach import GivenAddress
from siteshift.cli.session import Ca, Json, Session, Socket, TokenFile, Url

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keep services up when a datacentre fails.",
)
COMMANDS: dict[str, Callable[..., None] | typer.Typer] = {
    "status": looks.status,
    "top": top.top,
    "why": looks.why,
    "members": members.members,
    "plan": looks.plan,
    "fate": looks.fate,
    "drain": moves.drain,
    "undrain": moves.undrain,
    "depool": moves.depool,
    "pool": moves.pool,
    "override": overrides.app,
    "freeze": overrides.freeze,
    "unfreeze": overrides.unfreeze,
    "plane": planes.app,
    "approvals": approvals.list_approvals,
    "approve": approvals.approve,
    "revoke": approvals.revoke,
    "ack": approvals.ack,
    "switch": approvals.switch,
    "journal": journal.app,
    "setup": setup.setup,
    "run": run.run,
    "config": config.app,
    "completion": shell.completion,
    "version": shell.version,
    "sim": sim.app,
    "drill": drill.drill,
    "lab": lab.app,
}
for _name, _made in COMMANDS.items():
    if isinstance(_made, typer.Typer):
        for _entry in _made.registered_commands:
            _entry.epilog = epilog(f"{_name} {_entry.name}")
        app.add_typer(_made, name=_name, rich_help_panel=group_of(_name))
    else:
        app.command(_name, rich_help_panel=group_of(_name), epilog=epilog(_name))(_made)


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
    """The entry point; asked by a shell for completions, it takes typer's form of the question."""
    if shell.COMPLETE_VAR in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # its own public module lists no names

        completion_init()
    app()
