"""``siteshift setup``: what a wheel brings, onto this host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure, usage
from siteshift.cli.figures import GOOD, QUIET, WATCH
from siteshift.cli.session import Session, command

EXAMPLES = ("embedded-dns", "haproxy", "bind", "all")
CONFIG = "/etc/siteshift/siteshift.yaml"
_STYLES = {"keep": QUIET, "leave": WATCH}


@command
def setup(
    session: Session,
    example: Annotated[
        str | None, typer.Option("--example", help=f"Begin {CONFIG} from an example: {', '.join(EXAMPLES)}.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace also a unit or sysusers file that was changed.")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="FOLDER", help="Install below it and run nothing: for a package or an image.")
    ] = Path("/"),
    program: Annotated[
        Path | None, typer.Option("--program", metavar="FILE", help="What the unit starts. Default: the one that runs now.")
    ] = None,
) -> None:
    """Install unit, user and group, examples, alert rules, dashboard, scenarios and documents. Starts nothing.

    It may be repeated, as after an update. What a person changed is left as it is, and named.
    """
    from siteshift.app.install import CannotInstall, Doing, Installation
    from siteshift.app.share import share

    if example is not None and example not in EXAMPLES:
        raise usage(f"there is no example {example!r}", f"Known: {', '.join(EXAMPLES)}.")
    installation = Installation(
        root=root.absolute(),
        program=program.absolute() if program is not None else _own_program(),
        share=share(),
        example=example,
        replaces=replace,
    )
    try:
        pieces = installation.pieces()
        if not dry_run:
            installation.install(pieces)
    except CannotInstall as error:
        raise Failure(ExitCode.FAILED, str(error), remedy=error.remedy) from error
    left = [piece for piece in pieces if piece.doing is Doing.LEAVE]
    document = {
        "dry_run": dry_run,
        "files": [{"path": str(piece.path), "doing": piece.doing.value, "why": piece.why} for piece in pieces],
        "commands": installation.commands(),
    }
    lines = [
        Text(f"{piece.doing.value:<8} {piece.path}{f'  ({piece.why})' if piece.why else ''}", _STYLES.get(piece.doing.value, ""))
        for piece in pieces
    ]
    lines += [Text(f"{'run':<8} {' '.join(words)}") for words in installation.commands()]
    session.show(document, lines)
    if dry_run:
        session.say("nothing was done (--dry-run)", QUIET)
    elif left:
        text = f"{len(left)} files were left as they are"
        raise Failure(ExitCode.FAILED, text, remedy="The list above says why.", document=document)
    else:
        session.say(f"Next: put your sites into {CONFIG}, then", GOOD)
        session.say("  siteshift config check && systemctl enable --now siteshift")


def _own_program() -> Path:
    """The command that was started, where its virtual environment has it: not the link on the PATH, nor what Python resolves."""
    return Path(sys.prefix) / "bin" / "siteshift"
