"""How fast a suspected target may be probed: never a burden to what it is asked about."""

from __future__ import annotations

import pytest

from siteshift.core.judge.pacing import CARRIED_PM, Asked, paces_ms

SECOND = Asked(interval_ms=1_000)


def extra_rps(checks: list[Asked], paces: tuple[int, ...]) -> float:
    """Requests a second beyond the usual ones."""
    return sum(one.requests * (1_000 / pace - 1_000 / one.interval_ms) for one, pace in zip(checks, paces, strict=True))


def test_a_target_of_unknown_capacity_has_what_is_wanted() -> None:
    assert paces_ms([SECOND], 200, None, 1) == (200,)


def test_no_check_goes_faster_than_a_fifth_of_its_own_interval() -> None:
    assert paces_ms([SECOND, Asked(interval_ms=5_000, requests=3)], 200, None, 1) == (200, 1_000)


@pytest.mark.parametrize("capacity_rps", [1, 20, 45, 100, 1_000])
@pytest.mark.parametrize("vantages", [1, 3])
def test_all_checks_and_vantages_together_take_no_more_of_a_target_than_a_tenth(capacity_rps: int, vantages: int) -> None:
    checks = [SECOND, Asked(interval_ms=1_000, requests=2), Asked(interval_ms=5_000, requests=6)]
    paces = paces_ms(checks, 200, capacity_rps, vantages)
    assert vantages * extra_rps(checks, paces) <= capacity_rps * CARRIED_PM / 1_000 * 1.02, "whole milliseconds"
    assert all(pace <= one.interval_ms for pace, one in zip(paces, checks, strict=True))


def test_a_large_target_is_probed_as_fast_as_is_wanted() -> None:
    assert paces_ms([SECOND], 200, 40, 1) == (200,)


def test_what_a_target_carries_is_given_to_its_checks_in_turn() -> None:
    assert paces_ms([SECOND, Asked(interval_ms=1_000, requests=2)], 200, 45, 1) == (333, 500)


def test_a_check_whose_interval_is_the_fast_one_is_not_slowed_down() -> None:
    assert paces_ms([Asked(interval_ms=100)], 200, 1, 1) == (100,)
