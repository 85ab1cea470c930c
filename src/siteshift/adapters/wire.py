"""The grammar of numbers and tokens that come from outside: off a socket, a page, a DNS record, a hook's answer.

Python's own readers are no protocol grammars: ``int("-6")``, ``int("0_2")``, ``int(" 1 ")``, ``float("1_0")`` and
``"٣".isdigit()`` all say yes, and a chunk of minus six bytes walks backwards for ever. Here a number is ASCII digits and
nothing else, and so few of them that no input makes the arithmetic slow. Every function takes text or bytes and raises
`BadWire`, a ValueError whose message quotes the beginning of what came.

Sources: RFC 9110 (5.6.2 token, 5.5 field values, 8.6 Content-Length, 15 status codes), RFC 9112 (7.1 chunk sizes), Prometheus
text format and OpenMetrics 1.0 (numbers).
"""

from __future__ import annotations

import re

MAX_DECIMAL_DIGITS = 20
"""An unsigned 64-bit counter has 20 digits; nothing that HAProxy, Prometheus or DNS counts has more."""

MAX_HEXADECIMAL_DIGITS = 16
"""64 bits."""

MAX_REAL_CHARACTERS = 64
"""The shortest text that tells every double has 24; exporters that print all digits stay well below this."""

MAX_TOKEN_CHARACTERS = 256
"""Names of HTTP fields and words of a protocol; longer ones are no names."""

QUOTED = 40
"""Characters of the offending text in a message."""

_HEXADECIMAL = re.compile("[0-9A-Fa-f]+")
_TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile("[\t\x20-\x7e\x80-\xff]*")
_REAL = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,5})?|nan|inf|infinity)",
    re.ASCII | re.IGNORECASE,
)


class BadWire(ValueError):
    """Text from outside that the grammar does not allow."""

    def __init__(self, what: str, text: str | bytes) -> None:
        super().__init__(f"{what}: {text[:QUOTED]!r}")


def decimal(text: str | bytes, *, digits: int = MAX_DECIMAL_DIGITS, most: int | None = None) -> int:
    """One to ``digits`` ASCII digits (leading zeros are allowed), and not more than ``most``."""
    if len(text) > digits or not text.isascii() or not text.isdigit():
        raise BadWire(f"not a number of 1 to {digits} digits", text)
    number = int(text)
    if most is not None and number > most:
        raise BadWire(f"a number above {most}", text)
    return number


def signed_decimal(text: str | bytes, *, digits: int = MAX_DECIMAL_DIGITS) -> int:
    """As `decimal`, with one minus sign in front or none; never a plus sign."""
    if text[:1] in ("-", b"-"):
        return -decimal(text[1:], digits=digits)
    return decimal(text, digits=digits)


def hexadecimal(text: str | bytes, *, digits: int = MAX_HEXADECIMAL_DIGITS) -> int:
    """One to ``digits`` hexadecimal digits of either case; no sign, no ``0x``."""
    if len(text) > digits or _HEXADECIMAL.fullmatch(_latin(text)) is None:
        raise BadWire(f"not a hexadecimal number of 1 to {digits} digits", text)
    return int(text, 16)


def real(text: str | bytes) -> float:
    """A number as Prometheus and OpenMetrics write it. May be NaN or infinite: ask ``math.isfinite`` where it must not."""
    if len(text) > MAX_REAL_CHARACTERS or _REAL.fullmatch(_latin(text)) is None:
        raise BadWire("not a number", text)
    return float(text)


def status_code(text: str | bytes) -> int:
    """An HTTP status: exactly three digits, 100 to 599 (RFC 9110 section 15: others are invalid)."""
    if len(text) != 3 or not text.isascii() or not text.isdigit() or not 100 <= int(text) <= 599:
        raise BadWire("not a status code from 100 to 599", text)
    return int(text)


def token(text: str | bytes, *, characters: int = MAX_TOKEN_CHARACTERS) -> str:
    """A token of RFC 9110: the name of a field, a word; as text."""
    plain = _latin(text)
    if len(plain) > characters or _TOKEN.fullmatch(plain) is None:
        raise BadWire(f"not a token of 1 to {characters} characters", text)
    return plain


def field_name(text: str | bytes) -> str:
    """The name of an HTTP field, in lower case."""
    return token(text).lower()


def field_value(text: str | bytes) -> str:
    """The value of an HTTP field without the blanks around it; no line ends, NUL or other control characters in it."""
    plain = _latin(text)
    if _FIELD_VALUE.fullmatch(plain) is None:
        raise BadWire("control characters in a field's value", text)
    return plain.strip(" \t")


def _latin(text: str | bytes) -> str:
    """One character a byte. What has no such character is in no grammar here, and stays as it is to be refused."""
    return text.decode("latin-1") if isinstance(text, bytes) else text
