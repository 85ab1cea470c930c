"""One run of a command: how it prints, whom it asks, and how it ends.

Every command is made by `command` (or `node_command`, when it asks a node). They add the options all commands share
and turn failures into messages and exit codes, so that a command itself reads like what it does.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from siteshift.cli.client import NodeClient
from siteshift.cli.exits import Document, ExitCode, Failure, failure_document
from siteshift.cli.figures import BAD, WATCH
from siteshift.cli.reach import GivenAddress, find_place
from siteshift.errors import SiteshiftError

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Socket = Annotated[Path | None, typer.Option("--socket", metavar="PATH", help="The node's Unix socket. (env SITESHIFT_SOCKET)")]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="The node's https address. (env SITESHIFT_URL)")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the bearer token. (env SITESHIFT_TOKEN_FILE)")
]
Ca = Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Certificates to trust. (env SITESHIFT_CA)")]


@dataclass(slots=True, kw_only=True)
class Session:
    """How this run prints and whom it asks."""

    given: GivenAddress = field(default_factory=GivenAddress)
    is_json: bool = False
    out: Console = field(default_factory=lambda: console())
    err: Console = field(default_factory=lambda: console(stderr=True))

    @property
    def client(self) -> NodeClient:
        """The node. Raises `Failure` when it is not said where it is."""
        return NodeClient(find_place(self.given, os.environ))

    @property
    def can_ask(self) -> bool:
        """Whether a person sits there."""
        return not self.is_json and sys.stdin.isatty() and sys.stdout.isatty()

    def show(self, document: Document, renderables: Sequence[RenderableType]) -> None:
        """The result: the document for scripts, or what people read."""
        if self.is_json:
            self.print_json(document)
            return
        for entry in renderables:
            self.print(entry)

    def print(self, entry: RenderableType) -> None:
        """Something people read. Where it goes to a file or a pipe, lines keep their length: scripts look for words."""
        self.out.print(entry, soft_wrap=isinstance(entry, Text) and not self.out.is_terminal)

    def print_json(self, document: Any) -> None:
        """One JSON document on standard output."""
        print(json.dumps(document, ensure_ascii=False, indent=2))

    def say(self, text: str, style: str = "") -> None:
        """A line beside the result: on standard error, nothing with ``--json``."""
        if not self.is_json:
            self.err.print(Text(text, style=style), soft_wrap=True)


def console(*, stderr: bool = False) -> Console:
    """A console that prints data as they are; 100 columns where there is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A command with ``--json``; its first parameter is the `Session`."""
    return _shared(function, {"json": Json})


def node_command(function: Callable[..., None]) -> Callable[..., None]:
    """A command that asks a node."""
    return _shared(function, {"socket": Socket, "url": Url, "token_file": TokenFile, "ca": Ca, "json": Json})


def _shared(function: Callable[..., None], options: dict[str, Any]) -> Callable[..., None]:
    """Append the options to the signature that typer reads, and run the function under one roof."""
    hints = typing.get_type_hints(function, include_extras=True)
    session_name, *own = inspect.signature(function).parameters.values()

    @functools.wraps(function)
    def run(ctx: typer.Context, **given: Any) -> None:
        shared = {name: given.pop(name) for name in options}
        session = _session(ctx, shared)
        try:
            function(session, **given)
        except Failure as failure:
            raise typer.Exit(report(session, failure)) from failure
        except SiteshiftError as error:
            raise typer.Exit(report(session, Failure(ExitCode.FAILED, str(error)))) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.FAILED) from None

    del session_name
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    mine = [entry.replace(annotation=hints[entry.name], kind=inspect.Parameter.KEYWORD_ONLY) for entry in own]
    theirs = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False if kind is Json else None
        )
        for name, kind in options.items()
    ]
    del run.__wrapped__
    run.__signature__ = inspect.Signature([context, *mine, *theirs])  # type: ignore[attr-defined]  # typer reads it from there
    run.__annotations__ = {entry.name: entry.annotation for entry in (context, *mine, *theirs)}
    return run


def _session(ctx: typer.Context, shared: dict[str, Any]) -> Session:
    """What was said at this command, over what was said before it."""
    root = ctx.find_object(Session)
    earlier = root if root is not None else Session()
    given = GivenAddress(**{name: shared.get(name) for name in ("socket", "url", "token_file", "ca")})
    return Session(given=given.over(earlier.given), is_json=earlier.is_json or bool(shared["json"]))


def report(session: Session, failure: Failure) -> ExitCode:
    """Say what went wrong and what to do next; the exit code."""
    if session.is_json:
        session.print_json(failure_document(failure))
        return failure.exit_code
    session.say(failure.text, WATCH if failure.exit_code is ExitCode.NEEDS_APPROVAL else BAD)
    if failure.remedy:
        session.say(failure.remedy)
    return failure.exit_code
