"""Readings that say nothing new: which they are, and what they left in the state.

Meters are read twice a second and data planes every few seconds, whatever happens. A step that heard only such a reading leaves
nothing behind but newer instants and counts within their noise. It gets no row in the journal: the next row that is written says
what the state had become by then (`Meanwhile`), and a replay goes on from exactly there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.tracks import DemandTrack, PlaneTrack, TrafficTrack

K = TypeVar("K")
V = TypeVar("V")

READ_FIELDS = ("traffic", "demand", "planes")
"""All that a reading alone changes in the state."""
NOISE_SIGMAS = 5
"""Two counts of visits that come by chance differ by the square root of their sum; by five times that once in 1.7 million
readings, which is once in ten days."""
NOISE_PERCENT = 10
"""A rate that differs by less moves nobody: the velocity limit, the rings and the headroom are all of ten per cent or more."""
SMOOTHED_OVER_MS = 8_000
"""A mean with a time constant of 4 s (`core.beliefs.traffic.SMOOTHING_MS`) strays as a count over twice that; one that has just
begun as a count over its own time."""
FAILING_MS = 1_500
"""A window ends while requests are under way, so now and then one has fewer answers than requests; as `traffic.STALL_MS`."""


class Looked(NamedTuple):
    """When a plane was looked at: all that readings change of one that stands as before (`stands_as`). ``read_ms``: the last."""

    reading_since_ms: int | None
    next_read_ms: int
    next_try_ms: int
    attempts: int
    read_ms: int | None

    @classmethod
    def of(cls, track: PlaneTrack) -> Looked:
        read_ms = track.read_back.at_ms if track.read_back is not None else None
        return cls(track.reading_since_ms, track.next_read_ms, track.next_try_ms, track.attempts, read_ms)

    def put_into(self, track: PlaneTrack) -> PlaneTrack:
        """A plane that stands as this one, looked at then."""
        known, read_ms = track.read_back, self.read_ms
        return track.changed(
            reading_since_ms=self.reading_since_ms,
            next_read_ms=self.next_read_ms,
            next_try_ms=self.next_try_ms,
            attempts=self.attempts,
            read_back=known if known is None or read_ms is None else replace(known, at_ms=read_ms),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanwhile:
    """What readings without a row had made of the state: entries that differ from those after the last row, and the instants."""

    traffic: Mapping[tuple[ServiceId, SiteId], TrafficTrack] = field(default_factory=dict)
    demand: Mapping[ServiceId, DemandTrack] = field(default_factory=dict)
    planes: Mapping[EnactorId, Looked] = field(default_factory=dict)
    wake_at_ms: int
    rethink_at_ms: int
    chores_at_ms: int
    thought_at_ms: int


def meanwhile(told: ControllerState, now: ControllerState) -> Meanwhile | None:
    """What became of the state as it was ``told``; None when it is still that."""
    found = Meanwhile(
        traffic=_differing(told.traffic, now.traffic),
        demand=_differing(told.demand, now.demand),
        planes={name: Looked.of(track) for name, track in _differing(told.planes, now.planes).items()},
        wake_at_ms=now.wake_at_ms,
        rethink_at_ms=now.rethink_at_ms,
        chores_at_ms=now.chores_at_ms,
        thought_at_ms=now.thought_at_ms,
    )
    return found if found.traffic or found.demand or found.planes else None


def caught_up(state: ControllerState, since: Meanwhile) -> ControllerState:
    """The state with what the readings had made of it."""
    return read_on(state, since).changed(
        wake_at_ms=since.wake_at_ms,
        rethink_at_ms=since.rethink_at_ms,
        chores_at_ms=since.chores_at_ms,
        thought_at_ms=since.thought_at_ms,
    )


def read_on(state: ControllerState, since: Meanwhile) -> ControllerState:
    """The same, with the state's own instants: it wakes by another policy."""
    return state.changed(
        traffic={**state.traffic, **since.traffic},
        demand={**state.demand, **since.demand},
        planes={**state.planes, **{name: looked.put_into(state.plane(name)) for name, looked in since.planes.items()}},
    )


def _differing(told: Mapping[K, V], now: Mapping[K, V]) -> dict[K, V]:
    return {} if told is now else {key: value for key, value in now.items() if told.get(key) != value}


# -- what is new ------------------------------------------------------------------------------------------------------


def stands_as(now: PlaneTrack, before: PlaneTrack) -> bool:
    """Whether a plane stands as before, but for when it was looked at."""
    return Looked.of(now).put_into(before) == now


def says_new(told: TrafficTrack | None, now: TrafficTrack) -> bool:
    """Whether what is counted at a place differs from what was told of it by more than chance, or users fare otherwise."""
    if told is None or told.tells_answers is not now.tells_answers:
        return True
    if (told.failing_ms >= FAILING_MS) is not (now.failing_ms >= FAILING_MS):
        return True
    step_mrps = abs(now.rate_mrps - told.rate_mrps)
    variance = _variance(told) + _variance(now)
    return step_mrps**2 > NOISE_SIGMAS**2 * variance and step_mrps * 100 > max(now.rate_mrps, told.rate_mrps) * NOISE_PERCENT


def _variance(track: TrafficTrack) -> int:
    """Of a mean rate of visits by chance, in (requests/s x 1000) squared: the rate over the time it is a mean of."""
    over_ms = min(SMOOTHED_OVER_MS, track.at_ms - track.since_ms + track.window_ms)
    return track.rate_mrps * 1_000_000 // max(1, over_ms)
