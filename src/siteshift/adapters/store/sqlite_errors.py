"""What SQLite's result codes mean for us (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from siteshift.errors import AdapterError, Ambiguous, Permanent, Retryable

_PRIMARY = 0xFF
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_RETRYABLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,  # a file system that was remounted read-only comes back
    }
)
# The commit record reached the kernel but perhaps not the disk: recovery after a crash may find it.
_AMBIGUOUS = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class StoreBroken(Permanent):
    """The file is damaged. ``aside`` is where it was renamed to, or None when even that failed."""

    def __init__(self, detail: str, *, target: str, aside: str | None) -> None:
        self.aside = aside
        super().__init__(detail, system="sqlite", operation="open", target=target)


def code_of(error: sqlite3.Error) -> int:
    """SQLite's extended result code; 0 for errors of the Python module itself."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged."""
    return code_of(error) & _PRIMARY in _BROKEN


def damage(text: str) -> sqlite3.DatabaseError:
    """An error like SQLite's own for a file that is not whole, for what SQLite does not look at."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    error.sqlite_errorname = "SQLITE_CORRUPT"
    return error


def adapter_error(error: sqlite3.Error, *, operation: str, target: str) -> AdapterError:
    """The `AdapterError` for an error of SQLite during ``operation``; the transaction was rolled back."""
    code = code_of(error)
    detail = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if code in _AMBIGUOUS:
        return Ambiguous(detail, system="sqlite", operation=operation, target=target)
    if code & _PRIMARY in _RETRYABLE:
        return Retryable(detail, system="sqlite", operation=operation, target=target)
    return Permanent(detail, system="sqlite", operation=operation, target=target)
