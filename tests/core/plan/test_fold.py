"""Folding a plan: what it says beforehand, where it ends, and that a piece of it is small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from core.playbook import SICK, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.decide import situations
from siteshift.core.messages.events import EnactFinished, ReadBackFailed
from siteshift.core.messages.requests import DrainRequest, OperatorRequest, SharesRequest
from siteshift.core.model.codes import EnactOutcome, FindingCode, Severity, SiteLife, StandbyPhase, StepKind
from siteshift.core.model.plan import WaitCode
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.steering import EnactResult
from siteshift.core.model.topology import Service, Site, Topology
from siteshift.core.model.units import EnactorId, MemberId, ServiceId
from siteshift.core.operate.answer import look_at
from siteshift.core.plan import derive
from siteshift.core.plan.fold import MOST_STEPS, Fold, _is_news, fold, sharing_room
from siteshift.core.plan.foreseen import basis_of
from siteshift.core.plan.listing import Listing
from siteshift.core.state.tracks import SiteTrack, StandbyTrack
from siteshift.runtime.planning import PIECES


def serving(setup: Setup | None = None) -> Playbook:
    book = Playbook(setup=setup or three_sites())
    book.run(20_000)
    return book


def with_a_second_plane() -> Setup:
    setup = three_sites()
    return replace(setup, planes=(*setup.planes, PlaneRef(id=EnactorId("zone"), services=(WEB,))))


def test_a_data_plane_that_cannot_be_read_is_named_before_anything_is_granted() -> None:
    book = serving(with_a_second_plane())
    book.feed(ReadBackFailed(at_ms=book.now_ms, enactor=EnactorId("zone"), detail="connection refused"))
    asking = OperatorRequest(id="a", person="kim", request=DrainRequest(site=P), reason="work")
    answer = look_at(book.state, book.setup, asking, book.now_ms)
    found = next(entry for entry in answer.findings if entry.code is FindingCode.DATA_PLANE_UNKNOWN)
    assert "zone would not follow, it cannot be read: connection refused" in found.text
    plan = answer.plans[0]
    assert plan.waits[WEB].code is WaitCode.PLANES, "the plan ends where it would hang"
    assert StepKind.MOVE not in {step.kind for step in plan.steps}
    assert plan.after == plan.before


@pytest.mark.parametrize("outcome", [EnactOutcome.REFUSED, EnactOutcome.FAILED])
def test_a_data_plane_that_refuses_or_cannot_be_written_is_named_too(outcome: EnactOutcome) -> None:
    book = serving(with_a_second_plane())
    generation = book.state.steering.generation
    result = EnactResult(enactor=EnactorId("zone"), generation=generation, outcome=outcome, at_ms=book.now_ms, detail="NOTAUTH")
    book.feed(EnactFinished(at_ms=book.now_ms, result=result))
    answer = book.ask(DrainRequest(site=P))
    assert any("zone" in entry.text and "NOTAUTH" in entry.text for entry in answer.findings)


def test_while_the_planes_answer_nothing_is_said_of_them() -> None:
    answer = serving(with_a_second_plane()).ask(DrainRequest(site=P))
    assert FindingCode.DATA_PLANE_UNKNOWN not in {entry.code for entry in answer.findings}


def test_folding_changes_nothing_and_gives_the_same_plan_again() -> None:
    book = serving()
    book.believe(P, SICK)
    book.run(3_000)
    before = book.state
    first, again = fold(before, book.setup, book.now_ms), fold(before, book.setup, book.now_ms)
    assert first == again
    assert book.state is before


def test_every_step_begins_where_the_one_before_ended() -> None:
    plan = serving().ask(DrainRequest(site=P)).plans[0]
    at, now_ms = dict(plan.before[WEB]), 0
    for step in plan.steps:
        assert dict(step.before_bp) == at
        assert step.at_ms >= now_ms
        at, now_ms = dict(step.after_bp), step.at_ms
    assert at == plan.after[WEB]
    assert plan.waits[WEB].code is WaitCode.NOTHING_LEFT


def test_a_site_that_is_held_down_and_well_is_planned_to_come_back_when_that_is_over() -> None:
    book = serving(three_sites(hold_down_ms=120_000))
    book.believe(P, SICK)
    book.run(60_000)
    book.believe(P, replace(SICK, standing=type(SICK.standing).UP, score_pm=1_000))
    book.run(2_000)
    assert book.life(P) is SiteLife.DRAINED
    plan = fold(book.state, book.setup, book.now_ms)
    assert plan is not None
    first = next(step for step in plan.steps if step.kind is StepKind.MOVE)
    hold_ms = book.state.track(WEB, P).hold_until_ms - book.now_ms
    assert first.at_ms == hold_ms > 0
    assert plan.after[WEB][P] == 5_000


@pytest.mark.parametrize("most", [MOST_STEPS, 3])
def test_a_plan_with_more_steps_than_it_may_have_says_that_it_is_cut(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("siteshift.core.plan.fold.MOST_STEPS", most)
    plan = serving().ask(DrainRequest(site=P)).plans[0]
    assert plan.is_cut is (most == 3)


# -- several services ----------------------------------------------------------------------------------------------------


def sharing(names: tuple[str, ...], site_rps: int | None, at_pangyo_rps: int = 100) -> Setup:
    """Services of the same shape; with ``site_rps``, gasan and anyang have one capacity for all of them."""
    services = tuple(
        Service(
            id=ServiceId(name),
            names=(f"{name}.example.test",),
            tier=tier,
            demand_rps=100,
            pools=tuple(
                pool(ServiceId(name), *place) for place in ((P, 5000, at_pangyo_rps), (G, 3000, 80), (A, 2000, 80))
            ),
        )
        for tier, name in enumerate(names, start=1)
    )
    sites = (Site(id=P), *(Site(id=site, capacity_rps=site_rps) for site in (G, A)))
    base = three_sites()
    return replace(
        base,
        topology=Topology(sites=sites, services=services, vantages=base.topology.vantages),
        planes=(replace(base.planes[0], services=tuple(s.id for s in services)),),
        metered=frozenset(),
    )


def test_a_plan_covers_the_services_it_touches_and_only_those() -> None:
    assert [s.id for s in sharing_room(sharing(("web", "api"), None), WEB)] == ["web"]
    assert [s.id for s in sharing_room(sharing(("web", "api"), 300), WEB)] == ["web", "api"]
    book = serving(sharing(("web", "api"), 80))
    shares = SharesRequest(service=WEB, shares_bp={P: 0, G: 5000, A: 5000})
    plan = book.ask(shares).plans[0]
    assert set(plan.services) == {"web", "api"}, "the forced shares take room at gasan and anyang from the other service"
    tight = serving(sharing(("web", "api"), 80, at_pangyo_rps=60)).ask(shares)
    assert tight.severity is Severity.NEEDS_APPROVAL
    assert any(entry.text.startswith("api at pangyo would be used") for entry in tight.findings)
    apart = serving(sharing(("web", "api"), None)).ask(shares).plans[0]
    assert apart.services == ("web",)


# -- slices --------------------------------------------------------------------------------------------------------------


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often the two costly parts of a derivation run: the view of a service, and its next step."""
    done: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((situations, "_situation_of"), (derive, "next_step")):
            original = getattr(module, name)

            def counting(*args: object, _original=original, _name=name, **more: object) -> object:  # type: ignore[no-untyped-def]
                done[_name] += 1
                return _original(*args, **more)

            patch.setattr(module, name, counting)
        yield done


