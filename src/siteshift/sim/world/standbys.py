"""Standby members and the drivers that start them: cold start times, and standbys that disappoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.units import MemberId
from siteshift.sim.world.clock import VirtualClock
from siteshift.sim.world.servers import Effect, Server


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


EFFECTS = {
    Spoiled.BROKEN: Effect(error_pm=1_000, probe_error_pm=1_000),
    Spoiled.LIES: Effect(error_pm=1_000),
}
"""What a member answers that is spoiled so; others answer well."""


@dataclass(slots=True)
class Standbys:
    """All standby members. ``phase`` is what their drivers say; ``became`` is told each new one."""

    clock: VirtualClock
    servers: Mapping[MemberId, Server]
    cold_start_ms: int
    became: Callable[[MemberId, StandbyPhase], None]
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
            wait_ms = self.cold_start_ms * (4 if how is Spoiled.SLOW else 1)
            self.clock.after(wait_ms, lambda: self._ready(member, start))

    def _ready(self, member: MemberId, start: int) -> None:
        if self._starts.get(member) != start or self.phase(member) is not StandbyPhase.STARTING:
            return
        if self.servers[member].condition.down is not None:
            self._become(member, StandbyPhase.FAILED)
            return
        self._become(member, StandbyPhase.READY)

    def retire(self, member: MemberId) -> None:
        """Back to cold at once."""
        self._starts[member] = self._starts.get(member, 0) + 1
        if self.phase(member) is not StandbyPhase.COLD:
            self._become(member, StandbyPhase.COLD)

    def spoil(self, member: MemberId, how: Spoiled) -> None:
        """How it starts from the next time on; what it answers (`EFFECTS`) is for the caller to lay over it."""
        if how is Spoiled.NO:
            self._spoiled.pop(member, None)
        else:
            self._spoiled[member] = how

    def _become(self, member: MemberId, phase: StandbyPhase) -> None:
        self.phases[member] = phase
        self.became(member, phase)
