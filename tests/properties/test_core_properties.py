"""Any events, in any order, cut off anywhere: no law breaks, nothing raises, and what is durable comes back the same.

Hypothesis draws worlds, events and misbehaviour; a failing case shrinks to the shortest story that breaks a law.
"""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.playbook import DOWN, NODE, PLANE, SICK, SUSPECT, UNKNOWN, UP, WEB, A, G, P, Playbook, digest_of, three_sites
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.lifecycle.durable import remember, restore
from siteshift.core.messages.events import (
    EnactFinished,
    Event,
    ReadBackArrived,
    ReadBackFailed,
    Reloaded,
    StandbyReported,
    StoreChanged,
    TermChanged,
    Ticked,
)
from siteshift.core.messages.requests import (
    AckRequest,
    DepoolRequest,
    DrainRequest,
    FreezeRequest,
    LiftRequest,
    ModeRequest,
    PoolRequest,
    Request,
    SharesRequest,
    SwitchOffRequest,
    SwitchOnRequest,
    UndrainRequest,
)
from siteshift.core.model.codes import EnactOutcome, Failback, Mode, StandbyPhase
from siteshift.core.model.evidence import SelfCheck
from siteshift.core.model.steering import Drift, EnactResult
from siteshift.core.model.units import MemberId
from siteshift.core.state.codec import from_document, to_document

SITES = st.sampled_from([P, G, A])
VIEWS = st.sampled_from([UP, UP, UP, DOWN, SICK, SUSPECT, UNKNOWN])
MEMBERS = st.sampled_from([MemberId(f"web/{site}/{name}") for site in (P, G, A) for name in ("m1", "m2", "s1")][:8])

REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(DrainRequest, site=SITES),
    st.builds(UndrainRequest, site=SITES),
    st.builds(AckRequest, site=SITES),
    st.builds(DepoolRequest, member=st.just(MemberId("web/gasan/m1"))),
    st.builds(PoolRequest, member=st.just(MemberId("web/gasan/m1"))),
    st.builds(FreezeRequest),
    st.builds(ModeRequest, service=st.just(WEB), mode=st.sampled_from(list(Mode))),
    st.builds(LiftRequest, override=st.sampled_from(["o1", "o2", "o3"])),
    st.builds(SwitchOffRequest),
    st.builds(SwitchOnRequest),
    st.builds(
        SharesRequest,
        service=st.just(WEB),
        shares_bp=st.sampled_from([{P: 10_000, G: 0, A: 0}, {P: 3400, G: 3300, A: 3300}, {P: 0, G: 5000, A: 5000}]),
    ),
)


KINDS = [
    *("believe", "believe", "believe", "run", "run", "ask", "outcome", "result", "read", "drift", "unread"),
    *("standby", "store", "term", "blind", "reload", "restart", "demand", "standby_works"),
]
"""What may happen; what is named more often happens more often."""


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, object]:
    """One thing that happens."""
    kind = draw(
        st.sampled_from(KINDS)
    )
    match kind:
        case "believe":
            return kind, (draw(SITES), draw(VIEWS))
        case "run":
            return kind, draw(st.sampled_from([100, 700, 3_000, 20_000, 400_000]))
        case "ask":
            return kind, (draw(REQUESTS), draw(st.booleans()))
        case "outcome" | "result":
            return kind, draw(st.sampled_from(list(EnactOutcome)))
        case "read":
            return kind, draw(st.sampled_from([None, 0, 1, 5, 1_000]))
        case "standby":
            return kind, (draw(MEMBERS), draw(st.sampled_from(list(StandbyPhase))))
        case "store" | "blind" | "standby_works":
            return kind, draw(st.booleans())
        case "term":
            return kind, draw(st.sampled_from([None, 1, 2]))
        case "demand":
            return kind, draw(st.sampled_from([0, 50, 100, 130, 600]))
        case _:
            return kind, None


