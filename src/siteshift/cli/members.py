"""``members``: every server, what it does, what is meant for it and found, and who took it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from siteshift.cli.exits import Document, unknown_name
from siteshift.cli.figures import BAD, QUIET, WATCH, percent, pm_percent, word
from siteshift.cli.session import Session, node_command
from siteshift.cli.times import instant_text, span_text

SiteFilter = Annotated[str | None, typer.Argument(help="Only of this site.", metavar="[SITE]", show_default=False)]


@node_command
def members(session: Session, site: SiteFilter = None) -> None:
    """All members: state, weight desired and read back, what their checks said, and who took one out."""
    document = session.client.get("/v1/members")
    if site is not None:
        document = of_site(document, site)
    session.show(document, list(member_renderables(document)))


def of_site(document: Document, site: str) -> Document:
    """Only the members of one site."""
    known = list(dict.fromkeys(entry["site"] for entry in document["members"]))
    if site not in known:
        raise unknown_name("site with members named", site, known)
    return {**document, "members": [entry for entry in document["members"] if entry["site"] == site]}


def member_renderables(document: Document) -> Iterator[RenderableType]:
    """A table as wide as there is room, then a line for each member that is not plainly serving."""
    if document["blind"]:
        yield Text("BLIND: no vantage is credible; what is shown of the members is not believed", style=BAD)
    services = dict.fromkeys(entry["service"] for entry in document["members"])
    for number, service in enumerate(services):
        if number:
            yield Text()
        rows = [entry for entry in document["members"] if entry["service"] == service]
        yield MemberTable(service, rows, document["at_ms"])
        for entry in rows:
            if entry["reason"]:
                yield Text.assemble((f"  {entry['site']}/{entry['name']}", WATCH), f"  {entry['reason']}{_until(entry)}")


def _until(entry: Document) -> str:
    by = entry["taken_out_by"]
    return f", until {instant_text(by['expires_ms'])}" if by is not None else ""


class MemberTable:
    """One service's members. Where it is narrow, columns go from the least needed; the names stay."""

    def __init__(self, service: str, rows: list[Document], at_ms: int) -> None:
        self._service, self._rows, self._at_ms = service, rows, at_ms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        dropped: tuple[str, ...] = ()
        table = self._table(dropped)
        for heading in ("address", "for", "role", "weight", "standing", "actual"):
            if console.measure(table, options=options.update(max_width=10_000)).maximum <= options.max_width:
                break
            dropped = (*dropped, heading)
            table = self._table(dropped)
        yield table

    def _table(self, dropped: tuple[str, ...]) -> Table:
        title = Text(self._service)
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style=QUIET)
        cells = [(heading, cell) for heading, cell in _CELLS.items() if heading not in dropped]
        for heading, _ in cells:
            is_name = heading in ("site", "member")
            justify = "right" if heading in ("weight", "desired", "actual", "for") else "left"
            table.add_column(heading, justify=justify, no_wrap=not is_name, overflow="fold")  # type: ignore[arg-type]  # rich wants literals
        for entry in self._rows:
            table.add_row(*(cell(entry, self._at_ms) for _, cell in cells))
        return table


def _state(entry: Document, _: int) -> RenderableType:
    style = {"depooled": BAD, "out": BAD, "failed": BAD, "away": WATCH}.get(entry["state"], "")
    return Text(entry["state"], style=style)


def _actual(entry: Document, _: int) -> RenderableType:
    actual_bp = entry["actual_bp"]
    if actual_bp is None:
        return Text("-", style=QUIET)
    return Text(percent(actual_bp), style="" if abs(actual_bp - entry["desired_bp"]) <= _ROUNDING_BP else WATCH)


def _since(entry: Document, at_ms: int) -> RenderableType:
    return span_text(at_ms - entry["since_ms"]) if entry["since_ms"] else "-"


_ROUNDING_BP = 100
"""A load balancer's weights have 256 steps: one step of a small pool is so much."""
_CELLS: dict[str, Callable[[Document, int], RenderableType]] = {
    "site": lambda entry, _: entry["site"],
    "member": lambda entry, _: entry["name"],
    "role": lambda entry, _: entry["role"],
    "state": _state,
    "standing": lambda entry, _: word(entry["standing"]),
    "for": _since,
    "weight": lambda entry, _: pm_percent(entry["weight_pm"]),
    "desired": lambda entry, _: percent(entry["desired_bp"]),
    "actual": _actual,
    "address": lambda entry, _: entry["address"],
}
