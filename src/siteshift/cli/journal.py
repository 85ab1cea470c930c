"""``journal tail | verify | kept | export | replay``: the record of what was seen, decided and done."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.text import Text

from siteshift.cli import journal_replay, journal_scenario
from siteshift.cli.client import LONG_DEADLINE_S, NodeClient, Query
from siteshift.cli.exits import Document, ExitCode, Failure, usage
from siteshift.cli.figures import GOOD
from siteshift.cli.journal_kinds import KINDS
from siteshift.cli.session import Session, node_command
from siteshift.cli.show_journal import entry_text, kept_lines

EVERY_S = 1.0
WINDOWS_MS = (60_000, 600_000, 2 * 3_600_000, 86_400_000)
"""How far back the last entries are looked for, step by step, before all of the record is read."""
CLOCK_SLACK_MS = 60_000
"""Entries are written in order, their times nearly so."""
TOO_LONG = ("input", "why")
"""What the core heard, and its reasons line by line: for a replay and for `siteshift why`; shown when asked for."""

app = typer.Typer(no_args_is_help=True, help="The record: read it, follow it, check its chain, take a copy, replay it.")
app.command("replay")(journal_replay.replay)
app.command("to-scenario")(journal_scenario.to_scenario)

Offline = Annotated[
    Path | None,
    typer.Option(
        "--file",
        help="Without a node: the store's file; to verify also an export, a sealed segment, or a folder of segments.",
        metavar="FILE",
    ),
]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", "-k", help="Only this kind (again for more); else all but `input` and `why`.")
]


@app.command("tail")
@node_command
def tail(
    session: Session,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last entries.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    kind: Kinds = None,
) -> None:
    """The last entries of the record."""
    if unknown := [name for name in kind or () if name not in KINDS]:
        raise usage(f"no row of the journal is of the kind {unknown[0]!r}", f"Known: {', '.join(KINDS)}.")
    client = session.client
    query: dict[str, list[str]] = {"kind": kind} if kind else {"without": list(TOO_LONG)}
    found = _last(client, lines, query)
    shown = found[-lines:] if lines else []
    if not follow:
        session.show({"entries": shown}, [entry_text(entry) for entry in shown])
        return
    _print(session, shown)
    try:
        _follow(session, client, found[-1] if found else None, query)
    except KeyboardInterrupt:
        return


def _print(session: Session, entries: Iterable[Document]) -> None:
    """Entry by entry; with ``--json`` one a line, for there is no end to wait for."""
    for entry in entries:
        if session.is_json:
            print(json.dumps(entry, ensure_ascii=False), flush=True)
        else:
            session.print(entry_text(entry))


def _last(client: NodeClient, lines: int, query: dict[str, list[str]]) -> list[Document]:
    """At least the last entries there are, a little more perhaps."""
    now_ms = int(time.time() * 1000)
    for window_ms in WINDOWS_MS:
        found = list(entries_since(client, max(0, now_ms - window_ms), 0, query))
        if len(found) >= max(lines, 1):
            return found
    return list(entries_since(client, 0, 0, query))


def entries_since(client: NodeClient, since_ms: int, after: int, query: dict[str, list[str]]) -> Iterator[Document]:
    """Entries from an instant on, page by page."""
    while True:
        asked: Query = {**query, "since_ms": since_ms, "after": after}
        page = client.get("/v1/journal", asked, deadline_s=LONG_DEADLINE_S)["entries"]
        yield from page
        if not page:
            return
        after = page[-1]["sequence"]
        since_ms = max(since_ms, page[-1]["at_ms"] - CLOCK_SLACK_MS)


def _follow(session: Session, client: NodeClient, last: Document | None, query: dict[str, list[str]]) -> None:
    """Ask every second; the record's own numbers leave no gap, also over a restart of the node."""
    after = last["sequence"] if last else 0
    since_ms = last["at_ms"] - CLOCK_SLACK_MS if last else int(time.time() * 1000)
    while True:
        time.sleep(EVERY_S)
        try:
            news = list(entries_since(client, since_ms, after, query))
        except Failure as failure:
            if failure.exit_code is not ExitCode.UNREACHABLE:
                raise
            continue
        _print(session, news)
        if news:
            after, since_ms = news[-1]["sequence"], news[-1]["at_ms"] - CLOCK_SLACK_MS


