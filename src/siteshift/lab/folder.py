"""The lab's folder: made, and held by one lab at a time. A second one would write over the first one's files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

LOCK = "lab.pid"
"""Locked while a lab is up, with its process id; what is left behind by one that was killed is not locked."""


class FolderUnusable(Exception):
    """The folder cannot be made or written; says what to do."""


class FolderTaken(Exception):
    """Another lab is up in the folder; names its process."""


def claim(folder: Path) -> int:
    """Make the folder and hold it. The descriptor that is returned holds it until it is closed.

    Nothing else is written before. Raises `FolderUnusable` and `FolderTaken`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        where = error.filename or folder
        raise FolderUnusable(
            f"the lab cannot keep its files in {folder}: {where}: {error.strerror}; name a folder you may write: --folder FOLDER"
        ) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.pread(held, 20, 0).decode(errors="replace").strip()
        os.close(held)
        by = f" (process {pid})" if pid else ""
        raise FolderTaken(f"a lab is up in {folder} already{by}; end it, or name another folder: --folder FOLDER") from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held
