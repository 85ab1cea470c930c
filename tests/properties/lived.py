"""A node's whole life in virtual time: core and observer, a disk that may be lost, a clock that may be set, any setup.

The world is the playbook's, but what it believes comes from a real observer that probes members second by second, and what a
life knows of the ones before comes the way the daemon has it: from `lifecycle.start`, out of what is on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hypothesis import strategies as st

from core.playbook import NODE, PLANE, WEB, A, G, P, Playbook, pool, three_sites
from siteshift.core.judge.vantage import Observer
from siteshift.core.lifecycle.durable import remember
from siteshift.core.lifecycle.instants import ClockNote, ClockReading, time_at_start
from siteshift.core.lifecycle.start import Past, is_reload_due, start
from siteshift.core.messages.commands import Record, Remember
from siteshift.core.messages.events import Event, Reloaded, ReportArrived, Ticked
from siteshift.core.model.codes import Fault, LeftBecause, MemberRole, Mode, Outcome, StandbyPhase
from siteshift.core.model.setup import PlaneRef, Setup
from siteshift.core.model.steering import Steering
from siteshift.core.model.topology import Service, Topology
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, TargetId
from siteshift.core.state.controller_state import ControllerState, initial_state

BLOG, LB = ServiceId("blog"), EnactorId("lb")
STEP_MS, SECOND_MS, DAY_MS = 250, 1_000, 86_400_000
BEGAN_MS = 1_780_000_000_000
"""On the wall clock, when the first life begins: long after 1970, as in life."""
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


class Found(StrEnum):
    """What a starting node finds of its past."""

    WHOLE = "all of it"
    OLD = "a backup of the store that was put back, with the newer second copy beside it"
    OLD_ALONE = "a backup of the store that was put back, and nothing else"
    COPY = "the second copy alone"
    JOURNAL = "a journal, but a state that cannot be read and no copy"
    LOST = "nothing, and it knows that there was something"
    NEVER = "nothing, as if no node had run here"


@dataclass(frozen=True, slots=True)
class Death:
    """How a life ends and what the next one finds.

    ``clock_ms`` is what the wall clock was set by meanwhile, ``away_ms`` how long nothing ran; ``is_reboot``: the machine was
    started anew, so its boot clock tells nothing.
    """

    found: Found = Found.WHOLE
    clock_ms: int = 0
    away_ms: int = 0
    is_reboot: bool = False


DEATHS = st.builds(
    Death,
    found=st.sampled_from([Found.WHOLE, Found.WHOLE, Found.WHOLE, *Found]),
    clock_ms=st.sampled_from([0, 0, DAY_MS, -DAY_MS]),
    away_ms=st.sampled_from([0, 2_000, 600_000]),
    is_reboot=st.booleans(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The database: the state with the clocks at that time, and the end of the journal. Written and lost together."""

    document: dict[str, object] | None = None
    note: ClockNote | None = None
    latest_ms: int = 0
    generation: int = 0


