"""``plane out``, ``plane in``: a data plane that carries no users for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from siteshift.cli.act import Act, Manner, carry_out
from siteshift.cli.moves import DryRun, For, Reason, Ticket, Unasked, duration_s, record_of, record_words
from siteshift.cli.session import Session, node_command
from siteshift.cli.shell import planes

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Data planes out of service and back in, so that moves go on without them.")

Plane = Annotated[str, typer.Argument(help="The id of an enactor; `siteshift status` lists them.", autocompletion=planes)]


@app.command("out")
@node_command
def out(
    session: Session,
    plane: Plane,
    reason: Reason,
    ticket: Ticket = "",
    time: For = None,
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """No user comes by this data plane: moves no longer wait for it. It is still read, and written when it answers."""
    del yes
    act = Act(
        path="plane-out",
        body={"plane": plane, **record_of(reason, ticket, duration_s(time, "--for"))},
        words=("plane", "out", plane, *record_words(reason, ticket, time)),
        done=f"granted: {plane} is out of service; nothing waits for it",
    )
    carry_out(session, act, Manner(dry_run=dry_run))


@app.command("in")
@node_command
def put_in(
    session: Session,
    plane: Plane,
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    yes: Unasked = False,
) -> None:
    """Users come by this data plane again: moves wait until it has confirmed them."""
    del yes
    act = Act(
        path="plane-in",
        body={"plane": plane, **record_of(reason, ticket)},
        words=("plane", "in", plane, *record_words(reason, ticket)),
        done=f"granted: {plane} is in service again",
    )
    carry_out(session, act, Manner(dry_run=dry_run))
