"""``completion``, ``version``, and the names that the shell completes: those the node knows."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Any

import typer

from siteshift.cli.exits import Failure
from siteshift.cli.session import Session, command

COMPLETE_VAR = "_SITESHIFT_COMPLETE"
"""What the printed script sets when it asks us for completions."""
DEADLINE_S = 1.0
"""Somebody waits at a Tab; who has no answer by then types the name."""


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command
def completion(session: Session, shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script by which a shell completes commands, options, sites, services and members.

    Put what it prints where the shell looks: /etc/bash_completion.d/siteshift, a folder of zsh's fpath as _siteshift,
    ~/.config/fish/completions/siteshift.fish.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # its own public module lists no names

    script = get_completion_script(prog_name="siteshift", complete_var=COMPLETE_VAR, shell=shell.value)
    if session.is_json:
        session.print_json({"shell": shell.value, "script": script})
        return
    print(script)


@command
def version(session: Session) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    if session.is_json:
        session.print_json({"version": version_of("siteshift")})
        return
    print(version_of("siteshift"))


def sites(ctx: typer.Context, incomplete: str) -> list[str]:
    """Sites that begin so."""
    return _beginning(incomplete, list(_status(ctx).get("sites", {})))


def services(ctx: typer.Context, incomplete: str) -> list[str]:
    """Services that begin so."""
    return _beginning(incomplete, [entry["service"] for entry in _status(ctx).get("services", ())])


def places(ctx: typer.Context, incomplete: str) -> list[str]:
    """Sites and services that begin so."""
    return sites(ctx, incomplete) + services(ctx, incomplete)


def members(ctx: typer.Context, incomplete: str) -> list[str]:
    """Members that begin so, as service/site/name."""
    found = [
        f"{entry['service']}/{site}/{name}"
        for entry in _status(ctx).get("services", ())
        for site, row in entry["sites"].items()
        for name in row["members"]
    ]
    return _beginning(incomplete, found)


def planes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Data planes that begin so."""
    return _beginning(incomplete, list(_status(ctx).get("planes", {})))


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of what is forced."""
    return _beginning(incomplete, [entry["id"] for entry in _status(ctx).get("overrides", ())])


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _status(ctx: typer.Context) -> dict[str, Any]:
    """What the node says, or nothing: a Tab never fails."""
    from siteshift.cli.client import NodeClient
    from siteshift.cli.reach import GivenAddress, find_place

    given = [layer.params for layer in _layers(ctx)]
    try:
        address = GivenAddress()
        for params in given:
            named = {name: params.get(name) for name in ("socket", "url", "token_file", "ca")}
            address = address.over(GivenAddress(**named))
        return NodeClient(find_place(address, os.environ)).get("/v1/status", deadline_s=DEADLINE_S)
    except (Failure, OSError, ValueError, TypeError):
        return {}


def _layers(ctx: typer.Context) -> list[Any]:
    """The context of the command and those around it, the nearest first."""
    found: list[Any] = []
    layer: Any = ctx
    while layer is not None:
        found.append(layer)
        layer = layer.parent
    return found
