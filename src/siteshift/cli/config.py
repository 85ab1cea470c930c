"""``config check | show | schema``: the configuration file, without a running node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from siteshift.cli.exits import ExitCode, unusable_configuration
from siteshift.cli.figures import GOOD, WATCH
from siteshift.cli.reach import CONFIG
from siteshift.cli.session import Session, command

if TYPE_CHECKING:
    from siteshift.core.model.codes import Mode
    from siteshift.core.model.units import ServiceId

app = typer.Typer(no_args_is_help=True, help="The configuration file: check it, show it, its schema.")

File = Annotated[Path, typer.Argument(help="The configuration file.")]
Elsewhere = Annotated[
    bool, typer.Option("--elsewhere", help="The file is for another machine: do not look for its secrets and files here.")
]


@app.command("check")
@command
def check(session: Session, file: File = CONFIG, elsewhere: Elsewhere = False) -> None:
    """Every problem at once, with file:line:column, id and remedy; exit code 2 when one is an error."""
    from siteshift.config import ProblemSeverity, Surroundings, check_config, idle_text

    surroundings = Surroundings.IGNORED if elsewhere else Surroundings.CHECKED
    problems = check_config(file, surroundings)
    errors = [entry for entry in problems if entry.severity is ProblemSeverity.ERROR]
    idle = {} if errors else _idle(file)
    counts = f"{file}: {len(errors)} errors, {len(problems) - len(errors)} warnings"
    document = {
        "file": str(file),
        "usable": not errors,
        "idle_services": {service: mode.value for service, mode in idle.items()},
        "problems": [
            {
                "id": entry.id,
                "severity": entry.severity.value,
                "file": entry.file,
                "line": entry.line,
                "column": entry.column,
                "path": entry.path,
                "message": entry.message,
                "remedy": entry.remedy,
            }
            for entry in problems
        ],
    }
    session.show(document, [Text(str(entry), no_wrap=True, overflow="ignore") for entry in problems])
    session.say(counts, WATCH if errors else GOOD)
    if errors:
        raise typer.Exit(ExitCode.USAGE)
    if idle:
        session.say(idle_text(idle), WATCH)


def _idle(file: Path) -> dict[ServiceId, Mode]:
    from siteshift.config import Surroundings, idle_services, load_config, policy_of
    from siteshift.core.model.units import ServiceId

    config = load_config(file, Surroundings.IGNORED).config
    return idle_services(policy_of(config), [ServiceId(service.id) for service in config.services])


@app.command("show")
@command
def show(session: Session, file: File = CONFIG, elsewhere: Elsewhere = False) -> None:
    """The configuration as it takes effect: every default filled in, secrets as references."""
    from siteshift.config import ConfigError, Surroundings, effective_values, load_config, show_config

    try:
        loaded = load_config(file, Surroundings.IGNORED if elsewhere else Surroundings.CHECKED)
    except ConfigError as error:
        raise unusable_configuration(str(error)) from error
    if session.is_json:
        session.print_json(effective_values(loaded.config))
    else:
        print(show_config(loaded.config), end="")


@app.command("schema")
@command
def schema(session: Session) -> None:
    """The JSON Schema of the file, for editors."""
    from siteshift.config import config_schema

    del session
    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))
