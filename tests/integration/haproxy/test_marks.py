"""Two controllers on one HAProxy: the second names the first, writes nothing, and numbers past nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servers.haproxy_server import HaproxyServer
from siteshift.adapters.haproxy.enactor import HaproxyEnactor
from siteshift.core.model.codes import EnactOutcome
from siteshift.core.model.mark import Origin, PlaneMark
from siteshift.core.model.steering import Steering

from .planes import ANYANG, GASAN, PANGYO, WEB, WallClock, global_plane, steering

DEADLINE_MS = 10_000
NOMINAL = {PANGYO: 5000, GASAN: 3000, ANYANG: 2000}
DRAINED = {PANGYO: 0, GASAN: 6000, ANYANG: 4000}
OURS = Origin(cluster="shop", node="node-a")
OTHERS = (Origin(cluster="other", node="node-a"), Origin(cluster="shop", node="node-b"))


def enactor(lb: HaproxyServer, clock: WallClock, origin: Origin | None = OURS) -> HaproxyEnactor:
    return HaproxyEnactor(global_plane(lb.address, origin=origin), clock)


def of_term(term: int, wanted: Steering) -> Steering:
    return Steering(generation=wanted.generation, term=term, decided_at_ms=0, services=wanted.services)


async def apply(writer: HaproxyEnactor, wanted: Steering) -> None:
    result = await writer.enact(wanted, deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.APPLIED, result.detail


async def test_what_is_written_is_signed_and_read_back(lb: HaproxyServer, clock: WallClock) -> None:
    await apply(enactor(lb, clock), steering(7, NOMINAL))
    back = await enactor(lb, clock).read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.mark) == (7, PlaneMark(generation=7, term=1, origin=OURS))


@pytest.mark.parametrize("other", OTHERS, ids=str)
@pytest.mark.parametrize("generation", [3, 7, 900])
async def test_what_another_controller_wrote_is_named_and_not_overwritten(
    lb: HaproxyServer, clock: WallClock, other: Origin, generation: int
) -> None:
    theirs, own = enactor(lb, clock, other), enactor(lb, clock)
    await apply(theirs, steering(generation, DRAINED))
    before = await lb.cli("show servers state web")
    result = await own.enact(steering(7, NOMINAL), deadline_ms=DEADLINE_MS)
    mark = PlaneMark(generation=generation, term=1, origin=other)
    assert (result.outcome, result.found_mark, result.found_generation) == (EnactOutcome.REFUSED, mark, None)
    assert f"node {other.node} of cluster {other.cluster}" in result.detail
    assert "reload HAProxy" in result.detail
    assert await lb.cli("show servers state web") == before
    back = await own.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.mark, back.drifts) == (None, mark, ()), "no number of ours to pass, nobody is accused"
    assert back.shares_bp[WEB] == DRAINED, "what is actual is seen all the same"
    assert (await theirs.read_back(deadline_ms=DEADLINE_MS)).generation == generation


async def test_after_a_reload_the_plane_is_anybodys(lb: HaproxyServer, clock: WallClock) -> None:
    """The remedy that the refusal names."""
    await apply(enactor(lb, clock, OTHERS[0]), steering(9, DRAINED))
    await lb.reload()
    await apply(enactor(lb, clock), steering(7, NOMINAL))


async def test_a_leader_of_the_next_term_takes_over(lb: HaproxyServer, clock: WallClock) -> None:
    former, leader = enactor(lb, clock, OTHERS[1]), enactor(lb, clock)
    await apply(former, of_term(3, steering(7, NOMINAL)))
    await apply(leader, of_term(4, steering(8, DRAINED)))
    result = await former.enact(of_term(3, steering(9, NOMINAL)), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.STALE, "it slept through the change of leaders"
    assert (await leader.read_back(deadline_ms=DEADLINE_MS)).mark == PlaneMark(generation=8, term=4, origin=OURS)


@pytest.mark.parametrize("generation", [6, 7])
async def test_a_generation_of_an_older_version_is_taken_over(lb: HaproxyServer, clock: WallClock, generation: int) -> None:
    """It carries bare numbers: read as ours, and signed with the next write."""
    await apply(enactor(lb, clock, None), steering(generation, NOMINAL))
    own = enactor(lb, clock)
    back = await own.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.mark) == (generation, PlaneMark(generation=generation))
    await apply(own, steering(7, DRAINED))
    assert (await own.read_back(deadline_ms=DEADLINE_MS)).mark == PlaneMark(generation=7, term=1, origin=OURS)


async def test_a_newer_generation_of_an_older_version_is_not_written_over(lb: HaproxyServer, clock: WallClock) -> None:
    await apply(enactor(lb, clock, None), steering(8, NOMINAL))
    result = await enactor(lb, clock).enact(steering(7, DRAINED), deadline_ms=DEADLINE_MS)
    assert (result.outcome, result.found_generation) == (EnactOutcome.STALE, 8)


async def test_a_claim_that_was_cut_off_before_it_was_signed_is_of_who_signed_before(lb: HaproxyServer, clock: WallClock) -> None:
    await apply(enactor(lb, clock, OTHERS[0]), steering(7, NOMINAL))
    await lb.cli("experimental-mode on;set var proc.siteshift_lb_1_claim int(8)")
    back = await enactor(lb, clock).read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.mark) == (None, PlaneMark(generation=8, term=1, origin=OTHERS[0]))


async def test_a_mark_that_is_none_is_named_with_the_remedy(lb: HaproxyServer, clock: WallClock) -> None:
    await lb.cli("experimental-mode on;set var proc.siteshift_lb_1_mark str(hello)")
    result = await enactor(lb, clock).enact(steering(7, NOMINAL), deadline_ms=DEADLINE_MS)
    assert result.outcome is EnactOutcome.FAILED
    assert "reload HAProxy" in result.detail


async def test_only_the_mark_that_a_person_was_shown_is_taken_over(lb: HaproxyServer, clock: WallClock) -> None:
    theirs, own = enactor(lb, clock, OTHERS[0]), enactor(lb, clock)
    await apply(theirs, steering(7, DRAINED))
    shown = PlaneMark(generation=7, term=1, origin=OTHERS[0])
    other = await own.enact(replace(steering(9, NOMINAL), taken_over=replace(shown, generation=6)), deadline_ms=DEADLINE_MS)
    assert other.outcome is EnactOutcome.REFUSED
    await apply(own, replace(steering(9, NOMINAL), taken_over=shown))
    back = await own.read_back(deadline_ms=DEADLINE_MS)
    assert (back.generation, back.mark) == (9, PlaneMark(generation=9, term=1, origin=OURS))
    assert (await theirs.enact(steering(10, DRAINED), deadline_ms=DEADLINE_MS)).outcome is EnactOutcome.REFUSED
