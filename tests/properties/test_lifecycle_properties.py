"""The whole, driven through its lives: restarted, reloaded, robbed of its memory, its clock set, at any moment and together.

All laws are on at every step; then everything is healed, and what is left must converge.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.playbook import WEB, A, G, P
from properties.lived import DAY_MS, DEATHS, SECOND_MS, SHAPES, STEP_MS, Death, Lived, Shape
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.explain import status_document, why_unready
from siteshift.core.messages.events import StoreChanged
from siteshift.core.messages.requests import AckRequest, DepoolRequest, DrainRequest, LiftRequest, Request, SharesRequest
from siteshift.core.model.codes import EnactOutcome, Mode
from siteshift.core.model.units import MemberId, SiteId

CONVERGES_MS = 900_000

REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(DrainRequest, site=st.sampled_from([P, G])),
    st.builds(DepoolRequest, member=st.just(MemberId("web/gasan/m1"))),
    st.builds(
        SharesRequest,
        service=st.just(WEB),
        shares_bp=st.sampled_from([{P: 4000, G: 3500, A: 2500}, {G: 6000, A: 4000}]),
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([250, 1_000, 4_000, 20_000])),
    st.tuples(st.just("reload"), SHAPES),
    st.tuples(st.just("reload"), SHAPES),
    st.tuples(st.just("restart"), DEATHS),
    st.tuples(st.just("restart"), DEATHS),
    st.tuples(st.just("restart under another file"), st.tuples(DEATHS, SHAPES)),
    st.tuples(st.just("die"), st.sampled_from([P, G, A])),
    st.tuples(st.just("heal"), st.sampled_from([P, G, A])),
    st.tuples(st.just("blind"), st.booleans()),
    st.tuples(st.just("ask"), REQUESTS),
    st.tuples(st.just("plane"), st.sampled_from(list(EnactOutcome))),
    st.tuples(st.just("ahead"), st.sampled_from([{P: 0, G: 6000, A: 4000}, {P: 5000, G: 5000, A: 0}, {G: 10_000, A: 0}])),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("standby works"), st.booleans()),
    st.tuples(st.just("clock"), st.sampled_from([DAY_MS, -DAY_MS])),
    st.tuples(st.just("demand"), st.sampled_from([50, 100, 300])),
)


def play(lived: Lived, kind: str, detail: object) -> None:
    book = lived.book
    match kind, detail:
        case "run", int(for_ms):
            lived.run(for_ms)
        case "reload", Shape() as shape:
            lived.reload(shape)
        case "restart", Death() as death:
            lived.restart(death)
        case "restart under another file", (Death() as death, Shape() as shape):
            lived.restart(death, shape)
        case "die", str(site):
            lived.sick.add(SiteId(site))
        case "heal", str(site):
            lived.sick.discard(SiteId(site))
        case "blind", bool(is_blind):
            lived.is_blind = is_blind
        case "ask", request:
            answer = book.ask(request)  # type: ignore[arg-type]
            if answer.plans:
                book.ask(request, digest=answer.plans[0].digest)  # type: ignore[arg-type]
        case "plane", EnactOutcome() as outcome:
            book.plane_outcome = outcome
        case "ahead", dict() as shares_bp:
            lived.put_ahead(3, shares_bp)
        case "store", bool(is_usable):
            book.feed(StoreChanged(at_ms=book.now_ms, is_usable=is_usable))
        case "standby works", bool(works):
            book.standby_works = works
        case "clock", int(by_ms):
            lived.wall_ahead_ms += by_ms
        case "demand", int(rps):
            book.demand_rps = rps


def heal(lived: Lived) -> None:
    """All is well again, the last file is in force with automatic acting, and nobody forces or holds anything."""
    book = lived.book
    lived.sick.clear()
    lived.is_blind = False
    book.plane_outcome, book.demand_rps, book.standby_works = EnactOutcome.APPLIED, 100, True
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
    lived.reload(replace(lived.shape, mode=Mode.AUTO))
    lived.run(5_000)
    assert why_unready(book.state, book.setup, book.now_ms) == ()
    for override in book.state.overrides:
        book.ask(LiftRequest(override=override.id))
    lived.run(book.setup.policy.read_back_every_ms + 2_000)
    if book.state.adoption is not None:  # what was found and not remembered returns when a person has looked
        book.ask(AckRequest())


def assert_converged(lived: Lived) -> None:
    book = lived.book
    assert book.violations == []
    for service in book.setup.topology.services:
        wanted = {found.site: found.nominal_bp for found in service.pools}
        away = {site: abs(book.shares(service.id)[site] - bp) for site, bp in wanted.items()}
        assert max(away.values()) <= DEADBAND_BP, (service.id, book.shares(service.id))
    for plane in book.setup.planes:
        carried = book.planes[plane.id]
        assert carried is not None and carried.generation == book.state.steering.generation, plane.id


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=SHAPES, story=st.lists(STEPS, min_size=2, max_size=8))
def test_no_life_breaks_a_law_and_a_healed_one_converges(shape: Shape, story: list[tuple[str, object]]) -> None:
    """No exception, no law broken, and nominal shares of the last file in the end, on every plane."""
    lived = Lived(shape)
    book = lived.book
    lived.run(5_000)
    for kind, detail in story:
        play(lived, kind, detail)
        status_document(book.state, book.setup, book.now_ms)
        assert book.violations == [], (kind, detail)
        assert lived.returned == [], "what was found left returns when a person has looked, and not before"
    heal(lived)
    lived.run(CONVERGES_MS, step_ms=SECOND_MS)
    assert_converged(lived)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at_ms=st.integers(min_value=0, max_value=12).map(lambda quarter: quarter * STEP_MS), site=st.sampled_from([P, G, A]))
def test_a_reload_costs_no_second_of_a_failover(at_ms: int, site: SiteId) -> None:
    """Whenever the same file is read again around a site's death, it is left at the very instant it would have been."""
    left: list[int | None] = []
    for reloads in (False, True):
        lived = Lived(Shape())
        lived.run(6_000)
        lived.sick.add(site)
        found: int | None = None
        for now_ms in range(0, 8_000, STEP_MS):
            if reloads and now_ms == at_ms:
                lived.reload(lived.shape)
            lived.run(STEP_MS)
            if found is None and lived.book.shares().get(site) == 0:
                found = now_ms
        assert lived.book.violations == []
        left.append(found)
    assert left[0] is not None
    assert left[1] == left[0]
