"""A load balancer that was lost with its site is not waited for; one that is silent in a living site is."""

from __future__ import annotations

from dataclasses import replace

from core.playbook import DOWN, PLANE, A, G, P, Playbook, three_sites
from siteshift.core.messages.commands import Command, Enact, ReadPlane
from siteshift.core.messages.events import EnactFinished, ReadBackFailed
from siteshift.core.model.codes import EnactOutcome, StandbyPhase
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.steering import EnactResult
from siteshift.core.model.units import EnactorId

DARK = EnactorId("lb-pangyo")


def with_a_balancer() -> Setup:
    """The three sites, with a load balancer beside pangyo."""
    setup = three_sites()
    (dns,) = setup.planes
    return replace(setup, planes=(dns, PlaneRef(id=DARK, services=dns.services, site=P)))


class InTheDark(Playbook):
    """From `is_dark` on the balancer takes and tells nothing."""

    is_dark = False

    def _carry_out(self, command: Command) -> None:
        match command:
            case Enact(enactor=enactor, steering=steering) if self.is_dark and enactor == DARK:
                failed = EnactResult(
                    enactor=DARK, generation=steering.generation, outcome=EnactOutcome.FAILED, at_ms=self.now_ms
                )
                self._soon(20, EnactFinished(at_ms=self.now_ms, result=failed))
            case ReadPlane(enactor=enactor) if self.is_dark and enactor == DARK:
                self._soon(20, ReadBackFailed(at_ms=self.now_ms, enactor=DARK, detail="connection refused"))
            case _:
                super()._carry_out(command)


def proven(book: Playbook) -> int:
    return sum(track.phase is StandbyPhase.PROVEN for track in book.state.standbys.values())


def test_standbys_are_proven_though_the_dead_sites_balancer_is_silent() -> None:
    book = InTheDark(setup=with_a_balancer())
    book.run(5_000)
    book.is_dark = True
    book.believe(P, DOWN)
    book.run(20_000)
    assert proven(book) == 4
    assert book.shares()[G] + book.shares()[A] == 10_000
    assert book.planes[PLANE] is not None
    assert book.violations == []


def test_a_silent_balancer_of_a_living_site_is_waited_for() -> None:
    book = InTheDark(setup=with_a_balancer())
    book.run(5_000)
    book.is_dark = True
    book.believe(A, DOWN)
    book.run(10_000)
    assert proven(book) == 0
    assert book.violations == []
