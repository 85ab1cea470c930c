"""DNS steps and DNS waits only where DNS steers (row: two load balancers and no DNS)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import WEB, P, Playbook, three_sites
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import SiteLife
from siteshift.core.model.setup import PlaneKind, PlaneRef, Setup
from siteshift.core.model.units import EnactorId


def two_balancers(*kinds: PlaneKind) -> Setup:
    planes = tuple(PlaneRef(id=EnactorId(f"plane{i}"), services=(WEB,), kind=kind) for i, kind in enumerate(kinds))
    return replace(three_sites(), planes=planes)


def drained_in_ms(setup: Setup) -> tuple[Playbook, int]:
    book = Playbook(setup=setup, is_metered=False)
    book.run(20_000)
    book.ask(DrainRequest(site=P))
    began_ms = book.now_ms
    while book.life(P) is not SiteLife.DRAINED and book.now_ms < began_ms + 120_000:
        book.run(100)
    assert not book.violations
    return book, book.now_ms - began_ms


def test_where_only_load_balancers_steer_no_ttl_is_touched_and_none_is_waited_for() -> None:
    book, took_ms = drained_in_ms(two_balancers(PlaneKind.BALANCER, PlaneKind.BALANCER))
    assert book.state.transition(WEB).tail_until_ms == 0
    assert {d["ttl_s"] for r in book.recorded("decision") for d in r.data["services"] if "ttl_s" in d} == {30}  # type: ignore[attr-defined]
    dns, with_dns_ms = drained_in_ms(two_balancers(PlaneKind.BALANCER, PlaneKind.DNS))
    assert dns.state.transition(WEB).tail_until_ms > 0
    assert took_ms + 20_000 < with_dns_ms, "the old TTL of 30 s was waited for although no cache holds anything"


@pytest.mark.parametrize("kinds", [(), (PlaneKind.DNS,), (PlaneKind.BALANCER, PlaneKind.DNS)])
def test_a_service_that_dns_may_steer_waits_for_its_ttl(kinds: tuple[PlaneKind, ...]) -> None:
    assert two_balancers(*kinds).steered_by_dns == {WEB}
