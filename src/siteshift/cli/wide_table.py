"""A table with more columns than a terminal has room for."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from siteshift.cli.figures import QUIET


class WideTable:
    """A row for each scenario. Where not all columns fit, they go on in a further block, with the scenarios beside them again."""

    def __init__(self, *columns: str, title: str = "") -> None:
        self._columns = columns
        self._title = title
        self._rows: list[tuple[str, tuple[str | Text, ...]]] = []

    def add_row(self, name: str, *cells: str | Text) -> None:
        self._rows.append((name, cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        begin, block = 0, 0
        while begin < len(self._columns):
            end = begin + 1
            while end < len(self._columns) and self._width(console, options, begin, end + 1) <= options.max_width:
                end += 1
            if block:
                yield Text()
            elif self._title:
                yield Text(self._title, style=QUIET)
            yield self._block(begin, end)
            begin, block = end, block + 1

    def _width(self, console: Console, options: ConsoleOptions, begin: int, end: int) -> int:
        return console.measure(self._block(begin, end), options=options.update(max_width=10_000)).maximum

    def _block(self, begin: int, end: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 2, 0, 0))
        table.add_column("scenario", overflow="fold")
        for name in self._columns[begin:end]:
            table.add_column(name, justify="right", no_wrap=True)
        for name, cells in self._rows:
            table.add_row(name, *cells[begin:end])
        return table
