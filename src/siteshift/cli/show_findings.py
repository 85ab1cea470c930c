"""Findings and overrides for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import Document
from siteshift.cli.figures import QUIET, WATCH, word
from siteshift.cli.times import instant_text, span_text

_ORDER = ("refused", "needs_approval", "allowed")


def finding_lines(findings: Iterable[Document]) -> Iterator[Text]:
    """Severity, code and text, the gravest first; the remedy below."""
    for entry in sorted(findings, key=lambda found: _ORDER.index(found["severity"])):
        yield Text.assemble(word(entry["severity"]), f" {entry['code']}: {entry['text']}")
        if entry["severity"] != "allowed" and entry["remedy"]:
            yield Text(f"    {entry['remedy']}", style=QUIET)


def overrides_table(overrides: Iterable[Document]) -> Table:
    """What people forced, with the time left."""
    table = Table(box=None, pad_edge=False, header_style=QUIET)
    for heading in ("override", "kind", "what", "owner", "time left"):
        table.add_column(heading, no_wrap=heading in ("override", "kind", "time left"), overflow="fold")
    table.add_column("reason", ratio=1, overflow="fold")
    for entry in overrides:
        ticket = f" ({entry['ticket']})" if entry["ticket"] else ""
        table.add_row(
            entry["id"],
            entry["kind"],
            what_is_forced(entry),
            entry["owner"],
            span_text(entry["left_ms"]),
            f"{entry['reason']}{ticket}",
        )
    return table


def ending_lines(overrides: Iterable[Document]) -> Iterator[Text]:
    """Of those that end soon: what their end brings."""
    for entry in overrides:
        if entry["ends_soon"]:
            left = span_text(entry["left_ms"])
            yield Text(f"{entry['id']} of {entry['owner']} ends in {left}: {entry['at_its_end']}", style=WATCH)


def what_is_forced(entry: Document) -> str:
    """The thing an override is about."""
    where = [entry["site"] or "", entry["service"] or "all services"]
    match entry["kind"]:
        case "depool":
            return str(entry["member"])
        case "plane_out":
            return str(entry["plane"])
        case "shares":
            shares = ", ".join(f"{site} {bp / 100:g} %" for site, bp in entry["shares_bp"].items())
            return f"{entry['service']}: {shares}"
        case "mode":
            return f"{entry['service']}: {entry['mode']}"
        case _:
            return ", ".join(part for part in where if part)


def override_line(entry: Document) -> Text:
    """One override that was just made."""
    until = f"until {instant_text(entry['expires_ms'])} ({span_text(entry['left_ms'])})"
    return Text(f"override {entry['id']}: {entry['kind']} {what_is_forced(entry)}, {until}")
