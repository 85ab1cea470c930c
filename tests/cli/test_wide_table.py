"""What does not fit beside each other stands below each other, and nothing of it is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from siteshift.cli.wide_table import WideTable

COLUMNS = tuple(f"figure {number}" for number in range(12))
NAMES = ("hang-of-one-site", "two-sites-that-fail-one-after-the-other")


def shown(width: int) -> list[str]:
    table = WideTable(*COLUMNS, title="what was lost")
    for row, name in enumerate(NAMES):
        table.add_row(name, *(f"{row}{number}.5" for number in range(len(COLUMNS))))
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 300])
def test_every_figure_is_there_whole_at_every_width(width: int) -> None:
    lines = shown(width)
    assert max(len(line.rstrip()) for line in lines) <= width
    words = " ".join(lines).split()
    for row in range(len(NAMES)):
        assert all(words.count(f"{row}{number}.5") == 1 for number in range(len(COLUMNS)))
    assert all(name in " ".join(lines) for name in COLUMNS)


def test_where_there_is_room_it_is_one_table_and_else_the_names_stand_beside_each_block() -> None:
    assert sum(NAMES[0] in line for line in shown(300)) == 1
    assert sum(NAMES[0] in line for line in shown(80)) > 1
