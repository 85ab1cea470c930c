"""A reload in the core: whatever goes from the file while work is under way, nothing raises and nothing is orphaned."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from core.playbook import DOWN, NODE, PLANE, SICK, UP, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.controller import step
from siteshift.core.explain import status_document, why_document
from siteshift.core.invariants import Violation
from siteshift.core.messages.commands import RetireStandby, Tell
from siteshift.core.messages.events import (
    EnactFinished,
    Event,
    ReadBackArrived,
    ReadBackFailed,
    Reloaded,
    SeenTraffic,
    StandbyReported,
    TrafficMeasured,
)
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, SharesRequest
from siteshift.core.model.codes import EnactOutcome, Mode, SiteLife, StandbyPhase
from siteshift.core.model.setup import PlaneKind, PlaneRef, Setup
from siteshift.core.model.steering import EnactResult, ReadBack, ServiceSteering
from siteshift.core.model.topology import Service
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.plan.fold import fold
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import ControllerState

BLOG = ServiceId("blog")
LB = EnactorId("lb")


def two_services(**policy: object) -> Setup:
    """The playbook's service, a second one like it, and a load balancer that carries both."""
    setup = three_sites(hold_down_ms=5_000, soak_ms=1_000, **policy)
    web = setup.topology.services[0]
    blog = Service(
        id=BLOG,
        names=("blog.example.test",),
        tier=2,
        demand_rps=60,
        pools=(pool(BLOG, P, 5000, 60), pool(BLOG, G, 3000, 40, 20), pool(BLOG, A, 2000, 40, 20)),
    )
    planes = (PlaneRef(id=PLANE, services=(WEB, BLOG), answers_itself=True), PlaneRef(id=LB, services=(WEB,)))
    topology = replace(setup.topology, services=(web, blog))
    return replace(setup, topology=topology, planes=planes, digest="two")


def without_service(setup: Setup, gone: ServiceId) -> Setup:
    services = tuple(service for service in setup.topology.services if service.id != gone)
    planes = tuple(replace(plane, services=tuple(s for s in plane.services if s != gone)) for plane in setup.planes)
    return replace(setup, topology=replace(setup.topology, services=services), planes=planes, digest=f"no {gone}")


def without_site(setup: Setup, gone: SiteId) -> Setup:
    services = tuple(
        replace(service, pools=tuple(pool for pool in service.pools if pool.site != gone)) for service in setup.topology.services
    )
    sites = tuple(site for site in setup.topology.sites if site.id != gone)
    vantages = tuple(entry for entry in setup.topology.vantages if entry[1] != gone)
    topology = replace(setup.topology, sites=sites, services=services, vantages=vantages)
    return replace(setup, topology=topology, digest=f"no {gone}")


def without_member(setup: Setup, gone: MemberId) -> Setup:
    services = tuple(
        replace(
            service,
            pools=tuple(replace(p, members=tuple(m for m in p.members if m.id != gone)) for p in service.pools),
        )
        for service in setup.topology.services
    )
    return replace(setup, topology=replace(setup.topology, services=services), digest=f"no {gone}")


def without_plane(setup: Setup, gone: EnactorId) -> Setup:
    return replace(setup, planes=tuple(plane for plane in setup.planes if plane.id != gone), digest=f"no {gone}")


def balanced_without_gasan(setup: Setup) -> Setup:
    """Behind load balancers, which know a site only by the names of its servers."""
    planes = tuple(replace(plane, kind=PlaneKind.BALANCER) for plane in setup.planes)
    return replace(without_site(setup, G), planes=planes)


def reload(book: Playbook, setup: Setup) -> None:
    """One event, with the setup that comes with it."""
    book.setup = setup
    for target in setup.topology.targets:
        book.beliefs.setdefault(target, UP)
    book.beliefs = {target: view for target, view in book.beliefs.items() if target in setup.topology.targets}
    book.feed(Reloaded(at_ms=book.now_ms, digest=setup.digest))


