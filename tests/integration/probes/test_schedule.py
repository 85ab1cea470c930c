"""The schedule in virtual time: phases, laps, jitter, sprints, batches, new sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.probes.schedule import JITTER_PARTS, MAX_HASTE_US, MIN_INTERVAL_US, Entry, Schedule

SECOND = 1_000_000
ORIGIN = 7_000_000_123


def entry(phase_ms: int = 0, interval_ms: int = 1_000) -> Entry:
    return Entry(interval_us=interval_ms * 1_000, phase_us=phase_ms * 1_000)


def schedule(*entries: Entry, seed: int = 1) -> Schedule[Entry]:
    made: Schedule[Entry] = Schedule(origin_us=ORIGIN, seed=seed)
    made.replace(entries, ORIGIN)
    return made


def play(plan: Schedule[Entry], from_us: int, until_us: int) -> list[tuple[int, Entry]]:
    """Everything that is started up to ``until_us``, waking exactly when something is due."""
    starts: list[tuple[int, Entry]] = []
    now_us = from_us
    while (next_us := plan.next_us()) is not None and next_us <= until_us:
        now_us = max(now_us, next_us)
        due = plan.take(now_us, 64)
        assert due or plan.next_us() != next_us
        starts += due
    return starts


def times(starts: list[tuple[int, Entry]], of: Entry) -> list[int]:
    return [at_us for at_us, started in starts if started is of]


def test_each_entry_starts_once_an_interval() -> None:
    entries = [entry(phase_ms) for phase_ms in (0, 250, 500, 999)]
    starts = play(schedule(*entries), ORIGIN, ORIGIN + 100 * SECOND)
    for one in entries:
        assert 99 <= len(times(starts, one)) <= 100


def test_gaps_stay_within_the_jitter() -> None:
    one = entry(300)
    gaps = [b - a for a, b in pairwise(times(play(schedule(one), ORIGIN, ORIGIN + 200 * SECOND), one))]
    assert min(gaps) >= SECOND - SECOND // JITTER_PARTS
    assert max(gaps) <= SECOND + SECOND // JITTER_PARTS
    assert len(set(gaps)) > 50, "no two laps in step with anything"


def test_the_members_of_a_pool_stay_evenly_spaced() -> None:
    entries = [entry(phase_ms) for phase_ms in range(0, 1_000, 100)]
    starts = play(schedule(*entries), ORIGIN, ORIGIN + 50 * SECOND)
    gaps = [b[0] - a[0] for a, b in pairwise(starts)]
    assert min(gaps) >= 95_000
    assert max(gaps) <= 100_000 + 2 * SECOND // JITTER_PARTS


def test_lateness_does_not_add_up() -> None:
    one = entry(100)
    plan, late = schedule(one), schedule(entry(100))
    on_time = [at_us for at_us, _ in play(plan, ORIGIN, ORIGIN + 20 * SECOND)]
    delayed: list[int] = []
    while len(delayed) < len(on_time):
        next_us = late.next_us()
        assert next_us is not None
        delayed += [at_us for at_us, _ in late.take(next_us + 90_000, 64)]
    assert delayed == on_time


def test_different_seeds_jitter_differently() -> None:
    one, other = entry(), entry()
    first = times(play(schedule(one, seed=1), ORIGIN, ORIGIN + 20 * SECOND), one)
    second = times(play(schedule(other, seed=2), ORIGIN, ORIGIN + 20 * SECOND), other)
    assert first != second


def test_a_new_set_keeps_the_phases_of_what_stays() -> None:
    stays = entry(400)
    alone = play(schedule(stays), ORIGIN, ORIGIN + 10 * SECOND)
    plan = schedule(stays, entry(10), entry(600, interval_ms=300))
    starts = play(plan, ORIGIN, ORIGIN + 3 * SECOND)
    plan.replace([entry(20), stays, entry(10, interval_ms=5_000)], ORIGIN + 3 * SECOND)
    starts += play(plan, ORIGIN + 3 * SECOND, ORIGIN + 10 * SECOND)
    assert times(starts, stays) == times(alone, stays)


def test_a_new_set_forgets_what_goes_even_in_a_sprint() -> None:
    goes, stays = entry(0), entry(500)
    plan = schedule(goes, stays)
    plan.hasten(goes, interval_us=200_000, until_us=ORIGIN + 60 * SECOND, now_us=ORIGIN)
    plan.replace([stays], ORIGIN)
    assert not times(play(plan, ORIGIN, ORIGIN + 5 * SECOND), goes)


def test_an_empty_schedule_has_nothing_next() -> None:
    plan = schedule()
    assert plan.next_us() is None
    assert plan.take(ORIGIN + SECOND, 64) == []


def test_a_sprint_runs_at_its_pace_and_ends() -> None:
    one = entry(500)
    plan = schedule(one)
    plan.hasten(one, interval_us=200_000, until_us=ORIGIN + 2 * SECOND, now_us=ORIGIN)
    starts = times(play(plan, ORIGIN, ORIGIN + 10 * SECOND), one)
    sprint = [at_us for at_us in starts if at_us <= ORIGIN + 2 * SECOND]
    assert len(sprint) == 10
    assert all(b - a == 200_000 for a, b in pairwise(sprint))
    after = [at_us for at_us in starts if at_us > ORIGIN + 2 * SECOND]
    assert 7 <= len(after) <= 8


def test_a_hastened_pool_is_evenly_spread_as_well() -> None:
    pool = [entry(phase_ms) for phase_ms in (0, 250, 500, 750)]
    plan = schedule(*pool)
    for one in pool:
        plan.hasten(one, interval_us=200_000, until_us=ORIGIN + 2 * SECOND, now_us=ORIGIN)
    starts = play(plan, ORIGIN, ORIGIN + 2 * SECOND)
    assert {b[0] - a[0] for a, b in pairwise(starts)} == {50_000}


def test_a_second_call_prolongs_a_sprint_without_a_second_comb() -> None:
    one = entry()
    plan = schedule(one)
    plan.hasten(one, interval_us=200_000, until_us=ORIGIN + SECOND, now_us=ORIGIN)
    plan.hasten(one, interval_us=200_000, until_us=ORIGIN + 3 * SECOND, now_us=ORIGIN + 1_000)
    starts = times(play(plan, ORIGIN, ORIGIN + 3 * SECOND), one)
    assert len(starts) == 15
    plan.hasten(one, interval_us=100_000, until_us=ORIGIN + 5 * SECOND, now_us=ORIGIN + 3 * SECOND)
    assert len(times(play(plan, ORIGIN + 3 * SECOND, ORIGIN + 5 * SECOND), one)) == 20


@pytest.mark.parametrize(("interval_us", "until_us"), [(200_000, ORIGIN), (SECOND, ORIGIN + SECOND * 9)])
def test_a_time_gone_by_or_a_slow_pace_ends_a_sprint(interval_us: int, until_us: int) -> None:
    one = entry()
    plan = schedule(one)
    plan.hasten(one, interval_us=200_000, until_us=ORIGIN + 9 * SECOND, now_us=ORIGIN)
    plan.hasten(one, interval_us=interval_us, until_us=until_us, now_us=ORIGIN)
    assert len(times(play(plan, ORIGIN, ORIGIN + 5 * SECOND), one)) <= 5


def test_a_sprint_is_bounded_in_time_and_pace() -> None:
    one = entry()
    plan = schedule(one)
    plan.hasten(one, interval_us=1, until_us=ORIGIN + 3_600 * SECOND, now_us=ORIGIN)
    starts = times(play(plan, ORIGIN, ORIGIN + MAX_HASTE_US + 10 * SECOND), one)
    assert len(starts) <= MAX_HASTE_US // MIN_INTERVAL_US + 11
    assert len([at_us for at_us in starts if at_us > ORIGIN + MAX_HASTE_US]) <= 11


def test_batches_are_bounded_and_lose_nothing() -> None:
    entries = [entry(5) for _ in range(1_000)]
    plan = schedule(*entries)
    now_us = ORIGIN + SECOND
    taken: list[tuple[int, Entry]] = []
    while due := plan.take(now_us, 64):
        assert len(due) <= 64
        taken += due
    assert len({id(one) for _, one in taken}) == 1_000


def test_after_a_standstill_missed_laps_are_skipped_and_counted() -> None:
    one = entry(500)
    plan = schedule(one)
    plan.take(ORIGIN + SECOND, 64)
    burst: list[tuple[int, Entry]] = []
    while due := plan.take(ORIGIN + 60 * SECOND, 64):
        burst += due
    assert 1 <= len(burst) <= 2
    assert plan.missed_laps >= 56
    assert len(play(plan, ORIGIN + 60 * SECOND, ORIGIN + 70 * SECOND)) in (9, 10, 11)


def test_a_process_with_time_to_spare_catches_up_within_a_lap() -> None:
    plan = schedule(*(entry(phase_ms) for phase_ms in range(1_000) for _ in range(5)))
    now_us = ORIGIN + 10 * SECOND
    for _ in range(2_000):
        for due_us, _ in plan.take(now_us, 64):
            late_us = now_us - due_us
            now_us += 50  # each start costs as much as a new connection
        now_us += 500
        if late_us < 2_000:
            break
    assert late_us < 2_000
    assert now_us < ORIGIN + 11 * SECOND


def test_a_sprint_does_not_burst_after_a_standstill() -> None:
    one = entry()
    plan = schedule(one)
    plan.hasten(one, interval_us=50_000, until_us=ORIGIN + 60 * SECOND, now_us=ORIGIN)
    burst: list[tuple[int, Entry]] = []
    while due := plan.take(ORIGIN + 30 * SECOND, 64):
        burst += due
    assert len(burst) <= 3


@given(
    st.lists(st.tuples(st.integers(0, 999), st.sampled_from([100, 250, 1_000, 3_000])), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 700_000), min_size=1, max_size=60),
)
def test_whenever_it_is_asked_nothing_is_early_or_forgotten(shapes: list[tuple[int, int]], seed: int, steps: list[int]) -> None:
    entries = [entry(phase_ms, interval_ms) for phase_ms, interval_ms in shapes]
    plan = schedule(*entries, seed=seed)
    last: dict[int, int] = {}
    now_us = ORIGIN
    for step_us in steps:
        now_us += step_us
        while due := plan.take(now_us, 7):
            for due_us, one in due:
                assert due_us <= now_us
                assert due_us > last.get(id(one), 0), "never twice for one due time, never backwards"
                last[id(one)] = due_us
        for one in entries:
            assert now_us - last.get(id(one), ORIGIN) <= 2 * one.interval_us + one.interval_us // JITTER_PARTS
