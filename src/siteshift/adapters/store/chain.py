"""The hash chain of the journal: how an entry is written down, linked to the one before, and checked.

Pure; the SQLite journal, its in-memory twin and the check of an exported file share it. The digest is SHA-256 over
the canonical JSON (keys sorted, no spaces, UTF-8) of ``at_ms, data, kind, previous, sequence``. A chain shows that
nothing was changed inside it; that nothing was cut from its end shows only a `Head` kept apart from the entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from siteshift.errors import JournalBroken, Permanent
from siteshift.ports import JournalEntry

GENESIS = "0" * 64
"""What the first entry of a chain follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last entry of a chain; ``sequence`` 0 is the empty one. Keep a copy elsewhere to notice a rewritten file."""

    sequence: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEntry:
    """An entry as it is stored: ``data`` is canonical JSON text."""

    sequence: int
    at_ms: int
    kind: str
    data: str
    previous: str
    digest: str

    @property
    def head(self) -> Head:
        return Head(sequence=self.sequence, digest=self.digest)

    def read(self) -> JournalEntry:
        """The entry as the port hands it out."""
        return JournalEntry(
            sequence=self.sequence,
            at_ms=self.at_ms,
            kind=self.kind,
            data=json.loads(self.data),
            previous=self.previous,
            digest=self.digest,
        )

    def line(self) -> str:
        """The entry as one line of JSON Lines, without the newline."""
        kind = json.dumps(self.kind, ensure_ascii=False)
        return (
            f'{{"sequence":{self.sequence},"at_ms":{self.at_ms},"kind":{kind},"data":{self.data},'
            f'"previous":"{self.previous}","digest":"{self.digest}"}}'
        )


def canonical(data: Mapping[str, object]) -> str:
    """Canonical JSON of an entry's data. Raises `Permanent` when it is not JSON-compatible."""
    try:
        text = json.dumps(
            data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_mapping_as_dict
        )
        text.encode()
        return text
    except (TypeError, ValueError) as error:
        raise Permanent(f"the data is not JSON: {error}", system="journal", operation="append") from error


def _mapping_as_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def digest_of(*, sequence: int, at_ms: int, kind: str, data: str, previous: str) -> str:
    """SHA-256 (hex) over the canonical JSON of one entry; ``data`` is canonical JSON text already."""
    name = json.dumps(kind, ensure_ascii=False)
    text = f'{{"at_ms":{at_ms},"data":{data},"kind":{name},"previous":"{previous}","sequence":{sequence}}}'
    return hashlib.sha256(text.encode()).hexdigest()


def link(head: Head, *, at_ms: int, kind: str, data: str) -> WrittenEntry:
    """The entry that follows ``head``."""
    sequence = head.sequence + 1
    digest = digest_of(sequence=sequence, at_ms=at_ms, kind=kind, data=data, previous=head.digest)
    return WrittenEntry(sequence=sequence, at_ms=at_ms, kind=kind, data=data, previous=head.digest, digest=digest)


def follow(head: Head, entry: WrittenEntry) -> Head:
    """The head after ``entry``. Raises `JournalBroken` naming the first sequence that is wrong, and why."""
    wanted = head.sequence + 1
    if entry.sequence > wanted:
        raise JournalBroken(wanted, f"is missing; the next one present is {entry.sequence}")
    if entry.sequence < wanted:
        raise JournalBroken(entry.sequence, f"is out of order: it stands after entry {head.sequence}")
    if entry.previous != head.digest:
        raise JournalBroken(wanted, "does not follow the entry before it: reordered, or the one before was replaced")
    found = digest_of(
        sequence=entry.sequence, at_ms=entry.at_ms, kind=entry.kind, data=entry.data, previous=entry.previous
    )
    if found != entry.digest:
        raise JournalBroken(wanted, "was edited: its content does not match its digest")
    return entry.head


def meet(reached: Head, recorded: Head) -> None:
    """Compare the end of the chain with the head on record. Raises `JournalBroken` when they differ."""
    if reached == recorded:
        return
    if reached.sequence < recorded.sequence:
        lost = f"{reached.sequence + 1} to {recorded.sequence}"
        raise JournalBroken(reached.sequence + 1, f"is missing: the tail was cut off (entries {lost})")
    if reached.sequence > recorded.sequence:
        raise JournalBroken(recorded.sequence + 1, "stands after the head on record: it was added from outside")
    raise JournalBroken(reached.sequence, "is not the entry that the head on record names")


def parse_line(line: str, *, number: int, sequence: int | None = None) -> WrittenEntry:
    """One line of an export; it should be the entry ``sequence``, where that is known. Raises `JournalBroken` with that, else
    with the line's number, when it is not an entry, written as we write it.

    The digest is of the values; so what was read has to be the one form they are written in, byte for byte: another key beside
    ours, one of them twice, or 6.9 for 6 would be unseen.
    """
    try:
        raw = json.loads(line)
        entry = WrittenEntry(
            sequence=int(raw["sequence"]),
            at_ms=int(raw["at_ms"]),
            kind=str(raw["kind"]),
            data=canonical(raw["data"]),
            previous=str(raw["previous"]),
            digest=str(raw["digest"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, Permanent) as error:
        raise JournalBroken(sequence or number, f"line {number} of the export is not a journal entry") from error
    if entry.line() != line.removesuffix("\n"):
        raise JournalBroken(sequence or number, f"line {number} of the export was edited: it is not written as an entry is")
    return entry


def verify_export(lines: Iterable[str], *, after: Head | None = None) -> Head:
    """Check an exported journal; the head it ends with. ``after`` is the end of the export before it, when known.

    Without ``after`` an export that begins in the middle is taken to follow what its first line says it follows.
    """
    head = after
    for number, line in enumerate(lines, start=1):
        entry = parse_line(line, number=number)
        if head is None:
            head = Head(sequence=entry.sequence - 1, digest=entry.previous)
        head = follow(head, entry)
    return head or Head()
