"""Which readings are news, and that a state is caught up with what the others left behind."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from core.playbook import WEB, G, P
from siteshift.core.beliefs.traffic import _smoothed
from siteshift.core.messages.events import SeenTraffic
from siteshift.core.model.steering import ReadBack
from siteshift.core.model.units import EnactorId
from siteshift.core.state.controller_state import ControllerState, initial_state
from siteshift.core.state.meanwhile import caught_up, meanwhile, says_new, stands_as
from siteshift.core.state.tracks import DemandTrack, PlaneStanding, PlaneTrack, TrafficTrack

READ = ReadBack(enactor=EnactorId("lb"), at_ms=1_000, generation=3, shares_bp={WEB: {P: 6_000, G: 4_000}})
PLANE = PlaneTrack(standing=PlaneStanding.IN_STEP, confirmed_generation=3, read_back=READ, next_read_ms=2_000)
WELL = TrafficTrack(at_ms=60_000, rate_mrps=100_000, last_mrps=100_000, tells_answers=True, serving_ms=500)


def counted(rates_rps: list[int], seed: int = 1) -> list[TrafficTrack]:
    """The tracks of half a second each, with arrivals by chance around these rates."""
    chance, track, found = random.Random(seed), None, []
    for number, rate in enumerate(rates_rps):
        requests = sum(chance.random() < 0.05 for _ in range(rate * 10))
        sample = SeenTraffic(service=WEB, site=P, window_ms=500, requests=requests, errors=0, answered=requests)
        track = _smoothed(track, sample, 500, 500 * number)
        found.append(track)
    return found


def told(tracks: list[TrafficTrack]) -> int:
    last, count = None, 0
    for track in tracks:
        if says_new(last, track):
            last, count = track, count + 1
    return count


@pytest.mark.parametrize("rate_rps", [0, 1, 10, 200])
def test_an_hour_of_the_same_load_is_told_once_or_hardly_more(rate_rps: int) -> None:
    assert told(counted([rate_rps] * 7_200)) <= 5


def test_a_visitor_now_and_then_is_told_no_more() -> None:
    """One every ten seconds: for most of the time nobody, and then two a second in that window."""
    rates = ([0] * 19 + [2]) * 360
    assert told(counted(rates)) <= 5


def test_a_surge_and_its_end_are_told() -> None:
    tracks = counted([40] * 100 + [80] * 100 + [40] * 100)
    assert says_new(tracks[99], tracks[199]) and says_new(tracks[199], tracks[299])
    assert not says_new(tracks[99], tracks[299])


@pytest.mark.parametrize(
    "now",
    [
        WELL._replace(failing_ms=1_500),
        WELL._replace(tells_answers=False),
        WELL._replace(rate_mrps=0),
        None,
    ],
    ids=["users fail", "another meter", "nobody comes", "first heard"],
)
def test_what_is_no_chance_is_news(now: TrafficTrack | None) -> None:
    assert says_new(WELL, now) if now is not None else says_new(None, WELL)


def test_a_window_that_ends_with_a_request_under_way_is_no_news() -> None:
    assert not says_new(WELL, WELL._replace(failing_ms=500, serving_ms=0))


def test_a_plane_read_again_stands_as_before() -> None:
    later = PLANE.changed(next_read_ms=9_000, reading_since_ms=8_000, read_back=replace(READ, at_ms=8_000))
    assert stands_as(later, PLANE)


@pytest.mark.parametrize(
    "now",
    [
        PLANE.changed(read_back=replace(READ, shares_bp={WEB: {P: 5_000, G: 5_000}})),
        PLANE.changed(read_back=None),
        PLANE.changed(standing=PlaneStanding.BEHIND),
        PLANE.changed(unread_since_ms=5),
        PLANE.changed(detail="refused"),
    ],
    ids=["other shares", "not read", "behind", "unreadable", "says something"],
)
def test_a_plane_that_changed_does_not(now: PlaneTrack) -> None:
    assert not stands_as(now, PLANE)


def test_a_state_is_caught_up_with_what_readings_made_of_it() -> None:
    before = initial_state(now_ms=0).changed(planes={READ.enactor: PLANE}, traffic={(WEB, P): WELL})
    looked = PLANE.changed(next_read_ms=9_000, read_back=replace(READ, at_ms=8_000))
    now = before.changed(
        planes={READ.enactor: looked},
        traffic={(WEB, P): WELL._replace(at_ms=8_000), (WEB, G): WELL},
        demand={WEB: DemandTrack(peak_rps=7, peak_at_ms=1)},
        wake_at_ms=9_000,
        thought_at_ms=5_000,
    )
    since = meanwhile(before, now)
    assert since is not None
    assert caught_up(before, since) == now


def test_nothing_read_is_nothing_to_catch_up_with() -> None:
    state: ControllerState = initial_state(now_ms=0)
    assert meanwhile(state, state.changed(wake_at_ms=5)) is None
