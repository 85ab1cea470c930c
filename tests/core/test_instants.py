"""A clock that was set while the node was away ends nothing and prolongs nothing, and the record never goes back."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest

from core.playbook import P, Playbook
from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.instants import ClockNote, ClockReading, StartTime, shifted, time_at_start
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
        "Relief.until_ms",
        "Override.created_ms",
        "Override.expires_ms",
        "Override.end_told_ms",
        "Adoption.since_ms",
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
