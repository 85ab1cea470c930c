"""Durations and instants as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_UNIT_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_PART = re.compile(r"(\d+)(s|min|m|h|d)")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")


def parse_duration_s(text: str) -> int:
    """``90s``, ``10m``, ``2h``, ``1d`` and what is made of them (``1h30m``), in seconds. Raises ValueError."""
    compact = text.strip().replace(" ", "")
    if not compact or _PART.sub("", compact):
        raise ValueError(f"{text!r} is no duration; write for example 90s, 10m, 2h, 1h30m or 1d")
    return sum(int(number) * _UNIT_S[unit] for number, unit in _PART.findall(compact))


def parse_instant_ms(text: str, now: datetime) -> int:
    """An instant in Unix ms: ISO 8601, ``HH:MM[:SS]`` of today, ``-5m`` before now, or ``now``.

    Without a zone the one of ``now`` is meant. Raises ValueError.
    """
    word = text.strip()
    if word == "now":
        return _ms(now)
    if word.startswith("-"):
        return _ms(now - timedelta(seconds=parse_duration_s(word[1:])))
    if _CLOCK.fullmatch(word):
        word = f"{now:%Y-%m-%d}T{word:0>5}" if word.count(":") == 1 else f"{now:%Y-%m-%d}T{word.zfill(8)}"
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise ValueError(
            f"{text!r} is no instant; write for example 2026-05-13T13:44:00+09:00, 13:44, 13:44:05 or -5m"
        ) from None
    return _ms(found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo))


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def local_now() -> datetime:
    """Now, with the zone of this machine."""
    return datetime.now().astimezone()


def clock_text(at_ms: int) -> str:
    """``13:44:05.123`` in the zone of this machine."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]


def instant_text(at_ms: int) -> str:
    """``2026-05-13 13:44:05`` in the zone of this machine."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span_text(span_ms: int) -> str:
    """``12 s``, ``3 min 5 s``, ``3 h 58 min``, ``2 d 4 h``: the two largest units."""
    left_s = max(0, round(span_ms / 1000))
    parts: list[str] = []
    for name, size_s in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left_s = divmod(left_s, size_s)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
