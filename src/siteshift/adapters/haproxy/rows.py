"""Tables of the runtime API, row by row: columns by name, numbers by one grammar, in slices that do not hold the loop.

Versions have columns in other places, and more of them. What does not fit (a missing column, a short row, a number that is
none) is `Retryable` of that HAProxy: whoever asked has no figures this time, and the other sources go on.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Callable, Sequence
from operator import itemgetter

from siteshift.adapters import wire
from siteshift.errors import Permanent, Retryable

SLICE_CHARACTERS = 1 << 16
"""Text between two yields: about 1 ms of work."""
ROW_CHARACTERS = 1 << 15
"""A row is 480 characters; nothing longer than this is one."""
HEADER_CHARACTERS = 1 << 14
"""A header is 1.5 kB in 2.8; names of columns beyond this are no header."""

_TOO_MANY_DIGITS = 10**wire.MAX_DECIMAL_DIGITS
_SMALL = {str(number): number for number in range(257)}
"""Most numbers of a table: looked up faster than read."""


def number(text: str) -> int:
    """A number that must be there. Raises `wire.BadWire`."""
    known = _SMALL.get(text)
    return wire.decimal(text) if known is None else known


def numbers(fields: Sequence[str]) -> list[int]:
    """Numbers; an empty field is 0 (a counter this kind of server has not). Raises `wire.BadWire`.

    Where all fields together are digits, so is each of them: one test for a row instead of thirteen.
    """
    together = "".join(fields)
    if len(together) <= wire.MAX_DECIMAL_DIGITS * len(fields) and together.isascii() and together.isdigit():
        found = [int(field) if field else 0 for field in fields]
        if max(found) < _TOO_MANY_DIGITS:
            return found
    return [number(field) if field else 0 for field in fields]


class Table:
    """One answer to ``operation``, whose fields stand between ``separator``."""

    def __init__(self, operation: str, separator: str, *, system: str) -> None:
        self._operation = operation
        self._separator = separator
        self._system = system
        self._pick: Callable[[list[str]], tuple[str, ...]] = tuple
        self._fields = 0

    def header(self, line: str, columns: Sequence[str]) -> None:
        """Find the columns. Raises `Permanent` when one is missing: this HAProxy does not tell it."""
        names = line.removeprefix("# ").split(self._separator) if len(line) <= HEADER_CHARACTERS else []
        missing = [column for column in columns if column not in names]
        if missing:
            detail = f"no column {', '.join(missing)}; the answer begins {line[:80]!r}"
            raise Permanent(detail, system=self._system, operation=self._operation)
        at = [names.index(column) for column in columns]
        self._pick, self._fields = itemgetter(*at), max(at) + 1

    async def rows(self, text: str, start: int) -> AsyncIterator[list[tuple[str, ...]]]:
        """The fields of the wanted columns, a slice of rows at a time. Raises `Retryable` for a row that is too short."""
        while start < len(text):
            end = text.find("\n", start + SLICE_CHARACTERS)
            end = len(text) if end < 0 else end
            if end - start > SLICE_CHARACTERS + ROW_CHARACTERS:
                raise self.odd(f"a row of more than {ROW_CHARACTERS} characters")
            try:
                yield self._picked(text[start:end])
            except (IndexError, csv.Error) as error:
                raise self.odd(f"a row is too short or not whole ({error})") from error
            start = end + 1
            await asyncio.sleep(0)

    def _picked(self, piece: str) -> list[tuple[str, ...]]:
        pick, separator, fields = self._pick, self._separator, self._fields
        lines = piece.split("\n")
        if separator == "," and '"' in piece:
            return [pick(_quoted(line) if '"' in line else line.split(",", fields)) for line in lines if line]
        return [pick(line.split(separator, fields)) for line in lines if line]

    def odd(self, detail: str) -> Retryable:
        """The error for an answer that does not fit."""
        return Retryable(detail, system=self._system, operation=self._operation)


def _quoted(line: str) -> list[str]:
    return next(csv.reader((line,), strict=True))
