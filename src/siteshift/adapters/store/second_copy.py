"""A second copy of the last steering, in a small file of its own beside the database.

The embedded DNS and the agent checks remember nothing by themselves: with the database gone, this file is all that tells
what they should answer. It is replaced as a whole (written beside, synced, renamed) and carries a checksum and the mark of
its steering; what cannot be trusted is said to be so and never used.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from siteshift.adapters.store.file import NO_SPACE
from siteshift.core.model.mark import Origin, PlaneMark, read_mark
from siteshift.core.model.steering import Steering
from siteshift.core.state.codec import from_document, to_document
from siteshift.errors import Permanent, Retryable

FORMAT = 1
MOST_BYTES = 64 * 1024 * 1024
"""More than any configuration can come to; what is larger is no copy of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFound:
    """What stands in the file. ``damage`` says why it cannot be used; with neither, there is no file."""

    steering: Steering | None = None
    damage: str = ""


class SecondCopy:
    """The file. ``origin`` signs what is written."""

    def __init__(self, path: Path, *, origin: Origin | None = None) -> None:
        self.path = path
        self._origin = origin

    async def keep(self, steering: Steering) -> None:
        """Replace the copy, durably. Raises `AdapterError`; then the former copy stands."""
        await asyncio.to_thread(self._write, steering)

    async def find(self) -> CopyFound:
        """The steering that was kept last."""
        return await asyncio.to_thread(self._read)

    def _write(self, steering: Steering) -> None:
        term = steering.term if self._origin is not None else None
        mark = PlaneMark(generation=steering.generation, term=term, origin=self._origin)
        body = json.dumps(
            {"format": FORMAT, "mark": mark.text(), "steering": to_document(steering)}, separators=(",", ":"), sort_keys=True
        )
        text = f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n"
        partly = self.path.with_name(self.path.name + ".partial")
        try:
            descriptor = os.open(partly, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            partly.rename(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                partly.unlink(missing_ok=True)
            kind = Retryable if error.errno in NO_SPACE else Permanent
            detail = error.strerror or str(error)
            raise kind(detail, system="second copy", operation="write", target=str(self.path)) from error

    def _read(self) -> CopyFound:
        try:
            found = self.path.stat()
            if not stat.S_ISREG(found.st_mode):
                return CopyFound(damage="it is not a regular file")
            if found.st_size > MOST_BYTES:
                return CopyFound(damage="it is larger than any copy of ours")
            checksum, _, body = self.path.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return CopyFound()
        except (OSError, UnicodeDecodeError) as error:
            return CopyFound(damage=f"it cannot be read: {error}")
        body = body.rstrip("\n")
        if hashlib.sha256(body.encode()).hexdigest() != checksum:
            return CopyFound(damage="its checksum does not match: cut off or edited")
        try:
            return _decoded(body)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return CopyFound(damage=f"it cannot be read: {error}")


def _decoded(body: str) -> CopyFound:
    document = json.loads(body)
    if document["format"] > FORMAT:
        return CopyFound(damage=f"it was written by a newer siteshift (format {document['format']})")
    steering = from_document(Steering, document["steering"])
    mark = read_mark(document["mark"])
    if mark is None or mark.generation != steering.generation:
        return CopyFound(damage="its mark is not that of its steering")
    return CopyFound(steering=steering)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
