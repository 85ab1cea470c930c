"""Letting go of what was forced: nothing is released silently into a site that the evidence says is down."""

from __future__ import annotations

import pytest

from core.playbook import DOWN, SICK, UP, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.messages.commands import Answer
from siteshift.core.messages.requests import (
    DrainRequest,
    LiftRequest,
    Request,
    RevokeRequest,
    SharesRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import FindingCode, Severity, SiteLife

NOMINAL = {P: 5000, G: 3000, A: 2000}


def serving() -> Playbook:
    """A node that has been serving for a while."""
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=2_000))
    book.run(5_000)
    return book


@pytest.fixture
def drained() -> Playbook:
    """Pangyo drained by a person, and dead since."""
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    book.believe(P, DOWN)
    book.run(5_000)
    return book


def codes(answer: Answer) -> set[str]:
    return {entry.code.value for entry in answer.findings}


def lift_of(book: Playbook) -> LiftRequest:
    return LiftRequest(override=book.state.overrides[0].id)


@pytest.mark.parametrize("how", ["undrain", "lift"])
def test_releasing_a_dead_site_needs_an_approval_that_knows_it(drained: Playbook, how: str) -> None:
    requests: dict[str, Request] = {
        "undrain": UndrainRequest(site=P),
        "lift": lift_of(drained),
    }
    request = requests[how]
    before = drained.state
    answer = drained.ask(request)
    assert answer.severity is Severity.NEEDS_APPROVAL
    (found,) = answer.findings
    assert found.code is FindingCode.TARGET_UNHEALTHY
    assert "pangyo is down by the evidence" in found.text
    assert dict(found.numbers) == {"service": WEB, "site": P, "approvals_needed": 0}
    assert (drained.state.overrides, drained.state.tracks) == (before.overrides, before.tracks)

    wrong = drained.ask(request, digest="0123456789abcdef")
    assert (wrong.severity, "STALE_DIGEST" in codes(wrong)) == (Severity.REFUSED, True)
    granted = drained.ask(request, digest=digest_of(answer))
    assert granted.severity is Severity.ALLOWED
    assert drained.state.overrides == ()
    drained.run(30_000)
    assert drained.shares()[P] == 0, "the evidence keeps it away (law 5)"
    assert drained.life(P) is SiteLife.DRAINED


def test_once_released_it_comes_back_by_itself_when_it_is_well(drained: Playbook) -> None:
    answer = drained.ask(UndrainRequest(site=P))
    drained.ask(UndrainRequest(site=P), digest=digest_of(answer))
    drained.run(10_000)
    drained.believe(P, UP)
    drained.run(120_000)
    assert drained.shares() == NOMINAL


def test_an_approval_for_one_dead_site_is_none_for_another() -> None:
    digests = set()
    for site in (P, G):
        book = serving()
        book.ask(DrainRequest(site=site))
        book.run(60_000)
        book.believe(site, DOWN)
        book.run(5_000)
        digests.add(digest_of(book.ask(UndrainRequest(site=site))))
    assert len(digests) == 2


def test_a_degraded_site_is_released_and_it_is_said() -> None:
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    book.believe(P, SICK)
    book.run(5_000)
    answer = book.ask(UndrainRequest(site=P))
    assert answer.severity is Severity.ALLOWED
    assert [(entry.code, entry.severity) for entry in answer.findings] == [(FindingCode.TARGET_UNHEALTHY, Severity.ALLOWED)]


def test_a_site_that_is_well_is_released_without_a_word() -> None:
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    answer = book.ask(UndrainRequest(site=P))
    assert (answer.severity, answer.findings) == (Severity.ALLOWED, ())


def test_an_override_that_is_not_there_is_an_unknown_name() -> None:
    book = serving()
    book.ask(DrainRequest(site=P))
    answer = book.ask(LiftRequest(override="o99"))
    assert (answer.severity, codes(answer)) == (Severity.REFUSED, {"UNKNOWN_NAME"})
    assert "known: o1" in answer.findings[0].text


def test_how_many_approve_is_said_as_the_rule_counts_them() -> None:
    """A partial drain takes who asked alone, an overload another person; the remedy beside the number says the same."""
    book = serving()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    partial = book.ask(DrainRequest(site=G))
    (one,) = (e for e in partial.findings if e.code is FindingCode.CAPACITY_SHORT)
    assert (one.approvals_needed, "another person" in one.remedy.casefold()) == (0, False)
    overload = serving().ask(SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000}))
    two = [e for e in overload.findings if e.code is FindingCode.CAPACITY_SHORT]
    assert [(e.approvals_needed, "another person must approve it" in e.remedy.casefold()) for e in two] == [(1, True)]


def test_the_plan_of_a_lift_is_not_held_by_the_goal_that_the_lift_ends() -> None:
    book = serving()
    waiting = book.confirm(SharesRequest(service=WEB, shares_bp={P: 0, G: 0, A: 10_000}))
    assert book.approve(digest_of(waiting), "lee").severity is Severity.ALLOWED
    book.run(1_500)
    book.ask(RevokeRequest(digest=digest_of(waiting)), person="lee", rank="approver")
    book.run(10_000)
    assert book.shares() != NOMINAL
    lifted = book.ask(lift_of(book))
    assert lifted.severity is Severity.ALLOWED
    (plan,) = lifted.plans
    book.run(60_000)
    assert dict(plan.after[WEB]) == book.shares() == NOMINAL
