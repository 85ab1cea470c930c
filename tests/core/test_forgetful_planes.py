"""A plane that takes every write and never shows the generation costs a few writes a minute, not a core."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import PLANE, Playbook, three_sites
from siteshift.core.enact import planes
from siteshift.core.messages.commands import Enact, ReadPlane
from siteshift.core.model.steering import ReadBack
from siteshift.core.model.units import EnactorId

MINUTE_MS = 60_000
STEP_MS = 20
"""Ticks as close together as the plane's answers: nothing here slows a loop down but the core itself."""


class Forgetful(Playbook):
    """From ``forgets_from_ms`` on, the plane's readings show ``shown`` instead of what was written."""

    forgets_from_ms = 0
    forgets_until_ms = 10**15
    shown: int | None = None

    def reading(self, enactor: EnactorId) -> ReadBack:
        read = super().reading(enactor)
        forgets = self.forgets_from_ms <= self.now_ms < self.forgets_until_ms
        return replace(read, generation=self.shown) if forgets else read

    def counted(self) -> tuple[int, int]:
        """Writes and readings until now."""
        writes = sum(isinstance(command, Enact) for command in self.commands)
        return writes, sum(isinstance(command, ReadPlane) for command in self.commands)


def idle_minute(book: Forgetful) -> tuple[int, int]:
    """Writes and readings in a minute in which nothing happens."""
    writes, readings = book.counted()
    book.run(MINUTE_MS, tick_ms=STEP_MS)
    after = book.counted()
    return after[0] - writes, after[1] - readings


@pytest.mark.parametrize("shown", [None, 0], ids=["no generation", "an older one"])
def test_a_generation_that_is_never_read_back_is_not_written_in_a_circle(shown: int | None) -> None:
    book = Forgetful(setup=three_sites())
    book.shown = shown
    book.run(5_000)
    writes, readings = idle_minute(book)
    assert 1 <= writes <= 12, "it is tried again, every ten seconds at last"
    assert readings <= 12 + MINUTE_MS // book.setup.policy.read_back_every_ms
    assert book.told().count("PLANE_FORGETS") == 1
    assert book.violations == []


def test_without_the_growing_wait_it_is_written_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above."""
    monkeypatch.setattr(planes, "RETRY_MAX_MS", 0)
    book = Forgetful(setup=three_sites())
    book.run(5_000)
    writes, _ = idle_minute(book)
    assert writes > 500


def test_a_plane_that_was_restarted_is_written_again_at_once() -> None:
    book = Forgetful(setup=three_sites())
    book.forgets_until_ms = 0
    book.run(10_000)
    writes, _ = book.counted()
    book.planes[PLANE] = None
    book.run(book.setup.policy.read_back_every_ms + 500, tick_ms=STEP_MS)
    assert book.counted()[0] == writes + 1
    assert book.reading(PLANE).generation == book.state.steering.generation
    assert "PLANE_FORGETS" not in book.told()


def test_a_plane_that_shows_it_again_is_in_step_and_forgiven() -> None:
    book = Forgetful(setup=three_sites())
    book.run(30_000)
    book.forgets_until_ms = book.now_ms
    book.run(15_000)
    track = book.state.plane(PLANE)
    assert (track.confirmed_generation, track.unconfirmed) == (book.state.steering.generation, 0)
    writes, _ = idle_minute(book)
    assert writes == 0