def playing(**policy: object) -> Playbook:
    book = Playbook(setup=two_services(**policy))
    book.run(6_000)
    assert book.violations == []
    return book


# -- work under way --------------------------------------------------------------------------------------------------


def overloaded(book: Playbook) -> None:
    book.demand_rps = 200
    book.believe(P, SICK)
    book.run(3_000)


def drained_half_way(book: Playbook) -> None:
    book.ask(DrainRequest(site=P))
    book.run(300)


def left_as_dead(book: Playbook) -> None:
    book.believe(P, DOWN)
    book.run(2_500)


def returning(book: Playbook) -> None:
    left_as_dead(book)
    book.believe(P, UP)
    book.run(40_000)


def forced_shares(book: Playbook) -> None:
    book.confirm(SharesRequest(service=WEB, shares_bp={P: 4000, G: 3500, A: 2500}))
    book.run(1_000)


def waiting_for_approval(book: Playbook) -> None:
    book.believe(P, SICK)
    book.run(5_000)


def plane_writing(book: Playbook) -> None:
    book.confirm(DrainRequest(site=P))


def member_out(book: Playbook) -> None:
    book.confirm(DepoolRequest(member=MemberId("web/gasan/m1")))
    book.run(1_000)


WORK: Mapping[str, Callable[[Playbook], None]] = {
    work.__name__: work
    for work in (
        overloaded,
        drained_half_way,
        left_as_dead,
        returning,
        forced_shares,
        waiting_for_approval,
        plane_writing,
        member_out,
    )
}
GOING: Mapping[str, Callable[[Setup], Setup]] = {
    "service": lambda setup: without_service(setup, WEB),
    "site in trouble": lambda setup: without_site(setup, P),
    "refuge": lambda setup: without_site(setup, A),
    "member": lambda setup: without_member(setup, MemberId("web/gasan/m1")),
    "standby": lambda setup: without_member(setup, MemberId("web/gasan/s1")),
    "plane": lambda setup: without_plane(setup, LB),
    "nothing": lambda setup: setup,
}


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.RECOMMEND])
@pytest.mark.parametrize("going", GOING)
@pytest.mark.parametrize("work", WORK)
def test_whatever_goes_in_the_middle_of_whatever_no_law_breaks(work: str, going: str, mode: Mode) -> None:
    """And it may come back, and everything serves in the end."""
    book = playing(mode=mode)
    WORK[work](book)
    whole = book.setup
    reload(book, GOING[going](whole))
    status_document(book.state, book.setup, book.now_ms)
    for site in book.setup.topology.site_ids:
        why_document(book.state, book.setup, site, book.now_ms)
    fold(book.state, book.setup, book.now_ms)
    book.run(5_000, tick_ms=500)
    reload(book, whole)
    book.run(5_000, tick_ms=500)
    assert book.violations == []
    assert all(sum(entry.shares_bp.values()) + entry.shed_bp == 10_000 for entry in book.state.steering.services)


@pytest.mark.parametrize("is_usable", [True, False])
def test_what_a_site_had_goes_to_the_others_in_one_generation_when_the_store_allows(is_usable: bool) -> None:
    book = playing()
    before = book.state.steering
    book.state = replace(book.state, is_store_usable=is_usable)
    reload(book, without_site(book.setup, P))
    after = book.state.steering
    if not is_usable:
        assert after == before, "held still"
        book.state = replace(book.state, is_store_usable=True)
        book.run(3_000)
    assert book.state.steering.generation > before.generation
    assert book.shares() == {G: 6000, A: 4000}
    assert book.violations == []


def test_an_override_for_what_is_gone_is_lifted_on_record() -> None:
    book = playing()
    drained_half_way(book)
    (override,) = book.state.overrides
    reload(book, without_site(book.setup, P))
    assert book.state.overrides == ()
    (row,) = book.recorded("override_lifted")
    assert row.data == {"id": override.id, "kind": "drain", "owner": "kim", "why": "pangyo is gone"}
    assert "OVERRIDE_LIFTED" in book.told()


