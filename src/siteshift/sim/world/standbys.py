"""Standby members and the drivers that start them: cold start times, and standbys that disappoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.units import MemberId, ServiceId, SiteId
from siteshift.sim.world.servers import Effect

if TYPE_CHECKING:
    from siteshift.sim.world.world import World


class Spoiled(StrEnum):
    """How a standby disappoints."""

    NO = "no"
    NEVER_STARTS = "never_starts"
    """It says it is starting, for ever."""
    FAILS = "fails"
    """The driver says it failed."""
    BROKEN = "broken"
    """It starts and says it is ready; all it answers is errors (a network set up wrongly)."""
    LIES = "lies"
    """As broken, but its health check passes."""
    SLOW = "slow"
    """It takes four times as long to start."""


_EFFECTS = {
    Spoiled.BROKEN: Effect(error_pm=1_000, probe_error_pm=1_000),
    Spoiled.LIES: Effect(error_pm=1_000),
}


@dataclass(slots=True)
class Standbys:
    """All standby members. ``phase`` is what their drivers say."""

    world: World
    phases: dict[MemberId, StandbyPhase] = field(default_factory=dict)
    _spoiled: dict[MemberId, Spoiled] = field(default_factory=dict)
    _starts: dict[MemberId, int] = field(default_factory=dict)

    def phase(self, member: MemberId) -> StandbyPhase:
        """What its driver says."""
        return self.phases.get(member, StandbyPhase.COLD)

    @property
    def are_settled(self) -> bool:
        """Whether none is starting and none is spoiled."""
        return not self._spoiled and StandbyPhase.STARTING not in self.phases.values()

    def activate(self, member: MemberId) -> None:
        """Begin to start it; safe to repeat."""
        if self.phase(member) in (StandbyPhase.STARTING, StandbyPhase.READY):
            return
        how = self._spoiled.get(member, Spoiled.NO)
        start = self._starts[member] = self._starts.get(member, 0) + 1
        if how is Spoiled.FAILS:
            self._become(member, StandbyPhase.FAILED)
            return
        self._become(member, StandbyPhase.STARTING)
        if how is not Spoiled.NEVER_STARTS:
            wait_ms = self.world.spec.standby.cold_start_ms * (4 if how is Spoiled.SLOW else 1)
            self.world.clock.after(wait_ms, lambda: self._ready(member, start))

    def _ready(self, member: MemberId, start: int) -> None:
        if self._starts.get(member) != start or self.phase(member) is not StandbyPhase.STARTING:
            return
        if self.world.servers[member].condition.down is not None:
            self._become(member, StandbyPhase.FAILED)
            return
        self._become(member, StandbyPhase.READY)
        self.world.open(member)

    def retire(self, member: MemberId) -> None:
        """Back to cold at once."""
        self._starts[member] = self._starts.get(member, 0) + 1
        if self.phase(member) is not StandbyPhase.COLD:
            self._become(member, StandbyPhase.COLD)
            self.world.shut(member)

    def spoil(self, site: SiteId, service: ServiceId | None, how: Spoiled) -> None:
        """From the next start on (and, for what it answers, at once)."""
        for member in self.world.standbys_at(site, service):
            scope = f"standby/{member}"
            self.world.unharm(scope)
            if how is Spoiled.NO:
                self._spoiled.pop(member, None)
                continue
            self._spoiled[member] = how
            if how in _EFFECTS:
                self.world.harm(scope, (member,), _EFFECTS[how])

    def _become(self, member: MemberId, phase: StandbyPhase) -> None:
        self.phases[member] = phase
        self.world.line("world", "standby", f"{member} {phase.value}")
        self.world.disturb()
