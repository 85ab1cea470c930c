"""What a node starts with: what survives a death, what is taken over, and in whose name it is then held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.playbook import NODE, PLANE, UP, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.lifecycle.adopt import adopt_planes, adopted, tell_adoption
from siteshift.core.lifecycle.durable import FORMAT, RESTART_WANTED_MS, recorded, remember, restore
from siteshift.core.lifecycle.start import Past, start, taken_over
from siteshift.core.messages.commands import Record, Tell
from siteshift.core.messages.requests import DrainRequest
from siteshift.core.model.codes import FindingCode, LeftBecause, SiteLife, StandbyPhase
from siteshift.core.model.notice import AlertSeverity
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.steering import ReadBack, ServiceSteering, Steering
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId
from siteshift.core.state.adoption import AdoptedFrom, Adoption
from siteshift.core.state.codec import to_document
from siteshift.core.state.controller_state import DURABLE, ControllerState, initial_state
from siteshift.core.state.draft import Draft
from siteshift.core.state.tracks import PlaneTrack, SiteTrack, StandbyTrack

S1, S2 = MemberId("web/gasan/s1"), MemberId("web/anyang/s1")
M1 = MemberId("web/pangyo/m1")
LB = EnactorId("lb")
LATER_MS = 9_000_000


@pytest.fixture
def book() -> Playbook:
    made = Playbook()
    made.run(5_000)
    return made


def entry_of(state: ControllerState, service: ServiceId = WEB) -> ServiceSteering:
    found = state.steering.of(service)
    assert found is not None
    return found


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_a_restored_node_knows_what_is_durable_and_believes_nothing(book: Playbook) -> None:
    book.ask(DrainRequest(site=P))
    book.run(2_000)
    book.state = replace(book.state, is_switched_off=True, overrides_made=7)
    document = remember(book.state)
    assert document.keys() == {"format", *DURABLE} and document["format"] == FORMAT
    state = restore(document, now_ms=LATER_MS)
    for name in DURABLE:
        if name != "standbys":
            assert getattr(state, name) == getattr(book.state, name), name
    fresh = initial_state(now_ms=LATER_MS)
    for name in ("started_ms", "reports", "picture", "is_fresh", "planes", "traffic", "is_store_usable"):
        assert getattr(state, name) == getattr(fresh, name), name


@pytest.mark.parametrize(("found", "is_readable"), [(1, True), (FORMAT, True), (0, False), (None, False), ("2", False)])
def test_the_formats_that_are_read_are_named_to_who_brings_another(book: Playbook, found: object, is_readable: bool) -> None:
    document = {**remember(book.state), "format": found}
    if is_readable:
        assert restore(document, now_ms=LATER_MS).steering == book.state.steering
    else:
        with pytest.raises(ValueError, match=r"\$\.format: this node reads formats"):
            restore(document, now_ms=LATER_MS)


def test_a_newer_format_is_told_as_one_of_a_newer_version(book: Playbook) -> None:
    with pytest.raises(ValueError, match=rf"newer siteshift \(format {FORMAT + 1}; this one reads up to {FORMAT}\)"):
        restore({**remember(book.state), "format": FORMAT + 1}, now_ms=LATER_MS)


@pytest.mark.parametrize("generation", [-1, 10**18, 2**63])
def test_a_generation_that_no_plane_could_carry_is_refused(book: Playbook, generation: int) -> None:
    """It ended the start with a traceback as soon as a mark was to be made of it."""
    document = remember(book.state)
    document["steering"]["generation"] = generation
    with pytest.raises(ValueError, match=rf"\$\.steering\.generation: {generation} "):
        restore(document, now_ms=LATER_MS)


def test_what_cannot_be_read_is_named_by_its_place(book: Playbook) -> None:
    with pytest.raises(ValueError, match=r"\$\.overrides_made"):
        restore({**remember(book.state), "overrides_made": "many"}, now_ms=LATER_MS)


def test_a_field_of_an_earlier_name_is_read_unless_it_is_there_by_its_new_one(book: Playbook) -> None:
    book.ask(DrainRequest(site=P))
    book.run(1_000)
    document = remember(book.state)
    earlier = {**document, "motions": document["transitions"]}
    del earlier["transitions"]
    assert restore(earlier, now_ms=LATER_MS).transitions == book.state.transitions != {}
    assert restore({**document, "motions": {}}, now_ms=LATER_MS).transitions == book.state.transitions
    assert restore({k: v for k, v in document.items() if k != "transitions"}, now_ms=LATER_MS).transitions == {}
    whole = to_document(book.state)
    journalled = {**whole, "motions": whole["transitions"]}
    del journalled["transitions"]
    assert recorded(journalled) == recorded(whole) == recorded({**whole, "motions": {}}) == book.state


@pytest.mark.parametrize("phase", list(StandbyPhase))
def test_a_standby_on_its_way_starts_over_and_any_other_is_as_it_was(book: Playbook, phase: StandbyPhase) -> None:
    track = StandbyTrack(phase=phase, since_ms=5, deadline_ms=6, next_ask_ms=7, proof_since_ms=8, failures=3, detail="x")
    state = restore(remember(replace(book.state, standbys={S1: track})), now_ms=LATER_MS)
    if phase in (StandbyPhase.STARTING, StandbyPhase.READY):
        wanted_until_ms = LATER_MS + RESTART_WANTED_MS
        track = StandbyTrack(phase=StandbyPhase.COLD, since_ms=LATER_MS, wanted_until_ms=wanted_until_ms, failures=3)
    assert state.standby(S1) == track


@pytest.mark.parametrize("over_ms", [-1, 1])
def test_a_standby_that_starts_over_is_wanted_a_minute_at_least_and_as_long_as_it_was(book: Playbook, over_ms: int) -> None:
    was_ms = LATER_MS + 60_000 + over_ms
    track = StandbyTrack(phase=StandbyPhase.STARTING, wanted_until_ms=was_ms)
    state = restore(remember(replace(book.state, standbys={S1: track})), now_ms=LATER_MS)
    assert state.standby(S1).wanted_until_ms == LATER_MS + max(60_000, 60_000 + over_ms)


# -- the start ---------------------------------------------------------------------------------------------------------


def of_generation(book: Playbook, generation: int, term: int = 1) -> Steering:
    """Another steering than the one that is remembered: pangyo has nothing."""
    left = replace(entry_of(book.state), shares_bp={P: 0, G: 6_000, A: 4_000})
    return replace(book.state.steering, generation=generation, term=term, services=(left,))


def started(book: Playbook, past: Past, **more: object) -> ControllerState:
    return start(past, book.setup, now_ms=LATER_MS, **more)  # type: ignore[arg-type]


def test_a_second_copy_counts_when_it_is_of_a_later_term_or_generation(book: Playbook) -> None:
    known = book.state.steering
    document = remember(book.state)
    for ahead, term, is_newer in ((0, 0, False), (1, 0, True), (0, 1, True), (-1, 1, True), (1, -1, False), (-1, 0, False)):
        copy = of_generation(book, known.generation + ahead, known.term + term)
        state = started(book, Past(document=document, copy=copy))
        assert (state.steering == copy) is is_newer, (ahead, term)
        assert (state.adoption is not None and state.adoption.found is AdoptedFrom.COPY) is is_newer


def test_a_journal_that_knows_a_later_generation_says_that_something_was_lost(book: Playbook) -> None:
    known = book.state.steering.generation
    document = remember(book.state)
    for recorded_generation, is_held in ((known - 1, False), (known, False), (known + 1, True)):
        state = started(book, Past(document=document, recorded_generation=recorded_generation))
        assert (state.adoption is not None) is is_held
        assert state.steering == book.state.steering, "what is remembered stays"
    assert state.adoption is not None and state.adoption.found is AdoptedFrom.NOWHERE
    assert state.adoption.since_ms == LATER_MS


def test_what_is_remembered_is_held_as_the_file_has_it_now(book: Playbook) -> None:
    """One generation was ever decided, and anyang is new in the file: it has no share of what is held."""
    entry = replace(entry_of(book.state), shares_bp={P: 6_000, G: 4_000})
    steering = replace(book.state.steering, generation=1, services=(entry,))
    document = remember(replace(book.state, steering=steering))
    state = started(book, Past(document=document, recorded_generation=2))
    assert entry_of(state).shares_bp == {P: 6_000, G: 4_000, A: 0}
    assert state.track(WEB, A).left_because is LeftBecause.UNKNOWN


def test_why_a_node_holds_what_it_found_is_told(book: Playbook) -> None:
    known = book.state.steering.generation
    document, copy = remember(book.state), of_generation(book, known + 4)
    for past, why in (
        (Past(copy=copy), f"the store is empty, and the second copy has generation {known + 4}"),
        (Past(recorded_generation=9), "the store is empty, and the journal has generation 9"),
        (
            Past(document=document, copy=copy),
            f"the second copy has generation {known + 4}, and the store remembers {known}: it is older",
        ),
        (
            Past(document=document, recorded_generation=9),
            f"the journal has generation 9, and the store remembers {known}: it is older",
        ),
        (Past(copy=copy, lost="it burnt"), "it burnt"),
        (Past(recorded_generation=9, lost="it burnt"), "it burnt"),
        (Past(lost="it burnt"), "it burnt"),
    ):
        found = started(book, past).adoption
        assert found is not None and found.why == why


def test_a_store_that_is_there_and_up_to_date_is_not_called_lost(book: Playbook) -> None:
    state = started(book, Past(document=remember(book.state), lost="the second copy cannot be read"))
    assert state.adoption is None and state.steering == book.state.steering


@pytest.mark.parametrize("term", [None, 1, 4])
def test_a_node_without_a_past_starts_under_the_term_it_is_given(book: Playbook, term: int | None) -> None:
    assert started(book, Past(), term=term) == initial_state(now_ms=LATER_MS, term=term)


def test_what_left_the_file_while_the_node_was_away_is_not_remembered(book: Playbook) -> None:
    state = replace(book.state, tracks={(WEB, P): SiteTrack(flaps=1), (ServiceId("gone"), P): SiteTrack(flaps=2)})
    assert started(book, Past(document=remember(state))).tracks == {(WEB, P): SiteTrack(flaps=1)}


def test_a_new_leader_takes_what_the_last_one_remembered_and_keeps_its_own_beliefs(book: Playbook) -> None:
    other = Playbook()
    other.run(5_000)
    other.ask(DrainRequest(site=P))
    other.run(3_000)
    book.run(5_000)
    mine = replace(book.state, is_store_usable=False, is_fresh=True, term=3)
    state = taken_over(mine, remember(other.state), now_ms=LATER_MS)
    for name in ("steering", "overrides", "tracks", "transitions"):
        assert getattr(state, name) == getattr(other.state, name) != getattr(mine, name), name
    for name in ("started_ms", "reports", "picture", "is_fresh", "traffic", "demand", "is_store_usable"):
        assert getattr(state, name) == getattr(mine, name), name
    assert mine.reports and mine.traffic and mine.demand
    assert state.term is None, "it is told its own"
    assert state.planes == {}, "they are read anew"
    assert taken_over(mine, None, now_ms=LATER_MS) is mine


# -- holding what was found ----------------------------------------------------------------------------------------------


def holding(book: Playbook, entry: ServiceSteering, state: ControllerState | None = None) -> ControllerState:
    found = replace(book.state.steering, services=(entry,))
    before = state or initial_state(now_ms=0)
    return adopted(before, book.setup, found, found=AdoptedFrom.COPY, why="why", now_ms=LATER_MS)


def test_a_site_that_has_nothing_and_should_have_a_part_was_left_nobody_knows_why(book: Playbook) -> None:
    state = holding(book, replace(entry_of(book.state), shares_bp={P: 0, G: 6_000, A: 4_000}))
    assert state.track(WEB, P) == SiteTrack(
        life=SiteLife.DRAINING, since_ms=LATER_MS, left_because=LeftBecause.UNKNOWN, left_at_ms=LATER_MS
    )
    assert state.track(WEB, G) == state.track(WEB, A) == SiteTrack()


def test_what_is_shed_at_a_site_comes_to_it_and_one_that_should_have_nothing_was_not_left(book: Playbook) -> None:
    shed = replace(entry_of(book.state), shares_bp={P: 0, G: 5_000, A: 4_000}, shed_bp=1_000, shed_at=P)
    assert holding(book, shed).track(WEB, P) == SiteTrack()
    service = book.setup.topology.services[0]
    spare = replace(service, pools=(replace(service.pools[0], nominal_bp=0), *service.pools[1:]))
    book.setup = replace(book.setup, topology=replace(book.setup.topology, services=(spare,)))
    assert holding(book, replace(shed, shed_at=G)).track(WEB, P) == SiteTrack()


@pytest.mark.parametrize("life", list(SiteLife))
def test_what_is_remembered_of_a_site_stays_where_it_fits_what_was_found(book: Playbook, life: SiteLife) -> None:
    track = SiteTrack(life=life, since_ms=3, left_because=LeftBecause.PERSON, left_at_ms=3, flaps=2)
    remembered = replace(initial_state(now_ms=0), tracks={(WEB, P): track})
    has_share = holding(book, entry_of(book.state), remembered).track(WEB, P)
    assert has_share == (SiteTrack(since_ms=LATER_MS) if life is SiteLife.DRAINED else track)
    left = holding(book, replace(entry_of(book.state), shares_bp={P: 0, G: 6_000, A: 4_000}), remembered).track(WEB, P)
    if life in (SiteLife.DRAINING, SiteLife.DRAINED):
        assert left == track
    else:
        assert (left.life, left.left_because, left.left_at_ms) == (SiteLife.DRAINING, LeftBecause.UNKNOWN, LATER_MS)


def test_members_that_served_no_more_stay_out_and_a_standby_that_served_goes_on(book: Playbook) -> None:
    entry = entry_of(book.state)
    members = {**entry.members_pm, S1: 500, MemberId("web/gasan/gone"): 1_000}
    del members[M1]
    state = holding(book, replace(entry, members_pm=members))
    assert state.adoption == Adoption(
        found=AdoptedFrom.COPY,
        why="why",
        since_ms=LATER_MS,
        sites=frozenset({(WEB, P), (WEB, G), (WEB, A)}),
        members_out=frozenset({M1}),
    )
    serving = StandbyTrack(phase=StandbyPhase.PROVEN, since_ms=LATER_MS, detail="served when the node started")
    assert state.standbys == {S1: serving}, "of those that did not serve nothing is known"
    assert entry_of(state).members_pm == {k: v for k, v in members.items() if k != "web/gasan/gone"}
    failed = StandbyTrack(phase=StandbyPhase.FAILED, failures=2)
    known = replace(initial_state(now_ms=0), standbys={S1: failed, S2: failed})
    assert holding(book, replace(entry, members_pm=members), known).standbys == {S1: failed, S2: failed}


@pytest.mark.parametrize(
    ("shares", "shed_bp", "wanted"),
    [
        ({P: 5_000, G: 3_000}, 0, {P: 7_000, G: 3_000, A: 0}),
        ({P: 5_000, G: 3_000}, 1_000, {P: 6_000, G: 3_000, A: 0}),
        ({P: 5_000, G: 3_000, A: 2_000, SiteId("gone"): 1}, 0, {P: 5_000, G: 3_000, A: 2_000}),
        ({P: 9_000, G: 3_000, A: 2_000}, 0, {P: 5_000, G: 3_000, A: 2_000}),
        ({SiteId("gone"): 10_000}, 0, {P: 5_000, G: 3_000, A: 2_000}),
    ],
)
def test_what_was_found_is_made_whole_at_the_site_that_has_most(
    book: Playbook, shares: dict[SiteId, int], shed_bp: int, wanted: dict[SiteId, int]
) -> None:
    state = holding(book, replace(entry_of(book.state), shares_bp=shares, shed_bp=shed_bp))
    assert entry_of(state).shares_bp == wanted


def test_of_a_service_that_was_not_found_what_is_remembered_counts_else_its_nominal_shares(book: Playbook) -> None:
    nothing = replace(book.state.steering, services=())
    moved = replace(entry_of(book.state), shares_bp={P: 4_000, G: 4_000, A: 2_000})
    remembering = replace(book.state, steering=replace(book.state.steering, services=(moved,)))
    for state, wanted in ((remembering, moved.shares_bp), (initial_state(now_ms=0), {P: 5_000, G: 3_000, A: 2_000})):
        found = adopted(state, book.setup, nothing, found=AdoptedFrom.COPY, why="", now_ms=LATER_MS)
        assert entry_of(found).shares_bp == wanted
    assert entry_of(found).ttl_s == book.setup.policy.of(WEB).ttl_normal_s


def test_what_was_found_of_sites_that_the_file_names_no_more_is_as_if_nothing_was_found(book: Playbook) -> None:
    topology = book.setup.topology
    elsewhere = replace(topology.services[0], pools=(pool(WEB, SiteId("daejeon"), 10_000, 60),))
    setup = replace(book.setup, topology=replace(topology, services=(elsewhere,)))
    state = adopted(initial_state(now_ms=LATER_MS), setup, book.state.steering, found=AdoptedFrom.COPY, why="", now_ms=LATER_MS)
    assert entry_of(state).shares_bp == {"daejeon": 10_000}
    assert len(entry_of(state).members_pm) == 4


# -- what the planes carry -----------------------------------------------------------------------------------------------


def two_services() -> Setup:
    setup = three_sites()
    blog = replace(
        setup.topology.services[0],
        id=ServiceId("blog"),
        pools=tuple(pool(ServiceId("blog"), *place) for place in ((P, 6_000, 60), (G, 4_000, 40))),
    )
    topology = replace(setup.topology, services=(setup.topology.services[0], blog))
    return replace(setup, topology=topology, planes=(PlaneRef(id=PLANE, services=(WEB,)), PlaneRef(id=LB, services=(WEB,))))


FOUND = {WEB: {P: 0, G: 6_000, A: 4_000}}


def reading(generation: int | None, *, at_ms: int = 100, shares: object = FOUND) -> ReadBack:
    return ReadBack(enactor=PLANE, at_ms=at_ms, generation=generation, shares_bp=shares)  # type: ignore[arg-type]


def taking_over(book: Playbook, planes: dict[EnactorId, PlaneTrack], **state: object) -> Draft:
    before = replace(book.state, planes=planes, **state)  # type: ignore[arg-type]
    return Draft(state=before, setup=book.setup, now_ms=LATER_MS)


def test_planes_are_taken_over_when_they_are_newer_and_there_is_a_store_and_a_term(book: Playbook) -> None:
    known = book.state.steering.generation
    for generation, state, is_done in (
        (known + 1, {}, True),
        (known, {}, False),
        (None, {}, False),
        (known + 1, {"term": None}, False),
        (known + 1, {"is_store_usable": False}, False),
    ):
        draft = taking_over(book, {PLANE: PlaneTrack(read_back=reading(generation))}, **state)
        assert adopt_planes(draft) is is_done
        assert draft.remembers is is_done
        assert (draft.state.steering.generation == known + 1) is is_done
        assert bool(draft.commands) is is_done


def test_taking_over_is_on_record_as_a_decision_of_the_planes(book: Playbook) -> None:
    known = book.state.steering.generation
    draft = taking_over(book, {PLANE: PlaneTrack(read_back=reading(40))})
    assert adopt_planes(draft)
    after = draft.state
    assert (after.steering.generation, after.steering.decided_at_ms) == (40, LATER_MS)
    assert entry_of(after).shares_bp == FOUND[WEB]
    assert after.track(WEB, P).left_because is LeftBecause.UNKNOWN
    data = {"generation": 40, "digest": after.steering.digest(), "services": [], "adopted": "planes"}
    assert draft.commands == [Record(kind="decision", data=data)]
    assert after.adoption is not None and after.adoption.found is AdoptedFrom.PLANES
    assert after.adoption.why == f"the data planes carry generation 40, and only {known} is remembered"
    held = Adoption(found=AdoptedFrom.NOWHERE, why="it burnt", since_ms=1, sites=frozenset())
    again = taking_over(book, {PLANE: PlaneTrack(read_back=reading(40))}, adoption=held)
    assert adopt_planes(again) and again.state.adoption is not None
    assert again.state.adoption.why == f"it burnt; {after.adoption.why}"


@pytest.mark.parametrize(("term", "steering_term"), [(5, 3), (3, 5)])
def test_what_is_taken_over_is_under_the_latest_term_that_is_known(book: Playbook, term: int, steering_term: int) -> None:
    steering = replace(book.state.steering, term=steering_term)
    draft = taking_over(book, {PLANE: PlaneTrack(read_back=reading(40))}, term=term, steering=steering)
    assert adopt_planes(draft) and draft.state.steering.term == 5


@pytest.mark.parametrize(("read_at_ms", "is_done"), [(99, False), (100, True), (None, False)])
def test_a_plane_that_told_a_newer_generation_is_taken_over_once_it_was_read_since(
    book: Playbook, read_at_ms: int | None, is_done: bool
) -> None:
    """Its number was written half-way and nobody carries it whole: what is decided now passes it."""
    read = reading(3, at_ms=read_at_ms) if read_at_ms is not None else None
    draft = taking_over(book, {PLANE: PlaneTrack(found_generation=40, ended_ms=100, read_back=read)})
    assert adopt_planes(draft) is is_done
    if is_done:
        assert draft.state.steering.generation == 41
        assert entry_of(draft.state).shares_bp == FOUND[WEB]


def test_a_plane_that_carries_the_newest_counts_before_one_that_only_told_of_it() -> None:
    book = Playbook(setup=two_services())
    book.run(5_000)
    other = {WEB: {P: 10_000, G: 0, A: 0}}
    told = PlaneTrack(found_generation=40, read_back=reading(3, shares=other))
    for carrying, telling in ((PLANE, LB), (LB, PLANE)):
        draft = taking_over(book, {carrying: PlaneTrack(read_back=reading(40)), telling: told})
        assert adopt_planes(draft)
        assert draft.state.steering.generation == 40 and entry_of(draft.state).shares_bp == FOUND[WEB]
    old = PlaneTrack(read_back=reading(39, shares=other))
    draft = taking_over(book, {PLANE: old, LB: PlaneTrack(read_back=reading(40))})
    assert adopt_planes(draft) and entry_of(draft.state).shares_bp == FOUND[WEB], "who is behind tells nothing"


def test_a_plane_that_delivers_nothing_tells_nothing(book: Playbook) -> None:
    for shares in ({}, {WEB: {}}, {WEB: {P: 0, G: 0, A: 0}}):
        draft = taking_over(book, {PLANE: PlaneTrack(read_back=reading(40, shares=shares))})
        assert not adopt_planes(draft) and draft.state.steering == book.state.steering


def test_what_is_taken_over_sheds_nothing_and_keeps_what_no_plane_tells() -> None:
    book = Playbook(setup=two_services())
    book.run(5_000)
    before = replace(entry_of(book.state), shares_bp={P: 0, G: 5_000, A: 4_500}, shed_bp=500, shed_at=P, onward_bp={G: 1})
    blog = replace(entry_of(book.state, ServiceId("blog")), shares_bp={P: 1_000, G: 9_000})
    steering = replace(book.state.steering, services=(before, blog))
    draft = taking_over(book, {PLANE: PlaneTrack(read_back=reading(40))}, steering=steering)
    assert adopt_planes(draft)
    after = entry_of(draft.state)
    assert after == replace(before, shares_bp=FOUND[WEB], shed_bp=0, shed_at=None, onward_bp={})
    assert entry_of(draft.state, ServiceId("blog")) == blog


def test_what_is_held_is_told_once_with_what_to_do_and_put_on_record(book: Playbook) -> None:
    adoption = Adoption(
        found=AdoptedFrom.COPY, why="it burnt", since_ms=1, sites=frozenset({(WEB, P)}), members_out=frozenset({S1, M1})
    )
    draft = taking_over(book, {}, adoption=adoption)
    tell_adoption(draft)
    row, told = draft.commands
    assert isinstance(row, Record) and isinstance(told, Tell)
    assert row.kind == "adopted" and row.data == {
        "found": "copy",
        "why": "it burnt",
        "generation": book.state.steering.generation,
        "shares_bp": {WEB: {P: 5_000, G: 3_000, A: 2_000}},
        "members_out": [S1, M1],
    }
    assert (told.severity, told.code) == (AlertSeverity.CRITICAL, FindingCode.HELD_AS_ADOPTED)
    assert told.text.startswith("it burnt. Steering is held as found (copy), cause unknown") and "siteshift ack" in told.text
    assert draft.remembers and draft.state.adoption == replace(adoption, is_told=True)
    for known in (draft.state.adoption, None):
        again = taking_over(book, {}, adoption=known)
        tell_adoption(again)
        assert again.commands == [] and not again.remembers


def test_a_node_that_holds_what_it_found_believes_what_it_sees(book: Playbook) -> None:
    """Holding is about moving: the reports of its vantage count as ever."""
    state = started(book, Past(copy=of_generation(book, 9)))
    again = Playbook(setup=book.setup, state=state, now_ms=LATER_MS, planes=dict(book.planes))
    again.run(5_000)
    assert again.state.reports[NODE].views[again.setup.topology.pools[(WEB, P)].target].standing is UP.standing
    assert again.shares()[P] == 0 and again.violations == []
