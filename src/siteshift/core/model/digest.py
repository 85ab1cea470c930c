"""Digests that mean the same in every version, however many fields it knows.

A digest is given by a person, stored with a goal and written into the journal; it is compared by a version that may know fields
which the one that made it did not. So what a digest is of has two kinds of fields:

- those of the first form always count, whatever their default: a default may change, and then the rules have changed;
- one that came later (`added`) counts once it differs from what its absence stood for, which is what siteshift did before.

A document without a later field is read as what its absence stood for, not as the default of the version that reads it.
`tests/core/operate/test_what_a_digest_is_of.py` has the first form, and fails for a field that is in neither kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

_BEFORE = "before"


def added(default: T, *, before: T) -> T:
    """A field that came after the first form.

    ``before``: the value with which siteshift does what it did when there was no such field; it never changes. ``default`` may.
    """
    return field(default_factory=lambda: default, metadata={_BEFORE: before})


@cache
def before_of(kind: Any) -> Mapping[str, Any]:
    """The later fields of a class, with what the absence of each stands for."""
    if not is_dataclass(kind):
        return {}
    return {entry.name: entry.metadata[_BEFORE] for entry in fields(kind) if _BEFORE in entry.metadata}


def later_of(record: object) -> dict[str, Any]:
    """The later fields of a record that count, with their values."""
    kind: Any = type(record)
    return {name: value for name, before in before_of(kind).items() if (value := getattr(record, name)) != before}


def digest_of(matter: object) -> str:
    """SHA-256, first 16 hex digits, of the canonical text of plain values."""
    text = json.dumps(matter, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
