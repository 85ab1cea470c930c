"""The end of an override is announced before it comes: who, what, when, and what will happen."""

from __future__ import annotations

import pytest

from core.playbook import DOWN, WEB, P, Playbook, three_sites
from siteshift.core.explain import status_document
from siteshift.core.messages.commands import Tell
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, FreezeRequest, ModeRequest, Request, SharesRequest
from siteshift.core.model.codes import Mode, NoticeCode
from siteshift.core.model.notice import AlertState
from siteshift.core.model.policy import HOUR_MS, MINUTE_MS
from siteshift.core.model.units import MemberId, SiteId


def warnings(book: Playbook) -> list[Tell]:
    raised = [c for c in book.commands if isinstance(c, Tell) and c.state is AlertState.FIRING]
    return [c for c in raised if c.code == NoticeCode.OVERRIDE_ENDS_SOON]


def forced(request: Request, life_ms: int, **policy: object) -> Playbook:
    book = Playbook(setup=three_sites(**policy))
    book.run(60_000)
    made = book.ask(request, expires_ms=book.now_ms + life_ms, ticket="OPS-1").override
    assert made is not None
    return book


@pytest.mark.parametrize(
    ("life_ms", "before_ms"),
    [(4 * HOUR_MS, 15 * MINUTE_MS), (HOUR_MS, 6 * MINUTE_MS), (10 * MINUTE_MS, MINUTE_MS)],
)
def test_the_end_is_told_a_quarter_of_an_hour_or_a_tenth_of_its_life_before(life_ms: int, before_ms: int) -> None:
    book = forced(FreezeRequest(service=None), life_ms)
    book.run(life_ms - before_ms - 1_000)
    assert warnings(book) == []
    book.run(2_000)
    (told,) = warnings(book)
    assert f"ends in {before_ms // 1_000} s" in told.text or f"ends in {before_ms // 1_000 - 1} s" in told.text
    book.run(before_ms + 60_000)
    assert len(warnings(book)) == 1, "once"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (DrainRequest(site=P), "(drain of pangyo, all services) of kim, OPS-1"),
        (DrainRequest(site=P), "then traffic returns to pangyo by its ramp"),
        (DepoolRequest(member=MemberId("web/pangyo/m1")), "then web/pangyo/m1 serves again as soon as its checks pass"),
        (
            SharesRequest(service=WEB, shares_bp={P: 4_500, SiteId("gasan"): 3_200, SiteId("anyang"): 2_300}),
            "then the shares go back to what evidence and capacity say",
        ),
        (FreezeRequest(service=None), "then siteshift makes its changes by itself again"),
        (ModeRequest(service=WEB, mode=Mode.OBSERVE), "then the mode of the policy holds again (auto)"),
    ],
)
def test_the_warning_says_who_what_when_and_what_happens_then(request_: Request, said: str) -> None:
    book = forced(request_, 10 * MINUTE_MS)
    book.run(9 * MINUTE_MS + 2_000)
    (told,) = warnings(book)
    assert said in told.text
    assert "To keep it, ask for it again with a new end" in told.text


def test_the_end_of_a_drain_of_a_site_that_failed_since_does_not_promise_its_return() -> None:
    book = forced(DrainRequest(site=P), 10 * MINUTE_MS)
    book.run(MINUTE_MS)
    book.believe(P, DOWN)
    book.run(8 * MINUTE_MS + 2_000)
    (told,) = warnings(book)
    assert "web (dead) stays away until it is well" in told.text


def test_the_status_says_of_an_override_what_its_end_brings_and_whether_that_is_soon() -> None:
    book = forced(DrainRequest(site=P), 10 * MINUTE_MS)
    book.run(8 * MINUTE_MS)
    (entry,) = status_document(book.state, book.setup, book.now_ms)["overrides"]
    assert (entry["ends_soon"], entry["at_its_end"]) == (False, "then traffic returns to pangyo by its ramp")
    book.run(MINUTE_MS + 2_000)
    (entry,) = status_document(book.state, book.setup, book.now_ms)["overrides"]
    assert entry["ends_soon"] is True
