"""The whole, driven through its lives: controller and observer, restarted and reloaded to any other setup at any moment.

The world is the playbook's, but what it believes comes from a real observer that probes members second by second. All laws are
on at every step; then everything is healed, and what is left must converge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.playbook import NODE, PLANE, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.decide.occasion import DEADBAND_BP
from siteshift.core.explain import status_document, why_unready
from siteshift.core.judge.vantage import Observer
from siteshift.core.lifecycle.durable import remember, restore
from siteshift.core.messages.events import Reloaded, ReportArrived, StoreChanged
from siteshift.core.messages.requests import DepoolRequest, DrainRequest, LiftRequest, Request, SharesRequest
from siteshift.core.model.codes import EnactOutcome, Fault, MemberRole, Mode, Outcome, StandbyPhase
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, TargetId

BLOG, LB = ServiceId("blog"), EnactorId("lb")
STEP_MS, SECOND_MS = 250, 1_000
CONVERGES_MS = 900_000
NOMINAL = {P: 5000, G: 3000, A: 2000}


@dataclass(frozen=True, slots=True)
class Shape:
    """Which of the things that may be in a file are in it."""

    sites: tuple[SiteId, ...] = (P, G, A)
    has_blog: bool = True
    has_lb: bool = True
    standby_rps: int = 20
    members: int = 4
    mode: Mode = Mode.AUTO


SHAPES = st.builds(
    Shape,
    sites=st.sampled_from([(P, G, A), (P, G, A), (P, G), (G, A), (P, A), (G,)]),
    has_blog=st.booleans(),
    has_lb=st.booleans(),
    standby_rps=st.sampled_from([0, 20]),
    members=st.sampled_from([4, 4, 3]),
    mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.RECOMMEND]),
)


def setup_of(shape: Shape) -> Setup:
    """What a person would have to approve, so large a move, is no matter here: it may be made."""
    base = three_sites(hold_down_ms=2_000, hold_down_max_ms=4_000, soak_ms=500, velocity_bp=10_000, mode=shape.mode)
    services = [_service(WEB, shape)]
    if shape.has_blog:
        services.append(_service(BLOG, shape))
    names = tuple(service.id for service in services)
    planes = [PlaneRef(id=PLANE, services=names, answers_itself=True)]
    if shape.has_lb:
        planes.append(PlaneRef(id=LB, services=(WEB,)))
    topology = Topology(
        sites=tuple(site for site in base.topology.sites if site.id in shape.sites),
        services=tuple(services),
        vantages=tuple(entry for entry in base.topology.vantages if entry[1] in shape.sites),
    )
    return replace(base, topology=topology, planes=tuple(planes), digest=repr(shape))


def _service(name: ServiceId, shape: Shape) -> Service:
    whole = sum(NOMINAL[site] for site in shape.sites)
    pools = []
    for site in shape.sites:
        made = pool(name, site, NOMINAL[site] * 10_000 // whole, 160, shape.standby_rps if site != P else 0)
        active = [m for m in made.members if m.role is MemberRole.ACTIVE][: shape.members]
        rest = [m for m in made.members if m.role is MemberRole.STANDBY]
        pools.append(replace(made, members=(*active, *rest)))
    return Service(id=name, names=(f"{name}.example.test",), tier=1, demand_rps=100, pools=tuple(pools))


@dataclass
class Lived:
    """A playbook whose beliefs are an observer's."""

    shape: Shape
    book: Playbook = field(init=False)
    observer: Observer = field(init=False)
    sick: set[SiteId] = field(default_factory=set)
    boots: int = 0

    def __post_init__(self) -> None:
        self.book = Playbook(setup=setup_of(self.shape))
        self.book.report = self.report  # type: ignore[method-assign]
        self._boot()

    def _boot(self) -> None:
        self.boots += 1
        setup = self.book.setup
        site = setup.topology.site_of_vantage.get(NODE)
        self.observer = Observer(setup.topology, setup.policy.judge, NODE, site, anchors=("a",), boot_id=f"boot-{self.boots}")

    def report(self) -> None:
        now_ms = self.book.now_ms
        self.book.feed(ReportArrived(at_ms=now_ms, report=self.observer.report(now_ms)))

    def run(self, for_ms: int, step_ms: int = STEP_MS) -> None:
        """Every member is checked once a second: in its quarter of it, or in long steps all at once."""
        end_ms = self.book.now_ms + for_ms
        while self.book.now_ms < end_ms:
            now_ms = self.book.now_ms + step_ms
            self.observer.anchor("a", Outcome.PASS, now_ms, now_ms)
            changed = False
            for place, member in enumerate(self.book.setup.topology.members.values()):
                if step_ms >= SECOND_MS or (now_ms // STEP_MS + place) % 4 == 0:
                    changed |= self._check(member.id, member.target, member.site, member.role, now_ms)
            changed |= self.observer.tick(now_ms)
            self.book.run(step_ms, tick_ms=step_ms)
            if changed:
                self.report()

    def _check(self, name: MemberId, target: TargetId, site: SiteId, role: MemberRole, now_ms: int) -> bool:
        is_open = role is MemberRole.ACTIVE or self.book.state.standby(name).phase in (
            StandbyPhase.READY,
            StandbyPhase.PROVEN,
        )
        if is_open and site not in self.sick:
            return self.observer.result(target, Outcome.PASS, Fault.NONE, 10_000, now_ms, now_ms - 10)
        return self.observer.result(target, Outcome.FAIL, Fault.REFUSED, 0, now_ms, now_ms - 1)

    def restart(self) -> None:
        self.book.state = restore(json.loads(json.dumps(remember(self.book.state))), now_ms=self.book.now_ms)
        self._boot()

    def reload(self, shape: Shape) -> None:
        before = self.book.setup
        self.shape, self.book.setup = shape, setup_of(shape)
        setup = self.book.setup
        site = setup.topology.site_of_vantage.get(NODE)
        new = setup.topology.targets.keys() - before.topology.targets.keys()
        self.observer.refit(setup.topology, setup.policy.judge, site, anchors=("a",), changed=new)
        self.book.feed(Reloaded(at_ms=self.book.now_ms, digest=setup.digest))


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
    st.tuples(st.just("run"), st.sampled_from([250, 1_000, 4_000])),
    st.tuples(st.just("reload"), SHAPES),
    st.tuples(st.just("reload"), SHAPES),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("die"), st.sampled_from([P, G, A])),
    st.tuples(st.just("heal"), st.sampled_from([P, G, A])),
    st.tuples(st.just("ask"), REQUESTS),
    st.tuples(st.just("plane"), st.sampled_from(list(EnactOutcome))),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("demand"), st.sampled_from([50, 100, 300])),
)


