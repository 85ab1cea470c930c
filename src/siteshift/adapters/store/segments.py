"""Sealed segments: the old part of a journal in files of their own, each a chain that goes on where the one before it ended.

A segment is JSON Lines (the form of an export), gzipped, named ``journal-FIRST-LAST-DAY.jsonl.gz`` by the sequences of its first
and last entry and the UTC day of the last. It is written once and never changed; whoever changes it breaks its chain, and whoever
takes one away leaves a hole between its neighbours.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from siteshift.adapters.store.chain import Head, WrittenEntry, follow, meet, parse_line
from siteshift.adapters.store.file import NO_SPACE
from siteshift.errors import JournalBroken, Permanent, Retryable

SUFFIX = ".jsonl.gz"
EXPORT_SUFFIXES = (".jsonl", SUFFIX)
"""What an export or a segment is called; anything else is a store's file."""
LEVEL = 6
"""gzip's own default: rows of JSON shrink to a tenth; a higher level takes twice the time for a twentieth more."""
_NAME = re.compile(r"journal-(\d{12,19})-(\d{12,19})-(\d{8})\.jsonl\.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file. ``day``: the UTC day of its last entry, as YYYYMMDD."""

    path: Path
    first: int
    last: int
    day: str
    bytes: int


def segments_in(folder: Path) -> list[Segment]:
    """The segments in a folder, in order; none when there is no such folder. Raises `Permanent` when it cannot be read."""
    found: list[Segment] = []
    try:
        for path in folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                first, last, day = match.groups()
                size = path.stat().st_size
                found.append(Segment(path=path, first=int(first), last=int(last), day=day, bytes=size))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Permanent(error.strerror or str(error), system="journal", operation="list segments", target=str(folder)) from error
    return sorted(found, key=lambda segment: (segment.first, segment.last))


def segment_name(first: int, last: int, at_ms: int) -> str:
    """What a segment is called."""
    return f"journal-{first:012}-{last:012}-{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%d}{SUFFIX}"


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class SegmentWriter:
    """Writes one segment beside its final name; `finish` gives it that. Blocking: not for the loop."""

    folder: Path
    after: Head
    """What its first entry follows."""
    text_bytes: int = 0
    reached: Head = field(default_factory=Head)
    _last_ms: int = 0
    _raw: IO[bytes] | None = None
    _zipped: gzip.GzipFile | None = None
    _sum: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def partly(self) -> Path:
        """The file while it is being written: a killed node leaves it, the next one writes it anew."""
        return self.folder / "sealing.partial"

    def begin(self) -> None:
        """Raises `AdapterError` when it cannot be written."""
        with _as_adapter_error("seal", self.partly):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._raw = os.fdopen(os.open(self.partly, flags, 0o600), "wb")
            self._zipped = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, compresslevel=LEVEL, mtime=0)
            self.reached = self.after

    def add(self, entries: Sequence[WrittenEntry]) -> None:
        """Some more. Raises `JournalBroken` when they do not follow, and `AdapterError`."""
        assert self._zipped is not None, "not begun"
        for entry in entries:
            self.reached = follow(self.reached, entry)
            self._last_ms = entry.at_ms
        text = "".join(f"{entry.line()}\n" for entry in entries).encode()
        self._sum.update(text)
        self.text_bytes += len(text)
        with _as_adapter_error("seal", self.partly):
            self._zipped.write(text)

    def finish(self) -> Segment:
        """Sync, read it back, and give it its name. Raises `AdapterError` when it is not what was written."""
        assert self._raw is not None and self._zipped is not None, "not begun"
        with _as_adapter_error("seal", self.partly):
            self._zipped.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            if _sum_of(self.partly) != self._sum.hexdigest():
                raise Permanent("what was read back is not what was written", system="journal", operation="seal")
            first = self.after.sequence + 1
            path = self.folder / segment_name(first, self.reached.sequence, self._last_ms)
            self.partly.rename(path)
            _sync_folder(self.folder)
            found = _NAME.fullmatch(path.name)
            assert found is not None
            return Segment(path=path, first=first, last=self.reached.sequence, day=found[3], bytes=path.stat().st_size)

    def give_up(self) -> None:
        """Close and remove what was written so far."""
        for opened in (self._zipped, self._raw):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.close()
        with contextlib.suppress(OSError):
            self.partly.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_adapter_error(operation: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        kind = Retryable if isinstance(error, OSError) and error.errno in NO_SPACE else Permanent
        reason = getattr(error, "strerror", None) or str(error)
        raise kind(reason, system="journal", operation=operation, target=str(path)) from error


def _sum_of(path: Path) -> str:
    found = hashlib.sha256()
    with gzip.open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(segment: Segment, now_ms: int) -> Path:
    """Rename a file that stands in the way of the record, whatever it is: nothing of a record is ever deleted unread."""
    aside = segment.path.with_name(f"{segment.path.name}.aside-{now_ms}")
    with _as_adapter_error("set aside", segment.path):
        segment.path.rename(aside)
    return aside


def remove(segment: Segment) -> None:
    """Delete one. Raises `AdapterError`."""
    with _as_adapter_error("remove", segment.path):
        segment.path.unlink(missing_ok=True)
        _sync_folder(segment.path.parent)


# -- reading ----------------------------------------------------------------------------------------------------------


def entries_of(path: Path) -> Iterator[WrittenEntry]:
    """Every entry of an export or a segment. Raises `JournalBroken` and `AdapterError`."""
    number, due = 0, 1
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.name.endswith(".gz") else path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                entry = parse_line(line, number=number, sequence=due if number > 1 else None)
                due = entry.sequence + 1
                yield entry
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise JournalBroken(due, f"{path.name} is damaged after line {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise JournalBroken(due, f"{path.name} is not UTF-8 after line {number}") from error
    except OSError as error:
        raise Permanent(error.strerror or str(error), system="journal", operation="read", target=str(path)) from error


def verify_entries(entries: Iterable[WrittenEntry], *, after: Head | None = None) -> tuple[int, Head]:
    """Walk the chain: how many entries, and the head they end with.

    ``after``: what the first must follow; None: it is taken to follow what it says. Raises `JournalBroken`.
    """
    head, count = after, 0
    for entry in entries:
        head = follow(head or Head(sequence=entry.sequence - 1, digest=entry.previous), entry)
        count += 1
    return count, head or Head()


def verify_segments(folder: Path, *, base: Head) -> tuple[int, int]:
    """Walk all segments up to where the journal begins: how many entries, and the first's sequence (0: there are none).

    Raises `JournalBroken` where one was changed, is missing between others, or the last does not end where the journal begins.
    What one has beyond is about to be let go of, and is in the journal too.
    """
    first, head, beginning = 0, None, None
    for segment in segments_in(folder):
        if segment.first > base.sequence:
            break
        if head is not None and segment.first != head.sequence + 1:
            raise JournalBroken(head.sequence + 1, f"is in no segment: {segment.path.name} begins with {segment.first}")
        count = 0
        for entry in entries_of(segment.path):
            head, count = follow(head or Head(sequence=entry.sequence - 1, digest=entry.previous), entry), count + 1
            beginning = head if entry.sequence <= base.sequence else beginning
        if head is None or (head.sequence, count) != (segment.last, segment.last - segment.first + 1):
            raise JournalBroken(segment.first + count, f"is not what the name of {segment.path.name} says")
        first = first or segment.first
    if beginning is None:
        return 0, 0
    meet(beginning, base)
    return base.sequence - first + 1, first