def play(book: Playbook, kind: str, detail: object) -> None:
    """Do one thing to the world."""
    now_ms = book.now_ms
    match kind:
        case "believe":
            book.believe(*detail)  # type: ignore[misc]
            book.report()
        case "run":
            book.run(int(str(detail)), tick_ms=100 if int(str(detail)) < 5_000 else 1_000)
        case "ask":
            request, binds = detail  # type: ignore[misc]
            answer = book.ask(request)
            if binds and answer.plans:
                book.ask(request, digest=digest_of(answer))
        case "outcome":
            book.plane_outcome = EnactOutcome(str(detail))
        case "result":
            result = EnactResult(
                enactor=PLANE,
                generation=book.state.steering.generation,
                outcome=EnactOutcome(str(detail)),
                at_ms=now_ms,
            )
            book.feed(EnactFinished(at_ms=now_ms, result=result))
        case "read":
            reading = replace(book.reading(PLANE), generation=detail)  # type: ignore[arg-type]
            book.feed(ReadBackArrived(at_ms=now_ms, read_back=reading))
        case "drift":
            drift = Drift(enactor=PLANE, what="web", wanted="1", found="2", ours=True)
            book.feed(ReadBackArrived(at_ms=now_ms, read_back=replace(book.reading(PLANE), drifts=(drift,))))
        case "unread":
            book.feed(ReadBackFailed(at_ms=now_ms, enactor=PLANE, detail="gone"))
        case "standby":
            member, phase = detail  # type: ignore[misc]
            book.feed(StandbyReported(at_ms=now_ms, member=member, phase=phase))
        case "store":
            book.feed(StoreChanged(at_ms=now_ms, is_usable=bool(detail)))
        case "term":
            book.feed(TermChanged(at_ms=now_ms, term=detail))  # type: ignore[arg-type]
        case "blind":
            book.self_check = SelfCheck(anchors_ok=0 if detail else 2, anchors_total=2)
            book.report()
        case "reload":
            book.feed(Reloaded(at_ms=now_ms, digest=book.setup.digest))
        case "restart":
            book.state = restore(json.loads(json.dumps(remember(book.state))), now_ms=now_ms)
        case "demand":
            book.demand_rps = int(str(detail))
        case "standby_works":
            book.standby_works = bool(detail)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=st.lists(steps(), min_size=1, max_size=14),
    failback=st.sampled_from(list(Failback)),
    mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.RECOMMEND, Mode.OBSERVE]),
)
def test_no_story_breaks_a_law(story: list[tuple[str, object]], failback: Failback, mode: Mode) -> None:
    book = Playbook(setup=three_sites(failback=failback, mode=mode, hold_down_ms=5_000, soak_ms=1_000))
    book.run(4_000, tick_ms=500)
    for kind, detail in story:
        play(book, kind, detail)
        assert book.violations == [], (kind, detail, book.violations)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.lists(steps(), min_size=1, max_size=8))
def test_a_healed_world_converges(story: list[tuple[str, object]]) -> None:
    """Safety, then liveness: whatever happened, once all is well and nobody forces anything, nominal shares return."""
    book = Playbook(setup=three_sites(hold_down_ms=2_000, hold_down_max_ms=4_000, soak_ms=500))
    book.run(4_000, tick_ms=500)
    for kind, detail in story:
        play(book, kind, detail)
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
    book.feed(TermChanged(at_ms=book.now_ms, term=3))
    book.ask(SwitchOnRequest())
    book.plane_outcome, book.standby_works, book.demand_rps = EnactOutcome.APPLIED, True, 100
    book.self_check = SelfCheck(anchors_ok=2, anchors_total=2)
    for site in (P, G, A):
        book.believe(site, UP)
    book.run(5_000, tick_ms=500)
    for override in book.state.overrides:
        book.ask(LiftRequest(override=override.id))
    assert book.state.overrides == ()
    if book.state.adoption is not None:
        book.ask(AckRequest())  # what was found on a plane and not remembered returns when a person has looked
    book.run(1_500_000, tick_ms=500)
    assert book.violations == []
    away = {site: abs(book.shares()[site] - nominal) for site, nominal in ((P, 5000), (G, 3000), (A, 2000))}
    assert max(away.values()) <= DEADBAND_BP, book.shares()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.lists(steps(), min_size=1, max_size=8))
def test_what_is_durable_comes_back_the_same(story: list[tuple[str, object]]) -> None:
    book = Playbook(setup=three_sites(hold_down_ms=5_000, soak_ms=1_000))
    book.run(4_000, tick_ms=500)
    for kind, detail in story:
        play(book, kind, detail)
    again = restore(json.loads(json.dumps(remember(book.state))), now_ms=book.now_ms)
    assert again.overrides == book.state.overrides
    assert again.steering == book.state.steering
    assert again.tracks == book.state.tracks
    assert again.transitions == book.state.transitions
    assert not again.is_fresh


def test_every_kind_of_event_survives_the_record() -> None:
    """What the journal keeps of an input is the input."""
    book = Playbook()
    heard: list[Event] = []
    feed = book.feed

    def listening(event: Event) -> None:
        heard.append(event)
        feed(event)

    book.feed = listening  # type: ignore[method-assign]
    book.run(4_000)
    book.ask(DrainRequest(site=P))
    book.run(20_000)
    book.feed(Ticked(at_ms=book.now_ms))
    for event in heard:
        assert from_document(Event, json.loads(json.dumps(to_document(event)))) == event  # type: ignore[arg-type]
    assert NODE in book.state.reports
