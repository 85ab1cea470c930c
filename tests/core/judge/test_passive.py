"""Real traffic as evidence: what users saw before a silence says nothing of what comes after."""

from __future__ import annotations

from siteshift.core.judge.passive import Traffic
from siteshift.core.model.codes import Standing
from siteshift.core.model.policy import JudgePolicy

POLICY = JudgePolicy()


def fed(stream: Traffic, *, errors: int, from_ms: int, until_ms: int) -> None:
    for at_ms in range(from_ms, until_ms, 500):
        stream.add(20, errors, 10, at_ms)


def test_errors_that_users_meet_degrade_a_site() -> None:
    stream = Traffic(POLICY, 500)
    fed(stream, errors=16, from_ms=1_000, until_ms=8_000)
    assert stream.standing in (Standing.DEGRADED, Standing.DOWN)


def test_a_site_that_comes_back_after_a_silence_begins_anew() -> None:
    stream = Traffic(POLICY, 500)
    fed(stream, errors=16, from_ms=1_000, until_ms=8_000)
    fed(stream, errors=0, from_ms=400_000, until_ms=400_500)
    assert stream.standing is Standing.UP
    assert stream.score_pm == 1_000


def test_a_short_gap_forgets_nothing() -> None:
    stream = Traffic(POLICY, 500)
    fed(stream, errors=16, from_ms=1_000, until_ms=8_000)
    fed(stream, errors=0, from_ms=9_000, until_ms=9_500)
    assert stream.standing in (Standing.DEGRADED, Standing.DOWN)