def most_in_a_slice(pieces: int | None) -> int:
    """The most services handled between two awaits, in a plan for 40 services; None: the whole in one."""
    setup = sharing(tuple(f"s{number}" for number in range(40)), None)
    book = serving(setup)
    book.ask(DrainRequest(site=P))
    folding = Fold(state=book.state, setup=setup, now_ms=book.now_ms)
    most = 0
    with counted() as done:
        while not folding.is_done:
            before = done.total()
            for _ in range(pieces or 1_000_000):
                if folding.advance():
                    break
            most = max(most, done.total() - before)
    assert folding.plan is not None and len(folding.plan.services) == 40
    return most


def test_no_slice_of_a_fold_handles_more_services_than_it_may() -> None:
    assert most_in_a_slice(PIECES) <= 2 * PIECES


def test_without_slices_a_fold_would_handle_all_services_at_once() -> None:
    assert most_in_a_slice(None) > 40 * PIECES


def test_a_plan_made_beforehand_counts_only_while_the_facts_are_the_same() -> None:
    book = serving()
    basis = basis_of(book.state, book.setup, None)
    book.run(30_000)
    assert basis_of(book.state, book.setup, None) == basis, "time and traffic alone change nothing"
    book.believe(G, SICK)
    book.run(2_000)
    assert basis_of(book.state, book.setup, None) != basis


def test_a_look_is_news_when_a_life_or_a_standby_changed_and_only_then() -> None:
    state = serving().state
    member = MemberId("web/gasan/s1")
    lived = state.changed(tracks={**state.tracks, (WEB, P): SiteTrack(life=SiteLife.DRAINING)})
    starting = state.changed(standbys={member: StandbyTrack(phase=StandbyPhase.STARTING)})
    ready = state.changed(standbys={member: StandbyTrack(phase=StandbyPhase.READY)})
    assert not _is_news(state, state)
    assert not _is_news(state, state.changed(tracks=dict(state.tracks))), "the same once more"
    assert _is_news(state, lived)
    assert _is_news(state, starting) and _is_news(starting, ready)
    assert not _is_news(ready, state.changed(standbys=dict(ready.standbys)))


def test_a_listing_has_every_site_once_those_that_left_the_configuration_last() -> None:
    end = {WEB: SimpleNamespace(service=SimpleNamespace(sites=(P, G)))}
    listing = cast(Listing, SimpleNamespace(_end=end))
    assert list(Listing._all_sites(listing, WEB, {A: 100, G: 9_900}).items()) == [(P, 0), (G, 9_900), (A, 100)]