def test_forced_shares_that_name_a_site_that_is_gone_are_lifted() -> None:
    book = playing()
    forced_shares(book)
    assert book.state.overrides
    reload(book, without_site(book.setup, A))
    assert book.state.overrides == ()


def test_an_override_for_what_stays_stays() -> None:
    book = playing()
    drained_half_way(book)
    before = book.state.overrides
    reload(book, without_site(book.setup, A))
    assert book.state.overrides == before


@pytest.mark.parametrize("phase", [StandbyPhase.STARTING, StandbyPhase.READY, StandbyPhase.PROVEN, StandbyPhase.RETIRING])
def test_a_standby_that_runs_and_is_gone_from_the_file_is_named_and_left_running(phase: StandbyPhase) -> None:
    book = playing()
    member = MemberId("web/gasan/s1")
    track = replace(book.state.standby(member), phase=phase)
    book.state = replace(book.state, standbys={**book.state.standbys, member: track})
    book.commands.clear()
    reload(book, without_member(book.setup, member))
    (told,) = (command.text for command in book.commands if isinstance(command, Tell) and command.code == "STANDBY_LEFT")
    assert member in told and phase.value in told
    assert not any(isinstance(command, RetireStandby) for command in book.commands), "its users may still be there"
    assert member not in book.state.standbys


def test_a_plane_that_is_gone_from_the_file_keeps_what_it_has_and_that_is_told() -> None:
    book = playing()
    had = book.planes[LB]
    reload(book, without_plane(book.setup, LB))
    (told,) = (command.text for command in book.commands if isinstance(command, Tell) and command.code == "PLANE_LEFT")
    has = f"generation {book.state.steering.generation}"
    assert told == f"lb is no longer in the configuration: it keeps {has} and is not written any more"
    drained_half_way(book)
    assert book.planes[LB] == had
    assert LB not in book.state.planes


@pytest.mark.parametrize("kind", [PlaneKind.DNS, PlaneKind.BALANCER])
def test_traffic_that_a_balancer_goes_on_sending_to_a_site_that_is_gone_from_the_file_is_told(kind: PlaneKind) -> None:
    book = playing()
    planes = tuple(replace(plane, kind=kind) for plane in book.setup.planes)
    reload(book, replace(without_site(book.setup, G), planes=planes))
    told = [command.text for command in book.commands if isinstance(command, Tell) and command.code == "SHARE_LEFT"]
    assert len(told) == (2 if kind is PlaneKind.BALANCER else 0)
    assert all(" at gasan is no longer in the configuration and had " in text for text in told)
    book.commands.clear()
    reload(book, book.setup)
    assert "SHARE_LEFT" not in book.told(), "once"


def test_a_site_that_was_drained_before_it_was_taken_out_of_the_file_leaves_nothing_behind() -> None:
    book = playing()
    book.ask(DrainRequest(site=P))
    book.run(60_000)
    planes = tuple(replace(plane, kind=PlaneKind.BALANCER) for plane in book.setup.planes)
    reload(book, replace(without_site(book.setup, P), planes=planes))
    assert "SHARE_LEFT" not in book.told()


@pytest.mark.parametrize(("gone", "is_kept"), [(A, False), (None, True)])
def test_a_goal_that_names_a_site_that_is_gone_is_over_on_record(gone: SiteId | None, is_kept: bool) -> None:
    book = playing()
    forced_shares(book)
    (goal,) = book.state.goals
    book.commands.clear()
    reload(book, book.setup if gone is None else without_site(book.setup, gone))
    assert (goal in book.state.goals) is is_kept
    assert [row.data["goal"] for row in book.recorded("goal") if row.data["state"] == "ended"] == ([] if is_kept else [goal])
    assert book.violations == []


