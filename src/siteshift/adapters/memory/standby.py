"""The in-memory twin of a standby driver: members that take their time to start, and can be made to fail."""

from __future__ import annotations

from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.topology import Member
from siteshift.core.model.units import DriverId, MemberId
from siteshift.errors import Retryable
from siteshift.ports import Clock


class MemoryStandby:
    """`ports.StandbyDriver`. A member is READY ``ready_after_ms`` after its activation; None: only when `make_ready`
    says.
    """

    def __init__(self, driver: DriverId, clock: Clock, *, ready_after_ms: int | None = 0) -> None:
        self._id = driver
        self._clock = clock
        self._ready_after_ms = ready_after_ms
        self._activated_ms: dict[MemberId, int] = {}
        self._ready: set[MemberId] = set()
        self._failed: set[MemberId] = set()
        self._gone = ""
        self.activations: list[MemberId] = []
        """Every accepted activation, in order."""

    @property
    def id(self) -> DriverId:
        return self._id

    def make_ready(self, member: MemberId) -> None:
        """It has started."""
        self._ready.add(member)

    def fail(self, member: MemberId) -> None:
        """It breaks, until it is retired."""
        self._failed.add(member)

    def go(self, why: str) -> None:
        """From now on nothing answers, because ``why``; an empty text brings it back."""
        self._gone = why

    async def activate(self, member: Member, *, deadline_ms: int) -> None:  # noqa: ARG002
        self._reachable("activate", member)
        self.activations.append(member.id)
        self._activated_ms.setdefault(member.id, self._clock.now_ms())

    async def retire(self, member: Member, *, deadline_ms: int) -> None:  # noqa: ARG002
        self._reachable("retire", member)
        self._activated_ms.pop(member.id, None)
        self._ready.discard(member.id)
        self._failed.discard(member.id)

    async def phase(self, member: Member, *, deadline_ms: int) -> StandbyPhase:  # noqa: ARG002
        self._reachable("phase", member)
        since_ms = self._activated_ms.get(member.id)
        if since_ms is None:
            return StandbyPhase.COLD
        if member.id in self._failed:
            return StandbyPhase.FAILED
        by_time = self._ready_after_ms is not None and self._clock.now_ms() - since_ms >= self._ready_after_ms
        return StandbyPhase.READY if by_time or member.id in self._ready else StandbyPhase.STARTING

    async def close(self) -> None:
        """Nothing is held."""

    def _reachable(self, operation: str, member: Member) -> None:
        if self._gone:
            raise Retryable(self._gone, system=f"standby {self._id}", operation=operation, target=member.id)
