"""The name that somebody meant who wrote another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like this one; empty when none is much like it."""
    lowered = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """That there is no such name, which one was meant perhaps, and which there are."""
    names = list(known)
    close = nearest(word, names)
    meant = f"did you mean {close!r}? " if close else ""
    return f"there is no {kind} {word!r}; {meant}known: {', '.join(names) or 'none'}"
