"""Opening the file: who may, whether it is whole, and what happens to one that is not.

A damaged file is renamed to ``NAME.broken-<Unix ms>`` with its ``-wal`` and ``-shm``, never deleted and never repaired
in place. A lock file beside it keeps a second writer out for as long as the first one lives; readers need no lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from enum import StrEnum
from pathlib import Path

from siteshift.adapters.store.schema import migrate
from siteshift.adapters.store.sqlite_errors import StoreBroken, adapter_error, damage, is_damage
from siteshift.errors import Permanent, Retryable

BUSY_MS = 2_000
"""How long SQLite itself waits for a reader in the way of a checkpoint or a schema change."""
WAL_LIMIT_BYTES = 16 * 1024 * 1024
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the kernel says when there is no room; it comes back, so it is worth trying again."""
_COMPANIONS = ("", "-wal", "-shm")


class Access(StrEnum):
    """``read`` neither locks nor creates nor migrates: for `journal verify` beside a running node."""

    WRITE = "write"
    READ = "read"


class FileLock:
    """An exclusive lock on ``path.lock``, held by an open file: the kernel gives it back even after kill -9."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _os_error(error, path) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise Permanent(
                "another process holds the file", system="sqlite", operation="lock", target=str(path)
            ) from error

    def release(self) -> None:
        os.close(self._descriptor)


class InPlace:
    """Notices that the file, or its write-ahead log, was deleted or replaced while it is open.

    SQLite goes on writing to what has no name any more, and all of it is gone with the process.
    """

    __slots__ = ("_known", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[int, int]] = {}
        for suffix in ("", "-wal"):
            if (found := self._identity(suffix)) is not None:
                self._known[suffix] = found

    def check(self, operation: str) -> None:
        """Raises `Permanent`: certainly not written, and nothing will be before the file is back or the node starts again."""
        for suffix in ("", "-wal"):
            found, known = self._identity(suffix), self._known.get(suffix)
            if known is None and found is not None:
                self._known[suffix] = found
            elif known is not None and found != known:
                what = "was deleted" if found is None else "was replaced by another file"
                raise Permanent(
                    f"{self._path.name}{suffix} {what} while it is open: put it back, or restart the node, which then holds "
                    "what the second copy and the data planes carry",
                    system="sqlite",
                    operation=operation,
                    target=str(self._path),
                )

    def _identity(self, suffix: str) -> tuple[int, int] | None:
        try:
            found = Path(f"{self._path}{suffix}").stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def set_aside_files(path: Path) -> tuple[Path, ...]:
    """Broken predecessors of ``path`` that still lie beside it."""
    found = path.parent.glob(f"{path.name}.broken-*")
    return tuple(sorted(file for file in found if not file.name.endswith(("-wal", "-shm"))))


def connect(
    path: Path, access: Access, migrations: tuple[tuple[str, ...], ...]
) -> tuple[sqlite3.Connection, FileLock | None]:
    """Lock, open, check and migrate (blocking). See `SqliteDatabase.open` for what it raises."""
    if access is Access.READ:
        return _connect_reader(path), None
    lock = FileLock(path)
    try:
        return _connect_writer(path, migrations), lock
    except sqlite3.Error as error:
        lock.release()
        if is_damage(error):
            raise _set_aside(path, str(error)) from error
        raise adapter_error(error, operation="open", target=str(path)) from error
    except BaseException:
        lock.release()
        raise


def _connect_writer(path: Path, migrations: tuple[tuple[str, ...], ...]) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):  # a file nobody else may read, before SQLite makes it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        _check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        migrate(connection, path=str(path), migrations=migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise Permanent("there is no such file", system="sqlite", operation="open", target=str(path))
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000
        )
        connection.execute("SELECT count(*) FROM journal_head").fetchone()
    except sqlite3.Error as error:
        raise adapter_error(error, operation="open", target=str(path)) from error
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise a damage error when the file is not whole. Reads every page once: about 1 s per GiB."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damage(str(found))


def _set_aside(path: Path, damage: str) -> StoreBroken:
    """Rename the file and its companions; the error that tells it."""
    aside = f"{path}.broken-{time.time_ns() // 1_000_000}"
    try:
        for companion in _COMPANIONS:
            source = Path(f"{path}{companion}")
            if source.exists():
                source.rename(f"{aside}{companion}")
    except OSError as error:
        return StoreBroken(
            f"the file is damaged ({damage}) and could not be renamed aside: {error.strerror}",
            target=str(path),
            aside=None,
        )
    return StoreBroken(
        f"the file is damaged ({damage}); it was kept as {aside}, restore a backup or start again with an empty one",
        target=str(path),
        aside=aside,
    )


def _os_error(error: OSError, path: Path) -> Permanent | Retryable:
    kind = Retryable if error.errno in NO_SPACE else Permanent
    return kind(error.strerror or str(error), system="sqlite", operation="open", target=str(path))
