"""Keeping secrets out of what people read: by the name of a field, and by values that were learned from the config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
MIN_SECRET = 6
"""Shorter values are not looked for: they would blot out ordinary words."""
MAX_DEPTH = 6

_SECRET_NAME = re.compile(
    r"(^|[_\-.])(pass(word|wd|phrase)?|secrets?|tokens?|api_?key|private_?key|key_?material|tsig|credentials?|cookies?"
    r"|(proxy_?|proxy-)?authorization)([_\-.]|$)",
    re.IGNORECASE,
)
_IN_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), f"://{HIDDEN}@"),
)


class Redactor:
    """Hides secrets in strings and structures. Learned values are kept in memory only."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self._values: set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these values from now on, wherever they appear."""
        self._values.update(value for value in secrets if len(value) >= MIN_SECRET)
        if self._values:  # the longest first: one secret may begin with another
            alternatives = sorted(self._values, key=lambda value: (-len(value), value))
            self._known = re.compile("|".join(re.escape(value) for value in alternatives))

    def text(self, text: str) -> str:
        """``text`` with every known secret, bearer token and password in a URL hidden."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text

    def field(self, name: str, value: object) -> object:
        """A field's value as it may be shown."""
        if value is not None and _SECRET_NAME.search(name):
            return HIDDEN
        return self.value(value)

    def value(self, value: object, depth: int = 0) -> object:
        """Any value, looked into as far as `MAX_DEPTH`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode(errors="replace"))
        if depth >= MAX_DEPTH or value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            return {
                str(key): HIDDEN if _SECRET_NAME.search(str(key)) else self.value(inner, depth + 1)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(inner, depth + 1) for inner in value]
        return self.text(str(value))
