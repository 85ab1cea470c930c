"""What a reload keeps and what it lets go of, field by field; and what people are told of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from core.playbook import NODE, PLANE, WEB, A, G, P, Playbook
from core.test_laws import a_goal, an_override
from core.test_reload import BLOG, LB, playing, reload, two_services, without_member, without_plane, without_service, without_site
from siteshift.core.lifecycle.reload import about_what_is_there, pruned
from siteshift.core.messages.commands import Record, Tell
from siteshift.core.messages.events import (
    EnactFinished,
    Event,
    ReadBackArrived,
    ReadBackFailed,
    Reloaded,
    SeenTraffic,
    StandbyReported,
    Ticked,
    TrafficMeasured,
)
from siteshift.core.model.codes import DiagnosisCode, EnactOutcome, MemberRole, OverrideKind, StandbyPhase
from siteshift.core.model.evidence import Diagnosis, Picture
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import Drift, EnactResult, ReadBack
from siteshift.core.model.units import MemberId, ServiceId, SiteId, VantageId
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.carrying import Carrying
from siteshift.core.state.controller_state import ControllerState
from siteshift.core.state.goals import GoalState
from siteshift.core.state.tracks import PlaneTrack, ServiceTransition, SiteTrack, StandbyTrack, TrafficTrack, VantageTrack

M1, S1 = MemberId("web/gasan/m1"), MemberId("web/gasan/s1")
FOUND_TO_CARRY = Carrying(
    failed_rps=3, answered_rps=2, cap_rps=1, proven_rps=1, open_rps=4, failed_at_ms=1, hold_ms=1, until_ms=1
)
GONE_MEMBER, GONE_SITE, GONE_SERVICE, GONE_NODE = MemberId("gone"), SiteId("gone"), ServiceId("gone"), VantageId("gone")


@pytest.fixture
def book() -> Playbook:
    return playing()


def told(book: Playbook, code: str) -> list[str]:
    """What people were told by this code, as something to look at."""
    found = [command for command in book.commands if isinstance(command, Tell) and command.code == code]
    return [command.text for command in found if command.severity is AlertSeverity.WARNING]


# -- what is there stays -----------------------------------------------------------------------------------------------


def lived_in(book: Playbook) -> ControllerState:
    """A state in which every field that a reload looks through says something of what is there."""
    state = book.state
    (entry,) = (found for found in state.steering.services if found.service == WEB)
    transition = ServiceTransition(
        cached_bp={P: 1, G: 2},
        undo_bp=dict(entry.shares_bp),
        carrying={G: FOUND_TO_CARRY},
        taken_out=frozenset({M1}),
        moved_at_ms=7,
    )
    drift = Drift(enactor=PLANE, what="web", wanted="1", found="2", ours=True)
    read = ReadBack(
        enactor=PLANE, at_ms=1, generation=1, shares_bp={WEB: {P: 1}, BLOG: {A: 1}}, drifts=(drift,), members_bp={M1: 1}
    )
    picture = replace(state.picture, diagnoses=(about(site=P, service=WEB),), isolated=(NODE,), global_fault=frozenset({BLOG}))
    held = Adoption(found=AdoptedFrom.COPY, why="", since_ms=1, sites=frozenset({(WEB, P)}), members_out=frozenset())
    goal = a_goal(book)
    return replace(
        state,
        picture=picture,
        vantages={NODE: VantageTrack(clock_ahead_ms=3)},
        tracks={(WEB, P): SiteTrack(flaps=1), (BLOG, A): SiteTrack(flaps=2)},
        unsettled_until_ms={WEB: 1},
        alike_until_ms={BLOG: 1},
        full_at_ms={(WEB, P): 1},
        transitions={WEB: transition},
        standbys={S1: StandbyTrack(phase=StandbyPhase.PROVEN)},
        planes={PLANE: PlaneTrack(read_back=read, confirmed_generation=1)},
        adoption=held,
        goals={goal.goal.digest: goal},
    )


def about(**what: Any) -> Diagnosis:
    return Diagnosis(code=DiagnosisCode.SITE_DOWN, since_ms=1, reason="", **what)


def test_a_reload_keeps_every_field_of_what_is_there(book: Playbook) -> None:
    """Only the planes are read again at once: under another setup they may be asked other things."""
    state = lived_in(book)
    found = pruned(state, book.setup, now_ms=99)
    for name, value in found.items():
        if name != "planes":
            assert value == getattr(state, name), name
    assert found["planes"] == {PLANE: replace(state.planes[PLANE], next_read_ms=99)}
    assert found.keys() <= get_type_hints(ControllerState).keys()
    filled = [name for name in found if name != "expected"]
    assert [name for name in filled if not getattr(state, name)] == [], "else it proves nothing"


def test_a_plane_that_was_never_read_is_read_now(book: Playbook) -> None:
    state = replace(book.state, planes={PLANE: PlaneTrack()})
    assert pruned(state, book.setup, now_ms=99)["planes"] == {PLANE: PlaneTrack(next_read_ms=99)}


DIAGNOSES: tuple[tuple[dict[str, object], bool], ...] = (
    ({}, True),
    ({"site": P}, True),
    ({"service": WEB}, True),
    ({"member": M1}, True),
    ({"site": P, "service": WEB, "member": M1, "accusers": (NODE,)}, True),
    ({"site": GONE_SITE}, False),
    ({"service": GONE_SERVICE}, False),
    ({"member": GONE_MEMBER}, False),
    ({"site": A, "service": BLOG}, False),
    ({"site": P, "service": WEB, "member": GONE_MEMBER}, False),
    ({"accusers": (NODE, GONE_NODE)}, False),
)


@pytest.mark.parametrize(("what", "is_kept"), DIAGNOSES)
def test_a_diagnosis_stays_when_all_that_it_names_is_there(book: Playbook, what: dict[str, object], is_kept: bool) -> None:
    """Anyang is a site and the blog a service: but the blog is not at Anyang any more."""
    (web, blog) = book.setup.topology.services
    blog = replace(blog, pools=tuple(pool for pool in blog.pools if pool.site != A))
    setup = replace(book.setup, topology=replace(book.setup.topology, services=(web, blog)))
    picture = replace(book.state.picture, diagnoses=(about(**what),))
    after = pruned(replace(book.state, picture=picture), setup, now_ms=0)["picture"]
    assert isinstance(after, Picture)
    assert bool(after.diagnoses) is is_kept


def test_a_picture_is_left_with_the_vantages_and_services_that_are_there(book: Playbook) -> None:
    picture = replace(
        book.state.picture,
        credible=(NODE, GONE_NODE),
        isolated=(GONE_NODE, NODE),
        global_fault=frozenset({WEB, GONE_SERVICE}),
        sites={**book.state.picture.sites, GONE_SITE: next(iter(book.state.picture.sites.values()))},
    )
    after = pruned(replace(book.state, picture=picture), book.setup, now_ms=0)["picture"]
    assert isinstance(after, Picture)
    assert (after.credible, after.isolated, after.global_fault) == ((NODE,), (NODE,), frozenset({WEB}))
    assert after.sites == book.state.picture.sites


@pytest.mark.parametrize(("undo_bp", "is_kept"), [({P: 1, G: 2}, True), ({P: 1, GONE_SITE: 2}, False), (None, False)])
def test_a_move_to_or_from_a_site_that_is_gone_cannot_be_undone(
    book: Playbook, undo_bp: dict[SiteId, int] | None, is_kept: bool
) -> None:
    before = ServiceTransition(
        undo_bp=undo_bp,
        cached_bp={P: 1, GONE_SITE: 2},
        carrying={P: FOUND_TO_CARRY, GONE_SITE: FOUND_TO_CARRY},
        taken_out=frozenset({M1, GONE_MEMBER}),
        moved_at_ms=5,
    )
    state = replace(book.state, transitions={WEB: before, GONE_SERVICE: before})
    after = pruned(state, book.setup, now_ms=0)["transitions"]
    assert after == {
        WEB: ServiceTransition(
            undo_bp=undo_bp if is_kept else None,
            cached_bp={P: 1},
            carrying={P: FOUND_TO_CARRY},
            taken_out=frozenset({M1}),
            moved_at_ms=5,
        )
    }


def test_what_is_held_as_found_is_held_as_long_as_any_of_it_is_there(book: Playbook) -> None:
    held = Adoption(found=AdoptedFrom.COPY, why="", since_ms=1, sites=frozenset({(WEB, P), (WEB, GONE_SITE)}))
    state = replace(book.state, adoption=held)
    assert pruned(state, book.setup, now_ms=0)["adoption"] == replace(held, sites=frozenset({(WEB, P)}))
    only_gone = replace(held, sites=frozenset({(WEB, GONE_SITE)}))
    assert pruned(replace(state, adoption=only_gone), book.setup, now_ms=0)["adoption"] is None
    assert pruned(replace(state, adoption=None), book.setup, now_ms=0)["adoption"] is None


@pytest.mark.parametrize(
    ("field", "value", "is_kept"),
    [
        ("services", (WEB, BLOG), True),
        ("services", (WEB, GONE_SERVICE), True),
        ("services", (GONE_SERVICE,), False),
        ("sites", (P, GONE_SITE), True),
        ("sites", (GONE_SITE,), False),
        ("shares_bp", {P: 1, G: 2}, True),
        ("shares_bp", {P: 1, GONE_SITE: 2}, False),
        ("members", (M1,), True),
        ("members", (M1, GONE_MEMBER), False),
    ],
)
@pytest.mark.parametrize("state", [GoalState.RUNNING, GoalState.ENDED])
def test_a_goal_is_over_when_nothing_is_left_of_what_it_names_and_who_is_told_of_it(
    book: Playbook, field: str, value: object, is_kept: bool, state: GoalState
) -> None:
    """On record in any case; people are told of one that was not over before."""
    track = a_goal(book, state=state)
    track = replace(track, goal=replace(track.goal, **{field: value}))  # type: ignore[arg-type]
    book.state = replace(book.state, goals={track.goal.digest: track})
    book.commands.clear()
    reload(book, book.setup)
    assert (track.goal.digest in book.state.goals) is is_kept
    rows = [row for row in book.recorded("goal") if row.data.get("because") == "the configuration no longer has what it names"]
    assert len(rows) == (0 if is_kept else 1)
    texts = told(book, "GOAL_ENDED")
    if is_kept or state is GoalState.ENDED:
        assert texts == []
    else:
        assert texts == [f"drain of kim ({track.digest}) is over: the configuration no longer has what it names"]
        assert rows[0].data["digest"] == track.digest and rows[0].data["state"] == "ended"


# -- what people forced --------------------------------------------------------------------------------------------------

FORCED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"site": P, "service": WEB}, ""),
    ({"site": P}, ""),
    ({"kind": OverrideKind.FREEZE, "site": None}, ""),
    ({"kind": OverrideKind.DEPOOL, "site": None, "member": M1}, ""),
    ({"kind": OverrideKind.SHARES, "site": None, "service": WEB, "shares_bp": {P: 5_000, G: 5_000}}, ""),
    ({"site": GONE_SITE}, "gone"),
    ({"site": None, "service": GONE_SERVICE}, "gone"),
    ({"site": A, "service": BLOG}, "blog at anyang"),
    ({"site": A}, ""),
    ({"kind": OverrideKind.SHARES, "site": None, "service": BLOG, "shares_bp": {P: 5_000, A: 5_000}}, "blog at anyang"),
    ({"kind": OverrideKind.DEPOOL, "site": None, "member": GONE_MEMBER}, "gone"),
    ({"kind": OverrideKind.DEPOOL, "site": P, "member": GONE_MEMBER}, "gone"),
)


@pytest.mark.parametrize(("what", "missing"), FORCED)
def test_what_a_person_forced_is_lifted_with_the_name_of_what_is_gone(book: Playbook, what: dict[str, Any], missing: str) -> None:
    (web, blog) = book.setup.topology.services
    blog = replace(blog, pools=tuple(pool for pool in blog.pools if pool.site != A))
    setup = replace(book.setup, topology=replace(book.setup.topology, services=(web, blog)))
    made, other = an_override(book, **what), an_override(book, id="o2", kind=OverrideKind.FREEZE, site=None)
    book.state = replace(book.state, overrides=(made, other))
    book.commands.clear()
    reload(book, setup)
    assert book.state.overrides == ((other,) if missing else (made, other))
    lifted = [f"override o1 of kim is lifted: {missing} is no longer in the configuration"] if missing else []
    assert told(book, "OVERRIDE_LIFTED") == lifted
    assert [row.data["why"] for row in book.recorded("override_lifted")] == ([f"{missing} is gone"] if missing else [])


def test_a_drained_site_whose_servers_are_taken_out_of_the_file_for_a_while_is_still_drained(book: Playbook) -> None:
    whole = book.setup
    drain = an_override(book, site=A)
    book.state = replace(book.state, overrides=(drain,))
    services = tuple(
        replace(service, pools=tuple(pool for pool in service.pools if pool.site != A)) for service in whole.topology.services
    )
    for setup in (replace(whole, topology=replace(whole.topology, services=services)), whole):
        reload(book, setup)
        assert book.state.overrides == (drain,)
    assert told(book, "OVERRIDE_LIFTED") == []
    book.run(30_000)
    assert book.shares()[A] == 0
    assert book.violations == []


# -- standbys and planes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(StandbyPhase))
def test_a_standby_that_becomes_an_active_member_is_named_when_it_runs(book: Playbook, phase: StandbyPhase) -> None:
    (web, blog) = book.setup.topology.services
    pools = tuple(
        replace(pool, members=tuple(replace(m, role=MemberRole.ACTIVE) if m.id == S1 else m for m in pool.members))
        for pool in web.pools
    )
    setup = replace(book.setup, topology=replace(book.setup.topology, services=(replace(web, pools=pools), blog)))
    book.state = replace(book.state, standbys={S1: StandbyTrack(phase=phase)})
    book.commands.clear()
    reload(book, setup)
    runs = phase in (StandbyPhase.STARTING, StandbyPhase.READY, StandbyPhase.PROVEN, StandbyPhase.RETIRING)
    said = f"{S1} is an active member now and was {phase.value}: it is left as it is; retire it by hand if it shall not run"
    assert told(book, "STANDBY_LEFT") == ([said] if runs else [])
    assert [row.data for row in book.recorded("standby_left")] == ([{"member": S1, "phase": phase.value}] if runs else [])
    assert S1 not in book.state.standbys


def test_a_standby_that_is_gone_from_the_file_is_named_as_gone(book: Playbook) -> None:
    book.state = replace(book.state, standbys={S1: StandbyTrack(phase=StandbyPhase.PROVEN)})
    book.commands.clear()
    reload(book, without_member(book.setup, S1))
    (said,) = told(book, "STANDBY_LEFT")
    assert said.startswith(f"{S1} is no longer in the configuration and was proven")


def test_a_standby_that_stays_is_not_spoken_of(book: Playbook) -> None:
    track = StandbyTrack(phase=StandbyPhase.PROVEN)
    book.state = replace(book.state, standbys={S1: track})
    book.commands.clear()
    reload(book, without_plane(book.setup, LB))
    assert told(book, "STANDBY_LEFT") == []
    assert len(told(book, "PLANE_LEFT")) == 1, "of two planes one is gone"


@pytest.mark.parametrize("generation", [None, 0, 4])
def test_a_plane_that_is_left_is_told_with_the_generation_it_keeps(book: Playbook, generation: int | None) -> None:
    planes = {**book.state.planes, LB: PlaneTrack(confirmed_generation=generation)}
    book.state = replace(book.state, planes=planes)
    book.commands.clear()
    reload(book, without_plane(book.setup, LB))
    has = "what it has" if generation is None else f"generation {generation}"
    assert told(book, "PLANE_LEFT") == [f"lb is no longer in the configuration: it keeps {has} and is not written any more"]
    assert [row.data for row in book.recorded("plane_left")] == [{"enactor": "lb", "generation": generation}]


# -- what ends after a reload --------------------------------------------------------------------------------------------

READING = ReadBack(enactor=LB, at_ms=0, generation=1, shares_bp={})
RESULT = EnactResult(enactor=LB, generation=1, outcome=EnactOutcome.APPLIED, at_ms=0)
SAMPLES = tuple(SeenTraffic(service=s, site=P, window_ms=1, requests=1, errors=0) for s in (WEB, BLOG))


@pytest.mark.parametrize(
    ("event", "going"),
    [
        (EnactFinished(at_ms=0, result=RESULT), lambda setup: without_plane(setup, LB)),
        (ReadBackArrived(at_ms=0, read_back=READING), lambda setup: without_plane(setup, LB)),
        (ReadBackFailed(at_ms=0, enactor=LB, detail=""), lambda setup: without_plane(setup, LB)),
        (StandbyReported(at_ms=0, member=S1, phase=StandbyPhase.READY), lambda setup: without_member(setup, S1)),
        (TrafficMeasured(at_ms=0, seen=SAMPLES), lambda setup: without_service(without_service(setup, WEB), BLOG)),
    ],
)
def test_an_event_counts_as_long_as_what_it_is_about_is_there(event: Event, going: Callable[[Setup], Setup]) -> None:
    setup = two_services()
    assert about_what_is_there(event, setup) is event
    assert about_what_is_there(event, going(setup)) is None
    assert about_what_is_there(Ticked(at_ms=0), going(setup)) == Ticked(at_ms=0)


def test_of_a_measurement_the_part_counts_that_is_about_what_is_there() -> None:
    event = TrafficMeasured(at_ms=0, seen=SAMPLES)
    assert about_what_is_there(event, without_service(two_services(), BLOG)) == replace(event, seen=SAMPLES[:1])
    assert about_what_is_there(event, without_service(two_services(), WEB)) == replace(event, seen=SAMPLES[1:])
    assert about_what_is_there(event, without_site(two_services(), P)) is None


def test_a_reload_is_remembered_and_named_in_the_state(book: Playbook) -> None:
    """The state that is written down says under which configuration it was decided (law 15)."""
    book.commands.clear()
    book.feed(Reloaded(at_ms=book.now_ms, digest="new"))
    assert book.state.setup_digest == "new"
    assert any(type(command).__name__ == "Remember" for command in book.commands)
    assert not any(isinstance(command, Record) and command.kind in ("standby_left", "plane_left") for command in book.commands)


def test_traffic_of_a_site_that_is_gone_is_forgotten_and_that_of_the_others_is_not(book: Playbook) -> None:
    track = TrafficTrack(at_ms=1, rate_mrps=1, last_mrps=1)
    state = replace(book.state, traffic={(WEB, P): track, (WEB, G): track})
    assert pruned(state, without_site(book.setup, P), now_ms=0)["traffic"] == {(WEB, G): track}