def play(lived: Lived, kind: str, detail: object) -> None:
    book = lived.book
    match kind, detail:
        case "run", int(for_ms):
            lived.run(for_ms)
        case "reload", Shape() as shape:
            lived.reload(shape)
        case "restart", _:
            lived.restart()
        case "die", str(site):
            lived.sick.add(SiteId(site))
        case "heal", str(site):
            lived.sick.discard(SiteId(site))
        case "ask", request:
            answer = book.ask(request)  # type: ignore[arg-type]
            if answer.plans:
                book.ask(request, digest=answer.plans[0].digest)  # type: ignore[arg-type]
        case "plane", EnactOutcome() as outcome:
            book.plane_outcome = outcome
        case "store", bool(is_usable):
            book.feed(StoreChanged(at_ms=book.now_ms, is_usable=is_usable))
        case "demand", int(rps):
            book.demand_rps = rps


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=SHAPES, story=st.lists(STEPS, min_size=2, max_size=8))
def test_no_life_breaks_a_law_and_a_healed_one_converges(shape: Shape, story: list[tuple[str, object]]) -> None:
    """Restarts and reloads at any moment: no exception, no law broken, and nominal shares of the last file in the end."""
    lived = Lived(shape)
    book = lived.book
    lived.run(5_000)
    for kind, detail in story:
        play(lived, kind, detail)
        status_document(book.state, book.setup, book.now_ms)
        assert book.violations == [], (kind, detail)
    lived.sick.clear()
    book.plane_outcome, book.demand_rps = EnactOutcome.APPLIED, 100
    book.feed(StoreChanged(at_ms=book.now_ms, is_usable=True))
    lived.reload(replace(lived.shape, mode=Mode.AUTO))
    lived.run(5_000)
    assert why_unready(book.state, book.setup, book.now_ms) == ()
    for override in book.state.overrides:
        book.ask(LiftRequest(override=override.id))
    lived.run(CONVERGES_MS, step_ms=SECOND_MS)
    assert book.violations == []
    for service in book.setup.topology.services:
        wanted = {found.site: found.nominal_bp for found in service.pools}
        away = {site: abs(book.shares(service.id)[site] - bp) for site, bp in wanted.items()}
        assert max(away.values()) <= DEADBAND_BP, (service.id, book.shares(service.id))


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
