"""The running world: places, servers, users, planes and what goes on between them. It decides nothing.

Faults, nodes and pilots (other controllers: the oracle, models of peers) work on it through the methods here. Traffic
flows in ticks: of 100 ms while anything stirs, of a second while all is calm; every change settles the flow up to its
own instant first, so that the length of a tick is not the resolution of a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from siteshift.core.model.codes import MemberRole, StandbyPhase
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId, VantageId
from siteshift.sim.results.record import Line, Truth
from siteshift.sim.world.clients import Population
from siteshift.sim.world.clock import Lots, VirtualClock
from siteshift.sim.world.flow import Flow
from siteshift.sim.world.link import one_exchange
from siteshift.sim.world.network import Net
from siteshift.sim.world.planes import Plane
from siteshift.sim.world.process import NodeProcess
from siteshift.sim.world.servers import HEALTHY, Down, Effect, Server, combined
from siteshift.sim.world.spec import OUTSIDE, WorldSpec
from siteshift.sim.world.standbys import Standbys
from siteshift.sim.world.store import SharedStore

TICK_MS, CALM_TICK_MS = 100, 1_000
STIR_MS = 30_000
"""How long after a change traffic is followed closely."""


class World:
    """Everything outside the nodes. `nodes` are put in by `nodes.cluster`. Mutable; one run, one world."""

    def __init__(self, spec: WorldSpec, *, seed: int, start_ms: int) -> None:
        self.spec = spec
        self.clock = VirtualClock(now_ms=start_ms)
        self.lots = Lots(seed)
        self.net = Net(near_ms=spec.near_ms, far_ms=spec.far_ms, delays_ms=dict(spec.delays_ms))
        self.planes: dict[EnactorId, Plane] = {
            plane.id: Plane(plane, spec.topology, self.lots.of(f"plane/{plane.id}")) for plane in spec.planes
        }
        self.flow = Flow(spec, self.net, self.planes, start_ms)
        self.servers: dict[MemberId, Server] = self.flow.servers
        self.standbys = Standbys(
            clock=self.clock, servers=self.servers, cold_start_ms=spec.standby.cold_start_ms, became=self._standby_became
        )
        self.shared_store = SharedStore(spec.store, self.net, self.lots.of("link/store")) if spec.store is not None else None
        self.nodes: list[NodeProcess] = []
        self.lines: list[Line] = []
        self.facts: list[Line] = []
        self.watchers: list[Callable[[], None]] = []
        """Called after every change of the world (pilots that are informed of everything)."""
        self.dark_sites: list[SiteId] = []
        self._harms: dict[str, tuple[tuple[MemberId, ...], Effect]] = {}
        self._marks: dict[str, int] = {}
        self._stir_until_ms = start_ms + STIR_MS
        self._ticking = 0
        self._next_tick()

    # -- what pilots and nodes do ---------------------------------------------------------------------------------

    def line(self, who: str, kind: str, text: str, data: Mapping[str, object] | None = None) -> None:
        """One line of the transcript."""
        self.lines.append(Line(at_ms=self.clock.now_ms, node=who, kind=kind, text=text, data=data or {}))

    def truth(self, service: ServiceId, site: SiteId) -> Truth:
        """What is true of a pool now, overload apart."""
        others = [other for other in self.spec.topology.site_ids if other != site]
        return Truth(
            good_pm=0 if site in self.dark_sites else self.flow.pool(service, site).truth_pm(),
            reach_pm=self.flow.reach_pm(service, site),
            is_cut_off=bool(others) and not any(self.net.is_open(site, other) for other in others),
        )

    def change_plane(self, change: Callable[[], object]) -> None:
        """Do something that may change what a plane delivers."""
        self.flow.settle(self.clock.now_ms)
        before = sum(plane.changes for plane in self.planes.values())
        change()
        if sum(plane.changes for plane in self.planes.values()) != before:
            self.flow.refresh()
            self._stir()

    def disturb(self) -> None:
        """Something changed: follow closely, look again, wake the probers and tell the watchers."""
        self.prepare()
        self.flow.refresh()
        self._stir()
        for watch in self.watchers:
            watch()

    def prepare(self) -> None:
        """Before a change: bring traffic and probers up to now, under what was true until now."""
        self.flow.settle(self.clock.now_ms)
        for node in self.nodes:
            node.wake_prober()

    def _stir(self) -> None:
        was_stirred = self.is_stirred
        self._stir_until_ms = self.clock.now_ms + STIR_MS
        self._next_tick()
        if not was_stirred:
            for node in self.nodes:
                node.wakes()

    @property
    def is_stirred(self) -> bool:
        """Whether something changed not long ago, or queues and retries are under way."""
        return self.clock.now_ms < self._stir_until_ms or self.flow.is_stirred

    def _next_tick(self) -> None:
        """Plan the next tick anew: ticks are on the grid of their length."""
        self._ticking += 1
        turn = self._ticking
        now_ms = self.clock.now_ms
        length_ms = TICK_MS if self.is_stirred else CALM_TICK_MS
        self.clock.at((now_ms // length_ms + 1) * length_ms, lambda: self._tick(turn))

    def _tick(self, turn: int) -> None:
        if turn != self._ticking:
            return
        was_plain = self.flow.is_plain
        self.flow.settle(self.clock.now_ms)
        if was_plain and not self.flow.is_plain:
            for node in self.nodes:
                node.wake_prober()
                node.wakes()
        self._next_tick()

    @property
    def is_plain(self) -> bool:
        """Whether every probe of an open member passes and nothing is about to change."""
        return not self._harms and self.net.is_whole and self.flow.is_plain and self.standbys.are_settled

    # -- what faults do -------------------------------------------------------------------------------------------

    @property
    def store(self) -> SharedStore:
        """The shared store. Raises LookupError in a world without one."""
        if self.shared_store is None:
            raise LookupError("this world has no shared store: its one node keeps a file of its own")
        return self.shared_store

    def choose(
        self, site: SiteId, service: ServiceId | None, fraction: float, members: Sequence[MemberId]
    ) -> tuple[MemberId, ...]:
        """Members of a site: those named, else the first ones of each pool, standbys too, to the nearest whole number."""
        if members:
            return tuple(members)
        chosen: list[MemberId] = []
        for pool in self.spec.topology.pools.values():
            if pool.site != site or service not in (None, pool.service):
                continue
            for role in MemberRole:
                ids = [member.id for member in pool.members if member.role is role]
                chosen += ids[: int(fraction * len(ids) + 0.5)]
        return tuple(chosen)

    def members_of_services(self, names: Iterable[str], site: SiteId | None) -> tuple[MemberId, ...]:
        """All members of these services, at a site or everywhere. Names that are no service are passed over."""
        wanted = set(names)
        members = self.spec.topology.members.values()
        return tuple(m.id for m in members if m.service in wanted and site in (None, m.site))

    def standbys_at(self, site: SiteId, service: ServiceId | None) -> tuple[MemberId, ...]:
        """Standby members of a site."""
        members = self.spec.topology.members.values()
        return tuple(m.id for m in members if m.role is MemberRole.STANDBY and m.site == site and service in (None, m.service))

    def harm(self, scope: str, members: Sequence[MemberId], effect: Effect) -> None:
        """Lay an effect over members, instead of what the same scope did before."""
        self.prepare()
        before = self._harms.pop(scope, ((), HEALTHY))[0]
        if members and effect != HEALTHY:
            self._harms[scope] = (tuple(members), effect)
        for member in dict.fromkeys((*before, *members)):
            self._recombine(member)
        self.disturb()

    def unharm(self, scope: str) -> None:
        """Take an effect away."""
        if scope in self._harms:
            self.harm(scope, (), HEALTHY)

    def _recombine(self, member: MemberId) -> None:
        server = self.servers[member]
        before = server.condition.down
        effects = [effect for members, effect in self._harms.values() if member in members]
        server.condition = combined(effects) if effects else HEALTHY
        after = server.condition.down
        if after is Down.REFUSED or (before is Down.SILENT and after is None):
            self.flow.drop(server, self.clock.now_ms)

    def _standby_became(self, member: MemberId, phase: StandbyPhase) -> None:
        """A ready standby begins to listen, a cold one stops."""
        self.line("world", "standby", f"{member} {phase.value}")
        self.disturb()
        if phase not in (StandbyPhase.READY, StandbyPhase.COLD):
            return
        self.prepare()
        self.servers[member].is_open = phase is StandbyPhase.READY
        if phase is StandbyPhase.COLD:
            self.flow.drop(self.servers[member], self.clock.now_ms)
        self.disturb()

    def darken(self, site: SiteId) -> None:
        """Nodes, store member and planes of a site go dark (its servers are harmed apart)."""
        if site not in self.dark_sites:
            self.dark_sites.append(site)
        for plane in self.planes.values():
            if plane.spec.place == site:
                plane.is_dark = True
                plane.changes += 1
        if self.shared_store is not None:
            self.shared_store.darken(site)
        for node in self.nodes:
            if node.site == site:
                node.kill()
        self.disturb()

    def relight(self, site: SiteId) -> None:
        """They come back."""
        if site not in self.dark_sites:
            return
        self.dark_sites.remove(site)
        for plane in self.planes.values():
            if plane.spec.place == site:
                plane.is_dark = False
                plane.changes += 1
        if self.shared_store is not None:
            self.shared_store.relight(site)
        for node in self.nodes:
            if node.site == site and node.is_dead:
                node.start_again()
        self.disturb()

    def mark(self, scope: str) -> None:
        """A new turn of something that repeats or waits: the turns before are void."""
        self._marks[scope] = self._marks.get(scope, 0) + 1

    def marked(self, scope: str) -> int:
        """Which turn it is."""
        return self._marks.get(scope, 0)

    def fact(self, kind: str, text: str, data: Mapping[str, object]) -> None:
        """Something that is true of the world, whether or not anybody hears of it."""
        found = Line(at_ms=self.clock.now_ms, node="world", kind="note", text=f"{kind}: {text}", data=data)
        self.facts.append(found)
        self.lines.append(found)

    def populations_of(self, service: ServiceId | None) -> list[Population]:
        """The users of a service, or of all."""
        return [p for p in self.flow.populations if service in (None, p.service.id)]

    def leader(self) -> VantageId | None:
        """The node that holds the term, if one does; of several that believe so, the one the store knows."""
        holders = [node.id for node in self.nodes if not node.is_dead and node.term is not None]
        held = self.shared_store.leadership if self.shared_store is not None else None
        return held.node if held is not None and held.node in holders else next(iter(holders), None)

    def late_by_ms(self, who: str, site: SiteId, place: str, within_ms: int) -> int | None:
        """How much later than usual a place answers somebody at a site, over a connection kept open. None: not in time."""
        if place != OUTSIDE and place in self.dark_sites:
            return None
        return one_exchange(self.lots.of(f"link/{who}"), self.net.loss_pm(site, place), within_ms)

    def passes_in_ms(self, who: str, one: str, other: str, within_ms: int) -> int | None:
        """The same of one way alone."""
        return one_exchange(self.lots.of(f"link/{who}"), self.net.lost_pm(one, other), within_ms)
