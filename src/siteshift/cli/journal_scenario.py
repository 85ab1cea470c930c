"""``journal to-scenario``: an incident of the record as a scenario file, to be played again under another policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from siteshift.cli.exits import ExitCode, Failure, usage
from siteshift.cli.figures import GOOD
from siteshift.cli.journal_replay import RecordFile, read_rows
from siteshift.cli.session import Session, node_command
from siteshift.cli.times import instant_text, local_now, parse_instant_ms

Target = Annotated[Path, typer.Argument(metavar="SCENARIO.yaml", help="Where to write it; must not exist yet.")]
Since = Annotated[str | None, typer.Option("--from", help="Only from then on: ISO 8601, HH:MM or HH:MM:SS today, or -5m.")]
Until = Annotated[str | None, typer.Option("--until", help="Only until then.")]


@node_command
def to_scenario(session: Session, target: Target, since: Since = None, until: Until = None, file: RecordFile = None) -> None:
    """Write what was recorded as a scenario: what checks saw as faults, counted traffic as surges, and what people asked for."""
    from siteshift.replay.incident import Incident, NothingHappened

    if target.suffix != ".yaml":
        raise usage(f"{target} does not end in .yaml", remedy=f"Write {target.with_suffix('.yaml')}.")
    if target.exists():
        raise Failure(ExitCode.USAGE, f"{target} exists already", remedy="Give another name, or move it away first.")
    incident = Incident(
        from_ms=_instant_ms("--from", since) or 0,
        until_ms=_instant_ms("--until", until),
    )
    read_rows(incident.take, session, file)
    try:
        text = incident.text(target.stem, f"the record of {instant_text(incident.last_ms)}")
    except NothingHappened as error:
        raise Failure(ExitCode.FAILED, str(error), remedy="Ask for a longer part: --from, --until.") from error
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(ExitCode.FAILED, f"{target} cannot be written: {error.strerror}", remedy="Choose another place.") from error
    events = text.count("\n  - {")
    done = Text(f"{events} events written to {target}; play it with: siteshift sim run --config FILE {target}", style=GOOD)
    session.show({"events": events, "file": str(target)}, [done])


def _instant_ms(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant_ms(text, local_now())
    except ValueError as error:
        raise usage(f"{option}: {error}") from error
