"""What is overdue: deadlines in order, none left behind by a run that ended."""

from __future__ import annotations

from siteshift.adapters.probes.deadlines import Deadlines
from siteshift.adapters.probes.slot import Slot
from siteshift.core.model.probe import ProbeKind

from .probing import spec


def pending(deadlines: Deadlines, name: str, *, started_us: int, length_us: int) -> Slot:
    slot = Slot(spec(ProbeKind.HTTP, 80, name=name))
    slot.pending, slot.started_us = True, started_us
    deadlines.add(length_us, slot, started_us)
    return slot


def test_the_earliest_of_all_lengths_is_next() -> None:
    deadlines = Deadlines()
    assert deadlines.next_us() is None
    pending(deadlines, "long", started_us=0, length_us=800)
    pending(deadlines, "short", started_us=100, length_us=500)
    assert deadlines.next_us() == 600


def test_only_what_is_due_expires_with_the_run_it_was_set_for() -> None:
    deadlines = Deadlines()
    first = pending(deadlines, "first", started_us=10, length_us=500)
    pending(deadlines, "second", started_us=20, length_us=500)
    assert deadlines.expired(509) == []
    assert deadlines.expired(510) == [(first, 10)]


def test_a_run_that_ended_leaves_no_deadline() -> None:
    deadlines = Deadlines()
    first = pending(deadlines, "first", started_us=10, length_us=500)
    second = pending(deadlines, "second", started_us=20, length_us=500)
    first.settle()
    assert deadlines.next_us() == 520
    second.close()
    assert deadlines.next_us() is None and deadlines.expired(10_000) == []


def test_a_length_nobody_uses_is_forgotten_and_may_come_back() -> None:
    deadlines = Deadlines()
    slot = pending(deadlines, "one", started_us=10, length_us=500)
    slot.settle()
    deadlines.tidy()
    deadlines.add(500, slot, 1_000)
    assert deadlines.next_us() == 1_500