LATE: Mapping[str, Event] = {
    "a write": EnactFinished(
        at_ms=0, result=EnactResult(enactor=LB, generation=1, outcome=EnactOutcome.APPLIED, at_ms=0)
    ),
    "a reading": ReadBackArrived(at_ms=0, read_back=ReadBack(enactor=LB, at_ms=0, generation=99, shares_bp={})),
    "a reading that failed": ReadBackFailed(at_ms=0, enactor=LB, detail="gone"),
    "a standby": StandbyReported(at_ms=0, member=MemberId("web/gasan/s1"), phase=StandbyPhase.FAILED),
    "traffic": TrafficMeasured(
        at_ms=0, seen=(SeenTraffic(service=WEB, site=P, window_ms=500, requests=10, errors=0),)
    ),
}


@pytest.mark.parametrize("late", LATE)
def test_what_ends_after_its_object_is_gone_has_no_effect(late: str) -> None:
    book = playing()
    reload(book, without_plane(without_service(book.setup, WEB), LB))
    before = book.state
    decision = step(before, replace(LATE[late], at_ms=book.now_ms), book.setup)
    assert decision.commands == ()
    assert decision.state == before


def test_a_measurement_of_what_stays_counts_beside_one_of_what_is_gone() -> None:
    book = playing()
    reload(book, without_service(book.setup, BLOG))
    seen = tuple(SeenTraffic(service=s, site=P, window_ms=500, requests=10, errors=0) for s in (WEB, BLOG))
    book.feed(TrafficMeasured(at_ms=book.now_ms, seen=seen))
    assert (WEB, P) in book.state.traffic
    assert (BLOG, P) not in book.state.traffic


def test_a_reload_of_the_same_file_moves_nothing() -> None:
    book = playing()
    left_as_dead(book)
    before = book.state
    reload(book, book.setup)
    for name in ("steering", "overrides", "tracks", "standbys", "is_fresh", "picture", "traffic", "demand"):
        assert getattr(book.state, name) == getattr(before, name), name
    assert book.state.track(WEB, P).life in (SiteLife.DRAINING, SiteLife.DRAINED)
    assert book.state.plane(PLANE).standing is before.plane(PLANE).standing


# -- every field of the state ----------------------------------------------------------------------------------------

GHOST = "ghost"


