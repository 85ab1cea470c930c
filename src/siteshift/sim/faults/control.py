"""Faults that befall ourselves: nodes, their clocks and eyes, the store, the data planes, standbys, configuration, work.

Nodes are named by id; ``leader`` means whoever leads when the fault strikes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from siteshift.core.model.units import EnactorId, ServiceId, SiteId
from siteshift.sim.nodes.cluster import LEADER, Cluster
from siteshift.sim.nodes.mute import Quarter
from siteshift.sim.world.planes import Trouble
from siteshift.sim.world.standbys import EFFECTS, Spoiled
from siteshift.sim.world.world import World


class Sees(StrEnum):
    """What a blinded prober sees."""

    FAIL = "fail"
    """Every check fails, anchors too: its line is gone."""
    FAIL_ONLY_TARGETS = "fail_only_targets"
    """Every check of a target fails while anchors answer: the checks are wrong."""
    NONE = "none"
    """No check can be made, and the prober says so: no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _HarmsNoSite:
    kind: ClassVar[str] = ""

    @property
    def sites(self) -> tuple[SiteId, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFault(_HarmsNoSite, ABC):
    """Something that can go wrong with nodes themselves."""

    @abstractmethod
    def apply(self, cluster: Cluster) -> None:
        """Make it so."""

    @abstractmethod
    def heal(self, cluster: Cluster) -> None:
        """Undo it. What it caused meanwhile stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProberBlind(NodeFault):
    """The probes of these nodes (empty: of all) see nothing right."""

    kind: ClassVar[str] = "prober_blind"
    nodes: tuple[str, ...] = ()
    sees: Sees = Sees.FAIL

    def apply(self, cluster: Cluster) -> None:
        for node in cluster.named(self.nodes):
            node.prober.blind(self.sees.value)
        cluster.world.disturb()

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named(self.nodes):
            node.prober.blind("")
        cluster.world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksMute(NodeFault):
    """Checks by these nodes (empty: by all) give no result at all, not even that there is none: a stuck prober, a lost queue.

    Those of a site, of a service, of a service at a site; without either every check, those of anchors too.
    """

    kind: ClassVar[str] = "checks_mute"
    nodes: tuple[str, ...] = ()
    site: SiteId | None = None
    service: ServiceId | None = None

    @property
    def scope(self) -> str:
        return f"{self.kind}/{','.join(self.nodes)}/{self.site or '*'}/{self.service or '*'}"

    def apply(self, cluster: Cluster) -> None:
        quarter = Quarter(self.site, self.service)
        for node in cluster.named(self.nodes):
            node.prober.silence((*node.prober.mute, quarter))
        cluster.world.disturb()

    def heal(self, cluster: Cluster) -> None:
        quarter = Quarter(self.site, self.service)
        for node in cluster.named(()):  # another may lead by now
            if LEADER in self.nodes or not self.nodes or node.id in self.nodes:
                node.prober.silence(tuple(one for one in node.prober.mute if one != quarter))
        cluster.world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class CtlKill(NodeFault):
    """Nodes die; healing starts them again from what is durable. Empty: all."""

    kind: ClassVar[str] = "ctl_kill"
    nodes: tuple[str, ...] = (LEADER,)

    def apply(self, cluster: Cluster) -> None:
        for node in cluster.named(self.nodes):
            node.kill()

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named(()):
            if node.is_dead:
                node.start_again()


@dataclass(frozen=True, slots=True, kw_only=True)
class CtlPause(NodeFault):
    """Nodes are stopped (SIGSTOP) and know nothing of it when healed; what they were about to write they write then."""

    kind: ClassVar[str] = "ctl_pause"
    nodes: tuple[str, ...] = (LEADER,)

    def apply(self, cluster: Cluster) -> None:
        for node in cluster.named(self.nodes):
            node.pause()

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named(()):
            node.resume()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep(NodeFault):
    """A node's wall clock jumps. Siteshift time is monotonic within a process: it follows at the node's next start only."""

    kind: ClassVar[str] = "clock_step"
    node: str
    by_ms: int

    def apply(self, cluster: Cluster) -> None:
        for node in cluster.named((self.node,)):
            node.step_wall_clock(self.by_ms)

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named((self.node,)):
            node.step_wall_clock(-self.by_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDelay(NodeFault):
    """Writes of a node to data planes are under way for ``for_ms`` before they arrive."""

    kind: ClassVar[str] = "plan_delay"
    node: str
    for_ms: int

    def apply(self, cluster: Cluster) -> None:
        for node in cluster.named((self.node,)):
            node.write_delay_ms = self.for_ms

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named(() if self.node == LEADER else (self.node,)):  # another may lead by now
            node.write_delay_ms = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneTrouble(_HarmsNoSite):
    """A data plane misbehaves: see `planes.Trouble`. ``add_ms`` belongs to ``SLOW``; ``part_pm`` of calls are hit."""

    kind: ClassVar[str] = "plane_trouble"
    plane: EnactorId
    how: Trouble
    add_ms: int = 1_000
    part_pm: int = 1_000

    def apply(self, world: World) -> None:
        world.planes[self.plane].misbehave(self.how, add_ms=self.add_ms, part_pm=self.part_pm)
        world.disturb()

    def heal(self, world: World) -> None:
        world.planes[self.plane].misbehave(Trouble.NONE, add_ms=0, part_pm=0)
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneEdit(_HarmsNoSite):
    """Somebody changes a service's shares on a plane by hand. Healing takes the edit back."""

    kind: ClassVar[str] = "plane_edit"
    plane: EnactorId
    service: ServiceId
    shares_bp: Mapping[SiteId, int]

    def apply(self, world: World) -> None:
        world.planes[self.plane].edit(self.service, self.shares_bp)
        world.disturb()

    def heal(self, world: World) -> None:
        world.planes[self.plane].edit(self.service, None)
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneForget(_HarmsNoSite):
    """A plane is reloaded from its own file: nominal shares, no generation."""

    kind: ClassVar[str] = "plane_forget"
    plane: EnactorId

    def apply(self, world: World) -> None:
        world.planes[self.plane].forget()
        world.disturb()

    def heal(self, world: World) -> None:
        """Nothing to undo: the node writes it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcRace(_HarmsNoSite):
    """A clean-up deletes the live plan from a plane by force: it has no generation and answers nothing until it is written."""

    kind: ClassVar[str] = "gc_race"
    plane: EnactorId

    def apply(self, world: World) -> None:
        world.planes[self.plane].delete_plan()
        world.disturb()

    def heal(self, world: World) -> None:
        """Nothing to undo: the node writes it again."""


class Pushed(StrEnum):
    """What is wrong with a pushed configuration."""

    EMPTY = "empty"
    OVERSIZE = "oversize"
    TYPO = "typo"
    BOMB = "bomb"
    """Loads well, and crashes the node a while later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CfgPush(NodeFault):
    """A configuration is pushed to nodes. Files that cannot be read are refused by the loader (law 15: nothing happens);
    a bomb is loaded and kills each node ``fuse_ms`` later."""

    kind: ClassVar[str] = "cfg_push"
    how: Pushed
    nodes: tuple[str, ...] = ()
    fuse_ms: int = 300_000

    def apply(self, cluster: Cluster) -> None:
        cluster.world.fact(self.kind, f"{self.how.value} configuration", {"nodes": list(self.nodes)})
        if self.how is not Pushed.BOMB:
            return
        for node in cluster.named(self.nodes):
            node.reload("bomb")
            cluster.world.clock.after(self.fuse_ms, node.kill)

    def heal(self, cluster: Cluster) -> None:
        for node in cluster.named(self.nodes):
            if node.is_dead:
                node.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(_HarmsNoSite):
    """A piece of work goes on: a fact. What it breaks is told by other events; ``leaks_to`` is where it truly reaches."""

    kind: ClassVar[str] = "change"
    id: str
    actor: str
    target: str
    window: str = ""
    leaks_to: tuple[str, ...] = ()

    def apply(self, world: World) -> None:
        leaks = list(self.leaks_to)
        world.fact(self.kind, f"{self.id} by {self.actor} on {self.target}", {"window": self.window, "leaks_to": leaks})

    def heal(self, world: World) -> None:
        world.fact(self.kind, f"{self.id} by {self.actor} on {self.target} reverted", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyBad(_HarmsNoSite):
    """Standby members of a site do not do what they should: see `standbys.Spoiled`."""

    kind: ClassVar[str] = "standby_bad"
    site: SiteId
    how: Spoiled
    service: ServiceId | None = None

    def apply(self, world: World) -> None:
        self._spoil(world, self.how)

    def heal(self, world: World) -> None:
        self._spoil(world, Spoiled.NO)

    def _spoil(self, world: World, how: Spoiled) -> None:
        """What they answer changes at once, how they start from the next time on."""
        for member in world.standbys_at(self.site, self.service):
            scope = f"standby/{member}"
            world.unharm(scope)
            world.standbys.spoil(member, how)
            if how in EFFECTS:
                world.harm(scope, (member,), EFFECTS[how])
        world.disturb()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDown(_HarmsNoSite):
    """Store members at these sites die (empty: all)."""

    kind: ClassVar[str] = "store_down"
    members: tuple[SiteId, ...] = ()

    def apply(self, world: World) -> None:
        world.store.stop(self.members)

    def heal(self, world: World) -> None:
        world.store.restart(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSlow(_HarmsNoSite):
    """Every call to the store takes ``add_ms`` more."""

    kind: ClassVar[str] = "store_slow"
    add_ms: int

    def apply(self, world: World) -> None:
        world.store.add_ms = self.add_ms

    def heal(self, world: World) -> None:
        world.store.add_ms = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRole(_HarmsNoSite):
    """A site's data has another role or lags: a fact (the check that reads it belongs to a later part of the core)."""

    kind: ClassVar[str] = "data_role"
    site: SiteId
    role: str
    lag_ms: int = 0

    def apply(self, world: World) -> None:
        world.fact(self.kind, f"{self.site} is {self.role}", {"lag_ms": self.lag_ms})

    def heal(self, world: World) -> None:
        world.fact(self.kind, f"{self.site} is no longer {self.role}", {})