@app.command("verify")
@node_command
def verify(
    session: Session,
    file: Offline = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments", metavar="FOLDER", help="With a store's file: its sealed segments, if not in `journal` beside it."
        ),
    ] = None,
) -> None:
    """Walk the hash chain; exit code 1 and the first bad entry when it does not hold. With --file sealed segments too."""
    if file is None:
        document = session.client.get("/v1/journal/verify", deadline_s=LONG_DEADLINE_S)
    else:
        document = _verify_file(file, segments)
    if not document["holds"]:
        text = f"the journal does not hold: {document['detail']}"
        remedy = "Keep the file as it is, compare it with an export or a backup, and find out who wrote to it."
        raise Failure(ExitCode.FAILED, text, remedy=remedy, document=document)
    text = f"the chain holds: {document['entries']} entries"
    if document.get("sealed"):
        text = f"{text}, {document['sealed']} of them in sealed segments"
    if document.get("first", 1) > 1:
        text = f"{text}; it begins with entry {document['first']}"
    session.show(document, [Text(text, style=GOOD)])


def _verify_file(file: Path, segments: Path | None) -> Document:
    from siteshift.app.offline import verify_file
    from siteshift.errors import JournalBroken

    try:
        found = asyncio.run(verify_file(file, segments=segments))
        return {"holds": True, "entries": found.entries, "sealed": found.sealed, "first": found.first}
    except JournalBroken as error:
        return {"holds": False, "sequence": error.sequence, "detail": str(error)}


@app.command("kept")
@node_command
def kept(session: Session) -> None:
    """What is kept of the record: in the database, in sealed segments, and for how long (`journal:` in the configuration)."""
    document = session.client.get("/v1/journal/kept")
    session.show(document, list(kept_lines(document)))


@app.command("export")
@node_command
def export(
    session: Session,
    target: Annotated[Path, typer.Argument(help="Where to write JSON Lines; must not exist yet.")],
    file: Offline = None,
) -> None:
    """Write the whole record as JSON Lines and check its chain on the way; the file appears whole or not at all."""
    from siteshift.app.offline import verify_file

    if target.exists():
        raise Failure(ExitCode.USAGE, f"{target} exists already", remedy="Give another name, or move it away first.")
    partly = target.with_name(f"{target.name}.partial.jsonl")
    try:
        with partly.open("w", encoding="utf-8") as stream:
            if file is None:
                _export_online(session.client, stream)
            else:
                asyncio.run(_export_file(file, stream))
        count = asyncio.run(verify_file(partly)).entries
        partly.rename(target)
    except OSError as error:
        text = f"{error.filename or target} cannot be written: {error.strerror}"
        raise Failure(ExitCode.FAILED, text, remedy="Choose another place.") from error
    finally:
        partly.unlink(missing_ok=True)
    done = Text(f"{count} entries written to {target}; the chain holds", style=GOOD)
    session.show({"entries": count, "file": str(target)}, [done])


def _export_online(client: NodeClient, stream: TextIO) -> None:
    from siteshift.app.offline import export_line
    from siteshift.ports import JournalEntry

    after = since_ms = 0
    while page := _whole_page(client, since_ms, after):
        stream.writelines(f"{export_line(JournalEntry(**entry))}\n" for entry in page)
        after, since_ms = page[-1]["sequence"], page[-1]["at_ms"] - CLOCK_SLACK_MS


def _whole_page(client: NodeClient, since_ms: int, after: int) -> list[Document]:
    """The entries after one, none left out: where a clock went back, the instant is no guide and all is read."""
    for since in (since_ms, 0):
        query: Query = {"since_ms": since, "after": after}
        page: list[Document] = client.get("/v1/journal", query, deadline_s=LONG_DEADLINE_S)["entries"]
        numbers = [entry["sequence"] for entry in page]
        if since == 0 or (numbers and numbers == list(range(after + 1, after + 1 + len(numbers)))):
            return page
    return []


async def _export_file(file: Path, stream: TextIO) -> None:
    from siteshift.app.offline import export_line, read_file

    async for entry in read_file(file):
        stream.write(f"{export_line(entry)}\n")
