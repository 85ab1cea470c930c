"""Plain YAML scalars, read by the core schema of YAML 1.2.

YAML 1.1 takes ``no`` for false, ``010`` for eight and ``12:30`` for 750. Here they are text; the model then says what
it wanted instead. Only ``true``, ``false``, ``null``, decimal, ``0x`` and ``0o`` numbers and fractions are special.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})\Z")
_HEX_OR_OCTAL = re.compile(r"0x[0-9a-fA-F]{1,16}\Z|0o[0-7]{1,21}\Z")
_FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?\Z")
_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}

OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})
"""Words that YAML 1.1 would have taken for true or false."""


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _HEX_OR_OCTAL.match(text):
        return int(text, 0)
    if _FRACTION.match(text) and not _leading_zero(text):
        return float(text)
    return text


def _leading_zero(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
