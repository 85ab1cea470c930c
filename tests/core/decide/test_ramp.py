"""How far a step goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from siteshift.core.decide.ramp import within_room
from siteshift.core.model.units import SiteId

P, G, A = SiteId("pangyo"), SiteId("gasan"), SiteId("anyang")


def test_those_who_gain_get_what_room_they_have_and_the_rest_stays() -> None:
    current, target = {P: 5_000, G: 3_000, A: 2_000}, {P: 3_000, G: 3_500, A: 3_500}
    assert within_room(current, target, {G: 0, A: 400}) == {P: 4_600, G: 3_000, A: 2_400}
    assert within_room(current, target, {G: 9_999, A: 9_999}) == target
    assert within_room(current, target, {}) == current


def test_what_the_target_sheds_is_shed_at_once_and_what_comes_back_from_it_needs_room() -> None:
    current = {P: 5_000, G: 3_000, A: 2_000}
    assert within_room(current, {P: 3_000, G: 3_000, A: 2_500}, {A: 0}) == {P: 3_500, G: 3_000, A: 2_000}
    shedding = {P: 3_000, G: 3_000, A: 2_000}
    assert within_room(shedding, {P: 2_500, G: 3_500, A: 4_000}, {G: 500, A: 1_000}) == {P: 3_000, G: 3_500, A: 3_000}


parts = st.lists(st.integers(0, 4_000), min_size=3, max_size=3)


@given(parts, parts, parts)
def test_nobody_gains_more_than_its_room_nor_loses_more_than_meant(now: list[int], then: list[int], free: list[int]) -> None:
    sites = (P, G, A)
    current, target, room = (dict(zip(sites, values, strict=True)) for values in (now, then, free))
    after = within_room(current, target, room)
    for site in sites:
        low, high = sorted((current[site], target[site]))
        assert low <= after[site] <= high
        assert after[site] - current[site] <= room[site]
    assert sum(after.values()) <= max(sum(current.values()), sum(target.values()))
