"""Durations and instants as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from siteshift.cli.times import parse_duration_s, parse_instant_ms, span_text

SEOUL = timezone(timedelta(hours=9))
NOW = datetime(2026, 5, 13, 14, 0, 0, tzinfo=SEOUL)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("10min", 600), ("2h", 7_200), ("1d", 86_400), ("1h30m", 5_400), ("1h 30m", 5_400), ("0s", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-5m", "1.5h", "2h later"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOW),
        ("-5m", NOW - timedelta(minutes=5)),
        ("-1h30m", NOW - timedelta(minutes=90)),
        ("13:44", datetime(2026, 5, 13, 13, 44, tzinfo=SEOUL)),
        ("9:05", datetime(2026, 5, 13, 9, 5, tzinfo=SEOUL)),
        ("13:44:05", datetime(2026, 5, 13, 13, 44, 5, tzinfo=SEOUL)),
        ("9:05:07", datetime(2026, 5, 13, 9, 5, 7, tzinfo=SEOUL)),
        ("13:44:05.250", datetime(2026, 5, 13, 13, 44, 5, 250_000, tzinfo=SEOUL)),
        ("2026-05-12 23:59", datetime(2026, 5, 12, 23, 59, tzinfo=SEOUL)),
        ("2026-05-13T04:44:00Z", datetime(2026, 5, 13, 4, 44, tzinfo=UTC)),
        ("2026-05-13T13:44:00+09:00", datetime(2026, 5, 13, 13, 44, tzinfo=SEOUL)),
    ],
)
def test_instants(text: str, instant: datetime) -> None:
    assert parse_instant_ms(text, NOW) == round(instant.timestamp() * 1000)


@pytest.mark.parametrize("text", ["yesterday", "25:00", "13:61", "-", "-5 minutes", "2026-13-01", ""])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (instant|duration)"):
        parse_instant_ms(text, NOW)


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 s"),
        (400, "0 s"),
        (-5, "0 s"),
        (12_000, "12 s"),
        (185_000, "3 min 5 s"),
        (14_280_000, "3 h 58 min"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_spans_have_their_two_largest_units(span_ms: int, text: str) -> None:
    assert span_text(span_ms) == text
