"""A clock that was set while the node was away ends nothing and prolongs nothing, and the record never goes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from core.playbook import P, Playbook
from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.instants import (
    TOLERANCE_MS,
    ClockNote,
    ClockReading,
    StartTime,
    seconds,
    shifted,
    time_at_start,
)
from siteshift.core.lifecycle.start import Past, start
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import Severity, SiteLife
from siteshift.core.state.controller_state import DURABLE, ControllerState

T, SECOND, HOUR, DAY = 1_700_000_000_000, 1_000, 3_600_000, 86_400_000
NOTE = ClockNote(at_ms=T, boot_id="b1", boot_ms=500 * SECOND)


def after(away_ms: int, *, jump_ms: int = 0, boot_id: str = "b1") -> StartTime:
    reading = ClockReading(wall_ms=T + away_ms + jump_ms, boot_id=boot_id, boot_ms=NOTE.boot_ms + away_ms)
    return time_at_start(NOTE, T, reading)


def test_a_clock_that_is_right_moves_nothing_and_is_not_spoken_of() -> None:
    assert after(10 * SECOND) == StartTime(now_ms=T + 10 * SECOND)


@pytest.mark.parametrize("jump_ms", [3 * HOUR, DAY])
def test_a_clock_set_ahead_moves_every_instant_along(jump_ms: int) -> None:
    found = after(10 * SECOND, jump_ms=jump_ms)
    assert (found.now_ms, found.shift_ms) == (T + 10 * SECOND + jump_ms, jump_ms)
    assert "set ahead by" in found.told


@pytest.mark.parametrize("jump_ms", [-HOUR, -DAY])
def test_a_clock_set_back_never_takes_the_record_back(jump_ms: int) -> None:
    found = after(10 * SECOND, jump_ms=jump_ms)
    assert (found.now_ms, found.shift_ms) == (T, -10 * SECOND)
    assert "behind the last entry on record" in found.told


def test_after_another_boot_the_boot_clock_tells_nothing() -> None:
    assert after(10 * SECOND, boot_id="b2") == StartTime(now_ms=T + 10 * SECOND)
    set_back = after(10 * SECOND, jump_ms=-HOUR, boot_id="b2")
    assert (set_back.now_ms, set_back.shift_ms) == (T, 0)
    assert "behind" in set_back.told


def test_without_a_note_the_record_alone_is_the_bound() -> None:
    reading = ClockReading(wall_ms=T - HOUR, boot_id="b1", boot_ms=0)
    assert time_at_start(None, T, reading).now_ms == T
    assert time_at_start(None, 0, reading) == StartTime(now_ms=T - HOUR)


@pytest.mark.parametrize("jump_ms", [0, 3 * HOUR, DAY, -HOUR, -DAY])
def test_an_override_ends_by_the_time_that_really_passed(jump_ms: int) -> None:
    before = Playbook(now_ms=T - 60_000, state=Playbook().state.changed(started_ms=T - 60_000))
    before.run(5_000)
    assert before.ask(DrainRequest(site=P), expires_ms=before.now_ms + HOUR).severity is Severity.ALLOWED
    left_ms = before.state.overrides[0].expires_ms - before.now_ms
    note = ClockNote(at_ms=before.now_ms, boot_id="b1", boot_ms=0)
    away_ms = 600 * SECOND
    reading = ClockReading(wall_ms=before.now_ms + away_ms + jump_ms, boot_id="b1", boot_ms=away_ms)
    time = time_at_start(note, before.now_ms, reading)
    state = start(Past(document=remember(before.state), shift_ms=time.shift_ms), before.setup, now_ms=time.now_ms)
    assert state.overrides[0].expires_ms - time.now_ms == left_ms - away_ms
    book = Playbook(setup=before.setup, state=state, now_ms=time.now_ms, planes=dict(before.planes))
    book.run(60_000)
    assert book.life(P) is SiteLife.DRAINED
    assert book.violations == []


@pytest.mark.parametrize("jump_ms", [DAY, -DAY])
def test_a_drain_asked_for_after_a_jump_moves_now(jump_ms: int) -> None:
    before = Playbook()
    before.run(30_000)
    time = time_at_start(
        ClockNote(at_ms=before.now_ms, boot_id="b", boot_ms=0),
        before.now_ms,
        ClockReading(wall_ms=before.now_ms + SECOND + jump_ms, boot_id="b", boot_ms=SECOND),
    )
    state = start(Past(document=remember(before.state), shift_ms=time.shift_ms), before.setup, now_ms=time.now_ms)
    book = Playbook(setup=before.setup, state=state, now_ms=time.now_ms, planes=dict(before.planes))
    book.run(5_000)
    assert book.ask(DrainRequest(site=P)).severity is Severity.ALLOWED
    book.run(20_000)
    assert book.shares()[P] == 0


LENGTHS = frozenset({"hold_ms", "wait_ms", "expected_ms", "ttl_tail_ms", "life_ms"})
"""Fields in milliseconds that are spans, not instants."""


def _instants(kind: object) -> set[str]:
    """Every field of the durable state that holds an instant, as Class.field, found by its name and type."""
    found: set[str] = set()
    for argument in get_args(kind):
        found |= _instants(argument)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        for entry in fields(kind):
            if kind is ControllerState and entry.name not in DURABLE:
                continue
            if entry.name.endswith("_ms") and entry.name not in LENGTHS:
                found.add(f"{kind.__name__}.{entry.name}")
            found |= _instants(hints[entry.name])
    return found


def test_every_durable_instant_is_moved() -> None:
    """A new field that ends in _ms is either moved here, or named as a span."""
    moved = {
        "SiteTrack.since_ms",
        "SiteTrack.left_at_ms",
        "SiteTrack.failed_at_ms",
        "SiteTrack.hold_until_ms",
        "SiteTrack.step_since_ms",
        "StandbyTrack.since_ms",
        "StandbyTrack.deadline_ms",
        "StandbyTrack.wanted_until_ms",
        "StandbyTrack.proof_since_ms",
        "StandbyTrack.next_ask_ms",
        "ServiceTransition.moved_at_ms",
        "ServiceTransition.tail_until_ms",
        "ServiceTransition.old_ttl_until_ms",
        "ServiceTransition.restless_until_ms",
        "ServiceTransition.cached_ms",
        "ServiceTransition.held_until_ms",
        "ServiceTransition.removals_ms",
        "Move.at_ms",
        "Carrying.failed_at_ms",
        "Carrying.until_ms",
        "DemandTrack.peak_at_ms",
        "DemandTrack.since_ms",
        "DemandTrack.troubled_at_ms",
        "Override.created_ms",
        "Override.expires_ms",
        "Override.end_told_ms",
        "Adoption.since_ms",
        "Notice.since_ms",
        "Steering.decided_at_ms",
    }
    moved |= {
        "GoalTrack.since_ms",
        "Envelope.not_before_ms",
        "Envelope.start_by_ms",
        "Envelope.ends_at_ms",
        "Approval.at_ms",
        "Approval.expires_ms",
    }
    named_by_people = {"Goal.expires_ms", "OperatorRequest.expires_ms"}
    assert _instants(ControllerState) == moved | named_by_people


def test_moving_there_and_back_is_no_move() -> None:
    book = Playbook()
    book.run(5_000)
    book.ask(DrainRequest(site=P))
    book.run(30_000)
    assert shifted(shifted(book.state, DAY), -DAY) == book.state


def filled(hint: Any, at_ms: int, name: str = "") -> Any:
    """A value of this type whose every instant is this one."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return filled(next(part for part in parts if part is not type(None)), at_ms, name)
    if origin is tuple:
        return (filled(parts[0], at_ms, name),) if parts[-1] is Ellipsis else tuple(filled(p, at_ms, name) for p in parts)
    if origin is frozenset:
        return frozenset({filled(parts[0], at_ms, name)})
    if origin is not None and issubclass(origin, Mapping):
        return {filled(parts[0], at_ms): filled(parts[1], at_ms, name)}
    if hasattr(hint, "__supertype__"):
        return hint(hint.__name__)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        assert isinstance(hint, type)
        return hint(**{entry.name: filled(hints[entry.name], at_ms, entry.name) for entry in fields(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    is_instant = name.endswith("_ms") and name not in LENGTHS
    return {int: at_ms if is_instant else 7, bool: True, str: "x"}.get(hint)


NAMED_BY_PEOPLE = ("goal", "asking", "expected")
"""Parts of the state that keep an instant as a person named it."""


def full_state(at_ms: int) -> ControllerState:
    hints = get_type_hints(ControllerState)
    return replace(Playbook().state, **{name: filled(hints[name], at_ms) for name in DURABLE})


def instants_of(value: object, path: str = "$") -> dict[str, int]:
    """Every instant in a durable state, by where it stands."""
    found: dict[str, int] = {}
    if is_dataclass(value):
        for entry in fields(value):
            below, at = f"{path}.{entry.name}", getattr(value, entry.name)
            if entry.name in NAMED_BY_PEOPLE or (path == "$" and entry.name not in DURABLE):
                continue
            if entry.name.endswith("_ms") and entry.name not in LENGTHS and isinstance(at, int):
                found[below] = at
            elif entry.name.endswith("_ms") and isinstance(at, tuple):
                found |= {f"{below}[{place}]": instant for place, instant in enumerate(at)}
            else:
                found |= instants_of(at, below)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            found |= instants_of(item, f"{path}.{key}")
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            found |= instants_of(item, f"{path}[{place}]")
    return found


@pytest.mark.parametrize(
    ("at_ms", "by_ms", "then_ms"),
    [(5_000, 1_200, 6_200), (5_000, 1, 5_001), (5_000, -1_200, 3_800), (5_000, -9_000, 1), (5_000, -5_000, 1), (0, 9, 0)],
)
def test_each_instant_is_moved_by_as_much_and_never_stays_never(at_ms: int, by_ms: int, then_ms: int) -> None:
    """0 stands for never: it is not moved, and nothing that was becomes it."""
    before = full_state(at_ms)
    named_by_people, of_a_fresh_envelope = 2, 3
    assert len(instants_of(before)) == len(_instants(ControllerState)) - named_by_people + of_a_fresh_envelope
    assert set(instants_of(before).values()) == {at_ms}
    assert set(instants_of(shifted(before, by_ms)).values()) == {then_ms}


def test_what_a_person_named_and_what_is_no_instant_is_not_moved() -> None:
    before = full_state(5_000)
    after = shifted(before, 1_200)
    assert [track.goal for track in after.goals.values()] == [track.goal for track in before.goals.values()]
    assert [track.asking for track in after.goals.values()] == [track.asking for track in before.goals.values()]
    assert shifted(after, -1_200) == before


def test_a_state_without_an_adoption_or_a_fresh_envelope_is_moved_as_well() -> None:
    before = full_state(5_000)
    goals = {name: replace(track, fresh=None) for name, track in before.goals.items()}
    after = shifted(replace(before, adoption=None, goals=goals), 1_200)
    assert after.adoption is None and [track.fresh for track in after.goals.values()] == [None]
    assert set(instants_of(after).values()) == {6_200}


@pytest.mark.parametrize(("over_ms", "is_told"), [(0, False), (1, True)])
def test_what_a_clock_drifts_is_not_spoken_of_and_moves_nothing(over_ms: int, is_told: bool) -> None:
    """Two seconds: one more is told, and every instant is moved by it."""
    span_ms = TOLERANCE_MS + over_ms
    ahead = after(10 * SECOND, jump_ms=span_ms)
    assert (bool(ahead.told), ahead.shift_ms) == (is_told, span_ms if is_told else 0)
    assert ahead.now_ms == T + 10 * SECOND + span_ms
    back = after(10 * SECOND, jump_ms=-span_ms)
    assert (bool(back.told), back.shift_ms) == (is_told, -span_ms if is_told else 0)
    behind = time_at_start(None, T, ClockReading(wall_ms=T - span_ms, boot_id="b1", boot_ms=0))
    assert (bool(behind.told), behind.now_ms, behind.shift_ms) == (is_told, T, 0)


def test_people_are_told_which_way_a_clock_was_set_by_how_much_and_what_follows() -> None:
    follows = "; what people forced, and every wait, ends by the time that really passed"
    assert after(HOUR, jump_ms=90 * SECOND).told == f"the clock was set ahead by 90 s since the last entry on record{follows}"
    assert after(HOUR, jump_ms=-90 * SECOND).told == f"the clock was set back by 90 s since the last entry on record{follows}"
    behind = (
        "the clock is 2 h 1 min behind the last entry on record: siteshift time goes on from that entry, ahead of the clock; "
        "set the clock right"
    )
    reading = ClockReading(wall_ms=T - 2 * HOUR - 61 * SECOND, boot_id="b2", boot_ms=0)
    assert time_at_start(NOTE, T, reading).told == behind
    assert time_at_start(NOTE, T, replace(reading, boot_id="b1", boot_ms=NOTE.boot_ms)).told == f"{behind}{follows}"


def test_a_boot_clock_that_went_back_is_of_another_boot() -> None:
    wall_ms = T + DAY
    for boot_ms, shift_ms in ((NOTE.boot_ms - 1, 0), (NOTE.boot_ms, DAY)):
        found = time_at_start(NOTE, T, ClockReading(wall_ms=wall_ms, boot_id="b1", boot_ms=boot_ms))
        assert (found.now_ms, found.shift_ms) == (wall_ms, shift_ms)


@pytest.mark.parametrize(
    ("span_ms", "said"),
    [(1_500, "2 s"), (3_599_000, "3599 s"), (3_600_000, "1 h 0 min"), (7_379_999, "2 h 2 min"), (90_060_000, "25 h 1 min")],
)
def test_a_span_is_told_in_seconds_below_an_hour_and_in_hours_and_minutes_from_there(span_ms: int, said: str) -> None:
    assert seconds(span_ms) == said