def haunted(hint: Any, depth: int = 0) -> Any:
    """A value of this type that speaks of nothing but what is not there."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return haunted(next(part for part in parts if part is not type(None)), depth)
    if origin is tuple:
        return (haunted(parts[0], depth),) if parts[-1] is Ellipsis else tuple(haunted(part, depth) for part in parts)
    if origin is frozenset:
        return frozenset({haunted(parts[0], depth)})
    if origin is not None and issubclass(origin, Mapping):
        return {haunted(parts[0], depth): haunted(parts[1], depth)}
    if hasattr(hint, "__supertype__"):
        return hint(f"{GHOST}-{hint.__name__}")
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        assert isinstance(hint, type)
        return hint(**{entry.name: haunted(hints[entry.name], depth + 1) for entry in fields(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    return {int: 1, bool: False, str: "x", object: None}.get(hint)


def haunts_of(state: ControllerState) -> list[str]:
    return [entry.name for entry in fields(state) if GHOST in json.dumps(to_document(getattr(state, entry.name)))]


def test_no_field_of_the_state_speaks_of_what_is_gone() -> None:
    """Each field is filled, by its type, with what no setup names. One that is new and not pruned fails here."""
    book = playing()
    hints = get_type_hints(ControllerState)
    ghosts = {entry.name: haunted(hints[entry.name]) for entry in fields(ControllerState)}
    full = {name: ghost for name, ghost in ghosts.items() if GHOST in json.dumps(to_document(ghost))}
    assert {"tracks", "planes", "overrides", "steering", "picture", "reports", "traffic", "standbys"} <= full.keys()
    book.state = replace(book.state, **full)
    assert set(haunts_of(book.state)) == full.keys()
    book.feed(Reloaded(at_ms=book.now_ms, digest=book.setup.digest))
    assert haunts_of(book.state) == []


def test_no_part_of_a_field_speaks_of_what_is_gone(broken_laws: list[Violation]) -> None:
    """The same for what stands under the name of something that stays: a transition of a service may name a site that is gone."""
    book = playing()
    hints = get_type_hints(ControllerState)
    mine = {"transitions": WEB, "planes": PLANE, "reports": NODE, "standbys": MemberId("web/gasan/s1"), "tracks": (WEB, P)}
    for name, key in mine.items():
        (value,) = haunted(hints[name]).values()
        if name == "reports":
            value = replace(value, vantage=NODE, site=G)
        if name == "planes":
            value = replace(value, read_back=replace(value.read_back, enactor=PLANE))
        book.state = replace(book.state, **{name: {**getattr(book.state, name), key: value}})
    (pool_picture,) = haunted(hints["picture"]).pools.values()
    pools = {**book.state.picture.pools, (WEB, P): pool_picture}
    book.state = replace(book.state, picture=replace(book.state.picture, pools=pools))
    assert {"transitions", "planes", "reports", "picture"} <= set(haunts_of(book.state))
    book.feed(Reloaded(at_ms=book.now_ms, digest=book.setup.digest))
    assert haunts_of(book.state) == []
    broken_laws.clear()  # findings that were made up here were told to nobody


def test_no_part_of_a_steering_speaks_of_what_is_gone() -> None:
    setup = two_services()
    steering = replace(haunted(ServiceSteering), service=WEB)
    assert GHOST in json.dumps(to_document(steering))
    assert GHOST not in json.dumps(to_document(steering.within(setup.topology.service_by_id[WEB])))


@pytest.mark.parametrize(
    ("shares_bp", "shed_bp", "shed_at", "wanted"),
    [
        ({P: 5000, G: 3000, A: 2000}, 0, None, {G: 6000, A: 4000}),
        ({P: 10_000, G: 0, A: 0}, 0, None, {G: 6000, A: 4000}),
        ({P: 0, G: 10_000, A: 0}, 0, None, {G: 10_000, A: 0}),
        ({P: 4000, G: 3000, A: 2000}, 1000, None, {G: 5400, A: 3600}),
        ({P: 4000, G: 3000, A: 2000}, 1000, P, {G: 6000, A: 4000}),
        ({P: 1, G: 3333, A: 6666}, 0, None, {G: 3333, A: 6667}),
    ],
)
def test_the_share_of_a_site_that_is_gone_comes_to_those_left(
    shares_bp: dict[SiteId, int], shed_bp: int, shed_at: SiteId | None, wanted: dict[SiteId, int]
) -> None:
    service = without_site(two_services(), P).topology.service_by_id[WEB]
    before = ServiceSteering(
        service=WEB, shares_bp=shares_bp, members_pm={}, ttl_s=30, shed_bp=shed_bp, shed_at=shed_at
    )
    after = before.within(service)
    assert after.shares_bp == wanted
    assert sum(after.shares_bp.values()) + after.shed_bp == 10_000


def test_a_second_drain_while_the_first_is_still_being_written_tells_of_no_unknown_plane() -> None:
    book = playing()
    book.run(60_000)
    for service in (WEB, BLOG):
        book.ask(DrainRequest(site=P, service=service))
    book.run(60_000)
    assert "DATA_PLANE_UNKNOWN" not in book.told()
    assert (book.shares(WEB)[P], book.shares(BLOG)[P]) == (0, 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_file_that_names_none_of_the_sites_that_had_traffic_begins_with_nominal_shares_in_every_mode(mode: Mode) -> None:
    """Whoever only looks on must not leave the name without an answer: the embedded DNS is told what there is now."""
    whole = two_services(mode=mode)
    book = Playbook(setup=without_site(whole, A))
    book.run(6_000)
    reload(book, without_site(without_site(whole, P), G))
    book.run(5_000)
    assert book.shares(WEB) == book.shares(BLOG) == {A: 10_000}
    carried = book.planes[PLANE]
    assert carried is not None and all(entry.shares_bp == {A: 10_000} and entry.members_pm for entry in carried.services)
    assert book.violations == []
