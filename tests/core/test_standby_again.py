"""A standby whose start was lost is started again at once, not when its deadline has passed."""

from __future__ import annotations

import pytest

from core.playbook import DOWN, P, Playbook
from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.start import Past, start
from siteshift.core.messages.commands import ActivateStandby
from siteshift.core.messages.events import StandbyReported, StoreChanged
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.units import MemberId

MEMBER = MemberId("web/gasan/s1")


@pytest.fixture
def starting() -> Playbook:
    """Pangyo is dead, and its standbys elsewhere were told to start; nothing was heard of them yet."""
    book = Playbook(standby_ms=3_600_000)
    book.run(5_000)
    book.believe(P, DOWN)
    book.run(1_000)
    assert book.state.standby(MEMBER).phase is StandbyPhase.STARTING
    return book


def activations(book: Playbook) -> int:
    return sum(isinstance(command, ActivateStandby) and command.member == MEMBER for command in book.commands)


def test_one_that_was_being_started_when_the_node_died_is_started_again(starting: Playbook) -> None:
    state = start(Past(document=remember(starting.state)), starting.setup, now_ms=starting.now_ms + 1_000)
    book = Playbook(
        setup=starting.setup,
        state=state,
        now_ms=starting.now_ms + 1_000,
        planes=dict(starting.planes),
        beliefs=dict(starting.beliefs),
    )
    book.run(5_000)
    assert activations(book) == 1
    assert book.state.standby(MEMBER).phase in (StandbyPhase.READY, StandbyPhase.PROVEN, StandbyPhase.STARTING)
    book.run(10_000)
    assert book.state.standby(MEMBER).phase is StandbyPhase.PROVEN
    assert book.violations == []


def test_one_whose_driver_says_cold_is_started_again_within_the_same_deadline(starting: Playbook) -> None:
    before = starting.state.standby(MEMBER)
    starting.run(2_000)
    starting.feed(StandbyReported(at_ms=starting.now_ms, member=MEMBER, phase=StandbyPhase.COLD))
    assert activations(starting) == 2
    assert starting.state.standby(MEMBER).deadline_ms == before.deadline_ms


def test_a_driver_that_says_cold_all_the_time_is_told_every_two_seconds_and_not_more_often(starting: Playbook) -> None:
    for _ in range(100):
        starting.run(100)
        starting.feed(StandbyReported(at_ms=starting.now_ms, member=MEMBER, phase=StandbyPhase.COLD))
    assert 4 <= activations(starting) - 1 <= 6


def test_nothing_is_started_again_while_the_store_is_lost(starting: Playbook) -> None:
    starting.feed(StoreChanged(at_ms=starting.now_ms, is_usable=False))
    starting.run(3_000)
    starting.feed(StandbyReported(at_ms=starting.now_ms, member=MEMBER, phase=StandbyPhase.COLD))
    assert activations(starting) == 1
    assert starting.violations == []