@dataclass
class Disk:
    """What is durable: the database as it is and as it was after each write, and the second copy beside it."""

    store: Store = Store()
    copy: Steering | None = None
    backups: list[Store] = field(default_factory=list)


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
    """A playbook whose beliefs are an observer's, and whose past is a disk's."""

    shape: Shape
    book: Playbook = field(init=False)
    observer: Observer = field(init=False)
    disk: Disk = field(default_factory=Disk)
    sick: set[SiteId] = field(default_factory=set)
    is_blind: bool = False
    returned: list[tuple[ServiceId, SiteId]] = field(default_factory=list)
    lives: int = 0
    boots: int = 1
    boot_ms: int = 0
    """The boot clock: what really passed. The book's own clock is siteshift time."""
    wall_ahead_ms: int = BEGAN_MS
    """Of the boot clock."""

    def __post_init__(self) -> None:
        self.book = Playbook(setup=setup_of(self.shape), state=initial_state(now_ms=BEGAN_MS), now_ms=BEGAN_MS)
        self.book.report = self.report  # type: ignore[method-assign]
        self._feed, self.book.feed = self.book.feed, self.feed  # type: ignore[method-assign]
        self._new_observer()

    def _new_observer(self) -> None:
        self.lives += 1
        setup = self.book.setup
        site = setup.topology.site_of_vantage.get(NODE)
        self.observer = Observer(setup.topology, setup.policy.judge, NODE, site, anchors=("a",), boot_id=f"life-{self.lives}")

    # -- while it runs --------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """One event; what is to be remembered is on the disk before anything acts on it."""
        book, before, count = self.book, self.book.state, len(self.book.commands)
        self._feed(event)
        self.returned += self._returned(before)
        made = book.commands[count:]
        rows = [command for command in made if isinstance(command, Record)]
        must_save = any(isinstance(command, Remember) for command in made)
        if not book.state.is_store_usable or not (rows or must_save):
            return
        store, disk = replace(self.disk.store, latest_ms=book.now_ms), self.disk
        for row in rows:
            if row.kind == "decision":
                store = replace(store, generation=int(str(row.data["generation"])))
        if must_save:
            note = ClockNote(at_ms=book.now_ms, boot_id=str(self.boots), boot_ms=self.boot_ms)
            store = replace(store, document=json.loads(json.dumps(remember(book.state))), note=note)
            if book.state.steering.generation:
                disk.copy = book.state.steering
        disk.store = store
        disk.backups.append(store)

    def _returned(self, before: ControllerState) -> list[tuple[ServiceId, SiteId]]:
        """Where traffic came back, in this step, to a site that was found left and that nobody has looked at yet."""
        after = self.book.state
        if before.adoption is None or after.adoption is None or before.adoption.since_ms != after.adoption.since_ms:
            return []
        return [
            (name, site)
            for name, site in sorted(before.adoption.sites & after.adoption.sites)
            if before.track(name, site).left_because is LeftBecause.UNKNOWN
            and (was := before.steering.of(name)) is not None
            and (now := after.steering.of(name)) is not None
            and now.brings_bp(site) > was.brings_bp(site)
        ]

    def report(self) -> None:
        now_ms = self.book.now_ms
        self.book.feed(ReportArrived(at_ms=now_ms, report=self.observer.report(now_ms)))

    def run(self, for_ms: int, step_ms: int = STEP_MS) -> None:
        """Every member is checked once a second: in its quarter of it, or in long steps all at once."""
        end_ms = self.book.now_ms + for_ms
        while self.book.now_ms < end_ms:
            now_ms = self.book.now_ms + step_ms
            self.boot_ms += step_ms
            self.observer.anchor("a", Outcome.FAIL if self.is_blind else Outcome.PASS, now_ms, now_ms)
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
        if is_open and site not in self.sick and not self.is_blind:
            return self.observer.result(target, Outcome.PASS, Fault.NONE, 10_000, now_ms, now_ms - 10)
        fault = Fault.TIMEOUT if self.is_blind else Fault.REFUSED
        return self.observer.result(target, Outcome.FAIL, fault, 0, now_ms, now_ms - 1)

    def reload(self, shape: Shape) -> None:
        before = self.book.setup
        self.shape, self.book.setup = shape, setup_of(shape)
        setup = self.book.setup
        site = setup.topology.site_of_vantage.get(NODE)
        new = setup.topology.targets.keys() - before.topology.targets.keys()
        self.observer.refit(setup.topology, setup.policy.judge, site, anchors=("a",), changed=new)
        self.book.feed(Reloaded(at_ms=self.book.now_ms, digest=setup.digest))

    def put_ahead(self, by: int, shares_bp: Mapping[SiteId, int]) -> None:
        """The planes carry what a later life of this node wrote, and nothing here remembers."""
        book = self.book
        for name, steering in book.planes.items():
            if steering is None:
                continue
            services = tuple(
                replace(entry, shares_bp=dict(shares_bp), shed_bp=0, shed_at=None, onward_bp={})
                if entry.shares_bp.keys() == shares_bp.keys()
                else entry
                for entry in steering.services
            )
            generation = max(book.state.steering.generation, steering.generation) + by
            book.planes[name] = replace(steering, generation=generation, services=services)

    # -- from life to life ----------------------------------------------------------------------------------------

    def restart(self, death: Death = Death(), shape: Shape | None = None) -> None:
        """Die now and start again, perhaps under another file. What was under way never ends; the embedded DNS forgets."""
        book = self.book
        self.boot_ms += death.away_ms
        self.wall_ahead_ms += death.clock_ms
        self.boots += death.is_reboot
        if shape is not None:
            self.shape, book.setup = shape, setup_of(shape)
        past = self._find(death.found)
        reading = ClockReading(wall_ms=self.boot_ms + self.wall_ahead_ms, boot_id=str(self.boots), boot_ms=self.boot_ms)
        time = time_at_start(self.disk.store.note, self.disk.store.latest_ms, reading)
        book.now_ms = time.now_ms
        book.forget_what_is_under_way()
        for plane in book.setup.planes:
            if plane.answers_itself:
                book.planes.pop(plane.id, None)
        book.state = start(replace(past, shift_ms=time.shift_ms), book.setup, now_ms=time.now_ms)
        self._new_observer()
        first = Reloaded if is_reload_due(book.state, book.setup) else None
        now_ms = book.now_ms
        book.feed(first(at_ms=now_ms, digest=book.setup.digest) if first is not None else Ticked(at_ms=now_ms))

    def _find(self, found: Found) -> Past:
        """The past. What was lost is lost for later lives too."""
        disk = self.disk
        match found:
            case Found.OLD | Found.OLD_ALONE if disk.backups:
                disk.store = disk.backups[len(disk.backups) // 2]
            case Found.COPY | Found.LOST | Found.NEVER:
                disk.store, disk.backups = Store(), []
            case Found.JOURNAL:
                disk.store, disk.backups = replace(disk.store, document=None), []
            case _:
                pass
        if found in (Found.OLD_ALONE, Found.JOURNAL, Found.LOST, Found.NEVER):
            disk.copy = None
        is_told = found in (Found.COPY, Found.JOURNAL, Found.LOST)
        return Past(
            document=disk.store.document,
            copy=disk.copy,
            lost="the store is gone: it was there when a node ran here before" if is_told else "",
            recorded_generation=disk.store.generation,
        )
