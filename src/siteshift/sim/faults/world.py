"""Faults that befall sites, members, users and links. Each is frozen data with `apply` and `heal` on the world.

A fault of the same kind and scope replaces the one before (crash 0.3, then crash 0.8 of a site: 0.8 is down; crash 0.0
restores all). Faults of different kinds lie over each other. ``site`` with ``service`` None means all services there;
``members`` names single members (``service/site/name``) instead of a ``fraction`` of each pool, which takes the first ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.sim.world.servers import Down, Effect
from siteshift.sim.world.world import World


class WorldFault(Protocol):
    """Something that can go wrong in the world itself.

    ``sites`` are those it truly harms (none: no site is to be left for it).
    """

    @property
    def kind(self) -> str: ...

    @property
    def sites(self) -> tuple[SiteId, ...]: ...

    def apply(self, world: World) -> None:
        """Make it so."""

    def heal(self, world: World) -> None:
        """Undo it. What it caused meanwhile (queues, states of nodes) stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AtMembers(ABC):
    """What all faults of members share."""

    kind: ClassVar[str] = ""
    site: SiteId
    service: ServiceId | None = None
    fraction: float = 1.0
    members: tuple[MemberId, ...] = ()

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return (self.site,) if self.fraction > 0 else ()

    @property
    def scope(self) -> str:
        return f"{self.kind}/{self.site}/{self.service or '*'}/{','.join(self.members)}"

    @abstractmethod
    def effect(self) -> Effect:
        """What it does to each member it hits."""

    def apply(self, world: World) -> None:
        hit = world.choose(self.site, self.service, self.fraction, self.members)
        world.harm(self.scope, hit, self.effect())

    def heal(self, world: World) -> None:
        world.unharm(self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(_AtMembers):
    """The servers stop: connections are refused at once (``REFUSED``), or nothing answers any more (``SILENT``: power, fire)."""

    kind: ClassVar[str] = "crash"
    how: Down = Down.REFUSED

    def effect(self) -> Effect:
        return Effect(down=self.how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(_AtMembers):
    """The servers accept connections and never answer (a stopped process, a dead-locked one)."""

    kind: ClassVar[str] = "hang"

    def effect(self) -> Effect:
        return Effect(down=Down.HANG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(_AtMembers):
    """Answers come ``add_ms`` later, without using capacity (a slow backend); ``part_pm`` of them do."""

    kind: ClassVar[str] = "latency"
    add_ms: int
    part_pm: int = 1_000

    def effect(self) -> Effect:
        return Effect(add_ms=self.add_ms, add_part_pm=self.part_pm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors(_AtMembers):
    """``rate_pm`` of answers are errors. Fast ones use no capacity (they look like spare room); slow ones use it all.

    ``probes_see_pm``: how much of the rate the probes see (a feature the journey does not cover: 0). ``feature`` names it.
    """

    kind: ClassVar[str] = "errors"
    rate_pm: int
    are_fast: bool = True
    feature: str = ""
    probes_see_pm: int = 1_000

    def effect(self) -> Effect:
        seen = self.rate_pm * self.probes_see_pm // 1_000
        return Effect(error_pm=self.rate_pm, probe_error_pm=seen, error_cost_pm=0 if self.are_fast else 1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLie(_AtMembers):
    """Health checks pass while users' requests fail: ``rate_pm`` of them."""

    kind: ClassVar[str] = "probe_lie"
    rate_pm: int = 1_000

    def effect(self) -> Effect:
        return Effect(error_pm=self.rate_pm, probe_error_pm=0, error_cost_pm=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFails(_AtMembers):
    """The reverse of a lie: health checks fail (``rate_pm``) while users are served well."""

    kind: ClassVar[str] = "check_fails"
    rate_pm: int = 1_000

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return ()

    def effect(self) -> Effect:
        return Effect(probe_error_pm=self.rate_pm)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapCut(_AtMembers):
    """Capacity falls to ``factor_pm`` (cooling, power, a bad release)."""

    kind: ClassVar[str] = "cap_cut"
    factor_pm: int

    def effect(self) -> Effect:
        return Effect(capacity_pm=self.factor_pm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flap(_AtMembers):
    """Members crash and come back in turn, beginning with the crash, until healed."""

    kind: ClassVar[str] = "flap"
    down_ms: int = 10_000
    up_ms: int = 20_000

    def effect(self) -> Effect:
        return Effect(down=Down.REFUSED)

    def apply(self, world: World) -> None:
        world.mark(self.scope)
        self._turn(world, world.marked(self.scope))

    def heal(self, world: World) -> None:
        world.mark(self.scope)
        world.unharm(self.scope)

    def _turn(self, world: World, mark: int) -> None:
        if world.marked(self.scope) != mark:
            return
        hit = world.choose(self.site, self.service, self.fraction, self.members)
        world.harm(self.scope, hit, self.effect())
        world.clock.after(self.down_ms, self._guarded(world, mark, lambda: world.unharm(self.scope)))
        world.clock.after(self.down_ms + self.up_ms, lambda: self._turn(world, mark))

    def _guarded(self, world: World, mark: int, do: Callable[[], None]) -> Callable[[], None]:
        return lambda: do() if world.marked(self.scope) == mark else None


class Hazard(StrEnum):
    """What threatens a building."""

    FIRE = "fire"
    THERMAL = "thermal"
    POWER = "power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """A facility signal: a fact at once, and its consequence after ``lead_ms`` (None: none by itself).

    Power, fire: everything at the site goes silent (servers, nodes, store member, data planes). Thermal: half the capacity.
    """

    kind: ClassVar[str] = "facility"
    site: SiteId
    hazard: Hazard
    lead_ms: int | None = None
    is_signalled: bool = True

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return (self.site,) if self.lead_ms is not None else ()

    @property
    def scope(self) -> str:
        return f"{self.kind}/{self.site}/{self.hazard}"

    def apply(self, world: World) -> None:
        world.mark(self.scope)
        mark = world.marked(self.scope)
        world.fact("facility", f"{self.hazard} at {self.site}", {"signalled": self.is_signalled, "lead_ms": self.lead_ms})
        if self.lead_ms is not None:
            world.clock.after(self.lead_ms, lambda: self._strike(world) if world.marked(self.scope) == mark else None)

    def _strike(self, world: World) -> None:
        hit = world.choose(self.site, None, 1.0, ())
        if self.hazard is Hazard.THERMAL:
            world.harm(self.scope, hit, Effect(capacity_pm=500))
            return
        world.harm(self.scope, hit, Effect(down=Down.SILENT))
        world.darken(self.site)

    def heal(self, world: World) -> None:
        world.mark(self.scope)
        world.unharm(self.scope)
        world.relight(self.site)


class Way(StrEnum):
    """Which directions of a link are hit."""

    BOTH = "both"
    ONE = "one"
    """Only from the first to the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """``loss_pm`` of packets between two places are lost."""

    kind: ClassVar[str] = "loss"
    one: str
    other: str
    loss_pm: int
    way: Way = Way.BOTH

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return ()

    @property
    def scope(self) -> str:
        return f"{self.kind}/{self.one}/{self.other}/{self.way}"

    def apply(self, world: World) -> None:
        world.net.lose(self.scope, self.one, self.other, self.loss_pm)
        if self.way is Way.BOTH:
            world.net.lose(self.scope, self.other, self.one, self.loss_pm)
        world.disturb()

    def heal(self, world: World) -> None:
        world.net.mend(self.scope)
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """No packet passes between places of different ``sides``. ``ONE``: only the way from the first side to the others is cut.

    Places: site ids, ``users``, ``anchors``, ``outside``, and a service's part of a site, ``web@pangyo``.
    A site whose users' link is cut is harmed; nodes stand in their sites and so does each store member.
    """

    kind: ClassVar[str] = "partition"
    sides: tuple[tuple[str, ...], ...]
    way: Way = Way.BOTH

    @property
    def sites(self) -> tuple[SiteId, ...]:
        users = [side for side in self.sides if "users" in side]
        return tuple(SiteId(place) for side in self.sides if users and side not in users for place in side)

    @property
    def scope(self) -> str:
        return f"{self.kind}/{'|'.join(','.join(side) for side in self.sides)}/{self.way}"

    def apply(self, world: World) -> None:
        first, *others = self.sides
        if self.way is Way.ONE:
            pairs = [(a, b) for a in first for side in others for b in side]
        else:
            pairs = [(a, b) for one in self.sides for other in self.sides if one is not other for a in one for b in other]
        for a, b in pairs:
            world.net.cut(self.scope, a, b)
        world.disturb()

    def heal(self, world: World) -> None:
        world.net.mend(self.scope)
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class DepDown:
    """Dependencies are gone at a site (None: everywhere). A name that is a service takes its pool down, and with it every
    service that ``depends_on`` it there; other names (metrics, registry) are facts: nothing of ours may need them."""

    kind: ClassVar[str] = "dep_down"
    names: tuple[str, ...]
    site: SiteId | None = None

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return (self.site,) if self.site is not None else ()

    @property
    def scope(self) -> str:
        return f"{self.kind}/{self.site or '*'}/{','.join(self.names)}"

    def apply(self, world: World) -> None:
        world.fact(self.kind, f"{','.join(self.names)} at {self.site or 'every site'}", {})
        world.harm(self.scope, world.members_of_services(self.names, self.site), Effect(down=Down.REFUSED))

    def heal(self, world: World) -> None:
        world.unharm(self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepSlow(DepDown):
    """Dependencies answer ``add_ms`` later; services that depend on them wait as long."""

    kind: ClassVar[str] = "dep_slow"
    add_ms: int = 1_000

    def apply(self, world: World) -> None:
        world.fact(self.kind, f"{','.join(self.names)} at {self.site or 'every site'}", {"add_ms": self.add_ms})
        world.harm(self.scope, world.members_of_services(self.names, self.site), Effect(add_ms=self.add_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverPin:
    """``part_pm`` of resolvers keep the answers they have for ``hold_ms``; ``connections_pm`` of requests stay on connections
    that are held as long. From the moment it is applied; healing lets go."""

    kind: ClassVar[str] = "resolver_pin"
    part_pm: int
    hold_ms: int
    connections_pm: int = 0
    service: ServiceId | None = None

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return ()

    def apply(self, world: World) -> None:
        world.prepare()
        for population in world.populations_of(self.service):
            population.pin(self.part_pm, self.connections_pm, world.clock.now_ms + self.hold_ms)
        world.disturb()

    def heal(self, world: World) -> None:
        world.prepare()
        for population in world.populations_of(self.service):
            population.pin(0, 0, world.clock.now_ms)
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """Demand becomes ``factor_pm`` of what it would be, over ``ramp_ms``; back as slowly when healed."""

    kind: ClassVar[str] = "surge"
    factor_pm: int
    ramp_ms: int = 0
    service: ServiceId | None = None

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return ()

    def apply(self, world: World) -> None:
        world.prepare()
        for population in world.populations_of(self.service):
            population.surge(self.factor_pm, self.ramp_ms, world.clock.now_ms)
        world.disturb()

    def heal(self, world: World) -> None:
        world.prepare()
        for population in world.populations_of(self.service):
            population.surge(1_000, self.ramp_ms, world.clock.now_ms)
        world.disturb()
